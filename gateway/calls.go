package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// postCall is telephony's: a call of an operator begins or goes on. It is work
// until it is ended or its lease is over. HTTP Basic with the organization's slug
// and an API secret.
func (s *Server) postCall(w http.ResponseWriter, r *http.Request) error {
	org, err := s.tenantOf(r)
	if err != nil {
		return err
	}
	in := struct {
		Operator switchboard.OperatorID `json:"operator"`
		Call     string                 `json:"call"`
		Role     string                 `json:"role"` // talk, hold, conference, consult or monitor
		LeaseMS  int64                  `json:"lease_ms"`
	}{Role: "talk", LeaseMS: presence.CallLease.Milliseconds()}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.LeaseMS < 1000 || in.LeaseMS > 3_600_000 {
		return switchboard.Invalid("lease_ms", "1000 to 3600000")
	}
	role, known := presence.Legs[in.Role]
	if !known {
		return switchboard.Invalid("role", "talk, hold, conference, consult or monitor")
	}
	lease := time.Duration(in.LeaseMS) * time.Millisecond
	if err := s.reg.StartLeg(r.Context(), org, in.Operator, in.Call, role, lease); err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, map[string]any{"call": in.Call, "operator": in.Operator, "role": in.Role, "lease_ms": lease.Milliseconds()})
	return nil
}

// deleteCall ends a call: DELETE /v1/calls/{operator}/{call}.
func (s *Server) deleteCall(w http.ResponseWriter, r *http.Request) error {
	org, err := s.tenantOf(r)
	if err != nil {
		return err
	}
	op, err := strconv.ParseInt(chi.URLParam(r, "operator"), 10, 64)
	if err != nil || op <= 0 {
		return switchboard.Invalid("operator", "an operator's id")
	}
	if err := s.reg.EndCall(r.Context(), org, switchboard.OperatorID(op), chi.URLParam(r, "call")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tenantOf returns the organization whose API secret a request carries.
func (s *Server) tenantOf(r *http.Request) (switchboard.OrgID, error) {
	slug, secret, ok := r.BasicAuth()
	if !ok {
		return 0, switchboard.Errorc(switchboard.CodeUnauthorized, "HTTP Basic with the organization's slug and an API secret is needed")
	}
	org, _, err := s.accounts.VerifyAPI(r.Context(), slug, secret)
	return org, err
}
