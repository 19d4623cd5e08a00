package presence

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// This file sends the calls of a node that are ready together as one pipeline.
// A caller who finds a free slot takes everything that waits, its own call
// included, and sends it; when the answers are there the slot goes to one of
// those who came meanwhile. So nobody ever waits for a batch to fill, a lone
// call goes out alone, no goroutine stands by, and a busy node's calls share
// system calls and wake-ups on both sides.
//
// go-redis has AutoPipeline (9.23: marked experimental), which ignores the
// caller's deadline and is not part of UniversalClient; a call that waits must
// end on time here, also while Redis hangs.

const (
	maxFlying  = 2     // pipelines under way at once of one lane
	maxBatch   = 128   // calls of one pipeline
	maxPending = 8_192 // calls that wait; one more is refused at the sender
	// shedAfter is how old the oldest call that waits may be before those that can be
	// refused are (Script.Sheddable): a node that is offered more than its store takes
	// says so at once, instead of letting a backlog grow that nobody sees until it
	// times out, and what must not wait (a heartbeat, a logout, an answer to an offer)
	// waits this long at most. Measured by age and not by length, as CoDel does
	// (RFC 8289, 4.1): a burst that drains in time is none of its business.
	shedAfter = 150 * time.Millisecond
	// flyWithin bounds a pipeline. It has no caller's deadline: they differ.
	flyWithin = 1200 * time.Millisecond
)

// lane combines the calls to one server: all of a single Redis, those of one
// partition in a Cluster.
type lane struct {
	r     *Registry
	parts []Partition // what is away when this server is

	mu      sync.Mutex
	pending []*ask
	flying  int
	breaker breaker
}

// ask is one call that waits for its turn or its answer.
type ask struct {
	what  sent
	keys  []string
	args  []any
	since time.Time     // when it came
	out   chan answer   // capacity 1
	lead  chan struct{} // capacity 1: the slot is this caller's
	leads bool          // lead was given; under the lane's lock
}

type answer struct {
	value any
	err   error
}

// lanes makes the lanes of a registry: the registry's own keys have one too.
func (r *Registry) newLanes() map[string]*lane {
	if !r.cluster {
		return map[string]*lane{"": {r: r, parts: r.parts}}
	}
	out := map[string]*lane{"reg": {r: r}}
	for _, p := range r.parts {
		out[p.Tag] = &lane{r: r, parts: []Partition{p}}
	}
	return out
}

func (r *Registry) lane(tag string) *lane {
	if !r.cluster {
		tag = ""
	}
	return r.lanes[tag]
}

var errBusy = &switchboard.Error{Code: switchboard.CodeUnavailable, RetryAfter: retryAfter,
	Message: "this node has more to do than its store takes; try again"}

var errAway = &switchboard.Error{Code: switchboard.CodeUnavailable, RetryAfter: retryAfter,
	Message: "the store is away; try again"}

// MayBeWritten reports whether a call that failed may have been carried out, or may be
// yet; false for one that this node has not sent, or that the store has refused.
func MayBeWritten(err error) bool {
	return switchboard.CodeOf(err) == switchboard.CodeUnavailable && !errors.Is(err, errAway) && !errors.Is(err, errBusy) &&
		!errors.Is(err, errFenced) && !errors.Is(err, ErrHold)
}

// call sends one call and waits for its answer or for ctx. When ctx ends
// first the call may or may not have been carried out, unless it still waited.
// shed: the call may be refused because others wait too long already.
func (l *lane) call(ctx context.Context, what sent, keys []string, args []any, shed bool) (any, error) {
	now := time.Now()
	a := &ask{what: what, keys: keys, args: args, since: now, out: make(chan answer, 1), lead: make(chan struct{}, 1)}
	l.mu.Lock()
	switch {
	case !l.breaker.allow(now):
		l.mu.Unlock()
		return nil, errAway
	case len(l.pending) >= maxPending, shed && len(l.pending) > 0 && now.Sub(l.pending[0].since) > shedAfter:
		l.mu.Unlock()
		l.r.metrics.shed.Inc()
		return nil, errBusy
	}
	l.pending = append(l.pending, a)
	if l.flying < maxFlying {
		l.flying++
		batch := l.takeLocked()
		l.mu.Unlock()
		l.fly(batch)
	} else {
		l.mu.Unlock()
	}
	for {
		select {
		case got := <-a.out:
			// The slot may have come too, before another caller took this call along.
			if len(a.lead) > 0 {
				l.mu.Lock()
				l.passLocked()
				l.mu.Unlock()
			}
			return got.value, got.err
		case <-a.lead:
			l.mu.Lock()
			batch := l.takeLocked()
			l.mu.Unlock()
			l.fly(batch)
		case <-ctx.Done():
			return l.giveUp(a, ctx.Err())
		}
	}
}

// giveUp takes a caller out whose time is over. One that was given the slot
// passes it on; one whose answer has come takes it.
func (l *lane) giveUp(a *ask, err error) (any, error) {
	l.mu.Lock()
	if i := slices.Index(l.pending, a); i >= 0 {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
	if len(a.lead) > 0 {
		<-a.lead
		l.passLocked()
	}
	l.mu.Unlock()
	select {
	case got := <-a.out:
		return got.value, got.err
	default:
		return nil, err
	}
}

// takeLocked takes the next batch; none when others took all that waited.
func (l *lane) takeLocked() []*ask {
	n := min(len(l.pending), maxBatch)
	batch := l.pending[:n:n]
	l.pending = l.pending[n:]
	if len(l.pending) == 0 {
		l.pending = nil
	}
	return batch
}

// passLocked gives the slot to the first that waits and has none, or frees it.
func (l *lane) passLocked() {
	for _, next := range l.pending {
		if !next.leads {
			next.leads = true
			next.lead <- struct{}{} // capacity 1, given once
			return
		}
	}
	l.flying--
}

// fly sends a batch, hands out its answers and passes the slot on.
func (l *lane) fly(batch []*ask) {
	if len(batch) == 0 { // others took it along
		l.mu.Lock()
		l.passLocked()
		l.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flyWithin)
	defer cancel()
	l.r.metrics.batch.Observe(float64(len(batch)))
	cmds := make([]*redis.Cmd, len(batch))
	if len(batch) == 1 {
		cmds[0] = batch[0].what.on(ctx, l.r.rdb, batch[0].keys, batch[0].args)
	} else {
		pipe := l.r.rdb.Pipeline()
		for i, a := range batch {
			cmds[i] = a.what.on(ctx, pipe, a.keys, a.args)
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
	away, late := true, false
	for i, a := range batch {
		value, err := cmds[i].Result()
		a.out <- answer{value, err}
		if !isAway(err) {
			away = false
		}
		late = late || errors.Is(err, context.DeadlineExceeded) || isTimeout(err)
	}
	var refused []*ask
	l.mu.Lock()
	began := l.breaker.since
	changed := l.breaker.note(away, late, time.Now())
	open := l.breaker.open
	if open { // nobody waits for a store that does not answer
		refused, l.pending = l.pending, nil
	}
	l.passLocked()
	l.mu.Unlock()
	for _, a := range refused {
		a.out <- answer{nil, errAway}
	}
	if changed {
		l.r.awayChanged(l.parts, open, time.Since(began))
	}
}
