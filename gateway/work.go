package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// postWork reports outside work: an operator has a piece of it, or has it still. POST /v1/work with HTTP Basic as for calls; it is work until
// it is ended or its lease is over.
func (s *Server) postWork(w http.ResponseWriter, r *http.Request) error {
	org, err := s.tenantOf(r)
	if err != nil {
		return err
	}
	in := struct {
		Operator switchboard.OperatorID `json:"operator"`
		ID       string                 `json:"id"`
		Units    int                    `json:"units"`
		LeaseMS  int64                  `json:"lease_ms"`
	}{Units: 1, LeaseMS: presence.CallLease.Milliseconds()}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.LeaseMS < 1000 || in.LeaseMS > 3_600_000 {
		return switchboard.Invalid("lease_ms", "1000 to 3600000")
	}
	if err := s.reg.StartTask(r.Context(), org, in.Operator, presence.Task{ID: in.ID, Units: in.Units}, time.Duration(in.LeaseMS)*time.Millisecond); err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, in)
	return nil
}

// deleteWork ends a piece of work: DELETE /v1/work/{operator}/{id}.
func (s *Server) deleteWork(w http.ResponseWriter, r *http.Request) error {
	org, err := s.tenantOf(r)
	if err != nil {
		return err
	}
	op, err := strconv.ParseInt(chi.URLParam(r, "operator"), 10, 64)
	if err != nil || op <= 0 {
		return switchboard.Invalid("operator", "an operator's id")
	}
	if err := s.reg.EndTask(r.Context(), org, switchboard.OperatorID(op), chi.URLParam(r, "id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
