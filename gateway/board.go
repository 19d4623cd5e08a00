package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// boardEvery is how often changes are sent to watchers: the last state of each
// operator wins in between, so the cost grows with watchers, not with changes.
const boardEvery = 250 * time.Millisecond

// board keeps, for each organization that somebody here watches, a copy of its
// operators' public state: a snapshot costs no Redis, changes go out as deltas to
// those who have the operator on their screen.
type board struct {
	hub    *hub.Hub
	reg    *presence.Registry
	router *routing.Router
	away   func(presence.Partition) time.Duration // for how long the store has been away
	log    *slog.Logger
	work   chan struct{}  // slots of those who load or send snapshots
	wg     sync.WaitGroup // of them; run waits

	mu   sync.Mutex
	orgs map[switchboard.OrgID]*roster
}

// boardWork is how many snapshots are sent and rosters loaded at a time. A reader
// who is slow holds a slot for showWithin at most.
const (
	boardWork  = 64
	showWithin = 5 * time.Second
)

// maxEarly bounds the changes kept while a roster loads; one more and it is
// loaded anew.
const maxEarly = 10_000

func newBoard(h *hub.Hub, reg *presence.Registry, router *routing.Router, away func(presence.Partition) time.Duration, log *slog.Logger) *board {
	return &board{hub: h, reg: reg, router: router, away: away, log: log, work: make(chan struct{}, boardWork), orgs: map[switchboard.OrgID]*roster{}}
}

// heard takes one change of an organization.
func (b *board) heard(e routing.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.orgs[e.Org]
	if r == nil {
		return
	}
	if !r.loaded {
		if len(r.early) < maxEarly {
			r.early = append(r.early, e)
		}
		return
	}
	r.apply(e)
}

// want sets what a socket watches and has it sent a snapshot with the next round.
// The socket watches already, so no change is lost between the two.
func (b *board) want(org switchboard.OrgID, c *hub.Conn, sc scope) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.orgs[org]
	if r == nil {
		r = newRoster()
		b.orgs[org] = r
	}
	v := r.viewers[c]
	if v == nil {
		v = &viewer{}
		r.viewers[c] = v
	}
	v.scope, v.wants = sc, true
}

// again has a socket sent its snapshot anew: some of what it watches was dropped.
func (b *board) again(org switchboard.OrgID, c *hub.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.orgs[org]; r != nil && r.viewers[c] != nil {
		r.viewers[c].wants = true
	}
}

// forget drops a socket that has ended or watches nothing any more.
func (b *board) forget(c *hub.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id, ok := c.Identity(); ok && b.orgs[id.Org] != nil {
		delete(b.orgs[id.Org].viewers, c)
	}
}

// watches reports whether anybody here watches an organization of a partition.
func (b *board) watches(p presence.Partition) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for org := range b.orgs {
		if b.reg.Partition(org) == p {
			return true
		}
	}
	return false
}

// reload has every organization of a partition loaded anew: changes were lost.
func (b *board) reload(p presence.Partition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for org, r := range b.orgs {
		if b.reg.Partition(org) == p {
			r.loaded, r.early, r.stale = false, nil, r.loading
		}
	}
}

// run loads what is wanted and sends what has changed, every boardEvery.
func (b *board) run(ctx context.Context) {
	tick := time.NewTicker(boardEvery)
	defer tick.Stop()
	defer b.wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.round(ctx)
		}
	}
}

// round begins what has to be done for each organization: reading it, saying what
// has changed, sending snapshots.
func (b *board) round(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for org, r := range b.orgs {
		switch {
		case len(r.viewers) == 0 && !r.loading:
			delete(b.orgs, org)
		case r.loaded:
			r.publish(b.hub, org)
			for c, v := range r.viewers {
				if v.wants && !v.served && b.begin(func() { b.show(ctx, org, c) }) {
					v.served = true
				}
			}
		case !r.loading:
			r.loading = b.begin(func() {
				if err := b.load(ctx, org); err != nil && ctx.Err() == nil {
					b.log.Warn("a board could not be loaded; it is tried again", "org", org, "err", err)
				}
			})
		}
	}
}

// begin runs f if there is a slot for it; the next round asks again.
func (b *board) begin(f func()) bool {
	select {
	case b.work <- struct{}{}:
	default:
		return false
	}
	b.wg.Go(func() { defer func() { <-b.work }(); f() })
	return true
}

// load reads an organization. Everybody who watches it gets a new snapshot.
func (b *board) load(ctx context.Context, org switchboard.OrgID) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	views, at, err := b.reg.Roster(ctx, org)
	waiting := int64(0)
	if err == nil {
		waiting, err = b.router.Waiting(ctx, org)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.orgs[org]
	if r == nil {
		return err
	}
	again := r.stale || len(r.early) >= maxEarly // too much happened meanwhile: read once more
	r.loading, r.stale = false, false
	if err != nil || again {
		r.early = nil
		return err
	}
	r.fill(views, waiting)
	for _, e := range r.early {
		if e.Ctr > at {
			r.apply(e)
		}
	}
	r.early, r.loaded = nil, true
	clear(r.changed) // the snapshots say it
	for _, v := range r.viewers {
		v.wants = true
	}
	return nil
}

// show sends a socket its snapshot, page by page at the pace of its reader. Each
// page says what holds when it is sent, and deltas go out under the same lock, so
// that nothing older follows something newer.
func (b *board) show(ctx context.Context, org switchboard.OrgID, c *hub.Conn) {
	ctx, cancel := context.WithTimeout(ctx, showWithin)
	defer cancel()
	for {
		err := c.Room(ctx)
		b.mu.Lock()
		r := b.orgs[org]
		if r == nil || r.viewers[c] == nil {
			b.mu.Unlock()
			return
		}
		v := r.viewers[c]
		if err != nil || !r.loaded {
			v.wants, v.served = true, false
			b.mu.Unlock()
			return
		}
		if v.wants { // from the beginning, perhaps of something else
			v.wants, v.next = false, 0
		}
		frame, more := r.page(v, b.away(b.reg.Partition(org)))
		if frame != nil {
			c.Send(hub.ClassPresence, frame)
		}
		if !more {
			v.served = false
			r.rest(c, v.scope)
		}
		b.mu.Unlock()
		if !more {
			return
		}
	}
}
