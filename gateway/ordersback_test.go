package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// F15, L-6: an order was given through one node and cancelled through another,
// then the store loses the writes of that time. The order stays cancelled,
// whether the store had it or not: the node that gave it asserts it again, the
// one that cancelled it asserts that, and nobody is worked on before both have
// spoken. When the node that cancelled is dead too the one that gave it knows by
// the broadcast. Seen red with the cancel not kept by the node that did, with the
// broadcast not heard, and without ordercancel.lua's "floor" (one was counted as
// leaving for ever). What the hold is for: TestNobodyIsWorkedOnDuringTheHold.
func TestACancelledOrderStaysCancelledAfterAFailover(t *testing.T) {
	for _, tc := range []struct {
		name      string
		had       bool // the store had the order
		gave, end int  // nodes that give and cancel it
	}{{"the order is lost", false, 0, 2}, {"and who gave it", true, 1, 2}, {"and who cancelled it", false, 0, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			server := redistest.Start(t, false)
			cl := newClusterOn(t, func() redis.UniversalClient { return redis.NewClient(server.Options()) }, 3)
			ctx, a, b, dies := t.Context(), cl.nodes[0], cl.nodes[2], tc.gave == 1 || tc.end == 1
			mina, boss := cl.operator("Mina", "", 1), cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1))
			operator, visitor, chat := cl.talk(cl.token(mina), cl.visitor(b, "Bo"))
			idle := cl.hello(a, cl.token(cl.operator("Idle", "", 1)))
			save := func() {
				if err := a.rdb.Save(ctx).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if !tc.had {
				save()
			}
			id, err := cl.accounts.NextOrder(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cl.nodes[tc.gave].signOut(ctx, cl.org.ID, presence.OrderSpec{ID: id, Operators: []switchboard.OperatorID{mina}, Reason: "by mistake", By: "test"}, 100); err != nil {
				t.Fatal(err)
			}
			operator.kind("leaving")
			if tc.had {
				save()
			}
			n := operator.count()
			path := fmt.Sprintf("/v1/logouts/%d", id)
			if status, body := call(t, "DELETE", "http://"+cl.nodes[tc.end].Addr()+path, bearerOf(boss), ""); status != 200 {
				t.Fatalf("cancel: %d %s", status, body)
			}
			operator.after(n, "its own state", func(m map[string]any) bool { return m["t"] == "self" && m["leaving"] == nil })
			if dies {
				cl.nodes[1].crash()
			}
			was := cl.generation()
			if err := server.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			p := a.reg.Partition(cl.org.ID)
			poll(t, "both nodes to assert what they hold", 15*time.Second, func() bool {
				hold, err := a.rdb.HGet(ctx, p.Block(cl.org.ID).Meta, "hold").Int64()
				over := err == redis.Nil || dies && err == nil && hold < time.Now().UnixMilli()
				return a.reg.Generation(p) > was && b.reg.Generation(p) > was && over
			})
			status, body := call(t, "GET", "http://"+a.Addr()+path, bearerOf(boss), "")
			if o := (&logoutDesk{cluster: cl}).shown(body); status != 200 || o.State != "cancelled" || o.Todo != 0 || o.Leaving != 0 {
				t.Errorf("the order: %d %s", status, body)
			}
			// Whatever is still due of the order rings before this chat has ended.
			if m := visitor.request(`{"t":"chat.close","chat":%d}`, chat); m["t"] == "error" {
				t.Errorf("close: %v", m)
			}
			poll(t, "nothing to be due", 10*time.Second, func() bool {
				_, err := a.rdb.ZScore(ctx, p.Block(cl.org.ID).Due, fmt.Sprintf("order/%d/%d", cl.org.ID, id)).Result()
				return err == redis.Nil
			})
			if rec, err := cl.admin.Operator(ctx, cl.org.ID, mina); err != nil || rec.Leaving != nil || rec.Out {
				t.Errorf("the operator: %+v, %v", rec, err)
			}
			if m := idle.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
				t.Errorf("a bystander: %v", m)
			}
			cl.check()
		})
	}
}
