package gateway

import (
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

// This file is the CCAI surface of what happened to agents (contracts.md 1.7).

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
