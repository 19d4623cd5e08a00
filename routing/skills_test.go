package routing

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// set changes a team's settings.
func (d *desk) set(t presence.Team) {
	d.t.Helper()
	if t.Name == "" {
		t.Name = fmt.Sprint("Team ", t.ID)
	}
	if err := d.reg.PutTeam(d.ctx, d.org, t); err != nil {
		d.t.Fatal(err)
	}
	d.match()
}

// skilled makes an operator who is here, with skills, in teams.
func (d *desk) skilled(id switchboard.OperatorID, limit int, skills map[string]int, teams ...switchboard.TeamID) {
	d.t.Helper()
	if err := d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: id, Name: fmt.Sprint("Operator ", id), Limit: limit, Skills: skills, Teams: teams}}); err != nil {
		d.t.Fatal(err)
	}
	d.online(id)
}

func (d *desk) open(o Opening) Chat {
	d.t.Helper()
	c, _, err := d.begin(o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.match() // a new group is filled
	return d.chat(c.ID)
}

// holds fails the test unless a chat stands as wanted; op 0 does not matter.
func (d *desk) holds(what string, id switchboard.ChatID, state string, op switchboard.OperatorID) {
	d.t.Helper()
	if c := d.chat(id); c.State != state || (op != 0 && c.Operator != op) {
		d.t.Errorf("%s: chat %d is %s of operator %d, want %s of %d", what, id, c.State, c.Operator, state, op)
	}
}

// A skill is required at its level; who is below it is not asked however free.
func TestSkillsOnlyWhoMeetsTheLevelIsAsked(t *testing.T) {
	d := newDesk(t)
	d.skilled(1, 5, map[string]int{"billing": 2})
	d.skilled(2, 5, map[string]int{"billing": 4, "lang:fr": 1})
	d.skilled(3, 5, nil)
	c := d.open(Opening{Visitor: "va", Skills: []Need{{Skill: "billing", Level: 3}}})
	d.holds("level 3", c.ID, switchboard.ChatOffered, 2)
	if c.Group < 256 {
		t.Errorf("a requirement has the group of the team: %d", c.Group)
	}
	both := d.open(Opening{Visitor: "vb", Skills: []Need{{Skill: "billing"}, {Skill: "lang:fr"}}})
	d.holds("two skills", both.ID, switchboard.ChatOffered, 2)
	none := d.open(Opening{Visitor: "vc", Skills: []Need{{Skill: "law"}}})
	d.holds("nobody has it", none.ID, switchboard.ChatWaiting, 0)
	d.check()
	// Who learns it, takes it at once.
	d.skilled(3, 5, map[string]int{"law": 1})
	d.match()
	d.holds("learned", none.ID, switchboard.ChatOffered, 3)
	d.check()
}

// What is required becomes less in steps with the time waited; a preferred skill
// (a language) goes first. The chat keeps its rank over all steps.
func TestSkillsRelaxInStepsWhileAChatWaits(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", PauseMS: 600_000, PreferMS: 10_000, Relax: []presence.Relax{{AfterMS: 30_000, Lower: 1}, {AfterMS: 60_000, Lower: 3}}})
	c := d.open(Opening{Visitor: "va", Language: "fr", Skills: []Need{{Skill: "billing", Level: 5}}})
	rank := c.Rank
	d.skilled(1, 5, map[string]int{"billing": 5})
	d.skilled(2, 5, map[string]int{"billing": 4, "lang:fr": 1})
	d.skilled(3, 5, map[string]int{"billing": 2})
	d.match()
	d.holds("at first", c.ID, switchboard.ChatWaiting, 0)
	d.check()
	d.warp(10 * time.Second)
	d.holds("the language goes", c.ID, switchboard.ChatOffered, 1)
	if err := d.rt.Decline(d.ctx, d.org, 1, c.ID, d.chat(c.ID).Token); err != nil {
		t.Fatal(err)
	}
	d.holds("1 has declined", c.ID, switchboard.ChatWaiting, 0)
	d.warp(21 * time.Second)
	d.holds("level 4", c.ID, switchboard.ChatOffered, 2)
	if got := d.chat(c.ID).Rank; got != rank {
		t.Errorf("the rank went from %d to %d", rank, got)
	}
	d.check()
}

// A group of skills that nobody asks for goes an hour after its last use, and its
// number is given again.
func TestSkillsGroupsGoAnHourAfterTheirLastUse(t *testing.T) {
	d := newDesk(t)
	d.skilled(1, 5, map[string]int{"a": 1, "b": 1})
	c := d.open(Opening{Visitor: "va", Skills: []Need{{Skill: "a"}}})
	group := c.Group
	if _, err := d.rt.Close(d.ctx, d.org, "va", false, c.ID, "done"); err != nil {
		t.Fatal(err)
	}
	d.warp(50 * time.Minute)
	d.check()
	d.warp(11 * time.Minute)
	if n, err := d.rdb.ZCard(d.ctx, d.reg.Partition(d.org).Block(d.org).Free).Result(); err != nil || n != 1 {
		t.Errorf("free has %d members (%v), want that of the team", n, err)
	}
	if c := d.open(Opening{Visitor: "vb", Skills: []Need{{Skill: "b"}}}); c.Group != group {
		t.Errorf("the next group is %d, want %d again", c.Group, group)
	}
	d.check()
}

// With all 256 groups in use a chat still gets nobody but who meets it.
func TestSkillsBeyondTheLastGroup(t *testing.T) {
	d := newDesk(t)
	for i := range 256 {
		d.open(Opening{Visitor: switchboard.VisitorPerson(fmt.Sprint("g", i)), Skills: []Need{{Skill: fmt.Sprintf("s%d", i)}}})
	}
	d.skilled(1, 5, map[string]int{"other": 1})
	d.skilled(2, 5, map[string]int{"last": 1})
	c := d.open(Opening{Visitor: "vlast", Skills: []Need{{Skill: "last"}}})
	if c.Group != 0 {
		t.Errorf("group %d, want the team's own", c.Group)
	}
	d.holds("beyond", c.ID, switchboard.ChatOffered, 2)
	d.check()
}

// Whoever meets a step meets every later one: a relaxed set contains the stricter.
func TestSkillsARelaxedSetContainsTheStricter(t *testing.T) {
	skills := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		needs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Need {
			return Need{Skill: rapid.SampledFrom(skills).Draw(t, "skill"), Level: rapid.IntRange(0, 10).Draw(t, "level"), Preferred: rapid.Bool().Draw(t, "preferred")}
		}), 1, 8).Draw(t, "needs")
		team := presence.Team{PreferMS: rapid.Int64Range(1000, 5000).Draw(t, "prefer")}
		for i := range rapid.IntRange(0, 4).Draw(t, "relax") {
			team.Relax = append(team.Relax, presence.Relax{AfterMS: int64(1000 * (i + 1) * 2), Lower: i + 1})
		}
		has := rapid.MapOfN(rapid.SampledFrom(skills), rapid.IntRange(1, 10), 0, 4).Draw(t, "has")
		list, met := steps(needs, team), false
		for i, s := range list {
			now := meets(has, s.Need)
			if met && !now {
				t.Fatalf("step %d (%s) is stricter than the one before: %+v", i, s.Key, list)
			}
			met = now
		}
		if list[0].After != 0 {
			t.Fatalf("the first step is at %d", list[0].After)
		}
	})
}
