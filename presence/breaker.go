package presence

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// breaker stops calls to a server that does not answer: people hear at once that
// they must try again, and the server's return meets no storm. It opens when a
// pipeline ran into its time, or failuresToOpen failed in a row, and then lets a
// single call through now and again; the first that succeeds closes it.
// Guarded by the lane's lock.
type breaker struct {
	open     bool
	failures int
	since    time.Time // when it opened
	probe    time.Time // when the next call may pass
	pause    time.Duration
}

const (
	failuresToOpen = 5
	probeFirst     = 100 * time.Millisecond
	probeMost      = 500 * time.Millisecond
)

func (b *breaker) allow(now time.Time) bool {
	if !b.open {
		return true
	}
	if now.Before(b.probe) {
		return false
	}
	b.pause = min(2*b.pause, probeMost)
	b.probe = now.Add(b.pause)
	return true
}

// note takes the outcome of a pipeline and reports whether the breaker opened or
// closed by it.
func (b *breaker) note(away, late bool, now time.Time) bool {
	if !away {
		was := b.open
		*b = breaker{}
		return was
	}
	b.failures++
	if b.open { // counted from the end: a probe takes long where a store hangs
		b.probe = now.Add(b.pause)
		return false
	}
	if !late && b.failures < failuresToOpen {
		return false
	}
	b.open, b.since, b.pause = true, now, probeFirst
	b.probe = now.Add(probeFirst)
	return true
}

// isAway reports whether an error says that the server cannot be asked now, as
// against an answer of its own.
func isAway(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed) {
		return true
	}
	for _, code := range []string{"LOADING", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "NOREPLICAS", "BUSY"} {
		if redis.HasErrorPrefix(err, code) {
			return true
		}
	}
	return strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "all sentinels")
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// spare returns the further grace of people in a partition whose store was away:
// they could not come back, and are given the time that a crash gives.
func (r *Registry) spare(p Partition) time.Duration {
	r.ids.mu.Lock()
	defer r.ids.mu.Unlock()
	return max(0, time.Until(r.ids.spare[p.Tag]))
}

// awayChanged tells of a server that stopped or began to answer; outage is how
// long it did not.
func (r *Registry) awayChanged(parts []Partition, away bool, outage time.Duration) {
	if !away && outage >= r.cfg.Beat {
		r.ids.mu.Lock()
		for _, p := range parts {
			r.ids.spare[p.Tag] = time.Now().Add(r.cfg.CrashGrace)
		}
		r.ids.mu.Unlock()
	}
	if away {
		r.metrics.opened.Inc()
		r.log.Warn("the store does not answer; calls are refused until it does", "partitions", len(parts))
	} else {
		r.log.Info("the store answers again", "partitions", len(parts), "outage", outage)
	}
	if r.cfg.Away != nil && len(parts) > 0 {
		r.cfg.Away(parts, away)
	}
}

// Away reports whether the store of a partition does not answer now.
func (r *Registry) Away(p Partition) bool {
	l := r.lane(p.Tag)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaker.open
}
