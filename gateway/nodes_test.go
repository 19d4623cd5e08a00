package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var redisOptions *redis.Options

func TestMain(m *testing.M) { redistest.Main(m, &redisOptions) }

// cluster is several nodes in one process on one Redis, with one company of one
// organization and its people.
type cluster struct {
	t        testing.TB
	open     func() redis.UniversalClient // a client of the cluster's store
	accounts *accounts.Store
	admin    *presence.Registry
	nodes    []*node
	company  accounts.Company
	org      accounts.Organization
}

// node is one server and the way to stop or crash it.
type node struct {
	*Server
	stop func() error // graceful
	rdb  redis.UniversalClient

	store, people *cuttable // connections, for crash
}

var master = []byte("0123456789abcdef0123456789abcdef")

func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	return newClusterOn(t, func() redis.UniversalClient { return redis.NewClient(redisOptions) }, n)
}

func newClusterOn(t testing.TB, open func() redis.UniversalClient, n int) *cluster {
	t.Helper()
	cl := &cluster{t: t, open: open}
	rdb := open()
	t.Cleanup(func() { rdb.Close() })
	var err error
	if cl.accounts, err = accounts.Open(rdb, master); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if cl.company, err = cl.accounts.AddCompany(ctx, "Company of "+t.Name()); err != nil {
		t.Fatal(err)
	}
	if cl.admin, err = presence.Open(ctx, rdb, presence.Config{Admin: true}); err != nil {
		t.Fatal(err)
	}
	cl.org = cl.addOrg("first")
	for range n {
		cl.addNode()
	}
	return cl
}

func (cl *cluster) addOrg(name string) accounts.Organization {
	cl.t.Helper()
	slug := fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	org, err := cl.accounts.AddOrganization(cl.t.Context(), accounts.Organization{Company: cl.company.ID, Name: name, Slug: slug, Sites: []string{"https://shop.example"}})
	if err != nil {
		cl.t.Fatal(err)
	}
	if err := cl.admin.EnsureOrg(cl.t.Context(), org.ID); err != nil {
		cl.t.Fatal(err)
	}
	return org
}

// fast are presence times for tests: a dead node is noticed in about a second.
var fast = presence.Config{Beat: 200 * time.Millisecond, BuryAfter: time.Second, Sweep: 100 * time.Millisecond, Grace: 3 * time.Second, CrashGrace: 5 * time.Second}

func (cl *cluster) addNode(change ...func(*Config)) *node {
	cl.t.Helper()
	rdb := cl.open()
	toStore, toPeople := newCuttable(), newCuttable()
	cuttableStore(rdb, toStore)
	store, err := accounts.Open(rdb, master)
	if err != nil {
		cl.t.Fatal(err)
	}
	cfg := Config{Redis: rdb, Accounts: store, Listen: "127.0.0.1:0", Metrics: "127.0.0.1:0", Store: "test", Presence: fast, Drain: 200 * time.Millisecond,
		Limits: Limits{ConnectsPerAddr: 10_000, SessionsPerAddr: 10_000, SessionsPerOrg: 10_000, ConnectsPerSecond: 10_000}}
	if os.Getenv("NODELOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := Open(cl.t.Context(), cfg)
	if err != nil {
		cl.t.Fatal(err)
	}
	s.listener = cuttableListener{s.listener, toPeople}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	var stopped error
	n := &node{Server: s, rdb: rdb, store: toStore, people: toPeople, stop: func() error {
		once.Do(func() { cancel(); stopped = <-done; rdb.Close() })
		return stopped
	}}
	cl.nodes = append(cl.nodes, n)
	cl.t.Cleanup(func() { n.stop() })
	return n
}

// operator adds an operator and returns the id.
func (cl *cluster) operator(name string, role switchboard.Role, limit int, teams ...switchboard.TeamID) switchboard.OperatorID {
	cl.t.Helper()
	ctx := cl.t.Context()
	id, err := cl.accounts.NextOperators(ctx, 1)
	if err != nil {
		cl.t.Fatal(err)
	}
	if err := cl.accounts.BindOperators(ctx, cl.org.ID, id, 1); err != nil {
		cl.t.Fatal(err)
	}
	if err := cl.admin.AddOperators(ctx, cl.org.ID, []presence.NewOperator{{ID: id, Name: name, Role: role, Limit: limit, Teams: teams, Email: name + "@example.test", Number: fmt.Sprint("Agent No.", id)}}); err != nil {
		cl.t.Fatal(err)
	}
	return id
}

// token makes an operator's token as the session call would.
func (cl *cluster) token(op switchboard.OperatorID) string {
	cl.t.Helper()
	ctx := cl.t.Context()
	minted, err := cl.admin.Minted(ctx, cl.org.ID, op)
	if err != nil {
		cl.t.Fatal(err)
	}
	rec, err := cl.admin.Operator(ctx, cl.org.ID, op)
	if err != nil {
		cl.t.Fatal(err)
	}
	raw, err := NewTokens(cl.accounts.SigningKey, cl.accounts.VerificationKey).MintOperator(ctx, Claims{Org: cl.org.ID, Operator: op, Role: rec.Role, Name: rec.Name, Minted: minted, Expires: time.Now().Add(15 * time.Minute)})
	if err != nil {
		cl.t.Fatal(err)
	}
	return raw
}

// generation returns the generation of the organization's partition.
func (cl *cluster) generation() int64 {
	return cl.nodes[0].reg.Generation(cl.nodes[0].reg.Partition(cl.org.ID))
}

// check verifies the invariants of the cluster's organization. Check reads in
// several steps, so what is on its way may look broken for a moment; a broken
// invariant stays.
func (cl *cluster) check() {
	cl.t.Helper()
	var broken []string
	var err error
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		if broken, err = cl.nodes[0].router.Check(cl.t.Context(), cl.org.ID); err == nil && len(broken) == 0 {
			return
		}
	}
	if err != nil {
		cl.t.Fatal(err)
	}
	for _, b := range broken {
		cl.t.Error("invariant", b)
	}
}

// visitor opens a visitor's session over HTTP.
func (cl *cluster) visitor(n *node, name string) string {
	cl.t.Helper()
	var out visitorSession
	status, body := call(cl.t, "POST", "http://"+n.Addr()+"/v1/visitor", nil, fmt.Sprintf(`{"org":%d,"name":%q}`, cl.org.ID, name))
	if status != 200 {
		cl.t.Fatalf("visitor session: %d %s", status, body)
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		cl.t.Fatal(err)
	}
	return out.Token
}

// call makes one HTTP request and returns status and body.
func call(t testing.TB, method, url string, header http.Header, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b strings.Builder
	if _, err := io.Copy(&b, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b.String()
}

// peer is a client's end of a socket: it keeps every object that arrived.
type peer struct {
	t      testing.TB
	ws     *websocket.Conn
	mu     sync.Mutex
	got    []map[string]any
	more   chan struct{}
	closed error // with the close code, once the socket has ended
	asked  int   // gaps that resume has answered
}

func (cl *cluster) dial(n *node, header http.Header) *peer {
	cl.t.Helper()
	return cl.dialAt(n.Addr(), header)
}

func (cl *cluster) dialAt(addr string, header http.Header) *peer {
	cl.t.Helper()
	ws, _, err := websocket.Dial(cl.t.Context(), "ws://"+addr+"/ws", &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		cl.t.Fatal(err)
	}
	return cl.peerOf(ws)
}

// peerOf reads a socket until the test ends.
func (cl *cluster) peerOf(ws *websocket.Conn) *peer {
	ws.SetReadLimit(1 << 20)
	p := &peer{t: cl.t, ws: ws, more: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() { defer close(done); p.read() }()
	cl.t.Cleanup(func() { ws.CloseNow(); <-done })
	return p
}

func (p *peer) read() {
	for {
		_, frame, err := p.ws.Read(context.Background())
		p.mu.Lock()
		if err != nil {
			p.closed = err
		}
		for line := range strings.SplitSeq(string(frame), "\n") {
			if line == "" {
				continue
			}
			var m map[string]any
			if e := json.Unmarshal([]byte(line), &m); e != nil {
				p.closed = fmt.Errorf("not JSON: %q", line)
			}
			p.got = append(p.got, m)
			if m["t"] == "ping" {
				p.ws.Write(context.Background(), websocket.MessageText, []byte(`{"t":"pong"}`))
			}
		}
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	if err := p.ws.Write(p.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// until waits for an object that f accepts, from the first one on.
func (p *peer) until(what string, f func(m map[string]any) bool) map[string]any {
	p.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		p.mu.Lock()
		for _, m := range p.got {
			if f(m) {
				p.mu.Unlock()
				return m
			}
		}
		closed := p.closed
		p.mu.Unlock()
		if closed != nil {
			p.t.Fatalf("the socket ended before %s: %v; got %v", what, closed, p.kinds())
		}
		select {
		case <-p.more:
		case <-deadline:
			p.t.Fatalf("no %s; got %v", what, p.all())
		}
	}
}

func (p *peer) kind(t string) map[string]any {
	p.t.Helper()
	return p.until(t, func(m map[string]any) bool { return m["t"] == t })
}

// ended waits for the end of the socket and returns its close code.
func (p *peer) ended() websocket.StatusCode {
	p.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		p.mu.Lock()
		err := p.closed
		p.mu.Unlock()
		if err != nil {
			return websocket.CloseStatus(err)
		}
		select {
		case <-p.more:
		case <-deadline:
			p.t.Fatalf("the socket did not end; got %v", p.kinds())
		}
	}
}

func (p *peer) all() []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]map[string]any(nil), p.got...)
}

func (p *peer) kinds() (out []any) {
	for _, m := range p.all() {
		out = append(out, m["t"])
	}
	return out
}

// hello opens a person's socket and waits for ready.
func (cl *cluster) hello(n *node, token string, rest ...string) *peer {
	cl.t.Helper()
	p := cl.dial(n, nil)
	p.send(`{"t":"hello","v":1,"token":%q%s}`, token, strings.Join(rest, ""))
	p.kind("ready")
	return p
}
