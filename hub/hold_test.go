package hub

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/switchboard/switchboard"
)

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
