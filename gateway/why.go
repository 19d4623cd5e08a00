package gateway

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/routing"
)

// replayed is a decision with what comes of making it again of its record; of one
// that a person made (By) neither is there.
type replayed struct {
	routing.Decision
	Replay *[]switchboard.OperatorID `json:"replay,omitempty"`
	Same   *bool                     `json:"same,omitempty"`
}

func replay(list []routing.Decision) []replayed {
	out := make([]replayed, len(list))
	for i, d := range list {
		out[i].Decision = d
		if d.By == "" {
			again := d.Replay()
			same := slices.Equal(again, d.Got)
			out[i].Replay, out[i].Same = &again, &same
		}
	}
	return out
}

// pathID reads the id in a request's path.
func pathID(r *http.Request, what string) (int64, error) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id <= 0 {
		return 0, switchboard.Invalid("id", what)
	}
	return id, nil
}

// getChatWhy says what a chat waits for and which rule keeps it from each operator
// of its team: GET /v1/chats/{id}/why?after=<next>&n=<1..200>, for supervisors.
func (s *Server) getChatWhy(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	id, err := pathID(r, "a chat's id")
	if err != nil {
		return err
	}
	n, err := number(r, "n", 50, 200)
	if err != nil {
		return err
	}
	e, err := s.router.Why(r.Context(), claims.Org, switchboard.ChatID(id), r.URL.Query().Get("after"), int(n))
	if err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, struct {
		routing.Explained
		Decisions []replayed `json:"decisions,omitempty"`
	}{e, replay(e.Decisions)})
	return nil
}

// getOperatorWhy says everything that keeps an operator from chats now: GET
// /v1/operators/{id}/why, for supervisors and the operator.
func (s *Server) getOperatorWhy(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.operatorOf(r)
	if err != nil {
		return err
	}
	id, err := pathID(r, "an operator's id")
	if err != nil {
		return err
	}
	if op := switchboard.OperatorID(id); op != claims.Operator && !claims.Role.Supervises() {
		return switchboard.Errorc(switchboard.CodeForbidden, "this needs a supervisor")
	}
	why, err := s.router.WhyNot(r.Context(), claims.Org, switchboard.OperatorID(id))
	if err == nil {
		s.writeJSON(w, http.StatusOK, why)
	}
	return err
}

// getDecisions lists what routing has decided, newest first, each made again of its
// record: GET /v1/decisions?before=<id>&n=<1..200>, for supervisors.
func (s *Server) getDecisions(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	n, err := number(r, "n", 50, 200)
	if err != nil {
		return err
	}
	list, err := s.router.Decisions(r.Context(), claims.Org, r.URL.Query().Get("before"), int(n))
	if err == nil {
		s.writeJSON(w, http.StatusOK, replay(list))
	}
	return err
}
