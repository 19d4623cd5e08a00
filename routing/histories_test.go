package routing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// errLost is what a client is told whose call was carried out and not answered.
var errLost = errors.New("the reply was lost")

// lossy loses the replies of scripts: a whole pipeline's, as a broken connection does.
type lossy struct {
	one  int64 // of so many pipelines
	n    atomic.Int64
	lost atomic.Int64
}

func (l *lossy) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (l *lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (l *lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, c := range cmds { // a script the server does not know was not carried out
			if c.Name() != "fcall" || c.Err() != nil {
				return err
			}
		}
		if l.one == 0 || l.n.Add(1)%l.one != 0 {
			return err
		}
		l.lost.Add(1)
		for _, c := range cmds {
			c.SetErr(errLost)
		}
		return errLost
	}
}

// node is one of several on the package's Redis.
type node struct {
	reg *presence.Registry
	rt  *Router
}

func newNode(t testing.TB, l *lossy) node {
	t.Helper()
	rdb := redis.NewClient(redisOptions)
	t.Cleanup(func() { rdb.Close() })
	if l != nil {
		rdb.AddHook(l)
	}
	reg, err := presence.Open(t.Context(), rdb, presence.Config{Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	return node{reg, New(reg, rdb, Config{})}
}

// cell is an organization that a few clients share, with people on three nodes.
type cell struct {
	org   switchboard.OrgID
	nodes []node
	began time.Time

	mu      sync.Mutex
	history history
	known   [visitors]int64 // the last chat that was seen of each visitor
	holder  [visitors]int   // who had it when somebody looked or took it, 0 for nobody
	asked   [visitors]asked // the last invite that was seen
	stale   [visitors]asked // and one before it
}

// do is one call of a client: what it asked, and what it was told.
func (c *cell) do(ctx context.Context, client int, a move) {
	called := time.Since(c.began).Nanoseconds()
	outcome := c.call(ctx, a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, entry{client: client, move: a, outcome: outcome, called: called, returned: time.Since(c.began).Nanoseconds()})
	if outcome.chat > 0 {
		c.known[a.visitor] = max(c.known[a.visitor], outcome.chat)
	}
	switch {
	case outcome.word == "ok" && (a.what == "claim" || a.what == "accept"):
		c.holder[a.visitor] = a.op + 1
	case outcome.word == "ok" && a.what == "look":
		c.holder[a.visitor] = outcome.holder
	}
	if outcome.asked.op > 0 && outcome.asked != c.asked[a.visitor] {
		c.stale[a.visitor], c.asked[a.visitor] = c.asked[a.visitor], outcome.asked
	}
}

func (c *cell) call(ctx context.Context, a move) (out outcome) {
	n := c.nodes[a.node]
	op := switchboard.OperatorID(a.op + 1)
	person, visitor := switchboard.OperatorPerson(op), switchboard.VisitorPerson("h"+strconv.Itoa(a.visitor))
	var err error
	switch a.what {
	case "start":
		o := Opening{Visitor: visitor}
		if a.skilled {
			o.Skills = []Need{{Skill: "fr", Level: 5}}
		}
		var chat Chat
		if chat, out.opened, err = begin(ctx, n.reg, n.rt, c.org, o); err == nil {
			out.chat = int64(chat.ID)
		}
	case "claim":
		_, err = n.rt.Claim(ctx, c.org, op, switchboard.ChatID(a.chat), false)
		out.holder = winner(err)
	case "close":
		_, err = n.rt.Close(ctx, c.org, visitor, false, switchboard.ChatID(a.chat), "done")
	case "look":
		var chat Chat
		if chat, err = n.rt.Find(ctx, c.org, switchboard.ChatID(a.chat)); err == nil {
			out.state, out.holder, out.asked = chat.State, int(chat.Operator), invited(chat)
		}
		if out.state == switchboard.ChatClosed {
			out.holder = 0
		}
	case "transfer":
		var to Transferred
		to, err = n.rt.Transfer(ctx, c.org, Transfer{Chat: switchboard.ChatID(a.chat), By: op, Operator: switchboard.OperatorID(a.to + 1)})
		out.asked = invited(to.Chat)
	case "give away":
		_, err = n.rt.Transfer(ctx, c.org, Transfer{Chat: switchboard.ChatID(a.chat), By: op, Queue: true})
	case "accept":
		_, err = n.rt.Accept(ctx, c.org, op, switchboard.ChatID(a.chat), a.token)
		out.holder = winner(err)
	case "decline":
		err = n.rt.Decline(ctx, c.org, op, switchboard.ChatID(a.chat), a.token)
	case "status":
		status := switchboard.StatusBreak
		if a.on {
			status = switchboard.StatusAvailable
		}
		_, err = n.reg.SetStatus(ctx, c.org, op, presence.StatusChange{Status: status})
	case "call":
		if a.on {
			err = n.reg.StartCall(ctx, c.org, op, "x", time.Hour)
		} else {
			err = n.reg.EndCall(ctx, c.org, op, "x")
		}
	case "sign out":
		when := presence.SignOutStay
		if a.on {
			when = presence.SignOutDrain
		}
		out.leaving, err = n.reg.SignOut(ctx, c.org, op, when)
	case "come":
		var minted int64
		if minted, err = n.reg.Minted(ctx, c.org, op); err == nil {
			_, err = n.reg.Enter(ctx, c.org, person, minted)
		}
	case "go":
		err = n.reg.Leave(ctx, c.org, person, 0, func() bool { return false })
	}
	out.word = word(err)
	return out
}

// word is what an answer says, in a word of the model's: "" for a reply that was lost.
func word(err error) string {
	var e *switchboard.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errLost):
		return ""
	case !errors.As(err, &e):
		return err.Error()
	}
	return string(e.Code) + " " + e.Field
}

// invited is who is asked to hold a chat.
func invited(c Chat) (out asked) {
	for op, v := range c.Invites {
		fmt.Sscanf(op, "%d", &out.op)
		out.token = v.Token
	}
	return out
}

// winner is whom a refused claim or accept names, 0 for nobody.
func winner(err error) (op int) {
	if err != nil {
		_, rest, _ := strings.Cut(err.Error(), ": Operator ")
		fmt.Sscanf(rest, "%d", &op)
	}
	return op
}

// step draws what a client does next.
func (c *cell) step(rnd *rand.Rand) move {
	a := move{op: rnd.IntN(operators), visitor: rnd.IntN(visitors), node: rnd.IntN(len(c.nodes)), on: rnd.IntN(4) > 0}
	c.mu.Lock()
	a.chat = c.known[a.visitor]
	holder, invite, old := c.holder[a.visitor], c.asked[a.visitor], c.stale[a.visitor]
	c.mu.Unlock()
	k := rnd.IntN(28)
	if a.chat == 0 {
		k = 0
	}
	switch {
	case k < 3:
		a.what, a.skilled = "start", rnd.IntN(3) == 0
	case k < 10:
		a.what = "claim"
	case k < 12:
		a.what = "close"
	case k < 13:
		a.what = "look"
	case k < 15:
		a.what = "status"
	case k < 16:
		a.what, a.on = "call", rnd.IntN(3) == 0
	case k < 17:
		a.what, a.on = "sign out", rnd.IntN(3) > 0
	case k < 19:
		a.what = "come"
	case k < 20:
		a.what = "go"
	case k < 24 || invite.op == 0:
		a.what, a.to = "transfer", rnd.IntN(operators)
		if holder > 0 && rnd.IntN(8) > 0 { // others are refused
			a.op = holder - 1
		}
	case k < 25:
		if a.what = "give away"; holder > 0 {
			a.op = holder - 1
		}
	default:
		a.what, a.token = "accept", invite.token
		if rnd.IntN(4) == 0 {
			a.what = "decline"
		}
		if rnd.IntN(8) > 0 {
			a.op = invite.op - 1
		}
		if old.op > 0 && rnd.IntN(4) == 0 {
			a.token = old.token
		}
	}
	return a
}

// play has clients on three nodes do so many steps each, and returns what was
// asked and told in each organization. A client whose reply was lost asks again.
func play(t testing.TB, seed uint64, clients, steps int) []*cell {
	t.Helper()
	loss := &lossy{}
	nodes := []node{newNode(t, loss), newNode(t, loss), newNode(t, loss)}
	cells := make([]*cell, clients/6)
	for i := range cells {
		cells[i] = &cell{org: switchboard.OrgID(lastOrg.Add(1)), nodes: nodes, began: time.Now()}
		prepare(t, cells[i])
	}
	loss.one = 9
	var wg sync.WaitGroup
	for client := range clients {
		c, rnd := cells[client%len(cells)], rand.New(rand.NewPCG(seed, uint64(client)))
		wg.Go(func() {
			for range steps {
				a := c.step(rnd)
				c.do(t.Context(), client, a)
				for tries := 0; tries < 3 && c.wasLost(client); tries++ {
					c.do(t.Context(), client, a)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d pipelines were carried out and not answered", loss.lost.Load())
	return cells
}

func (c *cell) wasLost(client int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.history) - 1; i >= 0; i-- {
		if c.history[i].client == client {
			return c.history[i].outcome.word == ""
		}
	}
	return false
}

// prepare makes an organization whose operators choose for themselves: all that
// happens to a chat is then something that a client asked for.
func prepare(t testing.TB, c *cell) {
	t.Helper()
	ctx, reg := t.Context(), c.nodes[0].reg
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(reg.EnsureOrg(ctx, c.org))
	must(reg.PutTeam(ctx, c.org, presence.Team{Name: "Everyone", Strategy: presence.Pick}))
	var list []presence.NewOperator
	for i := range operators {
		op := presence.NewOperator{ID: switchboard.OperatorID(i + 1), Name: fmt.Sprintf("Operator %d", i+1), Limit: limit}
		if i == 0 {
			op.Skills = map[string]int{"fr": 7}
		}
		list = append(list, op)
	}
	must(reg.AddOperators(ctx, c.org, list))
	for i, op := range list {
		minted, err := reg.Minted(ctx, c.org, op.ID)
		must(err)
		_, err = c.nodes[i%len(c.nodes)].reg.Enter(ctx, c.org, switchboard.OperatorPerson(op.ID), minted)
		must(err)
		_, err = reg.SetStatus(ctx, c.org, op.ID, presence.StatusChange{Status: switchboard.StatusAvailable})
		must(err)
	}
}

// long is a size that the environment may give: HISTORIES=n, n times as long.
func long(t testing.TB, short int) int {
	if s := os.Getenv("HISTORIES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return short * n
	}
	return short
}

// seeded is a test's seed: SEED where it is set.
func seeded(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("SEED=%d", seed)
	return seed
}

// P-11, A-12, A-14, L-3, L-10, V-2: what 24 clients on three nodes were told, some of
// them nothing, is what one desk would have told them that does one thing at a time:
// no chat has two holders, whoever moves it, and nobody is given one who is full,
// leaving, away or without the skill in that very step. TestTheCheckersSeeAMissingGuard
// shows it red.
func TestHistoriesOfTwentyFourClientsAreOfOneDesk(t *testing.T) {
	seed := seeded(t)
	for round := range long(t, 1) {
		for _, c := range play(t, seed+uint64(round), 24, 150) {
			if why := c.history.broken(); why != "" {
				t.Errorf("round %d, organization %d: %s", round, c.org, why)
			}
		}
	}
}
