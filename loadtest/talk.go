package loadtest

import (
	"maps"
	"slices"
	"time"

	"github.com/switchboard/switchboard"
)

// talk is the messages of one chat: what was sent, and what each reader saw.
type talk struct {
	messages map[string]*message // by author and client message id
	bySeq    map[int64]string    // as readers saw it
	readers  map[switchboard.PersonID]*reader
	sent     map[switchboard.PersonID]int
}

type message struct {
	author switchboard.PersonID
	order  int // 1, 2, 3 ... of its author; 0: nobody sent it
	sent   time.Time
	acked  time.Time
	gone   bool  // refused for good
	seq    int64 // where the first reader saw it in the log
	ackSeq int64 // where the ack says that it is; 0: it did not say
	seen   time.Time
	seenBy []switchboard.PersonID // all readers, the author included
}

type reader struct{ last int64 }

func messageKey(author switchboard.PersonID, cmid string) string { return string(author) + " " + cmid }

func (t *talk) message(author switchboard.PersonID, cmid string) *message {
	if t.messages == nil {
		t.messages = make(map[string]*message)
		t.bySeq = make(map[int64]string)
		t.readers = make(map[switchboard.PersonID]*reader)
		t.sent = make(map[switchboard.PersonID]int)
	}
	key := messageKey(author, cmid)
	m := t.messages[key]
	if m == nil {
		m = &message{author: author}
		t.messages[key] = m
	}
	return m
}

func (g *Ledger) sent(e Event) {
	t := &g.chat(e.Chat).talk
	m := t.message(e.Person, e.Cmid)
	if m.order == 0 {
		t.sent[e.Person]++
		m.order, m.sent = t.sent[e.Person], e.Since
	}
}

func (g *Ledger) acked(e Event) {
	t := &g.chat(e.Chat).talk
	m := t.message(e.Person, e.Cmid)
	if m.acked.IsZero() {
		m.acked, m.ackSeq = e.At, e.Seq
	}
}

func (g *Ledger) refused(e Event) {
	g.chat(e.Chat).talk.message(e.Person, e.Cmid).gone = true
}

func (g *Ledger) seen(e Event) {
	t := &g.chat(e.Chat).talk
	m := t.message(e.From, e.Cmid)
	r := t.readers[e.Person]
	if r == nil {
		r = &reader{}
		t.readers[e.Person] = r
	}
	again := slices.Contains(m.seenBy, e.Person)
	switch {
	case again: // under its old sequence or a new one: the person sees it twice
		g.faults.seenTwice++
	case e.Seq <= r.last:
		g.faults.outOfOrder++
	case e.Seq > r.last+1:
		g.faults.skipped++
	}
	r.last = max(r.last, e.Seq)
	if !again {
		m.seenBy = append(m.seenBy, e.Person)
		g.place(t, m, messageKey(e.From, e.Cmid), e.Seq)
	}
	if e.Person != e.From && m.seen.IsZero() {
		m.seen = e.At
	}
}

func (g *Ledger) forgot(e Event) {
	t := &g.chat(e.Chat).talk
	delete(t.readers, e.Person)
	for _, m := range t.messages {
		m.seenBy = slices.DeleteFunc(m.seenBy, func(p switchboard.PersonID) bool { return p == e.Person })
	}
}

// place notes that a reader saw a message at seq: all readers must agree. The
// caller holds g.mu.
func (g *Ledger) place(t *talk, m *message, key string, seq int64) {
	other, taken := t.bySeq[seq]
	if m.seq != 0 && m.seq != seq || taken && other != key {
		g.faults.forked++
		return
	}
	m.seq, t.bySeq[seq] = seq, key
}

// tally is what the messages of one chat amount to at the end.
type tally struct {
	sent, acked, delivered, unacked, refused, strangers int
	lost, swapped, forked                               int
}

// count judges the messages of a chat whose parties are given.
func (t *talk) count(parties []switchboard.PersonID) (n tally) {
	last := make(map[switchboard.PersonID]int)
	for _, seq := range slices.Sorted(maps.Keys(t.bySeq)) {
		m := t.messages[t.bySeq[seq]]
		if m.order != 0 && m.order < last[m.author] {
			n.swapped++
		}
		last[m.author] = max(last[m.author], m.order)
	}
	for _, m := range t.messages {
		switch {
		case m.order == 0:
			n.strangers++
			continue
		case !m.acked.IsZero():
			n.acked++
		case m.gone:
			n.refused++
		default:
			n.unacked++
		}
		n.sent++
		if m.ackSeq > 0 && m.seq > 0 && m.ackSeq != m.seq {
			n.forked++
		}
		if !m.seen.IsZero() {
			n.delivered++
		}
		for _, p := range parties {
			if !m.acked.IsZero() && !slices.Contains(m.seenBy, p) {
				n.lost++
				break
			}
		}
	}
	return n
}

// seenBy is how many messages that somebody sent a reader has seen.
func (t *talk) seenBy(p switchboard.PersonID) int {
	n := 0
	for _, m := range t.messages {
		if m.order != 0 && slices.Contains(m.seenBy, p) {
			n++
		}
	}
	return n
}
