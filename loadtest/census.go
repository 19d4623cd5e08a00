package loadtest

import (
	"time"

	"github.com/switchboard/switchboard"
)

// Census is how many wait and how many could answer, as the crowd knows it.
type Census struct {
	Waiting int // chats that wait, with no offer open
	Free    int // operators who are here, available and below their limit
	Slots   int // what they could take in all
	Open    int // chats that were started and are not closed
}

// Census counts now. It walks everything: call it some ten times a second.
func (g *Ledger) Census() Census {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := Census{Waiting: g.waiting()}
	for _, d := range g.operators {
		if !d.up || !d.available {
			continue
		}
		if room := g.limit - len(d.held) - len(d.offers); room > 0 {
			c.Free++
			c.Slots += room
		}
	}
	for _, r := range g.chats {
		if !r.started.IsZero() && r.closed.IsZero() {
			c.Open++
		}
	}
	return c
}

// waiting counts the chats that no operator holds or is asked about. The caller
// holds g.mu.
func (g *Ledger) waiting() int {
	n := 0
	for _, r := range g.chats {
		if !r.started.IsZero() && r.closed.IsZero() && r.offerTo == 0 && len(r.holders) == 0 && r.active.IsZero() {
			n++
		}
	}
	return n
}

// Chats is how many chats were ever started.
func (g *Ledger) Chats() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, r := range g.chats {
		if !r.started.IsZero() {
			n++
		}
	}
	return n
}

// Settled reports whether nothing is missing that could still come: every
// message acked or refused, and shown to both parties.
func (g *Ledger) Settled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.chats {
		if n := r.talk.count(r.parties()); n.unacked > 0 || n.lost > 0 {
			return false
		}
	}
	return true
}

// parties are those who must have seen everything: the visitor and the last
// operator.
func (r *record) parties() []switchboard.PersonID {
	out := []switchboard.PersonID{r.visitor}
	if r.holder != 0 {
		out = append(out, switchboard.OperatorPerson(r.holder))
	}
	return out
}

// roomy reports whether a chat that starts now should find somebody at once: a
// few slots more than chats that wait, since chats that start together with it
// and frames on their way are not seen yet.
func (c Census) roomy() bool { return c.Slots-c.Waiting >= max(5, c.Free/20) }

// tides is what repeated censuses show over a run.
type tides struct {
	every      time.Duration
	maxWaiting int
	minSlots   int
	rounds     int
	waiting    int // rounds in which somebody waited
	free       int // rounds in which somebody was free
	both       int // rounds in a row of now with both
	longest    int // the longest such row
}

func (t *tides) take(c Census) {
	if t.rounds == 0 || c.Slots < t.minSlots {
		t.minSlots = c.Slots
	}
	t.rounds++
	t.maxWaiting = max(t.maxWaiting, c.Waiting)
	if c.Waiting > 0 {
		t.waiting++
	}
	if c.Free > 0 {
		t.free++
	}
	if c.Waiting > 0 && c.Free > 0 {
		t.both++
	} else {
		t.both = 0
	}
	t.longest = max(t.longest, t.both)
}

func (t *tides) seconds(rounds int) float64 { return (time.Duration(rounds) * t.every).Seconds() }
