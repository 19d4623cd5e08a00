package gateway

import (
	"encoding/json"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// This file is what logout orders look like on our own API and in frames.

// selectorJSON is who is meant, on our own API.
type selectorJSON struct {
	Agents   []switchboard.OperatorID `json:"agents,omitempty"`
	Teams    []switchboard.TeamID     `json:"teams,omitempty"`
	Networks []string                 `json:"networks,omitempty"`
}

// orderRequest is POST /v1/logouts (docs/protocol.md, "Signing people out").
type orderRequest struct {
	Agents      []switchboard.OperatorID `json:"agents,omitempty"`
	Teams       []switchboard.TeamID     `json:"teams,omitempty"`
	Networks    []string                 `json:"networks,omitempty"`
	Except      selectorJSON             `json:"except,omitzero"`
	Match       string                   `json:"match,omitempty"`       // any (default) or all of the selectors given
	Connections string                   `json:"connections,omitempty"` // any (default) or all of a person's are inside
	Mode        string                   `json:"mode,omitempty"`        // drain (default) or now
	DeadlineMS  *int64                   `json:"deadline_ms,omitempty"`
	FenceMS     int64                    `json:"fence_ms,omitempty"`
	At          int64                    `json:"at,omitempty"`
	Standing    bool                     `json:"standing,omitempty"`
	DryRun      bool                     `json:"dry_run,omitempty"`
	Confirm     bool                     `json:"confirm,omitempty"`
	Reason      string                   `json:"reason,omitempty"`
}

func (q orderRequest) spec(id switchboard.OrderID) (presence.OrderSpec, error) {
	either := func(field, v, a, b string) error {
		if v != "" && v != a && v != b {
			return switchboard.Invalid(field, a+" or "+b)
		}
		return nil
	}
	if len(q.Agents)+len(q.Teams)+len(q.Networks) == 0 {
		return presence.OrderSpec{}, switchboard.Invalid("agents", "name agents, teams or networks")
	}
	for _, err := range []error{either("match", q.Match, "any", "all"), either("connections", q.Connections, "any", "all"), either("mode", q.Mode, presence.ModeDrain, presence.ModeNow)} {
		if err != nil {
			return presence.OrderSpec{}, err
		}
	}
	if q.Connections == "all" && len(q.Networks) == 0 {
		return presence.OrderSpec{}, switchboard.Invalid("connections", "only with networks")
	}
	return presence.OrderSpec{ID: id, Operators: q.Agents, Teams: q.Teams, Networks: q.Networks,
		Except:    presence.Selector{Operators: q.Except.Agents, Teams: q.Except.Teams, Networks: q.Except.Networks},
		Intersect: q.Match == "all", All: q.Connections == "all", Mode: q.Mode, DeadlineMS: q.DeadlineMS, FenceMS: q.FenceMS,
		At: q.At, Standing: q.Standing, Dry: q.DryRun, Everybody: q.Confirm, Reason: q.Reason}, nil
}

// orderAnswer is a logout order on our own API and in "logouts" frames.
type orderAnswer struct {
	ID        switchboard.OrderID `json:"id"`
	State     string              `json:"state"`
	Asked     int64               `json:"asked,omitempty"` // Unix ms
	By        string              `json:"by,omitempty"`
	Total     int64               `json:"total"`
	Todo      int64               `json:"todo"`
	Out       int64               `json:"out"`
	Leaving   int64               `json:"leaving"` // wait for their last work to end
	Offline   int64               `json:"offline"` // named, and were not here
	Cancelled int64               `json:"cancelled"`
	orderRequest
	Operators *[]orderRow            `json:"operators,omitempty"`
	Next      switchboard.OperatorID `json:"next,omitempty"` // more rows: ask with after=next
}

type orderRow struct {
	ID       switchboard.OperatorID `json:"id"`
	Name     string                 `json:"name"`
	Previous string                 `json:"previous"`
	Current  string                 `json:"current"`
	Outcome  string                 `json:"outcome"` // out, leaving, offline or cancelled; in a dry run what would happen
	Why      string                 `json:"why,omitempty"`
	Chats    int                    `json:"chats"`
	Calls    int                    `json:"calls"`
	At       int64                  `json:"at"`
}

func orderOf(o presence.Order) orderAnswer {
	either := func(all bool) string {
		if all {
			return "all"
		}
		return ""
	}
	return orderAnswer{ID: o.ID, State: o.State(), Asked: o.Asked, By: o.By, Total: o.Total(), Todo: o.Todo, Out: o.Out, Leaving: o.Leaving,
		Offline: o.Offline, Cancelled: o.Cancelled,
		orderRequest: orderRequest{Agents: o.OrderSpec.Operators, Teams: o.Teams, Networks: o.Networks,
			Except: selectorJSON{o.Except.Operators, o.Except.Teams, o.Except.Networks}, Match: either(o.Intersect), Connections: either(o.All),
			Mode: o.Mode, DeadlineMS: o.DeadlineMS, FenceMS: o.FenceMS, At: o.At, Standing: o.Standing, DryRun: o.Dry, Reason: o.Reason}}
}

// ordersFrame tells supervisors who watch "logouts" how orders stand.
type ordersFrame struct {
	T      switchboard.Kind `json:"t"`
	Full   bool             `json:"full,omitempty"`
	Orders []orderAnswer    `json:"orders"`
}

func framedOrders(full bool, orders []presence.Order) json.RawMessage {
	f := ordersFrame{T: switchboard.KindLogouts, Full: full, Orders: []orderAnswer{}}
	for _, o := range orders {
		f.Orders = append(f.Orders, orderOf(o))
	}
	return mustJSON(f)
}
