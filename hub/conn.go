package hub

import (
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// Class says what may be dropped when a connection's queue fills.
type Class uint8

// The classes, from never dropped to dropped first.
const (
	ClassMessage  Class = iota // a chat message: in order or the connection ends
	ClassEvent                 // everything else that a client must learn
	ClassPresence              // replaced by a snapshot when it cannot keep up
	ClassTyping                // worthless a moment later
)

// Conn is one socket. It ends exactly once, with a reason. All methods may be
// called concurrently and none of them blocks, except Room.
type Conn struct {
	// Fixed by Open.
	hub    *Hub
	ws     *websocket.Conn
	nc     net.Conn
	addr   netip.Addr
	id     uint64
	opened int64 // on the hub's clock

	// Written by the reader, read by the wheel.
	heard atomic.Int64 // when anything last came, on the hub's clock
	phase atomic.Int64 // phaseIdle, phaseHandling, or when the frame being read began

	identity atomic.Pointer[Identity] // set by Identify under the shard's lock
	state    atomic.Pointer[any]

	out    outbox     // has its own lock
	member membership // guarded by the shard of the identity
	topics []watch    // guarded by the interest lock
	timer  timer      // guarded by the wheel's lock, some of it owned by the wheel's goroutine
}

// What the reader is doing; any larger value is when it began to read a frame.
const (
	phaseIdle     = 0
	phaseHandling = -1
)

// ID returns a number that no other connection of this hub has.
func (c *Conn) ID() uint64 { return c.id }

// Addr returns the address that Open was given, IPv4 never mapped into IPv6.
func (c *Conn) Addr() netip.Addr { return c.addr }

// Identity returns who holds the connection, and false before Identify.
func (c *Conn) Identity() (Identity, bool) {
	if id := c.identity.Load(); id != nil {
		return *id, true
	}
	return Identity{}, false
}

// SetState keeps a value of the caller's with the connection.
func (c *Conn) SetState(v any) { c.state.Store(&v) }

// State returns what SetState kept last, nil before.
func (c *Conn) State() any {
	if v := c.state.Load(); v != nil {
		return *v
	}
	return nil
}

// Send queues one JSON object, which must hold no newline and must not be
// changed afterwards. What a full queue does depends on the class; after End
// the object is dropped.
func (c *Conn) Send(class Class, obj []byte) {
	c.enqueue(&object{json: obj, class: class, direct: true}, c.hub.now())
}

// Reply is Send for the frame handler, on the goroutine that it was called on:
// when nothing else is being sent, the object is written before Reply returns,
// within Config.WriteTimeout.
func (c *Conn) Reply(class Class, obj []byte) {
	mine := c.becomeWriter()
	c.Send(class, obj)
	if mine {
		c.writeHere()
	}
}

// enqueue pushes and ends the connection if it is too slow. No lock may be held.
func (c *Conn) enqueue(o *object, now int64) {
	if slow := c.push(o, now); slow != "" {
		c.endSlow(slow)
	}
}

// End closes the connection with a close code and a short reason: what is
// queued is sent first, within Config.FlushWithin, then the close frame. End
// returns at once; only the first call counts. A reason is cut to what a close
// frame can carry, 123 bytes.
func (c *Conn) End(code int, reason string) {
	c.end(ending{code: code, reason: reason, flush: true, linger: true})
}

func (c *Conn) endSlow(reason string) {
	c.end(ending{code: switchboard.CloseSlow, reason: reason, linger: true})
}
