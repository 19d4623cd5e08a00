package hub

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/switchboard/switchboard"
)

// What is delivered while a connection is being opened comes behind what its
// opener sends, in order, and messages of a resumed chat once.
func TestCorkKeepsDeliveriesBehindTheOpenersWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		cl.answering()
		people := []switchboard.PersonID{ada}
		r.Cork(c)
		r.Deliver(1, people, ClassEvent, []byte("event"))
		r.DeliverMessage(1, people, 7, 3, []byte("7/3"))
		r.DeliverMessage(1, people, 7, 4, []byte("7/4"))
		c.Send(ClassEvent, []byte("ready"))
		r.Hold(c, 7)
		c.Send(ClassMessage, []byte("history to 3"))
		r.Release(c, 7, 3)
		r.Uncork(c)
		r.Deliver(1, people, ClassEvent, []byte("later"))
		synctest.Wait()
		want := []string{"ready", "history to 3", "event", "7/4", "later"}
		if got := cl.objects(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A repair that corks a connection which is still being opened does not let go of what
// its opener keeps back. (Red with a flag in the place of the count.)
func TestCorksAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		cl.answering()
		r.Cork(c)
		r.Cork(c)
		r.Deliver(1, []switchboard.PersonID{ada}, ClassEvent, []byte("event"))
		r.Uncork(c)
		c.Send(ClassEvent, []byte("ready"))
		r.Uncork(c)
		synctest.Wait()
		if got, want := cl.objects(), []string{"ready", "event"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// What is kept back is bounded, and a connection that ends meanwhile leaves
// nothing in the account.
func TestCorkedObjectsCountAgainstTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		c, cl := r.identified(ada)
		cl.answering()
		r.Cork(c)
		for range 300 { // 300 KiB
			r.Deliver(1, []switchboard.PersonID{ada}, ClassEvent, sized(1<<10))
		}
		synctest.Wait()
		if !c.isEnding() {
			t.Error("more than the queue may hold was kept back")
		}
		r.Uncork(c)
		if n := r.Stats().Queued; n != 0 {
			t.Errorf("%d bytes are still counted", n)
		}
	})
}
