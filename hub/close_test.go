package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

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
