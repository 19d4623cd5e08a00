package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// tasks runs what a receive loop or a request must not wait for: repairs after
// a gap, scans for a logout order. At most taskWorkers run at a time and
// taskQueue wait; one more is refused, and every kind of task is found again by
// a deadline or a later look.
type tasks struct{ queue chan func(context.Context) }

const (
	taskWorkers = 4
	taskQueue   = 256
	taskWithin  = 30 * time.Second
)

func newTasks() *tasks { return &tasks{queue: make(chan func(context.Context), taskQueue)} }

// add hands a task over; false when too many wait.
func (t *tasks) add(f func(context.Context)) bool {
	select {
	case t.queue <- f:
		return true
	default:
		return false
	}
}

func (t *tasks) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range taskWorkers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case f := <-t.queue:
					one, cancel := context.WithTimeout(ctx, taskWithin)
					f(one)
					cancel()
				}
			}
		})
	}
	wg.Wait()
}

// leaves are people whose last socket here is gone and whose edge could not be
// written away yet (Redis was out): a set to reconcile, never a log.
type leaves struct {
	mu   sync.Mutex
	open map[edge]time.Duration // grace
	turn chan struct{}          // who writes an edge away now
}

// leavers is how many edges are written away at once: when thousands of sockets
// end together a message must not wait behind all of them.
const leavers = 4

type edge struct {
	org    switchboard.OrgID
	person switchboard.PersonID
}

func newLeaves() *leaves {
	return &leaves{open: map[edge]time.Duration{}, turn: make(chan struct{}, leavers)}
}

func (l *leaves) add(e edge, grace time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[e] = grace
}

func (l *leaves) take() map[edge]time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := l.open
	l.open = map[edge]time.Duration{}
	return open
}

// leave writes away the edge of a person who has no socket here any more, and
// keeps it for later when the store does not answer.
func (s *Server) leave(e edge, grace time.Duration) {
	s.leaves.turn <- struct{}{} // a turn takes callContext's time at most
	defer func() { <-s.leaves.turn }()
	ctx, cancel := callContext()
	defer cancel()
	err := s.reg.Leave(ctx, e.org, e.person, grace, func() bool { return len(s.hub.Conns(e.org, e.person)) > 0 })
	if err != nil {
		s.log.Warn("an edge could not be written away; it is tried again", "person", e.person, "err", err)
		s.leaves.add(e, grace)
	} else if s.idles.knows(e) {
		s.idles.doubt(e) // forgotten, or told again if somebody came meanwhile
	}
}

func (s *Server) retryLeaves(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for e, grace := range s.leaves.take() {
			if ctx.Err() != nil {
				return
			}
			s.leave(e, grace)
		}
		s.retellIdle()
	}
}
