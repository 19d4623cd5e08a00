package routing

import (
	"context"
	"fmt"
	"strconv"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// What a visitor is told where a team has no words of its own.
const (
	lossText  = "We have lost the connection to the person you spoke with. This chat is closed; please start a new one."
	quietText = "Are you still there? This chat will be closed soon if nobody writes."
)

// timed answers a deadline that may close a chat: its script gets the keys of the
// chat's log and the words for the visitor.
func (r *Router) timed(ctx context.Context, org switchboard.OrgID, s *presence.Script, id, words string) error {
	k, err := r.keysOfText(org, id)
	if err != nil {
		return err
	}
	reply, err := r.call(ctx, org, s, []string{k.log, k.cmid, k.typing, k.viewing, k.closed}, id, r.cfg.Retention.Milliseconds(), words)
	if err == nil && len(reply.Text(0)) > 0 && reply.Text(0)[0] == '{' {
		r.metrics.closed.Inc()
	}
	return err
}

// unsaid answers the deadline of a first reply.
func (r *Router) unsaid(ctx context.Context, org switchboard.OrgID, id string) error {
	k, err := r.keysOfText(org, id)
	if err != nil {
		return err
	}
	_, err = r.call(ctx, org, scriptReply, []string{k.log, k.cmid}, id)
	return err
}

// keysOfText returns the keys of a chat that a deadline names.
func (r *Router) keysOfText(org switchboard.OrgID, id string) (chatKeys, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return chatKeys{}, fmt.Errorf("no chat: %q", id)
	}
	return keysOf(r.reg.Partition(org), org, switchboard.ChatID(n)), nil
}
