package loadtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// restart is what happened around the restart of a node.
type restart struct {
	asked    time.Time
	answered time.Time // the node serves again
	back     time.Time // everybody who was on it is ready again, somewhere
	people   int
	around   time.Duration // Bounds.Around
	done     bool
	err      error
}

// covers reports whether something that went on from began for took has to do
// with the restart.
func (r restart) covers(began time.Time, took time.Duration) bool {
	return !r.asked.IsZero() && began.Before(r.asked.Add(r.around)) && began.Add(took).After(r.asked)
}

// restartNode waits for its time, restarts the node and waits for its people.
// It runs on its own goroutine.
func (r *run) restartNode(ctx context.Context) {
	s := r.scenario
	if !sleep(ctx, s.RestartAt) {
		return
	}
	// Connects tells a client that came back from one that has not left yet.
	type guest struct {
		client   *Client
		connects int
	}
	var guests []guest
	for _, c := range r.clients {
		if node, ready := c.Place(); ready && node == s.RestartNode {
			guests = append(guests, guest{c, c.Counts().Connects})
		}
	}
	r.say("node %d restarts, %d people are on it", s.RestartNode, len(guests))
	r.note(func(w *restart) { w.asked, w.around, w.people = time.Now(), s.Bounds.Around, len(guests) })
	var crew sync.WaitGroup
	crew.Go(func() {
		r.ledger.Fault(fmt.Sprintf("node %d restarts", s.RestartNode))
		err := r.targets.Restart(ctx, s.RestartNode)
		r.ledger.Fault("nothing more")
		r.note(func(w *restart) { w.answered, w.err = time.Now(), err })
	})
	for len(guests) > 0 && sleep(ctx, 20*time.Millisecond) {
		guests = slices.DeleteFunc(guests, func(g guest) bool {
			_, ready := g.client.Place()
			return ready && g.client.Counts().Connects > g.connects
		})
	}
	if len(guests) == 0 {
		r.note(func(w *restart) { w.back = time.Now() })
	}
	crew.Wait()
	r.note(func(w *restart) { w.done = true })
}

// fault waits for its time and lets the targets go wrong. It runs on its own
// goroutine.
func (r *run) fault(ctx context.Context) {
	if !sleep(ctx, r.scenario.FaultAt) {
		return
	}
	r.say("things go wrong")
	r.note(func(w *restart) { w.asked, w.around = time.Now(), r.scenario.Bounds.Around })
	r.ledger.Fault("things go wrong")
	err := r.targets.Fault(context.WithValue(ctx, ledgerKey{}, r.ledger))
	r.ledger.Fault("nothing more")
	r.note(func(w *restart) { w.answered, w.back, w.err, w.done = time.Now(), time.Now(), err, true })
}

func (r *run) note(f func(*restart)) {
	r.mu.Lock()
	f(&r.restart)
	r.mu.Unlock()
}

func (r *run) restarted() restart {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.restart
}
