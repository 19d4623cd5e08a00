package hub

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

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
	virtual(t, "one organization", func(t *testing.T) {
		r := newRig(t, Config{MaxPerOrg: 2}, Handlers{})
		var conns []*Conn
		for _, p := range []switchboard.PersonID{"o1", "o2"} {
			c, cl := r.pipe()
			cl.listen()
			r.identify(c, p)
			conns = append(conns, c)
		}
		third, _ := r.pipe()
		if _, err := r.Identify(third, Identity{Org: 1, Person: "o3"}); switchboard.CodeOf(err) != switchboard.CodeTooFast {
			t.Errorf("third socket of the organization: %v", err)
		}
		other, _ := r.pipe()
		if _, err := r.Identify(other, Identity{Org: 2, Person: "o3"}); err != nil {
			t.Errorf("another organization pays for the first: %v", err)
		}
		conns[0].End(1001, "bye")
		r.closedConn(conns[0])
		if _, err := r.Identify(third, Identity{Org: 1, Person: "o3"}); err != nil {
			t.Errorf("the place of who has left: %v", err)
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

// W-8, in virtual time; gateway has it over real sockets.
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
