package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// nudged hands what another node (or this one) stored to the sockets here. It
// runs on the bus's receive loop and never waits.
func (s *Server) nudged(n routing.Nudge) {
	switch n.Class {
	case 'm':
		s.hub.DeliverMessage(n.Org, n.Persons, n.Chat, n.Seq, n.Frame)
		s.marks.wrote(n)
	case 't':
		s.hub.Deliver(n.Org, n.Persons, hub.ClassTyping, n.Frame)
		s.marks.seen(n)
	case 'c':
		s.control(n)
	case 's', 'k':
		s.mirror.nudged(n)
		s.places.nudged(n)
		s.hub.Deliver(n.Org, n.Persons, hub.ClassEvent, n.Frame)
		if n.Class == 'k' {
			s.marks.moved(n)
		}
	default:
		s.hub.Deliver(n.Org, n.Persons, hub.ClassEvent, n.Frame)
	}
}

// control: persons are signed out. Sockets whose token is not newer than the
// floor are closed; one that signed in again since stays.
func (s *Server) control(n routing.Nudge) {
	var f struct {
		T      switchboard.Kind    `json:"t"`
		Order  switchboard.OrderID `json:"order"`
		Reason string              `json:"reason"`
		Floor  int64               `json:"floor"`
		BackMS int64               `json:"back_ms"`
	}
	if err := json.Unmarshal(n.Frame, &f); err != nil || f.T != switchboard.KindLogout {
		s.log.Error("a control nudge could not be read", "err", err)
		return
	}
	for _, person := range n.Persons {
		s.end(n.Org, person, f.Floor, logoutFrame{switchboard.KindLogout, f.Order, f.Reason, f.BackMS})
	}
}

type logoutFrame struct {
	T      switchboard.Kind    `json:"t"`
	Order  switchboard.OrderID `json:"order,omitempty"`
	Reason string              `json:"reason,omitempty"`
	BackMS int64               `json:"back_ms,omitempty"` // for how long a new sign-in is refused
}

// end closes every socket here of a person who was signed out. The reason goes
// in a frame: a close reason has 123 bytes.
func (s *Server) end(org switchboard.OrgID, person switchboard.PersonID, floor int64, why logoutFrame) {
	for _, c := range s.hub.Conns(org, person) {
		id, ok := c.Identity()
		if !ok || id.Minted > floor {
			continue
		}
		c.Send(hub.ClassEvent, mustJSON(why))
		c.End(switchboard.CloseLoggedOut, "logged out")
		s.metrics.logouts.Inc()
	}
}

// heard takes a broadcast: something watchers may want to see, settings that have
// changed, or an order that this node must look through its addresses for.
func (s *Server) heard(e routing.Event) {
	switch e.Topic {
	case topicSettings:
		s.accounts.Forget(e.Org)
	case topicLosses:
		s.hub.Publish(e.Org, topicLosses, hub.ClassEvent, e.Body)
	case "order", "cancelled", topicLogouts:
		s.heardOrder(e)
	default:
		s.board.heard(e)
		s.places.heard(e)
	}
}

// heardOrder: an order has moved on, was cancelled, or asks every node to look
// through its addresses.
func (s *Server) heardOrder(e routing.Event) {
	text, by, _ := strings.Cut(string(e.Body), " ")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.log.Error("an order's broadcast could not be read", "err", err)
		return
	}
	switch e.Topic {
	case topicLogouts:
		s.orderBoard.heard(e.Org, switchboard.OrderID(id))
		return
	case "cancelled":
		s.mirror.cancelled(switchboard.OrderID(id), by)
		return
	}
	if !s.tasks.add(func(ctx context.Context) { s.scan(ctx, e.Org, switchboard.OrderID(id)) }) {
		s.log.Warn("too much to do; the order's deadline asks again", "order", id)
	}
}

// rejoined: this node was taken for dead and has a new number. Its people are
// asserted under it; they are in grace still, so nobody saw them go. While the store
// does not answer it is asked again: to close the sockets would bring all people at
// once to nodes that have no store either.
func (s *Server) rejoined(ctx context.Context, inc string) {
	s.bus.Resubscribe()
	began, people := time.Now(), s.everyone()
	each(atOnce, slices.Collect(maps.Keys(people)), func(e edge) {
		minted := people[e]
		err := s.enterAgain(ctx, e, minted)
		for ctx.Err() == nil && switchboard.CodeOf(err) == switchboard.CodeUnavailable && !errors.Is(err, presence.ErrHold) {
			select {
			case <-ctx.Done():
			case <-time.After(assertAgain):
				err = s.enterAgain(ctx, e, minted)
			}
		}
		if err == nil || errors.Is(err, presence.ErrHold) || ctx.Err() != nil { // held: resync enters them; over: buried once more, or the end
			return
		}
		s.log.Error("a person could not be asserted", "node", inc, "person", e.person, "err", err)
		for _, c := range s.hub.Conns(e.org, e.person) {
			c.End(switchboard.CloseMoving, "moving")
		}
	})
	s.log.Info("asserted who is here", "node", inc, "people", len(people), "took", time.Since(began))
}
