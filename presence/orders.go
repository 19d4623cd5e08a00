package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// OrderSpec says who is to be signed out. The selectors are a union; ids that
// do not exist are passed over. Operators named by id are signed out even when
// offline (their old tokens are refused); teams and networks mean people who
// are here now.
type OrderSpec struct {
	ID        switchboard.OrderID      `json:"id"` // from the registry, one per order: doing it again is fine
	Operators []switchboard.OperatorID `json:"operators,omitempty"`
	Teams     []switchboard.TeamID     `json:"teams,omitempty"`
	Networks  []string                 `json:"networks,omitempty"` // as ParseNetworks reads them
	Reason    string                   `json:"reason,omitempty"`   // shown to the operator; at most 500 bytes
	By        string                   `json:"by"`                 // who asked, for the audit
}

// Order is an order and how far it is.
type Order struct {
	OrderSpec
	At      int64 // Redis ms
	Todo    int64 // people not yet worked on
	Awaited int64 // nodes that have yet to look through their addresses
	Out     int64 // signed out
	Leaving int64 // waiting for their work to end
	Offline int64 // named, and not here
}

// State is created, processing or completed. Completed means that everyone meant
// is out or leaving (contracts.md 1.8, quirk 14).
func (o Order) State() string {
	switch {
	case o.Todo == 0 && o.Awaited == 0:
		return "completed"
	case o.Out+o.Leaving+o.Offline > 0:
		return "processing"
	}
	return "created"
}

// Total is how many people the order has met so far.
func (o Order) Total() int64 { return o.Todo + o.Out + o.Leaving + o.Offline }

// Outcome is what an order did to one operator.
type Outcome struct {
	Operator switchboard.OperatorID `json:"-"`
	Name     string                 `json:"-"`
	Email    string                 `json:"-"`
	Number   string                 `json:"-"`
	Previous string                 `json:"previous"` // outward status before
	Current  string                 `json:"current"`  // and after this step
	Outcome  string                 `json:"outcome"`  // out, leaving or offline
	At       int64                  `json:"at"`
}

// NewOrder writes an order and begins it: whoever is named by id or team is in
// its to-do, and every node is asked to look through its addresses when networks
// are named. Work it to an end with WorkOrder; a node that dies before leaves
// that to the others. Errors: CodeInvalid names the field, nothing was written.
func (r *Registry) NewOrder(ctx context.Context, org switchboard.OrgID, spec OrderSpec) error {
	if spec.ID <= 0 {
		return switchboard.Invalid("id", "a positive integer")
	}
	if len(spec.Reason) > 500 {
		return switchboard.Invalid("reason", "at most 500 bytes")
	}
	if _, err := ParseNetworks(spec.Networks); err != nil {
		return err
	}
	people, err := r.meant(ctx, org, spec)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	p, networks := r.Partition(org), "0"
	if len(spec.Networks) > 0 {
		networks = "1"
	}
	first := people[:min(len(people), 1000)]
	args := append([]any{int64(spec.ID), string(raw), networks}, first...)
	if _, err := r.Call(ctx, org, scriptOrder, p.orderKeys(org, spec.ID)[:2], args...); err != nil {
		return err
	}
	if len(spec.Teams) > 0 {
		// Once more, now that the order is written: who came between the look and
		// the order was here when it was given. Those known already are no news.
		if people, err = r.meant(ctx, org, spec); err != nil {
			return err
		}
	} else {
		people = people[len(first):]
	}
	for part := range slices.Chunk(people, 1000) {
		if err := r.orderMore(ctx, org, spec.ID, "", part); err != nil {
			return err
		}
	}
	return nil
}

// meant returns the operators whom an order means by id, and by team those who
// are here.
func (r *Registry) meant(ctx context.Context, org switchboard.OrgID, spec OrderSpec) ([]any, error) {
	ops, err := r.Operators(ctx, org)
	if err != nil {
		return nil, err
	}
	var people []any
	for _, op := range ops {
		named := slices.Contains(spec.Operators, op.ID)
		member := op.Status != switchboard.StatusOffline && slices.ContainsFunc(op.Teams, func(t switchboard.TeamID) bool { return slices.Contains(spec.Teams, t) })
		if op.Account != switchboard.AccountDeleted && (named || member) {
			people = append(people, int64(op.ID))
		}
	}
	return people, nil
}

func (r *Registry) orderMore(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID, scanned string, people []any) error {
	args := append([]any{int64(id), scanned}, people...)
	_, err := r.Call(ctx, org, scriptOrderMore, r.Partition(org).orderKeys(org, id), args...)
	return err
}

// OrderScanned adds the operators whom this node found inside an order's
// networks and, when done, says that it has looked through all its addresses.
func (r *Registry) OrderScanned(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID, found []switchboard.OperatorID, done bool) error {
	scanned := ""
	if done {
		scanned = r.Incarnation()
	}
	people := make([]any, len(found))
	for i, op := range found {
		people[i] = int64(op)
	}
	for len(people) > 1000 {
		if err := r.orderMore(ctx, org, id, "", people[:1000]); err != nil {
			return err
		}
		people = people[1000:]
	}
	return r.orderMore(ctx, org, id, scanned, people)
}

// WorkOrder carries an order out on up to n (at most 100) people of its to-do
// and returns how many people and nodes are still to come.
func (r *Registry) WorkOrder(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID, n int) (todo, awaited int64, err error) {
	reply, err := r.Call(ctx, org, scriptOrderApply, r.Partition(org).orderKeys(org, id), int64(id), min(n, 100))
	if err != nil {
		return 0, 0, err
	}
	if reply.Status == "NOTFOUND" {
		return 0, 0, switchboard.Errorc(switchboard.CodeNotFound, "no such order")
	}
	return reply.Int(0), reply.Int(1), nil
}

// workOrder goes on with an order whose deadline rang: its first worker is slow
// or dead. Nodes that died are no longer awaited.
func (r *Registry) workOrder(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) error {
	if err := r.orderMore(ctx, org, id, "", nil); err != nil {
		return err
	}
	for {
		todo, _, err := r.WorkOrder(ctx, org, id, 100)
		if err != nil || todo == 0 {
			return err
		}
	}
}

// Order returns an order and how far it is. Errors: CodeNotFound.
func (r *Registry) Order(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) (Order, error) {
	p, n := r.Partition(org), strconv.FormatInt(int64(id), 10)
	keys := p.orderKeys(org, id)
	pipe := r.rdb.Pipeline()
	fields := pipe.HMGet(ctx, p.Key(org, "order"), n, n+":at", n+":out", n+":leaving", n+":offline")
	todo, awaited := pipe.SCard(ctx, keys[0]), pipe.SCard(ctx, keys[1])
	if _, err := pipe.Exec(ctx); err != nil {
		return Order{}, r.storeError("order", err)
	}
	f := fields.Val()
	raw, ok := f[0].(string)
	if !ok {
		return Order{}, switchboard.Errorc(switchboard.CodeNotFound, "no such order")
	}
	o := Order{Todo: todo.Val(), Awaited: awaited.Val()}
	if err := json.Unmarshal([]byte(raw), &o.OrderSpec); err != nil {
		return o, fmt.Errorf("order %d: %w", id, err)
	}
	for i, dst := range []*int64{&o.At, &o.Out, &o.Leaving, &o.Offline} {
		text, _ := f[i+1].(string)
		*dst, _ = strconv.ParseInt(text, 10, 64) // a counter that is missing is 0
	}
	return o, nil
}

// Outcomes returns what an order did to each operator so far, by operator id.
// One who was leaving and has left since is shown as out.
func (r *Registry) Outcomes(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) ([]Outcome, error) {
	all, err := r.rdb.HGetAll(ctx, r.Partition(org).orderKeys(org, id)[2]).Result()
	if err != nil {
		return nil, r.storeError("outcomes", err)
	}
	ops, err := r.Operators(ctx, org)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, 0, len(all))
	for _, op := range ops {
		raw, ok := all[strconv.FormatInt(int64(op.ID), 10)]
		if !ok {
			continue
		}
		o := Outcome{Operator: op.ID, Name: op.Name, Email: op.Email, Number: op.Number}
		if err := json.Unmarshal([]byte(raw), &o); err != nil {
			return nil, fmt.Errorf("outcome of %d: %w", op.ID, err)
		}
		if o.Outcome == "leaving" && (op.Leaving == nil || !slices.Contains(op.Leaving.Orders, id)) {
			o.Outcome, o.Current = "out", switchboard.StatusOffline
		}
		out = append(out, o)
	}
	return out, nil
}

// OpenNetworks returns the networks of an order that still looks for people.
func (r *Registry) OpenNetworks(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) (func(netip.Addr) bool, error) {
	raw, err := r.rdb.HGet(ctx, r.Partition(org).Key(org, "order"), strconv.FormatInt(int64(id), 10)).Result()
	if errors.Is(err, redis.Nil) {
		return nil, switchboard.Errorc(switchboard.CodeNotFound, "no such order")
	}
	if err != nil {
		return nil, r.storeError("order", err)
	}
	var spec OrderSpec
	if err := json.Unmarshal([]byte(raw), &spec); err != nil {
		return nil, fmt.Errorf("order %d: %w", id, err)
	}
	nets, err := ParseNetworks(spec.Networks)
	if err != nil {
		return nil, fmt.Errorf("order %d: %w", id, err)
	}
	return nets.Contains, nil
}

func orderIDs(text string) ([]switchboard.OrderID, error) {
	var out []switchboard.OrderID
	for id := range strings.SplitSeq(text, ",") {
		if id == "" {
			continue
		}
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("order id %q: %w", id, err)
		}
		out = append(out, switchboard.OrderID(n))
	}
	return out, nil
}
