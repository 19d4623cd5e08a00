package gateway

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/routing"
)

// marks ends typing and viewing on time for this node's sockets, without help
// of any client: the nudge that showed a mark carries its lifetime.
type marks struct {
	hub   *hub.Hub
	mu    sync.Mutex
	live  map[chatKey]map[liveMark]mark
	count int
}

type liveMark struct {
	org     switchboard.OrgID
	chat    switchboard.ChatID
	from    switchboard.PersonID
	kind    switchboard.Kind
	private bool
}

type mark struct {
	until   time.Time
	persons []switchboard.PersonID
}

// maxMarks bounds what is remembered; beyond it clients end marks by ttl_ms alone.
const maxMarks = 50_000

func newMarks(h *hub.Hub) *marks { return &marks{hub: h, live: map[chatKey]map[liveMark]mark{}} }

type markFrame struct {
	T       switchboard.Kind     `json:"t"`
	Chat    switchboard.ChatID   `json:"chat"`
	From    switchboard.PersonID `json:"from"`
	On      bool                 `json:"on"`
	TTL     int64                `json:"ttl_ms,omitempty"`
	Private bool                 `json:"private,omitempty"`
}

func (m *marks) seen(n routing.Nudge) {
	var f markFrame
	if json.Unmarshal(n.Frame, &f) != nil {
		return // ours, and only a display: the client ends it by itself
	}
	key := liveMark{n.Org, f.Chat, f.From, f.T, f.Private}
	m.mu.Lock()
	defer m.mu.Unlock()
	chat := chatKey{n.Org, f.Chat}
	if !f.On {
		m.removeLocked(chat, key)
		return
	}
	if _, known := m.live[chat][key]; !known {
		if m.count >= maxMarks {
			return
		}
		m.count++
	}
	if m.live[chat] == nil {
		m.live[chat] = map[liveMark]mark{}
	}
	m.live[chat][key] = mark{time.Now().Add(time.Duration(f.TTL) * time.Millisecond), n.Persons}
}

func (m *marks) removeLocked(chat chatKey, key liveMark) {
	if _, known := m.live[chat][key]; !known {
		return
	}
	m.count--
	if delete(m.live[chat], key); len(m.live[chat]) == 0 {
		delete(m.live, chat)
	}
}

// wrote: whoever sends a message has stopped typing, in the same moment (T-1).
func (m *marks) wrote(n routing.Nudge) {
	if !m.any(n.Org, n.Chat) {
		return
	}
	var f struct {
		From switchboard.PersonID `json:"from"`
	}
	if json.Unmarshal(n.Frame, &f) == nil {
		m.end(n.Org, n.Chat, func(key liveMark) bool { return key.from == f.From && key.kind == switchboard.KindTyping })
	}
}

// moved: nobody types any more in a chat that is over or goes to somebody else, nor
// an operator who has handed it over.
func (m *marks) moved(n routing.Nudge) {
	var f switchboard.Chat
	if json.Unmarshal(n.Frame, &f) != nil || f.T != switchboard.KindChat || !m.any(n.Org, f.Chat) {
		return
	}
	in := map[switchboard.PersonID]bool{}
	if f.Operator != nil {
		in[switchboard.OperatorPerson(f.Operator.ID)] = true
	}
	for _, one := range f.With {
		in[switchboard.OperatorPerson(one.ID)] = true
	}
	m.end(n.Org, f.Chat, func(key liveMark) bool {
		if key.kind != switchboard.KindTyping {
			return f.State == switchboard.ChatClosed
		}
		return f.State != switchboard.ChatActive || !key.private && !key.from.Visitor() && !in[key.from]
	})
}

func (m *marks) any(org switchboard.OrgID, chat switchboard.ChatID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.live[chatKey{org, chat}]) > 0
}

// end ends marks of a chat before their time.
func (m *marks) end(org switchboard.OrgID, chat switchboard.ChatID, which func(liveMark) bool) {
	ended := map[liveMark]mark{}
	m.mu.Lock()
	of := chatKey{org, chat}
	for key, one := range m.live[of] {
		if which(key) {
			ended[key] = one
			m.removeLocked(of, key)
		}
	}
	m.mu.Unlock()
	m.tell(ended)
}

func (m *marks) tell(ended map[liveMark]mark) {
	for key, over := range ended {
		m.hub.Deliver(key.org, over.persons, hub.ClassTyping, mustJSON(markFrame{T: key.kind, Chat: key.chat, From: key.from, Private: key.private}))
	}
}

func (m *marks) run(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			m.tell(m.over(now))
		}
	}
}

func (m *marks) over(now time.Time) map[liveMark]mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[liveMark]mark{}
	for chat, all := range m.live {
		for key, one := range all {
			if now.After(one.until) {
				out[key] = one
				m.removeLocked(chat, key)
			}
		}
	}
	return out
}
