package routing

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// committed is an operator's record as one commit left it.
type committed struct {
	presence.Operator
	Rev int64 `json:"rev"`
}

// unfit says why nobody may be given work who is so, "" when they may: what
// "routable" means, once more and in other words than the script's.
func (c committed) unfit() string {
	chats, calls := c.Busy()
	switch {
	case c.Account != switchboard.AccountActive:
		return "the account is switched off"
	case c.Intent != switchboard.StatusAvailable:
		return "the intent is " + c.Intent
	case c.Leaving != nil:
		return "a logout waits"
	case c.Out:
		return "signed out"
	case c.Wrapping():
		return "in wrap-up"
	case calls > 0:
		return "in a call"
	case chats+c.offers() > c.Limit: // with what was just given
		return "over the limit"
	}
	return ""
}

func (c committed) offers() (n int) {
	for item := range c.Work {
		if strings.HasPrefix(item, "offer:") {
			n++
		}
	}
	return n
}

// P-11, A-15: whatever operators and supervisors do at the same time, no chat is ever
// given to an operator who is not routable in the very step that gives it. The
// oracle is the record that each commit publishes with itself, so nothing is read
// a moment too late. Seen red with "rec.intent == 'Available'", "not rec.leaving"
// and "n.call == 0" taken out of fit() in operator.lua, one at a time.
func TestNoChatIsGivenToAnOperatorWhoIsNotRoutableAtTheCommit(t *testing.T) {
	const operators, workers, steps, limit = 6, 8, 250, 2
	d := newDesk(t)
	d.operators(1, operators, limit)
	h := d.listen()
	var order atomic.Int64
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for w := range workers {
		rnd := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for i := range steps {
				op := switchboard.OperatorID(1 + rnd.IntN(operators))
				if err := d.somebodyDoes(rnd, op, fmt.Sprintf("w%dn%d", w, i), order.Add(1)); err != nil {
					t.Errorf("%v", err)
				}
			}
		})
	}
	wg.Wait()
	h.stop()
	d.check()

	last, given := map[switchboard.OperatorID]committed{}, 0
	for _, n := range h.nudges {
		if n.Org != d.org || n.Class != 's' {
			continue
		}
		var now committed
		if err := json.Unmarshal([]byte(n.Record), &now); err != nil {
			t.Fatal(err)
		}
		was, seen := last[now.ID]
		last[now.ID] = now
		if !seen || now.Rev != was.Rev+1 { // a commit between them was told to nobody: its turn cannot be judged
			continue
		}
		for item := range now.Work {
			if was.Work[item] == 0 && strings.HasPrefix(item, "offer:") {
				given++
				if why := now.unfit(); why != "" {
					t.Errorf("operator %d was given %s and %s: %+v", now.ID, item, why, now.Operator)
				}
			}
		}
	}
	t.Logf("%d chats were given and judged", given)
	if given < 50 {
		t.Errorf("only %d chats were given: this proves little", given)
	}
}

// somebodyDoes makes one random step. Refusals are part of it.
func (d *desk) somebodyDoes(rnd *rand.Rand, op switchboard.OperatorID, name string, n int64) error {
	person := switchboard.OperatorPerson(op)
	fine := func(err error) error {
		switch switchboard.CodeOf(err) {
		case "", switchboard.CodeConflict, switchboard.CodeLeaving, switchboard.CodeLoggedOut, switchboard.CodeNotFound, switchboard.CodeClosed, switchboard.CodeForbidden:
			return nil
		}
		return err
	}
	comes := func() error {
		minted, err := d.reg.Minted(d.ctx, d.org, op)
		if err == nil {
			_, err = d.reg.Enter(d.ctx, d.org, person, minted)
		}
		return fine(err)
	}
	switch k := rnd.IntN(20); {
	case k < 6:
		_, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(name), Cmid: "first", Text: "hello"})
		return fine(err)
	case k < 10:
		status := []string{switchboard.StatusAvailable, switchboard.StatusAvailable, switchboard.StatusBreak}[rnd.IntN(3)]
		_, err := d.reg.SetStatus(d.ctx, d.org, op, presence.StatusChange{Status: status, Source: "operator"})
		return fine(err)
	case k < 12:
		rec, err := d.reg.Operator(d.ctx, d.org, op)
		if err != nil {
			return err
		}
		for item := range rec.Work { // ends or takes one piece of work
			var chat switchboard.ChatID
			if _, err := fmt.Sscanf(item, "chat:%d", &chat); err == nil {
				_, err = d.rt.Close(d.ctx, d.org, person, false, chat, "done")
				return fine(err)
			}
			if _, err := fmt.Sscanf(item, "offer:%d", &chat); err == nil {
				c, err := d.rt.Find(d.ctx, d.org, chat)
				if err != nil {
					return fine(err)
				}
				_, err = d.rt.Accept(d.ctx, d.org, op, chat, c.Token)
				return fine(err)
			}
		}
		return nil
	case k < 13:
		return fine(d.reg.StartCall(d.ctx, d.org, op, "x", time.Minute))
	case k < 15:
		return fine(d.reg.EndCall(d.ctx, d.org, op, "x"))
	case k < 16:
		err := d.reg.NewOrder(d.ctx, d.org, presence.OrderSpec{ID: switchboard.OrderID(n), Operators: []switchboard.OperatorID{op}, By: "test"})
		if err == nil {
			_, _, err = d.reg.WorkOrder(d.ctx, d.org, switchboard.OrderID(n), 100)
		}
		return fine(err)
	case k < 17:
		account := []switchboard.Account{switchboard.AccountActive, switchboard.AccountInactive}[rnd.IntN(2)]
		if err := d.reg.SetAccount(d.ctx, d.org, op, account); err != nil {
			return fine(err)
		}
		return fine(d.reg.SetAccount(d.ctx, d.org, op, switchboard.AccountActive))
	case k < 18:
		return fine(d.reg.Leave(d.ctx, d.org, person, time.Minute, func() bool { return false }))
	}
	return comes()
}
