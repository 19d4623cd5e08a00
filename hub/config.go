package hub

import "time"

// DefaultPing and DefaultTimeout are what Config.PingEvery and Config.Timeout are
// when they are not set: a dead link is noticed within 20 s (P-4).
const (
	DefaultPing    = 8 * time.Second
	DefaultTimeout = 18 * time.Second
)

// Config bounds what a connection may take. A zero field means its default.
type Config struct {
	PingEvery    time.Duration // a {"t":"ping"} to each identified connection; 8 s
	Timeout      time.Duration // a connection not heard for this long is dead; 18 s, more than two pings
	HelloWithin  time.Duration // time from Open to Identify, not counting a running Frame handler; 5 s
	WriteTimeout time.Duration // one frame must have left within this; 5 s
	FlushWithin  time.Duration // what End gives the queue; 2 s
	Linger       time.Duration // what a peer gets to answer the close frame; 1 s

	// QueueBytes bounds what waits for one connection; 256 KiB. An object counts
	// with at most a quarter of it, so that one large object, a long chat's
	// history, can still be sent to a connection that keeps up.
	QueueBytes int
	QueueAge   time.Duration // how old the oldest waiting object may get; 10 s

	MaxConns        int // sockets on this node; 100,000
	MaxUnidentified int // of them not yet identified; 4,096
	MaxPerPerson    int // identified sockets of one person on this node; 20
	MaxPerOrg       int // identified sockets of one organization on this node; 50,000
	Closers         int // close frames sent at the same moment; 128

	// Spread says over how long the clients of so many identified sockets should
	// spread their return if this node dies without a word; told with each ping as
	// spread_ms, when it is a second or more (a client's own jitter). Nil: never.
	Spread func(sockets int) time.Duration
}

func (cfg Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&cfg.PingEvery, DefaultPing},
		{&cfg.Timeout, DefaultTimeout},
		{&cfg.HelloWithin, 5 * time.Second},
		{&cfg.WriteTimeout, 5 * time.Second},
		{&cfg.FlushWithin, 2 * time.Second},
		{&cfg.Linger, time.Second},
		{&cfg.QueueAge, 10 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, n := range []struct {
		field *int
		value int
	}{
		{&cfg.QueueBytes, 256 << 10},
		{&cfg.MaxConns, 100_000},
		{&cfg.MaxUnidentified, 4_096},
		{&cfg.MaxPerPerson, 20},
		{&cfg.MaxPerOrg, 50_000},
		{&cfg.Closers, 128},
	} {
		if *n.field <= 0 {
			*n.field = n.value
		}
	}
	return cfg
}
