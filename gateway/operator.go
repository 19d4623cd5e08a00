package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

func (s *Server) onAccept(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	chat, err := s.router.Accept(ctx, ss.claims.Org, ss.claims.Operator, in.Chat, in.Token)
	if err != nil {
		return nil, err
	}
	return answered{chatOf(chat, ss.claims.Person()), in.Re}, nil
}

// onClaim takes a waiting chat of the operator's choice. over goes over the limit.
func (s *Server) onClaim(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	chat, err := s.router.Claim(ctx, ss.claims.Org, ss.claims.Operator, in.Chat, in.Over)
	if err != nil {
		return nil, err
	}
	return answered{chatFrame(chat, true), in.Re}, nil
}

func (s *Server) onDecline(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	return nil, s.router.Decline(ctx, ss.claims.Org, ss.claims.Operator, in.Chat, in.Token)
}

// onCall is the console's way to try calls out; telephony uses /v1/calls.
func (s *Server) onCall(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	if in.T == switchboard.KindCallEnd {
		return nil, s.reg.EndCall(ctx, ss.claims.Org, ss.claims.Operator, in.Call)
	}
	return nil, s.reg.StartCall(ctx, ss.claims.Org, ss.claims.Operator, in.Call, presence.CallLease)
}

// onSignOut ends a person's presence by their own wish, with no grace. A busy
// operator must say drain, or handover: nobody signs out in the middle of a call
// by mistake (L-2).
func (s *Server) onSignOut(ctx context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	if in.When == "" {
		in.When = presence.SignOutNow
	}
	if !slices.Contains([]string{presence.SignOutNow, presence.SignOutDrain, presence.SignOutHandOver, presence.SignOutStay}, in.When) {
		return nil, switchboard.Invalid("when", "now, drain, handover or stay")
	}
	if ss.claims.Audience == AudienceVisitor {
		ss.goodbye = true
		c.End(1000, "signed out")
		return silent{}, nil
	}
	if id, ok := c.Identity(); ok && in.When == presence.SignOutStay && !id.Expires.IsZero() && !id.Expires.After(time.Now()) {
		return nil, switchboard.Errorc(switchboard.CodeExpired, "your sign-in has expired; renew it to stay")
	}
	leaving, err := s.reg.SignOut(ctx, ss.claims.Org, ss.claims.Operator, in.When)
	if err == nil {
		err = s.reg.Safe(ctx, ss.claims.Org)
	}
	if err != nil {
		return nil, err
	}
	if !leaving && in.When == presence.SignOutStay {
		return nil, nil
	}
	if !leaving {
		return silent{}, nil // the logout nudge closes every socket, this one too
	}
	snap, err := s.router.Snapshot(ctx, ss.claims.Org, ss.claims.Person())
	if err != nil {
		return nil, err
	}
	if snap.Leaving != nil {
		return []byte(snap.Leaving), nil
	}
	return silent{}, nil // the work ended in between: the logout is on its way
}

// onAuth renews a socket's token in place.
func (s *Server) onAuth(ctx context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	claims, err := s.identify(ctx, ss, in.Token)
	if err != nil {
		return nil, err
	}
	if claims.Org != ss.claims.Org || claims.Person() != ss.claims.Person() {
		return nil, &switchboard.Error{Code: switchboard.CodeForbidden, Field: "token", Message: "this token is another person's"}
	}
	if err := s.reg.Stays(ctx, claims.Org, claims.Person(), claims.Minted, false); err != nil {
		s.doubt(edge{claims.Org, claims.Person()}, err)
		return nil, err
	}
	ss.claims = claims
	s.hub.Renew(c, identity(claims))
	return nil, nil
}

// readyFrame answers hello.
type readyFrame struct {
	T         switchboard.Kind     `json:"t"`
	Person    switchboard.PersonID `json:"person"`
	Role      switchboard.Role     `json:"role"`
	Org       switchboard.OrgID    `json:"org"`
	Name      string               `json:"name,omitempty"`
	Node      string               `json:"node"`
	Now       int64                `json:"now"`
	PingMS    int64                `json:"ping_ms"`
	TimeoutMS int64                `json:"timeout_ms"`
	TypingMS  int64                `json:"typing_ms"`
	Expires   int64                `json:"expires,omitempty"`
	Preview   bool                 `json:"preview,omitempty"` // what a visitor types is shown before it is sent
	Statuses  []string             `json:"statuses,omitempty"`
	IdleMS    int64                `json:"idle_ms,omitempty"`
	Self      json.RawMessage      `json:"self,omitempty"`
	Chats     []switchboard.Chat   `json:"chats"`
	Offers    []switchboard.Offer  `json:"offers,omitempty"`
}

func (s *Server) ready(ctx context.Context, ss *session, snap routing.Snapshot, idle int64) ([]byte, error) {
	cl := ss.claims
	f := s.welcome(cl, snap.Now)
	f.Self, f.IdleMS = snap.Self, idle
	org, err := s.accounts.Organization(ctx, cl.Org)
	if err != nil {
		return nil, err
	}
	f.Preview = org.Preview
	operator := cl.Audience == AudienceOperator
	if operator {
		if f.Statuses, err = s.statuses(ctx, cl.Org); err != nil {
			return nil, err
		}
	}
	for _, chat := range snap.Chats {
		offer, asked := offerTo(chat, cl.Person())
		if asked {
			f.Offers = append(f.Offers, offer)
		}
		if !asked || chat.Role(cl.Operator) != "" { // who takes part may be asked for more
			f.Chats = append(f.Chats, chatOf(chat, cl.Person()))
		}
	}
	return mustJSON(f), nil
}

// welcome is what ready says to everybody. now is Redis ms.
func (s *Server) welcome(cl Claims, now int64) readyFrame {
	f := readyFrame{T: switchboard.KindReady, Person: cl.Person(), Role: cl.Role, Org: cl.Org, Name: cl.Name, Node: s.reg.Incarnation(), Now: now,
		PingMS: orDefault(s.cfg.Hub.PingEvery, hub.DefaultPing).Milliseconds(), TimeoutMS: orDefault(s.cfg.Hub.Timeout, hub.DefaultTimeout).Milliseconds(),
		TypingMS: routing.TypingFor.Milliseconds(), Chats: []switchboard.Chat{}}
	switch cl.Audience {
	case AudienceVisitor:
		f.Role = switchboard.RoleVisitor
	case audienceGuest:
		f.Role = switchboard.RoleGuest
	}
	if !cl.Expires.IsZero() {
		f.Expires = cl.Expires.UnixMilli()
	}
	return f
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// answered adds the request id to a frame that answers a request.
type answered struct {
	switchboard.Chat
	Re string `json:"re,omitempty"`
}

func visitorOf(c routing.Chat) *switchboard.Visitor {
	return &switchboard.Visitor{ID: c.Visitor, Name: c.Info.Name, Email: c.Info.Email, Page: c.Info.Page}
}

// chatFrame is where a chat stands, as its parties may see it: a visitor learns
// nothing of offers.
func chatFrame(c routing.Chat, operator bool) switchboard.Chat {
	f := switchboard.Chat{T: switchboard.KindChat, Chat: c.ID, State: c.State, Team: c.Team, Since: c.Since, Place: c.Place, Wait: c.Wait, Opens: c.Opens, Reason: c.Reason}
	if c.Operator != 0 && c.State != switchboard.ChatOffered {
		f.Operator = &switchboard.Colleague{ID: c.Operator, Name: c.Name, Away: c.Lost == 1}
	}
	if c.State == switchboard.ChatWaiting || c.State == switchboard.ChatParked {
		f.Still = c.Still
	}
	f.With, f.Invites = c.People(!operator)
	if operator {
		f.Visitor, f.Here, f.Silent = visitorOf(c), c.Here, c.Dozes == 1
		return f
	}
	if f.State == switchboard.ChatOffered || f.State == switchboard.ChatParked {
		f.State = switchboard.ChatWaiting
	}
	return f
}

// chatOf is chatFrame for one person, with what they are in the chat.
func chatOf(c routing.Chat, p switchboard.PersonID) switchboard.Chat {
	op, operator := p.Operator()
	f := chatFrame(c, operator)
	if role := c.Role(op); operator && role != switchboard.RoleHold {
		f.Role = role
	}
	return f
}

// offerTo returns the offer of a chat in a person's snapshot, or the invite to it.
func offerTo(c routing.Chat, p switchboard.PersonID) (switchboard.Offer, bool) {
	if v, ok := c.Invited(p); ok {
		by, _ := v.By.Operator() // an operator's, as scripts/people.lua writes it
		return switchboard.Offer{T: switchboard.KindOffer, Chat: c.ID, Token: v.Token, TTL: c.Left, Team: v.Team, Waited: c.Waited, Visitor: visitorOf(c),
			Role: v.Role(), From: &switchboard.Colleague{ID: by, Name: v.ByName}, Text: v.Text}, true
	}
	return offerFrame(c), c.State == switchboard.ChatOffered && !p.Visitor()
}

func offerFrame(c routing.Chat) switchboard.Offer {
	return switchboard.Offer{T: switchboard.KindOffer, Chat: c.ID, Token: c.Token, TTL: c.Left, Team: c.Team, Waited: c.Waited, Visitor: visitorOf(c)}
}
