package routing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// floor is a desk with operators 1 to n in team 7, and supervisor 90.
func newFloor(t testing.TB, n, limit int) *desk {
	t.Helper()
	d := newDesk(t)
	for _, team := range []presence.Team{{ID: 7, Name: "Sales", OfferMS: 15_000, PauseMS: 60_000}, {ID: 8, Name: "Tech"}} {
		if err := d.reg.PutTeam(d.ctx, d.org, team); err != nil {
			t.Fatal(err)
		}
	}
	d.operators(1, n, limit)
	var list []presence.NewOperator
	for i := range n {
		list = append(list, presence.NewOperator{ID: switchboard.OperatorID(i + 1), Teams: []switchboard.TeamID{7}})
	}
	list = append(list, presence.NewOperator{ID: 90, Name: "Sue", Role: switchboard.RoleSupervisor, Limit: 1})
	if err := d.reg.AddOperators(d.ctx, d.org, list); err != nil {
		t.Fatal(err)
	}
	minted, err := d.reg.Minted(d.ctx, d.org, 90)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.reg.Enter(d.ctx, d.org, "o90", minted); err != nil { // here, and takes no chats
		t.Fatal(err)
	}
	return d
}

// held is a chat of team 7 that operator op holds.
func (d *desk) held(visitor string, op switchboard.OperatorID) Chat {
	d.t.Helper()
	c := d.startIn(visitor, 7)
	for range 20 {
		if c.State == switchboard.ChatActive && c.Operator == op {
			return c
		}
		if c.State == switchboard.ChatActive {
			d.move(Transfer{Chat: c.ID, By: 90, Operator: op})
			c = d.chat(c.ID)
			op, token := d.invite(c.ID)
			d.accept(op, c.ID, token)
		} else if c.State == switchboard.ChatOffered {
			d.accept(c.Operator, c.ID, c.Token)
		} else {
			d.t.Fatalf("chat %d is %s", c.ID, c.State)
		}
		c = d.chat(c.ID)
	}
	d.t.Fatalf("chat %d did not come to operator %d", c.ID, op)
	return c
}

func (d *desk) startIn(visitor string, team switchboard.TeamID) Chat {
	d.t.Helper()
	if _, err := d.reg.Enter(d.ctx, d.org, switchboard.VisitorPerson(visitor), 0); err != nil {
		d.t.Fatal(err)
	}
	c, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(visitor), Team: team, Cmid: "first", Text: "hello"})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *desk) move(t Transfer) Transferred {
	d.t.Helper()
	out, err := d.rt.Transfer(d.ctx, d.org, t)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// invite returns the only invite to a chat.
func (d *desk) invite(chat switchboard.ChatID) (op switchboard.OperatorID, token string) {
	d.t.Helper()
	c := d.chat(chat)
	if len(c.Invites) != 1 {
		d.t.Fatalf("chat %d has %d invites", chat, len(c.Invites))
	}
	for id, v := range c.Invites {
		var n int64
		if _, err := fmt.Sscan(id, &n); err != nil {
			d.t.Fatal(err)
		}
		op, token = switchboard.OperatorID(n), v.Token
	}
	return op, token
}

func (d *desk) accept(op switchboard.OperatorID, chat switchboard.ChatID, token string) {
	d.t.Helper()
	if _, err := d.rt.Accept(d.ctx, d.org, op, chat, token); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// refused compares an error's code and field.
func (d *desk) refused(what string, err error, code switchboard.Code, field string) {
	d.t.Helper()
	var e *switchboard.Error
	if !errors.As(err, &e) || e.Code != code || e.Field != field {
		d.t.Errorf("%s: %v, want %s of %q", what, err, code, field)
	}
}

// role fails unless an operator is this in a chat.
func (d *desk) role(chat switchboard.ChatID, op switchboard.OperatorID, want string) {
	d.t.Helper()
	if got := d.chat(chat).Role(op); got != want {
		d.t.Errorf("operator %d is %q in chat %d, want %q", op, got, chat, want)
	}
}

// a transfer to a person is an invite: declined, silent or taken back
// leaves the chat whose it was; accepted moves it in one step. The units are the new
// operator's from the invite on: red when ask() keeps none.
func TestTransferToAPerson(t *testing.T) {
	d := newFloor(t, 3, 2)
	c := d.held("a", 1)
	ask := Transfer{Chat: c.ID, By: 1, Operator: 2, Text: "knows the product"}
	for _, end := range []struct {
		what string
		do   func(op switchboard.OperatorID, token string) error
	}{
		{"declined", func(op switchboard.OperatorID, token string) error {
			return d.rt.Decline(d.ctx, d.org, op, c.ID, token)
		}},
		{"taken back", func(op switchboard.OperatorID, _ string) error { return d.rt.EndPart(d.ctx, d.org, 1, c.ID, op) }},
		{"silent", func(switchboard.OperatorID, string) error { d.warp(15 * time.Second); return nil }},
	} {
		if out := d.move(ask); out.Outcome != TransferAsked || out.Chat.Operator != 1 {
			t.Fatalf("%+v", out)
		}
		d.check()
		if n := d.operator(2).Work[fmt.Sprintf("invite:%d", c.ID)]; n != 1 {
			t.Errorf("the invite keeps %d units", n)
		}
		op, token := d.invite(c.ID)
		d.must(end.do(op, token))
		_, err := d.rt.Accept(d.ctx, d.org, 2, c.ID, token)
		d.refused("accepting an invite that was "+end.what, err, switchboard.CodeConflict, "token")
		if now := d.chat(c.ID); now.Operator != 1 || now.State != switchboard.ChatActive || len(now.Invites) != 0 || len(d.operator(2).Work) != 0 {
			t.Errorf("after an invite was %s: %+v, work %v", end.what, now, d.operator(2).Work)
		}
		d.check()
	}
	if got := d.operator(2).Intent; got != switchboard.StatusUnresponsive { // S-9
		t.Errorf("who was silent is %s", got)
	}
	d.online(2)
	d.move(ask)
	_, err := d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Operator: 3})
	d.refused("a second hand-over", err, switchboard.CodeConflict, "operator")
	op, token := d.invite(c.ID)
	for range 2 { // a repeat is fine
		d.accept(op, c.ID, token)
	}
	now := d.chat(c.ID)
	if now.Operator != 2 || now.Name != "Operator 2" || now.Rank != c.Rank || len(d.operator(1).Work) != 0 || !now.Party("o1") {
		t.Errorf("after the transfer: %+v, work of 1 %v", now, d.operator(1).Work)
	}
	if _, err := d.rt.Append(d.ctx, d.org, Draft{From: "o1", Name: "", Chat: c.ID, Cmid: "late", Text: "x"}); switchboard.CodeOf(err) != switchboard.CodeNotFound {
		t.Errorf("who handed it over still writes: %v", err)
	}
	d.check()
}

// each refusal says why and changes nothing.
func TestTransferIsRefusedWithItsReason(t *testing.T) {
	d := newFloor(t, 9, 1)
	c := d.held("a", 1)
	busy := d.held("b", 2)
	d.must(d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: 20, Name: "Off", Teams: []switchboard.TeamID{7}}, {ID: 4, Teams: []switchboard.TeamID{8}}}))
	if _, err := d.reg.SetStatus(d.ctx, d.org, 5, presence.StatusChange{Status: switchboard.StatusBreak, Source: "operator"}); err != nil {
		t.Fatal(err)
	}
	d.must(d.reg.StartCall(d.ctx, d.org, 6, "c", presence.CallLease))
	if _, err := d.reg.SignOut(d.ctx, d.org, 6, presence.SignOutDrain); err != nil {
		t.Fatal(err)
	}
	d.must(d.reg.StartCall(d.ctx, d.org, 8, "c", presence.CallLease))
	d.must(d.reg.Leave(d.ctx, d.org, "o7", time.Hour, func() bool { return false }))
	before := d.chat(c.ID)
	nine := switchboard.TeamID(99)
	for _, tc := range []struct {
		what  string
		t     Transfer
		code  switchboard.Code
		field string
		says  string
	}{
		{"to nobody", Transfer{By: 1, Operator: 999}, switchboard.CodeInvalid, "operator", "no such"},
		{"to its holder", Transfer{By: 1, Operator: 1}, switchboard.CodeConflict, "operator", "already"},
		{"to one at the limit", Transfer{By: 1, Operator: 2}, switchboard.CodeConflict, "over", "limit"},
		{"over the limit without permission", Transfer{By: 1, Operator: 2, Over: true}, switchboard.CodeForbidden, "over", "limit"},
		{"to another team's", Transfer{By: 1, Operator: 4}, switchboard.CodeConflict, "operator", "not of this team"},
		{"to one on a break", Transfer{By: 1, Operator: 5}, switchboard.CodeConflict, "operator", "not Available"},
		{"to one who leaves", Transfer{By: 1, Operator: 6}, switchboard.CodeLeaving, "operator", "signed out"},
		{"to one whose connection is lost", Transfer{By: 1, Operator: 7}, switchboard.CodeOffline, "operator", "lost"},
		{"to one in a call", Transfer{By: 1, Operator: 8}, switchboard.CodeConflict, "operator", "in a call"},
		{"to one who is not here", Transfer{By: 1, Operator: 20}, switchboard.CodeOffline, "operator", "not connected"},
		{"of a stranger", Transfer{By: 3, Operator: 9}, switchboard.CodeNotFound, "chat", "no such"},
		{"to no team", Transfer{By: 1, Team: &nine}, switchboard.CodeInvalid, "to_team", "no such"},
		{"with a long text", Transfer{By: 1, Operator: 9, Text: strings.Repeat("x", 501)}, switchboard.CodeInvalid, "text", "500"},
	} {
		tc.t.Chat = c.ID
		_, err := d.rt.Transfer(d.ctx, d.org, tc.t)
		d.refused(tc.what, err, tc.code, tc.field)
		if err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v does not say %q", tc.what, err, tc.says)
		}
		if now := d.chat(c.ID); fmt.Sprint(now) != fmt.Sprint(before) {
			t.Fatalf("%s changed the chat: %+v", tc.what, now)
		}
	}
	eight := switchboard.TeamID(8)
	if _, err := d.reg.SignOut(d.ctx, d.org, 4, presence.SignOutNow); err != nil {
		t.Fatal(err)
	}
	_, err := d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Team: &eight})
	d.refused("to a team without anybody", err, switchboard.CodeOffline, "to_team")
	d.must(d.reg.PutTeam(d.ctx, d.org, presence.Team{ID: 8, Name: "Tech", QueueMax: 1}))
	d.startIn("waits", 8)
	_, err = d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Team: &eight, Queue: true})
	d.refused("to a team whose queue is full", err, switchboard.CodeConflict, "to_team")
	// With a supervisor's permission over the limit, audited.
	d.move(Transfer{Chat: c.ID, By: 90, Operator: 2, Over: true})
	op, token := d.invite(c.ID)
	d.accept(op, c.ID, token)
	audited := 0
	d.must(d.reg.Audit(d.ctx, d.org, 0, 1<<53, func(a presence.Audited) bool {
		if a.What == "over the limit" && a.Whom == 2 && a.By == "o90" && a.Chat == c.ID {
			audited++
		}
		return true
	}))
	if audited != 1 {
		t.Errorf("going over the limit was audited %d times", audited)
	}
	if d.chat(busy.ID).Operator != 2 || d.chat(c.ID).Operator != 2 {
		t.Error("the two chats are not operator 2's")
	}
	d.check()
}
