package hub

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// read is the reader: the one goroutine that a connection keeps. It ends when
// the socket is closed, by whomever.
func (c *Conn) read() {
	for c.readFrame() {
	}
	c.leave()
}

// readFrame waits for a frame and hands it out; false when none can come any
// more. Little is on the stack while it waits: that stack is what an idle
// socket costs most.
func (c *Conn) readFrame() bool {
	// The context never ends: one that did would close the socket, and would
	// cost a timer. The wheel and the deadlines on the connection bound the wait.
	kind, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return false
	}
	return c.takeFrame(kind, r)
}

// takeFrame reads one frame whole and hands it out.
func (c *Conn) takeFrame(kind websocket.MessageType, r io.Reader) bool {
	now := c.hub.now()
	c.heard.Store(now)
	c.phase.Store(now)
	defer c.phase.Store(phaseIdle)

	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	frame, err := readAll((*buf)[:0], r)
	*buf = frame
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		// The library has sent the close frame; our End keeps to its code.
		c.End(int(websocket.StatusMessageTooBig), "frame too big")
		return false
	case err != nil:
		return false
	case c.isEnding():
		// The peer has not seen our close frame yet. Reading on lets it, and
		// avoids a reset that could overtake what we sent.
		return true
	case kind != websocket.MessageText:
		c.End(switchboard.CloseProtocol, "binary frame")
		return true
	case !utf8.Valid(frame):
		c.End(int(websocket.StatusInvalidFramePayloadData), "invalid UTF-8")
		return true
	}
	c.heard.Store(c.hub.now())
	c.phase.Store(phaseHandling)
	c.hub.met.framesIn.Inc()
	if c.identity.Load() == nil {
		c.handleApart(frame)
	} else {
		c.handle(frame)
	}
	// A handler that took long must not look like a silent peer.
	c.heard.Store(c.hub.now())
	return true
}

// handleApart handles a frame on another goroutine and waits for it. The frame
// that opens a connection has much done for it, on a deep stack, and a stack that
// has grown is given back by halves, one a collection: on the reader it would be
// what an idle socket costs most. In a storm of connects one grown stack serves
// many, one after the other.
func (c *Conn) handleApart(frame []byte) {
	done := make(chan struct{})
	if !c.hub.openers.add(func() { defer close(done); c.handle(frame) }) {
		c.handle(frame) // the hub is ending
		return
	}
	<-done
}

// handle calls the frame handler. One person's frame must not take down
// everybody else's connection, so a panic ends this one only.
func (c *Conn) handle(frame []byte) {
	defer func() {
		if v := recover(); v != nil {
			c.hub.met.panics.Inc()
			c.hub.log.Error("frame handler panicked", "conn", c.id, "panic", v, "stack", string(debug.Stack()))
			c.End(int(websocket.StatusInternalError), "internal error")
		}
	}()
	c.hub.on.Frame(c, frame)
}

// leave ends the connection if nobody has, tells that it is closed, and waits
// for its other goroutines.
func (c *Conn) leave() {
	c.end(ending{code: lost, reason: "lost"})
	c.leaveTables() // done by whoever ended it, perhaps not quite yet
	if c.out.closed == nil {
		c.hangUp()
	}
	c.hub.on.Closed(c, c.hub.wasLast(c))
	if c.out.closed != nil {
		<-c.out.closed
	}
	c.waitWriter(0)
	c.hub.door.leave()
}

func (c *Conn) isEnding() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.ending
}

// readAll appends everything from r, whose size is bounded by the read limit.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}
