package gateway

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
)

// tasks runs what a receive loop or a request must not wait for: scans for a logout
// order. At most taskWorkers run at a time and taskQueue wait; one more is refused, and
// the order's deadline finds it again.
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

// leaves are people whose edge may not be what it should be: their last socket here is
// gone and it could not be written away (Redis was out), or nobody knows whether, or
// when, a write of it was carried out. A set to reconcile with who is here, never a log.
type leaves struct {
	mu    sync.Mutex
	open  map[edge]time.Duration // grace
	turn  chan struct{}          // who writes an edge away now
	stale map[*hub.Conn]bool     // sockets whose token is over and whose operator could not be marked
}

// leavers is how many edges are written away at once: when thousands of sockets
// end together a message must not wait behind all of them.
const leavers = 4

type edge struct {
	org    switchboard.OrgID
	person switchboard.PersonID
}

func newLeaves() *leaves {
	return &leaves{open: map[edge]time.Duration{}, turn: make(chan struct{}, leavers), stale: map[*hub.Conn]bool{}}
}

func (l *leaves) add(e edge, grace time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[e] = grace
}

func (l *leaves) expired(c *hub.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale[c] = true
}

func (l *leaves) take() (open map[edge]time.Duration, stale map[*hub.Conn]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	open, stale = l.open, l.stale
	l.open, l.stale = map[edge]time.Duration{}, map[*hub.Conn]bool{}
	return open, stale
}

// doubt notes an edge that a failed call may have written, or may write yet: a call that
// was given up can still stand in a store that hangs, before or behind a later one.
func (s *Server) doubt(e edge, err error) {
	if err != nil && presence.MayBeWritten(err) {
		s.leaves.add(e, -1)
	}
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

// reconcile writes once a second, until ctx ends, what is true of edges in doubt.
func (s *Server) reconcile(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		open, stale := s.leaves.take()
		each(atOnce, slices.Collect(maps.Keys(open)), func(e edge) {
			switch {
			case ctx.Err() != nil:
			case s.degraded.age(s.reg.Partition(e.org)) > 0:
				s.leaves.add(e, open[e]) // not yet
			case len(s.hub.Conns(e.org, e.person)) > 0:
				s.stay(e, open[e])
			default:
				s.leave(e, open[e])
			}
		})
		for c := range stale {
			if id, ok := c.Identity(); ok && slices.Contains(s.hub.Conns(id.Org, id.Person), c) {
				s.expired(c)
			}
		}
		s.retellIdle()
	}
}

// stay writes the edge of a person who is here, and keeps it for later when the store
// does not answer.
func (s *Server) stay(e edge, grace time.Duration) {
	s.leaves.turn <- struct{}{}
	defer func() { <-s.leaves.turn }()
	var minted int64
	for _, c := range s.hub.Conns(e.org, e.person) {
		if id, ok := c.Identity(); ok {
			minted = max(minted, id.Minted)
		}
	}
	ctx, cancel := callContext()
	defer cancel()
	if err := s.enterAgain(ctx, e, minted); err != nil {
		s.log.Warn("an edge could not be written; it is tried again", "person", e.person, "err", err)
		s.leaves.add(e, grace)
	}
}
