package routing

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
)

// MaxAdvice is how many operators of a webhook's answer count.
const MaxAdvice = 16

// Ask is a question for a team's webhook: who should get this chat? It is also
// the body of the request.
type Ask struct {
	ID         string             `json:"id"` // of this question; never used twice
	Chat       switchboard.ChatID `json:"chat"`
	Team       switchboard.TeamID `json:"team"`
	Tries      int                `json:"tries"` // operators who were asked before
	Waited     int64              `json:"waited_ms"`
	Left       int64              `json:"left_ms"` // the answer counts for so long
	Visitor    json.RawMessage    `json:"visitor"`
	Candidates []Candidate        `json:"candidates"` // free when it was asked, in the order of the fallback; at most 16

	URL string `json:"-"`
}

// Candidate is an operator who could take the chat of an Ask.
type Candidate struct {
	ID    switchboard.OperatorID `json:"id"`
	Name  string                 `json:"name"`
	Chats int                    `json:"chats"` // chats and offers held
}

// ask hands questions that a script named to whoever asks webhooks. When nobody
// does, their deadline lets the fallback decide.
func (r *Router) ask(org switchboard.OrgID, questions []string) {
	for _, raw := range questions {
		var q struct {
			Ask
			URL string `json:"url"`
		}
		if err := json.Unmarshal([]byte(raw), &q); err != nil {
			r.log.Error("a question for a webhook could not be read", "org", org, "err", err)
			continue
		}
		q.Ask.URL = q.URL
		if r.cfg.Ask != nil {
			r.cfg.Ask(org, q.Ask)
		}
	}
}

// Advise stores the answer to a question: operators who should get the chat, best
// first; none: nobody is preferred, and the team's fallback decides. The claim
// checks each of them as it would anybody. False: the answer came too late, or the
// chat is waiting no more, and nothing was changed.
func (r *Router) Advise(ctx context.Context, org switchboard.OrgID, q Ask, operators []switchboard.OperatorID) (bool, error) {
	ids := make([]string, 0, len(operators))
	for _, op := range operators[:min(len(operators), MaxAdvice)] {
		if op > 0 {
			ids = append(ids, strconv.FormatInt(int64(op), 10))
		}
	}
	reply, err := r.call(ctx, org, scriptAdvise, nil, int64(q.Chat), q.ID, strings.Join(ids, ","))
	return err == nil && reply.Status == "OK", err
}

// unanswered is the deadline of a question.
func (r *Router) unanswered(ctx context.Context, org switchboard.OrgID, id string) error {
	if _, err := strconv.ParseInt(id, 10, 64); err != nil {
		return fmt.Errorf("no chat: %q", id)
	}
	_, err := r.call(ctx, org, scriptAdvise, nil, id, "", "")
	return err
}
