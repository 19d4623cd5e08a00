package presence

import (
	"sync"
	"testing"

	"github.com/switchboard/switchboard"
)

// together runs both at once and waits for both.
func together(a, b func()) {
	var wg sync.WaitGroup
	wg.Go(a)
	wg.Go(b)
	wg.Wait()
}

// ordered writes an order that means operator 1 and returns what carries it out:
// one step, so that it meets the other side of a race half of the time.
func (s *site) ordered(race int) (id switchboard.OrderID, apply func()) {
	s.t.Helper()
	id = switchboard.OrderID(race + 1)
	s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: id, Operators: []switchboard.OperatorID{1}}))
	return id, func() {
		if _, _, err := s.reg.WorkOrder(s.ctx, s.org, id, 100); err != nil {
			s.t.Error(err)
		}
	}
}

// out checks that operator 1 was signed out and holds nothing.
func (s *site) out(race int) {
	s.t.Helper()
	if op := s.operator(1); !op.Out || op.Leaving != nil || len(op.Work) != 0 || op.Status != switchboard.StatusOffline || s.free(0, 1) {
		s.t.Fatalf("race %d: %+v, routable %v", race, op, s.free(0, 1))
	}
}

// L-10: the last call ends while the order comes. Whichever is first, the
// operator is out afterwards: never in without work, never out with it.
func TestRaceLastCallEndsAgainstALogoutOrder(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	for i := range races(t, 2000) {
		s.online(1)
		end := s.call(1, "c")
		id, apply := s.ordered(i)
		together(end, apply)
		s.out(i)
		if o := s.progress(id); o.Out != 1 || o.Leaving != 0 {
			t.Fatalf("race %d: %+v", i, o)
		}
	}
}

// A call starts while the order comes: it is refused and the operator out, or it
// was first and the operator leaves when it ends.
func TestRaceCallStartsAgainstALogoutOrder(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	for i := range races(t, 2000) {
		s.online(1)
		var refused error
		_, apply := s.ordered(i)
		together(func() { refused = s.reg.StartCall(s.ctx, s.org, 1, "c", CallLease) }, apply)
		if refused == nil {
			if op := s.operator(1); op.Out || op.Leaving == nil || op.Work["call:c"] != 1 {
				t.Fatalf("race %d: the call was taken and the operator is %+v", i, op)
			}
			s.must(s.reg.EndCall(s.ctx, s.org, 1, "c"))
		} else if code := switchboard.CodeOf(refused); code != switchboard.CodeConflict && code != switchboard.CodeLeaving {
			t.Fatalf("race %d: refused with %v", i, refused)
		}
		s.out(i)
	}
}

// L-4: a socket with a token from before the logout comes through another node
// while the logout is carried out. It may have an edge for a moment (the node
// closes it), but its operator is never in.
func TestRaceOldTokenEntersAgainstALogout(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	other := s.node(quick)
	entered := 0
	for i := range races(t, 2000) {
		s.online(1)
		old := s.token(1)
		var err error
		_, apply := s.ordered(i)
		together(func() { _, err = other.Enter(s.ctx, s.org, "o1", old) }, apply)
		s.out(i)
		switch switchboard.CodeOf(err) {
		case "":
			entered++
		case switchboard.CodeLoggedOut:
		default:
			t.Fatalf("race %d: %v", i, err)
		}
		for _, reg := range []*Registry{s.reg, other} {
			if _, err := reg.Enter(s.ctx, s.org, "o1", old); switchboard.CodeOf(err) != switchboard.CodeLoggedOut {
				t.Fatalf("race %d: the old token afterwards: %v", i, err)
			}
			s.leave(reg, 1, grace) // the nodes close what is signed out: no grace
		}
		if link := s.link("o1"); link != "" {
			t.Fatalf("race %d: link %q", i, link)
		}
	}
	t.Logf("the old token was in time %d times", entered)
}

// The last call ends while the order is cancelled: out or in, never leaving with
// nothing to wait for; the order's figures say which.
func TestRaceLastCallEndsAgainstACancel(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	stayed := 0
	for i := range races(t, 2000) {
		s.online(1)
		end := s.call(1, "c")
		id, apply := s.ordered(i)
		apply()
		var err error
		together(end, func() { err = s.reg.CancelOrder(s.ctx, s.org, id, "test") })
		op, o := s.operator(1), s.progress(id)
		switch {
		case op.Leaving != nil || len(op.Work) != 0:
			t.Fatalf("race %d: %+v", i, op)
		case op.Out:
			if o.Out != 1 || o.Leaving != 0 || o.Cancelled != 0 || (err != nil && switchboard.CodeOf(err) != switchboard.CodeConflict) {
				t.Fatalf("race %d: out, and the order says %+v, %v", i, o, err)
			}
			s.out(i)
		default:
			stayed++
			if err != nil || o.Cancelled != 1 || o.Leaving != 0 || o.Out != 0 {
				t.Fatalf("race %d: in, and the order says %+v, %v", i, o, err)
			}
			if _, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutNow); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("the cancel came first %d times", stayed)
}

// Two orders over the same person, who has a call that ends meanwhile: each order
// has exactly one outcome, and the person is out.
func TestRaceTwoOrdersOverTheSamePerson(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	for i := range races(t, 2000) {
		s.online(1)
		end := s.call(1, "c")
		a, first := s.ordered(2 * i)
		b, second := s.ordered(2*i + 1)
		together(first, func() { together(second, end) })
		s.out(i)
		for _, id := range []switchboard.OrderID{a, b} {
			if o := s.progress(id); o.Out+o.Offline != 1 || o.Leaving != 0 || o.State() != OrderCompleted {
				t.Fatalf("race %d: order %d: %+v", i, id, o)
			}
		}
	}
}
