package loadtest

import (
	"bytes"
	"context"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// link is one socket of a client. All fields but ws and node are guarded by the
// client's mutex.
type link struct {
	ws      *websocket.Conn
	node    int
	ready   bool
	heard   time.Time     // when the last frame came
	timeout time.Duration // silence for longer is death
	out     [][]byte      // waits for the writer, in order
	writing bool          // somebody is writing out
}

// thread is one chat of a client.
type thread struct {
	log    Log
	state  string
	unsent []switchboard.In // kept until acked; the head may be in flight
	// inflight is when the head was written; zero when it is not on this socket.
	// One message a chat is in flight at a time: were two, and the first refused
	// for a moment, the second would overtake it.
	inflight time.Time
	sentOnce bool      // the head was written before, on this socket or an earlier one
	retryAt  time.Time // the head was refused for now
	asked    time.Time // a resume is not answered yet
	asks     int
	over     time.Time // when the client learned that the chat is closed
	whole    bool      // and its log was read since
	told     int64     // the last sequence that a chat object spoke of
	behind   time.Time // since when told is ahead of the log
}

// Request sends an object that is not repeated should the socket end. It
// reports false, and sends nothing, while the client is not ready.
func (c *Client) Request(in switchboard.In) bool {
	c.mu.Lock()
	l := c.link
	ok := l != nil && l.ready
	c.mu.Unlock()
	if ok {
		c.put(l, in)
	}
	return ok
}

// Say sends a message and keeps it until it is acked or refused for good; it is
// sent again, unchanged, after a reconnect. Messages of one chat go one after
// the other. It reports false, and keeps nothing, when 1024 wait already.
func (c *Client) Say(chat switchboard.ChatID, cmid, text string) bool {
	c.mu.Lock()
	th := c.thread(chat)
	if len(th.unsent) >= maxUnsent {
		c.mu.Unlock()
		return false
	}
	th.unsent = append(th.unsent, switchboard.In{T: switchboard.KindMessage, Chat: chat, Cmid: cmid, Text: text})
	l, head := c.head(th)
	c.mu.Unlock()
	c.put(l, head...)
	return true
}

// Catch asks for what the log of a chat lacks; an answer is awaited and asked
// for again by Check.
func (c *Client) Catch(chat switchboard.ChatID) {
	c.mu.Lock()
	l, ask := c.ask(chat, c.thread(chat))
	c.mu.Unlock()
	c.put(l, ask...)
}

// Check looks for silence, missing acks and unanswered resumes. Whoever runs
// clients calls it about once a second for each: a timer in every client would
// cost more than all the rest.
func (c *Client) Check(now time.Time) {
	c.mu.Lock()
	l := c.link
	if l == nil {
		c.mu.Unlock()
		return
	}
	if now.Sub(l.heard) > l.timeout {
		c.counts.Silent++
		l.heard = now
		c.mu.Unlock()
		l.ws.CloseNow() // the reader notices
		return
	}
	var send []switchboard.In
	for chat, th := range c.threads {
		if !l.ready {
			break
		}
		if !th.inflight.IsZero() && now.Sub(th.inflight) > ackWithin {
			c.counts.AcksMissing++
			th.inflight = time.Time{}
		}
		if !th.retryAt.IsZero() && now.After(th.retryAt) {
			th.retryAt = time.Time{}
		}
		_, head := c.head(th)
		send = append(send, head...)
		late := !th.asked.IsZero() && now.Sub(th.asked) > resumeWithin && th.asks < resumeTries
		if late || th.asked.IsZero() && !th.behind.IsZero() && now.Sub(th.behind) > behindFor {
			th.asked = time.Time{}
			_, ask := c.ask(chat, th)
			send = append(send, ask...)
		}
	}
	c.mu.Unlock()
	c.put(l, send...)
}

// head returns the chat's next message when it may be sent now, and marks it as
// in flight. The caller holds c.mu.
func (c *Client) head(th *thread) (*link, []switchboard.In) {
	if c.link == nil || !c.link.ready || len(th.unsent) == 0 || !th.inflight.IsZero() || !th.retryAt.IsZero() {
		return nil, nil
	}
	if th.sentOnce {
		c.counts.Resent++
	}
	th.inflight, th.sentOnce = time.Now(), true
	return c.link, th.unsent[:1:1]
}

// ask returns a resume for one chat unless one is on its way. The caller holds
// c.mu.
func (c *Client) ask(chat switchboard.ChatID, th *thread) (*link, []switchboard.In) {
	if c.link == nil || !c.link.ready || !th.asked.IsZero() || th.asks >= resumeTries {
		return nil, nil
	}
	c.counts.Resumes++
	th.asks++
	th.asked, th.behind = time.Now(), time.Time{}
	position := switchboard.ChatPosition{Chat: chat, Pos: th.log.Pos()}
	return c.link, []switchboard.In{{T: switchboard.KindResume, Chats: []switchboard.ChatPosition{position}}}
}

// thread returns the chat's thread, made when it is new. The caller holds c.mu.
func (c *Client) thread(chat switchboard.ChatID) *thread {
	th := c.threads[chat]
	if th == nil {
		th = &thread{}
		c.threads[chat] = th
	}
	return th
}

// overKept is for how long a closed chat is asked for: a lost nudge is found sooner.
const overKept = 30 * time.Second

// positions lists where the client stands in its chats, for hello and resume. A
// chat that is over is left out when it was read to its end since, or was over for
// long: its last message may have been lost beside the close. The caller holds c.mu.
func (c *Client) positions() []switchboard.ChatPosition {
	var out []switchboard.ChatPosition
	for chat, th := range c.threads {
		if th.state == switchboard.ChatClosed && (th.whole || time.Since(th.over) > overKept) && th.behind.IsZero() && !th.log.Waiting() {
			continue
		}
		out = append(out, switchboard.ChatPosition{Chat: chat, Pos: th.log.Pos()})
	}
	return out
}

// put queues objects on a socket and writes them unless somebody else is at it
// already: order without a writing goroutine and without a lock held over I/O.
// The queue needs no bound of its own: requests are answers to what was read,
// messages are bounded by maxUnsent with one a chat in flight.
func (c *Client) put(l *link, ins ...switchboard.In) {
	if l == nil || len(ins) == 0 {
		return
	}
	encoded := make([][]byte, len(ins))
	for i, in := range ins {
		encoded[i] = encode(in)
	}
	c.mu.Lock()
	l.out = append(l.out, encoded...)
	if l.writing {
		c.mu.Unlock()
		return
	}
	l.writing = true
	c.mu.Unlock()
	c.flush(l)
}

func (c *Client) flush(l *link) {
	for {
		c.mu.Lock()
		frame := cutFrame(&l.out)
		if frame == nil {
			l.writing = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
		err := l.ws.Write(ctx, websocket.MessageText, frame)
		cancel()
		if err != nil {
			// What was queued is either kept by its thread or not worth keeping. The
			// reader sees the end of the socket and reports it.
			l.ws.CloseNow()
			c.mu.Lock()
			l.out, l.writing = nil, false
			c.mu.Unlock()
			return
		}
	}
}

// cutFrame takes as many objects as one frame may carry; nil when none wait.
func cutFrame(out *[][]byte) []byte {
	n, size := 0, 0
	for n < len(*out) && n < switchboard.MaxObjects && (n == 0 || size+len((*out)[n])+1 <= switchboard.MaxFrame) {
		size += len((*out)[n]) + 1
		n++
	}
	if n == 0 {
		return nil
	}
	frame := bytes.Join((*out)[:n], []byte{'\n'})
	*out = (*out)[n:]
	if len(*out) == 0 {
		*out = nil
	}
	return frame
}
