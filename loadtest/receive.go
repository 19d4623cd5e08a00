package loadtest

import (
	"encoding/json"
	"time"

	"github.com/switchboard/switchboard"
)

// object handles one object from the server. An error means that the object
// could not be read as what it says it is.
func (c *Client) object(l *link, line []byte, began time.Time) error {
	kind, err := kindOf(line)
	if err != nil {
		return err
	}
	c.count(func(n *Counts) { n.Objects++ })
	h := &c.cfg.Handlers
	switch kind {
	case switchboard.KindPing:
		c.put(l, switchboard.In{T: switchboard.KindPong})
		return decode(line, func(p struct {
			SpreadMS int64 `json:"spread_ms"`
		}) {
			c.mu.Lock()
			c.spread = time.Duration(p.SpreadMS) * time.Millisecond
			c.mu.Unlock()
		})
	case switchboard.KindReady:
		return decode(line, func(r Ready) { c.ready(l, r, began) })
	case switchboard.KindMessage:
		return decode(line, c.message)
	case switchboard.KindResumed:
		return decode(line, c.resumed)
	case switchboard.KindAck:
		return decode(line, c.acked)
	case switchboard.KindChat:
		return decode(line, func(f chatFrame) { c.chat(f.Chat, f.Re) })
	case switchboard.KindError:
		return decode(line, c.refused)
	case switchboard.KindOffer:
		return decode(line, func(o switchboard.Offer) { call(h.Offer, o) })
	case switchboard.KindOfferGone:
		return decode(line, func(o OfferGone) { call(h.OfferGone, o) })
	case switchboard.KindSelf:
		return decode(line, func(v switchboard.OperatorView) { call(h.Self, v) })
	case switchboard.KindMoving:
		return decode(line, func(m struct {
			InMS int64 `json:"in_ms"`
		}) {
			c.mu.Lock()
			c.moving = time.Now().Add(time.Duration(m.InMS) * time.Millisecond)
			c.mu.Unlock()
		})
	case switchboard.KindGap:
		c.catchAll()
	default:
		if h.Other != nil {
			h.Other(kind, line)
		}
	}
	return nil
}

func decode[T any](line []byte, handle func(T)) error {
	var v T
	if err := json.Unmarshal(line, &v); err != nil {
		return err
	}
	handle(v)
	return nil
}

func call[T any](handler func(T), v T) {
	if handler != nil {
		handler(v)
	}
}

// ready makes the socket usable and sends again what was never acked.
func (c *Client) ready(l *link, r Ready, began time.Time) {
	c.mu.Lock()
	l.ready = true
	if r.TimeoutMS > 0 {
		l.timeout = time.Duration(r.TimeoutMS) * time.Millisecond
	}
	c.counts.Connects++
	c.person = r.Person
	var again []switchboard.In
	for _, th := range c.threads {
		_, head := c.head(th)
		again = append(again, head...)
	}
	c.mu.Unlock()
	c.put(l, again...)
	h := &c.cfg.Handlers
	if h.Up != nil {
		h.Up(l.node, time.Since(began))
	}
	call(h.Ready, r)
	// The server sends a resumed for each open chat by itself: nothing to ask.
	for _, chat := range r.Chats {
		c.chat(chat, "")
	}
	for _, offer := range r.Offers {
		call(h.Offer, offer)
	}
}

func (c *Client) message(m switchboard.Message) {
	c.mu.Lock()
	th := c.thread(m.Chat)
	before := th.log.Repeats
	apply, gap := th.log.Live(m)
	c.counts.Repeats += th.log.Repeats - before
	var l *link
	var ask []switchboard.In
	if gap {
		c.counts.Gaps++
		l, ask = c.ask(m.Chat, th)
	}
	c.caughtUp(th)
	c.mu.Unlock()
	c.put(l, ask...)
	for _, m := range apply {
		call(c.cfg.Handlers.Message, m)
	}
}

func (c *Client) resumed(r Resumed) {
	c.mu.Lock()
	th := c.thread(r.Chat)
	apply, reset, gap := th.log.Resume(r)
	th.asked = time.Time{}
	if gap {
		// Asked again by Check a second later, a bounded number of times.
		th.behind = time.Now()
	} else {
		th.asks = 0
	}
	if reset {
		c.counts.Resets++
	}
	if r.State != "" {
		th.is(r.State)
	}
	th.whole = th.state == switchboard.ChatClosed && !gap
	c.caughtUp(th)
	c.mu.Unlock()
	h := &c.cfg.Handlers
	if reset {
		call(h.Reset, r.Chat)
	}
	for _, m := range apply {
		call(h.Message, m)
	}
	call(h.Resumed, r)
}

func (c *Client) acked(a Ack) {
	c.mu.Lock()
	th := c.thread(a.Chat)
	var l *link
	var head []switchboard.In
	known := len(th.unsent) > 0 && th.unsent[0].Cmid == a.Cmid
	var own switchboard.Message
	if known {
		own = switchboard.Message{Chat: a.Chat, Pos: a.Pos, Seq: a.Seq, At: a.At, From: c.person, Cmid: a.Cmid, Text: th.unsent[0].Text}
		th.pop()
		l, head = c.head(th)
	}
	c.mu.Unlock()
	c.put(l, head...)
	if known {
		call(c.cfg.Handlers.Acked, a)
	}
	if own.Seq > 0 {
		c.message(own) // an author's only socket gets no copy: the ack stands for it
	}
}

func (th *thread) pop() {
	th.unsent = th.unsent[1:]
	th.inflight, th.sentOnce, th.retryAt = time.Time{}, false, time.Time{}
}

// again reports whether a request refused with this code may be repeated
// unchanged.
func again(code switchboard.Code) bool {
	switch code {
	case switchboard.CodeUnavailable, switchboard.CodeTooFast, switchboard.CodeInternal:
		return true
	}
	return false
}

// refused keeps a message for later when the server says so, and drops it when
// trying again is pointless.
func (c *Client) refused(r Refusal) {
	c.mu.Lock()
	c.counts.Refused++
	if th := c.threads[r.Chat]; th != nil && len(th.unsent) > 0 && r.Cmid != "" && th.unsent[0].Cmid == r.Cmid {
		if again(r.Code) {
			th.inflight = time.Time{}
			th.retryAt = time.Now().Add(pause(r))
		} else {
			th.pop()
		}
	}
	c.mu.Unlock()
	call(c.cfg.Handlers.Refused, r)
}

// is notes the state of a chat.
func (th *thread) is(state string) {
	if state == switchboard.ChatClosed && th.state != state {
		th.over = time.Now()
	}
	th.state = state
}

func (c *Client) chat(chat switchboard.Chat, re string) {
	c.mu.Lock()
	th := c.thread(chat.Chat)
	th.is(chat.State)
	th.told = max(th.told, seqOf(chat.Pos))
	c.caughtUp(th)
	c.mu.Unlock()
	if h := c.cfg.Handlers.Chat; h != nil {
		h(chat, re)
	}
}

// caughtUp starts or ends the time for which the log is behind what the server
// said. The caller holds c.mu.
func (c *Client) caughtUp(th *thread) {
	switch behind := th.told > th.log.Last() || th.log.Waiting(); {
	case !behind:
		th.behind = time.Time{}
	case th.behind.IsZero():
		th.behind = time.Now()
	}
}

// catchAll asks for every chat at once: the server said that something may have
// been missed.
func (c *Client) catchAll() {
	c.mu.Lock()
	l := c.link
	chats := c.positions()
	if len(chats) > 0 {
		c.counts.Resumes++
	}
	c.mu.Unlock()
	if len(chats) > 0 {
		c.put(l, switchboard.In{T: switchboard.KindResume, Chats: chats})
	}
}

func (c *Client) count(f func(*Counts)) {
	c.mu.Lock()
	f(&c.counts)
	c.mu.Unlock()
}

// Counts returns what the client noticed so far.
func (c *Client) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Place returns the index of the node that the client is on, and whether it is
// ready there.
func (c *Client) Place() (node int, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return c.node % len(c.cfg.Nodes), false
	}
	return c.link.node, c.link.ready
}

// Cut ends the socket without a word, as a lost network does.
func (c *Client) Cut() {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.ws.CloseNow()
	}
}
