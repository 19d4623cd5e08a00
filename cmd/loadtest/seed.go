package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
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
	org, err := c.admin(ctx, "", "organization", "add", "--company", company, "--name", "Load desk", "--slug", "load")
	if err != nil {
		return err
	}
	limit := strconv.Itoa(s.Limit)
	team, err := c.admin(ctx, "", "team", "add", "--org", org, "--name", "Everyone on duty", "--limit", limit)
	if err != nil {
		return err
	}
	_, err = c.admin(ctx, "", "operator", "add", "--org", org, "--team", team, "--limit", limit,
		"--name", "Operator", "--count", strconv.Itoa(s.Operators))
	if err != nil {
		return err
	}
	_, err = c.admin(ctx, c.password+"\n", "credential", "add", "--company", company, "--kind", "chathub", "--login", c.login)
	if err != nil {
		return err
	}
	orgID, err1 := strconv.ParseInt(org, 10, 64)
	teamID, err2 := strconv.ParseInt(team, 10, 64)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("organization %q, team %q: not numbers", org, team)
	}
	c.org, c.team = switchboard.OrgID(orgID), switchboard.TeamID(teamID)
	return nil
}

var firstNumber = regexp.MustCompile(`\b\d+\b`)

// admin runs one command of the binary and returns the first number it prints,
// which is the id of what it made; "" when it prints none.
func (c *cluster) admin(ctx context.Context, stdin string, args ...string) (string, error) {
	verb := strings.Join(args[:2], " ")
	args = append(args, "--redis", "unix://"+c.socket, "--key-file", c.keyFile)
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = environ()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("switchboard %s: %w: %s", verb, err, strings.TrimSpace(errs.String()))
	}
	return firstNumber.FindString(out.String()), nil
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
