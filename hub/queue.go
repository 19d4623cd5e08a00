package hub

import (
	"context"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// object is something to send, as push judges it. The bytes are shared by all
// connections that it goes to.
type object struct {
	json  []byte
	class Class
	topic string             // of a Publish
	chat  switchboard.ChatID // of a DeliverMessage, else 0
	seq   int64
	// direct: by Send, so that a cork does not keep it back.
	direct bool
}

// item is a queued object.
type item struct {
	json []byte
	at   int64 // when it was queued, on the hub's clock
}

// outbox is a connection's queue and what its end needs to know.
type outbox struct {
	mu      sync.Mutex
	items   []item        // not yet taken by the writer
	used    int           // cost of what is queued or being written
	oldest  int64         // when the oldest of that was queued; 0: nothing is
	writing bool          // there is a writer
	until   time.Time     // the write deadline
	idle    chan struct{} // closed when the writer ends; made by who waits for it
	room    chan struct{} // closed when there is room again; made by who waits for it
	missed  []string      // topics whose presence was dropped since the queue was last empty
	holds   []hold
	heldUse int // cost of what is held or corked
	corks   int // how many keep deliveries back
	corked  []object
	fate
}

// fate is how a connection ends; fixed once ending is set, but for discard.
type fate struct {
	ending  bool
	discard bool // what is queued is not sent any more
	cut     bool // it was not meant to be flushed
	code    int
	reason  string
	linger  bool
	closed  chan struct{} // closed when the closer is done; nil when none is needed
}

// cost is what an object counts against QueueBytes.
func (c *Conn) cost(n int) int { return min(n, c.hub.cfg.QueueBytes/4) }

// push queues an object if its class and the queue allow, and starts the writer
// if there is none. It returns why the connection is too slow to go on, or "".
func (c *Conn) push(x *object, now int64) (slow string) {
	h, o := c.hub, &c.out
	why := drop("")
	o.mu.Lock()
	limit, use, cost := h.cfg.QueueBytes, o.used+o.heldUse, c.cost(len(x.json))
	switch {
	case o.ending:
		why = dropEnded
	case o.oldest != 0 && now-o.oldest > int64(h.cfg.QueueAge):
		slow = "queue too old"
	case x.class == ClassTyping && use > limit/4:
		why = dropTyping
	case x.class == ClassPresence && use > limit/2:
		o.missLocked(x.topic)
		why = dropPresence
	case x.class == ClassPresence && o.missesLocked(x.topic):
		// The snapshot that is to come says this and more.
		why = dropCollapsed
	case x.class <= ClassEvent && use+cost > limit:
		slow = "queue too long"
	case o.corkLocked(x, cost):
	case x.chat != 0 && o.heldBackLocked(x, cost, &why):
	default:
		c.appendLocked(x.json, cost, now)
	}
	o.mu.Unlock()
	if why != "" {
		h.met.drop(why, 1)
	}
	return slow
}

// appendLocked queues an object. The outbox lock is held.
func (c *Conn) appendLocked(json []byte, cost int, now int64) {
	o := &c.out
	if o.items == nil {
		o.items = takeItems()
	}
	o.items = append(o.items, item{json, now})
	o.used += cost
	c.hub.queued.Add(int64(cost))
	if o.oldest == 0 {
		o.oldest = now
	}
	if !o.writing {
		o.writing = true
		go c.write()
	}
}

// paidLocked takes written or dropped items out of the account.
func (c *Conn) paidLocked(items []item) {
	paid := 0
	for i := range items {
		paid += c.cost(len(items[i].json))
		items[i].json = nil
	}
	c.out.used -= paid
	c.hub.queued.Add(int64(-paid))
}

// discardLocked drops what the writer has not taken, makes it drop the rest,
// and returns how many objects it dropped itself.
func (c *Conn) discardLocked() int {
	o := &c.out
	o.discard = true
	n := len(o.items)
	c.paidLocked(o.items)
	giveItems(o.items)
	o.items = nil
	return n
}

// Room waits until at most a quarter of the queue is used, so that who has much
// to send, the histories of many chats, can keep the pace of the reader. It
// returns ctx's error, or an *Error of CodeUnavailable when the connection ends.
// It must not be called from Handlers.Refresh, which holds the writer up.
func (c *Conn) Room(ctx context.Context) error {
	o := &c.out
	for {
		o.mu.Lock()
		if o.ending {
			o.mu.Unlock()
			return switchboard.Errorc(switchboard.CodeUnavailable, "the connection has ended")
		}
		if o.used <= c.hub.cfg.QueueBytes/4 {
			o.mu.Unlock()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *outbox) openRoomLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}
