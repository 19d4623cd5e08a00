package routing

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// heard runs a desk's bus and keeps what it brings.
type heard struct {
	mu     sync.Mutex
	nudges []Nudge
	gaps   atomic.Int64
	stop   func() // ends the bus and waits for it
}

func (d *desk) listen() *heard {
	d.t.Helper()
	h := &heard{}
	bus := d.rt.NewBus(Listener{
		Nudge: func(n Nudge) { h.mu.Lock(); h.nudges = append(h.nudges, n); h.mu.Unlock() },
		Event: func(Event) {},
		Gap: func(p presence.Partition) {
			if p == d.reg.Partition(d.org) {
				h.gaps.Add(1)
			}
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); bus.Run(ctx) }()
	h.stop = sync.OnceFunc(func() { cancel(); <-done })
	d.t.Cleanup(h.stop)
	if err := bus.Ready(d.ctx); err != nil {
		d.t.Fatal(err)
	}
	return h
}

func (h *heard) seqs() (out []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.nudges {
		if n.Class == 'm' {
			out = append(out, n.Seq)
		}
	}
	return out
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// active is a desk with one chat between visitor "a" and operator 1.
func active(t *testing.T) (*desk, Chat) {
	d := newDesk(t)
	d.operators(1, 1, 5)
	if _, err := d.reg.Enter(d.ctx, d.org, "va", 0); err != nil {
		t.Fatal(err)
	}
	c := d.start("a")
	c, err := d.rt.Accept(d.ctx, d.org, 1, c.ID, c.Token)
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

func (d *desk) say(c Chat, from switchboard.PersonID, cmid string) Stored {
	d.t.Helper()
	s, err := d.rt.Append(d.ctx, d.org, Draft{From: from, Chat: c.ID, Cmid: cmid, Text: "text of " + cmid})
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func TestBusEndsWhileNudgesKeepComing(t *testing.T) {
	d, _ := active(t)
	h := d.listen()
	ctx, cancel := context.WithCancel(d.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			d.rdb.Publish(d.ctx, d.reg.Partition(d.org).Inbox(d.reg.Incarnation()), "echo")
		}
	})
	ended := make(chan struct{})
	go func() { defer close(ended); h.stop() }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the bus did not end")
	}
	cancel()
	wg.Wait()
	<-ended
}

// W-4: a hole in the middle is noticed by the node, which has its clients say where
// they stand; the tail and the whole subscription are below. (The client's own look
// at the numbers: web/client/test.)
func TestBusBringsMessagesInOrderAndNoticesALostOne(t *testing.T) {
	d, c := active(t)
	h := d.listen()
	// The desk entered before it listened, so the numbers do not begin at 1: one
	// gap is told, and then none as long as nothing is lost.
	d.say(c, "va", "m1")
	eventually(t, "m1", func() bool { return len(h.seqs()) == 1 })
	before := h.gaps.Load()
	for _, id := range []string{"m2", "m3", "m4"} {
		d.say(c, "o1", id)
	}
	eventually(t, "m4", func() bool { return len(h.seqs()) == 4 })
	if got := h.seqs(); !slices.IsSorted(got) {
		t.Errorf("out of order: %v", got)
	}
	if n := h.gaps.Load() - before; n != 0 {
		t.Errorf("%d gaps although nothing was lost", n)
	}
	// A nudge that never arrives: numbered by the store, not published.
	p := d.reg.Partition(d.org)
	if err := d.rdb.HIncrBy(d.ctx, p.InboxHeads(), d.reg.Incarnation(), 1).Err(); err != nil {
		t.Fatal(err)
	}
	d.say(c, "va", "m5")
	eventually(t, "the gap", func() bool { return h.gaps.Load() == before+1 })
}

// W-4: a tail that is lost is noticed although nothing follows it.
func TestBusNoticesALostTail(t *testing.T) {
	d, c := active(t)
	h := d.listen()
	d.say(c, "va", "m1")
	eventually(t, "m1", func() bool { return len(h.seqs()) == 1 })
	before := h.gaps.Load()
	if err := d.rdb.HIncrBy(d.ctx, d.reg.Partition(d.org).InboxHeads(), d.reg.Incarnation(), 1).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gap", func() bool { return h.gaps.Load() > before })
}

// A subscription that the server drops is made anew, and the loss is told.
func TestBusSubscribesAnewWhenItsConnectionIsKilled(t *testing.T) {
	d, c := active(t)
	h := d.listen()
	before := h.gaps.Load()
	if err := d.rdb.Do(d.ctx, "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gap", func() bool { return h.gaps.Load() > before })
	d.say(c, "va", "m1")
	eventually(t, "m1", func() bool { return len(h.seqs()) == 1 })
}

func TestMessageOfTheSameIdIsStoredOnceAndAnsweredTheSame(t *testing.T) {
	d, c := active(t)
	first := d.say(c, "va", "twice")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			s, err := d.rt.Append(d.ctx, d.org, Draft{From: "va", Chat: c.ID, Cmid: "twice", Text: "text of twice"})
			if err != nil || !s.Repeat || s.Pos != first.Pos || s.At != first.At {
				t.Errorf("repeat: %+v, %v; the first was %+v", s, err, first)
			}
		})
	}
	wg.Wait()
	if next := d.say(c, "o1", "twice"); next.Repeat || next.Seq != first.Seq+1 {
		t.Errorf("another person's id: %+v", next)
	}
	d.check()
}

func TestResumeIsExactOrSaysThatItIsNot(t *testing.T) {
	d, c := active(t)
	var at []Stored
	for i := range 5 {
		at = append(at, d.say(c, "va", string(rune('a'+i))))
	}
	for _, tc := range []struct {
		name, pos string
		ok        bool
		first     int64
		n         int
	}{
		{"from the beginning", "", true, 1, 6},
		{"after the second", at[0].Pos, true, 3, 4},
		{"nothing new", at[4].Pos, true, 0, 0},
		{"a position of another generation", "2-99", false, 1, 6},
		{"a position to come", "7-1", false, 1, 6},
		{"no position at all", "x' OR 1", false, 1, 6},
	} {
		m, err := d.rt.Since(d.ctx, d.org, c.ID, tc.pos)
		if err != nil || m.OK != tc.ok || len(m.Messages) != tc.n || m.Last != 6 {
			t.Errorf("%s: ok %v, %d messages, last %d, %v", tc.name, m.OK, len(m.Messages), m.Last, err)
			continue
		}
		for i, msg := range m.Messages {
			if msg.Seq != tc.first+int64(i) {
				t.Errorf("%s: message %d has seq %d", tc.name, i, msg.Seq)
			}
		}
	}
}

func TestMessagesOfStrangersAndIntoClosedChatsAreRefused(t *testing.T) {
	d, c := active(t)
	d.operators(2, 1, 5)
	for _, tc := range []struct {
		name string
		from switchboard.PersonID
		chat switchboard.ChatID
		code switchboard.Code
	}{
		{"another operator", "o2", c.ID, switchboard.CodeNotFound},
		{"another visitor", "vb", c.ID, switchboard.CodeNotFound},
		{"no such chat", "va", 999, switchboard.CodeNotFound},
	} {
		if _, err := d.rt.Append(d.ctx, d.org, Draft{From: tc.from, Chat: tc.chat, Cmid: "x", Text: "x"}); switchboard.CodeOf(err) != tc.code {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	for range 2 { // closing twice is fine
		if _, err := d.rt.Close(d.ctx, d.org, "va", false, c.ID, "done"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.rt.Append(d.ctx, d.org, Draft{From: "va", Chat: c.ID, Cmid: "late", Text: "late"}); switchboard.CodeOf(err) != switchboard.CodeClosed {
		t.Errorf("into a closed chat: %v", err)
	}
	d.check()
}
