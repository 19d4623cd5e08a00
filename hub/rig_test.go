package hub

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// rig is a running hub. What it serves are real frames: over in-memory pipes in
// virtual time, over loopback otherwise.
type rig struct {
	*Hub
	t      testing.TB
	reg    *prometheus.Registry
	server *httptest.Server
	stop   func()

	mu     sync.Mutex
	closed map[*Conn]closing

	opening sync.Mutex // one socket is opened at a time, so that it can be found
}

// closing is one call of Handlers.Closed.
type closing struct {
	last  bool
	after time.Duration // since the rig was made
	times int
}

func newRig(t testing.TB, cfg Config, on Handlers) *rig {
	t.Helper()
	r := &rig{t: t, reg: prometheus.NewRegistry(), closed: make(map[*Conn]closing)}
	start, told := time.Now(), on.Closed
	on.Closed = func(c *Conn, last bool) {
		r.mu.Lock()
		r.closed[c] = closing{last: last, after: time.Since(start), times: r.closed[c].times + 1}
		r.mu.Unlock()
		if told != nil {
			told(c, last)
		}
	}
	r.Hub = New(cfg, on, r.reg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		r.checkEmpty()
	})
	t.Cleanup(r.stop)
	return r
}

// checkEmpty finds whatever a connection left behind in the hub's tables.
func (r *rig) checkEmpty() {
	r.t.Helper()
	for i := range r.shards {
		if n, m := len(r.shards[i].people), len(r.shards[i].flat); n+m > 0 {
			r.t.Errorf("shard %d still has %d persons and %d entries", i, n, m)
		}
	}
	if n := len(r.interest.topics); n > 0 {
		r.t.Errorf("%d topics still have an audience", n)
	}
	for i, c := range r.wheel.slots {
		if c != nil {
			r.t.Errorf("slot %d of the wheel still holds a connection", i)
		}
	}
	if n := len(r.door.strangers); n > 0 {
		r.t.Errorf("%d strangers are left", n)
	}
	if n := len(r.door.orgs); n > 0 {
		r.t.Errorf("%d organizations still have sockets", n)
	}
	if s := r.Stats(); s != (Stats{}) {
		r.t.Errorf("stats after the end: %+v", s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, cl := range r.closed {
		if cl.times != 1 {
			r.t.Errorf("Closed was called %d times for connection %d", cl.times, c.id)
		}
	}
	if opened := r.metric("opened_total", ""); opened != len(r.closed) {
		r.t.Errorf("%d opened, %d closed", opened, len(r.closed))
	}
}

// closedConn returns how Closed was called for c, once it was.
func (r *rig) closedConn(c *Conn) closing {
	r.t.Helper()
	var cl closing
	eventually(r.t, "Closed is called", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		cl = r.closed[c]
		return cl.times > 0
	})
	return cl
}

// eventually waits for a condition. In virtual time the poll costs nothing.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// metric returns the value of a metric as the registry shows it; label is the
// value of its only label, "" when it has none.
func (r *rig) metric(name, label string) int {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "switchboard_hub_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); len(labels) == 0 && label == "" || len(labels) == 1 && labels[0].GetValue() == label {
				return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			}
		}
	}
	r.t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

func (r *rig) dropped(why drop) int { return r.metric("objects_dropped_total", string(why)) }

func (r *rig) ended(code int) int { return r.metric("ended_total", strconv.Itoa(code)) }

// pipe opens a socket over an in-memory pipe, which has no buffer at all: the
// hub's writer blocks until the client reads.
func (r *rig) pipe() (*Conn, *client) { return r.pipeFrom("192.0.2.1") }

func (r *rig) pipeFrom(addr string) (*Conn, *client) {
	r.t.Helper()
	cl, err := r.tryPipe(addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.newest(), cl
}

// tryPipe returns what Open said.
func (r *rig) tryPipe(addr string) (cl *client, err error) {
	r.t.Helper()
	ws := dialPipe(r.t, func(w http.ResponseWriter, req *http.Request) {
		hj := SmallBuffers(w)
		var server *websocket.Conn
		if server, err = websocket.Accept(hj, req, nil); err == nil {
			err = r.Open(server, hj.Conn(), netip.MustParseAddr(addr))
		}
	})
	return newClient(r.t, ws), err
}

// rawPipe opens a socket whose client is bare: it answers nothing by itself.
func (r *rig) rawPipe() (*Conn, net.Conn) {
	r.t.Helper()
	req := httptest.NewRequest(http.MethodGet, "http://hub.test/", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
		req.Header.Set(name, value)
	}
	clientEnd, serverEnd := net.Pipe()
	r.t.Cleanup(func() { _ = clientEnd.Close() }) // perhaps closed by the test
	hj := SmallBuffers(pipeHijacker{httptest.NewRecorder(), serverEnd})
	ws, err := websocket.Accept(hj, req, nil)
	if err == nil {
		err = r.Open(ws, hj.Conn(), netip.MustParseAddr("192.0.2.1"))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return r.newest(), clientEnd
}

// newest returns the connection that was opened last, still unidentified.
func (r *rig) newest() *Conn {
	r.door.mu.Lock()
	defer r.door.mu.Unlock()
	for c := range r.door.strangers {
		if c.id == r.ids.Load() {
			return c
		}
	}
	r.t.Fatal("the newest connection is not a stranger")
	return nil
}

// identified opens a socket of a person over a pipe.
func (r *rig) identified(p switchboard.PersonID) (*Conn, *client) {
	r.t.Helper()
	c, cl := r.pipe()
	r.identify(c, p)
	return c, cl
}

func (r *rig) identify(c *Conn, p switchboard.PersonID) bool {
	r.t.Helper()
	first, err := r.Identify(c, Identity{Org: 1, Person: p, Role: switchboard.RoleOperator})
	if err != nil {
		r.t.Fatal(err)
	}
	return first
}

// loopback opens a socket over TCP, the way the gateway does.
func (r *rig) loopback() (*Conn, *client) {
	r.t.Helper()
	if r.server == nil {
		r.server = serve(r.t, r.Hub)
	}
	before := r.ids.Load()
	ws, _, err := websocket.Dial(context.Background(), r.server.URL, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the socket is opened", func() bool { return r.ids.Load() > before })
	var c *Conn
	eventually(r.t, "the socket is let in", func() bool {
		r.door.mu.Lock()
		defer r.door.mu.Unlock()
		for s := range r.door.strangers {
			if s.id == r.ids.Load() {
				c = s
			}
		}
		return c != nil
	})
	return c, newClient(r.t, ws)
}

// serve upgrades every request and hands the socket to the hub; the HTTP
// handler returns at once.
func serve(t testing.TB, h *Hub) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		hj := SmallBuffers(w)
		ws, err := websocket.Accept(hj, req, nil)
		if err != nil {
			return // Accept has answered
		}
		addr := netip.MustParseAddrPort(req.RemoteAddr).Addr()
		if err := h.Open(ws, hj.Conn(), addr); err != nil && switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			t.Errorf("Open: %v", err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}
