package hub

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// A frame carries at most this much; a single larger object goes alone.
const (
	frameObjects = 64
	frameBytes   = 64 << 10
)

// write is the writer: it sends what is queued, frame by frame, and ends when
// the queue is empty.
func (c *Conn) write() { c.writeOn(&writer{}) }

func (c *Conn) writeOn(w *writer) {
	for c.next(w) {
		c.writeOut(w)
	}
}

// becomeWriter makes the caller the writer if there is none.
func (c *Conn) becomeWriter() bool {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing || o.ending {
		return false
	}
	o.writing = true
	return true
}

// writeHere is the writer on the connection's own reading goroutine, for one
// frame: the answer to what was just read goes out without waking anybody. What
// was queued meanwhile is left to a writer of its own, so that reading goes on.
func (c *Conn) writeHere() {
	w := writer{}
	if !c.next(&w) {
		return
	}
	if w.batch != nil {
		c.writeOut(&w)
		if !c.next(&w) {
			return
		}
	}
	go func() { // the outbox waits for it: writing is set
		c.writeOut(&w)
		c.writeOn(&w)
	}()
}

// writeOut does what next has prepared.
func (c *Conn) writeOut(w *writer) {
	if w.batch == nil {
		for _, topic := range w.refresh {
			c.hub.on.Refresh(c, topic)
		}
		w.refresh = nil
		return
	}
	w.count = frameOf(w.batch)
	if err := c.writeFrame(w.batch[:w.count]); err != nil {
		c.writeFailed(err)
	}
}

// writer is what the writing goroutine holds.
type writer struct {
	all     []item   // what batch is a tail of, to be given back
	batch   []item   // taken from the queue and not yet written
	count   int      // how many of batch the last frame carried
	refresh []string // topics to refresh now that the queue is empty
}

// next accounts for the frame that was written and prepares the following one;
// false when there is nothing left to do and the writer must return.
func (c *Conn) next(w *writer) bool {
	h, o := c.hub, &c.out
	t := time.Now()
	now := h.at(t)
	unsent, slow, more := 0, "", true

	o.mu.Lock()
	c.paidLocked(w.batch[:w.count])
	w.batch, w.count = w.batch[w.count:], 0
	if o.discard {
		unsent = len(w.batch)
		c.paidLocked(w.batch)
		w.batch = nil
	}
	if len(w.batch) == 0 {
		giveItems(w.all)
		w.all, o.items = o.items, nil
		w.batch = w.all
	}
	if o.used <= h.cfg.QueueBytes/4 {
		o.openRoomLocked()
	}
	switch {
	case len(w.batch) > 0:
		o.oldest = w.batch[0].at
		if !o.ending && now-o.oldest > int64(h.cfg.QueueAge) {
			slow = "queue too old"
		}
		c.extendLocked(t)
	case len(o.missed) > 0 && !o.ending:
		o.oldest = 0
		w.refresh, o.missed = o.missed, nil
	default:
		o.oldest = 0
		o.writing = false
		c.liftLocked()
		if o.idle != nil {
			close(o.idle)
		}
		more = false
	}
	o.mu.Unlock()

	h.met.drop(dropUnsent, unsent)
	if slow != "" {
		c.endSlow(slow) // sets discard: the next turn drops the rest
		return c.next(w)
	}
	if len(w.batch) > 0 {
		h.met.waited.Observe(float64(now-w.batch[0].at) / 1e9)
	}
	return more
}

// extendLocked makes sure that the next frame has at least WriteTimeout. The
// deadline is moved only when it must be. Once the connection is ending its
// deadline is that of the end.
func (c *Conn) extendLocked(now time.Time) {
	o, within := &c.out, c.hub.cfg.WriteTimeout
	if o.ending || o.until.Sub(now) >= within {
		return
	}
	o.until = now.Add(within + within/4)
	c.setWriteDeadline(o.until)
}

// liftLocked takes the deadline off while there is no writer: the library
// answers pings on the reader, and an old deadline would fail that.
func (c *Conn) liftLocked() {
	if !c.out.ending {
		c.out.until = time.Time{}
		c.setWriteDeadline(time.Time{})
	}
}

// frameOf returns how many items the next frame takes: at least one.
func frameOf(batch []item) int {
	size := 0
	for i, it := range batch {
		size += len(it.json) + 1
		if i > 0 && (size > frameBytes || i == frameObjects) {
			return i
		}
	}
	return len(batch)
}

// writeFrame sends items as one frame, joined by newlines.
func (c *Conn) writeFrame(items []item) error {
	// The context never ends: one that did would cost a timer and would close
	// the socket. The deadline on the connection bounds the write.
	ctx := context.Background()
	c.hub.met.framesOut.Inc()
	c.hub.met.objects.Add(float64(len(items)))
	if len(items) == 1 {
		return c.ws.Write(ctx, websocket.MessageText, items[0].json)
	}
	buf := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(buf)
	b := (*buf)[:0]
	for i, it := range items {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(b, it.json...)
	}
	*buf = b
	return c.ws.Write(ctx, websocket.MessageText, b)
}

// writeFailed ends the connection after a frame that did not go out whole.
// Nothing more can be sent, not even a close frame.
func (c *Conn) writeFailed(err error) {
	e := ending{code: lost, reason: "write failed"}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e = ending{code: switchboard.CloseSlow, reason: "write timed out"}
	}
	c.end(e)
	c.out.mu.Lock()
	unsent := c.discardLocked() // when End came first and wanted the queue flushed
	c.out.mu.Unlock()
	c.hub.met.drop(dropUnsent, unsent)
	c.hangUp()
}

// waitWriter waits until there is no writer, at most d; 0 waits without limit.
// The connection must be ending, so that none can start again.
func (c *Conn) waitWriter(d time.Duration) {
	o := &c.out
	o.mu.Lock()
	if !o.writing {
		o.mu.Unlock()
		return
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle
	o.mu.Unlock()
	if d == 0 {
		<-idle
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}
