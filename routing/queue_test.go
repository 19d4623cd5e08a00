package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// The longest idle is asked first; who holds something comes after all who hold
// nothing, and who just came after those who waited longer. A reload changes no
// place.
func TestStrategyLongestIdle(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Strategy: presence.LongestIdle, AutoAccept: true})
	d.operators(1, 3, 5) // 1, 2, 3 begin in this order
	first := d.start("a")
	d.holds("the first to come", first.ID, switchboard.ChatActive, 1)
	d.holds("the second", d.start("b").ID, switchboard.ChatActive, 2)
	if err := d.reg.Leave(d.ctx, d.org, "o3", time.Minute, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	d.operators(4, 1, 5)
	d.online(3) // within grace
	if _, err := d.rt.Close(d.ctx, d.org, "va", false, first.ID, "done"); err != nil {
		t.Fatal(err)
	}
	d.holds("3 has waited the longest", d.start("c").ID, switchboard.ChatActive, 3)
	d.holds("then 4", d.start("d").ID, switchboard.ChatActive, 4)
	d.holds("then 1, whose chat has ended", d.start("e").ID, switchboard.ChatActive, 1)
	d.holds("then of those who hold one", d.start("f").ID, switchboard.ChatActive, 2)
	d.check()
}

// the pointer of round robin moves inside the claim; it goes over all
// groups of the team.
func TestStrategyRoundRobinGoesRoundOverSkillsToo(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Strategy: presence.RoundRobin, AutoAccept: true})
	for id := switchboard.OperatorID(1); id <= 4; id++ {
		d.skilled(id, 50, map[string]int{"even": int(id+1)%2*9 + 1})
	}
	for i, want := range []switchboard.OperatorID{1, 2, 3, 4, 1, 2} {
		d.holds("in turn", d.start(fmt.Sprint("a", i)).ID, switchboard.ChatActive, want)
	}
	skilled := func(v string) switchboard.ChatID {
		return d.open(Opening{Visitor: switchboard.VisitorPerson(v), Skills: []Need{{Skill: "even", Level: 10}}}).ID
	}
	d.holds("of the skilled, the next after 2", skilled("b1"), switchboard.ChatActive, 4)
	d.holds("and round", skilled("b2"), switchboard.ChatActive, 2)
	d.holds("and on", d.start("c").ID, switchboard.ChatActive, 3)
	d.check()
}

// a returning visitor's chat is for the last operator, if routable now; while
// that one is here but full it waits as long as the team says, and no longer.
func TestStrategyLastOperator(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", LastOperator: true, LastWaitMS: 30_000, OfferMS: 600_000})
	d.operators(1, 2, 1)
	finish := func(c Chat) {
		t.Helper()
		c = d.chat(c.ID)
		if c.State == switchboard.ChatOffered {
			if _, err := d.rt.Accept(d.ctx, d.org, c.Operator, c.ID, c.Token); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done"); err != nil {
			t.Fatal(err)
		}
	}
	first := d.start("a")
	last, other := first.Operator, 3-first.Operator
	finish(first)
	again := d.start("a") // the other is now the less recently used
	d.holds("back to the last", again.ID, switchboard.ChatOffered, last)
	finish(again)
	taken := d.start("b")
	d.holds("the other is less recently used", taken.ID, switchboard.ChatOffered, other)
	finish(taken)
	full := d.start("c")
	d.holds("a newcomer takes the slot", full.ID, switchboard.ChatOffered, last)
	waits := d.start("a")
	d.holds("the last is here but full", waits.ID, switchboard.ChatWaiting, 0)
	d.holds("another visitor is not held up", d.start("d").ID, switchboard.ChatOffered, other)
	finish(full)
	d.holds("the slot is free", waits.ID, switchboard.ChatOffered, last)
	finish(waits)
	full = d.start("e")
	waits = d.start("a")
	d.holds("waits", waits.ID, switchboard.ChatWaiting, 0)
	d.check()
	finish(Chat{ID: d.snapshot("vd"), Visitor: "vd"})
	d.holds("within the wait", waits.ID, switchboard.ChatWaiting, 0)
	d.warp(31 * time.Second)
	d.holds("after the wait", waits.ID, switchboard.ChatOffered, other)
	finish(waits)
	finish(full)
	// Who is on a break is not waited for.
	d.intent(other, switchboard.StatusBreak)
	d.holds("the last is on a break", d.start("a").ID, switchboard.ChatOffered, last)
	d.check()
}

func (d *desk) snapshot(v switchboard.PersonID) switchboard.ChatID {
	d.t.Helper()
	s, err := d.rt.Snapshot(d.ctx, d.org, v)
	if err != nil || len(s.Chats) != 1 {
		d.t.Fatalf("%s has %d chats, %v", v, len(s.Chats), err)
	}
	return s.Chats[0].ID
}

func (d *desk) intent(op switchboard.OperatorID, status string) {
	d.t.Helper()
	if _, err := d.reg.SetStatus(d.ctx, d.org, op, presence.StatusChange{Status: status, Source: "operator"}); err != nil {
		d.t.Fatal(err)
	}
	d.match()
}

// operators of a team that picks see the queue and take from it; of many
// one wins; over the limit only with the permission, and it is audited.
func TestStrategyPickIsAClaimFromAVisibleQueue(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{ID: 4, Strategy: presence.Pick})
	for id := switchboard.OperatorID(1); id <= 3; id++ {
		d.skilled(id, 1, nil, 4)
	}
	d.skilled(4, 1, nil)
	var chats []Chat
	for i := range 3 {
		chats = append(chats, d.open(Opening{Visitor: switchboard.VisitorPerson(fmt.Sprint("p", i)), Team: 4}))
		d.holds("nobody is asked", chats[i].ID, switchboard.ChatWaiting, 0)
	}
	list, err := d.rt.Queue(d.ctx, d.org, 4, 10)
	if err != nil || len(list) != 3 || list[0].ID != chats[0].ID || list[2].Place != 3 {
		t.Fatalf("the queue shows %v, %v", list, err)
	}
	claim := func(op switchboard.OperatorID, c Chat, over bool, code switchboard.Code, word string) {
		t.Helper()
		_, err := d.rt.Claim(d.ctx, d.org, op, c.ID, over)
		if switchboard.CodeOf(err) != code || (err != nil && !strings.Contains(err.Error(), word)) {
			t.Errorf("operator %d claims chat %d: %v, want %q with %q", op, c.ID, err, code, word)
		}
	}
	claim(4, chats[1], false, switchboard.CodeForbidden, "another team")
	claim(2, chats[1], false, "", "")
	claim(2, chats[1], false, "", "") // a repeat
	claim(1, chats[1], false, switchboard.CodeConflict, "Operator 2 has the chat")
	claim(2, chats[0], false, switchboard.CodeConflict, "limit")
	claim(2, chats[0], true, switchboard.CodeForbidden, "limit")
	d.intent(3, switchboard.StatusBreak)
	claim(3, chats[0], false, switchboard.CodeConflict, "not Available")
	yes := true
	if err := d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: 2, Over: &yes}}); err != nil {
		t.Fatal(err)
	}
	claim(2, chats[0], true, "", "")
	audit, err := d.rdb.XRevRangeN(d.ctx, d.reg.Partition(d.org).Key(d.org, "audit"), "+", "-", 1).Result()
	if err != nil || len(audit) != 1 || audit[0].Values["what"] != "over the limit" || audit[0].Values["who"] != "2" {
		t.Errorf("the audit says %v, %v", audit, err)
	}
	d.check()
}

// Rank: priority, then arrival; A-11. A chat is overtaken by at most PriorityStep
// later ones for each level, however many of them come.
func TestQueueIsOvertakenByAStatedNumberOnly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		step := rapid.IntRange(1, 5).Draw(rt, "step")
		d.set(presence.Team{Name: "Everyone", PriorityStep: step})
		prios := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 40).Draw(rt, "priorities")
		for i, p := range prios {
			if _, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(fmt.Sprint("q", i)), Priority: p}); err != nil {
				rt.Fatal(err)
			}
		}
		list, err := d.rt.Queue(d.ctx, d.org, 0, 200)
		if err != nil || len(list) != len(prios) {
			rt.Fatalf("%d wait, %v", len(list), err)
		}
		before := map[switchboard.ChatID]int{}
		for at, c := range list {
			overtaken := 0
			for _, other := range list[:at] {
				if other.ID > c.ID {
					overtaken++
					if other.Priority <= c.Priority {
						rt.Fatalf("chat %d of priority %d is overtaken by the later %d of %d", c.ID, c.Priority, other.ID, other.Priority)
					}
				}
			}
			if most := step * (3 - c.Priority); overtaken > most {
				rt.Fatalf("chat %d is overtaken by %d, at most %d were promised", c.ID, overtaken, most)
			}
			before[c.ID] = at
		}
		// Who was there at the same time goes by priority within the step.
		if len(prios) > 1 && prios[1] > prios[0] && step >= 2 && before[list[0].ID] == before[1] {
			rt.Fatalf("priority %d came before %d", prios[0], prios[1])
		}
	})
}

// A queue has its length; what is beyond goes to the overflow team, or is told so.
// Who waits too long goes there too, with rank and waiting time kept.
func TestQueueLengthAndOverflow(t *testing.T) {
	d := newDesk(t)
	five := switchboard.TeamID(5)
	d.set(presence.Team{ID: 5, QueueMax: 2})
	d.set(presence.Team{ID: 4, QueueMax: 2, OverflowMS: 60_000, OverflowTeam: &five})
	open := func(v string) (Chat, error) {
		c, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(v), Team: 4})
		return c, err
	}
	var chats []Chat
	for i, team := range []switchboard.TeamID{4, 4, 5, 5} {
		c, err := open(fmt.Sprint("f", i))
		if err != nil || c.Team != team {
			t.Fatalf("chat %d is in team %d (%v), want %d", i, c.Team, err, team)
		}
		chats = append(chats, c)
	}
	_, err := open("full")
	if switchboard.CodeOf(err) != switchboard.CodeConflict {
		t.Errorf("beyond both: %v, want conflict", err)
	}
	if s, err := d.rt.Snapshot(d.ctx, d.org, "vfull"); err != nil || len(s.Chats) != 0 {
		t.Errorf("the refused visitor has %d chats, %v", len(s.Chats), err)
	}
	d.warp(61 * time.Second)
	c := d.chat(chats[0].ID)
	if c.Team != 5 || c.Rank != chats[0].Rank {
		t.Errorf("after a minute chat %d is in team %d at rank %d, was %d", c.ID, c.Team, c.Rank, chats[0].Rank)
	}
	d.skilled(1, 1, nil, 5)
	d.match()
	d.holds("the first who came is first in the other team", chats[0].ID, switchboard.ChatOffered, 1)
	d.check()
}

// the place counts the chats of the team that are before; the estimate
// is of those who take work now, and unknown without them.
func TestQueuePlaceAndEstimate(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 2, 1)
	at := func(c Chat) Place {
		t.Helper()
		list, err := d.rt.Places(d.ctx, d.org, 0, []switchboard.ChatID{c.ID})
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		return list[0]
	}
	d.start("a")
	b := d.start("b")
	c1, c2 := d.start("c"), d.open(Opening{Visitor: "vd", Skills: []Need{{Skill: "law"}}})
	if got := at(c2); got.Place != 2 || got.Wait != -1 {
		t.Errorf("before any chat has ended: %+v, want place 2 and unknown", got)
	}
	if _, err := d.rt.Accept(d.ctx, d.org, b.Operator, b.ID, b.Token); err != nil {
		t.Fatal(err)
	}
	d.warp(10 * time.Second)
	if _, err := d.rt.Close(d.ctx, d.org, "vb", false, b.ID, "done"); err != nil {
		t.Fatal(err)
	}
	d.holds("c moves up", c1.ID, switchboard.ChatOffered, 0)
	e := d.start("e")
	if got := at(e); got.Place != 2 || got.Wait < 9_900 || got.Wait > 15_000 {
		t.Errorf("two chats of ten seconds over two slots: %+v", got)
	}
	if got := at(c2); got.Place != 1 || got.Wait != -1 {
		t.Errorf("nobody knows law: %+v, want unknown", got)
	}
	d.intent(1, switchboard.StatusBreak)
	d.intent(2, switchboard.StatusBreak)
	if got := at(e); got.Wait != -1 {
		t.Errorf("nobody takes work: %+v, want unknown", got)
	}
	if list, err := d.rt.Places(d.ctx, d.org, 0, []switchboard.ChatID{b.ID}); err != nil || list[0].Place != 0 {
		t.Errorf("a closed chat stands at %v, %v", list, err)
	}
	d.check()
}

// V-1: a chat whose visitor is gone for longer than the grace troubles nobody: by
// the team's policy it is parked, and back at its place with the visitor; removed;
// or offered all the same.
func TestQueueVisitorWhoIsGone(t *testing.T) {
	for _, tc := range []struct{ policy, state string }{
		{"", switchboard.ChatParked}, {presence.GoneRemove, switchboard.ChatClosed}, {presence.GoneOffer, switchboard.ChatWaiting},
	} {
		t.Run("policy "+tc.policy, func(t *testing.T) {
			d := newDesk(t)
			d.set(presence.Team{Name: "Everyone", Gone: tc.policy})
			enter := func() {
				if _, err := d.reg.Enter(d.ctx, d.org, "va", 0); err != nil {
					t.Fatal(err)
				}
			}
			leave := func() {
				if err := d.reg.Leave(d.ctx, d.org, "va", 15*time.Second, func() bool { return false }); err != nil {
					t.Fatal(err)
				}
			}
			enter()
			a := d.start("a")
			later := d.start("b")
			leave()
			d.warp(10 * time.Second)
			d.holds("within the grace", a.ID, switchboard.ChatWaiting, 0)
			d.warp(6 * time.Second)
			d.ring()
			d.holds("after it", a.ID, tc.state, 0)
			d.check()
			d.operators(1, 1, 1)
			d.match()
			switch tc.state {
			case switchboard.ChatWaiting:
				d.holds("offered all the same", a.ID, switchboard.ChatOffered, 1)
			case switchboard.ChatParked:
				d.holds("the next is served", later.ID, switchboard.ChatOffered, 1)
				enter()
				d.ring() // a lost call of VisitorBack is made up for
				d.holds("back", a.ID, switchboard.ChatWaiting, 0)
				last := d.start("c")
				if got := d.chat(a.ID); got.Rank != a.Rank || got.Rank >= last.Rank {
					t.Errorf("the rank was %d and is %d", a.Rank, got.Rank)
				}
				leave()
				d.warp(20 * time.Second)
				d.warp(SilentAfter)
				d.holds("gone for good", a.ID, switchboard.ChatClosed, 0)
			default:
				d.holds("the next is served", later.ID, switchboard.ChatOffered, 1)
			}
			d.check()
		})
	}
}

// S-5, V-1: an offer is taken back when the visitor is gone.
func TestQueueVisitorGoneWithdrawsTheOffer(t *testing.T) {
	d := newDesk(t)
	e := d.ears()
	d.set(presence.Team{Name: "Everyone", OfferMS: 600_000})
	d.operators(1, 1, 1)
	if _, err := d.reg.Enter(d.ctx, d.org, "va", 0); err != nil {
		t.Fatal(err)
	}
	a, b := d.start("a"), d.start("b")
	d.holds("offered", a.ID, switchboard.ChatOffered, 1)
	if err := d.reg.Leave(d.ctx, d.org, "va", 0, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	d.ring()
	e.reasons(t, a.ID, "visitor_left")
	d.holds("parked", a.ID, switchboard.ChatParked, 0)
	d.holds("the next", b.ID, switchboard.ChatOffered, 1)
	d.check()
}

// Capacity is in units: of a chat by its team, of a call by the organization; the
// operator's own limit goes before the team's, that before the organization's.
func TestCapacityInUnits(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", AutoAccept: true, Limit: 4, CallUnits: 3})
	d.set(presence.Team{ID: 1, AutoAccept: true, Units: 2, Limit: 6})
	d.set(presence.Team{ID: 2, AutoAccept: true, Units: 5})
	d.skilled(1, 0, nil, 1, 2)
	n := 0
	into := func(team switchboard.TeamID) string {
		n++
		return d.open(Opening{Visitor: switchboard.VisitorPerson(fmt.Sprint("u", n)), Team: team}).State
	}
	for i, want := range []string{switchboard.ChatActive, switchboard.ChatActive, switchboard.ChatActive, switchboard.ChatWaiting} {
		if got := into(1); got != want { // 2 + 2 + 2 of 6
			t.Errorf("chat %d of the team is %s, want %s", i, got, want)
		}
	}
	if err := d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: 1, Limit: 9}}); err != nil {
		t.Fatal(err)
	}
	d.match() // a limit raised drains the queue: 8 of 9
	if got := into(2); got != switchboard.ChatWaiting {
		t.Errorf("5 more would be 13 of 9, the chat is %s", got)
	}
	if got := into(0); got != switchboard.ChatActive { // 9
		t.Errorf("1 more is 9 of 9, the chat is %s", got)
	}
	d.check()
	if err := d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: 1, Limit: 13}}); err != nil {
		t.Fatal(err)
	}
	if err := d.reg.StartCall(d.ctx, d.org, 1, "c", time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := into(1); got != switchboard.ChatWaiting { // 9 + 3 + 2 of 13
		t.Errorf("beside a call of 3 the chat is %s", got)
	}
	if err := d.reg.EndCall(d.ctx, d.org, 1, "c"); err != nil {
		t.Fatal(err)
	}
	d.match()
	d.check()
}
