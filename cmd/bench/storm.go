package main

import (
	"context"
	"fmt"
	"time"
)

// storm: everybody at once. First at full speed, beside the bare library; then a
// node with a third of the people is killed while two others serve chats, and
// its people come back under admission control.
func storm(ctx context.Context, b *bench) error {
	n := 15_000
	if b.small {
		n = 300
	}
	if err := fullSpeed(ctx, b, n); err != nil {
		return err
	}
	b.stop()
	return killed(ctx, b, n/3)
}

func fullSpeed(ctx context.Context, b *bench, n int) error {
	s, err := newSite(ctx, b)
	if err != nil {
		return err
	}
	p, err := s.organization(ctx, "one", n, 5)
	if err != nil {
		return err
	}
	floor, err := b.spawn("bare")
	if err != nil {
		return err
	}
	if err := floor.hears(&struct{ Addr *string }{&floor.addr}); err != nil {
		return err
	}
	bareRate, _, err := s.rush(p.tokens, floor.addr)
	if err != nil {
		return err
	}
	bareUsed := cpu(floor.cmd.Process.Pid)
	floor.end()
	node, err := s.startNode(1e6)
	if err != nil {
		return err
	}
	used, redisUsed := cpu(node.cmd.Process.Pid), cpu(s.server.Pid())
	rate, in, err := s.rush(p.tokens, node.addr)
	if err != nil {
		return err
	}
	b.find("floor: bare upgrades and one answer a second", bareRate, "/s")
	b.find("floor: processor of the bare library for each", bareUsed/float64(n)*1e6, "µs")
	b.least("connect, hello and present a second", rate, "/s", 6000)
	b.find("ratio to the floor", rate/bareRate, "")
	b.find("p50", in.P50, "ms")
	b.find("p99", in.P99, "ms")
	b.find("processor of the node for each", (cpu(node.cmd.Process.Pid)-used)/float64(n)*1e6, "µs")
	b.find("processor of Redis for each", (cpu(s.server.Pid())-redisUsed)/float64(n)*1e6, "µs")
	return nil
}

// rush lets two crowds in at full speed and returns people a second.
func (s *site) rush(tokens []string, addr string) (float64, entered, error) {
	out, err := s.crowds(tokens, 2, 64, addr)
	if err != nil {
		return 0, entered{}, err
	}
	longest, worst := 0.0, entered{}
	for _, p := range out {
		longest = max(longest, p.came.Seconds)
		if p.came.P99 > worst.P99 {
			worst = p.came
		}
		p.end()
	}
	return float64(len(tokens)) / longest, worst, nil
}

func killed(ctx context.Context, b *bench, n int) error {
	s, err := newSite(ctx, b)
	if err != nil {
		return err
	}
	p, err := s.organization(ctx, "one", n, 5)
	if err != nil {
		return err
	}
	chats := 100
	if b.small {
		chats = 10
	}
	talk, err := s.organization(ctx, "two", chats, 1)
	if err != nil {
		return err
	}
	var nodes []*process
	for range 3 {
		node, err := s.startNode(0) // the default
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	crowds, err := s.crowds(p.tokens, 1, 16, nodes[0].addr, nodes[1].addr, nodes[2].addr)
	if err != nil {
		return err
	}
	t, err := s.talk(ctx, talk, nodes[1].addr, nodes[2].addr)
	if err != nil {
		return err
	}
	rate, calm := 200.0, 5*time.Second
	began, before := time.Now(), s.commands(ctx)
	quiet := t.open(ctx, rate, calm)
	normal := (s.commands(ctx) - before) / time.Since(began).Seconds()
	nodes[0].kill()
	began, before = time.Now(), s.commands(ctx)
	busy := make(chan talked, 1)
	during, cancel := context.WithCancel(ctx)
	go func() { busy <- t.open(during, rate, time.Minute) }()
	var back entered
	for lost := 0; lost < n && err == nil; lost += back.Lost {
		err = crowds[0].hears(&back)
	}
	took := time.Since(began)
	storm := (s.commands(ctx) - before) / took.Seconds()
	cancel()
	meanwhile := <-busy
	if err != nil {
		return err
	}
	b.most(fmt.Sprintf("%d people of a killed node: all back after", n), took.Seconds(), "s", 30)
	b.find("connects of theirs that were refused or failed", float64(back.Retries), "")
	b.most("commands to Redis a second, against normal", storm/normal, "times", 3)
	b.find("p99 of the unaffected before", quantile(quiet.took, .99), "ms")
	b.most("p99 of the unaffected meanwhile, against before", quantile(meanwhile.took, .99)/quantile(quiet.took, .99), "times", 2)
	b.answered("the unaffected before: messages ", quiet)
	b.answered("the unaffected meanwhile: messages ", meanwhile)
	b.must("messages of the unaffected that were lost", float64(t.lost()), 0)
	return nil
}
