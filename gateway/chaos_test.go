package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
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

func chaos(t *testing.T, cl *cluster, faults []fault, change ...func(*loadtest.Scenario)) {
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
		f(&s)
	}
	targets := cl.crowd(s)
	targets.Fault = func(ctx context.Context) error {
		began := time.Now()
		for _, f := range faults {
			t.Logf("seed %d, %v: %s", seed, time.Since(began).Round(time.Millisecond), f.name)
			if err := f.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			pause(ctx, 500*time.Millisecond+time.Duration(rnd.IntN(500))*time.Millisecond)
		}
		t.Logf("seed %d, %v: nothing more", seed, time.Since(began).Round(time.Millisecond))
		return nil
	}
	cl.play(s, targets)
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

// proxied is a cluster whose nodes reach their Redis through a proxy each.
func proxied(t *testing.T, n int) (cl *cluster, server *redisd.Server, proxies []*redistest.Proxy) {
	t.Helper()
	server = redistest.Start(t, true)
	cl = newClusterOn(t, func() redis.UniversalClient {
		p := redistest.NewProxy(t, "unix", server.Socket())
		proxies = append(proxies, p)
		o := server.Options()
		o.Network, o.Addr = "tcp", p.Addr()
		return redis.NewClient(o)
	}, n)
	return cl, server, proxies[1:] // the first is the test's own
}

// F1, F2, F3, F24: nodes die, hang and come back, stop, lose all their sockets.
func TestChaosOfNodes(t *testing.T) {
	cl, _, proxies := proxied(t, 3)
	chaos(t, cl, []fault{
		{"F1 a node is killed and started again", func(context.Context) error { cl.nodes[0].crash(); cl.again(0); return nil }},
		{"F2 a node hangs until it is taken for dead, and goes on", func(ctx context.Context) error {
			proxies[1].Hole()
			pause(ctx, 3*time.Second) // it is buried after 1 s here
			proxies[1].Heal()
			return nil
		}},
		{"F3 a node stops and starts", func(context.Context) error { return cl.restart(2) }},
		{"F24 a node loses all its sockets", func(context.Context) error {
			cl.nodes[1].hub.Each(func(c *hub.Conn) bool { c.End(1001, "gone"); return true })
			return nil
		}},
	})
}

// F7, F8, F9, F11: the way to the store is slow, deaf, broken, cut.
func TestChaosOfTheNetwork(t *testing.T) {
	cl, _, proxies := proxied(t, 3)
	heal := func(p *redistest.Proxy, what func(), d time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			what()
			pause(ctx, d)
			p.Heal()
			return nil
		}
	}
	chaos(t, cl, []fault{
		{"F7 answers take 50 ms more", heal(proxies[0], func() { proxies[0].Delay(50 * time.Millisecond) }, 2*time.Second)},
		{"F8 a subscription is a black hole", heal(proxies[1], proxies[1].Deafen, 6*time.Second)},
		{"F9 connections are reset in mid-call", func(ctx context.Context) error {
			for range 10 {
				proxies[2].Reset()
				pause(ctx, 100*time.Millisecond)
			}
			return nil
		}},
		{"F11 a node is cut from the store", heal(proxies[2], proxies[2].Cut, 3*time.Second)},
	})
}

// F5, F6, F20: the store is killed and comes back from its file, hangs, loses its
// scripts.
func TestChaosOfTheStore(t *testing.T) {
	cl, server, _ := proxied(t, 3)
	rdb := redistest.Client(t, server.Options())
	chaos(t, cl, []fault{
		{"F5 Redis is killed and comes back from its file", func(ctx context.Context) error {
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
				if err := rdb.ScriptFlush(ctx).Err(); err != nil {
					return err
				}
				pause(ctx, 100*time.Millisecond)
			}
			return nil
		}},
	})
}
