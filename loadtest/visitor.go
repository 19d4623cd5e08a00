package loadtest

import (
	"strconv"
	"time"

	"github.com/switchboard/switchboard"
)

const (
	// startTries bounds how often a refused or unanswered chat.start is repeated.
	startTries = 100
	// startWithin is how long a visitor waits for the answer to chat.start.
	startWithin = 10 * time.Second
	// overtime is how long after its planned end a visitor stays in a chat that
	// lacks messages.
	overtime = 20 * time.Second
)

// visitor is a virtual visitor: connected from the start, asks for one chat when
// its time comes, writes its part, and stays connected.
type visitor struct {
	person
	team  switchboard.TeamID
	plan  plan
	cmid1 string // of the first message; it cannot name the chat, there is none yet

	// Guarded by person.mu.
	asked time.Time // when the visitor wanted the chat; zero: not yet
	roomy bool
	own   switchboard.ChatID
	tries int
}

func newVisitor(c *crowd, number int, team switchboard.TeamID, p plan, cfg Config) *visitor {
	v := &visitor{team: team, plan: p, cmid1: "first-" + strconv.Itoa(number)}
	v.person = person{crowd: c, role: 'v', parts: make(map[switchboard.ChatID]*part)}
	cfg.Handlers = Handlers{
		Up: c.stats.up, Failed: c.stats.failed, Down: c.stats.down,
		Ready: v.ready, Chat: v.chat, Message: v.heard, Reset: v.forgot, Resumed: v.resumed, Acked: v.acked,
		Refused: v.refused, Other: v.other,
	}
	v.client = New(cfg)
	return v
}

// arrive is the moment in which the visitor wants to talk.
func (v *visitor) arrive() {
	roomy := v.ledger.Census().roomy()
	v.mu.Lock()
	v.asked, v.roomy = time.Now(), roomy
	v.mu.Unlock()
	v.stats.wanted()
	v.ask()
}

// ask sends chat.start until it is answered; the same cmid makes a repeat the
// same chat.
func (v *visitor) ask() {
	v.mu.Lock()
	need := !v.asked.IsZero() && v.own == 0 && v.tries < startTries
	v.mu.Unlock()
	if !need {
		return
	}
	sent := v.client.Request(switchboard.In{
		T: switchboard.KindStart, Re: startRequest, Cmid: v.cmid1, Team: v.team,
		Text: v.plan.text(1), Page: "https://shop.example/cart",
	})
	if !sent {
		return // ready asks again
	}
	v.mu.Lock()
	v.tries++
	mine := v.tries
	v.mu.Unlock()
	v.clock.After(startWithin, func() {
		v.mu.Lock()
		silent := v.own == 0 && v.tries == mine
		v.mu.Unlock()
		if silent {
			v.stats.startUnanswered()
			v.ask()
		}
	})
}

const startRequest = "start"

func (v *visitor) ready(r Ready) {
	if v.id == "" {
		// All else happens after this: nobody arrives before everybody was ready.
		v.id = r.Person
	}
	if len(r.Chats) == 0 {
		v.ask()
	}
	v.leaveAgain(r.Chats)
}

func (v *visitor) chat(c switchboard.Chat, _ string) {
	v.mu.Lock()
	if v.own == 0 {
		v.own = c.Chat
		a := v.part(c.Chat)
		a.plan, a.planned = v.plan, true
		v.ledger.Started(c.Chat, v.id, v.asked, v.plan.n, v.roomy)
		v.ledger.Sent(c.Chat, v.id, v.cmid1, v.asked)
		v.ledger.Acked(c.Chat, v.id, v.cmid1, 0)
	}
	other := v.own != c.Chat
	v.mu.Unlock()
	if other {
		v.stats.secondChat()
		return
	}
	switch c.State {
	case switchboard.ChatActive:
		if c.Operator == nil {
			v.stats.malformed()
			return
		}
		node, _ := v.client.Place()
		v.ledger.Active(c.Chat, c.Operator.ID, node)
		if v.activate(c.Chat) {
			v.boundStay(c.Chat)
		}
	case switchboard.ChatClosed:
		v.closed(c.Chat)
	}
}

// boundStay leaves a chat that does not come to its end: a lost message must
// show as lost, not as a run that never ends.
func (v *visitor) boundStay(chat switchboard.ChatID) {
	v.clock.After(v.plan.end()+overtime, func() {
		v.mu.Lock()
		stay := v.part(chat).over
		v.mu.Unlock()
		if !stay {
			v.leave(chat)
		}
	})
}

func (v *visitor) resumed(r Resumed) {
	if r.State == switchboard.ChatClosed {
		v.closed(r.Chat)
	}
}

func (v *visitor) closed(chat switchboard.ChatID) {
	if v.end(chat) {
		v.ledger.Ended(chat)
	}
}

func (v *visitor) refused(r Refusal) {
	if r.Re == startRequest {
		v.stats.refused(r)
		v.clock.After(pause(r), v.ask)
		return
	}
	v.person.refused(r)
}

func (v *visitor) other(kind switchboard.Kind, object []byte) {
	if kind == switchboard.KindTyping {
		v.sawTyping(object)
		return
	}
	v.stats.other(kind)
}
