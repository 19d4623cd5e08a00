package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// TestEverythingWorksTheSameOnEachStore runs one compact job on every kind of
// store that is promised: the demo store, a Redis Cluster, Sentinel. (One Redis
// is what all other tests run on.)
func TestEverythingWorksTheSameOnEachStore(t *testing.T) {
	t.Run("demo", func(t *testing.T) {
		store := miniredis.RunT(t)
		compactJob(t, func() redis.UniversalClient {
			return redis.NewClient(&redis.Options{Addr: store.Addr(), Protocol: 2, ContextTimeoutEnabled: true})
		}, 1) // the demo store serves one node
	})
	t.Run("cluster", func(t *testing.T) {
		addrs := redistest.Cluster(t, 3)
		compactJob(t, func() redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, Protocol: 2, ContextTimeoutEnabled: true, ClusterStateReloadInterval: time.Second})
		}, 2)
	})
	t.Run("sentinel", func(t *testing.T) {
		sentinel := redistest.Sentinel(t)
		compactJob(t, func() redis.UniversalClient {
			return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{sentinel}, Protocol: 2, ContextTimeoutEnabled: true})
		}, 2)
	})
}

// compactJob: sign-in, routing, messages both ways across nodes, a logout that
// waits for the chat; and what reads logs and pages through operators.
func compactJob(t *testing.T, open func() redis.UniversalClient, n int) {
	cl := newClusterOn(t, open, n)
	cl.everyone(presence.Team{Gone: presence.GoneAsk, Timers: presence.Timers{Loss: presence.LossClose, ReplyMS: 600_000, QuietMS: 1000, QuietCloseMS: 600_000, SilentMS: 1000}})
	a, b := cl.nodes[0], cl.nodes[n-1]
	op := cl.operator("Mina", switchboard.RoleOperator, 2)
	operator := cl.hello(b, cl.token(op), `,"watch":["operators","queue"]`)
	operator.kind("presence")
	operator.send(`{"t":"status","status":"Available"}`)
	operator.until("Available", func(m map[string]any) bool { return m["t"] == "self" && m["status"] == "Available" })
	visitor := cl.hello(a, cl.visitor(a, "Bo"))
	visitor.send(`{"t":"chat.start","re":"go","cmid":"c0","text":"hello"}`)
	offer := operator.kind("offer")
	operator.send(`{"t":"offer.accept","chat":%v,"token":%q}`, offer["chat"], offer["token"])
	visitor.until("active", func(m map[string]any) bool { return m["state"] == "active" })
	for i := range 5 {
		visitor.send(`{"t":"message","chat":%v,"cmid":"v%d","text":"from the visitor"}`, offer["chat"], i)
		operator.send(`{"t":"message","chat":%v,"cmid":"o%d","text":"from the operator"}`, offer["chat"], i)
	}
	for i := range 5 {
		visitor.until("o", func(m map[string]any) bool { return m["t"] == "message" && m["cmid"] == fmt.Sprint("o", i) })
		operator.until("v", func(m map[string]any) bool { return m["t"] == "message" && m["cmid"] == fmt.Sprint("v", i) })
	}
	exactlyOnce(t, visitor, int64(offer["chat"].(float64)), 11)
	timersAndReasons(t, cl, operator, visitor, switchboard.ChatID(offer["chat"].(float64)))
	id, err := cl.accounts.NextOrder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.signOut(t.Context(), cl.org.ID, presence.OrderSpec{ID: id, Operators: []switchboard.OperatorID{op}, By: "test"}, 100); err != nil {
		t.Fatal(err)
	}
	operator.kind("leaving")
	operator.send(`{"t":"chat.close","chat":%v}`, offer["chat"])
	if code := operator.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("closed with %d", code)
	}
	cl.check()
}

// timersAndReasons: the deadlines that read a chat's log, and the scripts that explain.
func timersAndReasons(t *testing.T, cl *cluster, operator, visitor *peer, chat switchboard.ChatID) {
	t.Helper()
	ctx, router := t.Context(), cl.nodes[0].router
	visitor.until("the warning", func(m map[string]any) bool { return m["t"] == "message" && m["from"] == "s" })
	operator.until("silent", func(m map[string]any) bool { return m["t"] == "chat" && m["silent"] == true })
	n := operator.count()
	visitor.say(int64(chat), "awake")
	operator.after(n, "awake", func(m map[string]any) bool { return m["t"] == "chat" && m["silent"] == nil })
	if e, err := router.Why(ctx, cl.org.ID, chat, "", 200); err != nil || e.Waits != "active" || len(e.Candidates) != 1 || len(e.Decisions) != 1 {
		t.Errorf("why: %+v, %v", e, err)
	}
	if c, err := router.Prioritize(ctx, cl.org.ID, chat, 3, "test"); err != nil || c.Priority != 3 {
		t.Errorf("priority: %+v, %v", c, err)
	}
	list, err := router.Decisions(ctx, cl.org.ID, "", 10)
	if err != nil || len(list) != 1 || fmt.Sprint(list[0].Replay()) != fmt.Sprint(list[0].Got) {
		t.Errorf("decisions: %+v, %v", list, err)
	}
	if r, err := router.WhyNot(ctx, cl.org.ID, list[0].Got[0]); err != nil || !r.Routable {
		t.Errorf("why not: %+v, %v", r, err)
	}
}
