package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// admin is what the commands that manage a store work with.
type admin struct {
	t        *terminal
	accounts *accounts.Store
	presence *presence.Registry
	json     bool
}

// manage turns what a command does with a store into an action: it adds the
// flags that all such commands have, opens the store beside a running node, and
// closes it.
func manage(f *flags, do func(ctx context.Context, a *admin) error) action {
	s := addStoreFlags(f)
	asJSON := arg(f, "json", "", "print JSON instead of a table", yes)
	return func(ctx context.Context, t *terminal) (err error) {
		log := logger(t, slog.LevelError, "text")
		st, err := s.openBeside(ctx, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.close()) }()
		rdb := st.client()
		defer func() { err = errors.Join(err, rdb.Close()) }()
		if err := ready(ctx, rdb); err != nil {
			return err
		}
		a := &admin{t: t, json: *asJSON}
		if a.accounts, err = s.openAccounts(ctx, st.kind, rdb, f); err != nil {
			return err
		}
		if a.presence, err = presence.Open(ctx, rdb, presence.Config{Admin: true, Log: log}); err != nil {
			return err
		}
		return do(ctx, a)
	}
}

// openAccounts opens the accounts for a command. One that does not touch the
// signing keys works without the master key.
func (s storeFlags) openAccounts(ctx context.Context, kind string, rdb redis.UniversalClient, f *flags) (*accounts.Store, error) {
	if strings.HasPrefix(f.command.name, "key ") || *s.keyFile != "" || kind == kindEmbedded {
		master, err := s.master(kind)
		if err != nil {
			return nil, err
		}
		return openAccounts(ctx, rdb, master)
	}
	none := make([]byte, accounts.MasterSize)
	rand.Read(none) // never fails: it ends the process instead
	return accounts.Open(rdb, none)
}

// show prints rows under a header, or the value as JSON.
func (a *admin) show(v any, header []string, rows [][]string) error {
	if a.json {
		e := json.NewEncoder(a.t.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	tab := tabwriter.NewWriter(a.t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(tab, strings.Join(row, "\t"))
	}
	return tab.Flush()
}

// organization finds an organization by its id or its slug.
func (a *admin) organization(ctx context.Context, ref string) (accounts.Organization, error) {
	o, err := a.accounts.OrganizationBySlug(ctx, ref)
	if switchboard.CodeOf(err) != switchboard.CodeNotFound {
		return o, err
	}
	n, bad := strconv.ParseInt(ref, 10, 64)
	if bad != nil {
		return o, fmt.Errorf("--organization: there is no organization %q", ref)
	}
	return a.accounts.Organization(ctx, switchboard.OrgID(n))
}

// operator finds an operator and the organization it belongs to.
func (a *admin) operator(ctx context.Context, id switchboard.OperatorID) (presence.Operator, switchboard.OrgID, error) {
	org, err := a.accounts.OperatorOrg(ctx, id)
	if err != nil {
		return presence.Operator{}, 0, err
	}
	op, err := a.presence.Operator(ctx, org, id)
	return op, org, err
}

const maxSecret = 4 << 10 // bytes

// readSecret reads a secret from a file or from standard input; secrets never
// stand in arguments, where every process of the machine can read them.
func (a *admin) readSecret(file string) (string, error) {
	in := a.t.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("the secret cannot be read: %w", err)
		}
		defer f.Close() // only read
		in = f
	} else if isTerminal(in) {
		fmt.Fprintln(a.t.err, "Type the secret (it is visible), then Enter and Ctrl-D:")
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	if len(b) > maxSecret {
		return "", fmt.Errorf("the secret is longer than %d bytes", maxSecret)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", errors.New("the secret is empty")
	}
	return secret, nil
}

// isTerminal reports whether a person types there.
func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
