package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// This file is the part of the CCAI surface beside forced logout (contracts.md
// 1.2, 1.6, 1.7): bulk statuses, the list of statuses, agents with their live
// state, and what happened to them. Paths of pages whose path is not in the
// contract are under /manager/api/v1 by the name of the page.
const (
	ccaiStatuses = "/apps/api/v1/agent_statuses"
	ccaiUsers    = "/manager/api/v1/user_statuses"
	ccaiAgentsAt = "/manager/api/v1/agents"
	ccaiActivity = "/manager/api/v1/agent_activity_logs"
)

// ccaiStatus is a status object. System statuses have ids of 0 and below, those
// of an organization positive ones.
type ccaiStatus struct {
	ID    int    `json:"id"`
	WFM   *int   `json:"wfm_id"` // no workforce management is connected: null
	Name  string `json:"name"`
	Color string `json:"color"`
}

// ccaiSystem are the system statuses of 1.6; -9 is undocumented and left out.
// Away and Unresponsive are ours and take ids that the contract does not use.
var ccaiSystem = []ccaiStatus{
	{0, nil, switchboard.StatusAvailable, "green"}, {-1, nil, switchboard.StatusUnavailable, "red"}, {-2, nil, switchboard.StatusBreak, "yellow"},
	{-3, nil, "Special Task", "pink"}, {-4, nil, switchboard.StatusMeal, "brown"}, {-5, nil, "Missed Call", "blue_grey"},
	{-6, nil, switchboard.StatusWrapUp, "purple"}, {-7, nil, switchboard.StatusInCall, "light_blue"}, {-8, nil, switchboard.StatusInChat, "indigo"},
	{-10, nil, switchboard.StatusOffline, "grey"}, {-11, nil, switchboard.StatusUnresponsive, "blue_grey"}, {-12, nil, switchboard.StatusAway, "grey"},
}

// ccaiStatusList returns all statuses of an organization: the system's, then its own.
func ccaiStatusList(org accounts.Organization) []ccaiStatus {
	out := slices.Clone(ccaiSystem)
	for i, name := range org.Statuses {
		out = append(out, ccaiStatus{i + 1, nil, name, "grey"})
	}
	return out
}

// ccaiStatusOf finds a status by its name; an organization that gave one of its
// own a system name means its own when asked to set it. Upper and lower case are
// the same: the contract's prose and its samples differ.
func ccaiStatusOf(org accounts.Organization, name string) (ccaiStatus, bool) {
	all := ccaiStatusList(org)
	for i := len(all) - 1; i >= 0; i-- {
		if strings.EqualFold(all[i].Name, name) {
			return all[i], true
		}
	}
	return ccaiStatus{}, false
}

// ccaiFixed are the statuses that no one changes an agent from or to from outside.
var ccaiFixed = []string{switchboard.StatusInCall, switchboard.StatusInChat, switchboard.StatusOffline}

// ccaiSettable are the system statuses that may be set from outside.
var ccaiSettable = []string{switchboard.StatusAvailable, switchboard.StatusUnavailable, switchboard.StatusBreak, "Special Task", switchboard.StatusMeal}

// setStatuses changes the status of many agents. Decisions: the answer is 200
// with an entry for each agent, also when some or all were refused; the entry of
// a refused one keeps its status and says why. An unknown status is refused as a
// whole. team_ids mean agents who are here, as in a forced logout (quirk 9).
func (s *ccai) setStatuses(w http.ResponseWriter, r *http.Request, org accounts.Organization) error {
	var in struct {
		Status *string                  `json:"status"`
		Agents []switchboard.OperatorID `json:"agent_ids"`
		Teams  []switchboard.TeamID     `json:"team_ids"`
	}
	if err := readJSON(w, r, maxCCAIBody, &in); err != nil {
		return err
	}
	if in.Status == nil {
		return switchboard.Invalid("status", "a status name is needed")
	}
	status, known := ccaiStatusOf(org, *in.Status)
	if !known {
		return switchboard.Invalid("status", "no status of this name")
	}
	if err := (ccaiSelector{Agents: in.Agents, Teams: in.Teams}).validate(); err != nil {
		return err
	}
	ops, err := s.reg.Operators(r.Context(), org.ID)
	if err != nil {
		return err
	}
	entries := []ccaiAgent{}
	for _, op := range ops {
		named := slices.Contains(in.Agents, op.ID)
		member := op.Status != switchboard.StatusOffline && slices.ContainsFunc(op.Teams, func(t switchboard.TeamID) bool { return slices.Contains(in.Teams, t) })
		if op.Account == switchboard.AccountDeleted || !named && !member {
			continue
		}
		entry, err := s.setStatus(r.Context(), org, op, status)
		if err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		writeJSON(w, http.StatusBadRequest, ccaiError{Message: ccaiNobody})
		return nil
	}
	writeJSON(w, http.StatusOK, entries)
	return nil
}

// setStatus changes one agent's status. The version makes sure that what was
// looked at is what is changed; who was changed meanwhile is looked at again.
func (s *ccai) setStatus(ctx context.Context, org accounts.Organization, op presence.Operator, status ccaiStatus) (ccaiAgent, error) {
	for try := 0; ; try++ {
		entry := ccaiAgent{ID: op.ID, Name: op.Name, Email: op.Email, Number: op.Number, Previous: op.Status, Current: op.Status}
		switch {
		case slices.Contains(ccaiFixed, op.Status):
			entry.Message = fmt.Sprintf("Agent can't be changed from system status '%s'", op.Status)
			return entry, nil
		case status.ID <= 0 && !slices.Contains(ccaiSettable, status.Name):
			entry.Message = fmt.Sprintf("Agent can't be changed to system status '%s'", status.Name)
			return entry, nil
		}
		rec, err := s.reg.SetStatus(ctx, org.ID, op.ID, presence.StatusChange{Status: status.Name, Version: op.Version, Source: presence.SourceSupervisor, By: "api:" + org.Slug})
		switch code := switchboard.CodeOf(err); {
		case err == nil:
			entry.Current = rec.Status
			return entry, nil
		case code == switchboard.CodeConflict && try < 3:
			if op, err = s.reg.Operator(ctx, org.ID, op.ID); err != nil {
				return entry, err
			}
		case code == switchboard.CodeConflict, code == switchboard.CodeForbidden, code == switchboard.CodeNotFound:
			body, _ := outward(err)
			entry.Message = body.Message
			return entry, nil
		default:
			return entry, err
		}
	}
}

func (s *ccai) userStatuses(w http.ResponseWriter, _ *http.Request, org accounts.Organization) error {
	writeJSON(w, http.StatusOK, ccaiStatusList(org))
	return nil
}

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

// statusNamed is a status by the name that an agent shows: a system one first.
func (s *ccai) statusNamed(org accounts.Organization, name string) ccaiStatus {
	for _, st := range ccaiStatusList(org) {
		if st.Name == name {
			return st
		}
	}
	return ccaiStatus{Name: name, Color: "grey"} // a custom status that is no longer one
}

type ccaiWho struct {
	ID        switchboard.OperatorID `json:"id"`
	Name      string                 `json:"name"`
	LastName  string                 `json:"last_name"`
	FirstName string                 `json:"first_name"`
	Number    string                 `json:"agent_number"`
	Avatar    *string                `json:"avatar_url"`
}

// ccaiEntry is one entry of the activity log.
type ccaiEntry struct {
	ID       string                 `json:"id"`
	Agent    switchboard.OperatorID `json:"agent_id"`
	Who      *ccaiWho               `json:"whodunnit"` // null: the system, or a program
	Status   ccaiStatus             `json:"status"`
	Started  string                 `json:"started_at"`
	Ended    *string                `json:"ended_at"` // null while it lasts
	Duration *int64                 `json:"duration"` // seconds
	Activity string                 `json:"activity"`
	Call     *string                `json:"call_id"` // of call_picked_up, else null
	Chat     *int64                 `json:"chat_id"` // of chat_picked_up, else null
}

// work fills in the call or chat that an entry is about ("call:x", "chat:7").
func (e *ccaiEntry) work(item string) {
	kind, id, _ := strings.Cut(item, ":")
	switch n, err := strconv.ParseInt(id, 10, 64); {
	case kind == "call":
		e.Call = &id
	case kind == "chat" && err == nil:
		e.Chat = &n
	}
}

// activityDays is how far back the activity log reads unless from says.
const activityDays = 24 * time.Hour

// activity is what happened to agents: from and to are times of ISO 8601 (the last
// 24 hours by default), id[] agents. It is read from the history of statuses.
func (s *ccai) activity(w http.ResponseWriter, r *http.Request, org accounts.Organization) error {
	to := time.Now()
	from, err := timeOf(r, "from", to.Add(-activityDays))
	if err != nil {
		return err
	}
	if to, err = timeOf(r, "to", to); err != nil {
		return err
	}
	if !from.Before(to) || to.Sub(from) > presence.MaxHistory {
		return switchboard.Invalid("from", "a time before to, at most 31 days")
	}
	ops, err := s.reg.Operators(r.Context(), org.ID)
	if err != nil {
		return err
	}
	names := map[switchboard.OperatorID]presence.Operator{}
	for _, op := range ops {
		names[op.ID] = op
	}
	ids := listFilter(r, "id")
	entries, open := []ccaiEntry{}, map[switchboard.OperatorID]int{}
	err = s.reg.Changes(r.Context(), org.ID, from.UnixMilli(), func(c presence.Change) bool {
		if c.At > to.UnixMilli() || len(entries) >= 50_000 {
			return false
		}
		if c.Status == nil || len(ids) > 0 && !slices.Contains(ids, strconv.FormatInt(int64(c.Operator), 10)) {
			return true
		}
		e := ccaiEntry{ID: fmt.Sprintf("%d-%d", c.At, c.Operator), Agent: c.Operator, Status: s.statusNamed(org, c.Status.To), Started: isoTime(c.At), Activity: ccaiActivityOf(*c.Status)}
		e.work(c.Work)
		if op, ok := switchboard.PersonID(c.By).Operator(); ok {
			if who, ok := names[op]; ok {
				e.Who = &ccaiWho{ID: who.ID, Name: who.Name, FirstName: who.Name, Number: who.Number}
			}
		}
		if i, ok := open[c.Operator]; ok {
			ended, began := e.Started, entries[i].startedMS()
			seconds := (c.At - began) / 1000
			entries[i].Ended, entries[i].Duration = &ended, &seconds
		}
		open[c.Operator] = len(entries)
		entries = append(entries, e)
		return true
	})
	if err != nil {
		return err
	}
	if entries, err = agentPage(w, r, entries); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, entries)
	return nil
}

func (e ccaiEntry) startedMS() int64 {
	t, _ := time.Parse("2006-01-02T15:04:05.000Z", e.Started) // ours
	return t.UnixMilli()
}

// ccaiActivityOf names a change of the outward status by the words of 1.7.
func ccaiActivityOf(t presence.Turn) string {
	switch {
	case t.From == switchboard.StatusOffline:
		return "login"
	case t.To == switchboard.StatusOffline:
		return "logout"
	case t.To == switchboard.StatusInChat:
		return "chat_picked_up"
	case t.To == switchboard.StatusInCall:
		return "call_picked_up"
	}
	return "user_status_changed"
}

func timeOf(r *http.Request, name string, none time.Time) (time.Time, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return none, nil
	}
	t, err := parseISO(text)
	if err != nil {
		return t, switchboard.Invalid(name, "an ISO 8601 time")
	}
	return t, nil
}
