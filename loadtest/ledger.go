package loadtest

import (
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// tolerance is how long two observers may disagree: the frames that end one
// operator's hold and begin another's travel over different sockets.
const tolerance = 2 * time.Second

// Ledger is the referee: behaviours tell it what was sent and what was seen
// (events.go), and it decides from that alone, without the clients' own bookkeeping,
// and keeps it, so that a history can be judged again. All methods may be called from
// any goroutine; none does I/O.
type Ledger struct {
	limit int // of every operator

	mu        sync.Mutex
	past      []Event
	chats     map[switchboard.ChatID]*record
	operators map[switchboard.OperatorID]*desk
	faults    faults
	offers    map[string]int
	freed     []sample // from a slot becoming free while visitors wait to the next offer for it
	typing    [2]int   // sent, seen
}

// faults are the counts that need no end of the run to be known.
type faults struct {
	seenTwice  int // a sequence applied again, or a message under a second sequence
	outOfOrder int // applied before one that comes earlier
	skipped    int // a sequence jumped over
	forked     int // two readers, or reader and ack, disagree on what a sequence holds
	double     int // two operators held one chat
	overLimit  int // an operator held more than the limit
}

// record is one chat as the crowd saw it.
type record struct {
	visitor switchboard.PersonID
	planned int // messages that its plan holds
	started time.Time
	roomy   bool // operators were free when it started
	offered time.Time
	active  time.Time
	closed  time.Time // by the visitor's own sight
	at      [2]int    // nodes of visitor and operator when it became active
	offerTo switchboard.OperatorID
	holder  switchboard.OperatorID // the last one
	holders map[switchboard.OperatorID]bool
	overlap time.Time // since when two hold it
	talk    talk
}

// desk is one operator.
type desk struct {
	up, available bool
	node          int
	held          map[switchboard.ChatID]bool
	offers        map[switchboard.ChatID]bool
	over          time.Time // since when above the limit
	freed         time.Time // a slot became free while visitors waited
}

// NewLedger returns an empty ledger; limit is what each operator may hold.
func NewLedger(limit int) *Ledger {
	return &Ledger{
		limit:     limit,
		chats:     make(map[switchboard.ChatID]*record),
		operators: make(map[switchboard.OperatorID]*desk),
		offers:    make(map[string]int),
	}
}

func (g *Ledger) chat(id switchboard.ChatID) *record {
	r := g.chats[id]
	if r == nil {
		r = &record{holders: make(map[switchboard.OperatorID]bool)}
		g.chats[id] = r
	}
	return r
}

func (g *Ledger) desk(id switchboard.OperatorID) *desk {
	d := g.operators[id]
	if d == nil {
		d = &desk{held: make(map[switchboard.ChatID]bool), offers: make(map[switchboard.ChatID]bool)}
		g.operators[id] = d
	}
	return d
}

// What each event means follows, in the order of events.go. The caller holds g.mu.

func (g *Ledger) started(e Event) {
	r := g.chat(e.Chat)
	if r.started.IsZero() {
		r.visitor, r.started, r.planned, r.roomy = e.Person, e.Since, e.Planned, e.Yes
	}
}

func (g *Ledger) active(e Event) {
	r := g.chat(e.Chat)
	if r.active.IsZero() {
		r.active = e.At
		r.at = [2]int{e.Node, g.desk(e.Operator).node}
	}
}

func (g *Ledger) ended(e Event) {
	if r := g.chat(e.Chat); r.closed.IsZero() {
		r.closed = e.At
	}
}

func (g *Ledger) operator(e Event) {
	d := g.desk(e.Operator)
	if d.up && !e.Yes {
		for chat := range d.held {
			g.unhold(e.Operator, chat, e.At)
		}
		for chat := range d.offers {
			g.chat(chat).offerTo = 0
		}
		clear(d.offers)
		d.freed = time.Time{}
	}
	d.up, d.available, d.node = e.Yes, e.Available && e.Yes, e.Node
}

func (g *Ledger) offered(e Event) {
	r, d := g.chat(e.Chat), g.desk(e.Operator)
	if r.offered.IsZero() {
		r.offered = e.At
	}
	r.offerTo = e.Operator
	d.offers[e.Chat] = true
	if !d.freed.IsZero() {
		g.freed = append(g.freed, sample{d.freed, e.At.Sub(d.freed)})
		d.freed = time.Time{}
	}
	g.weigh(d, e.At)
}

func (g *Ledger) offerEnded(e Event) {
	d := g.desk(e.Operator)
	if !d.offers[e.Chat] {
		return
	}
	delete(d.offers, e.Chat)
	if r := g.chat(e.Chat); r.offerTo == e.Operator {
		r.offerTo = 0
	}
	g.offers[e.Text]++
	g.weigh(d, e.At)
}

func (g *Ledger) held(e Event) {
	d, id, now := g.desk(e.Operator), e.Chat, e.At
	if !e.Yes {
		if !d.held[id] {
			return
		}
		full := len(d.held)+len(d.offers) >= g.limit
		g.unhold(e.Operator, id, now)
		if full && len(d.held)+len(d.offers) < g.limit && d.available && d.freed.IsZero() && g.waiting() > 0 {
			d.freed = now
		}
		g.weigh(d, now)
		return
	}
	r := g.chat(id)
	if r.offered.IsZero() {
		r.offered = now // accepted for him by the team's setting
	}
	d.held[id] = true
	r.holders[e.Operator], r.holder = true, e.Operator
	if len(r.holders) > 1 && r.overlap.IsZero() {
		r.overlap = now
	}
	g.weigh(d, now)
}

// unhold takes a chat from an operator. The caller holds g.mu.
func (g *Ledger) unhold(by switchboard.OperatorID, id switchboard.ChatID, now time.Time) {
	d, r := g.desk(by), g.chat(id)
	delete(d.held, id)
	delete(r.holders, by)
	if len(r.holders) < 2 {
		g.settleOverlap(r, now)
	}
}

// settleOverlap counts an overlap that lasted. The caller holds g.mu.
func (g *Ledger) settleOverlap(r *record, now time.Time) {
	if !r.overlap.IsZero() && now.Sub(r.overlap) > tolerance {
		g.faults.double++
	}
	r.overlap = time.Time{}
}

// weigh counts an operator who stayed above the limit. The caller holds g.mu.
func (g *Ledger) weigh(d *desk, now time.Time) {
	above := len(d.held)+len(d.offers) > g.limit
	switch {
	case above && d.over.IsZero():
		d.over = now
	case !above:
		if !d.over.IsZero() && now.Sub(d.over) > tolerance {
			g.faults.overLimit++
		}
		d.over = time.Time{}
	}
}
