package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
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

func TestPeerThatIgnoresTheCloseFrameIsHungUpOn(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(c *Conn)
		at   time.Duration
	}{
		{"after End", func(c *Conn) { c.End(switchboard.CloseLoggedOut, "logged out") }, time.Second},
		{"silent", func(*Conn) {}, 18 * time.Second},
	} {
		virtual(t, tc.name, func(t *testing.T) {
			r := newRig(t, Config{}, Handlers{})
			c, peer := r.rawPipe()
			r.identify(c, "o1")
			gone := make(chan struct{})
			go func() { defer close(gone); discard(peer) }()
			tc.end(c)
			if got := r.closedConn(c); got.after < tc.at || got.after > tc.at+2*wheelTick {
				t.Errorf("closed after %v, want %v", got.after, tc.at)
			}
			<-gone
		})
	}
}

func TestRunWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, inRefresh := make(chan struct{}), make(chan struct{})
		r := newRig(t, Config{}, Handlers{Refresh: func(*Conn, string) {
			close(inRefresh)
			<-release
		}})
		c, cl := r.identified("o1")
		for c.used() <= 128<<10 {
			c.Send(ClassMessage, sized(8<<10))
		}
		c.Send(ClassPresence, []byte("{}"))
		cl.answering()
		<-inRefresh
		stopped := make(chan struct{})
		go func() { defer close(stopped); r.stop() }()
		time.Sleep(time.Minute)
		select {
		case <-stopped:
			t.Error("Run returned while a handler was running")
		default:
		}
		close(release)
		<-stopped
	})
}

func TestBadFramesCloseTheSocket(t *testing.T) {
	big := strings.Repeat("x", switchboard.MaxFrame)
	for _, tc := range []struct {
		name  string
		kind  websocket.MessageType
		frame string
		code  int
	}{
		{"binary", websocket.MessageBinary, "{}", 4000},
		{"not UTF-8", websocket.MessageText, "\xff\xfe", 1007},
		{"one byte too long", websocket.MessageText, big + "x", 1009},
		{"far too long", websocket.MessageText, strings.Repeat(big, 20), 1009},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, Config{}, Handlers{Frame: func(*Conn, []byte) { t.Error("the frame was handed out") }})
			c, cl := r.loopback()
			cl.listen()
			// The hub may hang up before a long frame is out.
			_ = cl.ws.Write(context.Background(), tc.kind, []byte(tc.frame))
			if code := cl.code(); code != tc.code {
				t.Errorf("close code %d (%v), want %d", code, cl.err, tc.code)
			}
			r.closedConn(c)
			if r.ended(tc.code) != 1 {
				t.Errorf("not counted under %d", tc.code)
			}
		})
	}
}

func TestLargestFrameIsHandedOutWhole(t *testing.T) {
	big, got := strings.Repeat("x", switchboard.MaxFrame), make(chan string, 1)
	r := newRig(t, Config{}, Handlers{Frame: func(_ *Conn, frame []byte) { got <- string(frame) }})
	_, cl := r.loopback()
	cl.listen()
	cl.send(big)
	if g := <-got; g != big {
		t.Errorf("%d bytes arrived of %d", len(g), len(big))
	}
}

func TestEndFlushesTheQueueBeforeTheCloseFrame(t *testing.T) {
	r := newRig(t, Config{}, Handlers{})
	c, cl := r.loopback()
	r.identify(c, "o1")
	for i := range 100 {
		c.Send(ClassEvent, fmt.Appendf(nil, `{"n":%d}`, i))
	}
	c.Send(ClassEvent, []byte(`{"t":"logout"}`))
	c.End(switchboard.CloseLoggedOut, "logged out")
	c.End(switchboard.CloseProtocol, "too late to matter")
	c.Send(ClassMessage, []byte(`{"t":"late"}`))
	cl.listen()
	if code := cl.code(); code != switchboard.CloseLoggedOut {
		t.Errorf("close code %d, want 4003", code)
	}
	got := cl.objects()
	if len(got) != 101 || got[100] != `{"t":"logout"}` {
		t.Errorf("%d objects came, the last is %q", len(got), got[len(got)-1])
	}
	if r.dropped(dropEnded) != 1 {
		t.Error("the late object was not counted")
	}
}

func TestCloseFrameWaitsForASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified("o1")
		c.Send(ClassEvent, []byte("1"))
		synctest.Wait() // the writer waits for the client to read
		c.Send(ClassEvent, []byte("2"))
		c.Send(ClassEvent, []byte("3"))
		c.End(switchboard.CloseLoggedOut, "logged out")
		time.Sleep(time.Second)
		if code := cl.listen().code(); code != switchboard.CloseLoggedOut {
			t.Errorf("close code %d (%v), want 4003", code, cl.err)
		}
		if got := cl.objects(); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("got %v before the close frame", got)
		}
	})
}

func TestEndGivesUpOnAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, _ := r.identified("o1")
		c.Send(ClassEvent, []byte(`{"t":"logout"}`))
		c.End(switchboard.CloseLoggedOut, "logged out")
		if got := r.closedConn(c); got.after > 2*time.Second+wheelTick {
			t.Errorf("closed after %v, want at most FlushWithin", got.after)
		}
	})
}

func TestLongReasonIsCutToFitACloseFrame(t *testing.T) {
	r := newRig(t, Config{}, Handlers{})
	c, cl := r.loopback()
	cl.listen()
	c.End(switchboard.CloseExpired, strings.Repeat("é", 100))
	if code := cl.code(); code != switchboard.CloseExpired {
		t.Errorf("close code %d (%v), want 4001", code, cl.err)
	}
}

func TestNoFrameIsHandedOutAfterEnd(t *testing.T) {
	var frames atomic.Int64
	r := newRig(t, Config{}, Handlers{Frame: func(c *Conn, _ []byte) {
		frames.Add(1)
		c.End(switchboard.CloseProtocol, "enough")
	}})
	c, cl := r.loopback()
	for range 50 {
		cl.send("x")
	}
	cl.listen()
	if code := cl.code(); code != switchboard.CloseProtocol {
		t.Errorf("close code %d (%v), want 4000", code, cl.err)
	}
	r.closedConn(c)
	if n := frames.Load(); n != 1 {
		t.Errorf("%d frames were handed out", n)
	}
}

func TestHandlerPanicEndsOneConnectionOnly(t *testing.T) {
	r := newRig(t, Config{}, Handlers{Frame: func(c *Conn, frame []byte) {
		if string(frame) == "bad" {
			panic("a bug")
		}
		c.Send(ClassEvent, []byte(`{"t":"ok"}`))
	}})
	_, bad := r.loopback()
	_, good := r.loopback()
	bad.listen().send("bad")
	if code := bad.code(); code != 1011 {
		t.Errorf("close code %d, want 1011", code)
	}
	good.listen().send("good")
	good.want(1)
	if r.metric("handler_panics_total", "") != 1 {
		t.Error("the panic was not counted")
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

func TestRunClosesEverySocketAndLetsNobodyIn(t *testing.T) {
	r := newRig(t, Config{}, Handlers{})
	_, cl := r.loopback()
	cl.listen()
	r.stop()
	if code := cl.code(); code != 1001 {
		t.Errorf("close code %d, want 1001", code)
	}
	ws, _, err := websocket.Dial(context.Background(), r.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.Read(context.Background()); err == nil {
		t.Error("a socket was let in after the end")
	}
}

func TestLimitsRefuseSockets(t *testing.T) {
	t.Run("full", func(t *testing.T) {
		r := newRig(t, Config{MaxConns: 2}, Handlers{})
		for range 2 {
			c, cl := r.loopback()
			r.identify(c, "o1")
			cl.listen()
		}
		wantRefused(t, r, 1013, refusedFull)
	})
	t.Run("too many strangers", func(t *testing.T) {
		r := newRig(t, Config{MaxUnidentified: 1}, Handlers{})
		c, cl := r.loopback()
		cl.listen()
		wantRefused(t, r, 1013, refusedStrangers)
		r.identify(c, "o1")
		_, again := r.loopback() // there is room for a stranger again
		again.listen()
	})
	virtual(t, "one person", func(t *testing.T) {
		r := newRig(t, Config{MaxPerPerson: 2}, Handlers{})
		for range 2 {
			c, _ := r.pipe()
			r.identify(c, "o1")
		}
		c, _ := r.pipe()
		_, err := r.Identify(c, Identity{Org: 1, Person: "o1"})
		if switchboard.CodeOf(err) != switchboard.CodeTooFast {
			t.Errorf("third connection: %v", err)
		}
		if _, err := r.Identify(c, Identity{Org: 2, Person: "o1"}); err != nil {
			t.Errorf("the same id in another organization: %v", err)
		}
		if _, err := r.Identify(c, Identity{Org: 2, Person: "o2"}); switchboard.CodeOf(err) != switchboard.CodeConflict {
			t.Errorf("identified twice: %v", err)
		}
		c.End(1001, "bye")
		c2, _ := r.pipe()
		c2.End(1001, "bye")
		if _, err := r.Identify(c2, Identity{Org: 2, Person: "o2"}); switchboard.CodeOf(err) != switchboard.CodeClosed {
			t.Errorf("identified after the end: %v", err)
		}
	})
}

func wantRefused(t *testing.T, r *rig, code int, why refusal) {
	t.Helper()
	ws, _, err := websocket.Dial(context.Background(), r.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	cl := newClient(t, ws).listen()
	if got := cl.code(); got != code {
		t.Errorf("close code %d (%v), want %d", got, cl.err, code)
	}
	if n := r.metric("refused_total", string(why)); n != 1 {
		t.Errorf("%d refused as %s, want 1", n, why)
	}
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

func TestDrainSendsEverybodyAwayInWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		const n = 40
		clients := make([]*client, n)
		for i := range clients {
			_, clients[i] = r.identified(switchboard.OperatorPerson(switchboard.OperatorID(i + 1)))
			clients[i].answering()
		}
		start := time.Now()
		r.Drain(context.Background(), 10*time.Second)
		if took := time.Since(start); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("drained in %v, want 10 s", took)
		}
		early := 0
		for _, cl := range clients {
			if code := cl.code(); code != switchboard.CloseMoving {
				t.Errorf("close code %d, want 4012", code)
			}
			got := cl.objects()
			if len(got) != 1 || !strings.HasPrefix(got[0], `{"t":"moving","in_ms":`) {
				t.Fatalf("told %v", got)
			}
			if cl.times[len(cl.times)-1].Sub(start) < 5*time.Second {
				early++
			}
		}
		if early < n/4 || early > 3*n/4 {
			t.Errorf("%d of %d were told in the first half", early, n)
		}
		if n := r.Stats().Sockets; n != 0 {
			t.Errorf("%d sockets are left after the drain", n)
		}
		late, err := r.tryPipe("192.0.2.1")
		if code := late.listen().code(); code != switchboard.CloseMoving || switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			t.Errorf("a socket opened after the drain: %v, close code %d", err, code)
		}
	})
}

func TestDrainEndsTheRestWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		var clients []*client
		for i := range 20 {
			_, cl := r.identified(switchboard.OperatorPerson(switchboard.OperatorID(i + 1)))
			clients = append(clients, cl.answering())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.Drain(ctx, time.Hour)
		for _, cl := range clients {
			if code := cl.code(); code != switchboard.CloseMoving {
				t.Errorf("close code %d, want 4012", code)
			}
		}
	})
}
