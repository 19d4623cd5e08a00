package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// badDesk is a company at work, at which bad input is thrown: an operator in a
// chat and a call, a supervisor, an idle visitor. Each of the sockets to throw
// at has a twin of the same person, so that its end changes nothing either.
type badDesk struct {
	*cluster
	store              *redis.Client
	node               *node
	op, boss           switchboard.OperatorID
	opToken, bossToken string
	visToken           string // of the visitor in the chat
	otherToken         string // of the idle visitor
	chat, closed       int64
	secret             http.Header // API credential
	watching           *peer       // the operator's twin
}

func newBadDesk(t *testing.T, change ...func(*Config)) *badDesk {
	t.Helper()
	// What is compared is the whole store, so nothing else may live in it.
	store := redistest.Client(t, redisOptions)
	if err := store.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	d := &badDesk{cluster: newCluster(t, 0), store: store}
	d.node = d.addNode(append([]func(*Config){func(c *Config) {
		c.Limits.FramesPerSocket, c.Limits.APIPerTenant = 10_000, 10_000 // a test does not wait
	}}, change...)...)
	if err := d.admin.PutTeam(t.Context(), d.org.ID, presence.Team{ID: 0, Name: "Everyone", AutoAccept: true}); err != nil {
		t.Fatal(err)
	}
	d.op, d.boss = d.operator("Mina", switchboard.RoleOperator, 20), d.operator("Boss", switchboard.RoleSupervisor, 0)
	d.opToken, d.bossToken, d.secret = d.token(d.op), d.token(d.boss), d.apiSecret()
	d.visToken, d.otherToken = d.visitor(d.node, "Bo"), d.visitor(d.node, "Ulla")
	d.watching = d.hello(d.node, d.opToken)
	past := d.hello(d.node, d.visitor(d.node, "Past")) // nobody took this one
	past.send(`{"t":"chat.start","re":"go"}`)
	d.closed = int64(past.until("the chat", func(m map[string]any) bool { return m["re"] == "go" })["chat"].(float64))
	past.send(`{"t":"chat.close","re":"cl","chat":%d}`, d.closed)
	past.until("closed", func(m map[string]any) bool { return m["re"] == "cl" })
	d.watching.send(`{"t":"status","re":"s","status":"Available"}`)
	d.watching.until("ok", func(m map[string]any) bool { return m["re"] == "s" })
	d.hello(d.node, d.otherToken)
	visitor := d.hello(d.node, d.visToken)
	visitor.send(`{"t":"chat.start","re":"go","cmid":"c0","text":"hello"}`)
	d.chat = int64(visitor.until("the chat", func(m map[string]any) bool { return m["re"] == "go" && m["state"] == "active" })["chat"].(float64))
	d.watching.send(`{"t":"call.start","re":"c","call":"pbx"}`)
	d.watching.until("ok", func(m map[string]any) bool { return m["re"] == "c" })
	return d
}

// join opens a person's socket and waits for all that a new socket is told.
func (d *badDesk) join(token string) *peer {
	d.t.Helper()
	p := d.hello(d.node, token)
	p.provoke(`{"t":"pong"}`)
	return p
}

// dump is the whole store: each key with its content in a fixed order. Left out
// is what moves by itself: beats, and counters that only hand out ids.
func (d *badDesk) dump() map[string]string {
	d.t.Helper()
	ctx, out := d.t.Context(), map[string]string{}
	keys, err := d.store.Keys(ctx, "*").Result()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, key := range keys {
		if key == "sb:{reg}:nodes" || key == "sb:{reg}:ids" || strings.HasSuffix(key, ":rate") {
			continue // a refused request counts as one
		}
		var content any
		switch kind := d.store.Type(ctx, key).Val(); kind {
		case "string":
			content, err = d.store.Get(ctx, key).Result()
		case "hash":
			var fields map[string]string // printed in the order of its keys
			fields, err = d.store.HGetAll(ctx, key).Result()
			if strings.HasSuffix(key, ":org") {
				delete(fields, "chats") // the last chat id
			}
			content = fields
		case "set":
			var members []string
			members, err = d.store.SMembers(ctx, key).Result()
			slices.Sort(members)
			content = members
		case "zset":
			content, err = d.store.ZRangeWithScores(ctx, key, 0, -1).Result()
		case "stream":
			content, err = d.store.XRange(ctx, key, "-", "+").Result()
		default:
			err = fmt.Errorf("key %s is a %q", key, kind)
		}
		if err != nil {
			d.t.Fatal(err)
		}
		out[key] = fmt.Sprint(content)
	}
	return out
}

// unchanged compares the store with what it was.
func (d *badDesk) unchanged(what string, was map[string]string) {
	d.t.Helper()
	now := d.dump()
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, there := was[key]; !there {
			d.t.Errorf("%s: key %s is new", what, key)
		} else if was[key] != now[key] {
			d.t.Errorf("%s: key %s has changed:\nwas %q\nis  %q", what, key, was[key], now[key])
		}
	}
	for key := range was {
		if _, there := now[key]; !there {
			d.t.Errorf("%s: key %s is gone", what, key)
		}
	}
}

// provoke sends one frame and returns every object that came before the answer
// to a second one, which cannot overtake it.
func (p *peer) provoke(frame string) []map[string]any {
	p.t.Helper()
	from := len(p.all())
	p.send("%s", frame)
	re := fmt.Sprintf("barrier %d", from)
	p.send(`{"t":"no such kind","re":%q}`, re)
	p.until(re, func(m map[string]any) bool { return m["re"] == re })
	var out []map[string]any
	for _, m := range p.all()[from:] {
		switch {
		case m["re"] == re:
			return out
		case m["t"] != "ping":
			out = append(out, m)
		}
	}
	return out
}

// refusal checks one error object as docs/protocol.md has it. An empty field
// means that none may be named.
func refusal(t *testing.T, what string, m map[string]any, code switchboard.Code, field string) {
	t.Helper()
	got, _ := m["field"].(string)
	message, _ := m["message"].(string)
	if m["t"] != "error" || m["code"] != string(code) || got != field || message == "" {
		t.Errorf("%s: got %v, want error %s, field %q", what, m, code, field)
	}
	for name := range m {
		if !slices.Contains([]string{"t", "re", "code", "message", "field", "retry_ms", "cmid", "chat"}, name) {
			t.Errorf("%s: undocumented %q in %v", what, name, m)
		}
	}
}

// What a client sends wrong on an open socket is answered with one error that
// names it; the socket goes on, and nothing has changed anywhere.
func TestBadFramesAreRefusedAndChangeNothing(t *testing.T) {
	d := newBadDesk(t)
	fill := strings.NewReplacer("CLOSED", fmt.Sprint(d.closed), "CHAT", fmt.Sprint(d.chat), "EXPIRED", d.expired(), "BOSS", d.bossToken, "VISITOR", d.visToken, "ANOTHER", d.visToken)
	for _, who := range []struct {
		name, token string
		rows        []badFrame
	}{
		{"operator", d.opToken, append(slices.Clone(badForEveryone), badForOperators...)},
		{"visitor", d.otherToken, append(slices.Clone(badForEveryone), badForVisitors...)},
	} {
		p := d.join(who.token)
		was := d.dump()
		for _, row := range who.rows {
			frame := fill.Replace(row.frame)
			what := who.name + " " + frame[:min(len(frame), 100)]
			got := p.provoke(frame)
			if len(got) != 1 {
				t.Errorf("%s: %d answers: %v", what, len(got), got)
				continue
			}
			refusal(t, what, got[0], row.code, row.field)
			d.unchanged(what, was)
			// The request id, where it can be read, comes back. A resume answers by chat.
			if !json.Valid([]byte(frame)) || !strings.HasPrefix(frame, `{"t":`) || strings.HasPrefix(frame, `{"t":"resume"`) || row.field == "re" {
				continue
			}
			if again := p.provoke(`{"re":"mine",` + frame[1:]); len(again) != 1 || again[0]["re"] != "mine" {
				t.Errorf("%s: with a request id: %v", what, again)
			}
		}
		d.unchanged(who.name, was)
	}
	d.check()
}
