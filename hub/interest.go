package hub

import (
	"slices"
	"strings"
	"sync"

	"github.com/switchboard/switchboard"
)

// topic is something of an organization that connections may watch.
type topic struct {
	org  switchboard.OrgID
	name string
}

// audience is who watches a topic.
type audience struct {
	topic topic
	conns []*Conn
}

// watch is one topic of a connection and its place in the audience.
type watch struct {
	audience *audience
	at       int
}

// interest knows which connections watch what. One lock is enough: watching
// changes when a page opens, and publishing only reads.
type interest struct {
	mu     sync.RWMutex
	topics map[topic]*audience
}

// Watch makes topics the whole set that c watches, within its organization.
// Nothing happens before Identify or after the end.
func (h *Hub) Watch(c *Conn, topics []string) {
	if id, ok := c.Identity(); ok {
		h.interest.set(c, id.Org, topics)
	}
}

// set makes names the set of c; none once c is ending, so that a late Watch
// cannot bring an ended connection back.
func (in *interest) set(c *Conn, org switchboard.OrgID, names []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	c.out.mu.Lock()
	if c.out.ending {
		names = nil
	}
	c.out.mu.Unlock()
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	for i := len(c.topics) - 1; i >= 0; i-- {
		name := c.topics[i].audience.topic.name
		if wanted[name] {
			delete(wanted, name) // it has that one
		} else {
			in.leave(c, i)
		}
	}
	for _, name := range names {
		if wanted[name] {
			delete(wanted, name)
			in.join(c, topic{org, name})
		}
	}
	if len(c.topics) == 0 {
		c.topics = nil
	}
}

// join adds c to a topic's audience. The lock is held.
func (in *interest) join(c *Conn, t topic) {
	a := in.topics[t]
	if a == nil {
		a = &audience{topic: t}
		in.topics[t] = a
	}
	c.topics = append(c.topics, watch{a, len(a.conns)})
	a.conns = append(a.conns, c)
}

// leave takes c out of the audience of its i-th topic. The lock is held.
func (in *interest) leave(c *Conn, i int) {
	w := c.topics[i]
	c.topics = slices.Delete(c.topics, i, i+1)
	a, end := w.audience, len(w.audience.conns)-1
	if w.at != end {
		moved := a.conns[end]
		a.conns[w.at] = moved
		for j := range moved.topics {
			if moved.topics[j].audience == a {
				moved.topics[j].at = w.at
			}
		}
	}
	a.conns[end] = nil
	a.conns = a.conns[:end]
	if end == 0 {
		delete(in.topics, a.topic)
	}
}

// Publish queues one JSON object for every connection that watches the topic;
// see Deliver for the bytes and the order. Topics whose names have the same part
// before a slash are a family: Refresh is called once for all of it.
func (h *Hub) Publish(org switchboard.OrgID, name string, class Class, obj []byte) {
	family, _, _ := strings.Cut(name, "/")
	x, now := object{json: obj, class: class, topic: family}, h.now()
	var slow []tooSlow
	h.interest.mu.RLock()
	if a := h.interest.topics[topic{org, name}]; a != nil {
		for _, c := range a.conns {
			if why := c.push(&x, now); why != "" {
				slow = append(slow, tooSlow{c, why})
			}
		}
	}
	h.interest.mu.RUnlock()
	endAll(slow)
}

// Watched reports whether anybody here watches the topic.
func (h *Hub) Watched(org switchboard.OrgID, name string) bool {
	h.interest.mu.RLock()
	defer h.interest.mu.RUnlock()
	return h.interest.topics[topic{org, name}] != nil
}
