package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// guard is a line of a script that keeps a promise, and what stands there when it
// is taken out. Where: the script's own text, "match", or "prelude".
type guard struct {
	where, line, without string
	check                func(t *testing.T) (broken string)
}

// guards of the scripts that give chats to operators. The first group is shown by
// histories of clients, the others by what a late or a dead caller may not do.
var guards = []guard{
	{"claim", "if c.state == 'active' then return reply('TAKEN', int(c.op), c.opname or '') end\nif c.state ~= 'waiting' then return reply('TAKEN', 0, '') end", "", inHistories},
	{"claim", "if c.state == 'active' then return reply('TAKEN', int(c.op), c.opname or '') end", "", inHistories}, // the winner is not named
	{"claim", "if why then return reply('BARRED', why) end", "", inHistories},
	{"claim", "if step and step.need and not meets(rec, step.need) then return reply('UNSKILLED') end", "", inHistories},
	{"claim", "if n.units + units(tm) > limit(rec) then", "if false then", inHistories},
	{"prelude", "if rec.out or not link then return 'offline' end", "", inHistories},
	{"prelude", "if rec.leaving then return 'leaving' end", "", inHistories},
	{"prelude", "if not takes(rec) then return 'status' end", "", inHistories},
	{"prelude", "if n.call > 0 and not (base and base.call_units) then return 'call' end", "", inHistories},
	{"prelude", "if rec.leaving and not busy(n) then", "if false then", inHistories},
	{"start", "if has and redis.call('HEXISTS', CHAT, has) == 1 then", "if false then", inHistories},
	{"closing", "if held[1] then finish(held[1], 'chat:' .. cid) end", "", inHistories},
	{"transfer", "if v.k == 'transfer' then return reply('PENDING', v.n) end", "", inHistories},
	{"people", "if not ok then return over end", "", inHistories},
	{"people", "    finish(from, 'chat:' .. cid)\n", "", inHistories}, // two hold it

	{"accept", "c.state == 'offered' and c.offers[int(rec.id)] == ARGV[6]", "true", byALateAccept},
	{"decline", "if ARGV[7] == 'declined' and c.offers[ARGV[4]] ~= ARGV[6] then return reply('STALE') end", "", byALateDecline},
	{"decline", "if not rung(alarm) then return reply('STALE') end", "", byAnEarlyTimeout},
	{"lost", "if rec.account ~= 2 and linkOf('o' .. ARGV[4]) then", "if false then", byOneWhoCameBack},
	{"come", "if not v or v.tok ~= ARGV[6] then", "if not v then", byAnOldInvite},
	{"close", "if not party then return reply('FORBIDDEN') end", "", byAStranger},
	{"prelude", "if able and room then", "if able then", byThreeChatsAtOnce},
}

// remade are the scripts that are made anew without a guard.
var remade = map[string]**presence.Script{
	"start": &scriptStart, "claim": &scriptClaim, "accept": &scriptAccept, "decline": &scriptDecline,
	"close": &scriptClose, "lost": &scriptLost, "pair": &scriptPair, "transfer": &scriptTransfer, "come": &scriptCome,
}

// behind are the texts that stand between match.lua and a script.
var behind = map[string]string{"close": "closing", "lost": "move", "transfer": "people", "come": "people"}

// without puts scripts in place that lack a guard, until the test ends.
func (g guard) install(t *testing.T) {
	t.Helper()
	hits := 0
	cut := func(where, text string) string {
		if where == g.where {
			n := strings.Count(text, g.line)
			if n != 1 {
				t.Fatalf("%q stands %d times in %s", g.line, n, where)
			}
			hits++
			return strings.Replace(text, g.line, g.without, 1)
		}
		return text
	}
	for name, at := range remade {
		was, before := *at, hits
		texts := []string{cut("prelude", presence.Prelude()), source("open"), source("webhook"), source("chats"), cut("match", source("match"))}
		if more := behind[name]; more != "" {
			texts = append(texts, cut(more, source(more)))
		}
		texts = append(texts, cut(name, source(name)))
		if hits > before {
			*at = presence.NewScript(name, texts...)
			t.Cleanup(func() { *at = was })
		}
	}
	if hits == 0 {
		t.Fatalf("no script has %s", g.where)
	}
}

// Every guard is needed: without it a checker says so, and with all of them each
// check is silent. So none of them is green by chance. Not parallel: it changes the
// package's scripts.
func TestTheCheckersSeeAMissingGuard(t *testing.T) {
	for _, g := range guards {
		name := g.where + ": " + strings.SplitN(g.line, "\n", 2)[0]
		t.Run(name, func(t *testing.T) {
			g.install(t)
			why := g.check(t)
			if why == "" {
				t.Fatal("nobody has noticed")
			}
			t.Log(why)
		})
	}
}

func TestTheCheckersAreSilentWithAllGuards(t *testing.T) {
	for name, check := range map[string]func(*testing.T) string{
		"late accept": byALateAccept, "late decline": byALateDecline, "early timeout": byAnEarlyTimeout, "came back": byOneWhoCameBack,
		"stranger": byAStranger, "old invite": byAnOldInvite, "three at once": byThreeChatsAtOnce,
	} {
		if why := check(t); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// inHistories plays short histories until one is none of a desk's.
func inHistories(t *testing.T) string {
	for round := range 30 {
		for _, c := range play(t, uint64(round), 6, 40) {
			if why := c.history.broken(); why != "" {
				return why
			}
		}
	}
	return ""
}

func (d *desk) broken(what string, failed bool) string {
	if failed {
		return what
	}
	found, err := d.rt.Check(d.ctx, d.org)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.Join(found, "\n")
}

// byALateAccept: two operators, the first lets the offer go, the second has the chat.
func byALateAccept(t *testing.T) string {
	d := newDesk(t)
	d.operators(1, 2, 2)
	c := d.start("a")
	late := c.Token
	if err := d.rt.Decline(d.ctx, d.org, c.Operator, c.ID, late); err != nil {
		t.Fatal(err)
	}
	now := d.chat(c.ID)
	if _, err := d.rt.Accept(d.ctx, d.org, now.Operator, c.ID, now.Token); err != nil {
		t.Fatal(err)
	}
	_, err := d.rt.Accept(d.ctx, d.org, c.Operator, c.ID, late)
	return d.broken("a chat that another has was accepted", err == nil)
}

// byALateDecline: an answer to an offer whose time was over must not end the next.
func byALateDecline(t *testing.T) string {
	d := newDesk(t)
	if err := d.reg.PutTeam(d.ctx, d.org, presence.Team{Name: "Everyone", Misses: 20, PauseMS: 1000, OfferMS: 60_000}); err != nil {
		t.Fatal(err)
	}
	d.operators(1, 1, 2)
	c := d.start("a")
	d.warp(61 * time.Second) // the offer's time is over
	d.warp(2 * time.Second)  // the pause too: it is offered again
	now := d.chat(c.ID)
	if now.State != switchboard.ChatOffered || now.Token == c.Token {
		t.Fatalf("the chat is %s with token %s", now.State, now.Token)
	}
	err := d.rt.Decline(d.ctx, d.org, 1, c.ID, c.Token)
	return d.broken("an offer was ended by the answer to an older one", err == nil)
}

// byAnEarlyTimeout: a sweep that asks too soon ends nothing.
func byAnEarlyTimeout(t *testing.T) string {
	d := newDesk(t)
	d.operators(1, 1, 2)
	c := d.start("a")
	if err := d.rt.Ring(d.ctx, presence.AlarmOffer, d.org, fmt.Sprint(c.ID)); err != nil {
		t.Fatal(err)
	}
	return d.broken("an offer was over before its time", d.chat(c.ID).Token != c.Token)
}

// byOneWhoCameBack: the deadline of who was lost and is back takes nothing away.
func byOneWhoCameBack(t *testing.T) string {
	d := newDesk(t)
	if err := d.reg.PutTeam(d.ctx, d.org, presence.Team{Name: "Everyone", AutoAccept: true}); err != nil {
		t.Fatal(err)
	}
	d.operators(1, 1, 2)
	c := d.start("a")
	if err := d.reg.Leave(d.ctx, d.org, "o1", 0, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	b := d.reg.Partition(d.org).Block(d.org)
	due, err := d.rdb.ZRangeWithScores(d.ctx, b.Due, 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	d.online(1)
	for _, z := range due { // as it was when a node read it, before the return
		if err := d.rdb.ZAdd(d.ctx, b.Due, z).Err(); err != nil {
			t.Fatal(err)
		}
	}
	d.ring()
	now := d.chat(c.ID)
	return d.broken("a chat was taken from who is back", now.Token != c.Token)
}

// byAnOldInvite: asked again, an operator's answer to the first time is none to the second.
func byAnOldInvite(t *testing.T) string {
	d := newFloor(t, 2, 2)
	c := d.held("a", 1)
	d.move(Transfer{Chat: c.ID, By: 1, Operator: 2})
	_, old := d.invite(c.ID)
	d.must(d.rt.Decline(d.ctx, d.org, 2, c.ID, old))
	d.move(Transfer{Chat: c.ID, By: 1, Operator: 2})
	_, err := d.rt.Accept(d.ctx, d.org, 2, c.ID, old)
	return d.broken("a chat was handed over by the answer to an older invite", err == nil)
}

// byAStranger: nobody closes a chat that is not theirs (S-6).
func byAStranger(t *testing.T) string {
	d := newDesk(t)
	c := d.start("a")
	_, err := d.rt.Close(d.ctx, d.org, "vother", false, c.ID, "done")
	return d.broken("a stranger closed the chat", err == nil)
}

// byThreeChatsAtOnce: one operator with a limit of two.
func byThreeChatsAtOnce(t *testing.T) string {
	d := newDesk(t)
	d.operators(1, 1, 2)
	for _, v := range []string{"a", "b", "c"} {
		d.start(v)
	}
	return d.broken("", false)
}
