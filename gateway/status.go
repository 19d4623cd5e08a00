package gateway

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
)

// chosen are the intents that every organization has; custom ones follow.
var chosen = []string{switchboard.StatusAvailable, switchboard.StatusUnavailable, switchboard.StatusBreak, switchboard.StatusMeal}

func (s *Server) statuses(ctx context.Context, org switchboard.OrgID) ([]string, error) {
	o, err := s.accounts.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(chosen), o.Statuses...), nil
}

// statusWrite is a status choice as frames and requests say it.
type statusWrite struct {
	Status  string `json:"status"`
	Version int64  `json:"version"` // that of the operator's state last seen; 0: do not compare
	When    string `json:"when"`    // now (default), after_work, cancel or return
	ForMS   int64  `json:"for_ms"`  // temporary: how long; 0: until the next choice
	Reason  string `json:"reason"`
}

// change checks a write of who for operator op and returns what presence is asked.
func (s *Server) change(ctx context.Context, who Claims, op switchboard.OperatorID, in statusWrite) (presence.StatusChange, error) {
	ch := presence.StatusChange{Status: in.Status, Version: in.Version, Source: presence.SourceOperator, When: in.When,
		For: time.Duration(in.ForMS) * time.Millisecond, By: string(who.Person()), Reason: in.Reason, Minted: who.Minted}
	if op != who.Operator {
		if !who.Role.Supervises() {
			return ch, switchboard.Errorc(switchboard.CodeForbidden, "only a supervisor sets the status of others")
		}
		ch.Source, ch.Minted = presence.SourceSupervisor, 0
	}
	if in.ForMS < 0 || in.ForMS > (24*time.Hour).Milliseconds() { // more would not fit a Duration
		return ch, switchboard.Invalid("for_ms", "1000 to 86400000")
	}
	if !fits(in.Reason, 100) {
		return ch, switchboard.Invalid("reason", "at most 100 characters")
	}
	if in.When == presence.WhenCancel || in.When == presence.WhenReturn {
		return ch, nil
	}
	known, err := s.statuses(ctx, who.Org)
	if err == nil && !slices.Contains(known, in.Status) {
		err = switchboard.Invalid("status", "not a status that can be chosen here")
	}
	return ch, err
}

func (s *Server) onStatus(ctx context.Context, _ *hub.Conn, ss *session, in switchboard.In) (any, error) {
	op := in.Operator
	if op == 0 {
		op = ss.claims.Operator
	}
	ch, err := s.change(ctx, ss.claims, op, statusWrite{in.Status, in.Version, in.When, in.ForMS, in.Reason})
	if err != nil {
		return nil, err
	}
	if _, err = s.reg.SetStatus(ctx, ss.claims.Org, op, ch); err != nil {
		if op != ss.claims.Operator {
			return nil, err // what another is to be is not decided on old news
		}
		return s.latchStatus(ss, in, ch, err)
	}
	if op == ss.claims.Operator {
		s.degraded.unlatch(edge{ss.claims.Org, ss.claims.Person()})
	}
	return nil, nil
}

func operatorParam(r *http.Request) (switchboard.OperatorID, error) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id <= 0 {
		return 0, switchboard.Invalid("id", "an operator's id")
	}
	return switchboard.OperatorID(id), nil
}

// putStatus sets an operator's status: one's own, or for supervisors another's.
func (s *Server) putStatus(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.operatorOf(r)
	if err != nil {
		return err
	}
	op, err := operatorParam(r)
	if err != nil {
		return err
	}
	var in statusWrite
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	ch, err := s.change(r.Context(), claims, op, in)
	if err != nil {
		return err
	}
	if _, err := s.reg.SetStatus(r.Context(), claims.Org, op, ch); err != nil {
		return err
	}
	view, err := s.reg.View(r.Context(), claims.Org, op)
	if err == nil {
		s.writeJSON(w, http.StatusOK, view)
	}
	return err
}

// operatorRow is an operator of a list; the time is what a client without our
// clock needs.
type operatorRow struct {
	switchboard.OperatorView
	InStatus int64 `json:"time_in_status_ms"`
}

// getOperators lists an organization's operators for supervisors, with
// ?online=true those who are on (P-12).
func (s *Server) getOperators(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	online := r.URL.Query().Get("online")
	if online != "" && online != "true" && online != "false" {
		return switchboard.Invalid("online", "true or false")
	}
	views, _, err := s.reg.Roster(r.Context(), claims.Org)
	if err != nil {
		return err
	}
	now, err := s.reg.Now(r.Context())
	if err != nil {
		return err
	}
	rows := []operatorRow{}
	for _, v := range views {
		if online == "" || (online == "true") == (v.Status != switchboard.StatusOffline) {
			rows = append(rows, operatorRow{v, max(now-v.Since, 0)})
		}
	}
	s.writeJSON(w, http.StatusOK, struct {
		Now       int64         `json:"now"`
		Operators []operatorRow `json:"operators"`
	}{now, rows})
	return nil
}

// getHistory tells what changed of an operator, and for how long they were what:
// a supervisor's to ask, or the operator's own. from and to are Unix ms; without
// them it is the last 24 hours.
func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.operatorOf(r)
	if err != nil {
		return err
	}
	op, err := operatorParam(r)
	if err != nil {
		return err
	}
	if op != claims.Operator && !claims.Role.Supervises() {
		return switchboard.Errorc(switchboard.CodeForbidden, "this needs a supervisor")
	}
	var at [2]int64
	for i, name := range []string{"from", "to"} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		if at[i], err = strconv.ParseInt(text, 10, 64); err != nil || at[i] <= 0 {
			return switchboard.Invalid(name, "a time in Unix ms")
		}
	}
	if at[1] == 0 {
		if at[1], err = s.reg.Now(r.Context()); err != nil {
			return err
		}
	}
	if at[0] == 0 {
		at[0] = at[1] - (24 * time.Hour).Milliseconds()
	}
	h, err := s.reg.History(r.Context(), claims.Org, op, at[0], at[1])
	if err == nil {
		s.writeJSON(w, http.StatusOK, struct {
			Operator switchboard.OperatorID `json:"operator"`
			presence.History
		}{op, h})
	}
	return err
}
