package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// The wheel looks at each connection when something may be due, at least once
// a turn. One goroutine and one ticker serve the whole hub: a timer or a
// context for each socket costs half the CPU of an idle node. Its ticks are short
// because all that is due in one is done at once: with 15,000 people a tick of 250 ms
// pings 470 of them, and a message that comes then waits behind them. Shorter ones yet
// wake the node more often: with 25 ms it took a quarter more of the processor at rest.
const (
	wheelTick  = 50 * time.Millisecond // how late anything may be
	wheelSlots = 640                   // a turn is 32 s
)

// pings is the ping of now. It belongs to the wheel's goroutine.
type pings struct {
	spread time.Duration
	object []byte
}

// ping returns the object, encoded anew when what it says has changed: all sockets
// share the bytes.
func (h *Hub) ping() []byte {
	spread := time.Duration(0)
	if h.cfg.Spread != nil {
		spread = h.cfg.Spread(int(h.identified.Load())).Round(spreadStep)
	}
	if p := &h.pings; p.object == nil || p.spread != spread {
		p.spread, p.object = spread, []byte(`{"t":"ping"}`)
		if spread >= time.Second {
			p.object = fmt.Appendf(nil, `{"t":"ping","spread_ms":%d}`, spread.Milliseconds())
		}
	}
	return h.pings.object
}

// spreadStep keeps the ping's bytes the same while people come and go.
const spreadStep = 500 * time.Millisecond

// wheel keeps connections in slots by when they are due.
type wheel struct {
	mu    sync.Mutex
	slots [wheelSlots]*Conn // heads of lists
	tick  int64             // all slots up to this tick have been looked at
}

// timer is a connection's place in the wheel.
type timer struct {
	prev, next *Conn
	slot       int
	in         bool // in the list of slot; not while it is being looked at
	again      bool // something changed while it was being looked at
	gone       bool // ended: never comes back

	// Owned by the wheel's goroutine.
	ping    int64     // when the next ping is due; 0 before the first visit after Identify
	expired *Identity // whose expiry was told
}

// add makes c due at a time of the hub's clock.
func (w *wheel) add(c *Conn, due int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addLocked(c, due)
}

func (w *wheel) addLocked(c *Conn, due int64) {
	t := &c.timer
	if t.gone {
		return
	}
	// Rounded up, so that nothing is early; never further than one turn.
	tick := (due + int64(wheelTick) - 1) / int64(wheelTick)
	tick = min(max(tick, w.tick+1), w.tick+wheelSlots-1)
	t.in, t.slot = true, int(tick%wheelSlots)
	t.next = w.slots[t.slot]
	if t.next != nil {
		t.next.timer.prev = c
	}
	w.slots[t.slot] = c
}

// bring makes c due at once.
func (w *wheel) bring(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.timer.in {
		c.timer.again = true
		return
	}
	w.takeLocked(c)
	w.addLocked(c, 0)
}

// remove takes c out for good.
func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.takeLocked(c)
	c.timer.gone = true
}

func (w *wheel) takeLocked(c *Conn) {
	t := &c.timer
	if !t.in {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.prev, t.next, t.in = nil, nil, false
}

// take returns the next connection that is due by a tick, nil when there is none.
func (w *wheel) take(tick int64) *Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	// After a long stall one turn covers every slot.
	w.tick = max(w.tick, tick-wheelSlots)
	for {
		if c := w.slots[w.tick%wheelSlots]; c != nil {
			w.takeLocked(c)
			return c
		}
		if w.tick >= tick {
			return nil
		}
		w.tick++
	}
}

// putBack puts a connection back after it was looked at.
func (w *wheel) putBack(c *Conn, due int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.timer.again {
		c.timer.again, due = false, 0
	}
	w.addLocked(c, due)
}

// turn turns the wheel until ctx ends.
func (h *Hub) turn(ctx context.Context) {
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		tick := h.now() / int64(wheelTick)
		for c := h.wheel.take(tick); c != nil; c = h.wheel.take(tick) {
			if due, live := h.look(c); live {
				h.wheel.putBack(c, due)
			}
		}
	}
}

// look does what is due for a connection and returns when to look again; false
// when it has ended the connection.
func (h *Hub) look(c *Conn) (due int64, live bool) {
	now, heard, phase := h.now(), c.heard.Load(), c.phase.Load()
	id := c.identity.Load()
	handling := phase == phaseHandling
	dead := heard + int64(h.cfg.Timeout)
	if phase > 0 {
		// Whoever drips a frame byte by byte is not heard: a frame must be whole
		// within the timeout.
		dead = min(dead, phase+int64(h.cfg.Timeout))
	}
	hello := c.opened + int64(h.cfg.HelloWithin)
	switch {
	case now >= dead && !handling:
		c.end(ending{code: int(websocket.StatusGoingAway), reason: "silent"})
		return 0, false
	case id == nil && now >= hello && !handling:
		c.end(ending{code: switchboard.CloseProtocol, reason: "no hello in time", flush: true, linger: true})
		return 0, false
	case id == nil:
		return min(dead, hello), true
	}
	return min(dead, h.pingIfDue(c, now), h.expireIfDue(c, id, now)), true
}

// pingIfDue pings when it is time and returns when the next ping is due.
func (h *Hub) pingIfDue(c *Conn, now int64) int64 {
	every, t := int64(h.cfg.PingEvery), &c.timer
	switch {
	case t.ping == 0:
		// Spread, or everybody who reconnects after a storm is pinged in one tick.
		t.ping = now + 1 + rand.Int64N(every)
	case now >= t.ping:
		c.enqueue(&object{json: h.ping(), class: ClassEvent}, now)
		t.ping = max(t.ping+every, now+every/2)
	}
	return t.ping
}

// expireIfDue tells once that the identity is over and returns when to look again.
func (h *Hub) expireIfDue(c *Conn, id *Identity, now int64) int64 {
	never := now + int64(wheelSlots)*int64(wheelTick)
	if id.Expires.IsZero() || c.timer.expired == id {
		return never
	}
	if left := time.Until(id.Expires); left > 0 {
		return now + int64(left)
	}
	// On a goroutine of its own: the handler may ask a store, the wheel must turn.
	if h.tasks.add(func() { h.on.Expired(c) }) {
		c.timer.expired = id
	}
	return never
}
