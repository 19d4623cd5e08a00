package presence

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

const grace = time.Minute // longer than any test

// An edge is "this node holds at least one socket": a second tab writes and
// tells nothing, a second node adds its number, and each takes its own away.
func TestLinkHoldsOneEdgePerNodeHoweverManyTabs(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	other := s.node(quick)
	ear := s.listen()
	a, b := s.reg.Incarnation(), other.Incarnation()

	if e := s.enter(s.reg, 1); !e.Back || e.Operator == nil || e.Operator.ID != 1 {
		t.Errorf("the first socket: %+v", e)
	}
	if got := ear.heard(); len(got) != 1 || got[0].Status != switchboard.StatusUnavailable {
		t.Errorf("coming online told %+v, want one change to Unavailable", got)
	}
	for _, step := range []struct {
		what string
		do   func()
		link string
	}{
		{"a second tab", func() { s.enter(s.reg, 1) }, a},
		{"a second node", func() { s.enter(other, 1) }, a + "," + b},
		{"a second tab there", func() { s.enter(other, 1) }, a + "," + b},
		{"the first node's last socket ends", func() { s.leave(s.reg, 1, 0) }, b},
		{"and once more", func() { s.leave(s.reg, 1, 0) }, b},
	} {
		step.do()
		if got := s.link("o1"); got != step.link {
			t.Errorf("%s: link %q, want %q", step.what, got, step.link)
		}
		if got := ear.heard(); len(got) != 0 {
			t.Errorf("%s: told %+v", step.what, got)
		}
	}
	s.leave(other, 1, 0)
	if got := ear.heard(); len(got) != 1 || got[0].Status != switchboard.StatusOffline || s.link("o1") != "" {
		t.Errorf("the last socket of all: link %q, told %+v", s.link("o1"), got)
	}
}

// P-3: a reload, a lost network, a change of page within the grace is nobody's
// news; meanwhile the operator shows as before and gets no work.
func TestLinkReturnWithinGraceTellsNobody(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	other := s.node(quick)
	ear := s.listen()
	at := s.reg
	for range 200 {
		s.leave(at, 1, grace)
		if s.link("o1") != "-" || s.free(0, 1) {
			t.Fatalf("in grace: link %q, free %v", s.link("o1"), s.free(0, 1))
		}
		if views, _, err := s.reg.Roster(s.ctx, s.org); err != nil || len(views) != 1 || views[0].Status != switchboard.StatusAvailable || !views[0].Here {
			t.Fatalf("a board that is opened in the grace shows %+v, %v", views, err)
		}
		if at == s.reg {
			at = other
		} else {
			at = s.reg
		}
		if e := s.enter(at, 1); e.Back {
			t.Fatal("back from being offline, though in grace")
		}
		if s.link("o1") != at.Incarnation() || !s.free(0, 1) {
			t.Fatalf("back: link %q, free %v", s.link("o1"), s.free(0, 1))
		}
	}
	if got := ear.heard(); len(got) != 0 {
		t.Errorf("200 reloads told %d changes, the first %+v", len(got), got[0])
	}
	if due := s.due(); len(due) != 0 {
		t.Errorf("deadlines left: %v", due)
	}
}

func TestLinkGraceOverIsOfflineOnce(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	ear := s.listen()
	s.node(quick)
	s.keep()
	s.leave(s.reg, 1, 50*time.Millisecond)
	wait(t, "Offline", func() bool { return s.operator(1).Status == switchboard.StatusOffline })
	wait(t, "no deadline", func() bool { return len(s.due()) == 0 })
	if got := ear.heard(); len(got) != 1 || got[0].Status != switchboard.StatusOffline || got[0].Here {
		t.Errorf("told %+v, want Offline once", got)
	}
	if s.link("o1") != "" || s.free(0, 1) {
		t.Errorf("link %q, free %v", s.link("o1"), s.free(0, 1))
	}
	if e := s.enter(s.reg, 1); !e.Back {
		t.Error("the return from offline is not told as one")
	}
	s.shows(1, switchboard.StatusAvailable) // the intent outlives the absence
}

func TestLinkGoodbyeIsOfflineAtOnce(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	ear := s.listen()
	s.leave(s.reg, 1, 0)
	s.shows(1, switchboard.StatusOffline)
	if got := ear.heard(); len(got) != 1 || s.link("o1") != "" || len(s.due()) != 0 {
		t.Errorf("told %+v, link %q, due %v", got, s.link("o1"), s.due())
	}
	s.enter(s.reg, 1)
	other := s.node(quick)
	s.enter(other, 1)
	ear.heard()
	s.leave(s.reg, 1, 0) // one of two nodes: still here
	if got := ear.heard(); len(got) != 0 || s.link("o1") != other.Incarnation() {
		t.Errorf("told %+v, link %q", got, s.link("o1"))
	}
}

// A socket ends, and before its edge is written away the next one opens and has
// entered: the leave looks for a socket when its turn comes, not before, and writes
// nothing. The order is made certain here: the leave waits for the turn that the
// enter has. Seen red with the look taken out of Leave, and with it before the turn.
func TestLinkALeaveLooksForASocketWhenItsTurnComes(t *testing.T) {
	s := newSite(t)
	person := switchboard.VisitorPerson("a")
	release, err := s.reg.turn(s.ctx, s.org, person) // of the enter below
	s.must(err)
	var socket atomic.Bool
	var looked atomic.Int32
	left := make(chan error, 1)
	go func() {
		left <- s.reg.Leave(s.ctx, s.org, person, 0, func() bool { looked.Add(1); return socket.Load() })
	}()
	wait(t, "the leave to stand behind the enter", func() bool {
		s.reg.mu.Lock()
		defer s.reg.mu.Unlock()
		return s.reg.turns[fmt.Sprintf("%d/%s", s.org, person)].users == 2
	})
	if _, err := s.reg.Call(s.ctx, s.org, scriptEnter, nil, string(person), 0, flag(false), flag(true)); err != nil {
		t.Fatal(err)
	}
	socket.Store(true)
	release()
	s.must(<-left)
	if looked.Load() != 1 || s.link(person) != s.reg.Incarnation() {
		t.Errorf("a socket is held; it was looked for %d times and the link is %q", looked.Load(), s.link(person))
	}
}

// The last socket ends while the next one opens, on one node: whatever the order
// in which the two reach Redis, the node that holds a socket has an edge.
func TestLinkEnterThatRacesALeaveKeepsItsEdge(t *testing.T) {
	s := newSite(t)
	for i := range races(t, 1000) {
		person := switchboard.VisitorPerson(fmt.Sprint("r", i%10))
		enter := func() {
			if _, err := s.reg.Enter(s.ctx, s.org, person, 0); err != nil {
				t.Error(err)
			}
		}
		var sockets atomic.Int32 // what the hub would say
		sockets.Store(1)
		enter()
		var wg sync.WaitGroup
		wg.Go(func() {
			sockets.Add(-1)
			if err := s.reg.Leave(s.ctx, s.org, person, grace, func() bool { return sockets.Load() > 0 }); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			sockets.Add(1)
			enter()
		})
		wg.Wait()
		own, err := s.rdb.SIsMember(s.ctx, s.reg.Partition(s.org).Own(s.reg.Incarnation()), fmt.Sprintf("%d/%s", s.org, person)).Result()
		s.must(err)
		if s.link(person) != s.reg.Incarnation() || !own {
			t.Fatalf("race %d: a socket is held and the link is %q, in the index: %v", i, s.link(person), own)
		}
	}
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	if n := len(s.reg.turns); n != 0 {
		t.Errorf("%d turns are kept", n)
	}
}

func TestLinkRefusesOldTokensAndDeletedOperators(t *testing.T) {
	s := newSite(t)
	s.operators(1, 2)
	s.online(1)
	old := s.token(1)
	_, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutNow)
	s.must(err)
	refused := func(what string, op switchboard.OperatorID, minted int64, code switchboard.Code) {
		t.Helper()
		_, err := s.reg.Enter(s.ctx, s.org, switchboard.OperatorPerson(op), minted)
		s.wants(what+": enter", err, code)
		_, err = s.reg.CheckToken(s.ctx, s.org, op, minted)
		s.wants(what+": check", err, code)
	}
	refused("a token from before the logout", 1, old, switchboard.CodeLoggedOut)
	refused("a token of the very moment", 1, s.operator(1).Floor, switchboard.CodeLoggedOut)
	s.shows(1, switchboard.StatusOffline)
	s.enter(s.reg, 1)
	s.shows(1, switchboard.StatusAvailable)

	s.must(s.reg.SetAccount(s.ctx, s.org, 2, switchboard.AccountDeleted))
	refused("a deleted operator", 2, time.Now().Add(time.Hour).UnixMilli(), switchboard.CodeUnauthorized)
	refused("nobody", 3, time.Now().UnixMilli(), switchboard.CodeUnauthorized)
	if _, err := s.reg.Minted(s.ctx, s.org, 2); switchboard.CodeOf(err) != switchboard.CodeForbidden {
		t.Errorf("a token for a deleted operator: %v", err)
	}
	if s.link("o2") != "" || s.link("o3") != "" {
		t.Error("somebody who was refused has an edge")
	}
}
