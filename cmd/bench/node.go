package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/gateway"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/presence/redisd"
)

// node is a gateway as `switchboard serve` runs it, with limits that let a crowd
// from a few addresses in.
func node(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("node", flag.ContinueOnError)
	socket := f.String("socket", "", "of Redis")
	admission := f.Float64("admission", 0, "connects a second, 0 for the default")
	profile := f.String("profile", "", "file for a processor profile of the whole run")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		out, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	rdb := redis.NewClient(redisd.Client(*socket))
	defer rdb.Close()
	store, err := accounts.Open(rdb, masterKey)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector())
	s, err := gateway.Open(ctx, gateway.Config{Redis: rdb, Accounts: store, Listen: "127.0.0.1:0", Metrics: "127.0.0.1:0", Store: "bench", Registerer: reg, Gatherer: reg, Drain: 100 * time.Millisecond,
		Log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Limits: gateway.Limits{ConnectsPerSecond: *admission, ConnectsPerAddr: 1e6, FramesPerSocket: 1e6}})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(struct{ Addr, Ops string }{s.Addr(), s.MetricsAddr()}); err != nil {
		return err
	}
	ctx, cancel := untilInputEnds(ctx)
	defer cancel()
	return s.Run(ctx)
}

// barePings pings until a ping cannot be written: the reader of a socket that is
// gone has closed it. It owns itself: the process ends with the bench.
func barePings(ctx context.Context, ws *websocket.Conn) {
	for ws.Write(ctx, websocket.MessageText, []byte(`{"t":"ping"}`)) == nil {
		wait(ctx, 8*time.Second)
	}
}

// untilInputEnds ends the context when the parent closes our standard input, or
// is gone.
func untilInputEnds(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with the process at the latest: a read cannot be called off
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, cancel
}

// bare is the floor: the library as its documentation shows it, an answer to the
// first frame, the same ping as ours every 8 s, and nothing behind.
func bare(ctx context.Context, _ []string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		if _, _, err := ws.Read(ctx); err != nil {
			return
		}
		if err := ws.Write(ctx, websocket.MessageText, []byte(`{"t":"ready"}`)); err != nil {
			return
		}
		first := time.AfterFunc(rand.N(8*time.Second), func() { barePings(ctx, ws) })
		defer first.Stop()
		for {
			if _, _, err := ws.Read(ctx); err != nil {
				return
			}
		}
	})}
	if err := json.NewEncoder(os.Stdout).Encode(struct{ Addr, Ops string }{l.Addr().String(), ""}); err != nil {
		return err
	}
	ctx, cancel := untilInputEnds(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { srv.Close() })
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
