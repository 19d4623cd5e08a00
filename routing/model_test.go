package routing

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// model is routing on one page: an organization of one team, whose every change is
// worked out here once more. Times are the store's; the walk tells it when a deadline
// stands to the ms, because of two it is the earlier that is answered first.
type model struct {
	now     int64
	turn    int64 // of who is given work, or ends some
	pointer int   // round robin: who was given the last chat
	team    presence.Team
	ops     []*modelOp
	chats   map[int64]*modelChat // open ones
	due     map[string]int64
}

type modelOp struct {
	id, missed, auto           int
	last                       int64
	link                       string // "", "grace" or "here"
	intent, beneath            string // beneath: what Unresponsive covers
	out, leaving, called, able bool
	offers, chats              map[int64]bool
	invites                    map[int64]modelInvite
	parts                      map[int64]string // in chats that another holds: switchboard.RoleJoin or RoleConsult
}

type modelChat struct {
	id, rank int64
	visitor  string
	state    string
	holder   *modelOp
	declined map[int]int64 // operator -> when they may be asked again
}

func (m *model) op(id int) *modelOp { return m.ops[id-1] }

// absent operators cannot come into a chat; barred ones are given none.
func (o *modelOp) absent() bool { return o.out || o.link != "here" || o.leaving }

func (m *model) barred(o *modelOp) bool {
	return o.absent() || o.intent != switchboard.StatusAvailable || o.called
}

// busy is work that a logout waits for.
func (o *modelOp) busy() bool { return o.called || len(o.chats)+len(o.parts) > 0 }

// load is in chats: a part takes no units, and a hand-over takes them from the invite on.
func (o *modelOp) load() int {
	n := len(o.offers) + len(o.chats)
	for _, v := range o.invites {
		if v.kind == handOver {
			n++
		}
	}
	return n
}

func (m *model) fits(o *modelOp) bool { return !m.barred(o) && o.load() < m.team.Limit }

// free are those who fit, in the order of the team's strategy.
func (m *model) free() []*modelOp {
	var out []*modelOp
	for _, o := range m.ops {
		if m.fits(o) {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b *modelOp) int {
		switch m.team.Strategy {
		case presence.LeastLoaded:
			return cmp.Or(cmp.Compare(a.load(), b.load()), cmp.Compare(a.last, b.last))
		case presence.LongestIdle:
			return cmp.Or(cmp.Compare(min(a.load(), 1), min(b.load(), 1)), cmp.Compare(a.last, b.last))
		}
		return 0 // by id
	})
	return out
}

// candidates of a chat: the free, from where the strategy begins.
func (m *model) candidates(c *modelChat) []*modelOp {
	free := m.free()
	if len(free) == 0 {
		return nil
	}
	first := 0
	switch m.team.Strategy {
	case presence.Mod:
		first = int(c.id) % len(free)
	case presence.RoundRobin:
		first = max(0, slices.IndexFunc(free, func(o *modelOp) bool { return o.id > m.pointer }))
	}
	return append(slices.Clone(free[first:]), free[:first]...)
}

func (m *model) queue() []*modelChat {
	var out []*modelChat
	for _, c := range m.chats {
		if c.state == switchboard.ChatWaiting {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *modelChat) int { return cmp.Compare(a.rank, b.rank) })
	return out
}

// match gives waiting chats in their order until nobody is free.
func (m *model) match() {
	for _, c := range m.queue() {
		var got []*modelOp
		var again *modelOp
		want := max(m.team.Offers, 1)
		if m.team.AutoAccept {
			want = 1
		}
		for _, o := range m.candidates(c) {
			at, declined := c.declined[o.id]
			if declined {
				if at <= m.now && (again == nil || at < c.declined[again.id]) {
					again = o
				}
			} else if got = append(got, o); len(got) == want {
				break
			}
		}
		if len(got) == 0 && again != nil {
			got = append(got, again)
		}
		if len(got) == 0 {
			continue // of those behind some may fare better: they were not declined
		}
		m.give(c, got)
	}
}

func (m *model) give(c *modelChat, got []*modelOp) {
	for _, o := range got {
		m.turn++
		o.last = m.turn
		if m.team.Strategy == presence.RoundRobin {
			m.pointer = o.id
		}
		if m.team.AutoAccept {
			m.activate(c, o)
			return
		}
	}
	c.state = switchboard.ChatOffered
	m.due[fmt.Sprint("offer/", c.id)] = m.now + m.team.OfferMS
	for _, o := range got {
		o.offers[c.id] = true
		m.settle(o)
	}
}

func (m *model) activate(c *modelChat, o *modelOp) {
	c.state, c.holder, c.declined = switchboard.ChatActive, o, map[int]int64{}
	delete(m.due, fmt.Sprint("offer/", c.id))
	for _, other := range m.ops {
		delete(other.offers, c.id)
	}
	o.chats[c.id] = true
	m.settle(o)
}

// settle is what follows from any change of an operator.
func (m *model) settle(o *modelOp) {
	if o.leaving && !o.busy() {
		m.signOut(o)
	}
	switch able := !m.barred(o); {
	case able && !o.able:
		m.turn++
		o.last, o.able = m.turn, true
	case !able && o.able && o.link != "grace":
		o.able = false
	}
}

func (m *model) signOut(o *modelOp) {
	m.release(o)
	o.out, o.leaving, o.auto = true, false, 0
	m.uncover(o)
}

func (m *model) uncover(o *modelOp) {
	if o.beneath != "" {
		o.intent, o.beneath = o.beneath, ""
	}
}

// release ends all offers of an operator, and invites; a chat that is offered to
// nobody then waits at its place.
func (m *model) release(o *modelOp) {
	for id := range o.offers {
		m.withdraw(o, id)
	}
	for id := range o.invites {
		m.uninvite(o, id)
	}
}

func (m *model) withdraw(o *modelOp, id int64) {
	delete(o.offers, id)
	for _, other := range m.ops {
		if other.offers[id] {
			return
		}
	}
	m.chats[id].state = switchboard.ChatWaiting
	delete(m.due, fmt.Sprint("offer/", id))
}

func (m *model) offline(o *modelOp) {
	o.link = ""
	delete(m.due, fmt.Sprint("grace/o", o.id))
	m.release(o)
	clear(o.parts)
	m.settle(o)
	if len(o.chats) > 0 || o.called {
		m.due[fmt.Sprint("lost/", o.id)] = m.now
	}
}

// declined is an operator's no, or their silence.
func (m *model) declined(o *modelOp, id int64, silent bool) {
	m.passOver(o, m.chats[id])
	m.withdraw(o, id)
	m.untaken(o, silent)
	m.settle(o)
}

// passOver: an operator is asked for a chat again after the pause, if nobody else can be.
func (m *model) passOver(o *modelOp, c *modelChat) {
	c.declined[o.id] = m.now + m.team.PauseMS
	m.due[fmt.Sprint("again/", c.id)] = m.now + m.team.PauseMS
}

// untaken counts what an operator let pass in silence; so many in a row take them out
// of routing.
func (m *model) untaken(o *modelOp, silent bool) {
	o.missed++
	if !silent {
		o.missed = 0
	} else if o.missed >= m.team.Misses {
		if o.intent == switchboard.StatusAvailable && o.auto < 6 {
			o.intent, o.beneath = switchboard.StatusUnresponsive, o.intent
			o.auto++
		}
		o.missed = 0
		m.release(o)
	}
}

// finish ends an operator's time with a chat that they held.
func (m *model) finish(o *modelOp, id int64) {
	delete(o.chats, id)
	m.turn++
	o.last = m.turn
	m.settle(o)
}

// ring answers one deadline.
func (m *model) ring(name string) {
	if at, ok := m.due[name]; !ok || at > m.now {
		return
	}
	delete(m.due, name)
	kind, rest, _ := strings.Cut(name, "/")
	var id int64
	fmt.Sscanf(strings.TrimPrefix(rest, "o"), "%d", &id) // our own names
	switch kind {
	case "grace":
		m.offline(m.op(int(id)))
	case "lost":
		if o := m.op(int(id)); o.link == "" {
			for c := range o.chats {
				m.chats[c].state, m.chats[c].holder = switchboard.ChatWaiting, nil
				m.disband(c)
			}
			clear(o.chats)
			m.settle(o)
			m.match()
		}
	case "offer":
		var silent []*modelOp
		for _, o := range m.ops {
			if o.offers[id] {
				silent = append(silent, o)
			}
		}
		for _, o := range silent {
			m.declined(o, id, true)
		}
		m.match()
	case "again":
		m.match()
	case "part":
		_, op, _ := strings.Cut(rest, "/")
		n, _ := strconv.Atoi(op) // our own
		m.stays(m.op(n), id, true)
	case "call":
		m.hangUp(m.op(int(id)))
	}
}

func (m *model) hangUp(o *modelOp) {
	delete(m.due, fmt.Sprintf("call/%d/x", o.id))
	if o.called {
		o.called = false
		m.turn++
		o.last = m.turn
		m.settle(o)
	}
}

// back shifts all times, as the store's are: time has passed.
func (m *model) back(ms int64) {
	for name := range m.due {
		m.due[name] -= ms
	}
	for _, c := range m.chats {
		for op := range c.declined {
			c.declined[op] -= ms
		}
	}
}

// sweep answers what is due after some time, twice: an answer may make something due at
// once. The queue's own alarm, a second after the last step, is before all others but
// those that were due in that step.
func (m *model) sweep(passed int64) {
	looks, looked := m.now-passed+1000, false
	look := func() {
		if !looked {
			m.match()
		}
		looked = true
	}
	for range 2 {
		var names []string
		for name, at := range m.due {
			if at <= m.now {
				names = append(names, name)
			}
		}
		slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(m.due[a], m.due[b]), cmp.Compare(a, b)) })
		for _, name := range names {
			if m.due[name] > looks {
				look()
			}
			m.ring(name)
		}
		look()
	}
}
