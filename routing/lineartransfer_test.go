package routing

// The specification of transfers for linear_test.go: who may move a chat to whom.

// asked is who has an invite to hold a chat, from 1 on, and its token: "" while the
// reply that had it was lost and nobody has looked, so nobody can accept with it either.
type asked struct {
	op    int
	token string
}

// load is what takes an operator's capacity: chats, and those they are asked to hold.
func (f floor) load(op int) int {
	n := f.holds(op)
	for _, c := range f.chats {
		if c.asked.op == op+1 {
			n++
		}
	}
	return n
}

// unasked ends the invites of an operator who goes.
func (f floor) unasked(op int) floor {
	for i := range f.chats {
		if c := &f.chats[i]; c.asked.op == op+1 {
			c.asked = asked{}
		}
	}
	return f
}

// looks is step for who sees an open chat, and with it its invite's token.
func (f floor) looks(visitor int, b outcome) []any {
	c := &f.chats[visitor]
	if b.state == "closed" || b.holder != c.holder || (b.state == "active") != (c.holder != 0) || b.asked.op != c.asked.op {
		return nil
	}
	if c.asked.token == "" {
		c.asked.token = b.asked.token
	}
	if b.asked.token != c.asked.token {
		return nil
	}
	return []any{f}
}

// owns says what somebody must be told who moves a chat: "ok" to who holds it.
func (f floor) owns(a move) string {
	switch c := f.chats[a.visitor]; {
	case c.id == a.chat && c.holder == a.op+1:
		return "ok"
	case c.id == a.chat && c.asked.op == a.op+1: // they know of it
		return "forbidden "
	}
	return "not_found chat"
}

// asks says what who asks another to hold a chat must be told.
func (f floor) asks(a move) string {
	c, to, mine := f.chats[a.visitor], f.ops[a.to], f.owns(a)
	switch {
	case mine != "ok":
		return mine
	case a.to == a.op, c.asked.op != 0:
		return "conflict operator"
	case to.out || to.here == [nodes]bool{}:
		return "offline operator"
	case to.leaving:
		return "leaving operator"
	case !to.available || to.calls || c.skilled && a.to != 0:
		return "conflict operator"
	case f.load(a.to)+1 > limit:
		return "conflict over"
	}
	return "ok"
}

// moves is step for what brings a chat from one operator to another.
func (f floor) moves(a move, b outcome, is func(string) bool) []any {
	c := &f.chats[a.visitor]
	invited := c.id == a.chat && c.asked == asked{a.op + 1, a.token}
	want := "ok"
	switch a.what {
	case "transfer":
		if want = f.asks(a); want == "ok" {
			c.asked = asked{a.to + 1, b.asked.token}
			if b.word == want && b.asked != c.asked {
				return nil
			}
		}
	case "give away":
		if want = f.owns(a); want == "ok" {
			c.holder, c.took, c.asked = 0, "", asked{}
			f = f.ended(a.op)
		}
	case "accept":
		switch {
		case c.id != a.chat:
			want = "closed "
		case c.holder == a.op+1 && c.took == a.token: // again
		case !invited:
			if want = "conflict token"; b.word == want && b.holder != c.holder {
				return nil
			}
		default:
			giver := c.holder - 1
			c.holder, c.took, c.asked = a.op+1, a.token, asked{}
			f = f.ended(giver)
		}
	case "decline":
		if !invited {
			want = "conflict token"
		} else {
			c.asked = asked{}
		}
	}
	if !is(want) {
		return nil
	}
	return []any{f}
}
