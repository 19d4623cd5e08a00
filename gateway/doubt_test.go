package gateway

import (
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// A write of an edge that was given up may be carried out behind a later one: a person
// who is here is then without an edge, or one who is gone has one for good. What is true
// is written a second later. (Red when doubt notes nothing; the
// first also when reconcile passes by whoever is here.)
func TestAnEdgeThatWasWrittenLateIsPutRight(t *testing.T) {
	late := switchboard.Errorc(switchboard.CodeUnavailable, "no answer in time")
	t.Run("an end behind the coming", func(t *testing.T) {
		cl := newDesk(t, 1)
		n, op := cl.nodes[0], cl.operator("Mina", "", 2)
		mina := cl.available(n, cl.token(op))
		who := switchboard.OperatorPerson(op)
		if err := n.reg.Leave(t.Context(), cl.org.ID, who, time.Hour, func() bool { return false }); err != nil {
			t.Fatal(err)
		}
		if link := cl.edges(who); link != "-" {
			t.Fatalf("link %q", link)
		}
		n.doubt(edge{cl.org.ID, who}, late)
		poll(t, "the edge again", 10*time.Second, func() bool { return cl.edges(who) == n.reg.Incarnation() })
		if m := mina.request(`{"t":"status","status":"Break"}`); m["t"] != "ok" {
			t.Errorf("her socket: %v", m)
		}
	})
	t.Run("a coming behind the end", func(t *testing.T) {
		cl := newDesk(t, 1)
		n, op := cl.nodes[0], cl.operator("Mina", "", 2)
		who := switchboard.OperatorPerson(op)
		minted, err := n.reg.Minted(t.Context(), cl.org.ID, op)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.reg.Enter(t.Context(), cl.org.ID, who, minted); err != nil {
			t.Fatal(err)
		}
		n.doubt(edge{cl.org.ID, who}, late)
		poll(t, "no edge of one who is not here", 10*time.Second, func() bool { return cl.edges(who) != n.reg.Incarnation() })
	})
}

// L-5: whose token is over may not take the logout back that follows of it, unless they
// sign in again. (Red without onSignOut's look at the expiry.)
func TestAnExpiredSignInCannotBeKeptByStaying(t *testing.T) {
	cl := newDesk(t, 1)
	op := cl.operator("Busy", "", 2)
	working, _, chat := cl.talk(cl.brief(op, 3*time.Second), cl.visitor(cl.nodes[0], "Bo"))
	working.kind("leaving")
	refusal(t, "staying", working.request(`{"t":"signout","when":"stay"}`), switchboard.CodeExpired, "")
	if m := working.request(`{"t":"auth","token":%q}`, cl.token(op)); m["t"] != "ok" {
		t.Fatalf("auth: %v", m)
	}
	if m := working.request(`{"t":"signout","when":"stay"}`); m["t"] != "ok" {
		t.Errorf("staying with a new token: %v", m)
	}
	// An end that was put off finds a sign-in that was renewed meanwhile. (Red without
	// expired's look at the time.)
	n := cl.nodes[0]
	for _, c := range n.hub.Conns(cl.org.ID, switchboard.OperatorPerson(op)) {
		n.expired(c)
	}
	working.say(chat, "I am still here")
	cl.check()
}

// A choice that was kept while the store was away is carried out although the first try
// is refused, as it is to a node that has yet to take a new number; and a later choice is
// never undone by it. (Red when carryLatched only keeps it, and without unlatch.)
func TestALatchedStatusIsTriedAgainAndNeverUndoesALaterOne(t *testing.T) {
	cl := newDesk(t, 1)
	n, op := cl.nodes[0], cl.operator("Mina", "", 2)
	mina := cl.available(n, cl.token(op))
	e := edge{cl.org.ID, switchboard.OperatorPerson(op)}
	latched := func(status string) latchedStatus {
		return latchedStatus{change: presence.StatusChange{Status: status, Source: presence.SourceOperator}}
	}
	part := cl.admin.Partition(cl.org.ID)
	if err := redistest.Client(t, redisOptions).SRem(t.Context(), part.Block(cl.org.ID).Live, n.reg.Incarnation()).Err(); err != nil {
		t.Fatal(err) // the first call is refused
	}
	n.degraded.latchAgain(e, latched("Break"))
	n.degraded.poke()
	poll(t, "the choice to be made", 10*time.Second, func() bool {
		op, err := cl.admin.Operator(t.Context(), cl.org.ID, op)
		return err == nil && op.Intent == "Break"
	})
	n.degraded.latchAgain(e, latched("Break"))
	if m := mina.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
		t.Fatalf("status: %v", m)
	}
	n.degraded.mu.Lock()
	_, kept := n.degraded.latched[e]
	n.degraded.mu.Unlock()
	if kept {
		t.Error("an older choice waits to undo a later one")
	}
}

// A gap's repair is never dropped, however many there are: the partitions are a set.
func TestRepairsAreASet(t *testing.T) {
	cl := newDesk(t, 1)
	op := cl.operator("Mina", "", 2)
	mina := cl.available(cl.nodes[0], cl.token(op))
	n := mina.count()
	for range 10 * taskQueue {
		cl.nodes[0].missed(cl.admin.Partition(cl.org.ID))
	}
	mina.after(n, "her state, read again", func(m map[string]any) bool { return m["t"] == "self" })
	mina.after(n, "the gap", func(m map[string]any) bool { return m["t"] == "gap" })
	if len(cl.nodes[0].tasks.queue) != 0 {
		t.Error("repairs stand in the queue of tasks")
	}
}
