package routing

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/switchboard/switchboard"
)

// Part is an operator's part in a chat that another holds (presence/scripts/parts.lua).
type Part struct {
	Role string `json:"r"` // RoleJoin, RoleConsult or RoleMonitor
	Name string `json:"n"`
	At   int64  `json:"at"` // Redis ms of its beginning
}

// Invite asks an operator to come into a chat, or to hold it.
type Invite struct {
	Kind   string               `json:"k"` // "transfer", RoleJoin or RoleConsult
	Token  string               `json:"tok"`
	By     switchboard.PersonID `json:"by"`
	ByName string               `json:"byname"`
	Name   string               `json:"n"` // of who is asked
	Team   switchboard.TeamID   `json:"t"` // where the chat goes with it
	Over   int                  `json:"over"`
	Text   string               `json:"text"`
}

// Role is the kind of part that an invite asks its operator to take.
func (v Invite) Role() string {
	if v.Kind == "transfer" {
		return switchboard.RoleHold
	}
	return v.Kind
}

// inviteToken begins every invite's token; offers' begin with hexadecimal digits.
const inviteToken = "i"

// Role returns the kind of an operator's part in the chat: RoleHold, RoleJoin, RoleConsult or
// RoleMonitor; "" for nothing.
func (c Chat) Role(op switchboard.OperatorID) string {
	if c.State == switchboard.ChatActive && op != 0 && c.Operator == op {
		return switchboard.RoleHold
	}
	return c.With[strconv.FormatInt(int64(op), 10)].Role
}

// Invited returns the invite of an operator to the chat.
func (c Chat) Invited(p switchboard.PersonID) (Invite, bool) {
	op, ok := p.Operator()
	if !ok {
		return Invite{}, false
	}
	v, ok := c.Invites[strconv.FormatInt(int64(op), 10)]
	return v, ok
}

// People returns who takes part in the chat besides its holder, and who is asked to,
// by id. To a visitor only those who joined are there; nobody sees a monitor.
func (c Chat) People(visitor bool) (with, invites []switchboard.Colleague) {
	for id, p := range c.With {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil || p.Role == switchboard.RoleMonitor || visitor && p.Role != switchboard.RoleJoin {
			continue
		}
		one := switchboard.Colleague{ID: switchboard.OperatorID(n), Name: p.Name, Role: p.Role}
		if visitor {
			one.Role = ""
		}
		with = append(with, one)
	}
	for id, v := range c.Invites {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil && !visitor {
			invites = append(invites, switchboard.Colleague{ID: switchboard.OperatorID(n), Name: v.Name, Role: v.Role()})
		}
	}
	for _, list := range [][]switchboard.Colleague{with, invites} {
		slices.SortFunc(list, func(a, b switchboard.Colleague) int { return cmp.Compare(a.ID, b.ID) })
	}
	return with, invites
}

// Invite asks an operator to come into an active chat: RoleConsult reads, and writes
// notes that no visitor gets; RoleJoin is seen by the visitor and writes to them.
// Neither takes capacity; both keep who takes part in while a logout waits (L-9). by
// holds the chat, has joined it, or is a supervisor. Errors: CodeInvalid (field),
// CodeNotFound, CodeForbidden, CodeConflict (field), CodeOffline, CodeLeaving.
func (r *Router) Invite(ctx context.Context, org switchboard.OrgID, by switchboard.OperatorID, chat switchboard.ChatID, op switchboard.OperatorID, role, text string) (Chat, error) {
	if role != switchboard.RoleConsult && role != switchboard.RoleJoin {
		return Chat{}, switchboard.Invalid("role", "consult or join")
	}
	if err := checkWord(text); err != nil {
		return Chat{}, err
	}
	reply, err := r.call(ctx, org, scriptInvite, nil, int64(by), int64(chat), int64(op), role, text)
	if err == nil {
		err = refusal(reply)
	}
	if err != nil {
		return Chat{}, err
	}
	return decodeChat(reply.Text(0))
}

// Join brings a supervisor into a chat without being asked: RoleMonitor is told to
// nobody, RoleJoin is seen by all, RoleHold takes the chat over in one step. Each is
// audited. Errors: CodeInvalid (field), CodeNotFound, CodeForbidden, CodeConflict,
// CodeOffline, CodeLeaving.
func (r *Router) Join(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, role string) (Chat, error) {
	if role != switchboard.RoleMonitor && role != switchboard.RoleJoin && role != switchboard.RoleHold {
		return Chat{}, switchboard.Invalid("role", "monitor, join or hold")
	}
	reply, err := r.call(ctx, org, scriptJoin, nil, int64(op), int64(chat), role)
	if err == nil && reply.Status == "FORBIDDEN" {
		return Chat{}, switchboard.Errorc(switchboard.CodeForbidden, "only a supervisor comes into a chat without being asked")
	}
	if err == nil && reply.Status == "BARRED" && reply.Text(0) == "leaving" {
		return Chat{}, switchboard.Errorc(switchboard.CodeLeaving, barred["leaving"])
	}
	if err == nil {
		err = refusal(reply)
	}
	if err != nil {
		return Chat{}, err
	}
	return held(reply.Text(0), reply.Text(1))
}

// EndPart ends an operator's part in a chat, or takes an invite to it back; op is by
// for one's own. Errors: CodeNotFound, CodeForbidden, CodeConflict for who holds it.
func (r *Router) EndPart(ctx context.Context, org switchboard.OrgID, by switchboard.OperatorID, chat switchboard.ChatID, op switchboard.OperatorID) error {
	reply, err := r.call(ctx, org, scriptPart, nil, int64(by), int64(chat), int64(op))
	if err == nil {
		err = refusal(reply)
	}
	return err
}
