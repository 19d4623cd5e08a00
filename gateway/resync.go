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

// resyncs are the partitions whose generation has risen and that this node has
// yet to assert itself in.
type resyncs struct {
	mu   sync.Mutex
	due  map[presence.Partition]int64 // the generation
	some chan struct{}                // one slot
}

func newResyncs() *resyncs {
	return &resyncs{due: map[presence.Partition]int64{}, some: make(chan struct{}, 1)}
}

func (r *resyncs) add(p presence.Partition, gen int64) {
	r.mu.Lock()
	r.due[p] = max(r.due[p], gen)
	r.mu.Unlock()
	select {
	case r.some <- struct{}{}:
	default:
	}
}

func (r *resyncs) take() map[presence.Partition]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := r.due
	r.due = map[presence.Partition]int64{}
	return due
}

// resync asserts this node's people wherever a partition's server has changed.
// What fails is tried again; the store merges, so doing it twice is harmless.
func (s *Server) resync(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.resyncs.some:
		}
		due := s.resyncs.take()
		each(2, slices.Collect(maps.Keys(due)), func(p presence.Partition) {
			gen := due[p]
			if err := s.assert(ctx, p, gen); err != nil && ctx.Err() == nil {
				s.log.Warn("what this node holds could not be asserted; it is tried again", "partition", p.Tag, "gen", gen, "err", err)
				select {
				case <-ctx.Done():
				case <-time.After(250 * time.Millisecond):
				}
				s.resyncs.add(p, gen)
			}
		})
	}
}

// assert tells the store what this node holds in a partition (the order of the
// steps is presence/rollback.go's), then has its people look at what they hold.
func (s *Server) assert(ctx context.Context, p presence.Partition, gen int64) error {
	began := time.Now()
	ctx, done := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.asserting(ctx, p, gen) })
	defer wg.Wait()
	defer done()
	people, chats, orders := s.mirror.held(p)
	for org, records := range people {
		if err := s.reg.EnsureOrg(ctx, org); err != nil {
			return err
		}
		if err := s.reg.Restore(ctx, org, true, records); err != nil {
			return err
		}
	}
	if err := s.enterAll(ctx, p); err != nil {
		return err
	}
	if err := s.assertChats(ctx, chats); err != nil {
		return err
	}
	for org, records := range people {
		if err := s.reg.Restore(ctx, org, false, records); err != nil {
			return err
		}
	}
	err := s.reg.Strays(ctx, p, func(org switchboard.OrgID, who switchboard.PersonID) bool { return len(s.hub.Conns(org, who)) > 0 })
	if err != nil {
		return err
	}
	for _, o := range orders {
		if err := s.reg.AssertOrder(ctx, o.org, o.spec, o.by); err != nil {
			return err
		}
	}
	if err := s.reg.Asserted(ctx, p, gen); err != nil {
		return err
	}
	s.mirror.settled(p, gen)
	s.missed(p)
	s.log.Info("asserted what this node holds", "partition", p.Tag, "gen", gen, "people", len(people), "took", time.Since(began))
	return nil
}

// asserting has matching wait as long as this node is at work on it.
func (s *Server) asserting(ctx context.Context, p presence.Partition, gen int64) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.reg.Asserting(ctx, p, gen); err != nil && ctx.Err() == nil {
				s.log.Warn("matching may not wait for what this node asserts", "partition", p.Tag, "err", err)
			}
		}
	}
}

func (s *Server) assertChats(ctx context.Context, chats map[switchboard.OrgID][]string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for org, records := range chats {
		each(atOnce, records, func(record string) {
			if ctx.Err() != nil {
				return
			}
			what, err := s.router.Restore(ctx, org, record)
			if err != nil {
				cancel(err)
				return
			}
			s.metrics.restored.WithLabelValues(what).Inc()
		})
	}
	return context.Cause(ctx)
}

// enterAll asserts the edges of everybody here in a partition. Whoever must not
// come in any more is told so.
func (s *Server) enterAll(ctx context.Context, p presence.Partition) error {
	people := s.everyone()
	maps.DeleteFunc(people, func(e edge, _ int64) bool { return s.reg.Partition(e.org) != p })
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	each(atOnce, slices.Collect(maps.Keys(people)), func(e edge) {
		if ctx.Err() != nil {
			return
		}
		if err := s.enterAgain(ctx, e, people[e]); err != nil {
			cancel(err)
		}
	})
	return context.Cause(ctx)
}

// assertAgain is the pause before what could not be asserted is tried again.
const assertAgain = 100 * time.Millisecond

// everyone returns the people here and the mint time of their newest token.
func (s *Server) everyone() map[edge]int64 {
	minted := map[edge]int64{}
	s.hub.Each(func(c *hub.Conn) bool {
		if id, ok := c.Identity(); ok && !isGuest(id.Person) {
			e := edge{id.Org, id.Person}
			minted[e] = max(minted[e], id.Minted)
		}
		return true
	})
	return minted
}

func (s *Server) enterAgain(ctx context.Context, e edge, minted int64) error {
	idle := s.allIdle(e)
	err := s.reg.Stays(ctx, e.org, e.person, minted, idle)
	s.doubt(e, err)
	if idle {
		s.idles.doubt(e)
	}
	switch switchboard.CodeOf(err) {
	case switchboard.CodeLoggedOut, switchboard.CodeUnauthorized:
		s.end(e.org, e.person, minted, logoutFrame{T: switchboard.KindLogout, Reason: "signed out"})
		return nil
	}
	return err
}
