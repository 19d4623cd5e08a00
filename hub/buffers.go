package hub

import (
	"slices"
	"sync"
)

// A connection at rest holds no buffer: what it reads and writes with comes
// from these pools and goes back at once.

// readBuffers hold the frame that a reader hands to Handlers.Frame.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// frameBuffers hold a frame of several objects while it is written.
var frameBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// itemLists hold what is queued. The pool keeps pointers to boxed slices; the
// boxes are kept apart so that giving one back does not allocate.
var (
	itemLists = sync.Pool{}
	itemBoxes = sync.Pool{New: func() any { return new([]item) }}
)

// keptItems is the largest list that goes back to the pool; larger ones come
// from a connection that was slow.
const keptItems = 4 * frameObjects

func takeItems() []item {
	box, ok := itemLists.Get().(*[]item)
	if !ok {
		return make([]item, 0, 8)
	}
	items := *box
	*box = nil
	itemBoxes.Put(box)
	return items
}

func giveItems(items []item) {
	if cap(items) == 0 || cap(items) > keptItems {
		return
	}
	clear(items[:cap(items)])
	box := itemBoxes.Get().(*[]item)
	*box = items[:0]
	itemLists.Put(box)
}

func (o *outbox) missesLocked(topic string) bool { return slices.Contains(o.missed, topic) }

func (o *outbox) missLocked(topic string) {
	if !o.missesLocked(topic) {
		o.missed = append(o.missed, topic)
	}
}
