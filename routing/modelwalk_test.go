package routing

import (
	flags "flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Times of the walk: deadlines stand at half minutes and time passes by whole ones,
// so that no step is a matter of milliseconds.
const (
	walkOffer = 90 * time.Second
	walkPause = 150 * time.Second
	walkGrace = 30 * time.Second
	walkLease = 59*time.Minute + 30*time.Second
)

// modelWalk does each step to the scripts and to the model.
type modelWalk struct {
	*desk
	rt *rapid.T
	m  *model
}

// S-5, S-9, L-3, L-9, L-10: after every step of a random
// day the scripts' state is the model's: who holds, is offered and has declined what, who
// is in whose chat or asked to, in which order chats wait and operators are free, and
// which deadlines stand. rapid prints the seed and the shortest walk that differs. On
// Redis and on the store in memory. HISTORIES=n makes it n times as long. Seen red with
// the turn taken out of finish, no pause in decline, release without its ZADD, the order
// of "again" turned round in pair, the pointer of the round robin not moved, and lost
// without the rank. Of transfers and parts: with a second hand-over let through, no pause
// for who gives a chat away, no finish in transfer or in hand, no look at the limit, at
// who leaves or at who is in it already, an invite that keeps no units, another's token in
// come, a consult left beside the join, part without its refusals or with the invite left,
// a silent consult counted, people left in a chat that closes or of one who is lost,
// invites of who signs out, and join not among KEEPS.
func TestModelOfRoutingEqualsTheScripts(t *testing.T) {
	for store, checks := range map[string]int{"redis": 80, "memory": 3} {
		t.Run(store, func(t *testing.T) {
			if store == "memory" {
				was := redisOptions
				redisOptions = &redis.Options{Addr: miniredis.RunT(t).Addr(), Protocol: 2, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
				t.Cleanup(func() { redisOptions = was })
			}
			d := newDesk(t)
			setChecks(t, long(t, checks))
			steps := 0
			rapid.Check(t, func(rt *rapid.T) {
				w := newWalk(rt, d)
				for range even(rt, []int{20, 40, 60, 80}, "steps") {
					w.step()
					steps++
				}
			})
			t.Logf("%d steps", steps)
		})
	}
}

// setChecks sets how many walks rapid makes in this test.
func setChecks(t *testing.T, n int) {
	t.Helper()
	f := flags.Lookup("rapid.checks")
	was := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(was) }) // it was its value
}

func newWalk(rt *rapid.T, d *desk) *modelWalk {
	own := *d
	own.org = switchboard.OrgID(lastOrg.Add(1))
	w := &modelWalk{desk: &own, rt: rt, m: &model{chats: map[int64]*modelChat{}, due: map[string]int64{}}}
	if err := w.reg.EnsureOrg(w.ctx, w.org); err != nil {
		w.t.Fatal(err)
	}
	w.settings()
	n := even(rt, []int{2, 3, 4}, "operators")
	var list []presence.NewOperator
	for i := range n {
		list = append(list, presence.NewOperator{ID: switchboard.OperatorID(i + 1), Name: fmt.Sprintf("Operator %d", i+1)})
		w.m.ops = append(w.m.ops, &modelOp{id: i + 1, intent: switchboard.StatusUnavailable, offers: map[int64]bool{}, chats: map[int64]bool{},
			invites: map[int64]modelInvite{}, parts: map[int64]string{}})
	}
	if err := w.reg.AddOperators(w.ctx, w.org, list); err != nil {
		w.t.Fatal(err)
	}
	for _, o := range w.m.ops {
		w.connect(o)
		w.status(o, switchboard.StatusAvailable)
	}
	w.fill(even(rt, []int{0, 2, 4}, "chats"))
	return w
}

// fill starts chats, of which the first are held, and has others come into them: where a
// walk begins with them it has time for what becomes of them.
func (w *modelWalk) fill(n int) {
	for v := range n {
		w.m.now = w.now()
		w.starts(v + 1)
		if o := w.one(suited["accept"]); o != nil {
			w.answers(o, "accept")
		}
		w.moves(w.held(), even(w.rt, []string{switchboard.RoleConsult, switchboard.RoleJoin}, "role"), even(w.rt, w.m.ops, "operator"))
		if o := w.one(suited["come"]); o != nil {
			w.replies(o, true)
		}
	}
}

// settings draws the team's; who is free stands in the new order at once.
func (w *modelWalk) settings() {
	w.m.team = presence.Team{Name: "Everyone", OfferMS: walkOffer.Milliseconds(), PauseMS: walkPause.Milliseconds(),
		Strategy:   even(w.rt, []string{presence.LeastLoaded, presence.LongestIdle, presence.RoundRobin, presence.Mod}, "strategy"),
		Limit:      even(w.rt, []int{1, 2, 3}, "limit"),
		AutoAccept: even(w.rt, []bool{true, false, false}, "accepts by itself"),
		Offers:     even(w.rt, []int{1, 2}, "offers"),
		Misses:     even(w.rt, []int{1, 2}, "misses")}
	if err := w.reg.PutTeam(w.ctx, w.org, w.m.team); err != nil {
		w.t.Fatal(err)
	}
}

// step draws one, does it on both sides and compares them. A step of a new kind is a
// case here and a method of the model.
func (w *modelWalk) step() {
	m := w.m
	name := even(w.rt, walkSteps, "step")
	o := even(w.rt, m.ops, "operator")
	if of := suited[name]; of != nil {
		if one := w.one(of); one != nil && even(w.rt, []bool{true, true, true, false}, "suited") {
			o = one
		}
	}
	m.now = w.now()
	switch name {
	case "start":
		w.starts(even(w.rt, []int{1, 2, 3, 4, 5, 6, 7, 8}, "visitor"))
	case "accept", "decline":
		w.answers(o, name)
	case "close", "claim":
		if ids := keys(m.chats); len(ids) > 0 {
			c := m.chats[even(w.rt, ids, "chat")]
			if name == "close" {
				w.closes(c)
			} else {
				w.claims(o, c)
			}
		}
	case "transfer", "to the queue", "consult", "join", "end part":
		if c := w.held(); c != nil {
			w.moves(c, name, o)
		}
	case "come", "stay away":
		w.replies(o, name == "come")
	case "connect":
		w.connect(o)
	case "lose":
		w.leaves(o, walkGrace)
	case "go":
		w.leaves(o, 0)
	case "available":
		w.status(o, switchboard.StatusAvailable)
	case "break":
		w.status(o, switchboard.StatusBreak)
	case "call", "hang up":
		w.calls(o, name == "call")
	case "sign out", "stay":
		w.signs(o, name == "sign out")
	case "time":
		minutes := time.Duration(rapid.IntRange(1, 3).Draw(w.rt, "minutes")) * time.Minute
		m.back(minutes.Milliseconds())
		w.warp(minutes)
		m.sweep(minutes.Milliseconds())
	case "settings":
		w.settings()
	}
	w.match()
	m.match()
	w.compare(name)
}

func (w *modelWalk) now() int64 {
	at, err := w.reg.Now(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

// wants fails the walk unless an error is as expected.
func (w *modelWalk) wants(what string, err error, refused bool) {
	if code := switchboard.CodeOf(err); (err != nil) != refused || code == switchboard.CodeInternal || code == switchboard.CodeUnavailable {
		w.rt.Fatalf("%s: %v, refused by the model: %v\n%v", what, err, refused, w.m)
	}
}

func (w *modelWalk) starts(visitor int) {
	name := fmt.Sprint("v", visitor)
	c, opened, err := w.desk.begin(Opening{Visitor: switchboard.VisitorPerson(name)})
	w.wants("start", err, false)
	for _, open := range w.m.chats {
		if open.visitor == name {
			if opened || int64(c.ID) != open.id {
				w.rt.Fatalf("a second chat of %s: %d and %d", name, open.id, c.ID)
			}
			return
		}
	}
	w.m.chats[int64(c.ID)] = &modelChat{id: int64(c.ID), rank: int64(c.ID), visitor: name, state: switchboard.ChatWaiting, declined: map[int]int64{}}
	w.m.match()
}

func (w *modelWalk) answers(o *modelOp, how string) {
	if len(o.offers) == 0 {
		return
	}
	id := even(w.rt, keys(o.offers), "offer")
	op, token := switchboard.OperatorID(o.id), w.chat(switchboard.ChatID(id)).Offers[fmt.Sprint(o.id)]
	if how == "accept" {
		_, err := w.desk.rt.Accept(w.ctx, w.org, op, switchboard.ChatID(id), token)
		w.wants(how, err, false)
		o.missed = 0
		w.m.activate(w.m.chats[id], o)
		return
	}
	w.wants(how, w.desk.rt.Decline(w.ctx, w.org, op, switchboard.ChatID(id), token), false)
	w.m.declined(o, id, false)
	w.m.match()
}

func (w *modelWalk) closes(c *modelChat) {
	_, err := w.desk.rt.Close(w.ctx, w.org, switchboard.VisitorPerson(c.visitor), false, switchboard.ChatID(c.id), "done")
	w.wants("close", err, false)
	delete(w.m.chats, c.id)
	delete(w.m.due, fmt.Sprint("offer/", c.id))
	delete(w.m.due, fmt.Sprint("again/", c.id))
	for _, o := range w.m.ops {
		delete(o.offers, c.id)
	}
	w.m.disband(c.id)
	if o := c.holder; o != nil {
		w.m.finish(o, c.id)
	}
	w.m.match()
}

func (w *modelWalk) claims(o *modelOp, c *modelChat) {
	_, err := w.desk.rt.Claim(w.ctx, w.org, switchboard.OperatorID(o.id), switchboard.ChatID(c.id), false)
	if c.holder == o {
		w.wants("claim of an own chat", err, false)
		return
	}
	refused := c.state != switchboard.ChatWaiting || !w.m.fits(o)
	w.wants("claim", err, refused)
	if !refused {
		w.m.turn++
		o.last = w.m.turn
		w.m.activate(c, o)
	}
}

func (w *modelWalk) connect(o *modelOp) {
	op := switchboard.OperatorID(o.id)
	minted, err := w.reg.Minted(w.ctx, w.org, op)
	w.wants("minted", err, false)
	_, err = w.reg.Enter(w.ctx, w.org, switchboard.OperatorPerson(op), minted)
	w.wants("connect", err, false)
	if o.link == "here" && !o.out {
		return
	}
	o.link, o.out = "here", false
	delete(w.m.due, fmt.Sprint("grace/o", o.id))
	w.m.settle(o)
	delete(w.m.due, fmt.Sprint("lost/", o.id))
}

func (w *modelWalk) leaves(o *modelOp, grace time.Duration) {
	err := w.reg.Leave(w.ctx, w.org, switchboard.OperatorPerson(switchboard.OperatorID(o.id)), grace, func() bool { return false })
	w.wants("leave", err, false)
	switch {
	case o.link != "here":
	case grace == 0 || o.out:
		w.m.offline(o)
	default:
		o.link = "grace"
		w.m.due[fmt.Sprint("grace/o", o.id)] = w.m.now + grace.Milliseconds()
		w.m.settle(o)
	}
}

func (w *modelWalk) status(o *modelOp, status string) {
	_, err := w.reg.SetStatus(w.ctx, w.org, switchboard.OperatorID(o.id), presence.StatusChange{Status: status})
	w.wants("status", err, false)
	o.intent, o.beneath, o.missed, o.auto = status, "", 0, 0
	w.m.settle(o)
}

func (w *modelWalk) calls(o *modelOp, on bool) {
	if !on {
		w.wants("hang up", w.reg.EndCall(w.ctx, w.org, switchboard.OperatorID(o.id), "x"), false)
		w.m.hangUp(o)
		return
	}
	err := w.reg.StartCall(w.ctx, w.org, switchboard.OperatorID(o.id), "x", walkLease)
	refused := !o.called && (o.leaving || o.out || o.link == "")
	w.wants("call", err, refused)
	if !refused {
		o.called = true
		w.m.due[fmt.Sprintf("call/%d/x", o.id)] = w.m.now + walkLease.Milliseconds()
		w.m.settle(o)
	}
}

func (w *modelWalk) signs(o *modelOp, out bool) {
	when := presence.SignOutStay
	if out {
		when = presence.SignOutDrain
	}
	_, err := w.reg.SignOut(w.ctx, w.org, switchboard.OperatorID(o.id), when)
	w.wants("sign out", err, false)
	switch {
	case !out:
		o.leaving = false
	case o.busy():
		if !o.leaving {
			o.leaving = true
			w.m.release(o)
		}
	default:
		w.m.signOut(o)
	}
	w.m.settle(o)
}
