package routing

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// checkOperators: invariants 1, 2, 3 and 6.
func (c *checker) checkOperators() {
	for id, op := range c.ops {
		chats, calls := op.Busy()
		for item := range op.Work {
			kind, rest, _ := strings.Cut(item, ":")
			n, _ := strconv.ParseInt(rest, 10, 64) // a call's id is no number, and not looked up
			chat, ok := c.chats[switchboard.ChatID(n)]
			switch {
			case kind == "chat" && (!ok || chat.Operator != id || chat.State != switchboard.ChatActive),
				kind == "offer" && (!ok || chat.Offers[fmt.Sprint(id)] == "" || chat.State != switchboard.ChatOffered):
				c.fail("1: operator %d holds %s, the chat says otherwise", id, item)
			case parts[kind] != "" && (!ok || chat.Role(id) != parts[kind]),
				kind == "invite" && (!ok || chat.Invites[fmt.Sprint(id)].Token == ""):
				c.fail("1: operator %d holds %s, the chat says otherwise", id, item)
			case kind == "call" && !c.alarm("call", fmt.Sprintf("%d/%s", id, rest)):
				c.fail("4: call %s of operator %d has no lease", rest, id)
			case kind == "other" && !c.alarm("task", fmt.Sprintf("%d/%s", id, rest)):
				c.fail("4: work %s of operator %d has no lease", rest, id)
			}
		}
		c.checkFree(op, chats+calls+op.Parts()+op.Tasks())
		c.checkIntent(op, chats+calls+op.Tasks())
		link := c.links[string(switchboard.OperatorPerson(id))]
		if link == "-" && !c.alarm("grace", switchboard.OperatorPerson(id)) {
			c.fail("4: operator %d is in grace without a deadline", id)
		}
	}
}

// checkIntent: invariant 9.
func (c *checker) checkIntent(op presence.Operator, work int) {
	if (op.Until != 0) != c.alarm("until", op.ID) {
		c.fail("9: operator %d is %s until %d, deadline there: %v", op.ID, op.Intent, op.Until, c.alarm("until", op.ID))
	}
	if covers := op.Until != 0 || switchboard.Automatic(op.Intent); covers != (len(op.Back) > 0) {
		c.fail("9: operator %d is %s until %d and goes back to %v", op.ID, op.Intent, op.Until, op.Back)
	}
	for i, b := range op.Back {
		if (b.Until == 0) != (i == 0) || i > 1 && b.Until >= op.Back[i-1].Until || switchboard.Automatic(b.Status) {
			c.fail("9: operator %d goes back to %v", op.ID, op.Back)
		}
	}
	if op.Pending != nil && work == 0 {
		c.fail("9: %s of operator %d waits for no work", op.Pending.Status, op.ID)
	}
}

// limit is an operator's, in units, as operator.lua computes it.
func (c *checker) limit(op presence.Operator) int {
	if op.Limit != 0 {
		return op.Limit
	}
	for _, t := range op.Teams {
		if n := c.teams[t].Limit; n != 0 {
			return n
		}
	}
	if n := c.teams[0].Limit; n != 0 {
		return n
	}
	return 5
}

func (c *checker) units(t teamRecord) int {
	if n := cmp.Or(t.Units, c.teams[0].Units); n != 0 {
		return n
	}
	return 1
}

// checkFree: invariants 2, 3 and 6 of one operator.
func (c *checker) checkFree(op presence.Operator, work int) {
	load, back, limit, exclusive, over := 0, 0, c.limit(op), false, op.Over || op.Role.Supervises()
	for item, units := range op.Work {
		switch kind, id, _ := strings.Cut(item, ":"); kind {
		case "chat", "offer", "invite":
			load += units
			n, _ := strconv.ParseInt(id, 10, 64)
			chat := c.chats[switchboard.ChatID(n)]
			over = over || chat.Over == 1 || chat.Invites[fmt.Sprint(op.ID)].Over == 1
			if chat.Back == 1 { // a silent chat that came back over the limit
				back += units
			}
		case "other": // taken as it is, whatever the limit
			load, back = load+units, back+units
		case "call":
			load += c.teams[0].CallUnits
			exclusive = exclusive || c.teams[0].CallUnits == 0
		}
	}
	if load-back > limit && !over {
		c.fail("3: operator %d holds %d of %d", op.ID, load, limit)
	}
	if op.Leaving != nil && work == 0 {
		c.fail("6: operator %d is leaving without work", op.ID)
	}
	link, here := c.links[string(switchboard.OperatorPerson(op.ID))]
	takes := op.Intent == switchboard.StatusAvailable || slices.Contains(c.teams[0].Routable, op.Intent)
	atWork := here && op.Account == switchboard.AccountActive && takes && op.Leaving == nil && !op.Out
	able := atWork && link != "-" && !op.Wrapping() && !exclusive
	for _, t := range append([]switchboard.TeamID{0}, op.Teams...) {
		team, known := c.teams[t]
		if !known {
			continue
		}
		room := load+c.units(team) <= limit
		c.listed(op.ID, team.Group, able, room, atWork)
		for _, g := range team.Groups {
			if g.F == "" && g.X == 0 {
				has := meets(op.Skills, g.N)
				c.listed(op.ID, g.G, able && has, room, atWork && has)
			}
		}
	}
}

func meets(skills, need map[string]int) bool {
	for skill, level := range need {
		if skills[skill] < level {
			return false
		}
	}
	return true
}

// listed compares one member of free with what it should be: free, full, at work
// only, or not there (operator.lua, list).
func (c *checker) listed(op switchboard.OperatorID, group int, able, room, work bool) {
	score, in := c.free[fmt.Sprintf("%d:%d", group, op)]
	want, got := "nowhere", "nowhere"
	switch {
	case able && room:
		want = "free"
	case able:
		want = "full"
	case work:
		want = "at work"
	}
	switch below := -score - float64(group)*(1<<44); {
	case !in:
	case score >= 0:
		got = "free"
	case below == 1:
		got = "full"
	case below == 2:
		got = "at work"
	default:
		got = "out of band"
	}
	if want != got {
		c.fail("2: operator %d should be %s in group %d and is %s at %.0f", op, want, group, got, score)
	}
}
