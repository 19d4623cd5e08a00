package gateway

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/routing"
)

// postChat opens a chat for a visitor, by the customer's own server: it says what a
// visitor may not say of themselves, the priority. POST /v1/chats with HTTP Basic as
// for calls; the visitor is known by the token of their session, in the body. 201
// with the chat, or 200 with the one that is open already (nothing of it changes).
func (s *Server) postChat(w http.ResponseWriter, r *http.Request) error {
	org, err := s.tenantOf(r)
	if err != nil {
		return err
	}
	var in struct {
		Token    string             `json:"token"`
		Team     switchboard.TeamID `json:"team"`
		Cmid     string             `json:"cmid"`
		Text     string             `json:"text"`
		Page     string             `json:"page"`
		Language string             `json:"language"`
		Skills   []switchboard.Need `json:"skills"`
		Priority int                `json:"priority"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	visitor, err := s.tokens.Verify(r.Context(), in.Token, time.Now())
	if err != nil || visitor.Audience != AudienceVisitor || visitor.Org != org {
		return switchboard.Invalid("token", "the token of a visitor's session with this organization")
	}
	switch {
	case in.Team < 0:
		return switchboard.Invalid("team", "0 or a team's id")
	case len(in.Page) > 2048:
		return switchboard.Invalid("page", "at most 2048 bytes")
	case in.Text != "" && (in.Cmid == "" || len(in.Cmid) > 64):
		return switchboard.Invalid("cmid", "a first message needs a client message id of at most 64 bytes")
	case len(in.Text) > switchboard.MaxText || !utf8.ValidString(in.Text) || in.Text != "" && strings.TrimSpace(in.Text) == "":
		return switchboard.Invalid("text", "at most 8192 bytes of text")
	}
	chat, opened, err := s.router.Start(r.Context(), org, routing.Opening{Visitor: visitor.Person(), Team: in.Team,
		Info: routing.Info{Name: visitor.Name, Email: visitor.Email, Page: in.Page}, Cmid: in.Cmid, Text: in.Text,
		Language: in.Language, Skills: in.Skills, Priority: in.Priority})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if opened {
		status = http.StatusCreated
	}
	s.writeJSON(w, status, prioritized{chatFrame(chat, true), chat.Priority})
	return nil
}

// prioritized is a chat with what only the desk's side may know of it.
type prioritized struct {
	switchboard.Chat
	Priority int `json:"priority"`
}

// putPriority changes an open chat's priority: PUT /v1/chats/{id}/priority with a
// supervisor's token, or by the customer's server as postChat.
func (s *Server) putPriority(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "a chat's id")
	if err != nil {
		return err
	}
	var org switchboard.OrgID
	by := "api"
	if _, _, basic := r.BasicAuth(); basic {
		org, err = s.tenantOf(r)
	} else {
		var claims Claims
		claims, err = s.supervisorOf(r)
		org, by = claims.Org, string(claims.Person())
	}
	if err != nil {
		return err
	}
	in := struct {
		Priority *int `json:"priority"`
	}{}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.Priority == nil {
		return switchboard.Invalid("priority", "0 to 9")
	}
	chat, err := s.router.Prioritize(r.Context(), org, switchboard.ChatID(id), *in.Priority, by)
	if err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, prioritized{chatFrame(chat, true), chat.Priority})
	return nil
}
