package presence

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// The history (o:history) has one entry for each step that changed an operator's
// intent, outward status or pending status, written by that step itself
// (scripts/intent.lua, record). It is shared by the organization and bounded, so
// old entries go as new ones come: KnownFrom says since when it is whole.

const (
	historyKept = 200_000 // entries, as scripts/intent.lua trims it
	// MaxHistory is the longest time that History looks at.
	MaxHistory  = 31 * 24 * time.Hour
	maxChanges  = 5_000
	historyPage = 1_000
	// StatusUnknown is for the time from which the history is gone.
	StatusUnknown = "Unknown"
)

// Turn is one value that became another.
type Turn struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Change is one entry of the history; what did not change is nil.
type Change struct {
	At       int64                  `json:"at"` // Redis ms
	Operator switchboard.OperatorID `json:"-"`
	Intent   *Turn                  `json:"intent,omitempty"`
	Status   *Turn                  `json:"status,omitempty"`  // outward
	Pending  string                 `json:"pending,omitempty"` // set, replaced, cancelled or applied
	Next     string                 `json:"next,omitempty"`    // the status that Pending is about
	Source   string                 `json:"source"`            // operator, supervisor or system
	By       string                 `json:"by,omitempty"`      // a person, an order ("order:7"), a program
	Reason   string                 `json:"reason,omitempty"`
	Work     string                 `json:"work,omitempty"` // that Status.To stands for: "chat:7", "call:x"
}

// History is what happened to one operator in a time.
type History struct {
	From      int64            `json:"from"` // Redis ms
	To        int64            `json:"to"`   // at most now
	KnownFrom int64            `json:"known_from,omitempty"`
	Changes   []Change         `json:"changes"`
	NextFrom  int64            `json:"next_from,omitempty"` // there are more changes: ask from here
	InStatus  map[string]int64 `json:"time_in_status_ms"`   // outward status -> ms; the sum is To - From
}

// Changes reads the history of an organization from a Redis time in ms on,
// oldest first, until each says false. It reads pages of 1,000.
func (r *Registry) Changes(ctx context.Context, org switchboard.OrgID, from int64, each func(Change) bool) error {
	key, at := r.Partition(org).Key(org, "history"), strconv.FormatInt(from, 10)
	for {
		page, err := r.rdb.XRangeN(ctx, key, at, "+", historyPage).Result()
		if err != nil {
			return r.storeError("history", err)
		}
		for _, entry := range page {
			c, err := changeOf(entry)
			if err != nil {
				return err
			}
			if !each(c) {
				return nil
			}
		}
		if len(page) < historyPage {
			return nil
		}
		at = "(" + page[len(page)-1].ID
	}
}

func changeOf(entry redis.XMessage) (Change, error) {
	text := func(field string) string { s, _ := entry.Values[field].(string); return s }
	turn := func(from, to string) *Turn {
		if text(to) == "" {
			return nil
		}
		return &Turn{text(from), text(to)}
	}
	ms, _, _ := strings.Cut(entry.ID, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return Change{}, fmt.Errorf("history %q: %w", entry.ID, err)
	}
	op, err := strconv.ParseInt(text("op"), 10, 64)
	if err != nil {
		return Change{}, fmt.Errorf("history %q: operator %w", entry.ID, err)
	}
	c := Change{At: at, Operator: switchboard.OperatorID(op), Intent: turn("i0", "i1"), Status: turn("s0", "s1"),
		Source: text("src"), By: text("by"), Reason: text("why"), Work: text("w")}
	c.Pending, c.Next, _ = strings.Cut(text("p"), " ")
	return c, nil
}

// History returns what changed of an operator between two Redis times in ms, and
// for how long they were in each outward status; to 0 is now. The cost grows with
// the changes of the whole organization since from. Errors: CodeInvalid,
// CodeNotFound.
func (r *Registry) History(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, from, to int64) (History, error) {
	rec, err := r.Operator(ctx, org, op)
	if err != nil {
		return History{}, err
	}
	now, err := r.Now(ctx)
	if err != nil {
		return History{}, err
	}
	if to == 0 || to > now {
		to = now
	}
	if from < 0 || from >= to {
		return History{}, switchboard.Invalid("from", "a time in ms before to, and in the past")
	}
	if to-from > MaxHistory.Milliseconds() {
		return History{}, switchboard.Invalid("from", "at most 31 days before to")
	}
	h := History{From: from, To: to, Changes: []Change{}, InStatus: map[string]int64{}}
	if h.KnownFrom, err = r.historyFrom(ctx, org); err != nil {
		return h, err
	}
	begin := max(from, min(h.KnownFrom, to))
	h.InStatus[StatusUnknown] = begin - from
	status, since := "", begin // the status since then, "" until the first change says
	err = r.Changes(ctx, org, from, func(c Change) bool {
		if c.Operator != op {
			return c.At < to || status == ""
		}
		if c.Status != nil {
			end := max(min(c.At, to), since)
			h.InStatus[c.Status.From] += end - since
			status, since = c.Status.To, end
		}
		if c.At >= to {
			return status == ""
		}
		if len(h.Changes) < maxChanges {
			h.Changes = append(h.Changes, c)
		} else if h.NextFrom == 0 {
			h.NextFrom = c.At
		}
		return true
	})
	if status == "" {
		status = rec.Status // nothing has changed since
	}
	h.InStatus[status] += to - since
	for name, ms := range h.InStatus {
		if ms == 0 {
			delete(h.InStatus, name)
		}
	}
	return h, err
}

// historyFrom returns since when the history is whole, 0 for since ever.
func (r *Registry) historyFrom(ctx context.Context, org switchboard.OrgID) (int64, error) {
	key := r.Partition(org).Key(org, "history")
	n, err := r.rdb.XLen(ctx, key).Result()
	if err != nil {
		return 0, r.storeError("history", err)
	}
	if n < historyKept {
		return 0, nil
	}
	first, err := r.rdb.XRangeN(ctx, key, "-", "+", 1).Result()
	if err != nil {
		return 0, r.storeError("history", err)
	}
	if len(first) == 0 {
		return 0, nil
	}
	c, err := changeOf(first[0])
	return c.At, err
}
