package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence/redisd"
)

const benchChannel = "sb:{bench}:events"

var acceptAll = &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled}

// hubnode is the hub alone: whoever says hello watches, whatever is published on
// a channel goes to all.
func hubnode(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("hubnode", flag.ContinueOnError)
	socket := f.String("socket", "", "of Redis")
	if err := f.Parse(args); err != nil {
		return err
	}
	rdb := redis.NewClient(redisd.Client(*socket))
	defer rdb.Close()
	ctx, cancel := untilInputEnds(ctx)
	defer cancel()
	var h *hub.Hub
	var people atomic.Int64
	reg := prometheus.NewRegistry()
	h = hub.New(hub.Config{Timeout: time.Hour, PingEvery: 30 * time.Minute}, hub.Handlers{Frame: func(c *hub.Conn, _ []byte) {
		id := hub.Identity{Org: 1, Person: switchboard.VisitorPerson(strconv.FormatInt(people.Add(1), 10))}
		if _, err := h.Identify(c, id); err == nil {
			h.Watch(c, []string{"bench"})
			c.Send(hub.ClassEvent, []byte(`{"t":"ready"}`))
		}
	}}, reg, slog.New(slog.DiscardHandler))
	ps := rdb.Subscribe(ctx, benchChannel)
	defer ps.Close()
	var crew sync.WaitGroup
	crew.Go(func() { h.Run(ctx) }) // returns nil only
	crew.Go(func() {
		for ctx.Err() == nil {
			if m, err := ps.ReceiveMessage(ctx); err == nil {
				h.Publish(1, "bench", hub.ClassEvent, []byte(m.Payload))
			}
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		hijack := hub.SmallBuffers(w)
		if ws, err := websocket.Accept(hijack, r, acceptAll); err == nil {
			_ = h.Open(ws, hijack.Conn(), netip.Addr{}) // refused: it closes the socket
		}
	})
	err := serve(ctx, mux)
	crew.Wait()
	return err
}

// serve answers on a free port, says which, and returns when ctx ends.
func serve(ctx context.Context, mux http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	addr := l.Addr().String()
	if err := json.NewEncoder(os.Stdout).Encode(struct{ Addr, Ops string }{addr, addr}); err != nil {
		return err
	}
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// barewrites writes events to every socket with the library's Write: 20 a second for a
// while, then one after the other. The floor of a fan-out.
func barewrites(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("barewrites", flag.ContinueOnError)
	n := f.Int("sockets", 1000, "to wait for")
	slow := f.Duration("slow", 0, "for how long 20 events a second")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, cancel := untilInputEnds(ctx)
	defer cancel()
	var mu sync.Mutex
	var all []*websocket.Conn
	full := make(chan struct{})
	mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, acceptAll)
		if err != nil {
			return
		}
		if _, _, err := ws.Read(ctx); err != nil || ws.Write(ctx, websocket.MessageText, []byte(`{"t":"ready"}`)) != nil {
			return
		}
		mu.Lock()
		if all = append(all, ws); len(all) == *n {
			close(full)
		}
		mu.Unlock()
		_, _, _ = ws.Read(ctx) // until the socket ends
	})
	var crew sync.WaitGroup
	crew.Go(func() {
		select {
		case <-full:
		case <-ctx.Done():
		}
		pad := make([]byte, 160)
		for i := range pad {
			pad[i] = 'x'
		}
		for began := time.Now(); ctx.Err() == nil; {
			if time.Since(began) < *slow {
				wait(ctx, 50*time.Millisecond)
			}
			event := append([]byte(`{"t":"event","at":`+strconv.FormatInt(time.Now().UnixNano(), 10)+`,"pad":"`), append(pad, `"}`...)...)
			for _, ws := range all {
				if ws.Write(ctx, websocket.MessageText, event) != nil {
					return
				}
			}
		}
	})
	err := serve(ctx, mux)
	crew.Wait()
	return err
}
