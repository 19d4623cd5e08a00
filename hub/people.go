package hub

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/switchboard/switchboard"
)

// person is who a connection belongs to; two organizations may know the same id.
type person struct {
	org switchboard.OrgID
	id  switchboard.PersonID
}

// shard holds the connections of the persons that hash to it.
type shard struct {
	mu     sync.RWMutex
	people map[person]*Conn // the head of the person's list
	flat   []entry          // every connection, for Match and Each
}

// entry is one connection in a shard's flat slice, with what Match looks at
// kept beside it, so that a search reads memory in a line.
type entry struct {
	org  switchboard.OrgID
	addr netip.Addr
	conn *Conn
}

// membership is a connection's place in its shard.
type membership struct {
	next *Conn // of the same person
	at   int   // index in flat
	in   bool
	last bool // when it left, nobody else of the person was in
	twin bool // another of the person is or was in
}

var seed = maphash.MakeSeed()

func (h *Hub) shardOf(p person) *shard {
	// Organizations add to the hash what equal person ids take from it.
	return &h.shards[(maphash.String(seed, string(p.id))^uint64(p.org)*0x9e3779b97f4a7c15)>>32%shardCount]
}

// Identify puts a connection under its person. first says that the person had
// no other live connection on this node.
//
// The error is an *Error: CodeTooFast when the person has Config.MaxPerPerson
// connections already, or the organization Config.MaxPerOrg, CodeConflict when the connection is identified already,
// CodeClosed when it is ending.
func (h *Hub) Identify(c *Conn, id Identity) (first bool, err error) {
	p := person{id.Org, id.Person}
	if !h.door.enter(id.Org, h.cfg.MaxPerOrg) {
		return false, switchboard.Errorc(switchboard.CodeTooFast, "too many connections of one organization")
	}
	s := h.shardOf(p)
	s.mu.Lock()
	first, err = h.join(s, c, p, id)
	s.mu.Unlock()
	if err != nil {
		h.door.exit(id.Org)
		return false, err
	}
	h.door.identifiedAs(c)
	h.wheel.bring(c)
	return first, nil
}

// join links c into its person's list. The shard's lock is held.
func (h *Hub) join(s *shard, c *Conn, p person, id Identity) (first bool, err error) {
	n := 0
	for other := s.people[p]; other != nil; other = other.member.next {
		n++
	}
	if n >= h.cfg.MaxPerPerson {
		return false, switchboard.Errorc(switchboard.CodeTooFast, "too many connections of one person")
	}
	// The outbox lock orders this against end: it either sees the identity or
	// makes us fail.
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	switch {
	case c.out.ending:
		return false, switchboard.Errorc(switchboard.CodeClosed, "the connection is ending")
	case c.identity.Load() != nil:
		return false, switchboard.Errorc(switchboard.CodeConflict, "the connection is identified already")
	}
	c.identity.Store(&id)
	c.member = membership{next: s.people[p], at: len(s.flat), in: true, twin: n > 0}
	if n == 1 {
		c.member.next.member.twin = true
	}
	s.people[p] = c
	s.flat = append(s.flat, entry{p.org, c.addr, c})
	h.identified.Add(1)
	return n == 0, nil
}

// Renew replaces what a new token says of an identified connection: role, name,
// mint time and expiry. Organization and person stay as they were.
func (h *Hub) Renew(c *Conn, id Identity) {
	for {
		old := c.identity.Load()
		if old == nil {
			return
		}
		id.Org, id.Person = old.Org, old.Person
		if c.identity.CompareAndSwap(old, &id) {
			break
		}
	}
	h.wheel.bring(c)
}

// unlink takes c out of its shard, if it is in one.
func (h *Hub) unlink(c *Conn) {
	id := c.identity.Load()
	if id == nil {
		return
	}
	p := person{id.Org, id.Person}
	s := h.shardOf(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &c.member
	if !m.in {
		return
	}
	m.in = false
	if s.people[p] == c {
		if m.next == nil {
			delete(s.people, p)
			m.last = true
		} else {
			s.people[p] = m.next
		}
	} else {
		before := s.people[p]
		for before.member.next != c {
			before = before.member.next
		}
		before.member.next = m.next
	}
	m.next = nil
	end := len(s.flat) - 1
	s.flat[m.at] = s.flat[end]
	s.flat[m.at].conn.member.at = m.at
	s.flat[end] = entry{}
	s.flat = s.flat[:end]
	h.identified.Add(-1)
	h.door.exit(p.org)
}

// wasLast reports whether c was its person's last connection when it left.
func (h *Hub) wasLast(c *Conn) bool {
	id := c.identity.Load()
	if id == nil {
		return false
	}
	s := h.shardOf(person{id.Org, id.Person})
	s.mu.RLock()
	defer s.mu.RUnlock()
	return c.member.last
}

// Conns returns the live connections of a person.
func (h *Hub) Conns(org switchboard.OrgID, id switchboard.PersonID) []*Conn {
	p := person{org, id}
	s := h.shardOf(p)
	s.mu.RLock()
	defer s.mu.RUnlock()
	var conns []*Conn
	for c := s.people[p]; c != nil; c = c.member.next {
		conns = append(conns, c)
	}
	return conns
}

// Alone reports whether c is the one live connection of its person on this node.
func (h *Hub) Alone(c *Conn) bool {
	id := c.identity.Load()
	if id == nil {
		return false
	}
	p := person{id.Org, id.Person}
	s := h.shardOf(p)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.people[p] == c && c.member.next == nil
}

// Each calls f for every live identified connection until it returns false. No
// lock is held: f may end connections, and may meet one that has ended.
func (h *Hub) Each(f func(*Conn) bool) {
	var conns []*Conn
	for i := range h.shards {
		s := &h.shards[i]
		conns = conns[:0]
		s.mu.RLock()
		for _, e := range s.flat {
			conns = append(conns, e.conn)
		}
		s.mu.RUnlock()
		for _, c := range conns {
			if !f(c) {
				return
			}
		}
	}
}

// Persons calls f once for every person with a live connection until it returns
// false. No lock is held.
func (h *Hub) Persons(f func(org switchboard.OrgID, p switchboard.PersonID) bool) {
	var persons []person
	for i := range h.shards {
		s := &h.shards[i]
		persons = persons[:0]
		s.mu.RLock()
		for p := range s.people {
			persons = append(persons, p)
		}
		s.mu.RUnlock()
		for _, p := range persons {
			if !f(p.org, p.id) {
				return
			}
		}
	}
}

// Matched is one person whom Match found.
type Matched struct {
	Person switchboard.PersonID
	What   uint8 // what look said of all the person's addresses, joined by "or"
	Conn   *Conn // the first that look said of what it was asked first for: bit 1
}

// Match looks at the address of every live connection of an organization and
// returns the persons of whom look said anything but 0, each once, in no order.
// look is called with a lock held: it only looks at the address. A lock is held for
// a 64th of the addresses at a time: some 15 µs of 100,000.
func (h *Hub) Match(org switchboard.OrgID, look func(netip.Addr) uint8) []Matched {
	var found, several []Matched
	for i := range h.shards {
		s := &h.shards[i]
		several = several[:0] // of people with more than one connection: all of them are in this shard
		s.mu.RLock()
		for k := range s.flat {
			e := &s.flat[k]
			if e.org != org {
				continue
			}
			what := look(e.addr)
			if what == 0 {
				continue
			}
			m := Matched{e.conn.identity.Load().Person, what, e.conn}
			if e.conn.member.twin {
				several = append(several, m)
			} else {
				found = append(found, m)
			}
		}
		s.mu.RUnlock()
		found = append(found, join(several)...)
	}
	return found
}

// join makes one of several finds of the same person.
func join(found []Matched) []Matched {
	if len(found) < 2 {
		return found
	}
	slices.SortStableFunc(found, func(a, b Matched) int { return strings.Compare(string(a.Person), string(b.Person)) })
	out := found[:1]
	for _, m := range found[1:] {
		last := &out[len(out)-1]
		if last.Person != m.Person {
			out = append(out, m)
			continue
		}
		if last.What&1 == 0 && m.What&1 != 0 {
			last.Conn = m.Conn
		}
		last.What |= m.What
	}
	return out
}
