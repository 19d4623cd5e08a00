package routing

import (
	"context"

	"github.com/switchboard/switchboard"
)

// Prioritize gives an open chat another priority, 0 to 9; by is who, for the audit.
// A chat that waits moves in the same step to the rank it would have had with it
// from the start, so that the bound of Start holds for what its priorities are now.
// Repeating it changes nothing. Errors: CodeInvalid (priority), CodeNotFound.
func (r *Router) Prioritize(ctx context.Context, org switchboard.OrgID, chat switchboard.ChatID, priority int, by string) (Chat, error) {
	if priority < 0 || priority > 9 {
		return Chat{}, switchboard.Invalid("priority", "0 to 9")
	}
	reply, err := r.call(ctx, org, scriptPrioritize, nil, int64(chat), priority, by)
	if err != nil {
		return Chat{}, err
	}
	if reply.Status == "NOTFOUND" {
		return Chat{}, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat, or it is over"}
	}
	c, err := decodeChat(reply.Text(0))
	c.Place = reply.Int(1)
	return c, err
}
