package loadtest

import (
	"time"

	"github.com/switchboard/switchboard"
)

// Event is one thing that the referee was told. No message's text is in it.
type Event struct {
	At        time.Time              `json:"at"`
	What      string                 `json:"what"`
	Chat      switchboard.ChatID     `json:"chat,omitempty"`
	Operator  switchboard.OperatorID `json:"operator,omitempty"`
	Person    switchboard.PersonID   `json:"person,omitempty"` // who sent, saw or started it
	From      switchboard.PersonID   `json:"from,omitempty"`   // whose message was seen
	Cmid      string                 `json:"cmid,omitempty"`
	Seq       int64                  `json:"seq,omitempty"`
	Node      int                    `json:"node,omitempty"`
	Planned   int                    `json:"planned,omitempty"`
	Since     time.Time              `json:"since,omitzero"` // when it was sent or asked for
	Yes       bool                   `json:"yes,omitempty"`  // here, held, roomy, shown, over the limit
	Available bool                   `json:"available,omitempty"`
	Text      string                 `json:"text,omitempty"` // an offer's end, or what went wrong
}

// meanings are what each event does to the ledger; those that stand for themselves
// do nothing.
var meanings = map[string]func(*Ledger, Event){
	"started": (*Ledger).started, "active": (*Ledger).active, "ended": (*Ledger).ended,
	"operator": (*Ledger).operator, "offered": (*Ledger).offered, "offer ended": (*Ledger).offerEnded, "held": (*Ledger).held,
	"stated": func(g *Ledger, _ Event) { g.faults.overLimit++ },
	"sent":   (*Ledger).sent, "acked": (*Ledger).acked, "refused": (*Ledger).refused, "seen": (*Ledger).seen, "forgot": (*Ledger).forgot,
	"typed": func(g *Ledger, e Event) {
		if e.Yes {
			g.typing[1]++
		} else {
			g.typing[0]++
		}
	},
	"fault": func(*Ledger, Event) {}, "judged": func(*Ledger, Event) {},
}

// tell keeps an event, of now, and draws what follows from it.
func (g *Ledger) tell(e Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e.At = time.Now()
	g.take(e)
}

// take is all that changes a ledger. The caller holds g.mu.
func (g *Ledger) take(e Event) {
	g.past = append(g.past, e)
	meanings[e.What](g, e)
}

// Started notes that a visitor asked for a chat of planned messages at a time;
// roomy says that operators were free then. Repeats change nothing.
func (g *Ledger) Started(id switchboard.ChatID, visitor switchboard.PersonID, at time.Time, planned int, roomy bool) {
	g.tell(Event{What: "started", Chat: id, Person: visitor, Since: at, Planned: planned, Yes: roomy})
}

// Active notes that the visitor was told who answers.
func (g *Ledger) Active(id switchboard.ChatID, by switchboard.OperatorID, visitorNode int) {
	g.tell(Event{What: "active", Chat: id, Operator: by, Node: visitorNode})
}

// Ended notes that the visitor saw the chat closed.
func (g *Ledger) Ended(id switchboard.ChatID) { g.tell(Event{What: "ended", Chat: id}) }

// Operator notes whether an operator is connected, where, and available. Who is
// not connected believes nothing: what he holds is told anew by the next ready.
func (g *Ledger) Operator(id switchboard.OperatorID, up, available bool, node int) {
	g.tell(Event{What: "operator", Operator: id, Yes: up, Available: available, Node: node})
}

// Offered notes an offer that an operator received.
func (g *Ledger) Offered(id switchboard.ChatID, to switchboard.OperatorID) {
	g.tell(Event{What: "offered", Chat: id, Operator: to})
}

// OfferEnded notes how an offer ended, by one of the root's Offer words.
func (g *Ledger) OfferEnded(id switchboard.ChatID, to switchboard.OperatorID, reason string) {
	g.tell(Event{What: "offer ended", Chat: id, Operator: to, Text: reason})
}

// Held notes that an operator sees a chat as its own, or no more.
func (g *Ledger) Held(id switchboard.ChatID, by switchboard.OperatorID, holds bool) {
	g.tell(Event{What: "held", Chat: id, Operator: by, Yes: holds})
}

// Stated notes what the server itself says an operator holds.
func (g *Ledger) Stated(v switchboard.OperatorView) {
	if v.Chats+v.Offers > g.limit {
		g.tell(Event{What: "stated", Operator: v.ID, Yes: true})
	}
}

// Sent notes that a person gave a message to its client at a time. The order of
// the calls for one author is the order that the log must keep.
func (g *Ledger) Sent(chat switchboard.ChatID, author switchboard.PersonID, cmid string, at time.Time) {
	g.tell(Event{What: "sent", Chat: chat, Person: author, Cmid: cmid, Since: at})
}

// Acked notes that the author was told that a message is stored; seq 0 means
// that the answer did not say where.
func (g *Ledger) Acked(chat switchboard.ChatID, author switchboard.PersonID, cmid string, seq int64) {
	g.tell(Event{What: "acked", Chat: chat, Person: author, Cmid: cmid, Seq: seq})
}

// Refused notes that a message will never be stored.
func (g *Ledger) Refused(chat switchboard.ChatID, author switchboard.PersonID, cmid string) {
	g.tell(Event{What: "refused", Chat: chat, Person: author, Cmid: cmid})
}

// Seen notes that a reader was shown a message.
func (g *Ledger) Seen(by switchboard.PersonID, w switchboard.Message) {
	g.tell(Event{What: "seen", Chat: w.Chat, Person: by, From: w.From, Cmid: w.Cmid, Seq: w.Seq})
}

// Forgot notes that the server declared a reader's position unknown: it begins
// again, so what it sees again is no repeat.
func (g *Ledger) Forgot(chat switchboard.ChatID, by switchboard.PersonID) {
	g.tell(Event{What: "forgot", Chat: chat, Person: by})
}

// Typed notes a typing mark that was sent (seen false) or shown (seen true).
func (g *Ledger) Typed(seen bool) { g.tell(Event{What: "typed", Yes: seen}) }

// Fault notes that something goes wrong now, or is right again.
func (g *Ledger) Fault(what string) { g.tell(Event{What: "fault", Text: what}) }
