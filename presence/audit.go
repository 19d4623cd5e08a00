package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// Audited is one entry of the audit: who did what to whom, why, from where, when
// it was asked for and when it was done.
type Audited struct {
	ID    string                 `json:"id"`
	Done  int64                  `json:"done"`            // Redis ms
	What  string                 `json:"what"`            // logout order, leaving, signed out, stays, order cancelled ...
	Whom  switchboard.OperatorID `json:"whom,omitempty"`  // 0: an order as a whole
	By    string                 `json:"by,omitempty"`    // a person, "api:<slug>", or the operator's own wish
	Order switchboard.OrderID    `json:"order,omitempty"` // 0: none
	Chat  switchboard.ChatID     `json:"chat,omitempty"`  // 0: about no chat
	Why   string                 `json:"why,omitempty"`
	From  string                 `json:"from,omitempty"`  // the asker's address, and how it is known
	Asked int64                  `json:"asked,omitempty"` // Redis ms
	Spec  json.RawMessage        `json:"spec,omitempty"`  // of a logout order: what was asked for
}

// asked is what an entry takes from its order.
type asked struct {
	by, from, why string
	at            int64
}

// Audit reads the audit of an organization between two Redis times in ms, oldest
// first, until each says false. Entries about a person carry who asked, and from
// where, as their order says. It reads pages of 1,000.
func (r *Registry) Audit(ctx context.Context, org switchboard.OrgID, from, to int64, each func(Audited) bool) error {
	key, at, end := r.Partition(org).Key(org, "audit"), strconv.FormatInt(from, 10), strconv.FormatInt(to, 10)
	orders := map[switchboard.OrderID]asked{}
	for {
		entries, err := r.rdb.XRangeN(ctx, key, at, end, 1000).Result()
		if err != nil {
			return r.storeError("audit", err)
		}
		for _, e := range entries {
			a, err := r.audited(ctx, org, e, orders)
			if err != nil {
				return err
			}
			if !each(a) {
				return nil
			}
		}
		if len(entries) < 1000 {
			return nil
		}
		at = "(" + entries[len(entries)-1].ID
	}
}

func (r *Registry) audited(ctx context.Context, org switchboard.OrgID, e redis.XMessage, orders map[switchboard.OrderID]asked) (Audited, error) {
	text := func(field string) string { s, _ := e.Values[field].(string); return s }
	number := func(field string) int64 {
		n, _ := strconv.ParseInt(text(field), 10, 64) // a field that is missing is 0
		return n
	}
	ms, _, _ := strings.Cut(e.ID, "-")
	done, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return Audited{}, fmt.Errorf("audit %q: %w", e.ID, err)
	}
	a := Audited{ID: e.ID, Done: done, What: text("what"), Whom: switchboard.OperatorID(number("who")), By: text("by"),
		Order: switchboard.OrderID(number("order")), Chat: switchboard.ChatID(number("chat")), Why: text("why")}
	if raw := text("spec"); raw != "" {
		var spec OrderSpec
		if err := json.Unmarshal([]byte(raw), &spec); err != nil {
			return a, fmt.Errorf("audit %q: %w", e.ID, err)
		}
		a.Spec = json.RawMessage(raw)
		orders[a.Order] = asked{spec.By, spec.From, spec.Reason, done}
	}
	if a.Order == 0 {
		if a.By == "" && a.Whom != 0 && (a.What == "leaving" || a.What == "signed out" || a.What == "stays") {
			a.By = string(switchboard.OperatorPerson(a.Whom))
		}
		return a, nil
	}
	one, known := orders[a.Order]
	if !known { // asked for before the time that is read
		o, err := r.Order(ctx, org, a.Order)
		if err != nil && !errors.Is(err, errNoOrder) { // forgotten after 30 days
			return a, err
		}
		one = asked{o.By, o.From, o.Reason, o.Asked}
		orders[a.Order] = one
	}
	if a.By == "" {
		a.By = one.by
	}
	if a.Why == "" {
		a.Why = one.why
	}
	a.From, a.Asked = one.from, one.at
	return a, nil
}
