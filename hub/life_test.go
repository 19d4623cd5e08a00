package hub

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// virtual runs a test in virtual time.
func virtual(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// W-2, P-4: the node's half; the client's is in web/client/test.
func TestSilentSocketEndsAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified("o1")
		cl.listen() // reads, but never says anything
		got := r.closedConn(c)
		if got.after < 18*time.Second || got.after > 18*time.Second+2*wheelTick {
			t.Errorf("closed after %v, want 18 s", got.after)
		}
		if code := cl.code(); code != 1001 {
			t.Errorf("close code %d, want 1001", code)
		}
	})
}

func TestAnyFrameProvesLife(t *testing.T) {
	for _, tc := range []struct {
		name string
		say  func(cl *client) error
	}{
		{"an application pong", func(cl *client) error {
			return cl.ws.Write(context.Background(), websocket.MessageText, []byte(`{"t":"pong"}`))
		}},
		{"a protocol ping", func(cl *client) error { return cl.ws.Ping(context.Background()) }},
	} {
		virtual(t, tc.name, func(t *testing.T) {
			r := newRig(t, Config{}, Handlers{})
			c, cl := r.identified("o1")
			cl.listen()
			for range 20 {
				time.Sleep(17 * time.Second)
				if err := tc.say(cl); err != nil {
					t.Fatal(err)
				}
			}
			if c.isEnding() {
				t.Error("ended although it spoke every 17 s")
			}
		})
	}
}

func TestPingsComeEveryEightSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		_, cl := r.identified("o1")
		cl.answering()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		cl.mu.Lock()
		defer cl.mu.Unlock()
		if n := len(cl.times); n < 36 || n > 38 {
			t.Errorf("%d pings in five minutes", n)
		}
		for i := 1; i < len(cl.times); i++ {
			if gap := cl.times[i].Sub(cl.times[i-1]); gap < 8*time.Second-wheelTick || gap > 8*time.Second+wheelTick {
				t.Errorf("ping %d came %v after the one before", i, gap)
			}
		}
	})
}

// P-1: a hidden tab whose timers the browser slows down still answers pings when
// they come. For an hour it says nothing else and is not ended; its neighbours are
// sent nothing but pings (F-3).
func TestATabThatOnlyAnswersPingsStaysForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, hidden := r.identified("o1")
		hidden.answering()
		other, neighbour := r.identified("o2")
		neighbour.answering()
		time.Sleep(time.Hour)
		synctest.Wait()
		if c.isEnding() || other.isEnding() {
			t.Error("ended although every ping was answered")
		}
		for _, cl := range []*client{hidden, neighbour} {
			cl.mu.Lock()
			pings := len(cl.frames)
			cl.mu.Unlock()
			if others := cl.objects(); pings < 440 || pings > 452 || len(others) > 0 {
				t.Errorf("%d frames in an hour, want 450 pings; other objects: %v", pings, others)
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.closed) != 0 {
			t.Errorf("Closed was called: %v", r.closed)
		}
	})
}

func TestNoHelloInTimeIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.pipe()
		cl.listen()
		if code := cl.code(); code != switchboard.CloseProtocol {
			t.Errorf("close code %d, want 4000", code)
		}
		if got := r.closedConn(c); got.after < 5*time.Second || got.after > 5*time.Second+2*wheelTick || got.last {
			t.Errorf("closed after %v, last %v", got.after, got.last)
		}
	})
}

func TestHelloIsNotTimedOutWhileItsHandlerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		r = newRig(t, Config{}, Handlers{Frame: func(c *Conn, _ []byte) {
			time.Sleep(7 * time.Second) // a store that is slow to answer
			r.identify(c, "o1")
		}})
		c, cl := r.pipe()
		cl.listen()
		cl.send("hello")
		time.Sleep(8 * time.Second)
		if _, ok := c.Identity(); !ok || c.isEnding() {
			t.Error("the connection was ended while its hello was being handled")
		}
	})
}

func TestDrippedFrameDoesNotKeepASocketAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, peer := r.rawPipe()
		r.identify(c, "o1")
		var both sync.WaitGroup
		both.Go(func() { discard(peer) })
		both.Go(func() {
			_, err := peer.Write([]byte{0x81, 0x80 | 125, 0, 0, 0, 0})
			for err == nil {
				time.Sleep(time.Second)
				_, err = peer.Write([]byte("x"))
			}
		})
		if got := r.closedConn(c); got.after > 18*time.Second+2*wheelTick {
			t.Errorf("closed after %v, want 18 s", got.after)
		}
		both.Wait()
	})
}

// discard reads until the other end is closed and answers nothing.
func discard(nc net.Conn) {
	if _, err := io.Copy(io.Discard, nc); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		panic(err)
	}
}

func TestLastIsExactWithManyTabs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const persons, tabs = 20, 12
		var lasts [persons]atomic.Int64
		r := newRig(t, Config{}, Handlers{Closed: func(c *Conn, last bool) {
			if last {
				id, _ := c.Identity()
				n, _ := id.Person.Operator()
				lasts[n].Add(1)
			}
		}})
		firsts := 0
		var all []*Conn
		for p := range persons {
			for range tabs {
				c, _ := r.pipe()
				if r.identify(c, switchboard.OperatorPerson(switchboard.OperatorID(p))) {
					firsts++
				}
				all = append(all, c)
			}
		}
		if firsts != persons {
			t.Errorf("first was said %d times for %d persons", firsts, persons)
		}
		var wg sync.WaitGroup
		for _, c := range all {
			wg.Go(func() { c.End(1001, "bye") })
		}
		wg.Wait()
		if n := r.Stats().Identified; n != 0 {
			t.Errorf("%d are still found after End", n)
		}
		for _, c := range all {
			r.closedConn(c)
		}
		for p := 1; p < persons; p++ {
			if n := lasts[p].Load(); n != 1 {
				t.Errorf("last was said %d times for person %d", n, p)
			}
		}
	})
}

func TestExpiryIsToldOncePerIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var told []time.Duration // only the one task goroutine writes at a time
		var mu sync.Mutex
		r := newRig(t, Config{}, Handlers{Expired: func(*Conn) {
			mu.Lock()
			told = append(told, time.Since(start))
			mu.Unlock()
		}})
		c, cl := r.pipe()
		cl.answering()
		id := Identity{Org: 1, Person: "o1", Expires: start.Add(10 * time.Minute)}
		if _, err := r.Identify(c, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		r.Renew(c, Identity{Org: 7, Person: "o7", Name: "Ines", Expires: start.Add(20 * time.Minute)})
		if got, _ := c.Identity(); got.Org != 1 || got.Person != "o1" || got.Name != "Ines" {
			t.Errorf("renewed to %+v", got)
		}
		time.Sleep(21 * time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 1 || told[0] < 20*time.Minute || told[0] > 20*time.Minute+2*wheelTick {
			t.Errorf("told at %v, want once at 20 min", told)
		}
	})
}
