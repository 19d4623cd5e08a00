package gateway

import (
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// limitMetrics counts what limiters do, by the name of the limit.
type limitMetrics struct {
	refused, forgotten *prometheus.CounterVec
}

func newLimitMetrics(reg prometheus.Registerer) *limitMetrics {
	m := &limitMetrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchboard_gateway_limit_refused_total", Help: "Requests refused because their key was over its rate.",
		}, []string{"limit"}),
		forgotten: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchboard_gateway_limit_forgotten_total", Help: "Keys dropped while still owing time, because a limiter was full; each began anew.",
		}, []string{"limit"}),
	}
	reg.MustRegister(m.refused, m.forgotten)
	return m
}

// limiter holds one token bucket for each key, in bounded memory. It may be
// used concurrently and owns no goroutine.
//
// A bucket is one number: the time at which it will be full again (GCRA). A full
// bucket is the same as none, so what has been idle for as long as a bucket
// takes to fill is dropped without loss. Two maps do that without looking at
// single keys: keys in use are in fresh; every period fresh becomes stale and
// stale is dropped.
type limiter[K comparable] struct {
	every     time.Duration // between two tokens
	burst     time.Duration // of a full bucket, in time
	period    time.Duration
	size      int // keys in one map
	refused   prometheus.Counter
	forgotten prometheus.Counter
	epoch     time.Time // of the monotonic clock that buckets are counted in

	mu           sync.Mutex
	fresh, stale map[K]time.Duration // key -> full again at
	turned       time.Duration
}

// newLimiter allows burst events at once and one more each every for each key,
// and remembers at most keys of them. name labels its metrics.
//
// When more keys than that are in use at once the oldest begin anew with full
// buckets: an attacker with many addresses must not be able to lock everybody
// else out, which refusing new keys would do.
func newLimiter[K comparable](m *limitMetrics, name string, every time.Duration, burst, keys int) *limiter[K] {
	full := every * time.Duration(burst)
	return &limiter[K]{
		every: every, burst: full, period: max(full, time.Second), size: max(keys/2, 1),
		refused: m.refused.WithLabelValues(name), forgotten: m.forgotten.WithLabelValues(name),
		epoch: time.Now(), fresh: map[K]time.Duration{},
	}
}

// Allow takes a token of the key's bucket. When there is none, nothing is taken
// and retryAfter says when there will be one.
func (l *limiter[K]) Allow(key K) (ok bool, retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.epoch)
	if now-l.turned >= l.period {
		l.turn(now)
	}
	full, known := l.fresh[key]
	if !known {
		full = l.stale[key]
	}
	full = max(full, now) + l.every
	if wait := full - now - l.burst; wait > 0 {
		l.refused.Inc()
		return false, wait
	}
	if !known && len(l.fresh) >= l.size {
		l.turn(now)
	}
	l.fresh[key] = full
	return true, 0
}

// turn drops the keys that were not used since the last turn but one.
func (l *limiter[K]) turn(now time.Duration) {
	// After a whole period they are all full again; before, count what is lost.
	if now-l.turned < l.period {
		for key, full := range l.stale {
			if _, again := l.fresh[key]; !again && full > now {
				l.forgotten.Inc()
			}
		}
	}
	l.stale, l.fresh, l.turned = l.fresh, map[K]time.Duration{}, now
}

// addrKey is the key of an address for limits: IPv6 by /64, which is what one
// household or one attacker has at least. All unknown addresses share one key.
func addrKey(a netip.Addr) netip.Prefix {
	a = a.Unmap() // a prefix has no zone
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked()
	}
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, 32)
}

// tooFast is the error for a refused Allow.
func tooFast(retryAfter time.Duration) error {
	return &switchboard.Error{Code: switchboard.CodeTooFast, Message: "too many requests; slow down", RetryAfter: retryAfter}
}
