package routing

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// A-14, L-10: a pending transfer meets, at the same moment, what may end it: its accept,
// the end of the chat, a logout of either side, the loss of the sender, a supervisor who
// takes over, a second transfer. Whatever comes first: one holder, capacity exact, the
// chat where it was or moved, nobody out with work and nothing left of the invite where
// the chat is over. The seed is in the failure's text. Seen red when
// hand() leaves the work with the old holder, when enqueue() leaves people in the
// chat, and when come.lua takes any token.
func TestRaceTransferAgainstWhatEndsIt(t *testing.T) {
	d := newFloor(t, 3, 2)
	d.must(d.reg.PutTeam(d.ctx, d.org, presence.Team{ID: 7, Name: "Sales", Strategy: presence.Pick}))
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, 0))
	order := switchboard.OrderID(0)
	moved, kept, gone := 0, 0, 0
	for i := range races(t, 400) {
		v := switchboard.VisitorPerson(fmt.Sprintf("r%d", i))
		c := d.startIn(fmt.Sprintf("r%d", i), 7)
		if _, err := d.rt.Claim(d.ctx, d.org, 1, c.ID, false); err != nil {
			t.Fatal(err)
		}
		warm := rng.IntN(3) == 0
		if warm {
			_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, 3, switchboard.RoleConsult, "")
			d.must(err)
			op, token := d.invite(c.ID)
			d.accept(op, c.ID, token)
		}
		d.move(Transfer{Chat: c.ID, By: 1, Operator: 2})
		token := d.chat(c.ID).Invites["2"].Token
		logout := func(op switchboard.OperatorID) func() error {
			order++
			id := order
			return func() error {
				if err := d.reg.NewOrder(d.ctx, d.org, presence.OrderSpec{ID: id, Operators: []switchboard.OperatorID{op}, By: "test"}); err != nil {
					return err
				}
				_, _, err := d.reg.WorkOrder(d.ctx, d.org, id, 100)
				return err
			}
		}
		all := []struct {
			name string
			do   func() error
		}{
			{"accept", func() error { _, err := d.rt.Accept(d.ctx, d.org, 2, c.ID, token); return err }},
			{"close", func() error { _, err := d.rt.Close(d.ctx, d.org, v, false, c.ID, "done"); return err }},
			{"logout of the sender", logout(1)},
			{"logout of who is asked", logout(2)},
			{"sender lost", func() error {
				if err := d.reg.Leave(d.ctx, d.org, "o1", 0, func() bool { return false }); err != nil {
					return err
				}
				return d.reg.Sweep(d.ctx, d.rt.Ring)
			}},
			{"take over", func() error { _, err := d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleHold); return err }},
			{"decline", func() error { return d.rt.Decline(d.ctx, d.org, 2, c.ID, token) }},
			{"to the queue", func() error {
				_, err := d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Queue: true})
				return err
			}},
			{"to the consulted", func() error {
				_, err := d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Operator: 3})
				return err
			}},
		}
		rng.Shuffle(len(all)-1, func(a, b int) { all[a+1], all[b+1] = all[b+1], all[a+1] })
		picked := all[:2+rng.IntN(2)] // the accept and one or two more
		names := []string{}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, one := range picked {
			names = append(names, one.name)
			wg.Go(func() {
				<-start
				switch err := one.do(); switchboard.CodeOf(err) {
				case "", switchboard.CodeConflict, switchboard.CodeClosed, switchboard.CodeNotFound, switchboard.CodeLeaving, switchboard.CodeOffline:
				default:
					t.Errorf("%s: %v", one.name, err)
				}
			})
		}
		close(start)
		wg.Wait()
		d.check()
		now, holders := d.chat(c.ID), []switchboard.OperatorID{}
		for _, op := range []switchboard.OperatorID{1, 2, 3, 90} {
			rec := d.operator(op)
			if _, ok := rec.Work[fmt.Sprintf("chat:%d", c.ID)]; ok {
				holders = append(holders, op)
			}
			if rec.Out && len(rec.Work) != 0 {
				t.Errorf("operator %d is out with %v", op, rec.Work)
			}
		}
		switch {
		case now.State == switchboard.ChatActive && (len(holders) != 1 || holders[0] != now.Operator),
			now.State != switchboard.ChatActive && len(holders) != 0:
			t.Errorf("the chat is %s of %d and held by %v", now.State, now.Operator, holders)
		case now.State == switchboard.ChatActive && now.Operator == 1:
			kept++
		case now.State == switchboard.ChatActive:
			moved++
		default:
			gone++
		}
		if t.Failed() {
			t.Fatalf("seed %d, race %d: %s", seed, i, strings.Join(names, " / "))
		}
		if _, err := d.rt.Close(d.ctx, d.org, v, true, c.ID, "done"); err != nil {
			t.Fatal(err)
		}
		for op := switchboard.OperatorID(1); op <= 3; op++ {
			if rec := d.operator(op); rec.Out || rec.Intent != switchboard.StatusAvailable || rec.Status == switchboard.StatusOffline {
				d.online(op)
			} else if len(rec.Work) != 0 {
				t.Fatalf("race %d left operator %d with %v", i, op, rec.Work)
			}
		}
	}
	if moved == 0 || kept == 0 || gone == 0 {
		t.Errorf("moved %d, kept %d, neither %d: the races were not all met", moved, kept, gone)
	}
}
