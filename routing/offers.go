package routing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
)

// Accept takes the chat of an offer, or the invite to one. Errors: CodeConflict when the offer is over
// or was never this operator's, and names who has the chat; CodeClosed when the
// chat is.
func (r *Router) Accept(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, token string) (Chat, error) {
	if strings.HasPrefix(token, inviteToken) {
		return r.come(ctx, org, op, chat, token)
	}
	reply, err := r.call(ctx, org, scriptAccept, nil, int64(op), int64(chat), token)
	if err != nil {
		return Chat{}, err
	}
	switch reply.Status {
	case "STALE":
		return Chat{}, taken("token", "this offer is over", reply.Int(0), reply.Text(1))
	case "CLOSED":
		return Chat{}, switchboard.Errorc(switchboard.CodeClosed, "the chat is over")
	}
	if reply.Text(2) == "" { // else it was counted before
		r.metrics.offers.WithLabelValues(switchboard.OfferAccepted).Inc()
	}
	return held(reply.Text(0), reply.Text(1))
}

// held reads a chat that an operator has taken.
func held(record, link string) (Chat, error) {
	c, err := decodeChat(record)
	here := link == "1"
	c.Here = &here
	return c, err
}

// taken is the refusal for who came second: it names who has the chat.
func taken(field, what string, op int64, name string) error {
	if op != 0 {
		if name == "" {
			name = "operator " + strconv.FormatInt(op, 10)
		}
		what += ": " + name + " has the chat"
	}
	return &switchboard.Error{Code: switchboard.CodeConflict, Field: field, Message: what}
}

// Decline refuses an offer; the chat goes on to somebody else from its old place. Of
// an invite the chat stays whose it is.
// Errors: CodeConflict when the offer is over.
func (r *Router) Decline(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, token string) error {
	if strings.HasPrefix(token, inviteToken) {
		return r.stay(ctx, org, op, chat, token)
	}
	reply, err := r.call(ctx, org, scriptDecline, nil, int64(op), int64(chat), token, switchboard.OfferDeclined)
	if err != nil {
		return err
	}
	if reply.Status == "STALE" {
		return &switchboard.Error{Code: switchboard.CodeConflict, Field: "token", Message: "this offer is over"}
	}
	r.metrics.offers.WithLabelValues(switchboard.OfferDeclined).Inc()
	return nil
}

// barred says why an operator takes no work (operator.lua, barrier).
var barred = map[string]string{
	"account": "your account is not active", "offline": "you are not connected", "unreachable": "your connection is lost",
	"leaving": "you are being signed out and take no new work", "status": "you are not Available",
	"wrap_up": "you are in wrap-up", "call": "you are in a call",
}

// Claim takes a waiting chat of the operator's choice, whatever the team's
// strategy. over asks to go over the limit, which needs the permission and is
// audited. Errors: CodeConflict when somebody else has it (names them) or the
// operator is at the limit, CodeForbidden without the team, a skill or the
// permission, CodeLeaving, CodeClosed.
func (r *Router) Claim(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, over bool) (Chat, error) {
	may := "0"
	if over {
		may = "1"
	}
	reply, err := r.call(ctx, org, scriptClaim, nil, int64(op), int64(chat), may)
	if err != nil {
		return Chat{}, err
	}
	refused := func(code switchboard.Code, field, why string) (Chat, error) {
		return Chat{}, &switchboard.Error{Code: code, Field: field, Message: why}
	}
	switch reply.Status {
	case "CLOSED":
		return refused(switchboard.CodeClosed, "chat", "the chat is over")
	case "TAKEN":
		return Chat{}, taken("chat", "you came second", reply.Int(0), reply.Text(1))
	case "NOTTEAM":
		return refused(switchboard.CodeForbidden, "chat", "the chat is another team's")
	case "UNSKILLED":
		return refused(switchboard.CodeForbidden, "chat", "the chat requires a skill that you do not have")
	case "FULL":
		return refused(switchboard.CodeConflict, "over", "you are at your limit")
	case "OVER":
		return refused(switchboard.CodeForbidden, "over", "you are at your limit and may not go over it")
	case "BARRED":
		if why := reply.Text(0); why == "leaving" {
			return refused(switchboard.CodeLeaving, "", barred[why])
		} else {
			return refused(switchboard.CodeConflict, "", barred[why])
		}
	}
	return held(reply.Text(0), reply.Text(1))
}

// Match pairs waiting chats of an organization with free operators until no pair
// is left. It is called when presence says that a pair may have become possible.
func (r *Router) Match(ctx context.Context, org switchboard.OrgID) error {
	for range 10_000 {
		reply, err := r.call(ctx, org, scriptPair, nil)
		if err != nil {
			return err
		}
		questions := make([]string, max(0, reply.Len()-2))
		for i := range questions {
			questions[i] = reply.Text(i + 2)
		}
		r.ask(org, questions)
		if reply.Int(0) == 0 && reply.Int(1) == 0 {
			return nil
		}
	}
	return errors.New("routing: a queue did not settle in 10,000 steps")
}

// Waiting returns how many chats of an organization wait.
func (r *Router) Waiting(ctx context.Context, org switchboard.OrgID) (int64, error) {
	n, err := r.rdb.ZCard(ctx, r.reg.Partition(org).Block(org).Queue).Result()
	if err != nil {
		return 0, storeError(err)
	}
	return n, nil
}

// Queue returns the chats that wait in a team, next first: at most n, 1 to 200.
// Errors: CodeInvalid for an unknown team.
func (r *Router) Queue(ctx context.Context, org switchboard.OrgID, team switchboard.TeamID, n int) ([]Chat, error) {
	reply, err := r.call(ctx, org, scriptQueue, nil, int64(team), min(max(n, 1), 200))
	if err != nil {
		return nil, err
	}
	if reply.Status == "NOTEAM" {
		return nil, switchboard.Invalid("team", "the organization has no such team")
	}
	out := make([]Chat, 0, reply.Len())
	for i := range reply.Len() {
		c, err := decodeChat(reply.Text(i))
		if err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}
