package gateway

import (
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/routing"
)

// Config is what a node needs to know. Redis, Accounts and Listen must be set;
// everything else has a default.
type Config struct {
	Redis    redis.UniversalClient
	Accounts *accounts.Store
	Listen   string // address of people's HTTP and sockets, "127.0.0.1:0" picks a port
	Metrics  string // address of /metrics and /debug, "" for none; keep it off the open net

	TrustedProxies []netip.Prefix // whose word on a client's address counts
	ProxyHeader    string         // the header those proxies write: SourceXFF, SourceForwarded, or "" for either
	ProxyProtocol  bool           // the trusted proxies begin every connection with a PROXY header, v1 or v2
	Drain          time.Duration  // over which clients are sent away at a stop; default 10 s
	Store          string         // what /readyz calls the store: redis, embedded or demo

	Resolver *net.Resolver // of webhooks' names; nil: the machine's

	Log        *slog.Logger
	Registerer prometheus.Registerer // a registry of this node's own
	Gatherer   prometheus.Gatherer   // the same, for /metrics

	// Limits and times; the zero value of each is its package's default.
	Limits   Limits
	Presence presence.Config
	Routing  routing.Config
	Hub      hub.Config
}

// Limits bound what one address, person or organization may ask for. They are
// per node: a client cannot choose the node by itself behind a balancer.
type Limits struct {
	ConnectsPerSecond float64 // sockets admitted per second, all together; default 150 for each processor
	ConnectsPerOrg    float64 // of them per organization, so that one's storm leaves room for the others; default four fifths
	ConnectsPerAddr   float64 // and per address (v6: /64); default 50
	SessionsPerAddr   float64 // sign-ins and visitor sessions per second and address; default 5
	SessionsPerOrg    float64 // visitor sessions per second and organization; default 200
	FramesPerSocket   float64 // objects per second of one socket, burst 5 times that; default 50
	APIPerTenant      float64 // requests per second of the CCAI surface; default 10 (contracts.md 1.1)
}

// connectsPerProcessor is how many sockets a node lets in a second and processor
// by default. Opening one takes about half a millisecond of a node's processor
// and half of that of Redis's (make bench-storm); those who are in already must
// not feel a storm of those who come back.
const connectsPerProcessor = 150

// longestSpread is the most that a client waits before it first tries to come back to
// the others of a node that has died: half of the time that its person keeps
// (presence: crash grace 30 s). Let in faster than one other node takes, thousands cost
// those who are in: with 8 s, 5,000 people came back in 12 s and Redis had 4.8 times as
// much to do as before (make bench-storm).
const longestSpread = 16 * time.Second

// spreadOf returns over how long the people of a node that dies should spread their
// return: as long as one other node, as able as this one, takes to let them in. Sooner
// they would be refused, and refusing thousands costs those who are in more than
// letting them in would. A small node's people come back at once.
func spreadOf(connectsPerSecond float64) func(sockets int) time.Duration {
	return func(sockets int) time.Duration {
		return min(longestSpread, time.Duration(float64(sockets)/connectsPerSecond*float64(time.Second)))
	}
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *float64
		value float64
	}{
		{&l.ConnectsPerSecond, connectsPerProcessor * float64(runtime.GOMAXPROCS(0))}, {&l.ConnectsPerAddr, 50}, {&l.SessionsPerAddr, 5}, {&l.SessionsPerOrg, 200},
		{&l.FramesPerSocket, 50}, {&l.APIPerTenant, 10},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if l.ConnectsPerOrg <= 0 {
		l.ConnectsPerOrg = l.ConnectsPerSecond * 4 / 5
	}
	return l
}
