package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// chat: messages of 200 bytes between operators on one node and visitors on
// another, stored before they are acked.
func chat(ctx context.Context, b *bench) error {
	chats, short, long := 2000, 10*time.Second, time.Minute
	if b.small {
		chats, short, long = 50, time.Second, 2*time.Second
	}
	s, err := newSite(ctx, b)
	if err != nil {
		return err
	}
	if err := s.floors(ctx); err != nil {
		return err
	}
	bareSlow, bareMost, err := s.bareTalk(ctx, chats, short)
	if err != nil {
		return err
	}
	bare50, bare99, bareRate := quantile(bareSlow.took, .5), quantile(bareSlow.took, .99), bareMost.rate()
	b.find("floor: 1,000/s through a bare relay: p50", bare50, "ms")
	b.find("floor: 1,000/s through a bare relay: p99", bare99, "ms")
	b.find("floor: 64 in flight through a bare relay", bareRate, "/s")
	p, err := s.organization(ctx, "one", chats, 1)
	if err != nil {
		return err
	}
	a, err := s.startNode(1e6)
	if err != nil {
		return err
	}
	z, err := s.startNode(1e6)
	if err != nil {
		return err
	}
	t, err := s.talk(ctx, p, a.addr, z.addr)
	if err != nil {
		return err
	}
	pids := []int{a.cmd.Process.Pid, z.cmd.Process.Pid}
	t.open(ctx, 500, 2*time.Second) // the first message of each connection costs more
	for _, c := range []struct {
		rate     float64
		p50, p99 float64
	}{{1000, .5, 3}, {5000, 1e9, 20}} {
		if b.small {
			c.rate /= 20
		}
		used, redisUsed := cpu(pids[0])+cpu(pids[1]), cpu(s.server.Pid())
		got := t.open(ctx, c.rate, short)
		name := fmt.Sprintf("%.0f messages/s offered: ", c.rate)
		b.find(name+"delivered a second", got.rate(), "/s")
		b.answered(name, got)
		if c.p50 < 1e9 {
			b.most(name+"p50 from due to seen", quantile(got.took, .5), "ms", c.p50)
		} else {
			b.find(name+"p50 from due to seen", quantile(got.took, .5), "ms")
		}
		b.most(name+"p99", quantile(got.took, .99), "ms", c.p99)
		if c.p50 < 1e9 {
			b.find(name+"p50 against the bare relay", quantile(got.took, .5)/bare50, "times")
			b.find(name+"p99 against the bare relay", quantile(got.took, .99)/bare99, "times")
		}
		b.find(name+"processor of both nodes a message", (cpu(pids[0])+cpu(pids[1])-used)/float64(got.sent)*1e6, "µs")
		b.find(name+"processor of Redis a message", (cpu(s.server.Pid())-redisUsed)/float64(got.sent)*1e6, "µs")
	}
	used := cpu(pids[0]) + cpu(pids[1])
	got := t.closed(ctx, 64, short)
	b.least("64 in flight: delivered a second", got.rate(), "/s", 15_000)
	b.answered("64 in flight: ", got)
	b.find("64 in flight: ratio to the bare relay", got.rate()/bareRate, "")
	b.find("64 in flight: processor of both nodes a message", (cpu(pids[0])+cpu(pids[1])-used)/float64(got.sent)*1e6, "µs")
	over := t.open(ctx, 10_000, long)
	b.find("10,000/s offered for a minute: stored a second", over.rate(), "/s")
	if why := t.why.Load(); why != nil {
		fmt.Println("  first refusal:", *why)
	}
	b.find("10,000/s offered: refused at the sender", float64(over.refused), "")
	b.find("10,000/s offered: unanswered", float64(over.unanswered), "")
	after := t.open(ctx, 100, 2*time.Second)
	b.answered("2 s afterwards: ", after)
	b.most("2 s afterwards: p99", quantile(after.took, .99), "ms", 20)
	b.must("messages acked and not seen", float64(t.lost()), 0)
	return nil
}

// floors are what the store alone does with 64 callers and no pipeline.
func (s *site) floors(ctx context.Context) error {
	for name, src := range map[string]string{
		"floor: EVALSHA of an empty script, 64 callers":  "return 1",
		"floor: EVALSHA of XADD and PUBLISH, 64 callers": "redis.call('XADD', KEYS[1], 'MAXLEN', 1000, '*', 'm', ARGV[1]) return redis.call('PUBLISH', 'bench', ARGV[1])",
	} {
		script, text := redis.NewScript(src), strings.Repeat("x", 200)
		var done atomic.Int64
		var crew sync.WaitGroup
		d := 2 * time.Second
		if s.b.small {
			d = 200 * time.Millisecond
		}
		began := time.Now()
		until, cancel := context.WithTimeout(ctx, d)
		for range 64 {
			crew.Go(func() {
				for until.Err() == nil && script.Run(until, s.rdb, []string{"sb:{bench}:x"}, text).Err() == nil {
					done.Add(1)
				}
			})
		}
		crew.Wait()
		took := time.Since(began)
		cancel()
		s.b.find(name, float64(done.Load())/took.Seconds(), "/s")
	}
	return s.rdb.Del(ctx, "sb:{bench}:x").Err()
}
