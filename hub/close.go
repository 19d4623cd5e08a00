package hub

import (
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// ending says how a connection ends.
type ending struct {
	code   int // lost: without a close frame
	reason string
	flush  bool // send what is queued first; otherwise it is dropped
	linger bool // give the peer time to answer the close frame
}

// maxReason is the longest close reason that fits a control frame. The library
// sends no close frame at all when the reason is longer.
const maxReason = 123

// end is the one way in which a connection ends. Only the first call counts: it
// takes the connection out of all tables before it returns, and leaves closing
// to a closer, or to the reader when the line is already lost.
func (c *Conn) end(e ending) {
	h, o := c.hub, &c.out
	o.mu.Lock()
	if o.ending {
		o.mu.Unlock()
		return
	}
	o.ending = true
	o.code, o.reason, o.linger, o.cut = e.code, clean(e.reason), e.linger, !e.flush
	unsent := 0
	if !e.flush {
		unsent = c.discardLocked()
	}
	unsent += c.dropHeldLocked()
	o.openRoomLocked()
	if e.code != lost {
		o.closed = make(chan struct{})
		// Bounds the frame that is being written now, too.
		c.setWriteDeadline(time.Now().Add(c.flushTime()))
	}
	o.mu.Unlock()

	c.leaveTables()
	h.met.end(e.code)
	h.met.drop(dropUnsent, unsent)
	h.log.Debug("connection ends", "conn", c.id, "code", e.code, "reason", o.reason)
	if e.code != lost && !h.closers.add(c.close) {
		c.abort()
	}
}

// leaveTables takes c out of everything that could find it. It is idempotent,
// and has been done by somebody when it returns.
func (c *Conn) leaveTables() {
	c.hub.wheel.remove(c)
	c.hub.interest.set(c, 0, nil)
	c.hub.unlink(c)
	c.hub.door.identifiedAs(c)
}

// close sends the close frame and closes the socket; it runs in a closer.
func (c *Conn) close() {
	defer close(c.out.closed)
	c.waitWriter(c.flushTime())
	wait := c.hub.cfg.Linger
	if !c.out.linger {
		wait = 0
	}
	// The library waits up to ten seconds on its own; these deadlines cut that
	// short. Once the read deadline has passed, the reader fails as well.
	now := time.Now()
	c.deadline(c.nc.SetWriteDeadline(now.Add(c.hub.cfg.Linger)))
	c.deadline(c.nc.SetReadDeadline(now.Add(wait)))
	if err := c.ws.Close(websocket.StatusCode(c.out.code), c.out.reason); err != nil {
		c.hub.log.Debug("close handshake not completed", "conn", c.id, "err", err)
	}
}

// flushTime is what the writer gets to come to an end: less when only the frame
// that it is stuck in matters, so that slow connections free their closers soon.
func (c *Conn) flushTime() time.Duration {
	if c.out.cut {
		return c.hub.cfg.FlushWithin / 4
	}
	return c.hub.cfg.FlushWithin
}

// abort closes the socket without a close frame.
func (c *Conn) abort() {
	if c.out.closed != nil {
		defer close(c.out.closed)
	}
	c.hangUp()
}

// hangUp closes the socket at once, if it is not closed already.
func (c *Conn) hangUp() {
	if err := c.ws.CloseNow(); err != nil {
		c.hub.log.Debug("socket was closed already", "conn", c.id, "err", err)
	}
}

// deadline reports a deadline that could not be set, which only happens on a
// closed connection.
func (c *Conn) deadline(err error) {
	if err != nil {
		c.hub.log.Debug("no deadline on a closed socket", "conn", c.id, "err", err)
	}
}

func (c *Conn) setWriteDeadline(t time.Time) { c.deadline(c.nc.SetWriteDeadline(t)) }

// clean makes a reason fit for a close frame: valid UTF-8 of at most maxReason bytes.
func clean(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return strings.ToValidUTF8(reason, "")
}

// pool runs short jobs on at most limit goroutines, which end when there is
// nothing to do. At most backlog jobs wait.
type pool struct {
	mu      sync.Mutex
	waiting []func()
	running int
	ended   bool
	workers sync.WaitGroup

	limit, backlog int
}

// add queues a job; false when too many wait or the pool has ended. It never
// blocks.
func (p *pool) add(job func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(p.waiting) >= p.backlog {
		return false
	}
	p.waiting = append(p.waiting, job)
	if p.running < p.limit {
		p.running++
		p.workers.Go(p.work)
	}
	return true
}

func (p *pool) work() {
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.running--
			p.waiting = nil
			p.mu.Unlock()
			return
		}
		job := p.waiting[0]
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		job()
	}
}

// wait takes no more jobs and returns when the waiting ones are done.
func (p *pool) wait() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.workers.Wait()
}
