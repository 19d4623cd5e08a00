package routing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Check reads an organization whole and returns each broken invariant of
// ARCHITECTURE.md ("Invariants") as a sentence; none is good. It is exact only
// while nothing changes: it reads in several steps. For tests and the check
// page; the cost grows with operators and open chats.
func (r *Router) Check(ctx context.Context, org switchboard.OrgID) ([]string, error) {
	p := r.reg.Partition(org)
	b := p.Block(org)
	pipe := r.rdb.Pipeline()
	chats, links := pipe.HGetAll(ctx, b.Chat), pipe.HGetAll(ctx, b.Link)
	free, queue := pipe.ZRangeWithScores(ctx, b.Free, 0, -1), pipe.ZRangeWithScores(ctx, b.Queue, 0, -1)
	due, teams := pipe.ZRangeWithScores(ctx, b.Due, 0, -1), pipe.HGetAll(ctx, b.Team)
	live, visitors := pipe.SMembers(ctx, b.Live), pipe.HGetAll(ctx, b.Visitors)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, storeError(err)
	}
	ops, err := r.reg.Operators(ctx, org)
	if err != nil {
		return nil, err
	}
	c := &checker{org: org, ops: map[switchboard.OperatorID]presence.Operator{}, chats: map[switchboard.ChatID]Chat{},
		links: links.Val(), free: scores(free.Val()), queue: scores(queue.Val()), due: scores(due.Val()), visitors: visitors.Val()}
	for _, op := range ops {
		c.ops[op.ID] = op
	}
	for id, raw := range chats.Val() {
		chat, err := decodeChat(raw)
		if err != nil {
			return nil, fmt.Errorf("chat %s: %w", id, err)
		}
		c.chats[chat.ID] = chat
	}
	if err := c.readTeams(teams.Val()); err != nil {
		return nil, err
	}
	c.checkChats()
	c.checkOperators()
	if err := c.checkEdges(ctx, r.rdb, p, live.Val()); err != nil {
		return nil, err
	}
	if err := c.checkLogs(ctx, r, org); err != nil {
		return nil, err
	}
	slices.Sort(c.broken)
	return c.broken, nil
}

func scores(list []redis.Z) map[string]float64 {
	out := make(map[string]float64, len(list))
	for _, z := range list {
		out[fmt.Sprint(z.Member)] = z.Score
	}
	return out
}

type checker struct {
	org              switchboard.OrgID
	ops              map[switchboard.OperatorID]presence.Operator
	chats            map[switchboard.ChatID]Chat
	links, visitors  map[string]string
	free, queue, due map[string]float64
	teams            map[switchboard.TeamID]teamRecord
	broken           []string
}

// teamRecord is a team as the store holds it: the settings and its groups.
type teamRecord struct {
	presence.Team
	Group  int
	Groups map[string]struct {
		G int            // number
		N map[string]int // what it requires
		F string         // it is not yet filled
		X int            // it is about to go
	}
}

func (c *checker) fail(format string, args ...any) {
	c.broken = append(c.broken, fmt.Sprintf(format, args...))
}

func (c *checker) readTeams(raw map[string]string) error {
	c.teams = map[switchboard.TeamID]teamRecord{}
	for id, text := range raw {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return fmt.Errorf("team id %q: %w", id, err)
		}
		var t teamRecord
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return fmt.Errorf("team %s: %w", id, err)
		}
		c.teams[switchboard.TeamID(n)] = t
	}
	return nil
}

func (c *checker) alarm(kind string, id any) bool {
	_, ok := c.due[fmt.Sprintf("%s/%d/%v", kind, c.org, id)]
	return ok
}

// checkChats: invariants 1 and 4.
func (c *checker) checkChats() {
	for id, chat := range c.chats {
		_, queued := c.queue[fmt.Sprint(id)]
		if queued != (chat.State == switchboard.ChatWaiting) {
			c.fail("4: chat %d is %s and in a queue: %v", id, chat.State, queued)
		}
		item, holders := "", []switchboard.OperatorID{chat.Operator}
		switch chat.State {
		case switchboard.ChatWaiting:
			if chat.Operator != 0 {
				c.fail("1: waiting chat %d has operator %d", id, chat.Operator)
			}
			if !c.alarm(presence.AlarmQueue, 0) {
				c.fail("4: chat %d waits and the queue has no alarm", id)
			}
		case switchboard.ChatOffered:
			item, holders = fmt.Sprintf("offer:%d", id), nil
			for op := range chat.Offers {
				n, _ := strconv.ParseInt(op, 10, 64) // decodeChat has read it
				holders = append(holders, switchboard.OperatorID(n))
			}
			if len(holders) == 0 {
				c.fail("1: offered chat %d is offered to nobody", id)
			}
			if !c.alarm(presence.AlarmOffer, id) {
				c.fail("4: offered chat %d has no deadline", id)
			}
		case switchboard.ChatActive:
			item = fmt.Sprintf("chat:%d", id)
		case switchboard.ChatParked:
			if !c.alarm(presence.AlarmSilent, id) {
				c.fail("4: parked chat %d has no deadline", id)
			}
		default:
			c.fail("4: open chat %d is %q", id, chat.State)
		}
		for _, op := range holders {
			if _, holds := c.ops[op].Work[item]; item != "" && !holds { // of a silent chat with 0 units
				c.fail("1: chat %d is %s for operator %d, who does not hold %s", id, chat.State, op, item)
			}
		}
		c.checkParts(chat)
		if c.visitors[string(chat.Visitor)] != fmt.Sprint(id) {
			c.fail("4: open chat %d is not its visitor's", id)
		}
	}
	for id := range c.queue {
		n, err := strconv.ParseInt(id, 10, 64)
		if _, ok := c.chats[switchboard.ChatID(n)]; err != nil || !ok {
			c.fail("4: the queue holds chat %s, which is not open", id)
		}
	}
}

// parts are the kinds of work of who takes part in a chat, and the kinds of part.
var parts = map[string]string{"join": switchboard.RoleJoin, "consult": switchboard.RoleConsult, "unseen": switchboard.RoleMonitor}

// checkParts: invariants 1 and 4 of those who take part in a chat, or are asked to.
func (c *checker) checkParts(chat Chat) {
	if chat.State != switchboard.ChatActive && len(chat.With)+len(chat.Invites) > 0 {
		c.fail("1: %s chat %d has people besides a holder", chat.State, chat.ID)
	}
	holds := func(op, item string) bool {
		n, _ := strconv.ParseInt(op, 10, 64)
		_, ok := c.ops[switchboard.OperatorID(n)].Work[item]
		return ok && switchboard.OperatorID(n) != chat.Operator
	}
	for op, p := range chat.With {
		for kind, role := range parts {
			if holds(op, fmt.Sprintf("%s:%d", kind, chat.ID)) != (role == p.Role) {
				c.fail("1: operator %s is %s in chat %d, and holds %s or is its holder", op, p.Role, chat.ID, kind)
			}
		}
	}
	handed := 0
	for op, v := range chat.Invites {
		with := chat.With[op].Role // who only monitors is asked like anybody
		if !holds(op, fmt.Sprintf("invite:%d", chat.ID)) || with != "" && with != switchboard.RoleMonitor && v.Kind == "transfer" {
			c.fail("1: operator %s is invited to chat %d and does not hold that", op, chat.ID)
		}
		if !c.alarm(presence.AlarmPart, fmt.Sprintf("%d/%s", chat.ID, op)) {
			c.fail("4: the invite of operator %s to chat %d has no deadline", op, chat.ID)
		}
		if v.Kind == "transfer" {
			handed++
		}
	}
	if handed > 1 {
		c.fail("1: chat %d is being handed to %d operators", chat.ID, handed)
	}
}

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

// checkEdges: invariant 7.
func (c *checker) checkEdges(ctx context.Context, rdb redis.UniversalClient, p presence.Partition, live []string) error {
	held := map[string]bool{}
	for _, inc := range live {
		edges, err := rdb.SMembers(ctx, p.Own(inc)).Result()
		if err != nil {
			return storeError(err)
		}
		for _, e := range edges {
			if person, ok := strings.CutPrefix(e, fmt.Sprintf("%d/", c.org)); ok {
				held[inc+"/"+person] = true
			}
		}
	}
	for person, link := range c.links {
		if link == "-" {
			continue
		}
		for inc := range strings.SplitSeq(link, ",") {
			if !held[inc+"/"+person] {
				c.fail("7: %s is linked to %s, whose index does not hold them", person, inc)
			}
			delete(held, inc+"/"+person)
		}
	}
	for edge := range held {
		c.fail("7: edge %s is in the index, not in link", edge)
	}
	return nil
}

// checkLogs: invariant 5.
func (c *checker) checkLogs(ctx context.Context, r *Router, org switchboard.OrgID) error {
	for id := range c.chats {
		k := keysOf(r.reg.Partition(org), org, id)
		seq, err := r.rdb.HGet(ctx, k.cmid, "#").Int64()
		if err != nil && err != redis.Nil {
			return storeError(err)
		}
		n, err := r.rdb.XLen(ctx, k.log).Result()
		if err != nil {
			return storeError(err)
		}
		last, err := r.rdb.XRevRangeN(ctx, k.log, "+", "-", 1).Result()
		if err != nil {
			return storeError(err)
		}
		if n != seq || (n > 0 && seqOf(last[0].ID) != seq) {
			c.fail("5: chat %d has %d messages, sequence %d", id, n, seq)
		}
	}
	return nil
}
