package gateway

import (
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// limiters are this node's buckets. Address, person and organization
// have separate ones, so that one noisy site cannot stop another (V-6). The tenant's
// (Limits.APIPerTenant) counts over all nodes: it is in the store.
type limiters struct {
	all      *limiter[struct{}]
	addrs    *limiter[netip.Prefix]
	orgs     *limiter[switchboard.OrgID]
	sessions *limiter[netip.Prefix]
	perOrg   *limiter[switchboard.OrgID]
	refused  prometheus.Counter // of a tenant's API limit, which is the store's
}

func newLimiters(l Limits, reg prometheus.Registerer) *limiters {
	m := newLimitMetrics(reg)
	every := func(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }
	burst := func(rate float64, seconds float64) int { return max(int(rate*seconds), 1) }
	return &limiters{
		all:      newLimiter[struct{}](m, "connects", every(l.ConnectsPerSecond), burst(l.ConnectsPerSecond, 0.1), 2),
		addrs:    newLimiter[netip.Prefix](m, "connects_addr", every(l.ConnectsPerAddr), burst(l.ConnectsPerAddr, 4), 100_000),
		orgs:     newLimiter[switchboard.OrgID](m, "connects_org", every(l.ConnectsPerOrg), burst(l.ConnectsPerOrg, 10), 10_000),
		sessions: newLimiter[netip.Prefix](m, "sessions_addr", every(l.SessionsPerAddr), burst(l.SessionsPerAddr, 6), 100_000),
		perOrg:   newLimiter[switchboard.OrgID](m, "sessions_org", every(l.SessionsPerOrg), burst(l.SessionsPerOrg, 5), 10_000),
		refused:  m.refused.WithLabelValues("api_tenant"),
	}
}

// connect admits a socket, by its address first: who is over their own limit
// must not use up everybody's.
func (l *limiters) connect(addr netip.Addr) (wait time.Duration, ok bool) {
	if ok, wait := l.addrs.Allow(addrKey(addr)); !ok {
		return wait, false
	}
	ok, wait = l.all.Allow(struct{}{})
	return wait, ok
}

// enter admits a socket once its organization is known: one organization must not
// use up everybody's for long. (Its bucket is deep, so that all its people may come
// back at once after a node's death.)
func (l *limiters) enter(org switchboard.OrgID) error {
	if ok, wait := l.orgs.Allow(org); !ok {
		return &switchboard.Error{Code: switchboard.CodeTooFast, Message: "too many connections of this organization at once", RetryAfter: wait}
	}
	return nil
}

func (l *limiters) session(addr netip.Addr) (wait time.Duration, ok bool) {
	ok, wait = l.sessions.Allow(addrKey(addr))
	return wait, ok
}

func (l *limiters) visitors(org switchboard.OrgID) (wait time.Duration, ok bool) {
	ok, wait = l.perOrg.Allow(org)
	return wait, ok
}
