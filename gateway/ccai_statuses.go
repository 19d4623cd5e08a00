package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// This file is the CCAI surface of statuses (contracts.md 1.6, 1.7): their list, and
// setting those of many agents.

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

// statusNamed is a status by the name that an agent shows: a system one first.
func (s *ccai) statusNamed(org accounts.Organization, name string) ccaiStatus {
	for _, st := range ccaiStatusList(org) {
		if st.Name == name {
			return st
		}
	}
	return ccaiStatus{Name: name, Color: "grey"} // a custom status that is no longer one
}
