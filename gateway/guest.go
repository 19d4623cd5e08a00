package gateway

import (
	"context"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
)

// A guest is a page that has nobody to speak for yet: a widget that shows its form
// and wants to know whether anybody is there (P-7). It has no token, no presence and
// nothing in the store; it may watch availability and nothing else.

// guestPrefix begins the id of a guest in the hub. No person's begins so.
const guestPrefix = "g"

func isGuest(p switchboard.PersonID) bool { return strings.HasPrefix(string(p), guestPrefix) }

// helloGuest opens a guest's socket: {"t":"hello","v":1,"org":12,"watch":["availability"],"team":7}.
func (s *Server) helloGuest(ctx context.Context, c *hub.Conn, ss *session, in switchboard.In) error {
	org, err := s.accounts.Organization(ctx, in.Org)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		err = switchboard.Invalid("org", "no such organization")
	}
	if err != nil {
		return err
	}
	if !originAllowed(ss.origin, ss.host, org.Sites) {
		return switchboard.Errorc(switchboard.CodeForbidden, "pages of this origin may not connect")
	}
	claims := Claims{Audience: audienceGuest, Org: in.Org, Visitor: newVisitorID()}
	watched, err := scopeOf(in, claims)
	if err != nil {
		return err
	}
	if err := s.limits.enter(in.Org); err != nil {
		return err
	}
	if _, err := s.hub.Identify(c, identity(claims)); err != nil {
		return err
	}
	ss.claims, ss.open = claims, true
	now, err := s.reg.Now(ctx)
	if err != nil {
		return err
	}
	f := s.welcome(claims, now)
	f.Person = ""
	c.Send(hub.ClassEvent, mustJSON(f))
	s.watch(c, ss, watched)
	s.metrics.hellos.WithLabelValues("ok").Inc()
	return nil
}
