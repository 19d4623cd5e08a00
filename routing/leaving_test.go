package routing

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// L-10: the last chat of a leaving operator ends while a new visitor comes. The
// operator is out in the step that ends the chat, and never gets the new one.
func TestRaceLastChatEndsAgainstANewOffer(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 1, 3)
	for i := range races(t, 2_000) {
		first, second := switchboard.VisitorPerson(fmt.Sprintf("a%d", i)), switchboard.VisitorPerson(fmt.Sprintf("b%d", i))
		if _, _, err := d.begin(Opening{Visitor: first}); err != nil {
			t.Fatal(err)
		}
		s, err := d.rt.Snapshot(d.ctx, d.org, switchboard.OperatorPerson(1))
		if err != nil || len(s.Chats) != 1 {
			t.Fatalf("race %d: the operator has %d chats, %v", i, len(s.Chats), err)
		}
		c := s.Chats[0]
		if _, err := d.rt.Accept(d.ctx, d.org, 1, c.ID, c.Token); err != nil {
			t.Fatal(err)
		}
		spec := presence.OrderSpec{ID: switchboard.OrderID(i + 1), Operators: []switchboard.OperatorID{1}, By: "test"}
		if err := d.reg.NewOrder(d.ctx, d.org, spec); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.reg.WorkOrder(d.ctx, d.org, spec.ID, 100); err != nil {
			t.Fatal(err)
		}
		if op := d.operator(1); op.Leaving == nil || op.Out {
			t.Fatalf("race %d: leaving %v, out %v", i, op.Leaving, op.Out)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.rt.Close(d.ctx, d.org, first, false, c.ID, "done"); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, _, err := d.begin(Opening{Visitor: second}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if op := d.operator(1); !op.Out || len(op.Work) != 0 || op.Leaving != nil {
			t.Fatalf("race %d: %+v", i, op)
		}
		next := mustOpen(t, d, second)
		if next.State != switchboard.ChatWaiting {
			t.Fatalf("race %d: the new chat is %s of operator %d", i, next.State, next.Operator)
		}
		if _, err := d.rt.Close(d.ctx, d.org, second, false, next.ID, "done"); err != nil {
			t.Fatal(err)
		}
		d.online(1)
	}
	d.check()
}

// L-7: nobody who has vanished, and nothing that never ends, holds a logout for
// ever. A visitor who is gone ends the chat after the silent time; telephony that is
// gone ends the call by its lease; what goes on and on is given back after a day,
// also when the wish to leave is the operator's own. Seen red without the silent
// deadline (visitor.lua), the lease's (call.lua) and PATIENCE (settle.lua).
func TestNobodyWhoVanishedHoldsALogout(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 4, 1)
	enter := func(visitor string) switchboard.OperatorID {
		t.Helper()
		if _, err := d.reg.Enter(d.ctx, d.org, switchboard.VisitorPerson(visitor), 0); err != nil {
			t.Fatal(err)
		}
		c := d.chat(d.start(visitor).ID)
		if len(c.Offers) != 1 {
			t.Fatalf("offers of %s: %v", visitor, c.Offers)
		}
		var op switchboard.OperatorID
		for id, token := range c.Offers {
			if _, err := fmt.Sscan(id, &op); err != nil {
				t.Fatal(err)
			}
			if _, err := d.rt.Accept(d.ctx, d.org, op, c.ID, token); err != nil {
				t.Fatal(err)
			}
		}
		return op
	}
	calls := func(op switchboard.OperatorID, lease time.Duration) {
		t.Helper()
		if err := d.reg.StartCall(d.ctx, d.org, op, "pbx", lease); err != nil {
			t.Fatal(err)
		}
	}
	chats, stays := enter("gone"), enter("stays")
	var idle []switchboard.OperatorID
	for op := switchboard.OperatorID(1); op <= 4; op++ {
		if op != chats && op != stays {
			idle = append(idle, op)
		}
	}
	lost, endless := idle[0], idle[1]
	calls(lost, presence.CallLease)
	calls(endless, time.Hour)
	if err := d.reg.NewOrder(d.ctx, d.org, presence.OrderSpec{ID: 1, Operators: []switchboard.OperatorID{chats, lost, endless}, By: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.reg.WorkOrder(d.ctx, d.org, 1, 100); err != nil {
		t.Fatal(err)
	}
	if leaving, err := d.reg.SignOut(d.ctx, d.org, stays, presence.SignOutDrain); err != nil || !leaving {
		t.Fatalf("an own sign-out: leaving %v, %v", leaving, err)
	}
	out := func(when string, want ...switchboard.OperatorID) {
		t.Helper()
		for op := switchboard.OperatorID(1); op <= 4; op++ {
			if rec := d.operator(op); rec.Out != slices.Contains(want, op) {
				t.Errorf("%s: operator %d is out: %v, leaving %+v", when, op, rec.Out, rec.Leaving)
			}
		}
		d.check()
	}
	out("at first")
	if err := d.reg.Leave(d.ctx, d.org, switchboard.VisitorPerson("gone"), 0, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	d.ring()
	d.warp(presence.CallLease)
	out("after the lease", lost)
	d.warp(SilentAfter)
	out("after the silent time", lost, chats)
	for range 25 {
		calls(endless, time.Hour)
		d.warp(56 * time.Minute)
	}
	out("within the day", lost, chats)
	calls(endless, time.Hour)
	d.warp(56 * time.Minute)
	out("after it", lost, chats, endless, stays)
}
