package presence

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// lease is the lease of a node that beats when the test says so; the site's own
// node is none.
func (s *site) lease(cfg Config) *lease {
	s.t.Helper()
	s.must(s.rdb.HDel(s.ctx, keyNodes, s.reg.Incarnation()).Err())
	return &lease{r: s.node(cfg), seen: map[string]sighting{}}
}

// beats moves the counters of nodes as their own beats would.
func (s *site) beats(nodes ...*Registry) {
	s.t.Helper()
	for _, n := range nodes {
		s.must(s.rdb.HIncrBy(s.ctx, keyNodes, n.Incarnation(), 1).Err())
	}
}

// Whoever moved between the look and the burial lives: bury compares in its own
// step. Seen red with the comparison taken out of bury.lua, and without its HDEL or
// its DEL.
func TestBuryTakesOnlyWhoStandsStill(t *testing.T) {
	s := newSite(t)
	peer := s.node(quick)
	inc := peer.Incarnation()
	record := func() bool {
		n, err := s.rdb.Exists(s.ctx, keyNode(inc)).Result()
		s.must(err)
		return n == 1
	}
	bury := func(counter string, want int64, there bool) {
		t.Helper()
		got, err := s.reg.eval(s.ctx, scriptBury, []string{keyNodes, keyNode(inc)}, inc, counter)
		s.must(err)
		if got != want || s.registered(peer) != there || record() != there {
			t.Errorf("counter %q: answered %v, registered %v, record %v; want %d and %v", counter, got, s.registered(peer), record(), want, there)
		}
	}
	s.beats(peer, peer)
	bury("1", 0, true)
	s.beats(peer) // what it had been seen with is old
	bury("2", 0, true)
	bury("", 0, true)
	bury("3", 1, false)
	bury("3", 0, false)
}

// When half of the nodes look dead at once the fault may be ours: a second look,
// as long as the first, saves those who only were slow, and buries the dead.
func TestLeaseLooksTwiceBeforeBuryingHalfOfTheNodes(t *testing.T) {
	s := newSite(t)
	var logged strings.Builder
	cfg := soon
	cfg.Log = textLog(&logged)
	dead := []*Registry{s.node(soon), s.node(soon)}
	slow, looks := s.node(soon), s.node(cfg)
	s.must(s.rdb.HDel(s.ctx, keyNodes, s.reg.Incarnation()).Err())
	l := &lease{r: looks, seen: map[string]sighting{}}
	began := time.Now()
	look := func() { s.must(l.beat(s.ctx)) }
	doubts := func() int { return strings.Count(logged.String(), "half of the nodes look dead") }
	wait(t, "the doubt", func() bool { look(); return doubts() == 1 })
	if first := time.Since(began); first < cfg.BuryAfter {
		t.Errorf("doubted after %v", first)
	}
	s.must(s.rdb.HIncrBy(s.ctx, keyNodes, slow.Incarnation(), 1).Err()) // the slow one beats
	wait(t, "the burial of the dead", func() bool {
		look()
		if !s.registered(slow) {
			t.Fatal("a node that had moved since was buried")
		}
		s.must(s.rdb.HIncrBy(s.ctx, keyNodes, slow.Incarnation(), 1).Err())
		return !s.registered(dead[0]) && !s.registered(dead[1])
	})
	if took := time.Since(began); took < 2*cfg.BuryAfter {
		t.Errorf("buried after %v, before a second look of the same length", took)
	}
	if doubts() != 1 {
		t.Errorf("doubted %d times", doubts())
	}
}

// Half of the nodes, and two at least, are looked at twice; fewer are buried at the
// first look, and so is the only peer of two nodes (bury says why). Seen red with
// bury's len(silent) > 1 left out, with > for >= and with *3 for *2.
func TestLeaseLooksTwiceAtHalfOfTheNodesButNotAtAnOnlyPeer(t *testing.T) {
	for _, tc := range []struct{ nodes, silent, looks int }{{2, 1, 1}, {6, 2, 1}, {6, 3, 2}} {
		t.Run(fmt.Sprintf("%d of %d", tc.silent, tc.nodes), func(t *testing.T) {
			s := newSite(t)
			var logged strings.Builder
			cfg := soon
			cfg.Log = textLog(&logged)
			l := s.lease(cfg)
			var dead, living []*Registry
			for i := range tc.nodes - 1 {
				if n := s.node(quick); i < tc.silent {
					dead = append(dead, n)
				} else {
					living = append(living, n)
				}
			}
			began := time.Now()
			wait(t, "the burial of all who are silent", func() bool {
				s.must(l.beat(s.ctx))
				s.beats(living...)
				return value(l.r.metrics.buried) == float64(tc.silent)
			})
			if took, looks := time.Since(began), 1+strings.Count(logged.String(), "looking again"); looks != tc.looks || took < time.Duration(tc.looks)*cfg.BuryAfter {
				t.Errorf("buried at look %d, after %v; want look %d", looks, took, tc.looks)
			}
			for _, n := range dead {
				if s.registered(n) {
					t.Error("a silent node is still registered")
				}
			}
		})
	}
}

// A node that did not beat for longer than BuryAfter has not looked either: on its
// first beat back it takes nobody for silent, whether the peer has moved meanwhile or
// not. That puts a burial off by one look, and no more. Seen red with beat's late
// always false; with late always true nobody is ever buried.
func TestLeaseWhoWasAwayBuriesNobodyOnTheFirstBeatBack(t *testing.T) {
	for _, moved := range []bool{false, true} {
		t.Run(fmt.Sprintf("moved %v", moved), func(t *testing.T) {
			s := newSite(t)
			l, peer := s.lease(soon), s.node(quick)
			s.must(l.beat(s.ctx))
			away := time.Now()
			wait(t, "an absence longer than BuryAfter", func() bool { return time.Since(away) > 3*soon.BuryAfter/2 })
			if moved {
				s.beats(peer)
			}
			back := time.Now()
			s.must(l.beat(s.ctx))
			if !s.registered(peer) || value(l.r.metrics.buried) != 0 {
				t.Fatal("buried on the first beat back")
			}
			wait(t, "the burial of who stays silent", func() bool { s.must(l.beat(s.ctx)); return !s.registered(peer) })
			if took := time.Since(back); took < soon.BuryAfter {
				t.Errorf("buried %v after the return", took)
			}
		})
	}
}

// The store was away from all, for longer than BuryAfter: nobody's counter has moved,
// and nobody is buried for it. Two nodes, because of more than two half are silent and
// a second look saves them too. Seen red with beat's late always false.
func TestLeaseAnOutageOfAllBuriesNobody(t *testing.T) {
	s := newSite(t)
	proxy := redistest.NewProxy(t, redisOptions.Network, redisOptions.Addr)
	opts := *redisOptions
	opts.Network, opts.Addr = "tcp", proxy.Addr()
	direct := s.rdb
	s.rdb = redistest.Client(t, &opts)
	cfg := soon
	cfg.BuryAfter = 3 * time.Second // the breaker asks once a second: a node may be back so much later than another
	a, b := s.node(cfg), s.node(cfg)
	s.rdb = direct
	s.must(s.rdb.HDel(s.ctx, keyNodes, s.reg.Incarnation()).Err())
	nodes, incs := []*Registry{a, b}, []string{a.Incarnation(), b.Incarnation()}
	// beaten reports whether each has beaten n times since it last said so, or is gone.
	var from [2]int
	beaten := func(n int) bool {
		var now [2]int
		for i, inc := range incs {
			at, err := s.rdb.HGet(s.ctx, keyNodes, inc).Int()
			if err == redis.Nil {
				return true
			}
			s.must(err)
			if now[i] = at; at < from[i]+n {
				return false
			}
		}
		from = now
		return true
	}
	s.run(a, nil)
	s.run(b, nil)
	wait(t, "a beat of each", func() bool { return beaten(1) })
	proxy.Cut()
	cut := time.Now()
	wait(t, "an outage longer than BuryAfter", func() bool {
		return a.Away(a.parts[0]) && b.Away(b.parts[0]) && time.Since(cut) > cfg.BuryAfter+time.Second
	})
	beaten(0)
	proxy.Heal()
	wait(t, "both nodes to beat again", func() bool { return beaten(5) })
	for i, n := range nodes {
		if buried, rejoins := value(n.metrics.buried), value(n.metrics.rejoins); buried != 0 || rejoins != 0 || n.Incarnation() != incs[i] || !s.registered(n) {
			t.Errorf("node %s is %s now, has buried %v and rejoined %v times", incs[i], n.Incarnation(), buried, rejoins)
		}
	}
}
