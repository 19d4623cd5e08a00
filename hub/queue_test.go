package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
		var r *rig
		r = newRig(t, Config{}, Handlers{Refresh: func(c *Conn, topic string) {
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

func TestHeldMessagesComeAfterTheHistoryInOrderAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		cl.answering()
		live := func(chat switchboard.ChatID, seq int64) {
			r.DeliverMessage(1, []switchboard.PersonID{ada}, chat, seq, fmt.Appendf(nil, "%d/%d", chat, seq))
		}
		live(7, 1)
		r.Hold(c, 7)
		for _, seq := range []int64{2, 3, 5, 4, 5} { // a repeat, and out of order
			live(7, seq)
		}
		live(8, 1) // another chat is not held
		c.Send(ClassEvent, []byte("history to 3"))
		r.Release(c, 7, 3)
		live(7, 3) // the bus was late
		live(7, 6)
		synctest.Wait()
		want := []string{"7/1", "8/1", "history to 3", "7/4", "7/5", "7/6"}
		if got := cl.objects(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if n := r.dropped(dropSeen); n != 4 {
			t.Errorf("%d counted as seen, want 4", n)
		}
	})
}

func TestReleasedMessagesCountNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		cl.answering()
		for round := range int64(10) { // 100 KiB each time, half of it seen
			r.Hold(c, 7)
			for i := range int64(100) {
				r.DeliverMessage(1, []switchboard.PersonID{ada}, 7, round*100+i+1, sized(1<<10))
			}
			r.Release(c, 7, round*100+50)
			synctest.Wait()
		}
		if got := len(cl.objects()); got != 500 || c.isEnding() {
			t.Errorf("%d of 500 arrived, ending %v", got, c.isEnding())
		}
	})
}

func TestTooMuchHeldBackEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		cl.answering()
		r.Hold(c, 7)
		for seq := range 300 {
			r.DeliverMessage(1, []switchboard.PersonID{ada}, 7, int64(seq), sized(1<<10))
		}
		if code := cl.code(); code != switchboard.CloseSlow {
			t.Errorf("close code %d, want 4008", code)
		}
	})
}

// TestResumeIsExact runs resumes against live messages in many interleavings:
// what the client applies must be the log, without gap, repeat or disorder.
func TestResumeIsExact(t *testing.T) {
	const chats, messages = 8, 300
	r := newRig(t, Config{QueueBytes: 16 << 20}, Handlers{})
	c, cl := r.loopback()
	r.identify(c, ada)
	cl.listen()
	var stored [chats]atomic.Int64
	var wg sync.WaitGroup
	for chat := range chats {
		id := switchboard.ChatID(chat + 1)
		wg.Go(func() { // the store: stores, then nudges
			for seq := int64(1); seq <= messages; seq++ {
				stored[chat].Store(seq)
				r.DeliverMessage(1, []switchboard.PersonID{ada}, id, seq, fmt.Appendf(nil, "%d/%d", id, seq))
				if seq%16 == 0 {
					runtime.Gosched()
				}
			}
		})
		wg.Go(func() { // the client resumes again and again
			for range 20 {
				r.Hold(c, id)
				last := stored[chat].Load()
				c.Send(ClassEvent, fmt.Appendf(nil, "%d/to/%d", id, last))
				r.Release(c, id, last)
				if rand.IntN(2) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	c.Send(ClassEvent, []byte("end"))
	eventually(t, "all arrives", func() bool {
		got := cl.objects()
		return len(got) > 0 && got[len(got)-1] == "end"
	})
	var at [chats + 1]int64
	for _, o := range cl.objects() {
		var chat, seq int64
		if _, err := fmt.Sscanf(o, "%d/to/%d", &chat, &seq); err == nil {
			if seq < at[chat] {
				t.Fatalf("chat %d: a history to %d came after %d", chat, seq, at[chat])
			}
			at[chat] = seq
		} else if _, err := fmt.Sscanf(o, "%d/%d", &chat, &seq); err == nil {
			if seq != at[chat]+1 {
				t.Fatalf("chat %d: %d came after %d", chat, seq, at[chat])
			}
			at[chat] = seq
		}
	}
	for chat := 1; chat <= chats; chat++ {
		if at[chat] != messages {
			t.Errorf("chat %d ends at %d", chat, at[chat])
		}
	}
}

func TestPublishReachesWatchersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		var conns []*Conn
		var clients []*client
		for i := range 4 {
			c, cl := r.pipe()
			org := switchboard.OrgID(1 + i/3) // the last is of another organization
			if _, err := r.Identify(c, Identity{Org: org, Person: "o1"}); err != nil {
				t.Fatal(err)
			}
			conns, clients = append(conns, c), append(clients, cl.answering())
		}
		for _, c := range []*Conn{conns[0], conns[1], conns[3]} {
			r.Watch(c, []string{"operators", "queue", "queue"})
		}
		r.Publish(1, "queue", ClassPresence, []byte("1"))
		r.Watch(conns[0], []string{"operators"})
		r.Publish(1, "queue", ClassPresence, []byte("2"))
		r.Publish(1, "operators", ClassPresence, []byte("3"))
		synctest.Wait()
		for i, want := range [][]string{{"1", "3"}, {"1", "2", "3"}, nil, nil} {
			if got := clients[i].objects(); !slices.Equal(got, want) {
				t.Errorf("connection %d got %v, want %v", i, got, want)
			}
		}
		conns[1].End(1001, "bye")
		r.Watch(conns[1], []string{"queue"}) // too late
		if r.Watched(1, "queue") || !r.Watched(1, "operators") || !r.Watched(2, "queue") {
			t.Error("Watched is wrong after a watcher ended")
		}
	})
}

func TestPublishEndsASlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, _ := r.identified(ada)
		r.Watch(c, []string{"orders"})
		for range 300 {
			r.Publish(1, "orders", ClassEvent, sized(1<<10))
		}
		if !c.isEnding() || r.Watched(1, "orders") {
			t.Error("300 KiB wait and the watcher stays")
		}
	})
}

func TestMatchFindsPersonsByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		join := func(org switchboard.OrgID, p switchboard.PersonID, addr string) *Conn {
			c, cl := r.pipeFrom(addr)
			cl.answering()
			if _, err := r.Identify(c, Identity{Org: org, Person: p}); err != nil {
				t.Fatal(err)
			}
			return c
		}
		join(1, "o1", "10.0.0.1")
		join(1, "o1", "10.0.0.2") // a second tab
		join(1, "o2", "::ffff:10.0.0.3")
		gone := join(1, "o3", "10.0.0.4")
		join(1, "o4", "192.0.2.1")
		join(1, "o5", "2001:db8::1")
		join(2, "o6", "10.0.0.5")
		gone.End(1001, "bye")
		got := r.Match(1, netip.MustParsePrefix("10.0.0.0/8").Contains)
		slices.Sort(got)
		if want := []switchboard.PersonID{"o1", "o2"}; !slices.Equal(got, want) {
			t.Errorf("matched %v, want %v", got, want)
		}
	})
}

func TestTablesAgreeWhileConnectionsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var edges [4]atomic.Int64 // firsts minus lasts, by person
		r := newRig(t, Config{MaxPerPerson: 1000}, Handlers{Closed: func(c *Conn, last bool) {
			if id, ok := c.Identity(); ok && last {
				n, _ := id.Person.Operator()
				edges[n-1].Add(-1)
			}
		}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 60 {
					c, _ := r.openQuietly(t)
					p := switchboard.OperatorID(1 + rand.IntN(len(edges)))
					var race sync.WaitGroup
					race.Go(func() {
						first, err := r.Identify(c, Identity{Org: 1, Person: switchboard.OperatorPerson(p)})
						if err == nil && first {
							edges[p-1].Add(1)
						}
						r.Watch(c, []string{"operators"})
						r.Publish(1, "operators", ClassPresence, []byte("{}"))
					})
					race.Go(func() {
						if rand.IntN(4) > 0 {
							c.End(1001, "bye")
						}
					})
					race.Wait()
				}
			})
		}
		wg.Wait()
		persons := 0
		r.Persons(func(switchboard.OrgID, switchboard.PersonID) bool { persons++; return true })
		each := 0
		r.Each(func(c *Conn) bool { each++; return true })
		if s := r.Stats(); s.Identified != each || persons > len(edges) {
			t.Errorf("%d identified, %d found, %d persons", s.Identified, each, persons)
		}
		r.stop() // checks that nothing is left in any table
		for i := range edges {
			if n := edges[i].Load(); n != 0 {
				t.Errorf("person %d: firsts and lasts differ by %d", i+1, n)
			}
		}
	})
}

// openQuietly opens a socket over a pipe; safe to call concurrently.
func (r *rig) openQuietly(t *testing.T) (*Conn, *client) {
	r.opening.Lock()
	defer r.opening.Unlock()
	return r.pipe()
}

func TestIdleSocketKeepsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		const n = 50
		var clients []*client
		before := hubGoroutines()
		for range n {
			_, cl := r.identified(operator(len(clients) + 1))
			clients = append(clients, cl)
		}
		for _, cl := range clients {
			cl.answering()
		}
		time.Sleep(time.Minute) // pings have come and gone
		synctest.Wait()
		if got := hubGoroutines() - before; got != n {
			t.Errorf("%d goroutines of the hub for %d idle sockets", got, n)
		}
	})
}

func operator(n int) switchboard.PersonID {
	return switchboard.OperatorPerson(switchboard.OperatorID(n + 1))
}

// hubGoroutines counts the goroutines that the hub's own code has started.
func hubGoroutines() int {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	n := 0
	for _, g := range strings.Split(string(buf), "\n\n") {
		if i := strings.LastIndex(g, "created by "); i >= 0 && strings.Contains(g[i:], "/hub.(*Conn)") || strings.Contains(g[max(i, 0):], "/hub.(*Hub)") {
			n++
		}
	}
	return n
}
