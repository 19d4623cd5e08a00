package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/presence/redisd"
)

// ticketLife is how long a printed link works; it stands on a screen.
const ticketLife = time.Minute

// links prints where to click.
type links struct {
	accounts *accounts.Store
	company  *seeded
	bases    []string // addresses of the nodes, http://127.0.0.1:8081
	close    func() error
}

// print writes a link for each page and person. People are spread over the
// nodes, so that with several of them a chat crosses nodes by itself.
func (l *links) print(ctx context.Context, w io.Writer) error {
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	next := 0
	base := func() string {
		next++
		return l.bases[(next-1)%len(l.bases)]
	}
	fmt.Fprintf(tab, "\nSwitchboard runs on %s\n", strings.Join(l.bases, ", "))
	for _, o := range l.company.organizations {
		fmt.Fprintf(tab, "\n%s\n", o.Name)
		fmt.Fprintf(tab, "  Customer page\t%s\n", l.customer(base(), o))
		for _, p := range o.people {
			link, err := l.person(ctx, base(), o.ID, p)
			if err != nil {
				return err
			}
			what := "Operator"
			if p.Role.Supervises() {
				what = "Supervisor"
			}
			fmt.Fprintf(tab, "  %s %s\t%s\n", what, p.Name, link)
		}
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// customer returns the address of a customer's page with the widget, for the
// organization's first team if it has one besides everyone.
func (l *links) customer(base string, o seededOrganization) string {
	q := url.Values{"org": {fmt.Sprint(o.ID)}}
	for _, t := range o.teams {
		if t.ID != 0 {
			q.Set("team", fmt.Sprint(t.ID))
			break
		}
	}
	return base + "/demo/?" + q.Encode()
}

// person returns an address that signs one person in once. The ticket stands in
// the fragment, which browsers do not send and servers do not log.
func (l *links) person(ctx context.Context, base string, org switchboard.OrgID, p presence.Operator) (string, error) {
	ticket, err := l.accounts.NewTicket(ctx, p.ID, org, p.Role, ticketLife)
	if err != nil {
		return "", err
	}
	page := "/console/"
	if p.Role.Supervises() {
		page = "/supervisor/"
	}
	return base + page + "#ticket=" + ticket, nil
}

func writeNote(dir string, bases []string) error {
	text, err := json.Marshal(bases)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, demoNote), text, 0o600)
}

// demoLinksCommand prints fresh links to a demo that runs in another terminal.
func demoLinksCommand(f *flags) action {
	data := config(f, "data", "data", "data folder of the demo", required)
	return func(ctx context.Context, t *terminal) (err error) {
		log := logger(t, slog.LevelError, "text")
		_, running, err := redisd.Find(ctx, *data)
		if err != nil {
			return err
		}
		text, missing := os.ReadFile(filepath.Join(*data, demoNote))
		if !running || missing != nil {
			return fmt.Errorf("no demo runs on the data folder %s: start one with: switchboard demo", *data)
		}
		var bases []string
		if err := json.Unmarshal(text, &bases); err != nil {
			return fmt.Errorf("%s cannot be read: %w", demoNote, err)
		}
		none := ""
		flags := storeFlags{redis: &none, data: data, keyFile: &none}
		st, err := flags.openBeside(ctx, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.close()) }()
		master, err := flags.master(st.kind)
		if err != nil {
			return err
		}
		rdb := st.client()
		defer func() { err = errors.Join(err, rdb.Close()) }()
		a, err := accounts.Open(rdb, master)
		if err != nil {
			return err
		}
		reg, err := presence.Open(ctx, rdb, presence.Config{Admin: true, Log: log})
		if err != nil {
			return err
		}
		company, err := (&seeder{accounts: a, presence: reg}).seed(ctx, bases)
		if err != nil {
			return err
		}
		return (&links{accounts: a, company: company, bases: bases}).print(ctx, t.out)
	}
}
