package routing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

func (d *desk) why(chat switchboard.ChatID) (e Explained, rules map[switchboard.OperatorID]string) {
	d.t.Helper()
	rules = map[switchboard.OperatorID]string{}
	for after := ""; ; {
		page, err := d.rt.Why(d.ctx, d.org, chat, after, 2)
		if err != nil {
			d.t.Fatal(err)
		}
		if after == "" {
			e = page
		}
		for _, c := range page.Candidates {
			rules[c.Operator] = c.Rule
			if c.Rule != "" && c.Because == "" {
				d.t.Errorf("rule %q has no words", c.Rule)
			}
		}
		if after = page.Next; after == "" {
			return e, rules
		}
	}
}

func (d *desk) facts(op switchboard.OperatorID) string {
	d.t.Helper()
	r, err := d.rt.WhyNot(d.ctx, d.org, op)
	if err != nil {
		d.t.Fatal(err)
	}
	var list []string
	for _, f := range r.Facts {
		if f.Because == "" {
			d.t.Errorf("rule %q has no words", f.Rule)
		}
		list = append(list, strings.TrimSuffix(f.Rule+" "+f.Detail, " "))
	}
	if r.Routable != (len(list) == 0) {
		d.t.Errorf("operator %d is routable: %v, with %v", op, r.Routable, list)
	}
	return strings.Join(list, ", ")
}

// for a chat each candidate with the rule that excluded it, in pages; for an
// operator every fact, not the first only. (Red with suits() naming the first rule
// for all, with members of other teams listed, and with one fact only.)
func TestWhyNamesTheRuleOfEachCandidate(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", CallUnits: 0, PauseMS: 600_000, OfferMS: 600_000})
	if err := d.reg.PutTeam(d.ctx, d.org, presence.Team{ID: 4, Name: "Billing"}); err != nil {
		t.Fatal(err)
	}
	fr := map[string]int{"lang:fr": 5}
	for id := switchboard.OperatorID(1); id <= 7; id++ {
		d.skilled(id, 1, fr, 4)
	}
	d.skilled(8, 1, map[string]int{"lang:fr": 1}, 4)
	d.skilled(9, 1, fr, 5) // of another team
	d.intent(2, switchboard.StatusBreak)
	if err := d.reg.StartCall(d.ctx, d.org, 3, "c", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := d.reg.Leave(d.ctx, d.org, "o4", time.Minute, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	if err := d.reg.SetAccount(d.ctx, d.org, 5, switchboard.AccountInactive); err != nil {
		t.Fatal(err)
	}
	d.lose(6)
	skilled := func(visitor string) Chat {
		return d.open(Opening{Visitor: switchboard.VisitorPerson(visitor), Team: 4, Skills: []Need{{Skill: "lang:fr", Level: 3}}})
	}
	for i := 0; d.operator(1).Work == nil; i++ { // until it is the turn of operator 1
		if c := skilled(fmt.Sprint("full", i)); c.Operator == 7 {
			if err := d.rt.Decline(d.ctx, d.org, 7, c.ID, c.Token); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := skilled("b")
	if c.State == switchboard.ChatOffered {
		if err := d.rt.Decline(d.ctx, d.org, c.Operator, c.ID, c.Token); err != nil {
			t.Fatal(err)
		}
	}
	e, rules := d.why(c.ID)
	want := map[switchboard.OperatorID]string{1: "full", 2: "status", 3: "call", 4: "unreachable", 5: "account", 6: "offline", 7: "declined", 8: "skill"}
	if fmt.Sprint(rules) != fmt.Sprint(want) {
		t.Errorf("rules %v\nwant  %v", rules, want)
	}
	if e.Waits != "" || e.Place != 1 || e.Requires["lang:fr"] != 3 || len(e.Decisions) != 1 || e.Decisions[0].Got[0] != 7 {
		t.Errorf("explained: %+v", e)
	}
	d.intent(3, switchboard.StatusBreak)
	for op, facts := range map[switchboard.OperatorID]string{1: "full 1 of 1 units", 2: "status Break", 3: "status Break, call 1", 4: "unreachable", 5: "account", 6: "offline", 9: ""} {
		if got := d.facts(op); got != facts {
			t.Errorf("operator %d: %q, want %q", op, got, facts)
		}
	}
	if err := d.reg.PutTeam(d.ctx, d.org, presence.Team{ID: 4, Name: "Billing", Strategy: presence.Pick}); err != nil {
		t.Fatal(err)
	}
	if e, _ := d.why(c.ID); e.Waits != "pick" || e.Because == "" {
		t.Errorf("a team of pickers: %+v", e)
	}
	if _, err := d.rt.Why(d.ctx, d.org, 999, "", 50); switchboard.CodeOf(err) != switchboard.CodeNotFound {
		t.Errorf("no such chat: %v", err)
	}
	d.check()
}

// every decision is recorded, and made again of its record it gives the same
// operators: over all strategies, skills, several offers, declines, loads and last
// operators, at random. (Red with each comparison of Replay turned round, and with
// the pointer of round robin recorded after it moved.)
func TestDecisionsReplayToTheSameOperators(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	rules, several, runners := map[string]int{}, 0, 0
	for _, strategy := range []string{presence.LeastLoaded, presence.LongestIdle, presence.RoundRobin, presence.Mod} {
		d := newDesk(t)
		team := presence.Team{Name: "Everyone", Strategy: strategy, Offers: 2, PauseMS: 1000, OfferMS: 600_000, LastOperator: true, Misses: 20}
		d.set(team)
		for id := switchboard.OperatorID(1); id <= 6; id++ {
			d.skilled(id, 3, map[string]int{"x": 1 + int(id)%3})
		}
		made := map[switchboard.ChatID]int{}
		var open []switchboard.ChatID
		for i := range 120 {
			switch n := rnd.IntN(10); {
			case n < 5 || len(open) == 0:
				o := Opening{Visitor: switchboard.VisitorPerson(fmt.Sprint("v", rnd.IntN(14)))}
				if rnd.IntN(3) == 0 {
					o.Skills = []Need{{Skill: "x", Level: 1 + rnd.IntN(3)}}
				}
				if c := d.open(o); !slices.Contains(open, c.ID) {
					open = append(open, c.ID)
				}
			case n < 9:
				at := rnd.IntN(len(open))
				c := d.chat(open[at])
				var err error
				switch {
				case c.State == switchboard.ChatOffered && n < 7:
					err = d.rt.Decline(d.ctx, d.org, c.Operator, c.ID, c.Token)
				case c.State == switchboard.ChatOffered:
					_, err = d.rt.Accept(d.ctx, d.org, c.Operator, c.ID, c.Token)
				case c.State == switchboard.ChatActive:
					_, err = d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done")
					open = slices.Delete(open, at, at+1)
				}
				if err != nil {
					t.Fatal(err)
				}
			case i%2 == 0:
				team.Offers = 1 + rnd.IntN(3)
				d.set(team)
			default:
				d.warp(2 * time.Second)
			}
		}
		list, err := d.rt.Decisions(d.ctx, d.org, "", 200)
		if err != nil {
			t.Fatal(err)
		}
		for _, dec := range list {
			made[dec.Chat]++
			if got := dec.Replay(); fmt.Sprint(got) != fmt.Sprint(dec.Got) {
				t.Errorf("%s: replayed %v, it was %v: %+v", strategy, got, dec.Got, dec)
			}
			for _, s := range dec.Seen {
				rules[s.Rule]++
			}
			if len(dec.Got) > 1 {
				several++
			}
			if len(dec.Line) > len(dec.Got) {
				runners++
			}
		}
		for _, id := range open {
			if c := d.chat(id); made[id] == 0 && c.Tries > 0 {
				t.Errorf("chat %d was given %d times and no decision says so", id, c.Tries)
			}
		}
		if next, err := d.rt.Decisions(d.ctx, d.org, list[0].ID, 1); err != nil || len(next) != 1 || next[0].ID != list[1].ID {
			t.Errorf("the page before the newest: %v, %v", next, err)
		}
		d.check()
	}
	if rules["declined"] == 0 || rules["last"] == 0 || several < 10 || runners < 30 {
		t.Errorf("too little happened: rules %v, several %d, runners-up %d", rules, several, runners)
	}
}

// Where all have declined and may be asked again, it is who declined first; the record
// says so. (Red with the comparison of Replay turned round.)
func TestDecisionsReplayWhoIsAskedAgain(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", PauseMS: 10_000, OfferMS: 600_000})
	d.operators(1, 2, 5)
	c := d.start("a")
	first := c.Operator
	for range 2 {
		c = d.chat(c.ID)
		if err := d.rt.Decline(d.ctx, d.org, c.Operator, c.ID, c.Token); err != nil {
			t.Fatal(err)
		}
		d.warp(6 * time.Second)
	}
	d.warp(6 * time.Second)
	d.holds("who declined first", c.ID, switchboard.ChatOffered, first)
	list, err := d.rt.Decisions(d.ctx, d.org, "", 1)
	if err != nil || len(list) != 1 || fmt.Sprint(list[0].Replay()) != fmt.Sprint(list[0].Got) {
		t.Errorf("replayed %v of %+v, %v", list[0].Replay(), list, err)
	}
}

// whoever holds the least work now is asked, of those who can take the chat:
// compared with a model that counts what each operator holds, over random starts,
// accepts, closes and breaks. (Red with the load left out of score() in operator.lua.)
func TestLeastLoadedAsksWhoHoldsTheLeastNow(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", OfferMS: 600_000, PauseMS: 600_000})
	d.operators(1, 5, 4)
	var open []switchboard.ChatID
	for i := range 150 {
		if rnd.IntN(3) > 0 || len(open) == 0 {
			least, held := 99, map[switchboard.OperatorID]int{}
			for op := switchboard.OperatorID(1); op <= 5; op++ {
				rec := d.operator(op)
				held[op] = len(rec.Work)
				if rec.Intent == switchboard.StatusAvailable && len(rec.Work) < 4 {
					least = min(least, len(rec.Work))
				}
			}
			c := d.start(fmt.Sprint("l", i))
			switch {
			case least == 99 && c.State != switchboard.ChatWaiting:
				t.Fatalf("nobody has room, and chat %d is %s", c.ID, c.State)
			case least < 99 && (c.State != switchboard.ChatOffered || held[c.Operator] != least):
				t.Fatalf("chat %d is %s to %d, who holds %d; the least is %d of %v", c.ID, c.State, c.Operator, held[c.Operator], least, held)
			}
			open = append(open, c.ID)
			continue
		}
		at := rnd.IntN(len(open))
		c := d.chat(open[at])
		if c.State == switchboard.ChatOffered && rnd.IntN(2) == 0 {
			if _, err := d.rt.Accept(d.ctx, d.org, c.Operator, c.ID, c.Token); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done"); err != nil {
			t.Fatal(err)
		}
		open = slices.Delete(open, at, at+1)
		if rnd.IntN(4) == 0 {
			status := []string{switchboard.StatusBreak, switchboard.StatusAvailable}[rnd.IntN(2)]
			d.intent(switchboard.OperatorID(1+rnd.IntN(5)), status)
			d.match()
		}
	}
	d.check()
}
