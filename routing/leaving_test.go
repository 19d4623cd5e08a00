package routing

import (
	"fmt"
	"sync"
	"testing"

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
		if _, _, err := d.rt.Start(d.ctx, d.org, Opening{Visitor: first}); err != nil {
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
			if _, _, err := d.rt.Start(d.ctx, d.org, Opening{Visitor: second}); err != nil {
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
