package gateway

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
)

// orderBoard shows supervisors how logout orders stand: a snapshot of the newest
// for who begins to watch, then those that have moved on, at most one frame a
// boardEvery, read from the store once for all watchers of an organization here.
type orderBoard struct {
	hub *hub.Hub
	reg *presence.Registry
	log *slog.Logger

	mu      sync.Mutex
	moved   map[switchboard.OrgID]map[switchboard.OrderID]struct{}
	newcome map[*hub.Conn]switchboard.OrgID
}

const (
	shownOrders = 20  // of a snapshot
	movedOrders = 200 // of one organization in one round; more are found by a snapshot
)

func newOrderBoard(h *hub.Hub, reg *presence.Registry, log *slog.Logger) *orderBoard {
	return &orderBoard{hub: h, reg: reg, log: log, moved: map[switchboard.OrgID]map[switchboard.OrderID]struct{}{}, newcome: map[*hub.Conn]switchboard.OrgID{}}
}

// heard notes that an order has moved on, if somebody here watches.
func (b *orderBoard) heard(org switchboard.OrgID, id switchboard.OrderID) {
	if !b.hub.Watched(org, topicLogouts) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.moved[org] == nil {
		b.moved[org] = map[switchboard.OrderID]struct{}{}
	}
	if len(b.moved[org]) < movedOrders {
		b.moved[org][id] = struct{}{}
	}
}

// want gives a socket that watches its snapshot with the next round.
func (b *orderBoard) want(org switchboard.OrgID, c *hub.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newcome[c] = org
}

func (b *orderBoard) forget(c *hub.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.newcome, c)
}

func (b *orderBoard) run(ctx context.Context) {
	tick := time.NewTicker(boardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.round(ctx)
		}
	}
}

func (b *orderBoard) round(ctx context.Context) {
	b.mu.Lock()
	moved, newcome := b.moved, b.newcome
	b.moved, b.newcome = map[switchboard.OrgID]map[switchboard.OrderID]struct{}{}, map[*hub.Conn]switchboard.OrgID{}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for org, set := range moved {
		ids := make([]switchboard.OrderID, 0, len(set))
		for id := range set {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		orders, err := b.reg.OrdersOf(ctx, org, ids)
		if err != nil {
			b.log.Warn("orders could not be read; it is tried again", "org", org, "err", err)
			for _, id := range ids {
				b.heard(org, id)
			}
			continue
		}
		if orders = slices.DeleteFunc(orders, func(o presence.Order) bool { return o.Dry }); len(orders) > 0 {
			b.hub.Publish(org, topicLogouts, hub.ClassPresence, framedOrders(false, orders))
		}
	}
	for c, org := range newcome {
		orders, err := b.reg.Orders(ctx, org, 0, shownOrders)
		if err != nil {
			b.log.Warn("orders could not be read; it is tried again", "org", org, "err", err)
			b.want(org, c)
			continue
		}
		c.Send(hub.ClassPresence, framedOrders(true, orders))
	}
}
