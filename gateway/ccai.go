package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// ccai is the surface that keeps the contract of CCAI Platform's forced logout
// (contracts.md 1). It translates words and has no state or rules of its own.
// Its decisions where that contract is silent or odd are those of 1.8 there:
//
//   - Selectors are a union; each agent once, by id.
//   - When every matched agent is deferred the answer is 400 with the array, as
//     documented; an organization's setting makes it 200. Clients decide by
//     message and current_status.
//   - Above the organization's threshold, or when nodes take long, the order goes
//     on as a job: 200 with its id, its address in Location and Link.
//   - An error is {"message","field"}; field is left out when there is none.
type ccai struct {
	accounts *accounts.Store
	reg      *presence.Registry
	log      *slog.Logger
	limit    *presence.Rate // 10 requests a second of a tenant by contract, over all nodes
	refused  prometheus.Counter
	// signOut writes an order and works on it; Server.signOut says when it
	// returns one that is not completed.
	from    func(r *http.Request) string // the asker's address, and how it is known
	signOut func(ctx context.Context, org switchboard.OrgID, spec presence.OrderSpec, threshold int) (presence.Order, error)
}

const (
	ccaiLogout = "/apps/api/v1/agent_statuses/force_logout"

	// Sentences of the contract, to the letter.
	ccaiDeferred = "will force logout as soon as the ongoing call/chat is completed"
	ccaiNobody   = "cannot find any agent by input params"

	maxCCAIBody   = 1 << 20
	maxCCAIAgents = 10_000 // and as many teams
)

func (s *ccai) routes(r chi.Router) {
	r.Post(ccaiLogout, s.answer(s.forceLogout))
	r.Get(ccaiLogout+"/jobs/{id}", s.answer(s.job))
	r.Post(ccaiStatuses, s.answer(s.setStatuses))
	r.Get(ccaiUsers, s.answer(s.userStatuses))
	r.Get(ccaiAgentsAt, s.answer(s.agents))
	r.Get(ccaiActivity, s.answer(s.activity))
}

// answer checks who asks and how often, and turns a handler that may fail into
// a plain one.
func (s *ccai) answer(h func(http.ResponseWriter, *http.Request, accounts.Organization) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		r = r.WithContext(ctx)
		w.Header().Set("Cache-Control", "no-store")
		org, err := s.tenant(r)
		if err == nil {
			err = h(w, r, org)
		}
		if err != nil {
			s.writeError(w, r, err)
		}
	}
}

// tenant returns the organization of a request's credentials. The rate counts
// after that, so that a stranger cannot use up a tenant's.
func (s *ccai) tenant(r *http.Request) (accounts.Organization, error) {
	slug, secret, ok := r.BasicAuth()
	if !ok {
		return accounts.Organization{}, switchboard.Errorc(switchboard.CodeUnauthorized, "HTTP Basic with the subdomain and an API credential is needed")
	}
	id, _, err := s.accounts.VerifyAPI(r.Context(), slug, secret)
	if err != nil {
		return accounts.Organization{}, err
	}
	wait, err := s.limit.Take(r.Context(), id)
	if err != nil {
		return accounts.Organization{}, err
	}
	if wait > 0 {
		s.refused.Inc()
		return accounts.Organization{}, &switchboard.Error{Code: switchboard.CodeTooFast, RetryAfter: wait,
			Message: fmt.Sprintf("a tenant may make %g requests per second; slow down", s.limit.PerSecond())}
	}
	return s.accounts.Organization(r.Context(), id)
}

type ccaiError struct {
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // not documented; new keys are allowed
}

func (s *ccai) writeError(w http.ResponseWriter, r *http.Request, err error) {
	body, a := outward(err)
	logError(s.log, r, err, body.Code)
	out := ccaiError{body.Message, body.Field}
	if body.Code == switchboard.CodeInvalid && body.Field != "" {
		// "invalid ip_addrs" is the documented style; field says which item.
		name, _, _ := strings.Cut(body.Field, "[")
		out.Message = "invalid " + name
	}
	if a.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="switchboard", charset="UTF-8"`)
	}
	writeJSON(w, prepareError(w, body, a), out)
}

type ccaiSelector struct {
	Agents   []switchboard.OperatorID `json:"agent_ids"`
	Teams    []switchboard.TeamID     `json:"team_ids"`
	Networks []string                 `json:"ip_addrs"`
}

func (s ccaiSelector) validate() error {
	if len(s.Agents) > maxCCAIAgents {
		return switchboard.Invalid("agent_ids", "too many")
	}
	if len(s.Teams) > maxCCAIAgents {
		return switchboard.Invalid("team_ids", "too many")
	}
	_, err := presence.ParseNetworks(s.Networks)
	var e *switchboard.Error
	if errors.As(err, &e) {
		return switchboard.Invalid(strings.Replace(e.Field, "networks", "ip_addrs", 1), e.Message)
	}
	return err
}

// ccaiAgent is one agent of an answer.
type ccaiAgent struct {
	ID       switchboard.OperatorID `json:"agent_id"`
	Name     string                 `json:"name"`
	Email    string                 `json:"email"`
	Number   string                 `json:"agent_number"`
	Previous string                 `json:"previous_status"`
	Current  string                 `json:"current_status"`
	Message  string                 `json:"message,omitempty"` // only while deferred
}

// ccaiJob is a job of an answer. The documented one to a POST has ip_addrs only,
// without which nobody could ask for the job (quirk 2).
type ccaiJob struct {
	ID       switchboard.OrderID `json:"id"`
	Status   string              `json:"status"`
	Networks []string            `json:"ip_addrs"` // as they were sent
}

func (s *ccai) forceLogout(w http.ResponseWriter, r *http.Request, org accounts.Organization) error {
	var in ccaiSelector
	if err := readJSON(w, r, maxCCAIBody, &in); err != nil {
		return err
	}
	if err := in.validate(); err != nil {
		return err
	}
	if len(in.Agents)+len(in.Teams)+len(in.Networks) == 0 {
		writeJSON(w, http.StatusBadRequest, ccaiError{Message: ccaiNobody})
		return nil
	}
	id, err := s.accounts.NextOrder(r.Context())
	if err != nil {
		return err
	}
	spec := presence.OrderSpec{ID: id, Operators: in.Agents, Teams: in.Teams, Networks: in.Networks, Reason: "signed out by the contact center", By: "api:" + org.Slug, From: s.from(r)}
	order, err := s.signOut(r.Context(), org.ID, spec, org.JobThreshold)
	if err != nil {
		return err
	}
	if order.State() != presence.OrderCompleted {
		path := ccaiLogout + "/jobs/" + strconv.FormatInt(int64(id), 10)
		w.Header().Set("Location", path)
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="job"`, path))
		writeJSON(w, http.StatusOK, ccaiJob{id, order.State(), append([]string{}, in.Networks...)})
		return nil
	}
	outcomes, err := s.reg.Outcomes(r.Context(), org.ID, id)
	if err != nil {
		return err
	}
	if len(outcomes) == 0 {
		writeJSON(w, http.StatusBadRequest, ccaiError{Message: ccaiNobody})
		return nil
	}
	agents, deferred := ccaiAgents(outcomes)
	status := http.StatusOK
	if deferred == len(agents) && !org.Deferred200 {
		status = http.StatusBadRequest // documented, though the request was accepted (quirk 1)
	}
	writeJSON(w, status, agents)
	return nil
}

// ccaiAgents renders outcomes and counts the deferred ones. Those who were
// leaving and have left meanwhile are out.
func ccaiAgents(outcomes []presence.Outcome) (agents []ccaiAgent, deferred int) {
	agents = make([]ccaiAgent, len(outcomes))
	for i, o := range outcomes {
		agents[i] = ccaiAgent{ID: o.Operator, Name: o.Name, Email: o.Email, Number: o.Number, Previous: o.Previous, Current: o.Current}
		if o.Outcome == presence.OutcomeLeaving {
			deferred++
			agents[i].Current, agents[i].Message = o.Previous, ccaiDeferred
		}
	}
	return agents, deferred
}

// ccaiProgress is a job as it stands. Completed means that every agent is out or
// pending; pending goes down as they leave (quirk 14).
type ccaiProgress struct {
	ID        switchboard.OrderID `json:"id"`
	Status    string              `json:"status"`
	Total     int64               `json:"total"`
	LoggedOut int64               `json:"logged_out"`
	Pending   int64               `json:"pending"`
	Failed    int64               `json:"failed"` // always 0: an order is worked on until it is done
}

func (s *ccai) job(w http.ResponseWriter, r *http.Request, org accounts.Organization) error {
	missing := switchboard.Errorc(switchboard.CodeNotFound, "cannot find the job")
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id <= 0 {
		return missing
	}
	order, err := s.reg.Order(r.Context(), org.ID, switchboard.OrderID(id))
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return missing
	}
	if err != nil {
		return err
	}
	outcomes, err := s.reg.Outcomes(r.Context(), org.ID, order.ID)
	if err != nil {
		return err
	}
	_, deferred := ccaiAgents(outcomes)
	writeJSON(w, http.StatusOK, ccaiProgress{ID: order.ID, Status: order.State(), Total: order.Total(),
		LoggedOut: int64(len(outcomes) - deferred), Pending: int64(deferred)})
	return nil
}
