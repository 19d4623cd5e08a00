package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// orderAnswer is a logout order on our own API.
type orderAnswer struct {
	ID        switchboard.OrderID `json:"id"`
	State     string              `json:"state"` // created, processing or completed
	Total     int64               `json:"total"`
	Out       int64               `json:"out"`
	Leaving   int64               `json:"leaving"` // wait for their last chat or call to end
	Offline   int64               `json:"offline"` // named, and were not here
	Operators []orderRow          `json:"operators"`
}

type orderRow struct {
	ID       switchboard.OperatorID `json:"id"`
	Name     string                 `json:"name"`
	Previous string                 `json:"previous"`
	Current  string                 `json:"current"`
	Outcome  string                 `json:"outcome"` // out, leaving or offline
}

// postLogouts orders that people be signed out: by id, by team, by network.
func (s *Server) postLogouts(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	var in struct {
		Agents   []switchboard.OperatorID `json:"agents"`
		Teams    []switchboard.TeamID     `json:"teams"`
		Networks []string                 `json:"networks"`
		Reason   string                   `json:"reason"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if len(in.Agents)+len(in.Teams)+len(in.Networks) == 0 {
		return switchboard.Invalid("agents", "name agents, teams or networks")
	}
	id, err := s.accounts.NextOrder(r.Context())
	if err != nil {
		return err
	}
	org, err := s.accounts.Organization(r.Context(), claims.Org)
	if err != nil {
		return err
	}
	spec := presence.OrderSpec{ID: id, Operators: in.Agents, Teams: in.Teams, Networks: in.Networks, Reason: in.Reason, By: string(claims.Person())}
	if _, err := s.signOut(r.Context(), claims.Org, spec, org.JobThreshold); err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/logouts/"+strconv.FormatInt(int64(id), 10))
	return s.writeOrder(w, r, claims.Org, id, http.StatusAccepted)
}

func (s *Server) getLogout(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id <= 0 {
		return switchboard.Invalid("id", "an order's id")
	}
	return s.writeOrder(w, r, claims.Org, switchboard.OrderID(id), http.StatusOK)
}

func (s *Server) writeOrder(w http.ResponseWriter, r *http.Request, org switchboard.OrgID, id switchboard.OrderID, status int) error {
	o, err := s.reg.Order(r.Context(), org, id)
	if err != nil {
		return err
	}
	outcomes, err := s.reg.Outcomes(r.Context(), org, id)
	if err != nil {
		return err
	}
	a := orderAnswer{ID: id, State: o.State(), Total: o.Total(), Out: o.Out, Leaving: o.Leaving, Offline: o.Offline, Operators: []orderRow{}}
	for _, row := range outcomes {
		a.Operators = append(a.Operators, orderRow{row.Operator, row.Name, row.Previous, row.Current, row.Outcome})
	}
	s.writeJSON(w, status, a)
	return nil
}

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
		LeaseMS  int64                  `json:"lease_ms"`
	}{LeaseMS: presence.CallLease.Milliseconds()}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.LeaseMS < 1000 || in.LeaseMS > 3_600_000 {
		return switchboard.Invalid("lease_ms", "1000 to 3600000")
	}
	lease := time.Duration(in.LeaseMS) * time.Millisecond
	if err := s.reg.StartCall(r.Context(), org, in.Operator, in.Call, lease); err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, map[string]any{"call": in.Call, "operator": in.Operator, "lease_ms": lease.Milliseconds()})
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
