package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/switchboard/switchboard/gateway"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd"
)

const (
	demoMaxNodes = 9
	// metricsAbove is added to a node's port for its metrics.
	metricsAbove = 1000
	// demoNote is where a running demo writes its addresses for demo links.
	demoNote = "demo.json"
)

// demoFlags are the settings of the demo.
type demoFlags struct {
	nodes, port *int
	host        *string
	data        *string
	inMemory    *bool
	drain       *time.Duration
	level       *slog.Level
}

// demoCommand runs nodes in this process on one store. The store is its own,
// not a node's: it ends after the last of them.
func demoCommand(f *flags) action {
	d := demoFlags{
		nodes:    config(f, "nodes", "1", "how many nodes", whole(1, demoMaxNodes)),
		port:     config(f, "port", "8081", "port of the first node; the others follow", whole(1, 65535-metricsAbove-demoMaxNodes)),
		host:     config(f, "host", "127.0.0.1", "address to listen on", required),
		data:     config(f, "data", "data", "data folder", required),
		inMemory: config(f, "demo", "", "keep everything in memory: for machines without redis-server", yes),
		drain:    config(f, "drain", "2s", "time over which clients are sent away at a stop", span(0, time.Minute)),
		level:    config(f, "log-level", "warn", "debug, info, warn or error", logLevel),
	}
	f.rules = append(f.rules, func() error {
		if *d.inMemory && *d.nodes > 1 {
			return errors.New("--nodes: the demo store in memory serves one node; install redis-server for more")
		}
		return nil
	})
	return d.run
}

func (d demoFlags) run(ctx context.Context, t *terminal) (err error) {
	log := logger(t, *d.level, "text")
	if err := d.checkPorts(); err != nil {
		return err
	}
	st, master, err := d.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	if st.kind == kindDemo {
		fmt.Fprint(t.out, demoBanner)
	}
	show, err := d.seed(ctx, st, master, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, show.close()) }()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var nodes sync.WaitGroup
	failed := make([]error, *d.nodes)
	for i := range *d.nodes {
		nodes.Go(func() {
			defer stop() // the demo is whole or over
			failed[i] = serveNode(ctx, st, master, d.node(i, log))
		})
	}
	if err := d.waitForNodes(ctx); err == nil {
		err = d.talk(ctx, t, st, show)
		stop()
		nodes.Wait()
		return errors.Join(append(failed, err)...)
	}
	stop()
	nodes.Wait()
	return errors.Join(failed...)
}

func (d demoFlags) address(i int) string {
	return net.JoinHostPort(*d.host, strconv.Itoa(*d.port+i))
}

func (d demoFlags) node(i int, log *slog.Logger) gateway.Config {
	return gateway.Config{
		Listen:  d.address(i),
		Metrics: net.JoinHostPort("127.0.0.1", strconv.Itoa(*d.port+metricsAbove+i)),
		Drain:   atOnce(*d.drain), Log: log.With("listen", d.address(i)),
	}
}

// bases returns the addresses of the nodes as a browser on this machine writes
// them.
func (d demoFlags) bases() []string {
	host := *d.host
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	var all []string
	for i := range *d.nodes {
		all = append(all, "http://"+net.JoinHostPort(host, strconv.Itoa(*d.port+i)))
	}
	return all
}

// checkPorts tells of a busy port before anything is started.
func (d demoFlags) checkPorts() error {
	for i := range *d.nodes {
		for _, address := range []string{d.address(i), d.node(i, slog.New(slog.DiscardHandler)).Metrics} {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return fmt.Errorf("%s is in use or not ours: choose another first port with --port (make run PORT=9081) or end what listens there: %w", address, err)
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// open returns the store and its master key.
func (d demoFlags) open(ctx context.Context, log *slog.Logger) (*store, []byte, error) {
	if *d.inMemory {
		return openMemory()
	}
	none := ""
	flags := storeFlags{redis: &none, data: d.data, keyFile: &none}
	st, err := flags.embedded(ctx, log)
	if errors.Is(err, redisd.ErrMissing) {
		return nil, nil, fmt.Errorf("%w; or add --demo to keep everything in memory", err)
	}
	if err != nil {
		return nil, nil, err
	}
	master, err := flags.master(st.kind)
	if err != nil {
		return nil, nil, errors.Join(err, st.close())
	}
	return st, master, nil
}

// seed makes the demo company and returns what prints links to it.
func (d demoFlags) seed(ctx context.Context, st *store, master []byte, log *slog.Logger) (*links, error) {
	rdb := st.client()
	fail := func(err error) (*links, error) { return nil, errors.Join(err, rdb.Close()) }
	a, err := openAccounts(ctx, rdb, master)
	if err != nil {
		return fail(err)
	}
	reg, err := presence.Open(ctx, rdb, presence.Config{Admin: true, Log: log})
	if err != nil {
		return fail(err)
	}
	company, err := (&seeder{accounts: a, presence: reg}).seed(ctx, d.bases())
	if err != nil {
		return fail(err)
	}
	if st.kind == kindEmbedded {
		if err := writeNote(*d.data, d.bases()); err != nil {
			return fail(err)
		}
	}
	end := func() error {
		err := os.Remove(filepath.Join(*d.data, demoNote))
		if errors.Is(err, os.ErrNotExist) {
			err = nil // the store in memory has none
		}
		return errors.Join(err, rdb.Close())
	}
	return &links{accounts: a, company: company, bases: d.bases(), close: end}, nil
}

// waitForNodes returns when all nodes are ready, or with the context.
func (d demoFlags) waitForNodes(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for _, base := range d.bases() {
		for !isReady(ctx, client, base) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func isReady(ctx context.Context, client *http.Client, base string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(req)
	if err != nil {
		return false // it does not listen yet
	}
	_ = answer.Body.Close() // the status is all that counts
	return answer.StatusCode == http.StatusOK
}

// talk prints links, at first and whenever Enter is pressed, until the context
// ends.
func (d demoFlags) talk(ctx context.Context, t *terminal, st *store, show *links) error {
	if err := show.print(ctx, t.out); err != nil {
		return err
	}
	fmt.Fprint(t.out, "\nThe operator and supervisor links work once, for 60 seconds. Press Enter for fresh ones; Ctrl-C ends the demo.\n")
	if st.kind == kindEmbedded {
		fmt.Fprintf(t.out, "In another terminal: switchboard demo links --data %s\n", *d.data)
	}
	enter := lines(t.in)
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-enter:
			if !ok {
				enter = nil // no terminal: nobody will press Enter
				continue
			}
			if err := show.print(ctx, t.out); err != nil {
				return err
			}
		}
	}
}

// lines sends a value for each line that is read. Its goroutine has no owner
// who could wait for it: nothing interrupts a read from a terminal, so it ends
// with the input or with the process.
func lines(in io.Reader) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case out <- struct{}{}:
			default: // links are being printed already
			}
		}
	}()
	return out
}

var demoBanner = strings.TrimLeft(`
+----------------------------------------------------------------------+
|  DEMO STORE: everything is kept in memory, on one node, and nothing  |
|  survives the end of this process. Install redis-server for more.    |
+----------------------------------------------------------------------+
`, "\n")
