package presence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// Phases of an order as the store has them; "" is at work.
const (
	phaseScheduled = "scheduled"
	phaseCancelled = "cancelled"
)

// States of an order.
const (
	OrderScheduled  = "scheduled"  // its time is yet to come
	OrderCreated    = "created"    // nobody has been met yet
	OrderProcessing = "processing" // some have
	OrderCompleted  = "completed"  // everybody meant is out or leaving (contracts.md 1.8, quirk 14)
	OrderStanding   = "standing"   // so is everybody who was there, and who connects is met
	OrderCancelled  = "cancelled"
)

// What an order did to one operator.
const (
	OutcomeOut       = "out"
	OutcomeLeaving   = "leaving"   // when the work ends
	OutcomeOffline   = "offline"   // named, and was not here
	OutcomeCancelled = "cancelled" // was leaving, and stays
)

// Order is an order and how far it is.
type Order struct {
	OrderSpec
	Asked     int64 // when, Redis ms
	Todo      int64 // people not yet worked on
	Awaited   int64 // nodes that have yet to look through their addresses, and the look for names
	Out       int64 // signed out
	Leaving   int64 // waiting for their work to end
	Offline   int64 // named, and not here
	Cancelled int64 // were leaving when it was cancelled

	phase   string
	unnamed bool // names are yet to be looked for
}

// State says where the order stands.
func (o Order) State() string {
	switch {
	case o.phase == phaseScheduled:
		return OrderScheduled
	case o.phase == phaseCancelled:
		return OrderCancelled
	case o.Todo == 0 && o.Awaited == 0 && o.Standing:
		return OrderStanding
	case o.Todo == 0 && o.Awaited == 0:
		return OrderCompleted
	case o.Out+o.Leaving+o.Offline > 0:
		return OrderProcessing
	}
	return OrderCreated
}

// Total is how many people the order has met so far.
func (o Order) Total() int64 { return o.Todo + o.Out + o.Leaving + o.Offline + o.Cancelled }

// Outcome is what an order did to one operator.
type Outcome struct {
	Operator switchboard.OperatorID `json:"-"`
	Name     string                 `json:"-"`
	Email    string                 `json:"-"`
	Number   string                 `json:"-"`
	Previous string                 `json:"previous"` // outward status before
	Current  string                 `json:"current"`  // and after this step
	Outcome  string                 `json:"outcome"`
	At       int64                  `json:"at"` // of this outcome, Redis ms
	Why      string                 `json:"why"`
	Chats    int                    `json:"chats"` // held when the order met the operator
	Calls    int                    `json:"calls"`
	Dry      bool                   `json:"dry"` // it would have happened
}

// Order returns an order and how far it is. Errors: CodeNotFound.
func (r *Registry) Order(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) (Order, error) {
	all, err := r.OrdersOf(ctx, org, []switchboard.OrderID{id})
	if err != nil {
		return Order{}, err
	}
	if len(all) == 0 {
		return Order{}, errNoOrder
	}
	return all[0], nil
}

// Orders returns at most n orders whose ids are below before (0: the newest),
// newest first; no dry runs.
func (r *Registry) Orders(ctx context.Context, org switchboard.OrgID, before switchboard.OrderID, n int) ([]Order, error) {
	top := "+inf"
	if before > 0 {
		top = "(" + strconv.FormatInt(int64(before), 10)
	}
	list, err := r.rdb.ZRevRangeByScore(ctx, r.Partition(org).Key(org, "orders"), &redis.ZRangeBy{Min: "-inf", Max: top, Count: int64(n)}).Result()
	if err != nil {
		return nil, r.storeError("orders", err)
	}
	ids, err := orderIDs(strings.Join(list, ","))
	if err != nil {
		return nil, err
	}
	return r.OrdersOf(ctx, org, ids)
}

// OrdersOf returns the orders of these ids that are there, in the same order.
func (r *Registry) OrdersOf(ctx context.Context, org switchboard.OrgID, ids []switchboard.OrderID) ([]Order, error) {
	p := r.Partition(org)
	pipe := r.rdb.Pipeline()
	type read struct {
		fields *redis.SliceCmd
		todo   *redis.IntCmd
		wait   *redis.IntCmd
		names  *redis.BoolCmd
	}
	reads := make([]read, len(ids))
	for i, id := range ids {
		n, keys := strconv.FormatInt(int64(id), 10), p.orderKeys(org, id)
		reads[i] = read{
			pipe.HMGet(ctx, p.Key(org, "order"), n, n+":phase", n+":at", n+":out", n+":leaving", n+":offline", n+":cancelled"),
			pipe.SCard(ctx, keys[0]), pipe.SCard(ctx, keys[1]), pipe.SIsMember(ctx, keys[1], theNames)}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, r.storeError("orders", err)
	}
	var out []Order
	for i, got := range reads {
		f := got.fields.Val()
		raw, ok := f[0].(string)
		if !ok {
			continue
		}
		o := Order{Todo: got.todo.Val(), Awaited: got.wait.Val(), unnamed: got.names.Val()}
		o.phase, _ = f[1].(string)
		if err := json.Unmarshal([]byte(raw), &o.OrderSpec); err != nil {
			return nil, fmt.Errorf("order %d: %w", ids[i], err)
		}
		for k, dst := range []*int64{&o.Asked, &o.Out, &o.Leaving, &o.Offline, &o.Cancelled} {
			text, _ := f[k+2].(string)
			*dst, _ = strconv.ParseInt(text, 10, 64) // a counter that is missing is 0
		}
		out = append(out, o)
	}
	return out, nil
}

// Outcomes returns what an order did to each operator so far, by operator id.
// One who was leaving and has left since is shown as out.
func (r *Registry) Outcomes(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) ([]Outcome, error) {
	all, err := r.rdb.HGetAll(ctx, r.Partition(org).orderKeys(org, id)[2]).Result()
	if err != nil {
		return nil, r.storeError("outcomes", err)
	}
	ids := make([]switchboard.OperatorID, 0, len(all))
	for text := range all {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("outcome of %q: %w", text, err)
		}
		ids = append(ids, switchboard.OperatorID(n))
	}
	slices.Sort(ids)
	ops, err := r.operatorsOf(ctx, org, ids)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, 0, len(all))
	for _, one := range ids {
		op := ops[one]
		o := Outcome{Operator: one, Name: op.Name, Email: op.Email, Number: op.Number}
		if err := json.Unmarshal([]byte(all[strconv.FormatInt(int64(one), 10)]), &o); err != nil {
			return nil, fmt.Errorf("outcome of %d: %w", one, err)
		}
		left := op.ID == 0 || op.Floor >= o.At // else an assertion after a failover took the mark
		if o.Outcome == OutcomeLeaving && !o.Dry && left && (op.Leaving == nil || !slices.Contains(op.Leaving.Orders, id)) {
			o.Outcome, o.Current, o.At = OutcomeOut, switchboard.StatusOffline, max(o.At, op.Floor)
		}
		out = append(out, o)
	}
	return out, nil
}

// Meant returns whom an order means so far, worked on or not, by operator id.
func (r *Registry) Meant(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) ([]switchboard.OperatorID, error) {
	keys, pipe := r.Partition(org).orderKeys(org, id), r.rdb.TxPipeline()
	todo, done := pipe.SMembers(ctx, keys[0]), pipe.HKeys(ctx, keys[2])
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, r.storeError("meant", err)
	}
	var out []switchboard.OperatorID
	for _, text := range append(todo.Val(), done.Val()...) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("meant: %q: %w", text, err)
		}
		out = append(out, switchboard.OperatorID(n))
	}
	slices.Sort(out)
	return out, nil
}

// onceFor is how long an idempotency key stands for its order.
const onceFor = 24 * time.Hour

// Once returns the order that an idempotency key stands for: id, unless the key
// was used before. request is what is asked for, in bytes. Errors: CodeConflict
// when the key was used for another request.
func (r *Registry) Once(ctx context.Context, org switchboard.OrgID, key string, request []byte, id switchboard.OrderID) (switchboard.OrderID, error) {
	name, body := sha256.Sum256([]byte(key)), sha256.Sum256(request)
	what := hex.EncodeToString(body[:16])
	old, err := r.rdb.SetArgs(ctx, r.Partition(org).Key(org, "once:"+hex.EncodeToString(name[:16])), strconv.FormatInt(int64(id), 10)+" "+what,
		redis.SetArgs{Mode: "NX", Get: true, TTL: onceFor}).Result()
	if errors.Is(err, redis.Nil) {
		return id, nil
	}
	if err != nil {
		return 0, r.storeError("once", err)
	}
	text, was, _ := strings.Cut(old, " ")
	if was != what {
		return 0, &switchboard.Error{Code: switchboard.CodeConflict, Field: "Idempotency-Key", Message: "this key was used for another request"}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("once: %q: %w", old, err)
	}
	return switchboard.OrderID(n), nil
}
