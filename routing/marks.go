package routing

import (
	"context"
	"encoding/json"
	"time"

	"github.com/switchboard/switchboard"
)

// How long a mark lives without renewal, by Redis time.
const (
	TypingFor  = 6 * time.Second
	ViewingFor = 30 * time.Second
)

// Mark is one person's typing or viewing in a chat.
type Mark struct {
	Kind    switchboard.Kind // KindTyping or KindViewing
	Chat    switchboard.ChatID
	On      bool
	Private bool // typing for colleagues only: no visitor is told, ever (T-2)
	Away    bool // viewing: the chat is open, and its viewer looks at something else (C-1)
	// Text is what a visitor has typed so far, for the operator's side only, in
	// the nudge and nowhere else (T-5); the caller has masked it.
	Text string
}

// Mark sets or ends a mark and nudges whoever may see it. Errors: CodeNotFound
// for a chat that is over or not the person's.
func (r *Router) Mark(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, m Mark) error {
	ttl := TypingFor
	if m.Kind == switchboard.KindViewing {
		ttl = ViewingFor
	}
	frame := struct {
		T       switchboard.Kind     `json:"t"`
		Chat    switchboard.ChatID   `json:"chat"`
		From    switchboard.PersonID `json:"from"`
		On      bool                 `json:"on"`
		TTL     int64                `json:"ttl_ms,omitempty"`
		Private bool                 `json:"private,omitempty"`
		Away    bool                 `json:"away,omitempty"`
		Text    string               `json:"text,omitempty"`
	}{T: m.Kind, Chat: m.Chat, From: person, On: m.On, Private: m.Private, Away: m.Away, Text: m.Text}
	if m.On {
		frame.TTL = ttl.Milliseconds()
	}
	raw, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	private := "0"
	if m.Private {
		private = "1"
	}
	p := r.reg.Partition(org)
	b, k := p.Block(org), keysOf(p, org, m.Chat)
	reply, err := r.reg.CallBare(ctx, org, scriptMark,
		[]string{b.Meta, b.Live, b.Inboxes, b.Link, b.Chat, k.typing, k.viewing},
		string(person), int64(m.Chat), string(m.Kind), frame.TTL, private, string(raw))
	if err != nil {
		return err
	}
	if reply.Status != "OK" {
		return &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	}
	return nil
}
