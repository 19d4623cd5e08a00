package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/presence/redisd"
)

// What the store is, as /readyz tells it.
const (
	kindRedis    = "redis"
	kindEmbedded = "embedded"
	kindDemo     = "demo"
)

const (
	// storeWait is how long a start waits for a Redis that starts with it.
	storeWait = 5 * time.Second
	// loadWait is how long the embedded Redis may load its file.
	loadWait = 2 * time.Minute
)

// store is an open store: a Redis that is somebody's, our child, or in memory.
type store struct {
	kind   string
	client func() redis.UniversalClient // a new client; the caller closes it
	close  func() error                 // ends what was started for it
}

// storeFlags are the settings that say where the store is.
type storeFlags struct {
	redis   *string
	data    *string
	keyFile *string
}

func addStoreFlags(f *flags) storeFlags {
	s := storeFlags{
		redis: config(f, "redis", "", "address of Redis 7 or newer; without it a redis-server of our own runs on the data folder", func(raw string) (string, error) {
			if raw == "" {
				return "", nil
			}
			_, err := parseRedis(raw)
			return raw, err
		}),
	}
	f.all[len(f.all)-1].secret = true
	s.data = config(f, "data", "data", "data folder of our own redis-server", required)
	s.keyFile = config(f, "key-file", "", "file with the master key that seals the signing keys; our own redis-server has one in its data folder", text)
	return s
}

// openStore opens the store that a node serves from.
func (s storeFlags) openStore(ctx context.Context, log *slog.Logger) (*store, error) {
	if *s.redis != "" {
		if hasPassword(*s.redis) {
			log.Debug("the address of Redis carries a password; on a shared machine give it by SWITCHBOARD_REDIS, not by a flag")
		}
		return s.remote()
	}
	return s.embedded(ctx, log)
}

// openBeside opens the store for a command that may run beside a node: an
// embedded Redis that already runs is used as it is.
func (s storeFlags) openBeside(ctx context.Context, log *slog.Logger) (*store, error) {
	if *s.redis != "" {
		return s.remote()
	}
	socket, ok, err := redisd.Find(ctx, *s.data)
	if err != nil {
		return nil, err
	}
	if ok {
		return &store{kind: kindEmbedded, close: func() error { return nil },
			client: func() redis.UniversalClient { return redis.NewClient(redisd.Client(socket)) }}, nil
	}
	return s.embedded(ctx, log)
}

func (s storeFlags) remote() (*store, error) {
	client, err := parseRedis(*s.redis)
	if err != nil {
		return nil, err
	}
	return &store{kind: kindRedis, client: client, close: func() error { return nil }}, nil
}

func (s storeFlags) embedded(ctx context.Context, log *slog.Logger) (*store, error) {
	ctx, cancel := context.WithTimeout(ctx, loadWait)
	defer cancel()
	server, err := redisd.Start(ctx, redisd.Options{Dir: *s.data, Log: log, Append: true})
	if err != nil {
		return nil, err
	}
	return &store{kind: kindEmbedded, close: server.Stop,
		client: func() redis.UniversalClient { return redis.NewClient(server.Options()) }}, nil
}

// master returns the master key that belongs to a store.
func (s storeFlags) master(kind string) ([]byte, error) {
	switch {
	case *s.keyFile != "":
		return readMaster(*s.keyFile)
	case kind == kindEmbedded:
		return ownMaster(filepath.Join(*s.data, masterName))
	}
	return nil, errors.New("--key-file (SWITCHBOARD_KEY_FILE) is needed with --redis: all nodes of one store share a master key; make one with: switchboard key new --key-file FILE")
}

// ready waits until the store answers and checks that it is new enough.
func ready(ctx context.Context, rdb redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	var info string
	for {
		var err error
		if info, err = rdb.Info(ctx, "server").Result(); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no Redis answers there: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
	_, rest, _ := strings.Cut(info, "redis_version:")
	version, _, _ := strings.Cut(rest, "\r\n")
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return fmt.Errorf("that Redis is version %q: 7.0 or newer is needed", version)
	}
	return nil
}

// openAccounts opens the accounts of a store and makes sure that the master key
// is the one that its signing keys were sealed with.
func openAccounts(ctx context.Context, rdb redis.UniversalClient, master []byte) (*accounts.Store, error) {
	a, err := accounts.Open(rdb, master)
	if err != nil {
		return nil, err
	}
	if _, _, err := a.SigningKey(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// logger writes JSON or text lines to the terminal's error stream, those of the
// Redis library too: at debug, since we log what comes of them.
func logger(t *terminal, level slog.Level, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(t.err, o)
	if format == "json" {
		h = slog.NewJSONHandler(t.err, o)
	}
	log := slog.New(h)
	redis.SetLogger(libraryLog{log})
	return log
}

type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, args...), "from", "go-redis")
}

func logLevel(raw string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(raw)); err != nil {
		return l, fmt.Errorf("%q is none of debug, info, warn, error", raw)
	}
	return l, nil
}

func logFormat(raw string) (string, error) {
	if raw != "text" && raw != "json" {
		return "", fmt.Errorf("%q is neither text nor json", raw)
	}
	return raw, nil
}
