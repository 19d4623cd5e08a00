package gateway

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// F15: the store loses acknowledged writes of some time and comes back under
// another identity, as after a failover. What nodes hold is asserted: accepted
// chats, calls, leaving marks, floors, intents and closes; clients are told that
// their positions are gone; the invariants hold and no old token comes to life.
//
// The loss is real: the server is saved, written to, killed and started from
// what was saved. Seen red with the hold of matching taken out, with
// Server.assert doing nothing, with floors left out of restore.lua, and with
// look() not raising the generation.
func TestWhatAFailoverLosesIsAssertedAgain(t *testing.T) {
	server := redistest.Start(t, false)
	cl := newClusterOn(t, func() redis.UniversalClient { return redis.NewClient(server.Options()) }, 2)
	ctx := t.Context()
	a, b := cl.nodes[0], cl.nodes[1]
	ids := map[string]switchboard.OperatorID{}
	ops := map[string]*peer{}
	tokens := map[string]string{}
	open := func(name string, n *node) *peer {
		ids[name] = cl.operator(name, switchboard.RoleOperator, 1)
		tokens[name] = cl.token(ids[name])
		ops[name] = cl.available(n, tokens[name])
		return ops[name]
	}
	talk := func(op *peer, vis *peer) int64 {
		t.Helper()
		chat := vis.start()
		token := op.offered(0, chat)
		if m := op.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, token); m["state"] != "active" {
			t.Fatalf("accept: %v", m)
		}
		vis.chat(0, chat, "active")
		return chat
	}
	// Before the save: one chat that will be closed, one that goes on.
	visClosed, visKept := cl.hello(b, cl.visitor(b, "Closed")), cl.hello(a, cl.visitor(a, "Kept"))
	closed := talk(open("closes", a), visClosed)
	kept := talk(open("keeps", b), visKept)
	ops["keeps"].say(kept, "before")
	open("idle", a)
	open("meal", b)
	if m := ops["idle"].request(`{"t":"status","status":"Break"}`); m["t"] != "ok" {
		t.Fatal(m)
	}
	if m := ops["meal"].request(`{"t":"status","status":"Break"}`); m["t"] != "ok" {
		t.Fatal(m)
	}
	if err := a.rdb.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}

	// All this will be lost.
	ops["keeps"].say(kept, "lost")
	visKept.heard("lost")
	ops["closes"].request(`{"t":"chat.close","chat":%d}`, closed)
	visClosed.chat(0, closed, "closed")
	ops["closes"].request(`{"t":"status","status":"Unavailable"}`)
	visNew := cl.hello(a, cl.visitor(a, "New"))
	accepts := open("accepts", b) // not even the account is in what was saved
	accepted := talk(accepts, visNew)
	visWaits := cl.hello(b, cl.visitor(b, "Waits"))
	waits := visWaits.start()
	if m := ops["meal"].request(`{"t":"status","status":"Meal","for_ms":3600000}`); m["t"] != "ok" {
		t.Fatal(m)
	}
	if m := ops["meal"].request(`{"t":"call.start","call":"pbx-9"}`); m["t"] != "ok" {
		t.Fatal(m)
	}
	if m := ops["meal"].request(`{"t":"status","status":"Unavailable","when":"after_work"}`); m["t"] != "ok" {
		t.Fatal(m)
	}
	sign := func(name string) {
		t.Helper()
		id, err := cl.accounts.NextOrder(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.signOut(ctx, cl.org.ID, presence.OrderSpec{ID: id, Operators: []switchboard.OperatorID{ids[name]}, Reason: "test", By: "test"}, 100); err != nil {
			t.Fatal(err)
		}
	}
	sign("idle")
	if code := ops["idle"].ended(); code != switchboard.CloseLoggedOut {
		t.Fatalf("closed with %d", code)
	}
	sign("keeps")
	ops["keeps"].kind("leaving")

	was := cl.generation()
	if err := server.Restart(ctx); err != nil { // kill -9 and a start from the save
		t.Fatal(err)
	}
	poll(t, "both nodes to assert what they hold", 15*time.Second, func() bool {
		p := a.reg.Partition(cl.org.ID)
		awaited, err := cl.open().HGet(ctx, p.Block(cl.org.ID).Meta, "hold").Result()
		return a.reg.Generation(p) > was && b.reg.Generation(p) > was && err == redis.Nil && awaited == ""
	})
	cl.check()

	rec := func(name string) presence.Operator {
		t.Helper()
		r, err := cl.admin.Operator(ctx, cl.org.ID, ids[name])
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := rec("accepts"); r.Work[fmt.Sprint("chat:", accepted)] != 1 {
		t.Errorf("the accepted chat is not held: %+v", r)
	}
	if r := rec("meal"); r.Intent != "Meal" || r.Work["call:pbx-9"] != 1 {
		t.Errorf("intent and call: %+v", r)
	} else if r.Until == 0 || len(r.Back) != 1 || r.Back[0].Status != "Break" || r.Pending == nil || r.Pending.Status != "Unavailable" {
		t.Errorf("the end of the meal and what is pending: %+v", r)
	}
	if r := rec("keeps"); r.Leaving == nil || r.Work[fmt.Sprint("chat:", kept)] != 1 {
		t.Errorf("the leaving mark is lost: %+v", r)
	}
	if r := rec("closes"); len(r.Work) != 0 {
		t.Errorf("the closed chat is back: %+v", r)
	}
	if c, err := a.router.Find(ctx, cl.org.ID, switchboard.ChatID(waits)); err != nil || c.State != switchboard.ChatWaiting {
		t.Errorf("the waiting chat: %+v, %v", c, err)
	}
	// No old token comes back to life.
	p := cl.dial(b, nil)
	p.send(`{"t":"hello","v":1,"token":%q}`, tokens["idle"])
	if m := p.kind("error"); m["code"] != "logged_out" {
		t.Errorf("the old token: %v", m)
	}
	if status, body := call(t, "GET", fmt.Sprintf("http://%s/v1/chats/%d/messages", a.Addr(), kept), bearerOf(tokens["idle"]), ""); status != 401 && status != 403 {
		t.Errorf("the old token over HTTP: %d %s", status, body)
	}
	// Clients are told that what they have is not what is stored.
	for who, p := range map[string]*peer{"operator": ops["keeps"], "visitor": visKept} {
		p.kind("gap")
		m := p.request(`{"t":"message","chat":%d,"cmid":"after-%s","text":"after"}`, kept, who)
		if m["t"] != "ack" {
			t.Errorf("%s: %v", who, m)
		}
	}
	n := visKept.count()
	visKept.send(`{"t":"resume","chats":[{"chat":%d,"pos":"3-%d"}]}`, kept, was)
	if m := visKept.after(n, "resumed", is("resumed")); m["ok"] != false {
		t.Errorf("a lost position was taken: %v", m)
	}
	// And the logout that waited is carried out when the work ends.
	ops["keeps"].send(`{"t":"chat.close","chat":%d}`, kept)
	if code := ops["keeps"].ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("closed with %d", code)
	}
	if m := accepts.request(`{"t":"chat.close","chat":%d}`, accepted); m["state"] != "closed" {
		t.Errorf("close: %v", m)
	}
	accepts.offered(0, waits)
	cl.check()
}

// F19: the store is emptied while people work. Nodes do not crash, live people
// are present again, their chats go on, old tokens stay dead.
func TestAnEmptiedStoreIsFilledFromWhatNodesHold(t *testing.T) {
	server := redistest.Start(t, false)
	cl := newClusterOn(t, func() redis.UniversalClient { return redis.NewClient(server.Options()) }, 2)
	ctx := t.Context()
	op := cl.operator("Mina", switchboard.RoleOperator, 1)
	gone := cl.operator("Gone", switchboard.RoleOperator, 1)
	old := cl.token(gone)
	operator, visitor, chat := cl.talk(cl.token(op), cl.visitor(cl.nodes[0], "Bo"))
	leaves := cl.hello(cl.nodes[0], old)
	leaves.send(`{"t":"signout"}`)
	leaves.ended()
	if m := operator.request(`{"t":"status","status":"Break","when":"after_work"}`); m["t"] != "ok" {
		t.Fatal(m)
	}
	operator.until("pending", func(m map[string]any) bool { return self(m) && m["next"] == "Break" }) // and so held by the node
	was := cl.generation()
	// All but the registry of accounts, as when one master of a cluster is lost.
	keys, err := cl.nodes[0].rdb.Keys(ctx, "sb:{"+cl.admin.Partition(cl.org.ID).Tag+"}:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.nodes[0].rdb.Del(ctx, keys...).Err(); err != nil {
		t.Fatal(err)
	}
	poll(t, "both nodes to know", 15*time.Second, func() bool {
		p := cl.admin.Partition(cl.org.ID)
		return cl.nodes[0].reg.Generation(p) > was && cl.nodes[1].reg.Generation(p) > was
	})
	operator.kind("gap")
	visitor.kind("gap")
	for i, p := range []*peer{operator, visitor} {
		var said map[string]any
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("socket %d was answered %v; it has got %v", i, said, p.all())
			}
		})
		poll(t, "messages to be stored again", 10*time.Second, func() bool {
			said = p.request(`{"t":"message","chat":%d,"cmid":"after%d","text":"after"}`, chat, i)
			return said["t"] == "ack"
		})
	}
	rec, err := cl.admin.Operator(ctx, cl.org.ID, op)
	if err != nil || rec.Work[fmt.Sprint("chat:", chat)] != 1 {
		t.Errorf("the operator: %+v, %v", rec, err)
	}
	if rec.Pending == nil || rec.Pending.Status != "Break" || rec.Status != "In-chat" {
		t.Errorf("what was pending: %+v", rec)
	}
	poll(t, "the old token to be refused", 10*time.Second, func() bool {
		code := cl.refusal(cl.nodes[1], old)
		return code == "logged_out" || code == "unauthorized"
	})
	cl.check()
}

// poll waits for a condition that nothing announces.
func poll(t *testing.T, what string, within time.Duration, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !f(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func bearerOf(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
