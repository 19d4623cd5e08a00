package gateway

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/routing"
)

// onTransfer moves a chat to a person or a team. The answer says what became of it;
// what it is now comes as chat, chat.gone or offer to everybody concerned.
func (s *Server) onTransfer(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	switch {
	case in.Chat <= 0:
		return nil, switchboard.Invalid("chat", "a positive integer")
	case in.Operator < 0:
		return nil, switchboard.Invalid("operator", "an operator's id")
	case in.ToTeam != nil && *in.ToTeam < 0:
		return nil, switchboard.Invalid("to_team", "0 or a team's id")
	case in.Operator != 0 && in.Queue:
		return nil, switchboard.Invalid("queue", "either an operator or a queue")
	}
	out, err := s.router.Transfer(ctx, ss.claims.Org, routing.Transfer{Chat: in.Chat, By: ss.claims.Operator, Operator: in.Operator,
		Team: in.ToTeam, Over: in.Over, Queue: in.Queue, Text: in.Text})
	if err != nil {
		return nil, err
	}
	return okFrame{T: switchboard.KindOK, Re: in.Re, Outcome: out.Outcome, Place: out.Place}, nil
}

// onInvite asks a colleague to consult in a chat, or to join it.
func (s *Server) onInvite(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	switch {
	case in.Chat <= 0:
		return nil, switchboard.Invalid("chat", "a positive integer")
	case in.Operator <= 0:
		return nil, switchboard.Invalid("operator", "an operator's id")
	}
	_, err := s.router.Invite(ctx, ss.claims.Org, ss.claims.Operator, in.Chat, in.Operator, in.Role, in.Text)
	return nil, err
}

// onJoin brings a supervisor into a chat: unseen, seen, or as its operator.
func (s *Server) onJoin(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	if in.Chat <= 0 {
		return nil, switchboard.Invalid("chat", "a positive integer")
	}
	chat, err := s.router.Join(ctx, ss.claims.Org, ss.claims.Operator, in.Chat, in.Role)
	if err != nil {
		return nil, err
	}
	return answered{chatOf(chat, ss.claims.Person()), in.Re}, nil
}

// onPart ends one's own part in a chat, or another's.
func (s *Server) onPart(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	switch {
	case in.Chat <= 0:
		return nil, switchboard.Invalid("chat", "a positive integer")
	case in.Operator < 0:
		return nil, switchboard.Invalid("operator", "an operator's id, or none for yourself")
	case in.Operator == 0:
		in.Operator = ss.claims.Operator
	}
	return nil, s.router.EndPart(ctx, ss.claims.Org, ss.claims.Operator, in.Chat, in.Operator)
}

// parted tells an operator who resumes a chat that goes on without them: the nudge
// that said so may be lost. The chat may come back meanwhile, and its nudge arrive before
// what is said here, so it is read again until it stands as it was said.
func (s *Server) parted(ctx context.Context, c *hub.Conn, cl Claims, id switchboard.ChatID) error {
	for {
		chat, err := s.router.Find(ctx, cl.Org, id)
		if err != nil {
			return err
		}
		gone := chat.Role(cl.Operator) == ""
		if gone {
			c.Send(hub.ClassEvent, mustJSON(goneFrame{switchboard.KindChatGone, id, chat.State, "moved"}))
		} else {
			c.Send(hub.ClassEvent, mustJSON(chatOf(chat, cl.Person())))
		}
		if chat, err = s.router.Find(ctx, cl.Org, id); err != nil {
			return err
		}
		if gone == (chat.Role(cl.Operator) == "") {
			return nil
		}
	}
}

// goneFrame says that a chat goes on without an operator (parts.lua, gone).
type goneFrame struct {
	T      switchboard.Kind   `json:"t"`
	Chat   switchboard.ChatID `json:"chat"`
	State  string             `json:"state"`
	Reason string             `json:"reason"`
}

// onNote stores what an operator says to the chat's other operators.
func (s *Server) onNote(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	if !utf8.ValidString(in.Text) {
		return nil, switchboard.Invalid("text", "not valid UTF-8")
	}
	n, err := s.router.Note(ctx, ss.claims.Org, ss.claims.Operator, ss.claims.Name, in.Chat, in.Cmid, in.Text)
	if err != nil {
		return nil, err
	}
	return okFrame{T: switchboard.KindOK, Re: in.Re, Seq: n.Seq, At: n.At}, nil
}

// getNotes reads a chat's notes: GET /v1/chats/{id}/notes?before=<seq>&n=<1..200>, for
// operators who hold or held it or took part, and for supervisors. A visitor's token
// is refused whatever the chat.
func (s *Server) getNotes(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.operatorOf(r)
	if err != nil {
		return err
	}
	chat, before, n, err := s.chatPage(r, claims, "a note's seq")
	if err != nil {
		return err
	}
	list, err := s.router.Notes(r.Context(), claims.Org, chat.ID, before, n)
	if err == nil {
		s.writeJSON(w, http.StatusOK, list)
	}
	return err
}

// getChats lists what an operator holds or takes part in, for supervisors, who pick
// from it what to look into: GET /v1/operators/{id}/chats. Nobody sees who monitors.
func (s *Server) getChats(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	op, err := operatorParam(r)
	if err != nil {
		return err
	}
	if _, err := s.reg.Operator(r.Context(), claims.Org, op); err != nil {
		return err
	}
	snap, err := s.router.Snapshot(r.Context(), claims.Org, switchboard.OperatorPerson(op))
	if err != nil {
		return err
	}
	out := []switchboard.Chat{}
	for _, chat := range snap.Chats {
		role := chat.Role(op)
		if role == "" || role == switchboard.RoleMonitor && op != claims.Operator {
			continue
		}
		out = append(out, chatOf(chat, switchboard.OperatorPerson(op)))
	}
	s.writeJSON(w, http.StatusOK, out)
	return nil
}
