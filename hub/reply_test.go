package hub

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchboard/switchboard"
)

// An answer is written by the goroutine that read the question: when Reply returns on
// a socket that nobody writes to, the frame has left. Seen red with Reply as Send.
func TestReplyIsWrittenBeforeItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left []int
		var r *rig
		r = newRig(t, Config{}, Handlers{Frame: func(c *Conn, _ []byte) {
			c.Reply(ClassEvent, []byte(`{"n":1}`))
			left = append(left, r.metric("frames_out_total", ""))
		}})
		_, cl := r.identified(ada)
		cl.listen().send(`{"t":"x"}`)
		if got := cl.want(1); !slices.Equal(got, []string{`{"n":1}`}) {
			t.Errorf("got %q", got)
		}
		synctest.Wait()
		if !slices.Equal(left, []int{1}) {
			t.Errorf("frames written when Reply returned: %v, want 1", left)
		}
	})
}

// What comes while an answer is being written follows it in order, and does not keep
// the reader: it goes on to the next frame while somebody else writes the rest.
func TestReplyKeepsTheOrderAndDoesNotHoldUpReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan string, 10)
		r := newRig(t, Config{}, Handlers{Frame: func(c *Conn, frame []byte) {
			c.Reply(ClassEvent, fmt.Appendf(nil, `{"re":%s}`, frame))
			read <- string(frame)
		}})
		c, cl := r.identified(ada)
		cl.send(`1`) // the pipe has no room: the reply waits for the client to read
		synctest.Wait()
		for n := range 3 {
			c.Send(ClassMessage, fmt.Appendf(nil, `{"n":%d}`, n))
		}
		if len(read) != 0 {
			t.Fatal("Reply returned before the frame was read")
		}
		if !cl.readOne() { // the reply; the rest is for a writer of its own
			t.Fatal(cl.err)
		}
		synctest.Wait()
		if len(read) != 1 {
			t.Error("the reader writes what others queued")
		}
		cl.listen().send(`2`)
		want := []string{`{"re":1}`, `{"n":0}`, `{"n":1}`, `{"n":2}`, `{"re":2}`}
		if got := cl.want(len(want)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A peer that asks and does not read holds up its own reader only, and not for ever.
func TestReplyToAPeerThatDoesNotReadEndsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{Frame: func(c *Conn, _ []byte) { c.Reply(ClassEvent, []byte(`{"n":1}`)) }})
		c, cl := r.identified(ada)
		cl.send(`{"t":"x"}`)
		if got := r.closedConn(c); got.after < 5*time.Second || got.after > 7*time.Second {
			t.Errorf("closed after %v, want WriteTimeout and at most a quarter more", got.after)
		}
		if r.ended(switchboard.CloseSlow) != 1 {
			t.Error("not counted under 4008")
		}
	})
}
