package hub

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchboard/switchboard"
)

func TestPublishReachesWatchersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		var conns []*Conn
		var clients []*client
		for i := range 4 {
			c, cl := r.pipe()
			org := switchboard.OrgID(1 + i/3) // the last is of another organization
			if _, err := r.Identify(c, Identity{Org: org, Person: "o1"}); err != nil {
				t.Fatal(err)
			}
			conns, clients = append(conns, c), append(clients, cl.answering())
		}
		for _, c := range []*Conn{conns[0], conns[1], conns[3]} {
			r.Watch(c, []string{"operators", "queue", "queue"})
		}
		r.Publish(1, "queue", ClassPresence, []byte("1"))
		r.Watch(conns[0], []string{"operators"})
		r.Publish(1, "queue", ClassPresence, []byte("2"))
		r.Publish(1, "operators", ClassPresence, []byte("3"))
		synctest.Wait()
		for i, want := range [][]string{{"1", "3"}, {"1", "2", "3"}, nil, nil} {
			if got := clients[i].objects(); !slices.Equal(got, want) {
				t.Errorf("connection %d got %v, want %v", i, got, want)
			}
		}
		conns[1].End(1001, "bye")
		r.Watch(conns[1], []string{"queue"}) // too late
		if r.Watched(1, "queue") || !r.Watched(1, "operators") || !r.Watched(2, "queue") {
			t.Error("Watched is wrong after a watcher ended")
		}
	})
}

func TestPublishEndsASlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, _ := r.identified(ada)
		r.Watch(c, []string{"orders"})
		for range 300 {
			r.Publish(1, "orders", ClassEvent, sized(1<<10))
		}
		if !c.isEnding() || r.Watched(1, "orders") {
			t.Error("300 KiB wait and the watcher stays")
		}
	})
}

func TestMatchFindsPersonsByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		join := func(org switchboard.OrgID, p switchboard.PersonID, addr string) *Conn {
			c, cl := r.pipeFrom(addr)
			cl.answering()
			if _, err := r.Identify(c, Identity{Org: org, Person: p}); err != nil {
				t.Fatal(err)
			}
			return c
		}
		join(1, "o1", "10.0.0.1")
		join(1, "o1", "10.0.0.2") // a second tab
		join(1, "o2", "192.0.2.9")
		join(1, "o2", "::ffff:10.0.0.3")
		gone := join(1, "o3", "10.0.0.4")
		join(1, "o4", "192.0.2.1")
		join(1, "o5", "2001:db8::1")
		join(2, "o6", "10.0.0.5")
		gone.End(1001, "bye")
		inside, outside := uint8(1), uint8(2)
		got := map[switchboard.PersonID]uint8{}
		for _, m := range r.Match(1, func(a netip.Addr) uint8 {
			if netip.MustParsePrefix("10.0.0.0/8").Contains(a) {
				return inside
			}
			return outside
		}) {
			if _, twice := got[m.Person]; twice {
				t.Errorf("%s is there twice", m.Person)
			}
			got[m.Person] = m.What
			if m.What&inside != 0 && m.Conn.Addr().As4()[0] != 10 {
				t.Errorf("%s is inside by %s", m.Person, m.Conn.Addr())
			}
		}
		if want := map[switchboard.PersonID]uint8{"o1": inside, "o2": inside | outside, "o4": outside, "o5": outside}; !maps.Equal(got, want) {
			t.Errorf("matched %v, want %v", got, want)
		}
	})
}

func TestTablesAgreeWhileConnectionsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var edges [4]atomic.Int64 // firsts minus lasts, by person
		r := newRig(t, Config{MaxPerPerson: 1000}, Handlers{Closed: func(c *Conn, last bool) {
			if id, ok := c.Identity(); ok && last {
				n, _ := id.Person.Operator()
				edges[n-1].Add(-1)
			}
		}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 60 {
					c, _ := r.openQuietly(t)
					p := switchboard.OperatorID(1 + rand.IntN(len(edges)))
					var race sync.WaitGroup
					race.Go(func() {
						first, err := r.Identify(c, Identity{Org: 1, Person: switchboard.OperatorPerson(p)})
						if err == nil && first {
							edges[p-1].Add(1)
						}
						r.Watch(c, []string{"operators"})
						r.Publish(1, "operators", ClassPresence, []byte("{}"))
					})
					race.Go(func() {
						if rand.IntN(4) > 0 {
							c.End(1001, "bye")
						}
					})
					race.Wait()
				}
			})
		}
		wg.Wait()
		persons := 0
		r.Persons(func(switchboard.OrgID, switchboard.PersonID) bool { persons++; return true })
		each := 0
		r.Each(func(c *Conn) bool { each++; return true })
		if s := r.Stats(); s.Identified != each || persons > len(edges) {
			t.Errorf("%d identified, %d found, %d persons", s.Identified, each, persons)
		}
		r.stop() // checks that nothing is left in any table
		for i := range edges {
			if n := edges[i].Load(); n != 0 {
				t.Errorf("person %d: firsts and lasts differ by %d", i+1, n)
			}
		}
	})
}

// openQuietly opens a socket over a pipe; safe to call concurrently.
func (r *rig) openQuietly(t *testing.T) (*Conn, *client) {
	r.opening.Lock()
	defer r.opening.Unlock()
	return r.pipe()
}

func TestIdleSocketKeepsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		const n = 50
		var clients []*client
		before := hubGoroutines()
		for range n {
			_, cl := r.identified(operator(len(clients) + 1))
			clients = append(clients, cl)
		}
		for _, cl := range clients {
			cl.answering()
		}
		time.Sleep(time.Minute) // pings have come and gone
		synctest.Wait()
		if got := hubGoroutines() - before; got != n {
			t.Errorf("%d goroutines of the hub for %d idle sockets", got, n)
		}
	})
}

func operator(n int) switchboard.PersonID {
	return switchboard.OperatorPerson(switchboard.OperatorID(n + 1))
}

// hubGoroutines counts the goroutines that the hub's own code has started.
func hubGoroutines() int {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	n := 0
	for _, g := range strings.Split(string(buf), "\n\n") {
		if i := strings.LastIndex(g, "created by "); i >= 0 && strings.Contains(g[i:], "/hub.(*Conn)") || strings.Contains(g[max(i, 0):], "/hub.(*Hub)") {
			n++
		}
	}
	return n
}
