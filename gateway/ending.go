package gateway

import (
	"slices"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
)

// closed is told once for each socket that has ended.
func (s *Server) closed(c *hub.Conn, last bool) {
	ss, ok := c.State().(*session)
	if !ok || ss.claims.Org == 0 {
		return
	}
	s.unmark(ss)
	s.board.forget(c)
	s.orderBoard.forget(c)
	if ss.claims.Audience == audienceGuest {
		return
	}
	if !last {
		if e := (edge{ss.claims.Org, ss.claims.Person()}); s.allIdle(e) {
			if err := s.tellIdle(e); err != nil {
				s.log.Warn("idleness could not be told; it is tried again", "person", e.person, "err", err)
			}
		}
		return
	}
	grace := time.Duration(-1)
	if ss.goodbye {
		grace = 0
	}
	s.leave(edge{ss.claims.Org, ss.claims.Person()}, grace)
}

// expired: the token's time is over. An operator with work becomes leaving
// instead of being cut off (L-5); everyone else gets a new token and returns.
func (s *Server) expired(c *hub.Conn) {
	id, ok := c.Identity()
	if !ok || id.Expires.After(time.Now()) { // renewed before this was its turn
		return
	}
	elsewhere := slices.ContainsFunc(s.hub.Conns(id.Org, id.Person), func(o *hub.Conn) bool {
		other, ok := o.Identity()
		return ok && other.Expires.After(time.Now())
	})
	if op, ok := id.Person.Operator(); ok && !elsewhere {
		ctx, cancel := callContext()
		defer cancel()
		rec, err := s.reg.Operator(ctx, id.Org, op)
		if err != nil {
			s.log.Warn("an expired token's operator could not be read; it is tried again", "operator", op, "err", err)
			s.leaves.expired(c)
			return
		} else if chats, calls := rec.Busy(); chats+calls+rec.Parts()+rec.Tasks() > 0 {
			if _, err := s.reg.SignOut(ctx, id.Org, op, presence.SignOutDrain); err != nil {
				s.log.Warn("an operator with an expired token could not be marked leaving; it is tried again", "operator", op, "err", err)
				s.leaves.expired(c)
				return
			}
			c.Send(hub.ClassEvent, mustJSON(leavingFrame{T: switchboard.KindLeaving, Reason: "your sign-in has expired", Chats: chats + rec.Parts(), Calls: calls}))
			return
		}
	}
	s.fail(c, switchboard.In{}, switchboard.Errorc(switchboard.CodeExpired, "the token has expired"))
	c.End(switchboard.CloseExpired, "expired")
}

type leavingFrame struct {
	T      switchboard.Kind    `json:"t"`
	Order  switchboard.OrderID `json:"order,omitempty"`
	Reason string              `json:"reason,omitempty"`
	Chats  int                 `json:"chats"`
	Calls  int                 `json:"calls"`
}
