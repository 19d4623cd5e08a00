package loadtest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
)

func (f *fake) tell(p switchboard.PersonID, v any) {
	for c := range f.conns[p] {
		c.send(v)
	}
}

func (f *fake) handle(c *fakeConn, in switchboard.In) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch in.T {
	case switchboard.KindHello:
		f.hello(c, in)
	case switchboard.KindStatus:
		op := f.operators[c.person]
		op.available = true
		c.send(map[string]any{"t": "ok", "re": in.Re})
		f.tell(c.person, f.self(op))
		f.match()
	case switchboard.KindStart:
		f.start(c, in)
	case switchboard.KindAccept:
		f.accept(c, in)
	case switchboard.KindDecline:
		chat := f.chats[in.Chat]
		delete(f.operators[c.person].held, in.Chat)
		chat.state = switchboard.ChatWaiting
		c.send(map[string]any{"t": "ok", "re": in.Re})
		f.queue = append(f.queue, in.Chat)
		f.match()
	case switchboard.KindMessage:
		f.say(c, in)
	case switchboard.KindTyping:
		chat := f.chats[in.Chat]
		other := chat.visitor
		if c.person == chat.visitor {
			other = chat.operator
		}
		f.tell(other, map[string]any{"t": "typing", "chat": in.Chat, "from": c.person, "on": true, "ttl_ms": 6000})
	case switchboard.KindClose:
		f.close(c, in)
	case switchboard.KindResume:
		for _, p := range in.Chats {
			f.resumed(c, p)
		}
	}
}

func (f *fake) hello(c *fakeConn, in switchboard.In) {
	c.person = switchboard.PersonID(in.Token)
	if f.conns[c.person] == nil {
		f.conns[c.person] = make(map[*fakeConn]bool)
	}
	f.conns[c.person][c] = true
	ready := Ready{Person: c.person, Role: switchboard.RoleVisitor, Node: strconv.Itoa(c.node), TimeoutMS: 18000}
	if op := f.operators[c.person]; op != nil {
		ready.Role = switchboard.RoleOperator
		self := f.self(op)
		ready.Self = &self.OperatorView
	}
	var open []switchboard.ChatPosition
	for _, chat := range f.chats {
		if chat.visitor != c.person && chat.operator != c.person || chat.state == switchboard.ChatClosed {
			continue
		}
		ready.Chats = append(ready.Chats, chat.frame(""))
		open = append(open, switchboard.ChatPosition{Chat: chat.id})
	}
	b, err := json.Marshal(ready)
	if err != nil {
		panic(err)
	}
	c.send(`{"t":"ready",` + strings.TrimPrefix(string(b), "{"))
	for _, p := range in.Chats {
		f.resumed(c, p)
		open = removeChat(open, p.Chat)
	}
	for _, p := range open {
		f.resumed(c, p)
	}
	f.match()
}

func removeChat(list []switchboard.ChatPosition, chat switchboard.ChatID) []switchboard.ChatPosition {
	var out []switchboard.ChatPosition
	for _, p := range list {
		if p.Chat != chat {
			out = append(out, p)
		}
	}
	return out
}

type fakeSelf struct {
	T switchboard.Kind `json:"t"`
	switchboard.OperatorView
}

func (f *fake) self(op *fakeOperator) fakeSelf {
	v := fakeSelf{T: switchboard.KindSelf}
	v.ID, v.Chats, v.Intent = op.id, len(op.held), switchboard.StatusUnavailable
	if op.available {
		v.Intent = switchboard.StatusAvailable
	}
	return v
}

func (c *fakeChat) frame(re string) switchboard.Chat {
	f := switchboard.Chat{T: switchboard.KindChat, Chat: c.id, State: c.state}
	if n := len(c.log); n > 0 {
		f.Pos = c.log[n-1].Pos
	}
	if id, ok := c.operator.Operator(); ok && c.state == switchboard.ChatActive {
		f.Operator = &switchboard.Colleague{ID: id}
	}
	return f
}

func (f *fake) start(c *fakeConn, in switchboard.In) {
	for _, chat := range f.chats {
		if chat.visitor == c.person && chat.state != switchboard.ChatClosed {
			c.send(chatFrame{chat.frame(""), in.Re})
			return
		}
	}
	chat := &fakeChat{
		id: switchboard.ChatID(len(f.chats) + 1), state: switchboard.ChatWaiting, visitor: c.person,
		hidden: make(map[int64]bool), acks: make(map[string]Ack),
	}
	f.chats[chat.id] = chat
	f.queue = append(f.queue, chat.id)
	c.send(chatFrame{chat.frame(""), in.Re})
	f.store(chat, switchboard.Message{T: switchboard.KindMessage, Chat: chat.id, From: c.person, Cmid: in.Cmid, Text: in.Text})
	f.match()
}

// match gives waiting chats to the operators with the fewest.
func (f *fake) match() {
	if f.faults.deaf {
		return
	}
	for len(f.queue) > 0 {
		var best *fakeOperator
		var who switchboard.PersonID
		for _, p := range f.order {
			op := f.operators[p]
			room := len(op.held) < f.limit || f.faults.overfill
			if op.available && room && len(f.conns[p]) > 0 && (best == nil || len(op.held) < len(best.held)) {
				best, who = op, p
			}
			if best != nil && f.faults.overfill {
				break // everything to the first
			}
		}
		if best == nil {
			return
		}
		chat := f.chats[f.queue[0]]
		f.queue = f.queue[1:]
		best.held[chat.id] = true
		chat.state, chat.operator = switchboard.ChatOffered, who
		f.tell(who, switchboard.Offer{T: switchboard.KindOffer, Chat: chat.id, Token: "t", TTL: 15000})
	}
}

func (f *fake) accept(c *fakeConn, in switchboard.In) {
	chat := f.chats[in.Chat]
	if chat.operator != c.person || in.Token != "t" {
		c.send(map[string]any{"t": "error", "re": in.Re, "code": "conflict", "message": "late"})
		return
	}
	chat.state = switchboard.ChatActive
	c.send(chatFrame{chat.frame(""), in.Re})
	f.tell(chat.visitor, chat.frame(""))
	if f.faults.hoard {
		for _, p := range f.order {
			if p == c.person {
				continue
			}
			copied := chat.frame("")
			id, _ := p.Operator()
			copied.Operator = &switchboard.Colleague{ID: id}
			f.tell(p, copied)
		}
	}
}

func (f *fake) say(c *fakeConn, in switchboard.In) {
	chat := f.chats[in.Chat]
	if chat.state == switchboard.ChatClosed {
		c.send(map[string]any{"t": "error", "code": "closed", "cmid": in.Cmid, "chat": in.Chat, "message": "over"})
		return
	}
	m := switchboard.Message{T: switchboard.KindMessage, Chat: chat.id, From: c.person, Cmid: in.Cmid, Text: in.Text}
	if ack, again := chat.acks[in.Cmid]; again {
		if f.faults.noAck == nil || !f.faults.noAck(m) {
			c.ack(ack)
		}
		return
	}
	if f.faults.swap != nil && f.faults.swap(m) && chat.swapped == nil {
		// The bug of acking before storing: the number is promised and then given away.
		chat.swapped = &m
		ack := fakeAck(chat, in.Cmid, int64(len(chat.log)+1))
		if f.faults.unsaid {
			ack.Seq, ack.Pos = 0, ""
		}
		c.ack(ack)
		return
	}
	seq := f.store(chat, m)
	ack := fakeAck(chat, in.Cmid, seq)
	chat.acks[in.Cmid] = ack
	mute := f.faults.noAck != nil && f.faults.noAck(m) || f.faults.lateAck != nil && f.faults.lateAck(m)
	if !mute {
		c.ack(ack)
	}
	if f.faults.twice != nil && f.faults.twice(m) {
		f.store(chat, m)
	}
	if f.faults.forge != nil && f.faults.forge(m) {
		m.Cmid = "forged"
		f.store(chat, m)
	}
	if held := chat.swapped; held != nil && held.Cmid != "" && held.From == m.From {
		f.store(chat, *held)
		held.Cmid = ""
	}
}

func (c *fakeConn) ack(a Ack) {
	c.send(struct {
		T switchboard.Kind `json:"t"`
		Ack
	}{switchboard.KindAck, a})
}

func fakeAck(chat *fakeChat, cmid string, seq int64) Ack {
	return Ack{Chat: chat.id, Cmid: cmid, Seq: seq, Pos: fmt.Sprintf("%d-1", seq)}
}

// store numbers a message and sends it to everybody in the chat.
func (f *fake) store(chat *fakeChat, m switchboard.Message) int64 {
	m.Seq = int64(len(chat.log) + 1)
	m.Pos = fmt.Sprintf("%d-1", m.Seq)
	chat.log = append(chat.log, m)
	if f.faults.drop != nil && f.faults.drop(m) {
		chat.hidden[m.Seq] = true
	}
	for _, p := range []switchboard.PersonID{chat.visitor, chat.operator} {
		offered := p == chat.operator && chat.state != switchboard.ChatActive
		if p == "" || offered || p != m.From && (chat.hidden[m.Seq] || f.faults.dropLive != nil && f.faults.dropLive(m)) {
			continue
		}
		f.tell(p, m)
	}
	return m.Seq
}

func (f *fake) resumed(c *fakeConn, p switchboard.ChatPosition) {
	chat := f.chats[p.Chat]
	if chat == nil {
		return
	}
	r := struct {
		T switchboard.Kind `json:"t"`
		Resumed
	}{T: switchboard.KindResumed}
	r.Chat, r.State, r.OK = chat.id, chat.state, p.Pos == "" || seqOf(p.Pos) <= int64(len(chat.log))
	for _, m := range chat.log {
		if (m.Seq > seqOf(p.Pos) || !r.OK) && (!chat.hidden[m.Seq] || m.From == c.person) {
			r.Messages = append(r.Messages, m)
		}
	}
	c.send(r)
}

func (f *fake) close(c *fakeConn, in switchboard.In) {
	chat := f.chats[in.Chat]
	chat.state = switchboard.ChatClosed
	c.send(chatFrame{chat.frame(""), in.Re})
	for _, p := range []switchboard.PersonID{chat.visitor, chat.operator} {
		if p != c.person {
			f.tell(p, chat.frame(""))
		}
	}
	if op := f.operators[chat.operator]; op != nil {
		delete(op.held, chat.id)
		f.match()
	}
}
