package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
)

// orderWithin is how long a logout order is worked on while its asker waits; a
// longer one goes on as a job.
const orderWithin = 2 * time.Second

// signOut writes an order and works on it. It returns when everybody meant is
// out or leaving, or, as a job still at work, when it is larger than threshold
// or not done in orderWithin. The order is written before anybody is looked for
// and a connection is added before its check, so nobody slips between.
func (s *Server) signOut(ctx context.Context, org switchboard.OrgID, spec presence.OrderSpec, threshold int) (presence.Order, error) {
	if err := s.reg.NewOrder(ctx, org, spec); err != nil {
		return presence.Order{}, err
	}
	if !spec.Dry {
		s.mirror.ordered(org, spec, "")
	}
	o, err := s.carryOut(ctx, org, spec, threshold)
	if err != nil {
		return o, err
	}
	return o, s.reg.Safe(ctx, org) // what is answered must outlive the master
}

// carryOut works on an order until it is done, too large or too slow to wait for.
func (s *Server) carryOut(ctx context.Context, org switchboard.OrgID, spec presence.OrderSpec, threshold int) (presence.Order, error) {
	deadline := time.Now().Add(orderWithin)
	for {
		o, err := s.reg.Order(ctx, org, spec.ID)
		if err != nil {
			return o, err
		}
		if o.State() == presence.OrderScheduled {
			return o, nil
		}
		if threshold > 0 && o.Todo > int64(threshold) {
			s.workOn(org, spec.ID)
			return o, nil
		}
		if o.Awaited == 0 || o.Todo > 0 {
			if _, _, err := s.reg.WorkOrder(ctx, org, spec.ID, 100); err != nil {
				return o, err
			}
			if o, err = s.reg.Order(ctx, org, spec.ID); err != nil || done(o) {
				return o, err
			}
		}
		if time.Now().After(deadline) {
			return o, nil // its deadline in the store has any node go on
		}
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-time.After(10 * time.Millisecond): // nodes look through their addresses
		}
	}
}

// done reports whether there is nothing to wait for.
func done(o presence.Order) bool {
	return o.State() != presence.OrderCreated && o.State() != presence.OrderProcessing
}

// workOn goes on with a large order here; when this node is too busy or dies, the
// order's deadline has another go on.
func (s *Server) workOn(org switchboard.OrgID, id switchboard.OrderID) {
	if !s.tasks.add(func(ctx context.Context) {
		for last := int64(-1); ctx.Err() == nil; {
			todo, awaited, err := s.reg.WorkOrder(ctx, org, id, 100)
			if err != nil {
				s.log.Warn("a logout order goes on by its deadline", "order", id, "err", err)
				return
			}
			if todo == 0 {
				return
			}
			if awaited > 0 || todo == last { // it may be held until all nodes have looked
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
			last = todo
		}
	}) {
		s.log.Warn("too much to do; the logout order goes on by its deadline", "order", id)
	}
}

// scan looks through the addresses of this node's sockets for an order by
// network and says so, even when it found nobody: the order waits for each node.
func (s *Server) scan(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) {
	o, err := s.openOrders.get(ctx, org, id)
	if err != nil {
		s.log.Warn("an order's networks could not be read; its deadline asks again", "order", id, "err", err)
		return
	}
	var found []presence.Found
	for _, m := range s.hub.Match(org, o.Look) {
		if op, ok := m.Person.Operator(); ok {
			found = append(found, presence.Found{Operator: op, What: m.What, Why: whereFrom(m.Conn)})
		}
	}
	if err := s.reg.OrderFound(ctx, org, o, found, true); err != nil {
		s.log.Warn("a scan could not be reported; the order's deadline asks again", "order", id, "err", err)
		return
	}
	if len(found) > 0 {
		s.workOn(org, id)
	}
}

// whereFrom says a socket's address and how it is known.
func whereFrom(c *hub.Conn) string {
	source := SourceUnknown
	if ss, ok := c.State().(*session); ok {
		source = ss.source // fixed before the hub knew the socket
	}
	return c.Addr().String() + " (" + source + ")"
}

// meetOrders checks a new connection against the network orders that still look
// for people: it came after this node's scan, or before it; either way it is met.
// A standing order has a person who connects from inside signed out again.
func (s *Server) meetOrders(ctx context.Context, c *hub.Conn, claims Claims, orders []switchboard.OrderID) error {
	if claims.Audience != AudienceOperator {
		return nil
	}
	for _, id := range orders {
		o, err := s.openOrders.get(ctx, claims.Org, id)
		if err != nil {
			return err
		}
		what := o.Look(c.Addr())
		if what == 0 || o.Spec.Standing && what&presence.Excepted != 0 {
			continue
		}
		found := []presence.Found{{Operator: claims.Operator, What: what, Why: whereFrom(c)}}
		if err := s.reg.OrderFound(ctx, claims.Org, o, found, false); err != nil {
			return err
		}
		if _, _, err := s.reg.WorkOrder(ctx, claims.Org, id, 100); err != nil {
			return err
		}
	}
	return nil
}

// openOrders keeps the orders that look for people, parsed: each connect asks for
// them while they do. What an order means never changes.
type openOrders struct {
	reg *presence.Registry
	mu  sync.Mutex
	all map[switchboard.OrderID]presence.OpenOrder
}

// keptOrders bounds openOrders; one more and all are read anew.
const keptOrders = 256

func newOpenOrders(reg *presence.Registry) *openOrders {
	return &openOrders{reg: reg, all: map[switchboard.OrderID]presence.OpenOrder{}}
}

func (k *openOrders) get(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) (presence.OpenOrder, error) {
	k.mu.Lock()
	o, ok := k.all[id] // ids are unique over all organizations
	k.mu.Unlock()
	if ok {
		return o, nil
	}
	o, err := k.reg.OpenOrder(ctx, org, id)
	if err != nil {
		return o, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) >= keptOrders {
		clear(k.all)
	}
	k.all[id] = o
	return o, nil
}
