package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// F18: the promoted replica dies before there is another: nothing can be written.
// People hear so at once and with a retry, no token is taken, nobody is flipped;
// when the server is back (with its file) all goes on and nothing acked is lost.
func TestSecondDeathBeforeThereIsAReplica(t *testing.T) {
	masters, copies := redistest.NewCluster(t, 3, true, "--appendonly", "yes")
	cl := onCluster(t, masters, 2)
	ctx := t.Context()
	out := cl.operator("Out", switchboard.RoleOperator, 1)
	old := cl.token(out)
	gone := cl.hello(cl.nodes[0], old)
	gone.send(`{"t":"signout"}`)
	gone.ended()
	operator, visitor, chat := cl.talk(cl.token(cl.operator("Mina", switchboard.RoleOperator, 1)), cl.visitor(cl.nodes[0], "Bo"))
	operator.say(chat, "before")
	visitor.heard("before")
	slot, err := cl.nodes[0].rdb.ClusterKeySlot(ctx, cl.admin.Partition(cl.org.ID).Meta()).Result()
	if err != nil {
		t.Fatal(err)
	}
	was, i := cl.generation(), slot*3/16384
	masters[i].Kill()
	if err := cl.risen(ctx, was); err != nil {
		t.Fatal(err)
	}
	poll(t, "a message to be stored after the first death", 10*time.Second, func() bool {
		return operator.request(`{"t":"message","chat":%d,"cmid":"between","text":"x"}`, chat)["t"] == "ack"
	})
	copies[i].Kill()
	began := time.Now()
	operator.after(0, "degraded", func(m map[string]any) bool { return m["t"] == "degraded" && m["on"] == true })
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("people were told after %v", took)
	}
	for range 5 {
		asked := time.Now()
		if m := operator.request(`{"t":"message","chat":%d,"cmid":"while","text":"x"}`, chat); m["code"] != "unavailable" || m["retry_ms"] == nil {
			t.Errorf("while nothing can be written: %v", m)
		}
		if took := time.Since(asked); took > 2500*time.Millisecond {
			t.Errorf("refused after %v", took)
		}
	}
	p := cl.dial(cl.nodes[1], nil)
	p.send(`{"t":"hello","v":1,"token":%q}`, old)
	if m := p.until("an answer", func(m map[string]any) bool { return m["t"] == "error" || m["t"] == "ready" }); m["t"] != "error" {
		t.Errorf("the old token: %v", m)
	}
	copies[i].Start()
	back := time.Now()
	poll(t, "a message to be stored after the return", 30*time.Second, func() bool {
		return operator.request(`{"t":"message","chat":%d,"cmid":"while","text":"x"}`, chat)["t"] == "ack"
	})
	t.Logf("stored %v after the return", time.Since(back).Round(time.Millisecond))
	for _, cmid := range []string{"between", "while"} {
		visitor.learns(chat, cmid)
	}
	poll(t, "the old token to be refused as such", 20*time.Second, func() bool { return cl.refusal(cl.nodes[1], old) == "logged_out" })
	cl.check()
}

// F19, whole: everything is gone, the accounts too. Nodes do not crash; live
// people are there again within 10 s and are told that positions are gone; their
// chats go on; no token of before a logout is taken (I6, I12).
//
// Seen red with enter.lua saying GONE of a record that is still to be asserted
// (everybody was signed out), and with numbers of nodes counted in seconds only (two
// nodes took the same one), and with adopt.lua taking a partition that it does not
// find for new: no hold, and a node that came early signed its people out.
func TestEverythingIsGone(t *testing.T) {
	for _, tc := range []struct {
		name  string
		empty func(context.Context, *cluster, stoppable) error
	}{
		{"FLUSHALL", func(ctx context.Context, cl *cluster, _ stoppable) error {
			return cl.nodes[0].rdb.FlushAll(ctx).Err()
		}},
		{"a server with an empty folder", func(ctx context.Context, _ *cluster, s stoppable) error {
			return s.Restart(ctx) // it has saved nothing
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := redistest.Start(t, false)
			cl := newClusterOn(t, func() redis.UniversalClient { return redis.NewClient(server.Options()) }, 2)
			ctx := t.Context()
			op := cl.operator("Mina", switchboard.RoleOperator, 1)
			old := cl.token(cl.operator("Gone", switchboard.RoleOperator, 1))
			operator, visitor, chat := cl.talk(cl.token(op), cl.visitor(cl.nodes[0], "Bo"))
			leaves := cl.hello(cl.nodes[0], old)
			leaves.send(`{"t":"signout"}`)
			leaves.ended()
			began := time.Now()
			if err := tc.empty(ctx, cl, server); err != nil {
				t.Fatal(err)
			}
			poll(t, "the operator to be there again, with the chat", 30*time.Second, func() bool {
				rec, err := cl.admin.Operator(ctx, cl.org.ID, op)
				link, e := cl.nodes[0].rdb.HGet(ctx, cl.admin.Partition(cl.org.ID).Block(cl.org.ID).Link, fmt.Sprint("o", op)).Result()
				return err == nil && rec.Work[fmt.Sprint("chat:", chat)] == 1 && e == nil && link != "-"
			})
			t.Logf("presence after %v", time.Since(began).Round(time.Millisecond))
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("presence after %v", took)
			}
			operator.kind("gap")
			visitor.kind("gap")
			for i, p := range []*peer{operator, visitor} {
				poll(t, "messages to be stored again", 10*time.Second, func() bool {
					return p.request(`{"t":"message","chat":%d,"cmid":"after%d","text":"after"}`, chat, i)["t"] == "ack"
				})
			}
			poll(t, "the old token to be looked at", 10*time.Second, func() bool {
				code := cl.refusal(cl.nodes[1], old)
				return code == "logged_out" || code == "unauthorized"
			})
			cl.check()
		})
	}
}
