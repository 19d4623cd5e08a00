package routing

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// The specification of a desk whose operators choose their chats, for porcupine:
// who may do what, in other words than the scripts'.

const (
	operators = 3
	visitors  = 4
	limit     = 2
	nodes     = 3
)

// move is one call; outcome is its answer, word "" when none came.
type move struct {
	what        string
	op, visitor int
	node        int
	chat        int64
	skilled, on bool
	to          int    // of a transfer
	token       string // of an invite
}

type outcome struct {
	word            string
	chat            int64
	opened, leaving bool
	holder          int // 1 to operators, 0 nobody
	state           string
	asked           asked
}

type entry struct {
	client           int
	move             move
	outcome          outcome
	called, returned int64
}

type history []entry

// floor is a desk at one moment: it is a value, so that two are equal by ==.
type floor struct {
	ops   [operators]onFloor
	chats [visitors]chatOnFloor
}

type onFloor struct {
	here                    [nodes]bool
	available, out, leaving bool
	calls                   bool
	_                       struct{}
}

type chatOnFloor struct {
	id      int64 // 0: no open chat
	holder  int
	skilled bool
	asked   asked  // to hold it
	took    string // token of the invite that the holder accepted
}

func opened() any {
	var f floor
	for i := range f.ops {
		f.ops[i].available = true
		f.ops[i].here[i%nodes] = true
	}
	return f
}

func (f floor) holds(op int) (n int) {
	for _, c := range f.chats {
		if c.id != 0 && c.holder == op+1 {
			n++
		}
	}
	return n
}

// ended signs out who was leaving and has no work any more (L-10).
func (f floor) ended(op int) floor {
	if o := &f.ops[op]; o.leaving && !o.calls && f.holds(op) == 0 {
		o.leaving, o.out = false, true
	}
	return f
}

// claim says what an operator who claims must be told.
func (f floor) claim(a move) string {
	c, o := f.chats[a.visitor], f.ops[a.op]
	switch {
	case c.id != a.chat:
		return "closed chat"
	case c.holder == a.op+1:
		return "ok"
	case c.holder != 0:
		return "conflict chat"
	case o.out || o.here == [nodes]bool{}:
		return "conflict "
	case o.leaving:
		return "leaving "
	case !o.available || o.calls:
		return "conflict "
	case c.skilled && a.op != 0:
		return "forbidden chat"
	case f.load(a.op)+1 > limit:
		return "conflict over"
	}
	return "ok"
}

// step returns the desks that a call may have left, given its answer; none when
// no desk would have answered so. orphans are chats that the call may have started
// when its answer was lost.
func (f floor) step(a move, b outcome, orphans []int64) (next []any) {
	lost := b.word == ""
	is := func(want string) bool { return lost || b.word == want }
	c := &f.chats[a.visitor]
	switch a.what {
	case "start":
		switch {
		case c.id != 0:
			if is("ok") && (lost || !b.opened && b.chat == c.id) {
				return []any{f}
			}
		case lost: // what was lost may be the answer with the chat's number
			next = append(next, f)
			for _, id := range orphans {
				*c = chatOnFloor{id: id, skilled: a.skilled}
				next = append(next, f)
			}
		case b.word == "ok" && b.opened:
			*c = chatOnFloor{id: b.chat, skilled: a.skilled}
			return []any{f}
		}
		return next
	case "claim":
		want := f.claim(a)
		if !is(want) || !lost && want == "conflict chat" && b.holder != c.holder {
			return nil
		}
		if want == "ok" && c.holder == 0 {
			c.holder = a.op + 1
		}
		return []any{f}
	case "close":
		if !is("ok") {
			return nil
		}
		if c.id == a.chat {
			holder := c.holder
			*c = chatOnFloor{}
			if holder != 0 {
				f = f.ended(holder - 1)
			}
		}
		return []any{f}
	case "look":
		if !lost && c.id == a.chat {
			return f.looks(a.visitor, b)
		}
		if lost || b.state == "closed" {
			return []any{f}
		}
		return nil
	case "transfer", "give away", "accept", "decline":
		return f.moves(a, b, is)
	}
	return f.operates(a, b, is)
}

// operates is step for what an operator does to themselves.
func (f floor) operates(a move, b outcome, is func(string) bool) []any {
	o := &f.ops[a.op]
	here := o.here != [nodes]bool{}
	want := "ok"
	switch a.what {
	case "status":
		o.available = a.on
	case "call":
		switch {
		case !a.on:
			o.calls = false
			f = f.ended(a.op)
		case o.calls: // renewed
		case o.leaving:
			want = "leaving "
		case o.out || !here:
			want = "conflict "
		default:
			o.calls = true
		}
	case "sign out":
		busy := o.calls || f.holds(a.op) > 0
		switch {
		case !a.on:
			o.leaving = false
		case busy:
			o.leaving = true
		default:
			o.leaving, o.out = false, true
		}
		if a.on {
			f = f.unasked(a.op)
		}
		if b.word == "ok" && b.leaving != o.leaving {
			return nil
		}
	case "come":
		came := f
		came.ops[a.op].out, came.ops[a.op].here[a.node] = false, true
		switch b.word {
		case "ok":
			return []any{came}
		case "": // it is not known whether a logout came between
			return []any{came, f}
		case "logged_out ":
			return []any{f}
		}
		return nil
	case "go":
		o.here[a.node] = false
		if o.here == ([nodes]bool{}) {
			f = f.unasked(a.op)
		}
	}
	if !is(want) {
		return nil
	}
	return []any{f}
}

// orphans are the chats that each call may have started of which nobody was told
// that they had: numbers rise, so few come into question. -1 is one nobody ever saw.
func (h history) orphans() [][]int64 {
	started := map[int64]bool{}
	for _, e := range h {
		if e.outcome.opened {
			started[e.outcome.chat] = true
		}
	}
	var lost [visitors][]int64
	for _, e := range h {
		if v, id := e.move.visitor, e.outcome.chat; id != 0 && !started[id] && !slices.Contains(lost[v], id) {
			lost[v] = append(lost[v], id)
		}
	}
	out := make([][]int64, len(h))
	for i, e := range h {
		if e.move.what != "start" || e.outcome.word != "" {
			continue
		}
		low, high := int64(0), int64(math.MaxInt64)
		for _, o := range h {
			if o.outcome.opened && o.returned < e.called {
				low = max(low, o.outcome.chat)
			}
			if o.outcome.opened && o.called > e.returned {
				high = min(high, o.outcome.chat)
			}
		}
		for _, id := range lost[e.move.visitor] {
			if low < id && id < high {
				out[i] = append(out[i], id)
			}
		}
		out[i] = append(out[i], -1)
	}
	return out
}

// broken says how a history is none of one desk, "" when it is.
func (h history) broken() string {
	orphans := h.orphans()
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{opened()} },
		Step: func(state, in, _ any) []any {
			i := in.(int)
			return state.(floor).step(h[i].move, h[i].outcome, orphans[i])
		},
	}
	ops := make([]porcupine.Operation, len(h))
	for i, e := range h {
		ops[i] = porcupine.Operation{ClientId: e.client, Input: i, Call: e.called, Return: e.returned}
	}
	m := model.ToModel()
	result, info := porcupine.CheckOperationsVerbose(m, ops, 20*time.Second)
	if result == porcupine.Ok {
		return ""
	}
	// The longest order that one desk could have had, and what comes after its end.
	var best []int
	for _, partial := range info.PartialLinearizations() {
		for _, order := range partial {
			if len(order) > len(best) {
				best = order
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: of %d calls %d can be put in an order; none of these can follow:", result, len(h), len(best))
	in := map[int]bool{}
	for _, i := range best {
		in[i] = true
	}
	var rest history
	for i, e := range h {
		if !in[i] {
			rest = append(rest, e)
		}
	}
	slices.SortFunc(rest, func(a, b entry) int { return int(a.called - b.called) })
	for _, e := range rest[:min(6, len(rest))] {
		fmt.Fprintf(&b, "\n  %+v -> %+v", e.move, e.outcome)
	}
	return b.String()
}
