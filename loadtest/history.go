package loadtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// history is a run as it is kept for later: what the referee does not decide, and
// behind it, an object a line, all that the referee was told.
type history struct {
	Scenario Scenario  `json:"scenario"`
	Asked    time.Time `json:"asked,omitzero"` // when the fault or the restart began
	Beside   Report    `json:"beside"`         // the report but for the referee's part

	ledger *Ledger
}

// verdict is the judgement on a run, the first time and again.
func (h *history) verdict() (Report, []sample) {
	s, out := &h.Scenario, h.Beside
	hit := restart{asked: h.Asked, around: s.Bounds.Around}
	messages := h.ledger.judge(&out, hit)
	out.Chats.Unfinished = s.Visitors - out.Chats.Finished
	out.Broken = append(s.Bounds.broken(s, &out), h.Beside.Broken...)
	out.Passed = len(out.Broken) == 0
	out.history = h
	return out, messages
}

// WriteHistory writes what JudgeAgain reads: who sent, was told and saw what, when,
// and when what went wrong. It is for reports that Run returned.
func (r *Report) WriteHistory(w io.Writer) error {
	if r.history == nil {
		return errors.New("a report without a run has no history")
	}
	b := bufio.NewWriter(w)
	lines := json.NewEncoder(b)
	if err := lines.Encode(r.history); err != nil {
		return err
	}
	for _, e := range r.history.ledger.events() {
		if err := lines.Encode(e); err != nil {
			return err
		}
	}
	return b.Flush()
}

// SaveHistory writes the history to a new file of the folder for temporary files,
// which nobody removes, and returns its path.
func (r *Report) SaveHistory() (path string, err error) {
	f, err := os.CreateTemp("", "switchboard-history-*.jsonl")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(r.WriteHistory(f), f.Close())
}

// JudgeAgain reads a history and judges it, by the rules of now.
func JudgeAgain(from io.Reader) (Report, error) {
	lines := json.NewDecoder(from)
	var h history
	if err := lines.Decode(&h); err != nil {
		return Report{}, fmt.Errorf("history: %w", err)
	}
	h.ledger = NewLedger(h.Scenario.Limit)
	for n := 2; ; n++ {
		var e Event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Report{}, fmt.Errorf("history, line %d: %w", n, err)
		}
		if meanings[e.What] == nil {
			return Report{}, fmt.Errorf("history, line %d: %q is no event", n, e.What)
		}
		h.ledger.take(e) // nobody else knows it yet
	}
	out, _ := h.verdict()
	return out, nil
}

func (g *Ledger) events() []Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.past
}

type ledgerKey struct{}

// Mark notes what goes wrong in the history of the run that called Targets.Fault
// with ctx; elsewhere it does nothing.
func Mark(ctx context.Context, what string) {
	if g, ok := ctx.Value(ledgerKey{}).(*Ledger); ok {
		g.Fault(what)
	}
}
