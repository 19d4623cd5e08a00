package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchboard/switchboard"
)

const ada = switchboard.PersonID("o1")

// sized returns an object of n bytes.
func sized(n int) []byte { return []byte(`{"x":"` + strings.Repeat("x", n-8) + `"}`) }

func TestOrderIsKeptUnderConcurrentDeliver(t *testing.T) {
	const producers, each = 4, 1000
	r := newRig(t, Config{QueueBytes: 64 << 20}, Handlers{})
	var tabs []*client
	for range 3 {
		c, cl := r.loopback()
		r.identify(c, ada)
		tabs = append(tabs, cl.listen())
	}
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				r.Deliver(1, []switchboard.PersonID{ada}, ClassMessage, fmt.Appendf(nil, `{"p":%d,"i":%d}`, p, i))
			}
		})
	}
	wg.Wait()
	for _, cl := range tabs {
		var next [producers]int
		for _, o := range cl.want(producers * each) {
			var p, i int
			if _, err := fmt.Sscanf(o, `{"p":%d,"i":%d}`, &p, &i); err != nil {
				t.Fatalf("%q: %v", o, err)
			}
			if i != next[p] {
				t.Fatalf("producer %d: %d came where %d was due", p, i, next[p])
			}
			next[p]++
		}
	}
}

func TestQueuedObjectsShareFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		c.Send(ClassEvent, []byte(`{"n":0}`))
		synctest.Wait() // the writer holds the first and waits for the client
		for i := 1; i <= 2*frameObjects+2; i++ {
			c.Send(ClassEvent, fmt.Appendf(nil, `{"n":%d}`, i))
		}
		for range 2 {
			c.Send(ClassEvent, sized(frameBytes*3/4)) // two do not fit one frame
		}
		cl.listen()
		cl.want(2*frameObjects + 5)
		var sizes []int
		for _, f := range cl.frames {
			sizes = append(sizes, len(f))
		}
		if want := []int{1, frameObjects, frameObjects, 3, 1}; !slices.Equal(sizes, want) {
			t.Errorf("objects by frame %v, want %v", sizes, want)
		}
	})
}

func TestSlowReaderIsClosedAndOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		slow, cl := r.identified("o1")
		_, good := r.identified("o2")
		good.answering()
		const n = 300
		for range n {
			r.Deliver(1, []switchboard.PersonID{"o1", "o2"}, ClassMessage, sized(1<<10))
			synctest.Wait() // the good one keeps up
		}
		if !slow.isEnding() {
			t.Fatal("300 KiB wait and the connection goes on")
		}
		if got := len(good.want(n)); got != n {
			t.Errorf("the other got %d of %d", got, n)
		}
		if r.ended(switchboard.CloseSlow) != 1 {
			t.Error("not counted under 4008")
		}
		// A peer that reads again finds out why.
		if code := cl.listen().code(); code != switchboard.CloseSlow {
			t.Errorf("close code %d (%v), want 4008", code, cl.err)
		}
		r.closedConn(slow)
		if n := r.dropped(dropUnsent); n < 200 {
			t.Errorf("%d objects counted as unsent", n)
		}
	})
}

func TestStuckWriteEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, _ := r.identified(ada)
		c.Send(ClassMessage, []byte(`{"n":1}`))
		got := r.closedConn(c)
		if got.after < 5*time.Second || got.after > 7*time.Second {
			t.Errorf("closed after %v, want WriteTimeout and at most a quarter more", got.after)
		}
		if r.ended(switchboard.CloseSlow) != 1 {
			t.Error("not counted under 4008")
		}
	})
}

func TestOldQueueEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		for range 6 {
			c.Send(ClassMessage, sized(40<<10)) // a frame each
		}
		for cl.readOne() { // each frame in time, all of them too slow
			time.Sleep(4 * time.Second)
		}
		// The fourth comes at 12 s, unless a ping has found the queue too old before.
		if n := len(cl.objects()); n < 3 || n > 4 || r.ended(switchboard.CloseSlow) != 1 {
			t.Errorf("%d of 6 objects came (%v)", n, cl.err)
		}
	})
}

func TestTypingGoesFirstThenPresenceThenTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refreshed []string
		r := newRig(t, Config{}, Handlers{Refresh: func(c *Conn, topic string) {
			refreshed = append(refreshed, topic) // on the one writer
			c.Send(ClassPresence, []byte(`{"full":"`+topic+`"}`))
		}})
		c, cl := r.identified(ada)
		r.Watch(c, []string{"operators", "queue"})
		fill := func(upTo int) {
			for c.used() <= upTo {
				c.Send(ClassMessage, sized(1<<10))
			}
		}
		typing := func() { c.Send(ClassTyping, []byte(`{"t":"typing"}`)) }
		presence := func() { r.Publish(1, "operators", ClassPresence, []byte(`{"t":"presence"}`)) }

		typing()
		presence()
		fill(256 << 10 / 4)
		typing()
		presence()
		if r.dropped(dropTyping) != 1 || r.dropped(dropPresence) != 0 {
			t.Errorf("above a quarter: %d typing, %d presence dropped", r.dropped(dropTyping), r.dropped(dropPresence))
		}
		fill(256 << 10 / 2)
		presence()
		presence()
		r.Publish(1, "queue", ClassPresence, []byte(`{"t":"queue"}`))
		typing()
		if r.dropped(dropTyping) != 2 || r.dropped(dropPresence) != 3 {
			t.Errorf("above a half: %d typing, %d presence dropped", r.dropped(dropTyping), r.dropped(dropPresence))
		}
		if c.isEnding() || len(refreshed) != 0 {
			t.Fatalf("ending %v, refreshed %v before the queue drained", c.isEnding(), refreshed)
		}
		cl.answering()
		synctest.Wait()
		if want := []string{"operators", "queue"}; !slices.Equal(refreshed, want) {
			t.Errorf("refreshed %v, want %v", refreshed, want)
		}
		got := cl.objects()
		if tail := got[len(got)-2:]; tail[0] != `{"full":"operators"}` || tail[1] != `{"full":"queue"}` {
			t.Errorf("the last objects are %v", tail)
		}
		presence()
		synctest.Wait()
		if got := cl.objects(); got[len(got)-1] != `{"t":"presence"}` {
			t.Error("presence does not pass again after the refresh")
		}
		if r.Stats().Queued != 0 {
			t.Errorf("%d bytes counted in empty queues", r.Stats().Queued)
		}
	})
}

func TestPresenceWaitsForItsSnapshotOnceSomeWasDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refreshed := 0
		r := newRig(t, Config{}, Handlers{Refresh: func(*Conn, string) { refreshed++ }})
		c, cl := r.identified(ada)
		r.Watch(c, []string{"operators"})
		presence := func() { r.Publish(1, "operators", ClassPresence, []byte(`{"t":"presence"}`)) }
		for c.used() <= 128<<10 {
			c.Send(ClassMessage, sized(8<<10))
		}
		presence() // dropped: over a half
		for c.used() > 64<<10 {
			cl.readOne()
			synctest.Wait()
		}
		presence() // there is room, but it would come before the snapshot that says more
		if n := r.dropped(dropCollapsed); n != 1 || refreshed != 0 {
			t.Errorf("%d collapsed, %d refreshed while the queue drains", n, refreshed)
		}
		cl.answering()
		synctest.Wait()
		for _, o := range cl.objects() {
			if o == `{"t":"presence"}` {
				t.Error("a change came before the snapshot")
			}
		}
		if refreshed != 1 {
			t.Errorf("refreshed %d times, want once", refreshed)
		}
	})
}

// used is what the queue of c counts.
func (c *Conn) used() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.used
}

func TestRoomKeepsThePaceOfTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		cl.answering()
		for range 50 { // each object is larger than the queue
			if err := c.Room(context.Background()); err != nil {
				t.Fatal(err)
			}
			c.Send(ClassEvent, sized(300<<10))
		}
		if got := len(cl.want(50)); got != 50 {
			t.Errorf("%d of 50 arrived", got)
		}
		other, _ := r.identified("o2")
		for other.used() <= 64<<10 {
			other.Send(ClassEvent, sized(8<<10))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := other.Room(ctx); err != context.DeadlineExceeded {
			t.Errorf("Room of a stuck connection: %v", err)
		}
		if err := other.Room(context.Background()); switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			t.Errorf("Room of an ended connection: %v", err)
		}
	})
}
