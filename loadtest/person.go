package loadtest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// typingLead is how long before a message its author begins to type.
const typingLead = 300 * time.Millisecond

// crowd is what all people of a run share.
type crowd struct {
	scenario *Scenario
	ledger   *Ledger
	clock    *Scheduler
	stats    *stats
}

// person is what operators and visitors have in common: a client, and a part
// in each of their chats.
type person struct {
	*crowd
	id     switchboard.PersonID
	role   byte // 'o' or 'v'
	client *Client

	mu    sync.Mutex // guards parts and what is in them
	parts map[switchboard.ChatID]*part
}

// part is one side of one chat.
type part struct {
	plan    plan
	planned bool
	active  time.Time    // since when the chat is active for this side
	talking bool         // the first own message is scheduled
	seen    map[int]bool // numbers of the messages in the log
	closing bool         // asked to close
	over    bool
}

func (p *person) part(chat switchboard.ChatID) *part {
	a := p.parts[chat]
	if a == nil {
		a = &part{seen: make(map[int]bool)}
		p.parts[chat] = a
	}
	return a
}

// heard takes a message that the client applied.
func (p *person) heard(m switchboard.Message) {
	p.ledger.Seen(p.id, m)
	p.mu.Lock()
	a := p.part(m.Chat)
	if k := numberOf(m.Text); k > 0 {
		a.seen[k] = true
	}
	if plan, ok := planOf(m.Text); ok && !a.planned {
		a.plan, a.planned = plan, true
	}
	p.mu.Unlock()
	p.advance(m.Chat)
}

// forgot takes a declared loss of position: the log comes again from its start.
func (p *person) forgot(chat switchboard.ChatID) {
	p.ledger.Forgot(chat, p.id)
	p.mu.Lock()
	clear(p.part(chat).seen)
	p.mu.Unlock()
}

// activate notes that both sides are there, and reports whether that is news.
func (p *person) activate(chat switchboard.ChatID) bool {
	p.mu.Lock()
	a := p.part(chat)
	first := a.active.IsZero()
	if first {
		a.active = time.Now()
	}
	p.mu.Unlock()
	p.advance(chat)
	return first
}

// advance begins to talk when the chat is active and its plan is known, and
// closes it when all is said and closing is this side's part.
func (p *person) advance(chat switchboard.ChatID) {
	p.mu.Lock()
	a := p.part(chat)
	ready := a.planned && !a.active.IsZero() && !a.over
	talk := ready && !a.talking
	a.talking = a.talking || talk
	first, since := 1, a.active
	if p.role == 'o' {
		first = 2
	}
	end := ready && !a.closing && a.plan.closer == p.role && len(a.seen) >= a.plan.n
	a.closing = a.closing || end
	p.mu.Unlock()
	if talk {
		p.await(chat, first, since)
	}
	if end {
		p.clock.After(typingLead, func() { p.leave(chat) })
	}
}

// await schedules own message k, and with it the next: one after the other, so
// that they cannot overtake each other here.
func (p *person) await(chat switchboard.ChatID, k int, since time.Time) {
	p.mu.Lock()
	plan := p.part(chat).plan
	p.mu.Unlock()
	if k > plan.n {
		return
	}
	due := time.Until(since.Add(plan.offset(k)))
	p.clock.After(max(0, due-typingLead), func() { p.startTyping(chat) })
	p.clock.After(max(0, due), func() { p.speak(chat, k, since) })
}

// talks reports whether this side is still in the chat.
func (p *person) talks(chat switchboard.ChatID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.part(chat)
	return !a.over && !a.active.IsZero()
}

func (p *person) startTyping(chat switchboard.ChatID) {
	if p.talks(chat) && p.client.Request(switchboard.In{T: switchboard.KindTyping, Chat: chat, On: true}) {
		p.ledger.Typed(false)
	}
}

// sawTyping counts the beginning of typing; its end is said as well.
func (p *person) sawTyping(object []byte) {
	var mark struct {
		From switchboard.PersonID `json:"from"`
		On   bool                 `json:"on"`
	}
	switch err := json.Unmarshal(object, &mark); {
	case err != nil || mark.From == p.id: // nobody is told of their own typing
		p.stats.malformed()
	case mark.On:
		p.ledger.Typed(true)
	}
}

func (p *person) speak(chat switchboard.ChatID, k int, since time.Time) {
	if !p.talks(chat) {
		return
	}
	p.mu.Lock()
	a := p.part(chat)
	plan, said := a.plan, a.seen[k]
	p.mu.Unlock()
	if !said {
		cmid := p.cmid(chat, k)
		p.ledger.Sent(chat, p.id, cmid, time.Now())
		if !p.client.Say(chat, cmid, plan.text(k)) {
			p.ledger.Refused(chat, p.id, cmid)
		}
	}
	p.await(chat, k+2, since)
}

// cmid names message k of this side. It carries the person: should the chat
// move, the next operator's message k is another one.
func (p *person) cmid(chat switchboard.ChatID, k int) string {
	return fmt.Sprintf("%s-%d-%d", p.id, chat, k)
}

// leave asks to close the chat.
func (p *person) leave(chat switchboard.ChatID) {
	p.mu.Lock()
	a := p.part(chat)
	a.closing = true
	over := a.over
	p.mu.Unlock()
	if over {
		return
	}
	if p.role == 'o' {
		if id, ok := p.id.Operator(); ok {
			// From here on the operator counts it as done; an offer for the free slot
			// may come before the answer.
			p.ledger.Held(chat, id, false)
		}
	}
	p.client.Request(switchboard.In{T: switchboard.KindClose, Re: about(switchboard.KindClose, chat), Chat: chat})
}

// about is the request id of a request about a chat; answered reads it.
func about(kind switchboard.Kind, chat switchboard.ChatID) string {
	return string(kind) + " " + strconv.FormatInt(int64(chat), 10)
}

// answered reads which chat an answer to a request of this kind is about.
func answered(re string, kind switchboard.Kind) (switchboard.ChatID, bool) {
	text, ok := strings.CutPrefix(re, string(kind)+" ")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(text, 10, 64)
	return switchboard.ChatID(id), err == nil
}

// leaveAgain repeats the closes that a lost socket may have swallowed.
func (p *person) leaveAgain(open []switchboard.Chat) {
	for _, c := range open {
		p.mu.Lock()
		closing := p.part(c.Chat).closing
		p.mu.Unlock()
		if closing {
			p.leave(c.Chat)
		}
	}
}

// end notes that the chat is over for this side and reports whether it was not
// before.
func (p *person) end(chat switchboard.ChatID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.part(chat)
	first := !a.over
	a.over = true
	return first
}

func (p *person) acked(a Ack) { p.ledger.Acked(a.Chat, p.id, a.Cmid, a.Seq) }

// refused takes what both roles handle alike: a message that will never be
// stored, and a close that must be tried again.
func (p *person) refused(r Refusal) {
	p.stats.refused(r)
	if r.Cmid != "" && !again(r.Code) {
		p.ledger.Refused(r.Chat, p.id, r.Cmid)
	}
	if chat, ok := answered(r.Re, switchboard.KindClose); ok && again(r.Code) {
		p.clock.After(pause(r), func() { p.leave(chat) })
	}
}

// pause is how long to wait before a refused request is tried again.
func pause(r Refusal) time.Duration {
	return max(time.Duration(r.RetryMS)*time.Millisecond, 250*time.Millisecond)
}
