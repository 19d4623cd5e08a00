package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// operatorSkills is what an operator can do, and whether they may claim chats over
// their limit.
type operatorSkills struct {
	Skills map[string]int `json:"skills"` // skill -> level, 1 to 10; {}: none
	Over   *bool          `json:"over,omitempty"`
}

// putSkills sets an operator's skills: PUT /v1/operators/{id}/skills, for admins.
// Chats that wait for one of them are looked at again at once.
func (s *Server) putSkills(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.adminOf(r)
	if err != nil {
		return err
	}
	op, err := operatorParam(r)
	if err != nil {
		return err
	}
	var in operatorSkills
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.Skills == nil {
		return switchboard.Invalid("skills", "skill names with levels; {} for none")
	}
	if _, err := s.reg.Operator(r.Context(), claims.Org, op); err != nil {
		return err
	}
	if err := s.reg.AddOperators(r.Context(), claims.Org, []presence.NewOperator{{ID: op, Skills: in.Skills, Over: in.Over}}); err != nil {
		if e := (*switchboard.Error)(nil); errors.As(err, &e) {
			named := *e
			named.Field = strings.TrimPrefix(e.Field, "operators[0].")
			return &named
		}
		return err
	}
	rec, err := s.reg.Operator(r.Context(), claims.Org, op)
	if err != nil {
		return err
	}
	out := operatorSkills{Skills: rec.Skills, Over: &rec.Over}
	if out.Skills == nil {
		out.Skills = map[string]int{}
	}
	s.writeJSON(w, http.StatusOK, out)
	return nil
}
