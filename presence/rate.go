package presence

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// Rate is the limit of API requests that an organization has over all nodes
// together, in the time of its store. It may be used concurrently.
type Rate struct {
	reg   *Registry
	every time.Duration // between two requests
	burst int           // requests at once

	mu  sync.Mutex
	shy map[switchboard.OrgID]time.Time // nothing is to be had before
}

// maxShy bounds what a Rate remembers: one more and it asks the store again.
const maxShy = 10_000

// NewRate returns a limit of so many requests per second (more than 0), as many
// of them at once as come in a second, at least one.
func (r *Registry) NewRate(perSecond float64) *Rate {
	return &Rate{reg: r, every: time.Duration(float64(time.Second) / perSecond), burst: max(int(perSecond), 1), shy: map[switchboard.OrgID]time.Time{}}
}

// PerSecond is the limit.
func (l *Rate) PerSecond() float64 { return float64(time.Second) / float64(l.every) }

// Take takes one request of an organization's: 0, or for how long there is none.
// One that is over the limit costs the store one call; those that follow within
// that time cost it nothing. Errors as in Registry.Call: nothing is known then.
func (l *Rate) Take(ctx context.Context, org switchboard.OrgID) (wait time.Duration, err error) {
	l.mu.Lock()
	wait = time.Until(l.shy[org])
	l.mu.Unlock()
	if wait > 0 {
		return wait, nil
	}
	key := l.reg.Partition(org).Key(org, "rate")
	raw, err := l.reg.eval(ctx, scriptRate, []string{key}, max(l.every.Microseconds(), 1), l.burst)
	if err != nil {
		return 0, err
	}
	us, ok := raw.(int64)
	if !ok {
		return 0, fmt.Errorf("rate: unexpected reply %T", raw)
	}
	wait = time.Duration(us) * time.Microsecond
	if wait > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.shy) >= maxShy {
			clear(l.shy)
		}
		l.shy[org] = time.Now().Add(wait)
	}
	return wait, nil
}
