package routing

import (
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
