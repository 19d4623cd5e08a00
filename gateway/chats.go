package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/routing"
)

func (s *Server) onStart(ctx context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	switch {
	case in.Text != "" && in.Cmid == "":
		return nil, switchboard.Invalid("cmid", "a first message needs a client message id")
	case len(in.Page) > 2048:
		return nil, switchboard.Invalid("page", "at most 2048 bytes")
	case in.Team < 0:
		return nil, switchboard.Invalid("team", "0 or a team's id")
	case strings.TrimSpace(in.Text) == "" && in.Text != "":
		return nil, switchboard.Invalid("text", "the message is empty")
	}
	chat, opened, err := s.router.Start(ctx, ss.claims.Org, routing.Opening{Visitor: ss.claims.Person(), Team: in.Team,
		Info: routing.Info{Name: ss.claims.Name, Email: ss.claims.Email, Page: in.Page}, Cmid: in.Cmid, Text: in.Text,
		Language: in.Language, Skills: in.Skills})
	if err != nil {
		return nil, err
	}
	c.Send(hub.ClassEvent, mustJSON(answered{chatFrame(chat, false), in.Re}))
	if in.Text == "" {
		return silent{}, nil
	}
	// The message is stored with a new chat, which all sockets of the author were told,
	// and was not with one that was open already. Appending it: a repeat gets the first
	// answer.
	in.Chat, in.Re = chat.ID, ""
	return s.storeMessage(ctx, c, ss, in, opened)
}

// onHere: a visitor who was asked says that they are still there.
func (s *Server) onHere(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	return nil, s.router.Here(ctx, ss.claims.Org, ss.claims.Person(), in.Chat)
}

type ackFrame struct {
	T    switchboard.Kind     `json:"t"`
	Re   string               `json:"re,omitempty"`
	Chat switchboard.ChatID   `json:"chat"`
	Cmid string               `json:"cmid"`
	Pos  switchboard.Position `json:"pos"`
	Seq  int64                `json:"seq"`
	At   int64                `json:"at"`
}

// onMessage stores a message and only then says so.
func (s *Server) onMessage(ctx context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	return s.storeMessage(ctx, c, ss, in, false)
}

// storeMessage is onMessage; told: the author's sockets have the message already.
func (s *Server) storeMessage(ctx context.Context, c *hub.Conn, ss *session, in switchboard.In, told bool) (any, error) {
	if !utf8.ValidString(in.Text) || strings.TrimSpace(in.Text) == "" {
		return nil, switchboard.Invalid("text", "the message is empty")
	}
	org, person := ss.claims.Org, ss.claims.Person()
	d := routing.Draft{From: person, Name: ss.claims.Name, Chat: in.Chat, Cmid: in.Cmid, Text: in.Text, Alone: s.hub.Alone(c)}
	if ss.claims.Audience == AudienceOperator {
		d.Seen = in.Seen
	}
	m, err := s.router.Append(ctx, org, d)
	if err != nil {
		return nil, err
	}
	if (d.Alone || m.Repeat) && !told && !s.hub.Alone(c) {
		// Another socket of the author came while the message was on its way: it may
		// have read the log before and was not nudged. Of a repeat, whose first answer
		// was lost, nobody knows whether the author was alone then.
		s.hub.Deliver(org, []switchboard.PersonID{person}, hub.ClassEvent, mustJSON(gapFrame{switchboard.KindGap, []switchboard.ChatID{in.Chat}}))
	}
	return ackFrame{T: switchboard.KindAck, Re: in.Re, Chat: in.Chat, Cmid: in.Cmid, Pos: m.Pos, Seq: m.Seq, At: m.At}, nil
}

type gapFrame struct {
	T     switchboard.Kind     `json:"t"`
	Chats []switchboard.ChatID `json:"chats,omitempty"`
}

// onMark sets or ends typing and viewing. It has no answer: a mark that is
// refused is simply not shown.
func (s *Server) onMark(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	if in.Chat <= 0 {
		return nil, switchboard.Invalid("chat", "a positive integer")
	}
	m := routing.Mark{Kind: in.T, Chat: in.Chat, On: in.On, Private: in.Private && ss.claims.Audience == AudienceOperator,
		Away: in.Away && in.T == switchboard.KindViewing, Text: s.previewOf(ctx, ss, in)}
	if err := s.router.Mark(ctx, ss.claims.Org, ss.claims.Person(), m); err != nil {
		return nil, err
	}
	key := markKey{in.Chat, in.T, m.Private}
	if !in.On {
		delete(ss.marks, key)
		return silent{}, nil
	}
	if ss.marks == nil {
		ss.marks = map[markKey]struct{}{}
	}
	if len(ss.marks) < 64 { // what is beyond ends by its own expiry
		ss.marks[key] = struct{}{}
	}
	return silent{}, nil
}

// unmark ends what a lost socket showed of its person, at once (T-1).
func (s *Server) unmark(ss *session) {
	if len(ss.marks) == 0 {
		return
	}
	ctx, cancel := callContext()
	defer cancel()
	for key := range ss.marks {
		m := routing.Mark{Kind: key.kind, Chat: key.chat, Private: key.private}
		if err := s.router.Mark(ctx, ss.claims.Org, ss.claims.Person(), m); err != nil && switchboard.CodeOf(err) != switchboard.CodeNotFound {
			s.log.Debug("a mark ends by its expiry", "chat", key.chat, "err", err)
			return
		}
	}
}

func (s *Server) onClose(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	operator := ss.claims.Audience == AudienceOperator
	reason := "closed by the visitor"
	if operator {
		reason = "closed by the operator"
	}
	chat, err := s.router.Close(ctx, ss.claims.Org, ss.claims.Person(), ss.claims.Role.Supervises(), in.Chat, reason)
	if err != nil {
		if switchboard.CodeOf(err) == switchboard.CodeForbidden { // as for a chat that is not there: ids must not be probed
			err = &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
		}
		return nil, err
	}
	if err := s.reg.Safe(ctx, ss.claims.Org); err != nil {
		return nil, err
	}
	if !operator && chat.Visitor != ss.claims.Person() {
		return nil, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	}
	return answered{chatFrame(chat, operator), in.Re}, nil
}

// maxResume is how many chats one hello or resume may name.
const maxResume = 100

type resumedFrame struct {
	T        switchboard.Kind      `json:"t"`
	Re       string                `json:"re,omitempty"`
	Chat     switchboard.ChatID    `json:"chat"`
	OK       bool                  `json:"ok"`
	Messages []switchboard.Message `json:"messages"`
	Pos      switchboard.Position  `json:"pos,omitempty"`
	State    string                `json:"state"`
}

func (s *Server) onResume(ctx context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	if len(in.Chats) > maxResume {
		return nil, switchboard.Invalid("chats", "at most 100")
	}
	s.resume(c, ss, in.Chats)
	return silent{}, nil
}

// resume sends what follows each position. Live messages of the chat are held
// back until its missed ones are in the queue, so a reader sees one line of
// messages, in order and each once. False: the socket ended meanwhile.
func (s *Server) resume(c *hub.Conn, ss *session, chats []switchboard.ChatPosition) bool {
	for _, p := range chats {
		ctx, cancel := callContext()
		err := s.resumeOne(ctx, c, ss, p)
		cancel()
		if err != nil {
			s.fail(c, switchboard.In{Chat: p.Chat}, err)
			if switchboard.CodeOf(err) == switchboard.CodeUnavailable {
				c.End(closeCode(err), "unavailable") // a half resume would hide the gap
				return false
			}
		}
	}
	return true
}

func (s *Server) resumeOne(ctx context.Context, c *hub.Conn, ss *session, p switchboard.ChatPosition) error {
	if err := c.Room(ctx); err != nil {
		return switchboard.Wrap(switchboard.CodeUnavailable, "this connection takes its messages too slowly; come back for the rest", err)
	}
	s.hub.Hold(c, p.Chat)
	after := int64(0)
	defer func() { s.hub.Release(c, p.Chat, after) }()
	chat, err := s.router.Find(ctx, ss.claims.Org, p.Chat)
	if err != nil {
		return err
	}
	if !chat.Party(ss.claims.Person()) && !ss.claims.Role.Supervises() {
		return &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	}
	missed, err := s.router.Since(ctx, ss.claims.Org, p.Chat, p.Pos)
	if err != nil {
		return err
	}
	state := chatFrame(chat, ss.claims.Audience == AudienceOperator).State
	c.Send(hub.ClassMessage, mustJSON(resumedFrame{T: switchboard.KindResumed, Chat: p.Chat, OK: missed.OK, Messages: missed.Messages, Pos: missed.Pos, State: state}))
	after = missed.Last
	if ss.claims.Audience == AudienceOperator && chat.Party(ss.claims.Person()) && chat.Role(ss.claims.Operator) == "" && chat.State != switchboard.ChatClosed {
		return s.parted(ctx, c, ss.claims, p.Chat)
	}
	return nil
}

// getMessages reads a chat's earlier messages: GET
// /v1/chats/{id}/messages?before=<seq>&n=<1..200>, for its parties and for
// supervisors of its organization.
func (s *Server) getMessages(w http.ResponseWriter, r *http.Request) error {
	raw, err := bearer(r)
	if err != nil {
		return err
	}
	claims, err := s.tokens.Verify(r.Context(), raw, time.Now())
	if err != nil {
		return err
	}
	switch claims.Audience {
	case AudienceOperator:
		if _, err := s.reg.CheckToken(r.Context(), claims.Org, claims.Operator, claims.Minted); err != nil {
			return err
		}
	case AudienceVisitor:
	default:
		return switchboard.Errorc(switchboard.CodeForbidden, "this needs a person's token")
	}
	chat, before, n, err := s.chatPage(r, claims, "a message's seq")
	if err != nil {
		return err
	}
	list, err := s.router.History(r.Context(), claims.Org, chat.ID, before, n)
	if err == nil {
		s.writeJSON(w, http.StatusOK, list)
	}
	return err
}

// chatPage is which part of a chat a request is for, {id} with before and n, once it is
// certain that the person may read the chat. To others it is not there.
func (s *Server) chatPage(r *http.Request, claims Claims, what string) (chat routing.Chat, before int64, n int, err error) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id <= 0 {
		return chat, 0, 0, switchboard.Invalid("id", "a chat's id")
	}
	if before, n, err = page(r, what); err != nil {
		return chat, 0, 0, err
	}
	if chat, err = s.router.Find(r.Context(), claims.Org, switchboard.ChatID(id)); err != nil {
		return chat, 0, 0, err
	}
	if !chat.Party(claims.Person()) && !claims.Role.Supervises() {
		return chat, 0, 0, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	}
	return chat, before, n, nil
}
