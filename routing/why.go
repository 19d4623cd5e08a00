package routing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Because says a rule in words. These keep one operator from a chat, or from all
// (operator.lua's barrier and match.lua's suits name them) ...
var Because = map[string]string{
	"account":     "the account is not active",
	"offline":     "is not connected",
	"unreachable": "the connection is lost, and the grace is not over",
	"leaving":     "is being signed out and takes no new work",
	"status":      "has a status that takes no work",
	"wrap_up":     "is in wrap-up",
	"call":        "is in a call",
	"full":        "is at the limit",
	"skill":       "lacks a skill that the chat requires",
	"declined":    "has declined this chat, or let the offer pass, a short time ago",
	"passed":      "has declined this chat: is asked again when nobody else can be",
	"deaf":        "the node that holds the connection hears nothing from the store",
	"last":        "was the visitor's last operator",
	"asked":       "the team's webhook named them",
	"again":       "had declined, and nobody else was left",
}

// Waits says what keeps a chat as a whole from everybody.
var Waits = map[string]string{
	"offered":  "it is being offered",
	"active":   "an operator has it",
	"parked":   "its visitor is gone; nobody is asked until they are back",
	"failover": "the store has changed servers; chats are given again within seconds",
	"no_team":  "its team is not there",
	"closed":   "its team is closed, and it waits for the opening",
	"pick":     "its team offers to nobody: operators choose from the queue",
	"last":     "it waits for its visitor's last operator, who is full",
	"still":    "its visitor is being asked whether they are still there",
	"webhook":  "the team's webhook is being asked",
}

// Ruled is an operator of a chat's team, and what keeps the chat from them.
type Ruled struct {
	Operator switchboard.OperatorID `json:"operator"`
	Name     string                 `json:"name"`
	Rule     string                 `json:"rule"` // "": nothing does
	Because  string                 `json:"because,omitempty"`
	Units    int                    `json:"units"` // held
	Limit    int                    `json:"limit"`
	Missing  []string               `json:"missing,omitempty"` // of rule skill: skill=level
}

// Explained says why a chat is where it is.
type Explained struct {
	Chat       switchboard.ChatID `json:"chat"`
	State      string             `json:"state"`
	Team       switchboard.TeamID `json:"team"`
	Place      int64              `json:"place,omitempty"`
	Waits      string             `json:"waits,omitempty"` // a rule of Waits: all candidates are kept from it
	Because    string             `json:"because,omitempty"`
	Requires   map[string]int     `json:"requires,omitempty"` // by now
	Candidates []Ruled            `json:"candidates"`
	Next       string             `json:"next,omitempty"`      // cursor of the next page
	Decisions  []Decision         `json:"decisions,omitempty"` // on the first page: newest first, at most 20
}

// Why explains an open chat: its team's operators, n (1 to 200) of the
// organization's looked at a page, and the rule that keeps it from each; a page
// may have none of the team's. after is a page's Next, "" for the first.
// Errors: CodeNotFound, CodeInvalid (after).
func (r *Router) Why(ctx context.Context, org switchboard.OrgID, chat switchboard.ChatID, after string, n int) (Explained, error) {
	cursor, err := strconv.ParseUint("0"+after, 10, 64)
	if err != nil {
		return Explained{}, switchboard.Invalid("after", "the next of a page")
	}
	reply, err := r.call(ctx, org, scriptWhy, nil, int64(chat), strconv.FormatUint(cursor, 10), min(max(n, 1), 200))
	if err != nil {
		return Explained{}, err
	}
	if reply.Status == "NOTFOUND" {
		return Explained{}, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat, or it is over"}
	}
	c, err := decodeChat(reply.Text(0))
	if err != nil {
		return Explained{}, err
	}
	now := reply.Int(3)
	e := Explained{Chat: c.ID, State: c.State, Team: c.Team, Place: reply.Int(1), Waits: reply.Text(2), Because: Waits[reply.Text(2)], Candidates: []Ruled{}}
	for _, s := range c.Steps {
		if c.Since+s.After <= now {
			e.Requires = s.Need
		}
	}
	if next := reply.Text(4); next != "0" {
		e.Next = next
	}
	for i := 5; i+5 < reply.Len(); i += 6 {
		one := Ruled{Operator: switchboard.OperatorID(reply.Int(i)), Name: reply.Text(i + 1), Rule: reply.Text(i + 2), Because: Because[reply.Text(i+2)],
			Units: int(reply.Int(i + 3)), Limit: int(reply.Int(i + 4))}
		if missing := reply.Text(i + 5); missing != "" {
			one.Missing = strings.Split(missing, ",")
		}
		e.Candidates = append(e.Candidates, one)
	}
	slices.SortFunc(e.Candidates, func(a, b Ruled) int { return int(a.Operator - b.Operator) })
	if cursor == 0 {
		e.Decisions, err = r.decisionsOf(ctx, org, c)
	}
	return e, err
}

// Fact is one thing that keeps an operator from chats.
type Fact struct {
	Rule    string `json:"rule"`
	Because string `json:"because"`
	Detail  string `json:"detail,omitempty"` // which status, which logout, how long
}

// Routability says why an operator is not routable now; no fact: they are.
type Routability struct {
	Operator switchboard.OperatorID `json:"operator"`
	Name     string                 `json:"name"`
	Routable bool                   `json:"routable"`
	Facts    []Fact                 `json:"facts"` // all of them, not the first only
	Units    int                    `json:"units"` // held
	Limit    int                    `json:"limit"`
	Teams    []RoomIn               `json:"teams"`
}

// RoomIn is whether an operator can take a chat of a team now.
type RoomIn struct {
	Team  switchboard.TeamID `json:"team"`
	Units int                `json:"units"` // of one chat
	Free  bool               `json:"free"`
}

// WhyNot lists every fact that keeps an operator from chats now. Errors:
// CodeNotFound.
func (r *Router) WhyNot(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID) (Routability, error) {
	reply, err := r.call(ctx, org, scriptWhyNot, nil, int64(op))
	if err != nil {
		return Routability{}, err
	}
	if reply.Status == "NOTFOUND" {
		return Routability{}, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "operator", Message: "no such operator"}
	}
	var rec presence.Operator
	if err := json.Unmarshal([]byte(reply.Text(0)), &rec); err != nil {
		return Routability{}, fmt.Errorf("operator %d: %w", op, err)
	}
	out := Routability{Operator: rec.ID, Name: rec.Name, Units: int(reply.Int(3)), Limit: int(reply.Int(4)), Facts: []Fact{}, Teams: []RoomIn{}}
	for i := 6; i+2 < reply.Len(); i += 3 {
		out.Teams = append(out.Teams, RoomIn{switchboard.TeamID(reply.Int(i)), int(reply.Int(i + 1)), reply.Text(i+2) == "1"})
	}
	if facts := reply.Text(1); facts != "" {
		for rule := range strings.SplitSeq(facts, ",") {
			out.Facts = append(out.Facts, Fact{rule, Because[rule], detail(rule, rec, out)})
		}
	}
	out.Routable = len(out.Facts) == 0
	return out, nil
}

func detail(rule string, op presence.Operator, r Routability) string {
	switch rule {
	case "status":
		return op.Intent
	case "offline":
		if op.Out {
			return "signed out"
		}
	case "leaving":
		return op.Leaving.Reason
	case "call":
		_, calls := op.Busy()
		return fmt.Sprintf("%d", calls)
	case "full":
		return fmt.Sprintf("%d of %d units", r.Units, r.Limit)
	}
	return ""
}
