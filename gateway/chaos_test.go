package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/loadtest"
	"github.com/switchboard/switchboard/presence/redisd"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// The fault matrix of reliability.md 6.2: a crowd talks through three nodes (two
// on a Cluster) while things go wrong, one after the other in an order that the
// seed decides. The referee (loadtest.Ledger) keeps its own account of all that
// was acked and seen: nothing lost (I3), nothing twice or out of order (I4), no
// operator over the limit, every chat ends (I10); afterwards the invariants of
// the store hold (I1, I2, I9) and goroutines have ended (I11, by the package's
// TestMain). SEED=n repeats a run; CHAOS=n makes it n times as large.
//
// A run that fails leaves its history, who sent, was told and saw what, when, and each
// fault's beginning and end, in a file whose path it prints; no text of a message is in it.
//
//	go run ./cmd/loadtest -judge /tmp/switchboard-history-123.jsonl
//
// judges it again by the rules of now: when the referee was wrong, change it and see. A
// message's life is grep '"cmid":"..."' of the file, whose lines are in order of time.
//
// The referee's own tests feed it bad histories (loadtest/ledger_test.go). This
// one was seen red with append.lua acking without XADD (lost), with the check of
// known client message ids left out (repeated), with the bus never telling a gap
// and never looking at heads (lost), and with fences left out of the prelude
// (invariant 7 after the zombie).

// fault is one thing that goes wrong and is put right again.
type fault struct {
	name string
	do   func(ctx context.Context) error
}

// through has the people of a node reach it by a proxy.
func through(i int, p *redistest.Proxy) func(*loadtest.Targets) {
	return func(t *loadtest.Targets) { t.Nodes[i].URL = "http://" + p.Addr() }
}

// chaos plays a crowd with the faults; change takes functions that change the
// scenario or the targets.
func chaos(t *testing.T, cl *cluster, faults []fault, change ...any) loadtest.Report {
	t.Helper()
	seed, size := envInt(t, "SEED", 1), envInt(t, "CHAOS", 1)
	rnd := rand.New(rand.NewPCG(uint64(seed), 7))
	rnd.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	s := loadtest.Small()
	s.Seed, s.Operators, s.Visitors = uint64(seed), 10*size, 80*size
	s.RestartAt, s.FaultAt, s.Arrivals = 0, 2*time.Second, 8*time.Second
	s.ChatMin, s.ChatMax, s.Patience, s.Settle = 4*time.Second, 6*time.Second, 60*time.Second, 15*time.Second
	s.Bounds.MessageP99, s.Bounds.RoutingP99, s.Bounds.Around = time.Minute, time.Minute, time.Minute
	s.Bounds.CrossNode = 0
	for _, f := range change {
		if f, ok := f.(func(*loadtest.Scenario)); ok {
			f(&s)
		}
	}
	targets := cl.crowd(s)
	for _, f := range change {
		if f, ok := f.(func(*loadtest.Targets)); ok {
			f(&targets)
		}
	}
	targets.Fault = func(ctx context.Context) error {
		began := time.Now()
		for _, f := range faults {
			t.Logf("seed %d, %v: %s", seed, time.Since(began).Round(time.Millisecond), f.name)
			loadtest.Mark(ctx, f.name)
			if err := f.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			loadtest.Mark(ctx, "over: "+f.name)
			pause(ctx, 500*time.Millisecond+time.Duration(rnd.IntN(500))*time.Millisecond)
		}
		t.Logf("seed %d, %v: nothing more", seed, time.Since(began).Round(time.Millisecond))
		return nil
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: SEED=%d CHAOS=%d go test -race -count=1 ./gateway -run '^%s$' -v", seed, size, t.Name())
		}
	})
	watch := cl.starving()
	report := cl.play(s, targets)
	watch.judge(t, time.Second)
	return report
}

func envInt(t *testing.T, name string, def int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no positive number", name, text)
	}
	return n
}

// pause is how long a fault lasts, or the time between two.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// proxied is a cluster whose nodes reach their Redis through a proxy each; way
// returns that of the node which is number i now.
func proxied(t *testing.T, n int) (cl *cluster, server *redisd.Server, way func(i int) *redistest.Proxy) {
	t.Helper()
	server = redistest.Start(t, true)
	var mu sync.Mutex
	proxies := map[string]*redistest.Proxy{}
	cl = newClusterOn(t, func() redis.UniversalClient {
		p := redistest.NewProxy(t, "unix", server.Socket())
		o := server.Options()
		o.Network, o.Addr, o.MaxIdleConns = "tcp", p.Addr(), 4
		mu.Lock()
		defer mu.Unlock()
		proxies[p.Addr()] = p
		return redis.NewClient(o)
	}, n)
	return cl, server, func(i int) *redistest.Proxy {
		mu.Lock()
		defer mu.Unlock()
		return proxies[cl.nodes[i].rdb.(*redis.Client).Options().Addr]
	}
}

// during makes one way to the store misbehave for d.
func during(p *redistest.Proxy, d time.Duration, what func(*redistest.Proxy)) func(context.Context) error {
	return func(ctx context.Context) error {
		what(p)
		pause(ctx, d)
		p.Heal()
		return nil
	}
}

// stormed ends all sockets of a node at once.
func (n *node) stormed() {
	n.hub.Each(func(c *hub.Conn) bool { c.End(1001, "gone"); return true })
}

// buried lets nothing pass between a node and the store until others have taken it for
// dead, and then until it is back under a new number with nobody left under the old
// one: no edge that it wrote late stands. Seen red with a hole of 0.3 s, in
// which nobody is taken for dead.
func (cl *cluster) buried(i int, way *redistest.Proxy) func(context.Context) error {
	return func(ctx context.Context) error {
		n, was := cl.nodes[i], cl.nodes[i].reg.Incarnation()
		if err := during(way, 3*time.Second, (*redistest.Proxy).Hole)(ctx); err != nil { // buried after 1 s here
			return err
		}
		p, began := cl.admin.Partition(cl.org.ID), time.Now()
		for {
			left, err := cl.nodes[0].rdb.SCard(ctx, p.Own(was)).Result()
			if now := n.reg.Incarnation(); err == nil && now != was && left == 0 {
				cl.t.Logf("node %s was buried and is back as %s after %v", was, now, time.Since(began).Round(time.Millisecond))
				return nil
			}
			if time.Since(began) > 10*time.Second {
				return fmt.Errorf("node %s is %s now, and %d are left under the old number: %v", was, n.reg.Incarnation(), left, err)
			}
			pause(ctx, 20*time.Millisecond)
		}
	}
}

// F1, F2, F3, F12, F24: nodes die, hang and come back, stop, cannot be reached by
// their clients, lose all their sockets.
func TestChaosOfNodes(t *testing.T) {
	cl, _, way := proxied(t, 3)
	edge := redistest.NewProxy(t, "tcp", cl.nodes[2].Addr()) // people's way to node 2
	chaos(t, cl, []fault{
		{"F1 a node is killed and started again", func(context.Context) error { cl.nodes[0].crash(); cl.again(0); return nil }},
		{"F2 a node hangs until it is taken for dead, and goes on", cl.buried(1, way(1))},
		{"F3 a node stops and starts", func(context.Context) error { return cl.restart(2) }},
		{"F12 a node is cut from its clients only", during(edge, 3*time.Second, (*redistest.Proxy).Cut)},
		{"F24 a node loses all its sockets", func(context.Context) error { cl.nodes[1].stormed(); return nil }},
	}, func(s *loadtest.Scenario) { s.Patience += 10 * time.Second }, through(2, edge))
}

// F7, F8, F9, F10, F11: the way to the store is slow, deaf, broken, in pieces,
// cut.
func TestChaosOfTheNetwork(t *testing.T) {
	cl, _, way := proxied(t, 3)
	chaos(t, cl, []fault{
		{"F7 answers take 50 ms more", during(way(0), 2*time.Second, func(p *redistest.Proxy) { p.Delay(50 * time.Millisecond) })},
		{"F8 a subscription is a black hole", during(way(1), 6*time.Second, (*redistest.Proxy).Deafen)},
		{"F9 connections are reset in mid-call", func(ctx context.Context) error {
			for range 10 {
				way(2).Reset()
				pause(ctx, 100*time.Millisecond)
			}
			return nil
		}},
		{"F10 everything comes in pieces of 40 bytes", during(way(1), 3*time.Second, func(p *redistest.Proxy) { p.Slice(40) })},
		{"F11 a node is cut from the store", during(way(2), 3*time.Second, (*redistest.Proxy).Cut)},
	})
}

// written has Redis write its file before each answer from now on. With everysec
// it puts that off for up to 2 s while an fsync of a slow disk runs, and what a
// kill loses of that is the promise of the setting, not ours (ARCHITECTURE.md,
// "Guaranteed, and not").
func written(ctx context.Context, rdb redis.UniversalClient) error {
	return rdb.ConfigSet(ctx, "appendfsync", "no").Err()
}

// F5, F6, F20: the store is killed and comes back from its file, hangs, loses its
// scripts.
func TestChaosOfTheStore(t *testing.T) {
	cl, server, _ := proxied(t, 3)
	rdb := redistest.Client(t, server.Options())
	chaos(t, cl, []fault{
		{"F5 Redis is killed and comes back from its file", func(ctx context.Context) error {
			if err := written(ctx, rdb); err != nil {
				return err
			}
			if err := server.Kill(ctx); err != nil {
				return err
			}
			pause(ctx, time.Second)
			return server.Restart(ctx)
		}},
		{"F6 Redis hangs", func(ctx context.Context) error {
			thaw := redistest.Freeze(t, server.Pid())
			pause(ctx, 3*time.Second)
			thaw()
			return nil
		}},
		{"F20 the scripts are gone", func(ctx context.Context) error {
			for range 10 {
				if err := rdb.FunctionFlush(ctx).Err(); err != nil {
					return err
				}
				pause(ctx, 100*time.Millisecond)
			}
			return nil
		}},
	})
}
