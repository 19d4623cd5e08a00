package routing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// What the walk compares: the model's state and the store's, in one writing.

func (m *model) status(o *modelOp) string {
	switch {
	case o.link == "" || o.out:
		return switchboard.StatusOffline
	case o.called:
		return switchboard.StatusInCall
	case len(o.chats)+len(o.parts) > 0:
		return switchboard.StatusInChat
	}
	return o.intent
}

// String is the whole state, one line for each operator and chat, then the queue
// and the free in their order.
func (m *model) String() string {
	var b strings.Builder
	for _, o := range m.ops {
		fmt.Fprintf(&b, "operator %d: %s, %s, out %v, leaving %v, offers %v, chats %v, parts %v\n", o.id, m.status(o), o.intent, o.out, o.leaving, keys(o.offers), keys(o.chats), o.others())
	}
	fmt.Fprintf(&b, "deadlines %v\n", keys(m.due))
	for _, id := range keys(m.chats) {
		c, holder := m.chats[id], 0
		if c.holder != nil {
			holder = c.holder.id
		}
		fmt.Fprintf(&b, "chat %d: %s, operator %d, declined by %v, people %v\n", id, c.state, holder, keys(c.declined), m.people(id))
	}
	b.WriteString("queue")
	for _, c := range m.queue() {
		fmt.Fprint(&b, " ", c.id)
	}
	b.WriteString("\nfree")
	for _, o := range m.free() {
		fmt.Fprint(&b, " ", o.id)
	}
	return b.String()
}

// GoString is how a failed walk shows whom and what it drew.
func (o *modelOp) GoString() string   { return fmt.Sprint("operator ", o.id) }
func (c *modelChat) GoString() string { return fmt.Sprint("chat ", c.id) }

// others is an operator's work in chats that another holds, with its units.
func (o *modelOp) others() []string {
	out := map[string]bool{}
	for id, v := range o.invites {
		units := 0
		if v.kind == handOver {
			units = 1
		}
		out[fmt.Sprintf("invite:%d %d", id, units)] = true
	}
	for id, role := range o.parts {
		out[fmt.Sprintf("%s:%d 0", role, id)] = true
	}
	return keys(out)
}

// people are those of a chat besides its holder, and who is asked.
func (m *model) people(id int64) []string {
	var out []string
	for _, o := range m.ops {
		if role, ok := o.parts[id]; ok {
			out = append(out, fmt.Sprintf("%d %s", o.id, role))
		}
		if v, ok := o.invites[id]; ok {
			out = append(out, fmt.Sprintf("%d asked to %s by %d", o.id, v.kind, v.by))
		}
	}
	slices.Sort(out)
	return out
}

func keys[K cmp.Ordered, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// compare fails the walk where the store says other than the model, and takes the
// deadlines' times from the store.
func (w *modelWalk) compare(step string) {
	got, due := w.stored()
	for name, at := range due {
		if _, ok := w.m.due[name]; ok {
			w.m.due[name] = at
		}
	}
	if want := w.m.String(); got != want {
		w.rt.Fatalf("after %s the store has\n%s\nand the model\n%s", step, got, want)
	}
}

// stored is the store's state as the model writes its own.
func (w *modelWalk) stored() (string, map[string]int64) {
	b := w.reg.Partition(w.org).Block(w.org)
	pipe := w.rdb.Pipeline()
	chats, queue, free, alarms := pipe.HGetAll(w.ctx, b.Chat), pipe.ZRange(w.ctx, b.Queue, 0, -1),
		pipe.ZRangeByScore(w.ctx, b.Free, &redis.ZRangeBy{Min: "0", Max: "+inf"}), pipe.ZRangeWithScores(w.ctx, b.Due, 0, -1)
	if _, err := pipe.Exec(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	ops, err := w.reg.Operators(w.ctx, w.org)
	if err != nil {
		w.t.Fatal(err)
	}
	due := map[string]int64{}
	for _, z := range alarms.Val() {
		kind, rest, _ := strings.Cut(fmt.Sprint(z.Member), "/")
		org, id, _ := strings.Cut(rest, "/")
		if org == fmt.Sprint(w.org) && slices.Contains([]string{"offer", "again", "grace", "lost", "call", "part"}, kind) {
			due[kind+"/"+id] = int64(z.Score)
		}
	}
	var s strings.Builder
	slices.SortFunc(ops, func(a, b presence.Operator) int { return int(a.ID - b.ID) })
	for _, o := range ops {
		offers, held, others := w.work(o)
		fmt.Fprintf(&s, "operator %d: %s, %s, out %v, leaving %v, offers %v, chats %v, parts %v\n", o.ID, o.Status, o.Intent, o.Out, o.Leaving != nil, offers, held, others)
	}
	fmt.Fprintf(&s, "deadlines %v\n", keys(due))
	open := map[int64]Chat{}
	for _, raw := range chats.Val() {
		c, err := decodeChat(raw)
		if err != nil {
			w.t.Fatal(err)
		}
		open[int64(c.ID)] = c
	}
	for _, id := range slices.Sorted(maps.Keys(open)) {
		c, holder := open[id], switchboard.OperatorID(0)
		if c.State == switchboard.ChatActive {
			holder = c.Operator
		}
		declined, people := w.people(c)
		fmt.Fprintf(&s, "chat %d: %s, operator %d, declined by %v, people %v\n", id, c.State, holder, declined, people)
	}
	s.WriteString("queue")
	for _, id := range queue.Val() {
		s.WriteString(" " + id)
	}
	s.WriteString("\nfree")
	for _, member := range free.Val() {
		_, op, _ := strings.Cut(member, ":")
		s.WriteString(" " + op)
	}
	return s.String(), due
}

// work is an operator's, by kind.
func (w *modelWalk) work(o presence.Operator) (offers, chats []int64, others []string) {
	for item, units := range o.Work {
		kind, rest, _ := strings.Cut(item, ":")
		id, err := strconv.ParseInt(rest, 10, 64)
		switch {
		case kind == "call": // the status shows it
		case err != nil:
			w.rt.Fatalf("operator %d has work %s", o.ID, item)
		case kind == "offer":
			offers = append(offers, id)
		case kind == "chat":
			chats = append(chats, id)
		default:
			others = append(others, fmt.Sprint(item, " ", units))
		}
	}
	slices.Sort(offers)
	slices.Sort(chats)
	slices.Sort(others)
	return offers, chats, others
}

// people are who has declined a chat, and who is in it, or asked, besides its holder.
func (w *modelWalk) people(c Chat) (declined []int, people []string) {
	for op := range c.Declined {
		n, err := strconv.Atoi(op)
		if err != nil {
			w.t.Fatal(err)
		}
		declined = append(declined, n)
	}
	for op, p := range c.With {
		people = append(people, op+" "+p.Role)
	}
	for op, v := range c.Invites {
		people = append(people, fmt.Sprintf("%s asked to %s by %s", op, v.Kind, strings.TrimPrefix(string(v.By), "o")))
	}
	slices.Sort(declined)
	slices.Sort(people)
	return declined, people
}
