package presence

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
)

// sweepLoop answers due deadlines and reaps the dead in the partitions whose
// chores fall to this node. Deadlines live in Redis: a node that dies in the
// middle leaves them due, and the next keeper goes on.
func (r *Registry) sweepLoop(ctx context.Context, l *lease, ring func(context.Context, string, switchboard.OrgID, string) error) {
	tick := time.NewTicker(r.cfg.Sweep)
	defer tick.Stop()
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// The dead are looked for when somebody was buried, and now and again: at rest
		// nearly all that Redis is asked is this.
		dead := l.lostSome() || round%deadEvery == 0
		for _, p := range l.mine() {
			if err := r.sweep(ctx, p, dead, ring); err != nil && ctx.Err() == nil {
				r.log.Warn("sweep failed", "node", r.Incarnation(), "partition", p.Tag, "err", err)
			}
		}
	}
}

// deadEvery is how many sweeps go by at most between two looks for the dead.
const deadEvery = 10

// Sweep answers what is due now in every partition, whoever keeps it; Run does so
// by itself. For tests and repair.
func (r *Registry) Sweep(ctx context.Context, ring func(context.Context, string, switchboard.OrgID, string) error) error {
	for _, p := range r.Partitions() {
		if err := r.sweep(ctx, p, false, ring); err != nil {
			return err
		}
	}
	return nil
}

// sweep answers up to 10 x 100 due alarms of one partition, then reaps if asked.
func (r *Registry) sweep(ctx context.Context, p Partition, dead bool, ring func(context.Context, string, switchboard.OrgID, string) error) error {
	const batch = 100
	who := 0
	if dead {
		who = 1
	}
	for round := range 10 {
		raw, err := r.eval(ctx, scriptSweep, []string{p.key("due"), p.key("iq")}, batch, who)
		if err != nil {
			return err
		}
		r.ids.mu.Lock()
		r.ids.swept[p.Tag] = time.Now()
		r.ids.mu.Unlock()
		list, ok := raw.([]any)
		if !ok || len(list) != 3 {
			return fmt.Errorf("sweep: unexpected reply %T", raw)
		}
		if late, ok := list[2].(int64); ok && round == 0 {
			r.metrics.late.Set(float64(late) / 1000)
		}
		due := texts(list[0])
		for _, alarm := range due {
			if err := r.answer(ctx, alarm, ring); err != nil && ctx.Err() == nil {
				r.log.Warn("an alarm was not answered; it rings again", "alarm", alarm, "err", err)
			}
		}
		if round == 0 {
			if err := r.reapDead(ctx, p, texts(list[1])); err != nil {
				return err
			}
		}
		if len(due) < batch || ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// reapDead reaps incarnations that have something in a partition and that the
// registry no longer knows. The registry is asked after the partition was read,
// and a node is in the registry before it joins one: so whoever is missing is
// dead, not new.
func (r *Registry) reapDead(ctx context.Context, p Partition, incs []string) error {
	if len(incs) == 0 {
		return nil
	}
	known, err := r.rdb.HMGet(ctx, keyNodes, incs...).Result()
	if err != nil {
		return r.storeError("nodes", err)
	}
	for i, inc := range incs {
		if known[i] == nil {
			if err := r.reap(ctx, p, inc); err != nil {
				return err
			}
		}
	}
	return nil
}

// answer carries out one alarm: kind/org/id. The scripts check that it is due
// and remove it themselves, so a doubled answer does nothing.
func (r *Registry) answer(ctx context.Context, alarm string, ring func(context.Context, string, switchboard.OrgID, string) error) error {
	kind, org, id, ok := splitAlarm(alarm)
	if !ok {
		return fmt.Errorf("no alarm: %q", alarm)
	}
	r.metrics.alarms.Inc()
	switch kind {
	case alarmGrace:
		_, err := r.Call(ctx, org, scriptGrace, nil, id, r.spare(r.Partition(org)).Milliseconds())
		return err
	case alarmWrap:
		_, err := r.Call(ctx, org, scriptWrap, nil, id)
		return err
	case alarmCall:
		op, call, _ := strings.Cut(id, "/")
		_, err := r.Call(ctx, org, scriptCall, nil, op, call, 0, "ring")
		return err
	case alarmTask:
		op, task, _ := strings.Cut(id, "/")
		_, err := r.Call(ctx, org, scriptTask, nil, op, task, 0, "ring")
		return err
	case alarmUntil:
		_, err := r.Call(ctx, org, scriptLapse, nil, id)
		return err
	case alarmIdle:
		_, err := r.Call(ctx, org, scriptIdle, nil, id, "ring")
		return err
	case alarmFlap:
		return r.flapping(ctx, org, id)
	case alarmCut:
		_, err := r.Call(ctx, org, scriptCut, nil, id)
		return err
	case alarmSettle:
		return r.settleAgain(ctx, org)
	case alarmOrder:
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return fmt.Errorf("no order: %q", alarm)
		}
		return r.workOrder(ctx, org, switchboard.OrderID(n))
	}
	return ring(ctx, kind, org, id)
}

func splitAlarm(s string) (kind string, org switchboard.OrgID, id string, ok bool) {
	kind, rest, ok1 := strings.Cut(s, "/")
	o, id, ok2 := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(o, 10, 64)
	return kind, switchboard.OrgID(n), id, ok1 && ok2 && err == nil
}

func splitEdge(s string) (switchboard.OrgID, string, bool) {
	o, person, ok := strings.Cut(s, "/")
	n, err := strconv.ParseInt(o, 10, 64)
	return switchboard.OrgID(n), person, ok && err == nil
}

// texts reads a reply that is a list of strings.
func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		out = append(out, fmt.Sprint(e))
	}
	return out
}
