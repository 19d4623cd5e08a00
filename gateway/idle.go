package gateway

import (
	"context"
	"sync"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
)

// idles is what the store was told of the people here whose connections are all
// idle. The store is told of edges only: the last connection that falls idle and
// the first that is used again (P-13).
type idles struct {
	mu   sync.Mutex
	told map[edge]hearsay // absent: told active
}

type hearsay uint8

const (
	toldIdle hearsay = iota + 1
	unsure           // a call failed, or somebody came or went: tell again
)

func newIdles() *idles { return &idles{told: map[edge]hearsay{}} }

func (i *idles) doubt(e edge) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.told[e] = unsure
}

func (i *idles) knows(e edge) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.told[e] != 0
}

// doubted returns whom to tell of again.
func (i *idles) doubted() (out []edge) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for e, h := range i.told {
		if h == unsure {
			out = append(out, e)
		}
	}
	return out
}

// news takes note of how things are and reports whether the store must hear it.
func (i *idles) news(e edge, here, idle bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	was := i.told[e]
	if !idle || !here {
		delete(i.told, e)
	} else {
		i.told[e] = toldIdle
	}
	return here && (was == unsure || idle != (was == toldIdle))
}

// allIdle reports whether a person has connections here and all of them are idle.
func (s *Server) allIdle(e edge) bool {
	conns := s.hub.Conns(e.org, e.person)
	for _, c := range conns {
		if ss, ok := c.State().(*session); !ok || !ss.idle.Load() {
			return false
		}
	}
	return len(conns) > 0
}

// tellIdle tells the store of a change; what fails is told again (reconcile).
func (s *Server) tellIdle(e edge) error {
	op, ok := e.person.Operator()
	if !ok {
		return nil
	}
	ctx, cancel := callContext()
	defer cancel()
	err := s.reg.SetIdle(ctx, e.org, op, func() (idle, news bool) {
		idle = s.allIdle(e)
		return idle, s.idles.news(e, len(s.hub.Conns(e.org, e.person)) > 0, idle)
	})
	if err != nil {
		s.idles.doubt(e)
	}
	return err
}

// onIdle: the page has not been used for the organization's idle time, or is again.
func (s *Server) onIdle(_ context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	ss.idle.Store(in.On)
	if err := s.tellIdle(edge{ss.claims.Org, ss.claims.Person()}); err != nil {
		s.log.Warn("idleness could not be told; it is tried again", "person", ss.claims.Person(), "err", err)
	}
	return nil, nil
}

// retellIdle tells again what failed.
func (s *Server) retellIdle() {
	for _, e := range s.idles.doubted() {
		if s.tellIdle(e) != nil {
			return // the store is away; the next second asks again
		}
	}
}
