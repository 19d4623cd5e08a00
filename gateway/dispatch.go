package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
)

// audience says who may send a kind.
type audience uint8

const (
	visitors audience = 1 << iota
	operators
	guests
	everyone = visitors | operators
)

// rule is one kind of the protocol: who may send it and what answers it. An
// answer of nil means "ok", an answer of silent none at all.
type rule struct {
	from   audience
	answer func(s *Server, ctx context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error)
}

type silent struct{}

// rules is the whole protocol after hello (docs/protocol.md has the same table).
func rules() map[switchboard.Kind]rule {
	return map[switchboard.Kind]rule{
		switchboard.KindAuth:    {everyone, (*Server).onAuth},
		switchboard.KindSignOut: {everyone, (*Server).onSignOut},
		switchboard.KindMessage: {everyone, (*Server).onMessage},
		switchboard.KindTyping:  {everyone, (*Server).onMark},
		switchboard.KindClose:   {everyone, (*Server).onClose},
		switchboard.KindResume:  {everyone, (*Server).onResume},
		switchboard.KindWatch:   {everyone | guests, (*Server).onWatch},

		switchboard.KindStart: {visitors, (*Server).onStart},
		switchboard.KindHere:  {visitors, (*Server).onHere},

		switchboard.KindViewing:   {operators, (*Server).onMark},
		switchboard.KindStatus:    {operators, (*Server).onStatus},
		switchboard.KindIdle:      {operators, (*Server).onIdle},
		switchboard.KindAccept:    {operators, (*Server).onAccept},
		switchboard.KindDecline:   {operators, (*Server).onDecline},
		switchboard.KindClaim:     {operators, (*Server).onClaim},
		switchboard.KindTransfer:  {operators, (*Server).onTransfer},
		switchboard.KindInvite:    {operators, (*Server).onInvite},
		switchboard.KindJoin:      {operators, (*Server).onJoin},
		switchboard.KindPart:      {operators, (*Server).onPart},
		switchboard.KindNote:      {operators, (*Server).onNote},
		switchboard.KindCallStart: {operators, (*Server).onCall},
		switchboard.KindCallRenew: {operators, (*Server).onCall},
		switchboard.KindCallEnd:   {operators, (*Server).onCall},
	}
}

var protocol = rules()

// dispatch answers one object of an open socket, on its reading goroutine: the
// objects of one socket are handled one after the other, in order.
func (s *Server) dispatch(c *hub.Conn, ss *session, in switchboard.In) {
	r, ok := protocol[in.T]
	from := operators
	switch ss.claims.Audience {
	case AudienceVisitor:
		from = visitors
	case audienceGuest:
		from = guests
	}
	switch {
	case !ok:
		s.fail(c, in, switchboard.Invalid("t", "unknown kind"))
		return
	case r.from&from == 0:
		s.fail(c, in, switchboard.Errorc(switchboard.CodeForbidden, "this kind is not for your role"))
		return
	}
	ctx, cancel := callContext()
	defer cancel()
	answer, err := r.answer(s, ctx, c, ss, in)
	if err != nil {
		c.Reply(hub.ClassEvent, s.refusal(in, err))
		return
	}
	switch a := answer.(type) {
	case nil:
		if in.Re != "" {
			c.Reply(hub.ClassEvent, mustJSON(okFrame{T: switchboard.KindOK, Re: in.Re}))
		}
	case silent:
	case []byte:
		c.Reply(hub.ClassEvent, a)
	default:
		c.Reply(hub.ClassEvent, mustJSON(a))
	}
}

type okFrame struct {
	T  switchboard.Kind `json:"t"`
	Re string           `json:"re"`
	// Latched: the store is away; this is kept and carried out when it is back.
	Latched bool `json:"latched,omitempty"`
	// Of a transfer: what became of it, and the place in the queue.
	Outcome string `json:"outcome,omitempty"`
	Place   int64  `json:"place,omitempty"`
	// Of a note: its number and time.
	Seq int64 `json:"seq,omitempty"`
	At  int64 `json:"at,omitempty"`
}

type errorFrame struct {
	T       switchboard.Kind   `json:"t"`
	Re      string             `json:"re,omitempty"`
	Code    switchboard.Code   `json:"code"`
	Message string             `json:"message"`
	Field   string             `json:"field,omitempty"`
	RetryMS int64              `json:"retry_ms,omitempty"`
	Cmid    string             `json:"cmid,omitempty"`
	Chat    switchboard.ChatID `json:"chat,omitempty"`
}

// fail tells a client that its object was refused.
func (s *Server) fail(c *hub.Conn, in switchboard.In, err error) {
	c.Send(hub.ClassEvent, s.refusal(in, err))
}

// refusal is the answer to an object that was refused. Errors without a code of ours
// are bugs: the client hears so and no more, the log has the rest.
func (s *Server) refusal(in switchboard.In, err error) []byte {
	e := &switchboard.Error{Code: switchboard.CodeInternal, Message: "something went wrong here"}
	if !errors.As(err, &e) || e.Code == switchboard.CodeInternal {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			e = &switchboard.Error{Code: switchboard.CodeUnavailable, Message: "the store does not answer; try again", RetryAfter: callWithin}
		} else {
			s.log.Error("a frame failed", "kind", in.T, "err", err)
		}
	}
	s.metrics.refused.WithLabelValues(string(e.Code)).Inc()
	return mustJSON(errorFrame{T: switchboard.KindError, Re: in.Re, Code: e.Code, Message: e.Message, Field: e.Field,
		RetryMS: (e.RetryAfter + time.Millisecond - 1).Milliseconds(), Cmid: in.Cmid, Chat: in.Chat})
}
