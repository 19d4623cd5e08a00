package hub

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestWheelTakesEachOnceAndNeverEarly turns a wheel in jumps, as a busy machine
// does, and compares it with the plain meaning of due.
func TestWheelTakesEachOnceAndNeverEarly(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var w wheel
		due := make(map[*Conn]int64) // by tick
		for tick := int64(0); tick < 400; {
			for range rng.IntN(20) {
				c := &Conn{}
				in := rng.Int64N(wheelSlots + 50)
				w.add(c, (tick+in)*int64(wheelTick)-rng.Int64N(int64(wheelTick)))
				// The next tick at the soonest, one turn at the latest.
				due[c] = tick + min(max(in, 1), wheelSlots-1)
			}
			for c := range due {
				if rng.IntN(10) == 0 {
					w.remove(c)
					w.putBack(c, 0) // what a look that was under way would do
					delete(due, c)
				}
			}
			tick += 1 + rng.Int64N(20)
			if rng.IntN(10) == 0 {
				tick += 3 * wheelSlots // a stall
			}
			for c := w.take(tick); c != nil; c = w.take(tick) {
				at, there := due[c]
				if !there || at > tick {
					t.Fatalf("seed %d, tick %d: taken although due at %d (%v)", seed, tick, at, there)
				}
				delete(due, c)
			}
			for _, at := range due {
				if at <= tick {
					t.Fatalf("seed %d, tick %d: not taken although due at %d", seed, tick, at)
				}
			}
		}
	}
}

func TestChangeDuringALookIsLookedAtAgainSoon(t *testing.T) {
	var w wheel
	c := &Conn{}
	w.add(c, 0)
	if w.take(1) != c {
		t.Fatal("not taken when due")
	}
	w.bring(c) // while it is being looked at
	w.putBack(c, int64(20*time.Second))
	if w.take(2) != c {
		t.Error("the change waits until the look after next")
	}
}

func TestPingsAfterAStormAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{}, Handlers{})
		var clients []*client
		for i := range 64 { // all at the same moment
			_, cl := r.identified(operator(i + 1))
			clients = append(clients, cl.answering())
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		moments := make(map[time.Time]int)
		for _, cl := range clients {
			moments[cl.times[0]]++
		}
		for at, n := range moments {
			if n > 16 {
				t.Errorf("%d of 64 were pinged at %v", n, at)
			}
		}
	})
}

// A ping of a node with many sockets says over how long their clients should spread
// their return, and the bytes stay the same while people come and go.
func TestPingSaysHowLongToSpreadAReturn(t *testing.T) {
	h := &Hub{cfg: Config{Spread: func(n int) time.Duration { return time.Duration(n) * time.Millisecond }}}
	for _, c := range []struct {
		sockets int64
		want    string
	}{{0, `{"t":"ping"}`}, {700, `{"t":"ping"}`}, {2900, `{"t":"ping","spread_ms":3000}`}, {10, `{"t":"ping"}`}} {
		h.identified.Store(c.sockets)
		if got := string(h.ping()); got != c.want {
			t.Errorf("%d sockets: %s, want %s", c.sockets, got, c.want)
		}
	}
	h.identified.Store(2900)
	first := &h.ping()[0]
	h.identified.Store(3100)
	if &h.ping()[0] != first {
		t.Error("encoded anew for 200 sockets more")
	}
}
