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

// withLog answers a deadline whose script reads the chat's log.
func (r *Router) withLog(ctx context.Context, org switchboard.OrgID, s *presence.Script, id string) error {
	k, err := r.keysOfText(org, id)
	if err != nil {
		return err
	}
	_, err = r.call(ctx, org, s, []string{k.log, k.cmid}, id)
	return err
}

// lively carries out what a visitor's message has brought: a silent chat takes its
// units again, a question is answered. Should it fail, the deadline of it rings.
func (r *Router) lively(ctx context.Context, org switchboard.OrgID, from switchboard.PersonID, chat switchboard.ChatID, what string) {
	var err error
	switch what {
	case presence.AlarmWake:
		err = r.Ring(ctx, presence.AlarmWake, org, strconv.FormatInt(int64(chat), 10))
	case presence.AlarmStill:
		err = r.Here(ctx, org, from, chat)
	}
	if err != nil {
		r.log.Warn("what a message has brought waits for its deadline", "chat", chat, "what", what, "err", err)
	}
}

// Here answers for a visitor that they are still there: their waiting chat may be
// offered, and comes back to its place when it was parked for want of an answer.
// Repeating it changes nothing. Errors: CodeNotFound when the chat is not theirs.
func (r *Router) Here(ctx context.Context, org switchboard.OrgID, visitor switchboard.PersonID, chat switchboard.ChatID) error {
	reply, err := r.call(ctx, org, scriptStill, nil, int64(chat), string(visitor), r.cfg.SilentAfter.Milliseconds())
	if err == nil && reply.Status == "NOTFOUND" {
		err = &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	}
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
