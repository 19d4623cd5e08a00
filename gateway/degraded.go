package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
)

// While the store of a partition does not answer, this node is degraded there:
// sockets stay, people are told, boards are shown from memory with their age,
// sends are refused with a retry, marks are dropped, and of a status only the
// last choice is kept (latched) and carried out when the store is back. Edges
// that end meanwhile are reconciled as a set (leaves).
type degraded struct {
	mu      sync.Mutex
	since   map[presence.Partition]time.Time
	latched map[edge]latchedStatus
	changed chan struct{} // one slot
	told    map[presence.Partition]bool
}

type latchedStatus struct {
	change presence.StatusChange
	re     string
}

// maxLatched bounds the statuses kept; one more is refused like everything else.
const maxLatched = 20_000

func newDegraded() *degraded {
	return &degraded{since: map[presence.Partition]time.Time{}, latched: map[edge]latchedStatus{}, changed: make(chan struct{}, 1), told: map[presence.Partition]bool{}}
}

// set is called by the registry; it must not block.
func (d *degraded) set(parts []presence.Partition, away bool) {
	d.mu.Lock()
	for _, p := range parts {
		if !away {
			delete(d.since, p)
		} else if d.since[p].IsZero() {
			d.since[p] = time.Now()
		}
	}
	d.mu.Unlock()
	d.poke()
}

func (d *degraded) poke() {
	select {
	case d.changed <- struct{}{}:
	default: // one look is due already
	}
}

// age returns for how long a partition has been away, 0 when it is not.
func (d *degraded) age(p presence.Partition) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.since[p]; ok {
		return max(time.Since(at), time.Millisecond)
	}
	return 0
}

// latch keeps a person's last choice; false when too many are kept.
func (d *degraded) latch(e edge, l latchedStatus) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.latched[e]; !known && len(d.latched) >= maxLatched {
		return false
	}
	d.latched[e] = l
	return true
}

// latchAgain keeps a choice that could not be carried out, unless there is a later one.
func (d *degraded) latchAgain(e edge, l latchedStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, later := d.latched[e]; !later {
		d.latched[e] = l
	}
}

// unlatch forgets a choice: the person has made another since, which was carried out.
func (d *degraded) unlatch(e edge) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.latched, e)
}

// news returns the partitions whose state people have yet to hear, and the
// statuses that may be carried out now.
func (d *degraded) news(parts []presence.Partition, of func(switchboard.OrgID) presence.Partition) (turned map[presence.Partition]bool, due map[edge]latchedStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	turned, due = map[presence.Partition]bool{}, map[edge]latchedStatus{}
	for _, p := range parts {
		if _, away := d.since[p]; away != d.told[p] {
			turned[p], d.told[p] = away, away
		}
	}
	for e, l := range d.latched {
		if _, away := d.since[of(e.org)]; !away {
			due[e] = l
			delete(d.latched, e)
		}
	}
	return turned, due
}

type degradedFrame struct {
	T  switchboard.Kind `json:"t"`
	On bool             `json:"on"`
}

// watchStore tells people when their store goes and comes, and carries out what
// was latched.
func (s *Server) watchStore(ctx context.Context) {
	var again <-chan time.Time // nil: nothing is to be carried out once more
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.degraded.changed:
		case <-again:
		}
		again = nil
		turned, due := s.degraded.news(s.reg.Partitions(), s.reg.Partition)
		if len(turned) > 0 {
			s.hub.Each(func(c *hub.Conn) bool {
				if id, ok := c.Identity(); ok {
					if away, news := turned[s.reg.Partition(id.Org)]; news {
						c.Send(hub.ClassEvent, mustJSON(degradedFrame{switchboard.KindDegraded, away}))
					}
				}
				return true
			})
		}
		for e, l := range due {
			if !s.carryLatched(e, l) {
				again = time.After(latchAgain)
			}
		}
	}
}

// latchAgain is when a choice is tried once more that the store refused although it is
// back: this node may have been taken for dead meanwhile and have no new number yet.
const latchAgain = time.Second

// carryLatched carries out a status that was chosen while the store was away, if
// its person is still here. A version that is stale by now is refused and told. False: it
// is kept, to be tried once more.
func (s *Server) carryLatched(e edge, l latchedStatus) bool {
	conns := s.hub.Conns(e.org, e.person)
	op, ok := e.person.Operator()
	if !ok || len(conns) == 0 {
		return true
	}
	ctx, cancel := callContext()
	defer cancel()
	_, err := s.reg.SetStatus(ctx, e.org, op, l.change)
	switch {
	case err == nil:
	case switchboard.CodeOf(err) == switchboard.CodeUnavailable:
		s.degraded.latchAgain(e, l)
		return false
	default:
		for _, c := range conns {
			s.fail(c, switchboard.In{T: switchboard.KindStatus, Re: l.re}, err)
		}
	}
	return true
}

// latchStatus answers a status write that the store could not take: it is kept,
// unless too many are.
func (s *Server) latchStatus(ss *session, in switchboard.In, change presence.StatusChange, err error) (any, error) {
	away := s.degraded.age(s.reg.Partition(ss.claims.Org)) > 0 // else a hiccup: the client tries again
	if !away || switchboard.CodeOf(err) != switchboard.CodeUnavailable ||
		!s.degraded.latch(edge{ss.claims.Org, ss.claims.Person()}, latchedStatus{change, in.Re}) {
		return nil, err
	}
	s.degraded.poke() // the store may have come back in between
	if in.Re == "" {
		return silent{}, nil
	}
	return okFrame{T: switchboard.KindOK, Re: in.Re, Latched: true}, nil
}
