// Command bench measures what Switchboard promises of speed and size, each time
// beside a floor in the same run: idle, storm, fanout, chat, logout and routing (make bench-idle
// and so on). It starts its own Redis, nodes and crowds as processes: the same
// binary with the hidden commands node, bare and crowd. Exit status: 0 all
// bounds hold, 1 a bound is broken, 2 it could not be run.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// benches are what may be asked for; the others are what it starts itself.
var benches = map[string]func(ctx context.Context, b *bench) error{
	"idle": idle, "storm": storm, "fanout": fanout, "chat": chat, "logout": logout, "routing": routed,
}

func run(ctx context.Context, args []string) int {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "node":
		return hidden(node(ctx, args))
	case "hubnode":
		return hidden(hubnode(ctx, args))
	case "barewrites":
		return hidden(barewrites(ctx, args))
	case "relay":
		return hidden(relayNode(ctx, args))
	case "bare":
		return hidden(bare(ctx, args))
	case "crowd":
		return hidden(crowd(ctx, args))
	}
	f := flag.NewFlagSet("bench "+name, flag.ContinueOnError)
	b := &bench{name: name}
	f.BoolVar(&b.small, "small", false, "a few hundred sockets and seconds; what is slow is printed and not judged")
	f.DurationVar(&b.settle, "settle", time.Minute, "rest before memory is measured, and how long it is watched")
	f.StringVar(&b.json, "json", "", "file to write the figures to")
	f.StringVar(&b.profile, "profile", "", "folder to write a processor profile of each node to")
	do, ok := benches[name]
	if !ok || f.Parse(args) != nil || f.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: bench idle|storm|fanout|chat|logout|routing [-small] [-settle 60s] [-json file]")
		return 2
	}
	if b.small {
		if b.settle == time.Minute { // not asked for
			b.settle = 3 * time.Second
		}
	}
	fmt.Printf("bench %s, load average before: %s\n", name, loadAverage())
	err := do(ctx, b)
	b.stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	return b.verdict()
}

func hidden(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	return 0
}

// bench is one run: what it started and what it found.
type bench struct {
	name    string
	small   bool
	settle  time.Duration
	json    string
	profile string // folder for processor profiles of the nodes, "" for none
	nodes   int    // started so far
	figures []figure
	ends    []func()
}

// figure is one measured number and the bound on it, if any.
type figure struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Bound string  `json:"bound,omitempty"` // "<= 13"
	Held  bool    `json:"held"`
	None  bool    `json:"none,omitempty"` // nothing was measured: broken, in a small run too
}

// find notes a number without a bound.
func (b *bench) find(what string, value float64, unit string) {
	b.add(figure{What: what, Value: value, Unit: unit, Held: true})
}

// most and least note a number with its bound. A small run does not judge time.
func (b *bench) most(what string, value float64, unit string, bound float64) {
	if math.IsNaN(bound) { // of nothing that was measured
		value = bound
	}
	b.add(figure{What: what, Value: value, Unit: unit, Bound: fmt.Sprintf("<= %g", bound), Held: value <= bound || b.small})
}

func (b *bench) least(what string, value float64, unit string, bound float64) {
	b.add(figure{What: what, Value: value, Unit: unit, Bound: fmt.Sprintf(">= %g", bound), Held: value >= bound || b.small})
}

// must notes what also a small run is judged by.
func (b *bench) must(what string, value, bound float64) {
	b.add(figure{What: what, Value: value, Bound: fmt.Sprintf("= %g", bound), Held: value == bound})
}

// answered judges the messages of one round: a quantile says nothing of those that
// were refused, or unanswered: neither acked nor refused.
func (b *bench) answered(what string, got talked) {
	b.must(what+"refused", float64(got.refused), 0)
	b.must(what+"unanswered", float64(got.unanswered), 0)
}

// add takes a figure. One that is no number, as of no samples, holds no bound.
func (b *bench) add(f figure) {
	if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
		f.Value, f.Held, f.None = 0, false, true
	}
	b.figures = append(b.figures, f)
	mark := ""
	if !f.Held {
		mark = "   BROKEN"
	}
	if f.None {
		mark = "   BROKEN: nothing was measured"
	}
	fmt.Printf("  %-58s %12.3f %-10s %s%s\n", f.What, f.Value, f.Unit, f.Bound, mark)
}

func (b *bench) verdict() int {
	code := 0
	for _, f := range b.figures {
		if !f.Held {
			code = 1
		}
	}
	if b.json != "" {
		raw, err := json.MarshalIndent(b.figures, "", "  ")
		if err == nil {
			err = os.WriteFile(b.json, append(raw, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 2
		}
	}
	fmt.Println(map[int]string{0: "PASSED  every bound holds", 1: "BROKEN"}[code])
	return code
}

// stop ends what was started, last first.
func (b *bench) stop() {
	for i := len(b.ends) - 1; i >= 0; i-- {
		b.ends[i]()
	}
	b.ends = nil
}

func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(raw))[:3], " ")
}

// quantile returns the p-th part of sorted or unsorted milliseconds: of none, no
// number, which stays none in whatever is computed from it.
func quantile(ms []float64, p float64) float64 {
	if len(ms) == 0 {
		return math.NaN()
	}
	s := append([]float64(nil), ms...)
	sort.Float64s(s)
	return s[min(len(s)-1, int(p*float64(len(s))))]
}
