// Command loadtest plays the standing load against Switchboard and prints a
// verdict. Without -targets it starts its own: a Redis in a private folder and
// three nodes, one of which it restarts in the middle. Exit status: 0 all bounds
// hold, 1 a bound is broken, 2 the run could not be played.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/loadtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags that are not part of the scenario.
type options struct {
	nodes        int
	binary       string
	kill, keep   bool
	targets      string
	org, team    int64
	login        string
	passwordFile string
	json         string
	judge        string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, o, err := parse(args, stderr)
	if err != nil {
		return 2
	}
	report, err := play(ctx, s, o, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "loadtest:", err)
		return 2
	}
	if err := report.WriteText(stdout); err != nil {
		fmt.Fprintln(stderr, "loadtest:", err)
		return 2
	}
	if o.json != "" {
		if err := writeJSON(o.json, report); err != nil {
			fmt.Fprintln(stderr, "loadtest:", err)
			return 2
		}
	}
	if !report.Passed {
		return 1
	}
	return 0
}

// parse reads the flags over the defaults of the standing scenario.
func parse(args []string, stderr io.Writer) (loadtest.Scenario, options, error) {
	s, o := loadtest.Default(), options{}
	for _, arg := range args {
		// Decided first: it sets the defaults that the other flags change.
		if arg == "-small" || arg == "--small" {
			s = loadtest.Small()
		}
	}
	f := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Bool("small", false, "a tenth of the people and short chats, about 30 s")
	f.IntVar(&s.Operators, "operators", s.Operators, "operators")
	f.IntVar(&s.Visitors, "visitors", s.Visitors, "visitors, each with one chat")
	f.IntVar(&s.Limit, "limit", s.Limit, "chats that an operator may hold")
	f.Uint64Var(&s.Seed, "seed", s.Seed, "of everything that is drawn")
	duration := f.Duration("duration", s.Arrivals, "over which visitors come; the last chats come on top")
	f.IntVar(&s.ConnectRate, "rate", s.ConnectRate, "connects a second at the beginning")
	f.Float64Var(&s.Declines, "declines", s.Declines, "share of offers that operators decline")
	f.IntVar(&s.RestartNode, "restart", s.RestartNode, "node to restart in the middle, from 0; -1 for none")
	f.IntVar(&o.nodes, "nodes", 3, "nodes to start")
	f.StringVar(&o.binary, "binary", "bin/switchboard", "the switchboard binary to start nodes from")
	f.BoolVar(&o.kill, "kill", false, "restart with kill -9 instead of SIGTERM")
	f.BoolVar(&o.keep, "keep", false, "keep the folder with Redis and the logs of the nodes")
	f.StringVar(&o.targets, "targets", "", "running nodes instead of own ones: http://host:port,...")
	f.Int64Var(&o.org, "org", 0, "organization on the targets")
	f.Int64Var(&o.team, "team", 0, "team on the targets; 0 is everyone")
	f.StringVar(&o.login, "login", "", "login of the company on the targets")
	f.StringVar(&o.passwordFile, "password-file", "", "file with the password of the login")
	f.StringVar(&o.json, "json", "", "file to write the verdict to as JSON")
	f.StringVar(&o.judge, "judge", "", "history to judge again instead of a run: the file that a failed test of ./gateway names")
	b := &s.Bounds
	f.IntVar(&b.Lost, "max-lost", b.Lost, "bound: lost messages")
	f.IntVar(&b.Repeated, "max-repeated", b.Repeated, "bound: repeated messages")
	f.IntVar(&b.OutOfOrder, "max-out-of-order", b.OutOfOrder, "bound: messages out of order")
	f.DurationVar(&b.MessageP99, "max-message-p99", b.MessageP99, "bound: message latency away from the restart")
	f.DurationVar(&b.RoutingP99, "max-routing-p99", b.RoutingP99, "bound: chat.start to offer while operators are free")
	f.DurationVar(&b.Recovery, "max-recovery", b.Recovery, "bound: restart to everybody back")
	f.Float64Var(&b.CrossNode, "min-cross-node", b.CrossNode, "bound: share of chats across nodes")
	if err := f.Parse(args); err != nil {
		return s, o, err
	}
	if err := sensible(f, s, o); err != nil {
		fmt.Fprintln(stderr, "loadtest:", err)
		return s, o, err
	}
	if *duration != s.Arrivals {
		s.Stretch(*duration)
	}
	if s.RestartNode < 0 || o.targets != "" {
		s.RestartAt = 0
	}
	return s, o, nil
}

// sensible looks for what would be found out only after the nodes have started.
func sensible(f *flag.FlagSet, s loadtest.Scenario, o options) error {
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("no arguments are taken, got %q", f.Args())
	case o.nodes < 1 || o.nodes > 16:
		return fmt.Errorf("-nodes must be 1 to 16, not %d", o.nodes)
	case o.targets == "" && s.RestartNode >= o.nodes:
		return fmt.Errorf("-restart %d: the last node is %d", s.RestartNode, o.nodes-1)
	}
	return nil
}

// play runs the scenario against the targets named or own ones.
func play(ctx context.Context, s loadtest.Scenario, o options, log io.Writer) (loadtest.Report, error) {
	if o.judge != "" {
		f, err := os.Open(o.judge)
		if err != nil {
			return loadtest.Report{}, err
		}
		defer f.Close()
		return loadtest.JudgeAgain(f)
	}
	began := time.Now()
	progress := func(line string) { fmt.Fprintf(log, "%6.1f s  %s\n", time.Since(began).Seconds(), line) }
	if o.targets != "" {
		t, err := named(o)
		if err != nil {
			return loadtest.Report{}, err
		}
		t.Progress = progress
		return loadtest.Run(ctx, s, t)
	}
	progress(fmt.Sprintf("starting Redis and %d nodes", o.nodes))
	c, err := startCluster(ctx, o, s)
	if err != nil {
		return loadtest.Report{}, err
	}
	t := c.targets(o.kill)
	t.Progress = progress
	report, err := loadtest.Run(ctx, s, t)
	stopped := c.stop(err == nil && report.Passed)
	if err == nil && stopped != nil {
		// What people saw counts all the same; a node that cannot end is a fault of
		// its own.
		report.Break(stopped.Error())
		stopped = nil
	}
	return report, errors.Join(err, stopped)
}

// named are nodes that somebody else runs.
func named(o options) (loadtest.Targets, error) {
	t := loadtest.Targets{Org: switchboard.OrgID(o.org), Team: switchboard.TeamID(o.team), Login: o.login}
	for _, url := range strings.Split(o.targets, ",") {
		t.Nodes = append(t.Nodes, loadtest.Node{URL: strings.TrimSuffix(strings.TrimSpace(url), "/")})
	}
	if o.org == 0 || o.login == "" || o.passwordFile == "" {
		return t, fmt.Errorf("-targets needs -org, -login and -password-file")
	}
	secret, err := os.ReadFile(o.passwordFile)
	if err != nil {
		return t, err
	}
	t.Password = strings.TrimRight(string(secret), "\r\n")
	return t, nil
}

func writeJSON(path string, report loadtest.Report) error {
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
