package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// idle: what a socket costs while nothing happens. Two organizations share the
// people; the run is made with few and with many, because what Redis is asked
// must not depend on it. What Redis holds for visitors is measured on a store where
// nobody else is.
func idle(ctx context.Context, b *bench) error {
	few, many, visitors := 1000, 15_000, 5_000
	if b.small {
		few, many, visitors = 100, 300, 200
	}
	var asked []float64
	for _, n := range []int{few, many} {
		perSecond, err := idleWith(ctx, b, n, n == many)
		if err != nil {
			return err
		}
		asked = append(asked, perSecond)
		b.stop()
	}
	b.most(fmt.Sprintf("commands to Redis a second, %d beside %d idle", many, few), asked[1]-asked[0], "/s", 1)
	return visitorsHere(ctx, b, visitors)
}

func idleWith(ctx context.Context, b *bench, n int, judge bool) (float64, error) {
	s, err := newSite(ctx, b)
	if err != nil {
		return 0, err
	}
	nobody, err := s.memory(ctx)
	if err != nil {
		return 0, err
	}
	var tokens []string
	for _, name := range []string{"one", "two"} {
		p, err := s.organization(ctx, name, n/2, 5)
		if err != nil {
			return 0, err
		}
		tokens = append(tokens, p.tokens...)
	}
	floor := 0.0 // seconds of processor a minute
	if judge {
		var err error
		if floor, err = floorOfIdle(ctx, b, s, tokens); err != nil {
			return 0, err
		}
	}
	node, err := s.startNode(1e6)
	if err != nil {
		return 0, err
	}
	empty := resident(node.cmd.Process.Pid)
	if _, err := s.crowds(tokens, 2, 64, node.addr); err != nil {
		return 0, err
	}
	wait(ctx, b.settle)
	pid := node.cmd.Process.Pid
	commands, used, began := s.commands(ctx), cpu(pid), time.Now()
	wait(ctx, b.settle)
	took := time.Since(began).Seconds()
	perSecond := (s.commands(ctx) - commands - 1) / took // less our own question
	b.find(fmt.Sprintf("%d idle: commands to Redis a second", n), perSecond, "/s")
	if !judge {
		return perSecond, nil
	}
	b.most(fmt.Sprintf("%d idle: resident memory a socket", n), (resident(pid)-empty)/float64(n)/1000, "kB", 13)
	goroutines, err := metric(ctx, node.ops, "go_goroutines")
	if err != nil {
		return 0, err
	}
	b.most(fmt.Sprintf("%d idle: goroutines a socket", n), goroutines/float64(n), "", 1.1)
	b.most(fmt.Sprintf("%d idle: commands to Redis a second", n), perSecond, "/s", 10)
	minute := (cpu(pid) - used) / took * 60
	b.most(fmt.Sprintf("%d idle: processor a minute", n), minute, "s", 3)
	b.most("processor against the bare library with the same pings", minute/floor, "times", 1)
	return perSecond, s.grown(ctx, "an operator", n, nobody, 700)
}

// floorOfIdle measures the library as its documentation shows it: memory, and the
// processor that a ping and its answer every 8 s take. Most of the latter is the
// kernel's, on its way through the loopback.
func floorOfIdle(ctx context.Context, b *bench, s *site, tokens []string) (minute float64, err error) {
	p, err := b.spawn("bare")
	if err != nil {
		return 0, err
	}
	if err := p.hears(&struct{ Addr *string }{&p.addr}); err != nil {
		return 0, err
	}
	pid := p.cmd.Process.Pid
	empty := resident(pid)
	in, err := s.crowds(tokens, 2, 64, p.addr)
	if err != nil {
		return 0, err
	}
	wait(ctx, b.settle/4)
	b.find("floor: resident memory a socket of the bare library", (resident(pid)-empty)/float64(len(tokens))/1000, "kB")
	used, began := cpu(pid), time.Now()
	wait(ctx, b.settle/2)
	minute = max(cpu(pid)-used, tick) / time.Since(began).Seconds() * 60 // a small run may see none
	b.find("floor: processor a minute of the bare library", minute, "s")
	for _, c := range in {
		c.end()
	}
	p.end()
	return minute, nil
}

// crowds starts processes of clients and waits until all are in.
func (s *site) crowds(tokens []string, processes, atOnce int, addrs ...string) ([]*process, error) {
	var out []*process
	for i := range processes {
		file := filepath.Join(s.dir, fmt.Sprintf("tokens-%d-%d", time.Now().UnixNano(), i))
		part := tokens[i*len(tokens)/processes : (i+1)*len(tokens)/processes]
		if err := os.WriteFile(file, []byte(strings.Join(part, "\n")), 0o600); err != nil {
			return nil, err
		}
		p, err := s.b.spawn("crowd", "-addrs", strings.Join(addrs, ","), "-tokens", file, "-at-once", strconv.Itoa(atOnce))
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	for _, p := range out {
		var in entered
		if err := p.hears(&in); err != nil {
			return nil, err
		}
		p.came = in
	}
	return out, nil
}

// metric reads one number of a node's metrics.
func metric(ctx context.Context, ops, name string) (float64, error) {
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	rs, err := http.DefaultClient.Do(rq)
	if err != nil {
		return 0, err
	}
	defer rs.Body.Close()
	raw, err := io.ReadAll(rs.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
