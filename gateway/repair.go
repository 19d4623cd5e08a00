package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
)

// repairs are the partitions of which nudges may be lost, and the people who could not be
// read again yet. Both are sets, so nothing is ever dropped: what was lost nothing else
// would bring.
type repairs struct {
	mu    sync.Mutex
	parts map[presence.Partition]bool
	some  chan struct{} // one slot

	left map[edge]int // how often a person was tried; of the loop alone
}

func newRepairs() *repairs {
	return &repairs{parts: map[presence.Partition]bool{}, some: make(chan struct{}, 1), left: map[edge]int{}}
}

func (r *repairs) take() map[presence.Partition]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	parts := r.parts
	r.parts = map[presence.Partition]bool{}
	return parts
}

// missed: nudges of a partition may be lost. Whoever lives there is asked to say
// where it stands, and is told what it holds; nothing is assumed. It never waits.
func (s *Server) missed(p presence.Partition) {
	s.repairs.mu.Lock()
	s.repairs.parts[p] = true
	s.repairs.mu.Unlock()
	select {
	case s.repairs.some <- struct{}{}:
	default: // one look is due already
	}
}

const (
	// repairTries bounds how often a person is read again whose state cannot be read: one
	// who is passed over would not learn of a chat until they reconnect. A store that does
	// not answer is no such try.
	repairTries = 5
	repairAgain = time.Second
)

// repair reads again who may have missed something, until ctx ends.
func (s *Server) repair(ctx context.Context) {
	for {
		var again <-chan time.Time // nil: nobody is left
		if len(s.repairs.left) > 0 {
			again = time.After(repairAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.repairs.some:
		case <-again:
		}
		parts := s.repairs.take()
		s.hub.Persons(func(org switchboard.OrgID, person switchboard.PersonID) bool {
			if parts[s.reg.Partition(org)] && !isGuest(person) {
				s.repairs.left[edge{org, person}] = 0
			}
			return true
		})
		for p := range parts {
			s.board.reload(p)
		}
		s.repairSome(ctx)
	}
}

// repairSome repairs who is left and still here; left remain those whose state could not be read.
func (s *Server) repairSome(ctx context.Context) {
	people := make([]edge, 0, len(s.repairs.left))
	for e := range s.repairs.left {
		people = append(people, e)
	}
	var mu sync.Mutex // of what follows, and of left
	var failed int
	var why error
	each(atOnce, people, func(e edge) {
		if ctx.Err() != nil || s.degraded.age(s.reg.Partition(e.org)) > 0 {
			return
		}
		one, cancel := context.WithTimeout(ctx, callWithin)
		defer cancel()
		var err error
		if len(s.hub.Conns(e.org, e.person)) > 0 {
			err = s.repairOne(one, e)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil && switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			s.repairs.left[e]++
		}
		if err == nil || s.repairs.left[e] >= repairTries {
			delete(s.repairs.left, e)
		}
		if err != nil {
			failed, why = failed+1, err
		}
	})
	if failed > 0 {
		s.log.Warn("people's state could not be read after a gap", "people", failed, "left", len(s.repairs.left), "err", why)
	}
}

// repairOne brings one person's sockets up to date by reading again.
func (s *Server) repairOne(ctx context.Context, e edge) error {
	op, operator := e.person.Operator()
	if operator {
		rec, err := s.reg.Operator(ctx, e.org, op)
		if err != nil {
			return err
		}
		s.end(e.org, e.person, rec.Floor, logoutFrame{T: switchboard.KindLogout, Reason: "signed out"})
	}
	// What is nudged while this is read is newer than what is read: it stays behind it, or
	// an offer that is over would come back to the screen.
	conns := s.hub.Conns(e.org, e.person)
	for _, c := range conns {
		s.hub.Cork(c)
		defer s.hub.Uncork(c)
	}
	snap, err := s.router.Snapshot(ctx, e.org, e.person)
	if err != nil {
		return err
	}
	for _, c := range conns {
		if snap.Self != nil {
			c.Send(hub.ClassEvent, append([]byte(`{"t":"self",`), snap.Self[1:]...))
		}
		if snap.Leaving != nil {
			c.Send(hub.ClassEvent, snap.Leaving)
		}
		for _, chat := range snap.Chats {
			offer, asked := offerTo(chat, e.person)
			if asked {
				c.Send(hub.ClassEvent, mustJSON(offer))
			}
			if !asked || chat.Role(op) != "" { // who takes part may be asked for more
				c.Send(hub.ClassEvent, mustJSON(chatOf(chat, e.person)))
			}
		}
		c.Send(hub.ClassEvent, []byte(`{"t":"gap"}`))
	}
	return nil
}

// atOnce is how many of many people or chats are at work at once: their calls go in one
// pipeline, and messages pass between.
const atOnce = 16

// each does something for each item, for n of them at a time, and waits for all.
func each[T any](n int, items []T, do func(T)) {
	next := make(chan T)
	var wg sync.WaitGroup
	for range min(n, len(items)) {
		wg.Go(func() {
			for item := range next {
				do(item)
			}
		})
	}
	for _, item := range items {
		next <- item
	}
	close(next)
	wg.Wait()
}
