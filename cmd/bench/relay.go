package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence/redisd"
)

// The least that can bring a stored message from a socket of one process to a socket
// of another: the libraries as their documentation shows them, one EVALSHA of XADD and
// PUBLISH a message, a subscription a process. No tokens, no rights, no order after a
// loss, no second socket of a person, no bound on anything. What Switchboard does more
// is the distance to this floor, which drifts with the machine as it does.

const relayScript = "redis.call('XADD', KEYS[1], 'MAXLEN', '~', 10000, '*', 'm', ARGV[1]) return redis.call('PUBLISH', ARGV[2], KEYS[1] .. ' ' .. ARGV[1])"

// relay serves one side of all chats: "o" or "v".
type relay struct {
	rdb    *redis.Client
	script *redis.Script
	other  string // the channel of the other side
	mu     sync.RWMutex
	here   map[string]*websocket.Conn // by chat
}

func relayNode(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("relay", flag.ContinueOnError)
	socket := f.String("socket", "", "of Redis")
	side := f.String("side", "o", "o or v")
	if err := f.Parse(args); err != nil {
		return err
	}
	n := &relay{rdb: redis.NewClient(redisd.Client(*socket)), script: redis.NewScript(relayScript), other: "relay:v", here: map[string]*websocket.Conn{}}
	if *side == "v" {
		n.other = "relay:o"
	}
	defer n.rdb.Close()
	ps := n.rdb.Subscribe(ctx, "relay:"+*side)
	defer ps.Close()
	if _, err := ps.Receive(ctx); err != nil {
		return err
	}
	var loop sync.WaitGroup
	ctx, cancel := untilInputEnds(ctx)
	loop.Go(func() { n.hear(ctx, ps) })
	defer loop.Wait()
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.serve(ctx, w, r) })}
	if err := json.NewEncoder(os.Stdout).Encode(struct{ Addr, Ops string }{l.Addr().String(), ""}); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { srv.Close() })
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (n *relay) hear(ctx context.Context, ps *redis.PubSub) {
	for {
		m, err := ps.ReceiveMessage(ctx)
		if err != nil {
			return
		}
		chat, text, _ := bytes.Cut([]byte(m.Payload), []byte{' '})
		n.mu.RLock()
		ws := n.here[string(chat)]
		n.mu.RUnlock()
		if ws != nil && ws.Write(ctx, websocket.MessageText, text) != nil {
			return
		}
	}
}

func (n *relay) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	_, chat, err := ws.Read(ctx) // the first frame names it
	if err != nil {
		return
	}
	key := string(chat)
	n.mu.Lock()
	n.here[key] = ws
	n.mu.Unlock()
	if ws.Write(ctx, websocket.MessageText, []byte(`{"t":"ready"}`)) != nil {
		return
	}
	for {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			return
		}
		if err := n.script.Run(ctx, n.rdb, []string{key}, frame, n.other).Err(); err != nil {
			return
		}
		if ws.Write(ctx, websocket.MessageText, []byte(`{"t":"ack","cmid":"`+field(frame, `"cmid":"`)+`"}`)) != nil {
			return
		}
	}
}

// bareTalk measures the relay as chat measures nodes, and returns its figures.
func (s *site) bareTalk(ctx context.Context, chats int, d time.Duration) (slow, most talked, err error) {
	sides := map[string]*process{}
	for _, side := range []string{"o", "v"} {
		p, err := s.b.spawn("relay", "-socket", s.server.Socket(), "-side", side)
		if err != nil {
			return slow, most, err
		}
		defer p.end()
		if err := p.hears(&struct{ Addr, Ops *string }{&p.addr, &p.ops}); err != nil {
			return slow, most, err
		}
		sides[side] = p
	}
	t := newTalks(chats)
	join := func(side string, i int) (*client, error) {
		ws, err := dial(sides[side].addr, i)
		if err != nil {
			return nil, err
		}
		if err := ws.send([]byte("sb:{bench}:relay:" + strconv.Itoa(i))); err != nil {
			return nil, err
		}
		if _, err := ws.read(make([]byte, 64)); err != nil { // ready
			return nil, fmt.Errorf("relay: %w", err)
		}
		ws.operator = side == "o"
		return ws, nil
	}
	for i := range chats {
		if t.operators[i], err = join("o", i); err != nil {
			return slow, most, err
		}
		defer t.operators[i].nc.Close()
		if t.visitors[i], err = join("v", i); err != nil {
			return slow, most, err
		}
		defer t.visitors[i].nc.Close()
		t.chats[i] = strconv.Itoa(i)
		go t.read(t.operators[i]) // until its socket is closed
		go t.read(t.visitors[i])
	}
	t.open(ctx, 500, d/5)
	rate := 1000.0
	if s.b.small {
		rate /= 20
	}
	slow = t.open(ctx, rate, d)
	most = t.closed(ctx, 64, d)
	return slow, most, nil
}
