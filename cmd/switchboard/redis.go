package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// How every client speaks to Redis. Measured: without ContextTimeoutEnabled a
// context of 1 s returned after 5 s on a frozen Redis; without the short reload
// a cluster was without writes for 59 s after a master's death, with it for 4 s.
// Nothing is retried by the library: it cannot know what is idempotent.
const (
	dialTimeout  = 500 * time.Millisecond
	readTimeout  = time.Second
	reloadEvery  = time.Second
	noRetries    = -1
	dialAttempts = 1
)

const redisForms = "redis://host:6379, rediss://host:6379 (TLS), unix:///path/redis.sock, " +
	"redis-sentinel://host1:26379,host2:26379?master_name=name, redis-cluster://host1:6379,host2:6379 (and rediss-… for TLS)"

// parseRedis reads the address of a Redis and returns what makes clients of it.
// It does not connect.
func parseRedis(address string) (func() redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil, fmt.Errorf("this is no address of a Redis; it looks like one of %s", redisForms)
	}
	var open func() redis.UniversalClient
	var err error
	switch base, kind, _ := strings.Cut(scheme, "-"); {
	case kind == "" && (base == "redis" || base == "rediss" || base == "unix"):
		open, err = parseSingle(address)
	case kind == "sentinel" && (base == "redis" || base == "rediss"):
		open, err = parseSentinel(base + "://" + hosts(rest))
	case kind == "cluster" && (base == "redis" || base == "rediss"):
		open, err = parseCluster(base + "://" + hosts(rest))
	default:
		return nil, fmt.Errorf("unknown kind of address %q; it looks like one of %s", scheme, redisForms)
	}
	if err != nil {
		// An error of net/url repeats the address, password and all.
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("the address cannot be read: %w", err)
	}
	return open, nil
}

// hosts brings user@a:1,b:2/path?query into the form of go-redis, which has the
// further hosts as parameters.
func hosts(rest string) string {
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	at := strings.LastIndex(authority, "@") + 1
	all := strings.Split(authority[at:], ",")
	out := authority[:at] + all[0] + tail
	for _, host := range all[1:] {
		join := "&"
		if !strings.Contains(out, "?") {
			join = "?"
		}
		out += join + "addr=" + url.QueryEscape(host)
	}
	return out
}

func parseSingle(address string) (func() redis.UniversalClient, error) {
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	o.Protocol, o.ContextTimeoutEnabled = 2, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, readTimeout, readTimeout
	o.MaxRetries, o.DialerRetries = noRetries, dialAttempts
	return func() redis.UniversalClient {
		own := *o // a client changes its settings
		return redis.NewClient(&own)
	}, nil
}

func parseSentinel(address string) (func() redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(address)
	if err != nil {
		return nil, err
	}
	if o.MasterName == "" {
		return nil, fmt.Errorf("a Sentinel needs ?master_name=")
	}
	o.Protocol, o.ContextTimeoutEnabled = 2, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, readTimeout, readTimeout
	o.MaxRetries, o.DialerRetries = noRetries, dialAttempts
	return func() redis.UniversalClient {
		own := *o
		return redis.NewFailoverClient(&own)
	}, nil
}

func parseCluster(address string) (func() redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(address)
	if err != nil {
		return nil, err
	}
	o.Protocol, o.ContextTimeoutEnabled = 2, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = dialTimeout, readTimeout, readTimeout
	o.MaxRetries, o.DialerRetries = noRetries, dialAttempts
	o.ClusterStateReloadInterval = reloadEvery
	return func() redis.UniversalClient {
		own := *o
		return redis.NewClusterClient(&own)
	}, nil
}

// redact hides the password of an address, and any parameter that names one.
func redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if at := strings.LastIndex(rest[:end], "@"); at >= 0 {
		user, _, _ := strings.Cut(rest[:at], ":")
		rest = user + ":xxxxx" + rest[at:]
	}
	before, query, ok := strings.Cut(rest, "?")
	if !ok {
		return scheme + "://" + rest
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		if name, _, _ := strings.Cut(part, "="); strings.Contains(name, "password") {
			parts[i] = name + "=xxxxx"
		}
	}
	return scheme + "://" + before + "?" + strings.Join(parts, "&")
}

// hasPassword reports whether an address carries one.
func hasPassword(address string) bool { return redact(address) != address }
