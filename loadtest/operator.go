package loadtest

import (
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/switchboard/switchboard"
)

// Thinking time of an operator before an offer is answered.
const (
	thinkMin = 30 * time.Millisecond
	thinkMax = 250 * time.Millisecond
)

// operator is a virtual operator: available, accepts nearly every offer, writes
// its part of each chat.
type operator struct {
	person
	number    switchboard.OperatorID
	rnd       *rand.Rand // on the reading goroutine only
	available bool       // on the reading goroutine only
}

func newOperator(c *crowd, id switchboard.OperatorID, cfg Config) *operator {
	o := &operator{number: id, rnd: rand.New(rand.NewPCG(c.scenario.Seed, uint64(id)))}
	o.person = person{
		crowd: c, id: switchboard.OperatorPerson(id), role: 'o',
		parts: make(map[switchboard.ChatID]*part),
	}
	if o.rnd.Float64() < c.scenario.Watchers {
		cfg.Watch = []string{"operators", "queue"}
	} else {
		cfg.Watch = []string{"queue"}
	}
	cfg.Handlers = Handlers{
		Up: c.stats.up, Failed: c.stats.failed,
		Down: func(node, code int) {
			c.stats.down(node, code)
			c.ledger.Operator(id, false, false, node)
		},
		Ready: o.ready, Chat: o.chat, Message: o.heard, Reset: o.forgot, Resumed: o.resumed, Acked: o.acked,
		Offer: o.offer, OfferGone: o.offerGone, Self: o.self, Refused: o.refused, Other: o.other,
	}
	o.client = New(cfg)
	return o
}

func (o *operator) ready(r Ready) {
	o.available = false
	if r.Self != nil {
		o.self(*r.Self)
	}
	node, _ := o.client.Place()
	o.ledger.Operator(o.number, true, o.available, node)
	if !o.available {
		o.goAvailable()
	}
	o.leaveAgain(r.Chats)
}

func (o *operator) self(v switchboard.OperatorView) {
	o.ledger.Stated(v)
	if is := v.Intent == switchboard.StatusAvailable; is != o.available {
		o.available = is
		node, ready := o.client.Place()
		o.ledger.Operator(o.number, ready, is, node)
	}
}

func (o *operator) offer(f switchboard.Offer) {
	o.ledger.Offered(f.Chat, o.number)
	kind := switchboard.KindAccept
	if o.rnd.Float64() < o.scenario.Declines {
		kind = switchboard.KindDecline
	}
	think := thinkMin + time.Duration(o.rnd.Int64N(int64(thinkMax-thinkMin)))
	o.clock.After(think, func() {
		// Not ready: the offer comes again with the next ready, or is gone.
		o.client.Request(switchboard.In{T: kind, Re: about(kind, f.Chat), Chat: f.Chat, Token: f.Token})
	})
}

func (o *operator) offerGone(f OfferGone) { o.ledger.OfferEnded(f.Chat, o.number, f.Reason) }

func (o *operator) refused(r Refusal) {
	o.person.refused(r)
	for _, kind := range []switchboard.Kind{switchboard.KindAccept, switchboard.KindDecline} {
		// Refused for now: the offer stands until its time is over.
		if chat, ok := answered(r.Re, kind); ok && !again(r.Code) {
			o.ledger.OfferEnded(chat, o.number, "refused_"+string(r.Code))
		}
	}
	if r.Re == statusRequest && again(r.Code) {
		o.clock.After(pause(r), o.goAvailable)
	}
}

const statusRequest = "status"

func (o *operator) goAvailable() {
	o.client.Request(switchboard.In{T: switchboard.KindStatus, Re: statusRequest, Status: switchboard.StatusAvailable})
}

func (o *operator) other(kind switchboard.Kind, object []byte) {
	switch kind {
	case switchboard.KindTyping:
		o.sawTyping(object)
	case switchboard.KindOK:
		var ok struct {
			Re string `json:"re"`
		}
		if err := json.Unmarshal(object, &ok); err != nil {
			o.stats.malformed()
			return
		}
		if chat, is := answered(ok.Re, switchboard.KindDecline); is {
			o.ledger.OfferEnded(chat, o.number, switchboard.OfferDeclined)
		}
	default:
		o.stats.other(kind)
	}
}

func (o *operator) chat(c switchboard.Chat, _ string) {
	mine := c.State == switchboard.ChatActive && c.Operator != nil && c.Operator.ID == o.number
	if !mine {
		o.release(c.Chat, c.State)
		return
	}
	o.mu.Lock()
	a := o.part(c.Chat)
	if a.over { // it was somebody else's for a while
		*a = part{seen: a.seen, plan: a.plan, planned: a.planned}
	}
	closing, known := a.closing, a.planned
	o.mu.Unlock()
	o.ledger.OfferEnded(c.Chat, o.number, switchboard.OfferAccepted)
	if closing {
		return
	}
	o.ledger.Held(c.Chat, o.number, true)
	if !known {
		// What the visitor wrote before is only in the log.
		o.client.Catch(c.Chat)
	}
	o.activate(c.Chat)
}

func (o *operator) resumed(r Resumed) {
	if r.State == switchboard.ChatClosed {
		o.release(r.Chat, r.State)
	}
}

// release notes that a chat is not this operator's, or not any more.
func (o *operator) release(chat switchboard.ChatID, state string) {
	o.ledger.Held(chat, o.number, false)
	o.mu.Lock()
	_, known := o.parts[chat]
	o.mu.Unlock()
	if known && state != switchboard.ChatOffered {
		o.end(chat)
	}
}
