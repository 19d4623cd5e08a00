package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// fake is a server that speaks the protocol over a store in memory. It is right
// unless one of its faults is set: the clients and the referee are tested
// against both.
type fake struct {
	nodes  []*fakeNode
	limit  int
	faults fakeFaults

	mu        sync.Mutex
	visitors  int
	operators map[switchboard.PersonID]*fakeOperator
	order     []switchboard.PersonID
	chats     map[switchboard.ChatID]*fakeChat
	queue     []switchboard.ChatID
	conns     map[switchboard.PersonID]map[*fakeConn]bool
}

// fakeFaults are broken on purpose. Each looks at one message of the run.
type fakeFaults struct {
	drop     func(m switchboard.Message) bool // stored and acked, never shown to anybody but the author
	dropLive func(m switchboard.Message) bool // not sent live; a resume has it
	twice    func(m switchboard.Message) bool // stored under two sequences
	swap     func(m switchboard.Message) bool // acked, but the next message is stored first
	unsaid   bool                             // the ack of a swapped message does not say where it is
	noAck    func(m switchboard.Message) bool // stored, never acked
	lateAck  func(m switchboard.Message) bool // stored; acked only when it comes again
	forge    func(m switchboard.Message) bool // an extra message that nobody sent follows it
	overfill bool                             // offers above the limit
	hoard    bool                             // gives one chat to two operators
	deaf     bool                             // nobody is ever offered a chat
}

type fakeNode struct {
	*httptest.Server
	index int
	f     *fake
}

type fakeOperator struct {
	id        switchboard.OperatorID
	available bool
	held      map[switchboard.ChatID]bool // offers and chats
}

type fakeChat struct {
	id       switchboard.ChatID
	state    string
	visitor  switchboard.PersonID
	operator switchboard.PersonID
	log      []switchboard.Message
	hidden   map[int64]bool // dropped by a fault
	acks     map[string]Ack
	swapped  *switchboard.Message
}

type fakeConn struct {
	ws     *websocket.Conn
	out    chan []byte
	person switchboard.PersonID
	node   int
}

func newFake(t *testing.T, nodes, operators, limit int, faults fakeFaults) *fake {
	t.Helper()
	f := &fake{
		limit: limit, faults: faults,
		operators: make(map[switchboard.PersonID]*fakeOperator),
		chats:     make(map[switchboard.ChatID]*fakeChat),
		conns:     make(map[switchboard.PersonID]map[*fakeConn]bool),
	}
	for i := range operators {
		id := switchboard.OperatorID(300 + i)
		p := switchboard.OperatorPerson(id)
		f.operators[p] = &fakeOperator{id: id, held: make(map[switchboard.ChatID]bool)}
		f.order = append(f.order, p)
	}
	for i := range nodes {
		n := &fakeNode{index: i, f: f}
		n.Server = httptest.NewServer(n.routes())
		t.Cleanup(n.Close)
		f.nodes = append(f.nodes, n)
	}
	return f
}

func (f *fake) targets() Targets {
	t := Targets{Org: 12, Login: "load", Password: "secret", Restart: f.restart}
	for _, n := range f.nodes {
		t.Nodes = append(t.Nodes, Node{URL: n.URL})
	}
	return t
}

// restart tells everybody on a node to move and closes their sockets.
func (f *fake) restart(_ context.Context, node int) error {
	for _, c := range f.on(node) {
		f.mu.Lock()
		c.send(`{"t":"moving","in_ms":20}`)
		c.send("")
		f.mu.Unlock()
	}
	return nil
}

func (f *fake) on(node int) []*fakeConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*fakeConn
	for _, set := range f.conns {
		for c := range set {
			if c.node == node {
				out = append(out, c)
			}
		}
	}
	return out
}

func (n *fakeNode) routes() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("POST /api/company/get-token", func(w http.ResponseWriter, _ *http.Request) { answer(w, "company") })
	mux.HandleFunc("GET /api/operator", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer company" || r.URL.Query().Get("organizationId") != "12" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		list := []map[string]any{{"id": 299, "name": "left", "status": 2}}
		for _, p := range n.f.order {
			id, _ := p.Operator()
			list = append(list, map[string]any{"id": id, "name": string(p), "status": 0})
		}
		answer(w, list)
	})
	mux.HandleFunc("POST /api/operator/get-token", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ID        int64     `json:"id"`
			ExpiresAt time.Time `json:"expiresAt"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || time.Until(body.ExpiresAt) > 24*time.Hour {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		answer(w, "o"+strconv.FormatInt(body.ID, 10))
	})
	mux.HandleFunc("POST /v1/visitor", func(w http.ResponseWriter, _ *http.Request) {
		n.f.mu.Lock()
		n.f.visitors++
		number := n.f.visitors
		n.f.mu.Unlock()
		if number%50 == 3 { // now and then a limit is hit
			w.Header().Set("Retry-After", "1")
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		}
		answer(w, map[string]any{"token": fmt.Sprintf("vk%d", number), "visitor": fmt.Sprintf("k%d", number)})
	})
	mux.HandleFunc("/ws", n.socket)
	return mux
}

func (n *fakeNode) socket(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	out := make(chan []byte, 4096)
	c := &fakeConn{ws: ws, out: out, node: n.index}
	var writer sync.WaitGroup
	writer.Go(func() {
		for b := range out {
			if len(b) == 0 { // the node restarts
				_ = ws.Close(switchboard.CloseMoving, "moving")
				break
			}
			if ws.Write(context.Background(), websocket.MessageText, b) != nil {
				break
			}
		}
		for range out {
			// The socket is dead; what comes late goes nowhere.
		}
	})
	for {
		_, frame, err := ws.Read(r.Context())
		if err != nil {
			break
		}
		lines, err := switchboard.SplitFrame(frame)
		if err != nil {
			break
		}
		for _, line := range lines {
			in, err := switchboard.DecodeIn(line)
			if err != nil {
				_ = ws.Close(switchboard.CloseProtocol, "invalid")
				continue
			}
			n.f.handle(c, in)
		}
	}
	n.f.mu.Lock()
	delete(n.f.conns[c.person], c)
	if op := n.f.operators[c.person]; op != nil && len(n.f.conns[c.person]) == 0 {
		n.f.match()
	}
	close(c.out)
	c.out = nil
	n.f.mu.Unlock()
	ws.CloseNow()
	writer.Wait()
}

// send queues an object; safe only under f.mu or before the connection ends.
func (c *fakeConn) send(v any) {
	b, ok := v.(string)
	if !ok {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		b = string(raw)
	}
	if c.out != nil {
		c.out <- []byte(b)
	}
}
