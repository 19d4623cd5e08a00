package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// This file is the CCAI surface of agents with their live state (contracts.md 1.7).
// ccai_statuses.go has statuses, ccai_activity.go what happened. Paths of pages whose
// path is not in the contract are under /manager/api/v1 by the name of the page.
const (
	ccaiStatuses = "/apps/api/v1/agent_statuses"
	ccaiUsers    = "/manager/api/v1/user_statuses"
	ccaiAgentsAt = "/manager/api/v1/agents"
	ccaiActivity = "/manager/api/v1/agent_activity_logs"
)

// ccaiTeam is a team in an agent object. Teams do not nest here.
type ccaiTeam struct {
	ID       switchboard.TeamID  `json:"id"`
	Name     string              `json:"name"`
	Parent   *switchboard.TeamID `json:"parent_id"`
	Position int                 `json:"position"`
	Deleted  bool                `json:"deleted"`
	Agents   int                 `json:"agents_count"`
}

// ccaiChannel is what an agent takes.
type ccaiChannel struct {
	Type string `json:"channel_type"`
	Menu string `json:"menu"`
}

// ccaiAgentObject is an agent with the live state. What Switchboard does not know
// is null; an agent's one name stands in first_name.
type ccaiAgentObject struct {
	ID            switchboard.OperatorID `json:"id"`
	Email         string                 `json:"email"`
	CreatedAt     *string                `json:"created_at"`
	LastLogin     *string                `json:"last_login_time"`
	FirstName     string                 `json:"first_name"`
	MiddleName    *string                `json:"middle_name"`
	LastName      string                 `json:"last_name"`
	Avatar        *string                `json:"avatar_url"`
	Number        string                 `json:"agent_number"`
	Status        ccaiStatus             `json:"status"`
	StatusSince   string                 `json:"status_updated_at"`
	Authenticated bool                   `json:"crm_authenticated"`
	Online        bool                   `json:"online"`
	WrapUp        bool                   `json:"wrap_up"`
	Calls         int                    `json:"call_count"`
	Chats         int                    `json:"chat_count"`
	Location      *string                `json:"location"`
	Roles         []string               `json:"roles"`
	Teams         []ccaiTeam             `json:"teams"`
	Channels      []ccaiChannel          `json:"channels"`
}

const (
	ccaiPerPage = 25
	ccaiMostPer = 100
)

// agentPage cuts a list to the page that a request asks for (page from 1, per).
func agentPage[T any](w http.ResponseWriter, r *http.Request, all []T) ([]T, error) {
	at, err := number(r, "page", 1, 1<<31)
	if err != nil {
		return nil, err
	}
	per, err := number(r, "per", ccaiPerPage, ccaiMostPer)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Total", strconv.Itoa(len(all)))
	w.Header().Set("Per-Page", strconv.FormatInt(per, 10))
	first := min((at-1)*per, int64(len(all)))
	return all[first:min(first+per, int64(len(all)))], nil
}

// listFilter reads a filter that may be repeated (name[]=a&name[]=b).
func listFilter(r *http.Request, name string) []string {
	return append(r.URL.Query()[name+"[]"], r.URL.Query()[name]...)
}

func isoTime(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *ccai) agents(w http.ResponseWriter, r *http.Request, org accounts.Organization) error {
	ids, numbers := listFilter(r, "id"), listFilter(r, "agent_number")
	for _, id := range ids {
		if n, err := strconv.ParseInt(id, 10, 64); err != nil || n <= 0 {
			return switchboard.Invalid("id", "agents' ids")
		}
	}
	ops, err := s.reg.Operators(r.Context(), org.ID)
	if err != nil {
		return err
	}
	teams, err := s.reg.Teams(r.Context(), org.ID)
	if err != nil {
		return err
	}
	members := map[switchboard.TeamID]int{}
	for _, op := range ops {
		for _, t := range op.Teams {
			members[t]++
		}
	}
	ops = slices.DeleteFunc(ops, func(op presence.Operator) bool {
		return op.Account == switchboard.AccountDeleted || len(ids) > 0 && !slices.Contains(ids, strconv.FormatInt(int64(op.ID), 10)) ||
			len(numbers) > 0 && !slices.Contains(numbers, op.Number)
	})
	if ops, err = agentPage(w, r, ops); err != nil {
		return err
	}
	out := []ccaiAgentObject{}
	for _, op := range ops {
		chats, calls := op.Busy()
		a := ccaiAgentObject{ID: op.ID, Email: op.Email, FirstName: op.Name, Number: op.Number, Status: s.statusNamed(org, op.Status), StatusSince: isoTime(op.Since),
			Online: op.Status != switchboard.StatusOffline, WrapUp: op.Wrapping(), Calls: calls, Chats: chats, Roles: []string{ccaiRole(op.Role)},
			Teams: []ccaiTeam{}, Channels: []ccaiChannel{{"chat", ""}, {"call", ""}}}
		for i, t := range teams {
			if t.ID != 0 && slices.Contains(op.Teams, t.ID) {
				a.Teams = append(a.Teams, ccaiTeam{ID: t.ID, Name: t.Name, Position: i, Agents: members[t.ID]})
			}
		}
		out = append(out, a)
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func ccaiRole(r switchboard.Role) string {
	return map[switchboard.Role]string{switchboard.RoleSupervisor: "manager", switchboard.RoleAdmin: "admin"}[r] + map[bool]string{true: "agent"}[!r.Supervises()]
}
