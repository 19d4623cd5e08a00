package gateway

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// newDesk is a cluster of n nodes alone on the store; frames are not limited.
func newDesk(t *testing.T, n int, change ...func(*Config)) *cluster {
	t.Helper()
	if err := redistest.Client(t, redisOptions).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	cl := newCluster(t, 0)
	for range n {
		cl.addNode(append([]func(*Config){func(c *Config) { c.Limits.FramesPerSocket = 10_000 }}, change...)...)
	}
	t.Cleanup(func() { // all at once: a stop waits for a read of the bus
		var wg sync.WaitGroup
		for _, n := range cl.nodes {
			wg.Go(func() {
				if err := n.stop(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	return cl
}

// everyone changes the settings of team 0.
func (cl *cluster) everyone(team presence.Team) {
	cl.t.Helper()
	team.Name = "Everyone"
	if err := cl.admin.PutTeam(cl.t.Context(), cl.org.ID, team); err != nil {
		cl.t.Fatal(err)
	}
}

// brief makes an operator's token that ends in about life (whole seconds).
func (cl *cluster) brief(op switchboard.OperatorID, life time.Duration) string {
	cl.t.Helper()
	minted, err := cl.admin.Minted(cl.t.Context(), cl.org.ID, op)
	if err != nil {
		cl.t.Fatal(err)
	}
	raw, err := NewTokens(cl.accounts.SigningKey, cl.accounts.VerificationKey).MintOperator(cl.t.Context(),
		Claims{Org: cl.org.ID, Operator: op, Role: switchboard.RoleOperator, Minted: minted, Expires: time.Now().Add(life)})
	if err != nil {
		cl.t.Fatal(err)
	}
	return raw
}

// available opens an operator's socket and makes them Available.
func (cl *cluster) available(n *node, token string) *peer {
	cl.t.Helper()
	p := cl.hello(n, token)
	if m := p.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
		cl.t.Fatalf("status: %v", m)
	}
	return p
}

var requests atomic.Int64

// request sends a frame with a request id and returns its answer.
func (p *peer) request(format string, args ...any) map[string]any {
	p.t.Helper()
	re := fmt.Sprint("q", requests.Add(1))
	frame := fmt.Sprintf(format, args...)
	p.send(`{"re":%q,%s`, re, frame[1:])
	return p.until("the answer to "+frame, func(m map[string]any) bool { return m["re"] == re })
}

// count returns how many objects have come so far.
func (p *peer) count() int { return len(p.all()) }

// after waits for an object that f accepts among those behind the first n.
func (p *peer) after(n int, what string, f func(m map[string]any) bool) map[string]any {
	p.t.Helper()
	var found map[string]any
	p.until(what, func(map[string]any) bool { // called with the lock held
		for _, m := range p.got[min(n, len(p.got)):] {
			if f(m) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// start begins a visitor's chat and returns its id.
func (p *peer) start() int64 {
	p.t.Helper()
	m := p.request(`{"t":"chat.start","cmid":"c0","text":"hello"}`)
	if m["t"] != "chat" {
		p.t.Fatalf("no chat: %v", m)
	}
	return int64(m["chat"].(float64))
}

// offered waits for the offer of a chat behind the first n objects.
func (p *peer) offered(n int, chat int64) (token string) {
	p.t.Helper()
	return p.after(n, "the offer", func(m map[string]any) bool { return m["t"] == "offer" && m["chat"] == float64(chat) })["token"].(string)
}

// chat waits until a chat is told to be in a state, behind the first n objects.
func (p *peer) chat(n int, chat int64, state string) map[string]any {
	p.t.Helper()
	return p.after(n, "chat "+state, func(m map[string]any) bool {
		return m["t"] == "chat" && m["chat"] == float64(chat) && m["state"] == state
	})
}

// talk makes a chat that an operator and a visitor hold through different nodes.
func (cl *cluster) talk(opToken, visToken string) (operator, visitor *peer, chat int64) {
	cl.t.Helper()
	operator, visitor = cl.available(cl.nodes[0], opToken), cl.hello(cl.nodes[len(cl.nodes)-1], visToken)
	chat = visitor.start()
	if m := operator.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, operator.offered(0, chat)); m["state"] != "active" {
		cl.t.Fatalf("accept: %v", m)
	}
	visitor.chat(0, chat, "active")
	return operator, visitor, chat
}

// say sends a message and waits until it is stored.
func (p *peer) say(chat int64, cmid string) {
	p.t.Helper()
	if m := p.request(`{"t":"message","chat":%d,"cmid":%q,"text":"text of %s"}`, chat, cmid, cmid); m["t"] != "ack" {
		p.t.Fatalf("no ack: %v", m)
	}
}

// heard waits for a message; whatever was told to this person before it has
// come then: one node's nudges keep their order.
func (p *peer) heard(cmid string) {
	p.t.Helper()
	p.until(cmid, func(m map[string]any) bool { return m["t"] == "message" && m["cmid"] == cmid })
}

// times returns how many objects f accepts so far.
func (p *peer) times(f func(m map[string]any) bool) (n int) {
	for _, m := range p.all() {
		if f(m) {
			n++
		}
	}
	return n
}

// is returns a test for the kind of an object.
func is(kind string) func(map[string]any) bool {
	return func(m map[string]any) bool { return m["t"] == kind }
}

// decode reads an answer of 200.
func decode[T any](t testing.TB, status int, body string) (out T) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	return out
}
