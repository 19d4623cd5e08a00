package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

func (d *desk) units(op switchboard.OperatorID) (sum int) {
	d.t.Helper()
	for _, n := range d.operator(op).Work {
		sum += n
	}
	return sum
}

// A silent chat gives its units back once and the next one comes; when its visitor
// writes it takes them again, once, over the limit too: no new chat comes before
// the operator is below it, and the audit says so. It stays its operator's and
// keeps a logout waiting. (Red with hold left out of doze.lua and of wake.lua, with
// the limit ignored in the audit, with no deadline set by append.lua, and with lively
// doing nothing.)
func TestSilentChatGivesItsUnitsBackAndTakesThemAgain(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Units: 2, OfferMS: 600_000, Timers: presence.Timers{SilentMS: 60_000}})
	d.operators(1, 1, 2)
	c := d.active("a")
	waits := d.start("b")
	d.holds("the operator is full", waits.ID, switchboard.ChatWaiting, 0)
	d.warp(50 * time.Second)
	d.write("va", c.ID, "one moment")
	d.warp(50 * time.Second)
	d.write("o1", c.ID, "take your time") // it is the visitor's silence that counts
	d.warp(9 * time.Second)
	if got := d.units(1); got != 2 {
		t.Errorf("the visitor wrote 59 s ago and the chat takes %d units", got)
	}
	d.warp(2 * time.Second)
	d.holds("the slot went to the next", waits.ID, switchboard.ChatOffered, 1)
	if got := d.chat(c.ID); got.State != switchboard.ChatActive || got.Operator != 1 || got.Dozes != 1 {
		t.Errorf("the silent chat: %+v", got)
	}
	d.warp(200 * time.Second)
	if got := d.units(1); got != 2 {
		t.Errorf("given back more than once: %d units held", got)
	}
	d.check()
	waits = d.chat(waits.ID)
	if _, err := d.rt.Accept(d.ctx, d.org, 1, waits.ID, waits.Token); err != nil {
		t.Fatal(err)
	}
	third := d.start("c")

	d.write("va", c.ID, "back again")
	if got := d.chat(c.ID); got.Dozes != 0 || got.Back != 1 || d.units(1) != 4 {
		t.Errorf("the visitor is back: %+v, %d units held", got, d.units(1))
	}
	d.write("va", c.ID, "hello?")
	d.ring()
	if got := d.units(1); got != 4 {
		t.Errorf("taken twice: %d units", got)
	}
	audit, err := d.rdb.XRevRangeN(d.ctx, d.reg.Partition(d.org).Key(d.org, "audit"), "+", "-", 1).Result()
	if err != nil || fmt.Sprint(audit[0].Values["what"], audit[0].Values["units"], audit[0].Values["limit"]) != "over the limit42" {
		t.Errorf("the audit says %v, %v", audit, err)
	}
	d.check()
	if _, err := d.rt.Close(d.ctx, d.org, "vb", false, waits.ID, "done"); err != nil {
		t.Fatal(err)
	}
	d.holds("at the limit", third.ID, switchboard.ChatWaiting, 0)
	d.warp(61 * time.Second)
	d.holds("silent again", third.ID, switchboard.ChatOffered, 1)
	if err := d.rt.Decline(d.ctx, d.org, 1, third.ID, d.chat(third.ID).Token); err != nil {
		t.Fatal(err)
	}
	if err := d.reg.NewOrder(d.ctx, d.org, presence.OrderSpec{ID: 71, Operators: []switchboard.OperatorID{1}, By: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.reg.WorkOrder(d.ctx, d.org, 71, 10); err != nil {
		t.Fatal(err)
	}
	if op := d.operator(1); op.Leaving == nil || op.Out {
		t.Errorf("a silent chat keeps nobody in: %+v", op)
	}
	if _, err := d.rt.Close(d.ctx, d.org, "va", false, c.ID, "done"); err != nil {
		t.Fatal(err)
	}
	if op := d.operator(1); !op.Out || len(op.Work) != 0 {
		t.Errorf("after its end: %+v", op)
	}
	d.check()
}

// V-1: a team that asks troubles no operator with a visitor who has shown no sign of life:
// the visitor is asked; an answer, or a message, brings the offer; without either the
// chat is parked and a late answer brings it back to its place, or it is removed. Who has
// just come, or just written, is not asked. (Red without there(), with its time ignored,
// with the deadline doing nothing, and with append.lua noting no sign of life.)
func TestVisitorIsAskedBeforeAnOperatorIs(t *testing.T) {
	d := newDesk(t)
	team := presence.Team{Name: "Everyone", Gone: presence.GoneAsk, OfferMS: 600_000, Timers: presence.Timers{StillAfterMS: 60_000, StillMS: 30_000}}
	d.set(team)
	come := func(v string) Chat {
		t.Helper()
		if _, err := d.reg.Enter(d.ctx, d.org, switchboard.VisitorPerson(v), 0); err != nil {
			t.Fatal(err)
		}
		return d.start(v)
	}
	quiet, writes, late := come("a"), come("b"), come("d")
	d.warp(50 * time.Second)
	d.write("vb", writes.ID, "still waiting")
	d.warp(20 * time.Second)
	fresh := come("c")
	d.operators(1, 1, 9)
	d.match()
	for _, c := range []Chat{quiet, late} {
		d.holds("is asked", c.ID, switchboard.ChatWaiting, 0)
		if got := d.chat(c.ID); got.Still == 0 {
			t.Errorf("chat %d is not asked: %+v", c.ID, got)
		}
		if e, _ := d.why(c.ID); e.Waits != "still" || e.Because == "" {
			t.Errorf("why: %+v", e)
		}
	}
	d.holds("who wrote is not asked", writes.ID, switchboard.ChatOffered, 1)
	d.holds("nor who has just come", fresh.ID, switchboard.ChatOffered, 1)
	d.check()
	if err := d.rt.Here(d.ctx, d.org, "vb", quiet.ID); switchboard.CodeOf(err) != switchboard.CodeNotFound {
		t.Errorf("another visitor answers: %v", err)
	}
	d.write("va", quiet.ID, "yes")
	d.holds("a message answers", quiet.ID, switchboard.ChatOffered, 1)
	d.warp(31 * time.Second)
	d.holds("no answer", late.ID, switchboard.ChatParked, 0)
	d.check()
	if err := d.rt.Here(d.ctx, d.org, "vd", late.ID); err != nil {
		t.Fatal(err)
	}
	d.holds("a late answer", late.ID, switchboard.ChatOffered, 1)
	if got := d.chat(late.ID); got.Rank != late.Rank || got.Still != 0 {
		t.Errorf("it came back as %+v", got)
	}
	d.check()

	team.StillThen = presence.GoneRemove
	d.set(team)
	d.intent(1, switchboard.StatusBreak)
	gone := come("e")
	d.warp(61 * time.Second)
	d.intent(1, switchboard.StatusAvailable)
	d.match()
	d.warp(31 * time.Second)
	if got := d.chat(gone.ID); got.State != switchboard.ChatClosed || got.Reason != "visitor_left" {
		t.Errorf("it is %s (%s)", got.State, got.Reason)
	}
	if got := d.texts(gone.ID); !strings.HasPrefix(got, "ve: hello") {
		t.Errorf("its log: %s", got)
	}
	d.check()
}

// V-1: a visitor's own words answer the question in the step that stores them: when
// nothing follows it (the node dies, the store is away), the deadline acts on the
// answer: an asked chat is offered, a parked one comes back, none is parked or closed.
// (Red with c.still left as it was by append.lua, with its deadline not set there, and
// with still.lua taking every deadline for silence.)
func TestVisitorsWordsAreAnAnswerWithoutASecondCall(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Gone: presence.GoneAsk, OfferMS: 600_000, Timers: presence.Timers{StillAfterMS: 60_000, StillMS: 30_000}})
	asked, late := d.start("a"), d.start("b")
	d.warp(61 * time.Second)
	d.operators(1, 1, 9)
	d.match()
	words := func(c Chat) {
		t.Helper()
		if _, _, err := d.rt.store(d.ctx, d.org, Draft{From: c.Visitor, Chat: c.ID, Cmid: "here", Text: "I am here"}); err != nil {
			t.Fatal(err)
		}
		if got := d.chat(c.ID); got.Still != 0 {
			t.Errorf("chat %d is still asked: %+v", c.ID, got)
		}
	}
	if d.chat(asked.ID).Still == 0 || d.chat(late.ID).Still == 0 {
		t.Fatal("nobody is asked")
	}
	words(asked)
	d.warp(31 * time.Second)
	d.holds("an answer in time", asked.ID, switchboard.ChatOffered, 1)
	d.holds("no answer", late.ID, switchboard.ChatParked, 0)
	words(late)
	d.ring()
	d.holds("a late answer", late.ID, switchboard.ChatOffered, 1)
	d.warp(SilentAfter + time.Second)
	d.holds("it is not closed", late.ID, switchboard.ChatOffered, 1)
	d.check()
}

// V-1: the chat of a visitor who has no connection, opened by the customer's server,
// troubles no operator before its visitor comes, unless the team says so; either way
// it ends when nobody comes. (Red with start.lua knowing nothing of connections.)
func TestChatOfAVisitorWhoHasNotCome(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 1, 9)
	for _, policy := range []string{"", presence.GonePark, presence.GoneRemove, presence.GoneAsk, presence.GoneOffer} {
		d.set(presence.Team{Name: "Everyone", Gone: policy, OfferMS: 600_000, Timers: presence.Timers{StillAfterMS: 600_000}})
		open := func(v string) Chat {
			t.Helper()
			c, _, err := d.rt.Start(d.ctx, d.org, Opening{Visitor: switchboard.VisitorPerson(v + policy), Cmid: "first", Text: "hello"})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		comes, never := open("a"), open("b")
		state, op := switchboard.ChatParked, switchboard.OperatorID(0)
		if policy == presence.GoneOffer {
			state, op = switchboard.ChatOffered, 1
		}
		d.warp(time.Minute)
		d.holds(policy+": before its visitor comes", comes.ID, state, op)
		d.holds(policy+": of who never comes", never.ID, state, op)
		d.check()
		if _, err := d.reg.Enter(d.ctx, d.org, comes.Visitor, 0); err != nil {
			t.Fatal(err)
		}
		d.ring()
		d.holds(policy+": its visitor is here", comes.ID, switchboard.ChatOffered, 1)
		d.warp(SilentAfter)
		d.holds(policy+": and stays", comes.ID, switchboard.ChatOffered, 1)
		if got := d.chat(never.ID); got.State != switchboard.ChatClosed || got.Reason != "visitor_left" {
			t.Errorf("%s: nobody came, and the chat is %s (%s)", policy, got.State, got.Reason)
		}
		d.check()
		if _, err := d.rt.Close(d.ctx, d.org, comes.Visitor, false, comes.ID, "done"); err != nil {
			t.Fatal(err)
		}
	}
}

// A visitor who comes back is there: nothing is asked, and what was asked is answered.
// (Red with c.seen left as it was in visitor.lua.)
func TestVisitorWhoReturnsIsThere(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Gone: presence.GoneAsk, Timers: presence.Timers{StillAfterMS: 60_000, StillMS: 30_000}})
	if _, err := d.reg.Enter(d.ctx, d.org, "va", 0); err != nil {
		t.Fatal(err)
	}
	c := d.start("a")
	d.warp(61 * time.Second)
	if err := d.reg.Leave(d.ctx, d.org, "va", 0, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	d.ring()
	d.holds("the visitor is gone", c.ID, switchboard.ChatParked, 0)
	d.operators(1, 1, 9)
	if _, err := d.reg.Enter(d.ctx, d.org, "va", 0); err != nil {
		t.Fatal(err)
	}
	d.ring()
	d.holds("and is back", c.ID, switchboard.ChatOffered, 1)
	d.check()
}

// V-1: a visitor who is asked, and whose chat a supervisor gives to somebody meanwhile,
// is not asked any more; when that is declined they are asked anew, and the time to
// answer ends as ever. (Red with the question left standing in give.)
func TestVisitorIsAskedAnewAfterAnOffer(t *testing.T) {
	d := newFloor(t, 2, 1)
	d.must(d.reg.PutTeam(d.ctx, d.org, presence.Team{ID: 7, Name: "Sales", Gone: presence.GoneAsk, OfferMS: 600_000, PauseMS: 1000,
		Timers: presence.Timers{StillAfterMS: 60_000, StillMS: 30_000}}))
	d.intent(1, switchboard.StatusBreak)
	d.intent(2, switchboard.StatusBreak)
	c := d.startIn("a", 7)
	d.warp(61 * time.Second)
	d.intent(1, switchboard.StatusAvailable)
	d.match()
	if got := d.chat(c.ID); got.Still == 0 {
		t.Fatalf("not asked: %+v", got)
	}
	d.warp(20 * time.Second)
	if out := d.move(Transfer{Chat: c.ID, By: 90, Operator: 1}); out.Outcome != TransferOffered {
		t.Fatalf("%+v", out)
	}
	d.warp(15 * time.Second)
	d.must(d.rt.Decline(d.ctx, d.org, 1, c.ID, d.chat(c.ID).Token))
	d.warp(time.Second)
	if got := d.chat(c.ID); got.State != switchboard.ChatWaiting || got.Still == 0 {
		t.Errorf("declined: %+v", got)
	}
	d.warp(31 * time.Second)
	d.holds("no answer", c.ID, switchboard.ChatParked, 0)
	d.check()
	// To the person it is offered to already: the units of that offer count once.
	d.must(d.rt.Here(d.ctx, d.org, c.Visitor, c.ID))
	d.holds("a late answer", c.ID, switchboard.ChatOffered, 1)
	if out := d.move(Transfer{Chat: c.ID, By: 90, Operator: 1}); out.Outcome != TransferOffered || d.units(1) != 1 {
		t.Errorf("assigned to whom it is offered: %+v", out)
	}
	d.check()
}

// V-1, L-7: a chat that its operator must give back, or that a lost one leaves, is that
// of a visitor who talked a moment ago: they are not asked whether they are there. One
// whose visitor is gone troubles nobody. (Red with c.seen left as it was in enqueue, and
// in giveBack; and with no alarm there.)
func TestVisitorOfAChatThatComesBack(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Gone: presence.GoneAsk, OfferMS: 600_000, Timers: presence.Timers{StillAfterMS: 60_000, StillMS: 30_000}})
	for op, leave := range map[switchboard.OperatorID]func(){
		1: func() { _, err := d.reg.SignOut(d.ctx, d.org, 1, presence.SignOutHandOver); d.must(err) },
		2: func() { d.lose(2) },
	} {
		v := fmt.Sprint("v", op)
		if _, err := d.reg.Enter(d.ctx, d.org, switchboard.PersonID("v"+v), 0); err != nil {
			t.Fatal(err)
		}
		d.operators(int(op), 1, 1)
		c := d.active(v)
		d.warp(100 * time.Second)
		d.write(c.Visitor, c.ID, "and then?")
		leave()
		d.operators(int(op)+10, 1, 1)
		d.match()
		d.holds(fmt.Sprint("the chat of operator ", op), c.ID, switchboard.ChatOffered, op+10)
		d.check()
	}
	gone := switchboard.PersonID("vc")
	if _, err := d.reg.Enter(d.ctx, d.org, gone, 0); err != nil {
		t.Fatal(err)
	}
	d.operators(3, 1, 1)
	c := d.active("c")
	d.must(d.reg.Leave(d.ctx, d.org, gone, 0, func() bool { return false }))
	d.ring()
	_, err := d.reg.SignOut(d.ctx, d.org, 3, presence.SignOutHandOver)
	d.must(err)
	d.ring()
	d.holds("the visitor is gone", c.ID, switchboard.ChatParked, 0)
	d.check()
}

// A line of hundreds whose visitors are asked, or who were declined by all who are free,
// does not hide the one behind them who can be served at once. (Red without goOn.)
func TestAChatBehindHundredsThatNobodyMayHaveIsFound(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Gone: presence.GoneAsk, OfferMS: 600_000, Timers: presence.Timers{StillAfterMS: 60_000, StillMS: 600_000}})
	const silent = 600
	for i := range silent {
		d.start(fmt.Sprint("s", i))
	}
	d.warp(61 * time.Second)
	d.operators(1, 1, 9)
	d.match()
	fresh := d.start("fresh")
	d.match()
	d.holds("behind those who are asked", fresh.ID, switchboard.ChatOffered, 1)
	for _, at := range []int{0, silent - 1} {
		if c := mustOpen(t, d, switchboard.VisitorPerson(fmt.Sprint("s", at))); c.State != switchboard.ChatWaiting || c.Still == 0 {
			t.Errorf("silent %d: %+v", at, c)
		}
	}
	d.write("vs599", mustOpen(t, d, "vs599").ID, "I am")
	d.match()
	d.holds("the last of them answers", mustOpen(t, d, "vs599").ID, switchboard.ChatOffered, 1)
	d.check()
	if left, err := d.rdb.HGet(d.ctx, d.reg.Partition(d.org).Key(d.org, "org"), "scan").Result(); err != redis.Nil {
		t.Errorf("a scan that has come to its end is kept: %q, %v", left, err)
	}
}
