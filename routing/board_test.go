package routing

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// shown is what a board shows of an operator.
type shown struct {
	Status, Intent, Next string
	Chats, Calls         int
}

func viewed(v switchboard.OperatorView) shown {
	return shown{v.Status, v.Intent, v.Next, v.Chats, v.Calls}
}

// S-4, P-14: after any sequence of what people, work and time do, the board (the
// broadcasts, folded), the store (the roster) and the history (its entries,
// folded) say the same of every operator; work is shown beside the intent.
//
// Seen red with settle not calling record, with record before follow, and with
// pend left out of mark.
func TestBoardEqualsTheFoldedHistory(t *testing.T) {
	if err := redis.NewClient(redisOptions).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		p := d.reg.Partition(d.org)
		ps := d.rdb.Subscribe(d.ctx, p.Broadcast())
		defer ps.Close()
		if _, err := ps.Receive(d.ctx); err != nil {
			t.Fatal(err)
		}
		team := presence.Team{ID: 0, Name: "Everyone", IdleMS: 10_000, OfferMS: 600_000}
		if rapid.Bool().Draw(rt, "wrap-up") {
			team.WrapMS = 600_000
		}
		if err := d.reg.PutTeam(d.ctx, d.org, team); err != nil {
			t.Fatal(err)
		}
		d.operators(1, 3, 2)
		w := &walk{desk: d, rt: rt}
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			w.step()
		}
		broken, err := d.rt.Check(d.ctx, d.org)
		if err != nil || len(broken) > 0 {
			rt.Fatalf("invariants %v %v", broken, err)
		}

		roster, ctr, err := d.reg.Roster(d.ctx, d.org)
		if err != nil {
			t.Fatal(err)
		}
		server, board := map[switchboard.OperatorID]shown{}, map[switchboard.OperatorID]shown{}
		for _, v := range roster {
			server[v.ID] = viewed(v)
		}
		for at := int64(0); at < ctr; {
			msg, err := ps.ReceiveMessage(d.ctx)
			if err != nil {
				t.Fatal(err)
			}
			for event := range strings.SplitSeq(msg.Payload, separator) {
				f := strings.SplitN(event, "\t", 5)
				fmt.Sscan(f[1], &at)
				if f[2] != fmt.Sprint(d.org) || f[3] != "operators" {
					continue
				}
				var v switchboard.OperatorView
				if err := json.Unmarshal([]byte(f[4]), &v); err != nil {
					t.Fatal(err)
				}
				board[v.ID] = viewed(v)
			}
		}
		history := map[switchboard.OperatorID]shown{}
		err = d.reg.Changes(d.ctx, d.org, 0, func(c presence.Change) bool {
			h := history[c.Operator]
			if c.Status != nil {
				if h.Status != "" && h.Status != c.Status.From {
					rt.Fatalf("operator %d was %s, the next change is %+v", c.Operator, h.Status, *c.Status)
				}
				h.Status = c.Status.To
			}
			if c.Intent != nil {
				if h.Intent != "" && h.Intent != c.Intent.From {
					rt.Fatalf("operator %d was set to %s, the next change is %+v", c.Operator, h.Intent, *c.Intent)
				}
				h.Intent = c.Intent.To
			}
			switch c.Pending {
			case "set", "replaced":
				h.Next = c.Next
			case "cancelled", "applied":
				if h.Next != c.Next {
					rt.Fatalf("%s %s, pending was %q", c.Pending, c.Next, h.Next)
				}
				h.Next = ""
			}
			history[c.Operator] = h
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(board, server) {
			rt.Fatalf("after %v the board shows\n%+v, the store\n%+v", w.done, board, server)
		}
		for id, s := range server { // each has come and chosen, so each has a history
			h := history[id]
			if h.Status != s.Status || h.Intent != s.Intent || h.Next != s.Next {
				rt.Fatalf("after %v operator %d is %+v, by the history %+v", w.done, id, s, h)
			}
		}
		for id, s := range server {
			busy := map[bool]string{true: switchboard.StatusInCall, false: switchboard.StatusInChat}[s.Calls > 0]
			if s.Status != switchboard.StatusOffline && s.Chats+s.Calls > 0 && s.Status != busy {
				rt.Fatalf("operator %d holds %d chats and %d calls and is shown %s", id, s.Chats, s.Calls, s.Status)
			}
		}
	})
}

// walk does one thing after the other to three operators and their visitors.
type walk struct {
	*desk
	rt       *rapid.T
	visitors int
	orders   int64
	done     []string
}

func (w *walk) must(err error, allowed ...switchboard.Code) {
	if code := switchboard.CodeOf(err); err != nil && !slices.Contains(allowed, code) {
		w.rt.Fatalf("after %v: %v", w.done, err)
	}
}

func (w *walk) step() {
	ctx, org := w.ctx, w.org
	op := switchboard.OperatorID(rapid.IntRange(1, 3).Draw(w.rt, "operator"))
	person := switchboard.OperatorPerson(op)
	what := rapid.SampledFrom([]string{"status", "status", "status", "chat", "chat", "take", "take", "close", "call", "hang up", "idle", "active",
		"leave", "come", "sign out", "order", "silence"}).Draw(w.rt, "what")
	w.done = append(w.done, fmt.Sprint(what, " ", op))
	switch what {
	case "status":
		ch := presence.StatusChange{
			Status: rapid.SampledFrom([]string{"Available", "Available", "Break", "Meal"}).Draw(w.rt, "status"),
			When:   rapid.SampledFrom([]string{"now", "after_work", "after_work", "cancel", "return"}).Draw(w.rt, "when"),
			Source: rapid.SampledFrom([]string{"operator", "operator", "supervisor"}).Draw(w.rt, "source"), By: "o9"}
		if ch.When == "now" || ch.When == "after_work" {
			ch.For = rapid.SampledFrom([]time.Duration{0, 0, time.Minute, time.Hour}).Draw(w.rt, "for")
		}
		_, err := w.reg.SetStatus(ctx, org, op, ch)
		w.must(err, switchboard.CodeForbidden)
	case "chat":
		w.visitors++
		w.start(fmt.Sprint("x", w.visitors))
	case "take", "close", "silence":
		snap, err := w.desk.rt.Snapshot(ctx, org, person)
		w.must(err)
		for _, c := range snap.Chats {
			switch {
			case what == "take" && c.State == switchboard.ChatOffered:
				_, err := w.desk.rt.Accept(ctx, org, op, c.ID, c.Token)
				w.must(err)
				return
			case what == "close" && c.State == switchboard.ChatActive:
				_, err := w.desk.rt.Close(ctx, org, person, false, c.ID, "done")
				w.must(err)
				return
			case what == "silence" && c.State == switchboard.ChatOffered:
				w.timeout(c.ID)
				return
			}
		}
	case "call":
		w.must(w.reg.StartCall(ctx, org, op, "c", time.Minute), switchboard.CodeConflict, switchboard.CodeLeaving)
	case "hang up":
		w.must(w.reg.EndCall(ctx, org, op, "c"))
	case "idle", "active":
		w.must(w.reg.SetIdle(ctx, org, op, func() (bool, bool) { return what == "idle", true }))
	case "leave":
		w.must(w.reg.Leave(ctx, org, person, time.Duration(rapid.IntRange(0, 1).Draw(w.rt, "grace"))*time.Hour, func() bool { return false }))
	case "come":
		minted, err := w.reg.Minted(ctx, org, op)
		w.must(err)
		_, err = w.reg.Enter(ctx, org, person, minted)
		w.must(err)
	case "sign out":
		_, err := w.reg.SignOut(ctx, org, op, presence.SignOutDrain)
		w.must(err)
	case "order":
		w.orders++
		id := switchboard.OrderID(w.orders)
		w.must(w.reg.NewOrder(ctx, org, presence.OrderSpec{ID: id, Operators: []switchboard.OperatorID{op}, By: "test"}))
		_, _, err := w.reg.WorkOrder(ctx, org, id, 100)
		w.must(err)
	}
}

// timeout lets the deadline of an offer ring.
func (w *walk) timeout(chat switchboard.ChatID) {
	alarm := fmt.Sprintf("offer/%d/%d", w.org, chat)
	w.must(w.rdb.ZAddXX(w.ctx, w.reg.Partition(w.org).Block(w.org).Due, redis.Z{Score: 1, Member: alarm}).Err())
	w.must(w.desk.rt.Ring(w.ctx, "offer", w.org, fmt.Sprint(chat)))
}
