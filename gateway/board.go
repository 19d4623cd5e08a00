package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// Topics that a socket may watch.
const (
	topicOperators = "operators"
	topicQueue     = "queue"
	topicLogouts   = "logouts" // supervisors only; orderboard.go
)

// boardEvery is how often changes are sent to watchers: the last state of each
// operator wins in between, so the cost grows with watchers, not with changes.
const boardEvery = 250 * time.Millisecond

// board keeps, for each organization that somebody here watches, a copy of its
// operators' public state: a snapshot costs no Redis, changes go out as deltas.
type board struct {
	hub    *hub.Hub
	reg    *presence.Registry
	router *routing.Router
	away   func(presence.Partition) time.Duration // for how long the store has been away
	log    *slog.Logger

	mu   sync.Mutex
	orgs map[switchboard.OrgID]*roster
}

// roster is the copy of one organization. Until it is loaded, changes are kept
// and applied after it by their numbers.
type roster struct {
	loaded  bool
	views   map[switchboard.OperatorID]json.RawMessage
	changed map[switchboard.OperatorID]struct{}
	early   []routing.Event
	waiting int64
	queue   bool                   // waiting has changed
	newcome map[*hub.Conn][]string // new watchers and their topics
}

// maxEarly bounds the changes kept while a roster loads; one more and it is
// loaded anew.
const maxEarly = 10_000

func newBoard(h *hub.Hub, reg *presence.Registry, router *routing.Router, away func(presence.Partition) time.Duration, log *slog.Logger) *board {
	return &board{hub: h, reg: reg, router: router, away: away, log: log, orgs: map[switchboard.OrgID]*roster{}}
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

func (r *roster) apply(e routing.Event) {
	switch e.Topic {
	case topicOperators:
		var v struct {
			ID switchboard.OperatorID `json:"id"`
		}
		if json.Unmarshal(e.Body, &v) == nil && v.ID > 0 {
			r.views[v.ID] = e.Body
			r.changed[v.ID] = struct{}{}
		}
	case topicQueue:
		var v struct {
			Waiting int64 `json:"waiting"`
		}
		if json.Unmarshal(e.Body, &v) == nil {
			r.waiting, r.queue = v.Waiting, true
		}
	}
}

// want makes sure that an organization is loaded and that a socket gets its
// snapshot with the next round. The socket watches already, so no change is lost
// between the two.
func (b *board) want(org switchboard.OrgID, c *hub.Conn, topics []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.orgs[org]
	if r == nil {
		r = &roster{views: map[switchboard.OperatorID]json.RawMessage{}, changed: map[switchboard.OperatorID]struct{}{}, newcome: map[*hub.Conn][]string{}}
		b.orgs[org] = r
	}
	r.newcome[c] = append(r.newcome[c], topics...)
}

// forget drops a socket that has ended.
func (b *board) forget(c *hub.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id, ok := c.Identity(); ok && b.orgs[id.Org] != nil {
		delete(b.orgs[id.Org].newcome, c)
	}
}

// reload has every organization of a partition loaded anew: changes were lost.
func (b *board) reload(p presence.Partition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for org, r := range b.orgs {
		if b.reg.Partition(org) == p {
			r.loaded, r.early = false, nil
		}
	}
}

// run loads what is wanted and sends what has changed, every boardEvery.
func (b *board) run(ctx context.Context) {
	tick := time.NewTicker(boardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, org := range b.unloaded() {
			if err := b.load(ctx, org); err != nil && ctx.Err() == nil {
				b.log.Warn("a board could not be loaded; it is tried again", "org", org, "err", err)
			}
		}
		b.flush()
	}
}

func (b *board) unloaded() []switchboard.OrgID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []switchboard.OrgID
	for org, r := range b.orgs {
		if !r.loaded {
			out = append(out, org)
		}
	}
	return out
}

func (b *board) load(ctx context.Context, org switchboard.OrgID) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	views, at, err := b.reg.Roster(ctx, org)
	if err != nil {
		return err
	}
	waiting, err := b.router.Waiting(ctx, org)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.orgs[org]
	if r == nil || len(r.early) >= maxEarly {
		if r != nil {
			r.early = nil // too much happened meanwhile: read once more
		}
		return nil
	}
	r.views = make(map[switchboard.OperatorID]json.RawMessage, len(views))
	for _, v := range views {
		r.views[v.ID] = mustJSON(v)
	}
	r.waiting, r.queue, r.loaded = waiting, true, true
	for _, e := range r.early {
		if e.Ctr > at {
			r.apply(e)
		}
	}
	r.early = nil
	b.hub.Publish(org, topicOperators, hub.ClassPresence, r.frame(true, 0))
	clear(r.changed)
	clear(r.newcome)
	return nil
}

// flush sends changes to watchers and snapshots to new ones. Sending under the
// lock keeps a snapshot and the deltas after it in order; it only queues.
func (b *board) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for org, r := range b.orgs {
		if !b.hub.Watched(org, topicOperators) && !b.hub.Watched(org, topicQueue) {
			delete(b.orgs, org)
			continue
		}
		if !r.loaded {
			continue
		}
		if len(r.changed) > 0 {
			b.hub.Publish(org, topicOperators, hub.ClassPresence, r.frame(false, 0))
			clear(r.changed)
		}
		queue := mustJSON(queueFrame{switchboard.KindQueue, r.waiting})
		if r.queue {
			b.hub.Publish(org, topicQueue, hub.ClassPresence, queue)
			r.queue = false
		}
		if len(r.newcome) > 0 {
			full := r.frame(true, b.away(b.reg.Partition(org)))
			for c, topics := range r.newcome {
				if slices.Contains(topics, topicOperators) {
					c.Send(hub.ClassPresence, full)
				}
				if slices.Contains(topics, topicQueue) {
					c.Send(hub.ClassPresence, queue)
				}
			}
			clear(r.newcome)
		}
	}
}

type queueFrame struct {
	T       switchboard.Kind `json:"t"`
	Waiting int64            `json:"waiting"`
}

// frame builds a presence object of all operators, or of the changed ones. age
// is how old a snapshot from memory is while the store is away.
func (r *roster) frame(full bool, age time.Duration) []byte {
	f := struct {
		T         switchboard.Kind  `json:"t"`
		Full      bool              `json:"full,omitempty"`
		AgeMS     int64             `json:"age_ms,omitempty"`
		Operators []json.RawMessage `json:"operators"`
	}{T: switchboard.KindPresence, Full: full, AgeMS: age.Milliseconds(), Operators: []json.RawMessage{}}
	if full {
		for _, v := range r.views {
			f.Operators = append(f.Operators, v)
		}
	} else {
		for id := range r.changed {
			f.Operators = append(f.Operators, r.views[id])
		}
	}
	return mustJSON(f)
}
