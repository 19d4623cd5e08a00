package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/loadtest"
)

// seed makes what a run needs, as an administrator would: through the command
// line, with secrets on standard input.
func (c *cluster) seed(ctx context.Context, s loadtest.Scenario) error {
	company, err := c.admin(ctx, "", "company", "add", "--name", "Load")
	if err != nil {
		return err
	}
	org, err := c.admin(ctx, "", "organization", "add", "--company", decimal(company), "--name", "Load desk", "--slug", "load")
	if err != nil {
		return err
	}
	team, err := c.admin(ctx, "", "team", "add", "--organization", "load", "--name", "On duty")
	if err != nil {
		return err
	}
	_, err = c.admin(ctx, "", "operator", "add", "--organization", "load", "--team", decimal(team),
		"--limit", strconv.Itoa(s.Limit), "--name", "Operator", "--count", strconv.Itoa(s.Operators))
	if err != nil {
		return err
	}
	_, err = c.admin(ctx, c.password+"\n", "credential", "add", "--kind", "chathub", "--company", decimal(company), "--login", c.login)
	c.org, c.team = switchboard.OrgID(org), switchboard.TeamID(team)
	return err
}

func decimal(id int64) string { return strconv.FormatInt(id, 10) }

// admin runs one command of the binary and returns the id of what it made, 0
// when it made several.
func (c *cluster) admin(ctx context.Context, stdin string, args ...string) (int64, error) {
	verb := strings.Join(args[:2], " ")
	args = append(args, "--json", "--redis", "unix://"+c.socket, "--key-file", c.keyFile)
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = environ()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("switchboard %s: %w: %s", verb, err, strings.TrimSpace(errs.String()))
	}
	if bytes.HasPrefix(out.Bytes(), []byte("[")) {
		return 0, nil
	}
	var made struct{ ID int64 }
	if err := json.Unmarshal(out.Bytes(), &made); err != nil {
		return 0, fmt.Errorf("switchboard %s: %w", verb, err)
	}
	if made.ID < 1 {
		return 0, fmt.Errorf("switchboard %s: no id in %s", verb, strings.TrimSpace(out.String()))
	}
	return made.ID, nil
}

// serveArgs start node i. The whole crowd comes from one address, which the
// limits for the open net would refuse; what one socket may send stays as it is.
func (c *cluster) serveArgs(i int) []string {
	const many = "100000"
	return []string{
		"serve", "--redis", "unix://" + c.socket, "--key-file", c.keyFile,
		"--listen", c.addrs[i], "--metrics-listen=", "--log-level", "warn",
		"--limit-connects-per-address", many,
		"--limit-sessions-per-address", many, "--limit-sessions-per-organization", many,
	}
}
