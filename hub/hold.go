package hub

import (
	"cmp"
	"slices"

	"github.com/switchboard/switchboard"
)

// keptFloors is how many released chats a connection remembers; the oldest is
// forgotten beyond it. Its client then drops repeats by seq on its own.
const keptFloors = 256

// hold is what a connection knows of one chat that it resumed: whether live
// messages wait for the history to be sent, and how far the history went.
type hold struct {
	chat  switchboard.ChatID
	open  bool  // released: live messages pass
	after int64 // live messages up to this seq were in the history
	held  []heldMessage
}

type heldMessage struct {
	seq  int64
	json []byte
}

// hold keeps live messages of a chat back from now on.
func (c *Conn) hold(chat switchboard.ChatID) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ending {
		o.holdOfLocked(chat).open = false
	}
}

// release sends the held messages after a seq, in their order and each once.
func (c *Conn) release(chat switchboard.ChatID, after int64) {
	o, now, seen := &c.out, c.hub.now(), 0
	o.mu.Lock()
	if o.ending {
		o.mu.Unlock()
		return
	}
	h := o.holdOfLocked(chat)
	held := h.held
	*h = hold{chat: chat, open: true, after: after}
	slices.SortStableFunc(held, func(a, b heldMessage) int { return cmp.Compare(a.seq, b.seq) })
	for _, m := range held {
		cost := c.cost(len(m.json))
		o.heldUse -= cost
		if m.seq <= after {
			seen++
			continue
		}
		after = m.seq // a repeat of it goes no further
		c.appendLocked(m.json, cost, now)
	}
	o.mu.Unlock()
	c.hub.met.drop(dropSeen, seen)
}

// holdOfLocked finds or makes what is known of a chat.
func (o *outbox) holdOfLocked(chat switchboard.ChatID) *hold {
	i := o.findHoldLocked(chat)
	if i < 0 {
		if len(o.holds) >= keptFloors {
			if old := slices.IndexFunc(o.holds, func(h hold) bool { return h.open }); old >= 0 {
				o.holds = slices.Delete(o.holds, old, old+1)
			}
		}
		i = len(o.holds)
		o.holds = append(o.holds, hold{chat: chat, open: true})
	}
	return &o.holds[i]
}

// heldBackLocked reports whether a live message must not be queued now: it is
// held back, or it was in the history and is dropped for the reason that why
// then says.
func (o *outbox) heldBackLocked(x *object, cost int, why *drop) bool {
	i := o.findHoldLocked(x.chat)
	switch {
	case i < 0:
		return false
	case !o.holds[i].open:
		o.holds[i].held = append(o.holds[i].held, heldMessage{x.seq, x.json})
		o.heldUse += cost
		return true
	case x.seq <= o.holds[i].after:
		*why = dropSeen
		return true
	}
	return false
}

func (o *outbox) findHoldLocked(chat switchboard.ChatID) int {
	return slices.IndexFunc(o.holds, func(h hold) bool { return h.chat == chat })
}

// dropHeldLocked forgets what is held back when the connection ends; it returns
// how many messages that were.
func (c *Conn) dropHeldLocked() int {
	o, n := &c.out, 0
	for _, h := range o.holds {
		n += len(h.held)
	}
	n += len(o.corked)
	o.holds, o.heldUse, o.corked = nil, 0, nil
	return n
}
