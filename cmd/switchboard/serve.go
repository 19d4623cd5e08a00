package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/switchboard/switchboard/gateway"
)

// nodeFlags are the settings of a node.
type nodeFlags struct {
	store   storeFlags
	listen  *string
	metrics *string
	proxies *[]netip.Prefix
	header  *bool
	drain   *time.Duration
	level   *slog.Level
	format  *string
	limits  limitFlags
}

// limitFlags are gateway.Limits; 0 is the gateway's default.
type limitFlags struct {
	connects, connectsPerAddr       *float64
	connectsPerOrg                  *float64
	sessionsPerAddr, sessionsPerOrg *float64
	frames, api                     *float64
}

func addNodeFlags(f *flags) nodeFlags {
	store := addStoreFlags(f)
	f.rules = append(f.rules, func() error {
		if *store.redis == "" && *store.keyFile == "" {
			return nil // our own redis-server has a key in its data folder
		}
		_, err := store.master(kindRedis)
		return err
	})
	return nodeFlags{
		store:   store,
		listen:  config(f, "listen", "127.0.0.1:8081", "address for people's HTTP and sockets; a proxy in front brings TLS", address),
		metrics: config(f, "metrics-listen", "127.0.0.1:9090", "address of /metrics and /debug, empty for none; keep it off the open net", addressOrNone),
		proxies: config(f, "trusted-proxies", "", "addresses and networks of the proxies whose word on a client's address counts, with commas", gateway.ParseTrusted),
		header:  config(f, "proxy-protocol", "", "the trusted proxies begin every connection with a PROXY protocol header (v1 or v2)", yes),
		drain:   config(f, "drain", "10s", "time over which clients are sent to other nodes at a stop", span(0, 10*time.Minute)),
		level:   config(f, "log-level", "info", "debug, info, warn or error", logLevel),
		format:  config(f, "log-format", "text", "text or json", logFormat),
		limits: limitFlags{
			connects:        config(f, "limit-connects", "0", "sockets admitted per second; 0 is 150 for each processor", rate),
			connectsPerAddr: config(f, "limit-connects-per-address", "0", "the same of one address; 0 is 50", rate),
			connectsPerOrg:  config(f, "limit-connects-per-organization", "0", "the same of one organization; 0 is four fifths of all", rate),
			sessionsPerAddr: config(f, "limit-sessions-per-address", "0", "sign-ins and visitor sessions per second of one address; 0 is 5", rate),
			sessionsPerOrg:  config(f, "limit-sessions-per-organization", "0", "visitor sessions per second of one organization; 0 is 200", rate),
			frames:          config(f, "limit-frames", "0", "objects per second of one socket; 0 is 50", rate),
			api:             config(f, "limit-api", "0", "requests per second of one organization's API; 0 is 10", rate),
		},
	}
}

func (l limitFlags) limits() gateway.Limits {
	return gateway.Limits{
		ConnectsPerSecond: *l.connects, ConnectsPerAddr: *l.connectsPerAddr, ConnectsPerOrg: *l.connectsPerOrg,
		SessionsPerAddr: *l.sessionsPerAddr, SessionsPerOrg: *l.sessionsPerOrg,
		FramesPerSocket: *l.frames, APIPerTenant: *l.api,
	}
}

// atOnce gives the gateway the shortest drain for 0, which it takes for "not
// said".
func atOnce(drain time.Duration) time.Duration { return max(drain, time.Nanosecond) }

func address(raw string) (string, error) {
	if _, port, err := net.SplitHostPort(raw); err != nil || port == "" {
		return "", fmt.Errorf("%q is no address such as 127.0.0.1:8081 or :8081", raw)
	}
	return raw, nil
}

func addressOrNone(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	return address(raw)
}

func serveCommand(f *flags) action {
	n := addNodeFlags(f)
	return func(ctx context.Context, t *terminal) (err error) {
		log := logger(t, *n.level, *n.format)
		st, err := n.store.openStore(ctx, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.close()) }()
		master, err := n.store.master(st.kind)
		if err != nil {
			return err
		}
		return serveNode(ctx, st, master, gateway.Config{
			Listen: *n.listen, Metrics: *n.metrics, TrustedProxies: *n.proxies, ProxyProtocol: *n.header,
			Drain: atOnce(*n.drain), Log: log, Limits: n.limits.limits(),
		})
	}
}

// serveNode runs one node until the context ends. It completes the config with
// a client and a metrics registry of the node's own.
func serveNode(ctx context.Context, st *store, master []byte, cfg gateway.Config) (err error) {
	rdb := st.client()
	defer func() { err = errors.Join(err, rdb.Close()) }()
	if st.kind == kindRedis {
		if err := ready(ctx, rdb); err != nil {
			return err
		}
	}
	if cfg.Accounts, err = openAccounts(ctx, rdb, master); err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.Redis, cfg.Store, cfg.Registerer, cfg.Gatherer = rdb, st.kind, reg, reg
	node, err := gateway.Open(ctx, cfg)
	if err != nil {
		return err
	}
	return node.Run(ctx)
}

// checkConfigCommand has the flags of serve: a problem in them ends it with the
// list of all.
func checkConfigCommand(f *flags) action {
	addNodeFlags(f)
	return func(_ context.Context, t *terminal) error {
		tab := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		known := map[string]bool{}
		for _, e := range f.all {
			known[e.env] = true
			value := e.raw
			if e.secret {
				value = redact(value)
			}
			if value == "" {
				value = "-"
			}
			fmt.Fprintf(tab, "%s\t%s\t%s\n", e.name, value, e.from)
		}
		if err := tab.Flush(); err != nil {
			return err
		}
		var strange []string
		for name := range t.env {
			if strings.HasPrefix(name, "SWITCHBOARD_") && !known[name] {
				strange = append(strange, name)
			}
		}
		slices.Sort(strange)
		for _, name := range strange {
			fmt.Fprintf(t.err, "switchboard check-config: %s is not a setting\n", name)
		}
		return nil
	}
}

func versionCommand(*flags) action {
	return func(_ context.Context, t *terminal) error {
		version, revision := "unknown", ""
		if info, ok := debug.ReadBuildInfo(); ok {
			version = info.Main.Version
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					revision = " " + s.Value
				}
			}
		}
		_, err := fmt.Fprintf(t.out, "switchboard %s%s\n", version, revision)
		return err
	}
}
