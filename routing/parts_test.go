package routing

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// A-14, S-6: into a queue a chat keeps its rank and waiting time, so it stands before
// all who came after its start; who gave it away is not asked while another can be. A
// supervisor moves a chat in any state, and one whose visitor is gone is parked (V-1).
func TestTransferToAQueue(t *testing.T) {
	d := newFloor(t, 2, 1)
	seven, eight := switchboard.TeamID(7), switchboard.TeamID(8)
	first := d.held("a", 1)
	second := d.held("b", 2)
	later := d.startIn("c", 8)
	out := d.move(Transfer{Chat: first.ID, By: 1, Team: &eight, Queue: true, Text: ""})
	if out.Outcome != TransferQueued || out.Place != 1 || out.Chat.Rank != first.Rank || out.Chat.Since != first.Since || out.Chat.Operator != 0 {
		t.Fatalf("%+v", out)
	}
	if places, err := d.rt.Places(d.ctx, d.org, 8, []switchboard.ChatID{first.ID, later.ID}); err != nil || places[0].Place != 1 || places[1].Place != 2 {
		t.Errorf("places %v, %v", places, err)
	}
	if _, err := d.rt.Append(d.ctx, d.org, Draft{From: first.Visitor, Name: "", Chat: first.ID, Cmid: "while waiting", Text: "hello?"}); err != nil {
		t.Error(err)
	}
	d.check()
	// Back by a supervisor: the only one who is free is who gave it away.
	d.warp(time.Second)
	if out := d.move(Transfer{Chat: first.ID, By: 90, Team: &seven}); out.Outcome != TransferOffered || out.Chat.Operator != 1 {
		t.Errorf("back: %+v", out)
	}
	// An offered chat can be assigned to a person; it is an offer like others.
	d.must(d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: 3, Name: "Three", Teams: []switchboard.TeamID{7}}}))
	d.online(3)
	if out := d.move(Transfer{Chat: first.ID, By: 90, Operator: 3}); out.Outcome != TransferOffered || out.Chat.Operator != 3 || len(d.operator(1).Work) != 0 {
		t.Errorf("assigned: %+v", out)
	}
	d.check()
	d.accept(3, first.ID, d.chat(first.ID).Token)
	// Whoever gives a chat back to the team's own queue is passed over for it.
	if out := d.move(Transfer{Chat: first.ID, By: 3}); out.Outcome != TransferOffered || out.Chat.Operator != 1 {
		t.Errorf("to the own team: %+v", out)
	}
	d.check()
	// The visitor of an active chat is gone: it waits for them, not for an operator.
	d.must(d.reg.Leave(d.ctx, d.org, second.Visitor, 0, func() bool { return false }))
	d.ring()
	out = d.move(Transfer{Chat: second.ID, By: 2})
	if out.Outcome != TransferQueued || out.Chat.State != switchboard.ChatParked {
		t.Errorf("with the visitor away: %+v", out)
	}
	d.check()
	if _, err := d.reg.Enter(d.ctx, d.org, second.Visitor, 0); err != nil {
		t.Fatal(err)
	}
	d.ring()
	if c := d.chat(second.ID); c.State == switchboard.ChatParked {
		t.Errorf("the visitor is back and the chat is %s", c.State)
	}
	d.check()
}

// A warm transfer: who is consulted reads and writes notes, and holds the chat in one
// step when it is handed over; the visitor sees the first holder until then, and is
// written to by nobody else.
func TestConsultAndHandOver(t *testing.T) {
	d := newFloor(t, 3, 1)
	c := d.held("a", 1)
	full := d.held("b", 2) // full: being consulted takes no capacity
	if _, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, 2, switchboard.RoleConsult, "please look"); err != nil {
		t.Fatal(err)
	}
	if n, ok := d.operator(2).Work[fmt.Sprintf("invite:%d", c.ID)]; !ok || n != 0 {
		t.Errorf("the invite keeps %d units, %v", n, ok)
	}
	d.check()
	op, token := d.invite(c.ID)
	d.accept(op, c.ID, token)
	d.role(c.ID, 2, switchboard.RoleConsult)
	d.check()
	if _, err := d.reg.SetStatus(d.ctx, d.org, 2, presence.StatusChange{Status: switchboard.StatusBreak, Source: "operator", When: presence.WhenAfterWork}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.rt.Append(d.ctx, d.org, Draft{From: "o2", Name: "", Chat: c.ID, Cmid: "m", Text: "hello visitor"}); switchboard.CodeOf(err) != switchboard.CodeForbidden {
		t.Errorf("who is consulted writes to the visitor: %v", err)
	}
	for range 2 { // a repeat is one note
		if n, err := d.rt.Note(d.ctx, d.org, 2, "Two", c.ID, "n1", "offer a refund"); err != nil || n.Seq != 1 {
			t.Fatalf("%+v, %v", n, err)
		}
	}
	if _, err := d.rt.Note(d.ctx, d.org, 3, "Three", c.ID, "n2", "I am not in it"); switchboard.CodeOf(err) != switchboard.CodeNotFound {
		t.Errorf("a stranger's note: %v", err)
	}
	notes, err := d.rt.Notes(d.ctx, d.org, c.ID, 0, 50)
	if err != nil || len(notes) != 1 || notes[0].Text != "offer a refund" || notes[0].From != "o2" {
		t.Errorf("notes %v, %v", notes, err)
	}
	if log, err := d.rt.History(d.ctx, d.org, c.ID, 0, 200); err != nil || len(log) != 1 {
		t.Errorf("the log has %d messages, %v", len(log), err)
	}
	_, err = d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Operator: 2})
	d.refused("handing it to who is full", err, switchboard.CodeConflict, "over")
	d.role(c.ID, 2, switchboard.RoleConsult)
	if _, err := d.rt.Close(d.ctx, d.org, "o2", false, full.ID, "done"); err != nil {
		t.Fatal(err)
	}
	if op := d.operator(2); op.Intent != switchboard.StatusAvailable || op.Pending == nil { // S-1: a part is work too
		t.Errorf("while consulted: %s, pending %v", op.Intent, op.Pending)
	}
	if out := d.move(Transfer{Chat: c.ID, By: 1, Operator: 2}); out.Outcome != TransferMoved {
		t.Errorf("%+v", out)
	}
	d.role(c.ID, 2, switchboard.RoleHold)
	d.role(c.ID, 1, "")
	d.check()
	// The end of a consult, by the holder.
	if _, err := d.rt.Invite(d.ctx, d.org, 2, c.ID, 3, switchboard.RoleConsult, ""); err != nil {
		t.Fatal(err)
	}
	op, token = d.invite(c.ID)
	d.accept(op, c.ID, token)
	d.must(d.rt.EndPart(d.ctx, d.org, 2, c.ID, 3))
	d.role(c.ID, 3, "")
	if len(d.operator(3).Work) != 0 {
		t.Errorf("work %v", d.operator(3).Work)
	}
	d.check()
}

// A supervisor monitors without a trace for visitor and operator, comes in, and takes
// over in one step; operators without the permission do not.
func TestMonitorBargeInTakeOver(t *testing.T) {
	d := newFloor(t, 2, 3)
	c := d.held("a", 1)
	for _, role := range []string{switchboard.RoleMonitor, switchboard.RoleJoin, switchboard.RoleHold} {
		_, err := d.rt.Join(d.ctx, d.org, 2, c.ID, role)
		d.refused("an operator who would "+role, err, switchboard.CodeForbidden, "")
	}
	for range 2 {
		if _, err := d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleMonitor); err != nil {
			t.Fatal(err)
		}
	}
	d.role(c.ID, 90, switchboard.RoleMonitor)
	for _, visitor := range []bool{true, false} {
		if with, invites := d.chat(c.ID).People(visitor); len(with)+len(invites) != 0 {
			t.Errorf("who monitors is seen: %v", with)
		}
	}
	d.refused("the operator who ends it blindly", d.rt.EndPart(d.ctx, d.org, 1, c.ID, 90), switchboard.CodeNotFound, "chat")
	// A transfer to them is refused as to one who is not there. (Red with a monitor as
	// somebody who has come in.)
	if _, err := d.reg.SetStatus(d.ctx, d.org, 90, presence.StatusChange{Status: switchboard.StatusBreak, Source: "operator"}); err != nil {
		t.Fatal(err)
	}
	_, err := d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Operator: 90, Team: new(switchboard.TeamID)})
	d.refused("a transfer to who monitors, on a break", err, switchboard.CodeConflict, "operator")
	if d.operator(90).Status == switchboard.StatusInChat {
		t.Error("the board shows that a supervisor monitors")
	}
	d.check()
	if _, err := d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleJoin); err != nil {
		t.Fatal(err)
	}
	if _, err := d.rt.Append(d.ctx, d.org, Draft{From: "o90", Name: "Sue", Chat: c.ID, Cmid: "barge", Text: "hello, I help"}); err != nil {
		t.Errorf("who joined writes: %v", err)
	}
	if with, _ := d.chat(c.ID).People(true); len(with) != 1 || with[0].ID != 90 || with[0].Name != "Sue" {
		t.Errorf("the visitor sees %v", with)
	}
	d.check()
	own := d.startIn("b", 7) // the supervisor's limit is 1; taking over goes over it, audited
	if own.State != switchboard.ChatOffered {
		t.Fatalf("%+v", own)
	}
	for _, id := range []switchboard.ChatID{own.ID, c.ID} {
		if _, err := d.rt.Join(d.ctx, d.org, 90, id, switchboard.RoleHold); err != nil {
			t.Fatal(err)
		}
		d.role(id, 90, switchboard.RoleHold)
		d.check()
	}
	if got := d.operator(1).Work; len(got) != 0 {
		t.Errorf("whose chat was taken over holds %v", got)
	}
	var story []string
	d.must(d.reg.Audit(d.ctx, d.org, 0, 1<<53, func(a presence.Audited) bool {
		if a.Chat == c.ID && a.What != "transfer" {
			story = append(story, a.What)
		}
		return true
	}))
	if want := []string{"monitoring", "barge in", "monitoring ended", "over the limit", "take over"}; !slices.Equal(story, want) {
		t.Errorf("the audit has %v, want %v", story, want)
	}
}

// A chat has room for 8 people, and being refused tells nobody of a monitor, who comes in
// among 8 too, and is one of the people when they join. (Red with monitors counted, for an
// invite and for a transfer, and with join.lua not looking.)
func TestMonitorTakesNobodysPlace(t *testing.T) {
	d := newFloor(t, 11, 1)
	c := d.held("a", 1)
	_, err := d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleMonitor)
	d.must(err)
	for op := switchboard.OperatorID(2); op <= 8; op++ {
		_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, op, switchboard.RoleConsult, "")
		d.must(err)
	}
	d.move(Transfer{Chat: c.ID, By: 1, Operator: 9})
	d.must(d.rt.EndPart(d.ctx, d.org, 1, c.ID, 9))
	_, err = d.rt.Invite(d.ctx, d.org, 1, c.ID, 9, switchboard.RoleConsult, "")
	d.must(err)
	_, err = d.rt.Invite(d.ctx, d.org, 1, c.ID, 10, switchboard.RoleConsult, "")
	d.refused("a ninth", err, switchboard.CodeConflict, "chat")
	_, err = d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Operator: 10})
	d.refused("a transfer to a ninth", err, switchboard.CodeConflict, "chat")
	_, err = d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleJoin)
	d.refused("who monitors and would join as the ninth", err, switchboard.CodeConflict, "chat")
	d.role(c.ID, 90, switchboard.RoleMonitor)
	d.must(d.rt.EndPart(d.ctx, d.org, 90, c.ID, 90))
	_, err = d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleMonitor)
	d.must(err)
	d.check()
}

// L-9: a consult and a part in a chat are work that a logout waits for, monitoring and
// an invite are not; who leaves is not asked and cannot come; the last part ends and
// they are out in that step. Red without join among KEEPS, and when releaseAll() keeps invites.
func TestPartsWhileALogoutWaits(t *testing.T) {
	for role, keeps := range map[string]bool{switchboard.RoleConsult: true, switchboard.RoleJoin: true, switchboard.RoleMonitor: false, "invite": false} {
		t.Run(role, func(t *testing.T) {
			d := newFloor(t, 2, 1)
			c := d.held("a", 1)
			who := switchboard.OperatorID(90)
			switch role {
			case switchboard.RoleMonitor:
				_, err := d.rt.Join(d.ctx, d.org, who, c.ID, role)
				d.must(err)
			default:
				kind := role
				if kind == "invite" {
					kind = switchboard.RoleJoin
				}
				_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, who, kind, "")
				d.must(err)
				if role != "invite" {
					op, token := d.invite(c.ID)
					d.accept(op, c.ID, token)
				}
			}
			d.must(d.reg.NewOrder(d.ctx, d.org, presence.OrderSpec{ID: 1, Operators: []switchboard.OperatorID{who}, By: "test"}))
			if _, _, err := d.reg.WorkOrder(d.ctx, d.org, 1, 100); err != nil {
				t.Fatal(err)
			}
			op := d.operator(who)
			if op.Out == keeps || (op.Leaving != nil) != keeps {
				t.Fatalf("out %v, leaving %v", op.Out, op.Leaving)
			}
			d.check()
			if keeps {
				_, err := d.rt.Join(d.ctx, d.org, who, c.ID, switchboard.RoleHold)
				d.refused("a take-over by who leaves", err, switchboard.CodeLeaving, "")
				_, err = d.rt.Transfer(d.ctx, d.org, Transfer{Chat: c.ID, By: 1, Operator: who, Team: new(switchboard.TeamID)})
				d.refused("a transfer to who leaves", err, switchboard.CodeLeaving, "operator")
				d.must(d.rt.EndPart(d.ctx, d.org, who, c.ID, who))
			}
			if op := d.operator(who); !op.Out || len(op.Work) != 0 {
				t.Errorf("out %v with %v", op.Out, op.Work)
			}
			d.role(c.ID, who, "")
			d.role(c.ID, 1, switchboard.RoleHold)
			_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, who, switchboard.RoleConsult, "")
			d.refused("an invite to who is out", err, switchboard.CodeOffline, "operator")
			d.check()
		})
	}
}

// Who holds the chat is lost, leaves, or the chat ends: every part and invite ends in
// that step, and an operator who takes part and is lost leaves the chat whose it is.
func TestPartsEndWithTheChatAndWithTheirPeople(t *testing.T) {
	for name, end := range map[string]func(d *desk, c Chat){
		"closed":                   func(d *desk, c Chat) { _, err := d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done"); d.must(err) },
		"handed over to the queue": func(d *desk, c Chat) { d.move(Transfer{Chat: c.ID, By: 1, Queue: true}) },
		"sign-out":                 func(d *desk, c Chat) { _, err := d.reg.SignOut(d.ctx, d.org, 1, presence.SignOutHandOver); d.must(err) },
		"lost": func(d *desk, c Chat) {
			d.must(d.reg.Leave(d.ctx, d.org, "o1", 0, func() bool { return false }))
			d.ring()
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFloor(t, 4, 1)
			c := d.held("a", 1)
			for op, role := range map[switchboard.OperatorID]string{2: switchboard.RoleConsult, 3: switchboard.RoleJoin} {
				_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, op, role, "")
				d.must(err)
				_, token := d.invite(c.ID)
				d.accept(op, c.ID, token)
			}
			_, err := d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleMonitor)
			d.must(err)
			d.move(Transfer{Chat: c.ID, By: 1, Operator: 4})
			d.check()
			end(d, c)
			for _, op := range []switchboard.OperatorID{2, 3, 90} {
				for item := range d.operator(op).Work {
					if item != fmt.Sprintf("offer:%d", c.ID) {
						t.Errorf("operator %d holds %s", op, item)
					}
				}
			}
			if now := d.chat(c.ID); len(now.With)+len(now.Invites) != 0 || now.Operator == 1 && now.State == switchboard.ChatActive {
				t.Errorf("%+v", now)
			}
			d.check()
		})
	}
	d := newFloor(t, 2, 1)
	c := d.held("a", 1)
	_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, 2, switchboard.RoleJoin, "")
	d.must(err)
	op, token := d.invite(c.ID)
	d.accept(op, c.ID, token)
	d.must(d.reg.Leave(d.ctx, d.org, "o2", 0, func() bool { return false }))
	d.role(c.ID, 2, "")
	d.role(c.ID, 1, switchboard.RoleHold)
	d.check()
}

// After a failover that lost them, the people of a chat are asserted with it, whether
// its record or theirs comes first; who is not seen again goes.
func TestPartsAreAssertedAfterAFailover(t *testing.T) {
	d := newFloor(t, 3, 2)
	c := d.held("a", 1)
	for op, role := range map[switchboard.OperatorID]string{2: switchboard.RoleConsult, 3: switchboard.RoleJoin} {
		_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, op, role, "")
		d.must(err)
		_, token := d.invite(c.ID)
		d.accept(op, c.ID, token)
	}
	b := d.reg.Partition(d.org).Block(d.org)
	record, err := d.rdb.HGet(d.ctx, b.Chat, fmt.Sprint(c.ID)).Result()
	d.must(err)
	people := map[int]string{}
	for id := 1; id <= 3; id++ {
		people[id], err = d.rdb.HGet(d.ctx, b.Op, fmt.Sprint(id)).Result()
		d.must(err)
	}
	d.must(d.rdb.HDel(d.ctx, b.Chat, fmt.Sprint(c.ID)).Err())
	d.must(d.rdb.HDel(d.ctx, b.Op, "1", "2", "3").Err())
	d.must(d.reg.Restore(d.ctx, d.org, true, []string{people[1], people[3]})) // 2's node is late
	for range 2 {
		if what, err := d.rt.Restore(d.ctx, d.org, record); err != nil || what != "active" && what != "kept" {
			t.Fatal(what, err)
		}
	}
	d.role(c.ID, 3, switchboard.RoleJoin)
	d.must(d.reg.Restore(d.ctx, d.org, true, []string{people[2]}))
	if what, err := d.rt.Restore(d.ctx, d.org, record); err != nil || what != "kept" {
		t.Fatal(what, err)
	}
	d.role(c.ID, 1, switchboard.RoleHold)
	d.role(c.ID, 2, switchboard.RoleConsult)
	d.check()
	d.must(d.rdb.HDel(d.ctx, b.Op, "2").Err())
	d.must(d.rdb.HDel(d.ctx, b.Chat, fmt.Sprint(c.ID)).Err())
	if what, err := d.rt.Restore(d.ctx, d.org, record); err != nil || what != "active" {
		t.Fatal(what, err)
	}
	d.warp(31 * time.Second)
	d.role(c.ID, 2, "")
	d.role(c.ID, 3, switchboard.RoleJoin)
	if got := d.chat(c.ID); len(got.With) != 1 {
		t.Errorf("%v", got.With)
	}
}

// who monitors a chat and is asked to take it is silent, as anybody may be: the
// invite ends with its deadline, its units are free, and they monitor on. Who takes it
// monitors no more, and the audit says so. (Red with stay.lua seeing only the part, and
// without the audit in hand.)
func TestInviteOfWhoMonitorsEnds(t *testing.T) {
	d := newFloor(t, 2, 2)
	c := d.held("a", 1)
	d.must(d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: 90, Name: "Sue", Role: switchboard.RoleSupervisor, Limit: 1, Teams: []switchboard.TeamID{7}}}))
	_, err := d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleMonitor)
	d.must(err)
	for _, answers := range []bool{false, true} {
		d.intent(90, switchboard.StatusAvailable)
		if out := d.move(Transfer{Chat: c.ID, By: 1, Operator: 90}); out.Outcome != TransferAsked {
			t.Fatalf("%+v", out)
		}
		d.check()
		if answers {
			op, token := d.invite(c.ID)
			d.accept(op, c.ID, token)
			d.role(c.ID, 90, switchboard.RoleHold)
			continue
		}
		d.warp(16 * time.Second)
		if left := d.chat(c.ID).Invites; len(left) != 0 || d.units(90) != 0 {
			t.Fatalf("the invite goes on: %v, %d units", left, d.units(90))
		}
		d.role(c.ID, 90, switchboard.RoleMonitor)
	}
	d.check()
	ended := 0
	d.must(d.reg.Audit(d.ctx, d.org, 0, 1<<53, func(a presence.Audited) bool {
		if a.Chat == c.ID && a.What == "monitoring ended" {
			ended++
		}
		return true
	}))
	if ended != 1 {
		t.Errorf("the audit has %d ends of the monitoring", ended)
	}
}

// A refused join leaves an invite as it was, with its deadline and its units. (Red with
// the invite ended before the refusal.)
func TestRefusedJoinLeavesTheInvite(t *testing.T) {
	d := newFloor(t, 2, 2)
	c := d.held("a", 1)
	_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, 90, switchboard.RoleConsult, "")
	d.must(err)
	d.must(d.reg.Leave(d.ctx, d.org, "o90", time.Hour, func() bool { return false }))
	_, err = d.rt.Join(d.ctx, d.org, 90, c.ID, switchboard.RoleJoin)
	d.refused("a join out of the grace", err, switchboard.CodeOffline, "operator")
	if op, _ := d.invite(c.ID); op != 90 {
		t.Errorf("operator %d is invited", op)
	}
	d.check()
}

// L-9: a later copy of a chat is asserted, in which somebody whose logout waits for
// their part still has it: the part goes on and keeps them in. A silent chat that comes
// back with its units puts its operator over the limit, and that is audited. What
// an operator wrote is lost with the log: the chat is not taken away for it. (Red
// without each of the three in restore.lua.)
func TestLaterCopyOfAChatKeepsWhoLeavesIn(t *testing.T) {
	d := newFloor(t, 2, 1)
	d.must(d.reg.PutTeam(d.ctx, d.org, presence.Team{ID: 7, Name: "Sales", OfferMS: 15_000, Timers: presence.Timers{SilentMS: 60_000, ReplyMS: 120_000}}))
	c := d.held("a", 1)
	_, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, 2, switchboard.RoleJoin, "")
	d.must(err)
	op, token := d.invite(c.ID)
	d.accept(op, c.ID, token)
	_, err = d.reg.SignOut(d.ctx, d.org, 2, presence.SignOutDrain)
	d.must(err)
	d.write("o1", c.ID, "hello")
	d.warp(61 * time.Second)
	d.held("b", 1)
	if d.chat(c.ID).Dozes != 1 || d.units(1) != 1 {
		t.Fatalf("%+v", d.chat(c.ID))
	}
	b := d.reg.Partition(d.org).Block(d.org)
	raw, err := d.rdb.HGet(d.ctx, b.Chat, fmt.Sprint(c.ID)).Result()
	d.must(err)
	var record map[string]any
	d.must(json.Unmarshal([]byte(raw), &record))
	record["rev"] = record["rev"].(float64) + 5
	later, err := json.Marshal(record)
	d.must(err)
	k := keysOf(d.reg.Partition(d.org), d.org, c.ID)
	d.must(d.rdb.Del(d.ctx, k.log, k.cmid).Err())
	if what, err := d.rt.Restore(d.ctx, d.org, string(later)); err != nil || what != "active" {
		t.Fatal(what, err)
	}
	d.role(c.ID, 2, switchboard.RoleJoin)
	if op := d.operator(2); op.Out || op.Leaving == nil {
		t.Errorf("out %v, leaving %v", op.Out, op.Leaving)
	}
	d.check()
	if d.units(1) != 2 || d.chat(c.ID).Back != 1 {
		t.Errorf("%d units: %+v", d.units(1), d.chat(c.ID))
	}
	audit, err := d.rdb.XRevRangeN(d.ctx, d.reg.Partition(d.org).Key(d.org, "audit"), "+", "-", 1).Result()
	if err != nil || fmt.Sprint(audit[0].Values["what"], audit[0].Values["units"], audit[0].Values["limit"]) != "over the limit21" {
		t.Errorf("the audit says %v, %v", audit, err)
	}
	d.warp(121 * time.Second)
	d.role(c.ID, 1, switchboard.RoleHold)
}

// Who takes part may go, and may send nobody else away: neither who came in as they did
// nor who is only asked. A stranger learns nothing of the chat. (Red without the check of
// who asks in part.lua.)
func TestOnlyTheHolderSendsOthersAway(t *testing.T) {
	d := newFloor(t, 4, 2)
	c := d.held("a", 1)
	consult := func(op switchboard.OperatorID, accept bool) {
		t.Helper()
		if _, err := d.rt.Invite(d.ctx, d.org, 1, c.ID, op, switchboard.RoleConsult, ""); err != nil {
			t.Fatal(err)
		}
		if accept {
			op, token := d.invite(c.ID)
			d.accept(op, c.ID, token)
		}
	}
	consult(2, true)
	consult(3, false)
	for _, by := range []struct {
		op   switchboard.OperatorID
		code switchboard.Code
	}{{2, switchboard.CodeForbidden}, {4, switchboard.CodeNotFound}} {
		if err := d.rt.EndPart(d.ctx, d.org, by.op, c.ID, 3); switchboard.CodeOf(err) != by.code {
			t.Errorf("operator %d withdraws the invite: %v", by.op, err)
		}
	}
	op, token := d.invite(c.ID)
	d.accept(op, c.ID, token)
	if err := d.rt.EndPart(d.ctx, d.org, 2, c.ID, 3); switchboard.CodeOf(err) != switchboard.CodeForbidden {
		t.Errorf("one who is consulted sends another away: %v", err)
	}
	d.role(c.ID, 3, switchboard.RoleConsult)
	d.must(d.rt.EndPart(d.ctx, d.org, 2, c.ID, 2))
	d.role(c.ID, 2, "")
	d.check()
}
