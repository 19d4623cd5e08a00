package presence

import (
	"context"
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

// How many people one script says something of, and works on: while it runs
// nobody's message is served, and a sign-out takes 100 to 200 µs.
const (
	orderBatch = 100
	orderStep  = 5
)

// theNames stands for the look for who is named by id or team, among those who
// have yet to look (KEYS 18 of the order scripts).
const theNames = "0"

// NewOrder writes an order and, unless it is for later, begins it: whoever is
// named by id or team is in its to-do, and every node is asked to look through
// its addresses when networks are named. Work it to an end with WorkOrder; a node
// that dies before leaves that to the others, from any step on. Errors:
// CodeInvalid names the field, nothing was written; CodeConflict when 100 orders
// look for newcomers already.
func (r *Registry) NewOrder(ctx context.Context, org switchboard.OrgID, spec OrderSpec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	spec.Hold = spec.holds()
	later, err := r.beginOrder(ctx, org, spec, "")
	if err != nil || later {
		return err
	}
	return r.nameOrder(ctx, org, spec)
}

// AssertOrder writes an order again that a failover may have lost; by is who has
// cancelled it, "" when nobody has. Orders that the store has are not touched,
// but by their cancel. Errors as in NewOrder.
func (r *Registry) AssertOrder(ctx context.Context, org switchboard.OrgID, spec OrderSpec, by string) error {
	if by == "" {
		if _, err := r.Order(ctx, org, spec.ID); switchboard.CodeOf(err) != switchboard.CodeNotFound {
			return err
		}
		return r.NewOrder(ctx, org, spec) // its deadline has somebody carry it out
	}
	if _, err := r.beginOrder(ctx, org, spec, by); err != nil {
		return err
	}
	err := r.CancelOrder(ctx, org, spec.ID, by)
	if switchboard.CodeOf(err) == switchboard.CodeConflict {
		return nil // everybody was out before this could be asserted
	}
	return err
}

// beginOrder writes an order, or begins one whose time has come; later says that
// its time is yet to come. by has cancelled it, "" when nobody has.
func (r *Registry) beginOrder(ctx context.Context, org switchboard.OrgID, spec OrderSpec, by string) (later bool, err error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return false, err
	}
	p := r.Partition(org)
	keys := append(p.orderKeys(org, spec.ID), p.Key(org, "orders"))
	reply, err := r.Call(ctx, org, scriptOrder, keys, int64(spec.ID), string(raw), bit(spec.scans()), spec.At, bit(spec.Standing), bit(spec.Dry), by)
	if err != nil {
		return false, err
	}
	if reply.Status == "FULL" {
		return false, switchboard.Errorc(switchboard.CodeConflict, "100 orders look for people who connect already; cancel some")
	}
	return reply.Status == "LATER", nil
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// nameOrder looks for those whom an order means by id, and by team among those
// who are here. It does so after the order was written: who came between was
// here when it was given.
func (r *Registry) nameOrder(ctx context.Context, org switchboard.OrgID, spec OrderSpec) error {
	var marks []mark
	if !spec.inside() && len(spec.Operators)+len(spec.Teams) > 0 {
		ops, err := r.Operators(ctx, org)
		if err != nil {
			return err
		}
		for _, op := range ops {
			if why := spec.byName(op); why != "" {
				marks = append(marks, mark{op.ID, "n " + why})
			}
		}
	}
	return r.orderMore(ctx, org, spec, theNames, marks)
}

// orderMore tells an order of people, and who has finished looking ("" for nobody).
func (r *Registry) orderMore(ctx context.Context, org switchboard.OrgID, spec OrderSpec, done string, marks []mark) error {
	for first := true; first || len(marks) > 0; first = false {
		part := marks[:min(len(marks), orderBatch)]
		marks = marks[len(part):]
		who := ""
		if len(marks) == 0 {
			who = done
		}
		late := 2 * r.cfg.CrashGrace.Milliseconds() // of a node's people: buried, reaped, and then in grace
		if spec.Dry {
			late = 0
		}
		args := []any{int64(spec.ID), who, bit(spec.inside()), bit(spec.Standing), late}
		for _, m := range part {
			args = append(args, int64(m.op), m.text)
		}
		if _, err := r.Call(ctx, org, scriptOrderMore, r.Partition(org).orderKeys(org, spec.ID), args...); err != nil {
			return err
		}
	}
	return nil
}

// OrderFound tells an order what this node found at its addresses and, when
// done, that it has looked through all of them.
func (r *Registry) OrderFound(ctx context.Context, org switchboard.OrgID, o OpenOrder, found []Found, done bool) error {
	scanned := ""
	if done {
		scanned = r.Incarnation()
	}
	if o.Spec.Intersect || len(o.Spec.Except.Operators)+len(o.Spec.Except.Teams) > 0 {
		ids := make([]switchboard.OperatorID, len(found))
		for i, f := range found {
			ids[i] = f.Operator
		}
		recs, err := r.operatorsOf(ctx, org, ids)
		if err != nil {
			return err
		}
		found = slices.DeleteFunc(slices.Clone(found), func(f Found) bool { return f.What&Inside != 0 && !o.Spec.covers(recs[f.Operator]) })
	}
	var marks []mark
	for _, f := range found {
		marks = append(marks, f.marks()...)
	}
	return r.orderMore(ctx, org, o.Spec, scanned, marks)
}

// operatorsOf returns the records of some operators; those that are not there are
// left out.
func (r *Registry) operatorsOf(ctx context.Context, org switchboard.OrgID, ids []switchboard.OperatorID) (map[switchboard.OperatorID]Operator, error) {
	out := make(map[switchboard.OperatorID]Operator, len(ids))
	for part := range slices.Chunk(ids, 500) {
		fields := make([]string, len(part))
		for i, id := range part {
			fields[i] = strconv.FormatInt(int64(id), 10)
		}
		raws, err := r.rdb.HMGet(ctx, r.Partition(org).Key(org, "op"), fields...).Result()
		if err != nil {
			return nil, r.storeError("operators", err)
		}
		for i, raw := range raws {
			text, ok := raw.(string)
			if !ok {
				continue
			}
			var rec Operator
			if err := json.Unmarshal([]byte(text), &rec); err != nil {
				return nil, fmt.Errorf("operator %d: %w", part[i], err)
			}
			out[rec.ID] = rec
		}
	}
	return out, nil
}

// WorkOrder carries an order out on up to n people of its to-do and returns how
// many people and nodes are still to come. It goes in short steps with a rest behind
// each, which is the partition's: of all nodes that work on orders there one goes at a
// time, and messages pass between. Errors: CodeNotFound.
func (r *Registry) WorkOrder(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID, n int) (todo, awaited int64, err error) {
	rest, wait := shortestStep, time.Duration(0)
	for last := int64(-1); n > 0; {
		began := time.Now()
		todo, awaited, wait, err = r.stepOrder(ctx, org, id, min(n, orderStep), orderRest*rest)
		if err != nil || todo == 0 || todo == last && wait == 0 { // it is held, or people come as fast as they go
			return todo, awaited, err
		}
		if wait == 0 {
			rest = max(time.Since(began), shortestStep)
			n, last, wait = n-orderStep, todo, orderRest*rest
		}
		select {
		case <-ctx.Done():
			return todo, awaited, ctx.Err()
		case <-time.After(wait):
		}
	}
	return todo, awaited, nil
}

// After a step the store rests from orders for orderRest times as long as the worker's
// last step took, there and back: where it has much to do, and so takes longer, orders
// leave it more. On two processors, of 10,000 people, all idle ones are out after 7 s with
// a rest of one step of 10, and a message's p99 is 2.8 times that of before; with this
// after 17 s, and 1.5 times (make bench-logout).
const (
	orderRest    = 3
	shortestStep = time.Millisecond
)

// stepOrder is one step. wait: another step's rest lasts for so long yet, nothing was done.
func (r *Registry) stepOrder(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID, n int, rest time.Duration) (todo, awaited int64, wait time.Duration, err error) {
	reply, err := r.Call(ctx, org, scriptOrderApply, r.Partition(org).orderKeys(org, id), int64(id), n, rest.Microseconds())
	if err != nil {
		return 0, 0, 0, err
	}
	if reply.Status == "NOTFOUND" {
		return 0, 0, 0, errNoOrder
	}
	return reply.Int(0), reply.Int(1), time.Duration(reply.Int(2)) * time.Millisecond, nil
}

// workOrder goes on with an order whose deadline rang: its time has come, or its
// worker is slow or dead. Nodes that died are no longer awaited, those that live
// are asked again.
func (r *Registry) workOrder(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) error {
	o, err := r.Order(ctx, org, id)
	if err != nil {
		return err
	}
	switch o.phase {
	case phaseCancelled:
		return r.undoOrder(ctx, org, o, "")
	case phaseScheduled:
		if later, err := r.beginOrder(ctx, org, o.OrderSpec, ""); err != nil || later {
			return err
		}
		o.unnamed = true
	}
	if o.unnamed {
		if err := r.nameOrder(ctx, org, o.OrderSpec); err != nil {
			return err
		}
	}
	if err := r.orderMore(ctx, org, o.OrderSpec, "again", nil); err != nil {
		return err
	}
	began := time.Now()
	for last := int64(-1); ; { // other deadlines wait for this loop: without rests, and not for long
		todo, _, _, err := r.stepOrder(ctx, org, id, orderStep, 0)
		if err != nil || todo == 0 || todo == last || time.Since(began) > time.Second { // todo == last: held, it waits for a node that looks
			return err
		}
		last = todo
	}
}

// CancelOrder stops an order: nobody more is met by it, who is leaving for it
// stays, its fence is lifted. Who is out stays out. by says who asks. Errors:
// CodeNotFound; CodeConflict when there is nothing left to cancel.
func (r *Registry) CancelOrder(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID, by string) error {
	reply, err := r.Call(ctx, org, scriptOrderStop, r.Partition(org).orderKeys(org, id), int64(id), by, "0")
	if err != nil {
		return err
	}
	switch reply.Status {
	case "NOTFOUND":
		return errNoOrder
	case "DONE":
		return switchboard.Errorc(switchboard.CodeConflict, "everybody whom the order means is out; nothing can be cancelled")
	}
	o, err := r.Order(ctx, org, id)
	if err != nil {
		return err
	}
	return r.undoOrder(ctx, org, o, by)
}

// undoOrder carries a cancelled order's end to those who have a result.
func (r *Registry) undoOrder(ctx context.Context, org switchboard.OrgID, o Order, by string) error {
	outcomes, err := r.Outcomes(ctx, org, o.ID)
	if err != nil {
		return err
	}
	var ids []any
	for _, row := range outcomes {
		if row.Outcome == OutcomeLeaving || o.FenceMS > 0 && row.Outcome != OutcomeCancelled {
			ids = append(ids, int64(row.Operator))
		}
	}
	for first := true; first || len(ids) > 0; first = false {
		part := ids[:min(len(ids), 100)]
		ids = ids[len(part):]
		args := append([]any{int64(o.ID), by, bit(len(ids) == 0)}, part...)
		if _, err := r.Call(ctx, org, scriptOrderStop, r.Partition(org).orderKeys(org, o.ID), args...); err != nil {
			return err
		}
	}
	return nil
}

var errNoOrder = switchboard.Errorc(switchboard.CodeNotFound, "no such order")

// OpenOrder returns an order that looks for people by their addresses. Errors:
// CodeNotFound.
func (r *Registry) OpenOrder(ctx context.Context, org switchboard.OrgID, id switchboard.OrderID) (o OpenOrder, err error) {
	raw, err := r.rdb.HGet(ctx, r.Partition(org).Key(org, "order"), strconv.FormatInt(int64(id), 10)).Result()
	if errors.Is(err, redis.Nil) {
		return o, errNoOrder
	}
	if err != nil {
		return o, r.storeError("order", err)
	}
	if err := json.Unmarshal([]byte(raw), &o.Spec); err != nil {
		return o, fmt.Errorf("order %d: %w", id, err)
	}
	if o.nets, err = o.Spec.parse(); err != nil {
		return o, fmt.Errorf("order %d: %w", id, err)
	}
	return o, nil
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
