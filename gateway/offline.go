package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/routing"
)

// postOffline takes a message of a visitor whom nobody answers now: POST
// /v1/offline with the visitor's token. It is answered only when it is stored,
// on a replica too where there is one.
func (s *Server) postOffline(w http.ResponseWriter, r *http.Request) error {
	if err := s.limitSessions(r); err != nil {
		return err
	}
	raw, err := bearer(r)
	if err != nil {
		return err
	}
	claims, err := s.tokens.Verify(r.Context(), raw, time.Now())
	if err != nil {
		return err
	}
	if claims.Audience != AudienceVisitor {
		return switchboard.Errorc(switchboard.CodeForbidden, "this needs a visitor's token")
	}
	var in struct {
		Cmid  string             `json:"cmid"`
		Team  switchboard.TeamID `json:"team"`
		Name  string             `json:"name"`
		Email string             `json:"email"`
		Page  string             `json:"page"`
		Text  string             `json:"text"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	m := routing.OfflineMessage{Visitor: claims.Person(), Team: in.Team, Cmid: in.Cmid, Text: in.Text,
		Info: routing.Info{Name: in.Name, Email: in.Email, Page: in.Page}}
	if m.Name == "" {
		m.Name = claims.Name
	}
	if m.Email == "" {
		m.Email = claims.Email
	}
	if m, err = s.router.Leave(r.Context(), claims.Org, m); err != nil {
		return err
	}
	if err := s.reg.Safe(r.Context(), claims.Org); err != nil {
		return err
	}
	s.writeJSON(w, http.StatusCreated, struct {
		ID int64 `json:"id"`
		At int64 `json:"at"` // Unix ms
	}{m.ID, m.At})
	return nil
}

// getOffline reads offline messages, newest first: GET
// /v1/offline?before=<id>&n=<1..200>, for supervisors.
func (s *Server) getOffline(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	before, n, err := page(r, "a message's id")
	if err != nil {
		return err
	}
	list, err := s.router.OfflineMessages(r.Context(), claims.Org, before, n)
	if err == nil {
		s.writeJSON(w, http.StatusOK, list)
	}
	return err
}

// page reads the query of a list that is read backwards: before and n.
func page(r *http.Request, what string) (before int64, n int, err error) {
	n = 50
	if q := r.URL.Query().Get("before"); q != "" {
		if before, err = strconv.ParseInt(q, 10, 64); err != nil || before < 1 {
			return 0, 0, switchboard.Invalid("before", what)
		}
	}
	if q := r.URL.Query().Get("n"); q != "" {
		if n, err = strconv.Atoi(q); err != nil || n < 1 || n > 200 {
			return 0, 0, switchboard.Invalid("n", "1 to 200")
		}
	}
	return before, n, nil
}

// postOfflineDone notes that a supervisor has dealt with a message.
func (s *Server) postOfflineDone(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id <= 0 {
		return switchboard.Invalid("id", "a message's id")
	}
	if err := s.router.OfflineDone(r.Context(), claims.Org, id, claims.Person()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
