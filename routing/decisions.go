package routing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Decision is one that routing has made, with all that it was made of, as
// match.lua recorded it. The newest 10,000 or so are kept.
type Decision struct {
	ID       string                   `json:"id"` // of the stream: its first half is Redis ms
	Chat     switchboard.ChatID       `json:"chat"`
	Team     switchboard.TeamID       `json:"team"`
	Strategy string                   `json:"strategy"`
	Requires string                   `json:"requires,omitempty"` // skill=level,...
	Want     int                      `json:"want"`               // operators to ask at a time
	Turn     string                   `json:"turn,omitempty"`     // where round_robin's pointer stood; of mod, how many there were and the score it began at
	Seen     []Seen                   `json:"seen"`               // who was looked at, in order: at most 16, and all who suited
	Line     []Standing               `json:"line"`               // who suited, in order, and at most 3 who would have been next
	Got      []switchboard.OperatorID `json:"got"`                // who was asked, or has the chat; nobody of a transfer into a queue
	// By is who moved the chat by hand, a transfer or a take-over; "" is for what routing decided.
	By switchboard.PersonID `json:"by,omitempty"`

	prev string // the decision on this chat before
}

// Seen is an operator who was looked at for a chat.
type Seen struct {
	Operator switchboard.OperatorID `json:"operator"`
	Units    int64                  `json:"units"` // held then; of declined and passed: Redis ms until which the chat was declined
	Turn     int64                  `json:"turn"`  // when they last got work or ended some, in turns of the organization
	// Rule excluded them: a rule of Why. "" is for who suited; last, asked and again
	// name who was taken out of the order, as the visitor's last operator, by the
	// team's webhook, or because only those who had declined were left.
	Rule string `json:"rule"`
}

// Standing is an operator's place in the order: the lower score is asked first.
type Standing struct {
	Operator switchboard.OperatorID `json:"operator"`
	Score    int64                  `json:"score"` // operator.lua, score
}

// Replay makes the decision again, of its inputs only: the same operators. One that
// has By was a person's: there is nothing to make it of.
func (d Decision) Replay() []switchboard.OperatorID {
	var again *Seen
	for i, s := range d.Seen {
		switch s.Rule {
		case "asked", "last":
			return []switchboard.OperatorID{s.Operator}
		case "passed": // declined, and may be asked again: who declined first, where nobody else is left
			if again == nil || s.Units < again.Units {
				again = &d.Seen[i]
			}
		}
	}
	if len(d.Line) == 0 {
		if again == nil {
			return nil
		}
		return []switchboard.OperatorID{again.Operator}
	}
	_, from, _ := strings.Cut(d.Turn, ":")
	pointer, _ := strconv.ParseInt(d.Turn, 10, 64) // 0 where the strategy has none
	begin, _ := strconv.ParseInt(from, 10, 64)
	// The strategies that go round begin behind a place and come back to it.
	round := func(s Standing) int {
		if d.Strategy == presence.RoundRobin && s.Score <= pointer || d.Strategy == presence.Mod && s.Score < begin {
			return 1
		}
		return 0
	}
	line := slices.Clone(d.Line)
	slices.SortStableFunc(line, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(round(a), round(b)), cmp.Compare(a.Score, b.Score))
	})
	var out []switchboard.OperatorID
	for _, s := range line {
		if len(out) < d.Want && !slices.Contains(out, s.Operator) {
			out = append(out, s.Operator)
		}
	}
	return out
}

// Decisions returns recorded decisions before an id ("" for the newest), newest
// first: at most n, 1 to 200. Errors: CodeInvalid (before).
func (r *Router) Decisions(ctx context.Context, org switchboard.OrgID, before string, n int) ([]Decision, error) {
	end := "+"
	if before != "" {
		if !validPosition(before) {
			return nil, switchboard.Invalid("before", "a decision's id")
		}
		end = "(" + before
	}
	list, err := r.rdb.XRevRangeN(ctx, r.reg.Partition(org).Key(org, "decided"), end, "-", int64(min(max(n, 1), 200))).Result()
	if err != nil {
		return nil, storeError(err)
	}
	out := make([]Decision, 0, len(list))
	for _, e := range list {
		d, err := readDecision(e)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// decisionsOn is how many decisions on one chat are told.
const decisionsOn = 20

// decisionsOf returns the decisions on a chat, newest first, as far as they are kept.
func (r *Router) decisionsOf(ctx context.Context, org switchboard.OrgID, c Chat) ([]Decision, error) {
	out := []Decision{}
	for id := c.Decided; validPosition(id) && len(out) < decisionsOn; {
		list, err := r.rdb.XRange(ctx, r.reg.Partition(org).Key(org, "decided"), id, id).Result()
		if err != nil {
			return nil, storeError(err)
		}
		if len(list) == 0 {
			break
		}
		d, err := readDecision(list[0])
		if err != nil {
			return nil, err
		}
		if d.Chat != c.ID { // the store has lost entries and used the id again
			break
		}
		out, id = append(out, d), d.prev
	}
	return out, nil
}

func readDecision(e redis.XMessage) (d Decision, err error) {
	text := func(name string) string { s, _ := e.Values[name].(string); return s }
	number := func(s string) int64 {
		n, e := strconv.ParseInt(s, 10, 64)
		if e != nil && err == nil {
			err = fmt.Errorf("decision: %w", e)
		}
		return n
	}
	d = Decision{ID: e.ID, Chat: switchboard.ChatID(number(text("chat"))), Team: switchboard.TeamID(number(text("team"))), Strategy: text("strategy"),
		Requires: text("key"), Want: int(number(text("want"))), Turn: text("turn"), Seen: []Seen{}, Line: []Standing{}, Got: []switchboard.OperatorID{}, By: switchboard.PersonID(text("by")), prev: text("prev")}
	for row := range strings.SplitSeq(text("seen"), ";") {
		if f := strings.SplitN(row, ",", 4); len(f) == 4 {
			d.Seen = append(d.Seen, Seen{switchboard.OperatorID(number(f[0])), number(f[1]), number(f[2]), f[3]})
		}
	}
	for row := range strings.SplitSeq(text("line"), ";") {
		if op, score, ok := strings.Cut(row, ","); ok {
			d.Line = append(d.Line, Standing{switchboard.OperatorID(number(op)), number(score)})
		}
	}
	for op := range strings.SplitSeq(text("got"), ",") {
		if op != "" {
			d.Got = append(d.Got, switchboard.OperatorID(number(op)))
		}
	}
	return d, err
}
