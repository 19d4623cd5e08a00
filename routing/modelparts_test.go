package routing

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
)

// Transfers, and parts in chats that another holds (A-14, L-9): the model's rules, then
// the walk's steps.

const handOver = "transfer" // what an invite asks: to hold the chat

type modelInvite struct {
	kind string // handOver, switchboard.RoleJoin or RoleConsult
	by   int
}

func partAlarm(id int64, op int) string { return fmt.Sprintf("part/%d/%d", id, op) }

func (m *model) uninvite(o *modelOp, id int64) {
	delete(o.invites, id)
	delete(m.due, partAlarm(id, o.id))
}

func (m *model) ask(c *modelChat, by, o *modelOp, kind string) {
	o.invites[c.id] = modelInvite{kind: kind, by: by.id}
	m.due[partAlarm(c.id, o.id)] = m.now + m.team.OfferMS
	m.settle(o)
}

// pending: one is asked to hold a chat, or the operator for anything in it.
func (m *model) pending(c *modelChat, o *modelOp) bool {
	_, asked := o.invites[c.id]
	return asked || slices.ContainsFunc(m.ops, func(o *modelOp) bool { return o.invites[c.id].kind == handOver })
}

// transfer of a chat to a person: what became of it, "" when it is refused. Who has a
// part in it was asked before, so their status and calls are no matter.
func (m *model) transfer(c *modelChat, by, to *modelOp) string {
	_, in := to.parts[c.id]
	switch {
	case c.holder != by, to == by, m.pending(c, to), to.absent(), !in && m.barred(to), to.load() >= m.team.Limit:
		return ""
	case in:
		m.hand(c, to)
		return TransferMoved
	}
	m.ask(c, by, to, handOver)
	return TransferAsked
}

// hand makes a chat another's in one step; everybody else stays in it.
func (m *model) hand(c *modelChat, to *modelOp) {
	from := c.holder
	m.uninvite(to, c.id)
	delete(to.parts, c.id)
	c.holder, to.chats[c.id] = to, true
	m.finish(from, c.id)
	m.settle(to)
	m.match()
}

// giveAway puts a chat into its team's queue: at its rank, and not for who gave it.
// Without sure somebody must be at work.
func (m *model) giveAway(c *modelChat, by *modelOp, sure bool) bool {
	works := func(o *modelOp) bool {
		return o.link != "" && !o.out && !o.leaving && o.intent == switchboard.StatusAvailable
	}
	if c.holder != by || !sure && !slices.ContainsFunc(m.ops, works) {
		return false
	}
	c.state, c.holder = switchboard.ChatWaiting, nil
	m.disband(c.id)
	m.finish(by, c.id)
	m.passOver(by, c)
	m.match()
	return true
}

// invite asks an operator, whatever their status and load, to come into a chat.
func (m *model) invite(c *modelChat, by, o *modelOp, role string) bool {
	has := o.parts[c.id]
	_, asked := o.invites[c.id]
	may := c.holder == by || by.parts[c.id] == switchboard.RoleJoin
	if !may || o == by || o == c.holder || has == role || has == switchboard.RoleJoin || asked || o.absent() {
		return false
	}
	m.ask(c, by, o, role)
	return true
}

// comes is an operator's yes to an invite.
func (m *model) comes(o *modelOp, id int64) {
	kind := o.invites[id].kind
	o.missed = 0
	if kind == handOver {
		m.hand(m.chats[id], o)
		return
	}
	m.uninvite(o, id)
	o.parts[id] = kind
	m.settle(o)
}

// stays is their no, or silence, of which only a hand-over's counts.
func (m *model) stays(o *modelOp, id int64, silent bool) {
	kind := o.invites[id].kind
	m.uninvite(o, id)
	if kind == handOver {
		m.untaken(o, silent)
	}
	m.settle(o)
	m.match()
}

// endPart ends an operator's part in a chat and an invite to it: their own, or by who
// holds it, or asked them.
func (m *model) endPart(c *modelChat, by, o *modelOp) bool {
	v, asked := o.invites[c.id]
	_, in := o.parts[c.id]
	switch {
	case by == o && c.holder == o: // they transfer or close it
		return false
	case by != o && c.holder != by && v.by != by.id, by != o && !asked && !in:
		return false
	}
	m.out(o, c.id)
	return true
}

func (m *model) out(o *modelOp, id int64) {
	m.uninvite(o, id)
	delete(o.parts, id)
	m.settle(o)
}

// disband ends all parts in a chat, and invites to it.
func (m *model) disband(id int64) {
	for _, o := range m.ops {
		m.out(o, id)
	}
}

// moves does what mostly the holder of a chat asks, and of another, often one who is in
// it or asked to: so that not all is refused.
func (w *modelWalk) moves(c *modelChat, name string, o *modelOp) {
	if other := w.one(func(o *modelOp) bool { return o != c.holder }); o == c.holder && other != nil && rapid.Bool().Draw(w.rt, "of another") {
		o = other
	}
	if in := w.one(func(o *modelOp) bool { return o.parts[c.id] != "" || o.invites[c.id].kind != "" }); in != nil && even(w.rt, []bool{true, false, false}, "of one in it") {
		o = in
	}
	by := c.holder
	if by == nil || rapid.IntRange(0, 4).Draw(w.rt, "by anybody") == 4 {
		by = even(w.rt, w.m.ops, "by")
	}
	switch name {
	case "transfer":
		w.transfers(c, by, o)
	case "to the queue":
		w.givesAway(c, by)
	case "end part":
		w.endsPart(c, by, o)
	default:
		w.invites(c, by, o, name)
	}
}

func (w *modelWalk) transfers(c *modelChat, by, to *modelOp) {
	got, err := w.desk.rt.Transfer(w.ctx, w.org, Transfer{Chat: switchboard.ChatID(c.id), By: switchboard.OperatorID(by.id), Operator: switchboard.OperatorID(to.id)})
	want := w.m.transfer(c, by, to)
	w.wants("transfer", err, want == "")
	if got.Outcome != want {
		w.rt.Fatalf("a transfer was %s, by the model %s\n%v", got.Outcome, want, w.m)
	}
}

func (w *modelWalk) givesAway(c *modelChat, by *modelOp) {
	sure := rapid.Bool().Draw(w.rt, "whether or not anybody answers")
	got, err := w.desk.rt.Transfer(w.ctx, w.org, Transfer{Chat: switchboard.ChatID(c.id), By: switchboard.OperatorID(by.id), Queue: sure})
	took := w.m.giveAway(c, by, sure)
	w.wants("transfer to the queue", err, !took)
	if !took {
		return
	}
	want := map[string]string{switchboard.ChatWaiting: TransferQueued, switchboard.ChatOffered: TransferOffered, switchboard.ChatActive: TransferMoved}[c.state]
	place := slices.Index(w.m.queue(), c) + 1
	if got.Outcome != want || got.Place != int64(place) {
		w.rt.Fatalf("a transfer was %s at %d, by the model %s at %d\n%v", got.Outcome, got.Place, want, place, w.m)
	}
}

func (w *modelWalk) invites(c *modelChat, by, o *modelOp, role string) {
	_, err := w.desk.rt.Invite(w.ctx, w.org, switchboard.OperatorID(by.id), switchboard.ChatID(c.id), switchboard.OperatorID(o.id), role, "")
	w.wants("invite", err, !w.m.invite(c, by, o, role))
}

// replies is an answer to one of all invites, now and then with another's token.
func (w *modelWalk) replies(o *modelOp, comes bool) {
	if len(o.invites) == 0 {
		return
	}
	id := even(w.rt, keys(o.invites), "invite")
	op, chat := switchboard.OperatorID(o.id), switchboard.ChatID(id)
	token := w.chat(chat).Invites[fmt.Sprint(o.id)].Token
	stale := rapid.IntRange(0, 7).Draw(w.rt, "an old token") == 7
	if stale {
		token += "0"
	}
	if comes {
		_, err := w.desk.rt.Accept(w.ctx, w.org, op, chat, token)
		w.wants("come", err, stale)
	} else {
		w.wants("stay away", w.desk.rt.Decline(w.ctx, w.org, op, chat, token), stale)
	}
	switch {
	case stale:
	case comes:
		w.m.comes(o, id)
	default:
		w.m.stays(o, id, false)
	}
}

func (w *modelWalk) endsPart(c *modelChat, by, o *modelOp) {
	switch v, asked := o.invites[c.id]; even(w.rt, []string{"", "themselves", "who asked"}, "by") {
	case "themselves":
		by = o
	case "who asked":
		if asked {
			by = w.m.op(v.by)
		}
	}
	err := w.desk.rt.EndPart(w.ctx, w.org, switchboard.OperatorID(by.id), switchboard.ChatID(c.id), switchboard.OperatorID(o.id))
	w.wants("end part", err, !w.m.endPart(c, by, o))
}
