package gateway

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// mirror keeps what this node last heard of the operators and chats it serves:
// their records, to be asserted when the store loses writes (resync.go). It
// decides nothing and is never read for anything else. About 0.5 KB an operator.
type mirror struct {
	hub *hub.Hub
	reg *presence.Registry

	mu     sync.Mutex
	people map[edge]copied
	chats  map[chatKey]copied
	orders map[switchboard.OrderID]recentOrder
}

type chatKey struct {
	org  switchboard.OrgID
	chat switchboard.ChatID
}

// copied is one record. prior is what was held when a record of a higher
// generation came before the old one was asserted: a change after the loss must
// not hide what was lost.
type copied struct {
	record, prior string
	gen           int64
	at            int64 // Unix s when it last changed
}

type recentOrder struct {
	org  switchboard.OrgID
	spec presence.OrderSpec
	by   string // who has cancelled it, "" for nobody
	at   time.Time
}

// How long the records of people and chats that nobody here belongs to any more
// are kept: floors and closes of the last minutes are asserted too. Orders are
// kept for as long as a failover may lose them.
const (
	mirrorKeeps = 10 * time.Minute
	ordersKept  = time.Minute
)

func newMirror(h *hub.Hub, reg *presence.Registry) *mirror {
	return &mirror{hub: h, reg: reg, people: map[edge]copied{}, chats: map[chatKey]copied{}, orders: map[switchboard.OrderID]recentOrder{}}
}

func (c copied) with(record string, gen int64) copied {
	if gen < c.gen {
		return c // of before the change, late
	}
	if gen > c.gen && c.gen != 0 && c.prior == "" {
		c.prior = c.record
	}
	c.record, c.gen, c.at = record, gen, time.Now().Unix()
	return c
}

// operator keeps an operator's record.
func (m *mirror) operator(e edge, record string, gen int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.people[e] = m.people[e].with(record, gen)
}

// chat keeps a chat's record.
func (m *mirror) chat(org switchboard.OrgID, id switchboard.ChatID, record string, gen int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := chatKey{org, id}
	m.chats[key] = m.chats[key].with(record, gen)
}

// snapshot keeps the chats that a person holds, as read at hello.
func (m *mirror) snapshot(org switchboard.OrgID, snap routing.Snapshot) {
	gen := m.reg.Generation(m.reg.Partition(org))
	for i, c := range snap.Chats {
		m.chat(org, c.ID, snap.Records[i], gen)
	}
}

// nudged keeps the record that a nudge brought.
func (m *mirror) nudged(n routing.Nudge) {
	if n.Class == 's' {
		for _, p := range n.Persons {
			m.operator(edge{n.Org, p}, n.Record, n.Gen)
		}
		return
	}
	var f struct {
		Chat switchboard.ChatID `json:"chat"`
	}
	if json.Unmarshal(n.Frame, &f) == nil && f.Chat > 0 {
		m.chat(n.Org, f.Chat, n.Record, n.Gen)
	}
}

// ordered keeps an order that was written (by is "") or cancelled through this node.
func (m *mirror) ordered(org switchboard.OrgID, spec presence.OrderSpec, by string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, o := range m.orders {
		if time.Since(o.at) > ordersKept {
			delete(m.orders, id)
		}
	}
	m.orders[spec.ID] = recentOrder{org, spec, by, time.Now()}
}

// cancelled notes that an order was cancelled somewhere, if it is kept here.
func (m *mirror) cancelled(id switchboard.OrderID, by string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.orders[id]; ok {
		m.orders[id] = recentOrder{o.org, o.spec, by, time.Now()}
	}
}

// held returns what is to be asserted in a partition, by organization: the
// record of before the change where there is one.
func (m *mirror) held(p presence.Partition) (people, chats map[switchboard.OrgID][]string, orders []recentOrder) {
	people, chats = map[switchboard.OrgID][]string{}, map[switchboard.OrgID][]string{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for e, c := range m.people {
		if m.reg.Partition(e.org) == p {
			people[e.org] = append(people[e.org], c.asserted())
		}
	}
	for k, c := range m.chats {
		if m.reg.Partition(k.org) == p {
			chats[k.org] = append(chats[k.org], c.asserted())
		}
	}
	for _, o := range m.orders {
		if m.reg.Partition(o.org) == p && time.Since(o.at) <= ordersKept {
			orders = append(orders, o)
		}
	}
	return people, chats, orders
}

func (c copied) asserted() string {
	if c.prior != "" {
		return c.prior
	}
	return c.record
}

// settled forgets what was held back in a partition: it is asserted.
func (m *mirror) settled(p presence.Partition, gen int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for e, c := range m.people {
		if m.reg.Partition(e.org) == p {
			c.prior, c.gen = "", max(c.gen, gen)
			m.people[e] = c
		}
	}
	for k, c := range m.chats {
		if m.reg.Partition(k.org) == p {
			c.prior, c.gen = "", max(c.gen, gen)
			m.chats[k] = c
		}
	}
}

// run forgets, once a minute, what nobody here belongs to any more.
func (m *mirror) run(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.forget(time.Now().Add(-mirrorKeeps).Unix())
		}
	}
}

func (m *mirror) forget(before int64) {
	here := func(org switchboard.OrgID, p switchboard.PersonID) bool { return len(m.hub.Conns(org, p)) > 0 }
	m.mu.Lock()
	defer m.mu.Unlock()
	for e, c := range m.people {
		if c.at < before && !here(e.org, e.person) {
			delete(m.people, e)
		}
	}
	for k, c := range m.chats {
		var f struct {
			Visitor switchboard.PersonID   `json:"visitor"`
			Op      switchboard.OperatorID `json:"op"`
			State   string                 `json:"state"`
		}
		if c.at >= before || json.Unmarshal([]byte(c.record), &f) != nil {
			continue
		}
		if f.State == switchboard.ChatClosed || (!here(k.org, f.Visitor) && (f.Op == 0 || !here(k.org, switchboard.OperatorPerson(f.Op)))) {
			delete(m.chats, k)
		}
	}
}
