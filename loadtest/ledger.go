package loadtest

import (
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// tolerance is how long two observers may disagree: the frames that end one
// operator's hold and begin another's travel over different sockets.
const tolerance = 2 * time.Second

// Ledger is the referee: behaviours tell it what was sent and what was seen,
// and it decides from that alone, without the clients' own bookkeeping. All
// methods may be called from any goroutine; none does I/O.
type Ledger struct {
	limit int // of every operator

	mu        sync.Mutex
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

// Started notes that a visitor asked for a chat of planned messages at a time;
// roomy says that operators were free then. Repeats change nothing.
func (g *Ledger) Started(id switchboard.ChatID, visitor switchboard.PersonID, at time.Time, planned int, roomy bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.chat(id)
	if r.started.IsZero() {
		r.visitor, r.started, r.planned, r.roomy = visitor, at, planned, roomy
	}
}

// Active notes that the visitor was told who answers.
func (g *Ledger) Active(id switchboard.ChatID, by switchboard.OperatorID, visitorNode int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.chat(id)
	if r.active.IsZero() {
		r.active = time.Now()
		r.at = [2]int{visitorNode, g.desk(by).node}
	}
}

// Ended notes that the visitor saw the chat closed.
func (g *Ledger) Ended(id switchboard.ChatID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.chat(id); r.closed.IsZero() {
		r.closed = time.Now()
	}
}

// Operator notes whether an operator is connected, where, and available. Who is
// not connected believes nothing: what he holds is told anew by the next ready.
func (g *Ledger) Operator(id switchboard.OperatorID, up, available bool, node int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.desk(id)
	if d.up && !up {
		for chat := range d.held {
			g.unhold(id, chat)
		}
		for chat := range d.offers {
			g.chat(chat).offerTo = 0
		}
		clear(d.offers)
		d.freed = time.Time{}
	}
	d.up, d.available, d.node = up, available && up, node
}

// Offered notes an offer that an operator received.
func (g *Ledger) Offered(id switchboard.ChatID, to switchboard.OperatorID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	r, d := g.chat(id), g.desk(to)
	if r.offered.IsZero() {
		r.offered = now
	}
	r.offerTo = to
	d.offers[id] = true
	if !d.freed.IsZero() {
		g.freed = append(g.freed, sample{d.freed, now.Sub(d.freed)})
		d.freed = time.Time{}
	}
	g.weigh(d, now)
}

// OfferEnded notes how an offer ended, by one of the root's Offer words.
func (g *Ledger) OfferEnded(id switchboard.ChatID, to switchboard.OperatorID, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.desk(to)
	if !d.offers[id] {
		return
	}
	delete(d.offers, id)
	if r := g.chat(id); r.offerTo == to {
		r.offerTo = 0
	}
	g.offers[reason]++
	g.weigh(d, time.Now())
}

// Held notes that an operator sees a chat as its own, or no more.
func (g *Ledger) Held(id switchboard.ChatID, by switchboard.OperatorID, holds bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	d := g.desk(by)
	if !holds {
		if !d.held[id] {
			return
		}
		full := len(d.held)+len(d.offers) >= g.limit
		g.unhold(by, id)
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
	r.holders[by], r.holder = true, by
	if len(r.holders) > 1 && r.overlap.IsZero() {
		r.overlap = now
	}
	g.weigh(d, now)
}

// Stated notes what the server itself says an operator holds.
func (g *Ledger) Stated(v switchboard.OperatorView) {
	if v.Chats+v.Offers <= g.limit {
		return
	}
	g.mu.Lock()
	g.faults.overLimit++
	g.mu.Unlock()
}

// unhold takes a chat from an operator. The caller holds g.mu.
func (g *Ledger) unhold(by switchboard.OperatorID, id switchboard.ChatID) {
	d, r := g.desk(by), g.chat(id)
	delete(d.held, id)
	delete(r.holders, by)
	if len(r.holders) < 2 {
		g.settleOverlap(r)
	}
}

// settleOverlap counts an overlap that lasted. The caller holds g.mu.
func (g *Ledger) settleOverlap(r *record) {
	if !r.overlap.IsZero() && time.Since(r.overlap) > tolerance {
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
