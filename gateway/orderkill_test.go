package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// F30: a network is signed out over three nodes, a fifth of the people in calls, and
// one node dies in the middle. The job goes on: each operator has exactly one
// outcome; sockets of the idle are closed with the reason on the nodes that live,
// the dead node's people are out too, by the job or when they come back; who is in a
// call stays until it ends. CHAOS=3 is 3,600 people. Seen red with orderapply.lua
// taking who is busy for idle. That the deadline alone completes an order, from
// any step on, is TestOrderSurvivesACrashAtEveryStep.
func TestLogoutOfManyOutlivesANode(t *testing.T) {
	people := 1200 * envInt(t, "CHAOS", 1)
	ctx := t.Context()
	if err := redistest.Client(t, redisOptions).FlushAll(ctx).Err(); err != nil { // nodes of earlier tests would be waited for
		t.Fatal(err)
	}
	cl := newCluster(t, 3)
	first, err := cl.accounts.NextOperators(ctx, people)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.accounts.BindOperators(ctx, cl.org.ID, first, people); err != nil {
		t.Fatal(err)
	}
	var add []presence.NewOperator
	for i := range people {
		add = append(add, presence.NewOperator{ID: first + switchboard.OperatorID(i), Name: fmt.Sprint("Op ", i)})
	}
	if err := cl.admin.AddOperators(ctx, cl.org.ID, add); err != nil {
		t.Fatal(err)
	}
	tokens, sockets := make([]string, people), make([]*peer, people)
	busy := func(i int) bool { return i%5 == 0 }
	forAll(people, func(i int) {
		tokens[i] = cl.token(add[i].ID)
		sockets[i] = cl.hello(cl.nodes[i%3], tokens[i])
		if busy(i) {
			if err := cl.admin.StartCall(ctx, cl.org.ID, add[i].ID, "pbx", presence.CallLease); err != nil {
				t.Error(err)
			}
		}
	})
	id, err := cl.accounts.NextOrder(ctx)
	if err != nil {
		t.Fatal(err)
	}
	spec := presence.OrderSpec{ID: id, Networks: []string{"127.0.0.0/8"}, Reason: "The site is closed", By: "test"}
	if _, err := cl.nodes[0].signOut(ctx, cl.org.ID, spec, 1); err != nil {
		t.Fatal(err)
	}
	read := func() presence.Order {
		t.Helper()
		o, err := cl.admin.Order(ctx, cl.org.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for o := read(); o.Out+o.Leaving < int64(people)/10; o = read() {
	}
	cl.nodes[1].crash()
	if o := read(); o.Out+o.Leaving == int64(people) {
		t.Error("the order was over before the node died")
	}
	began := time.Now()
	poll(t, "completion", 30*time.Second, func() bool { return read().State() == presence.OrderCompleted })
	t.Logf("complete %v after the death", time.Since(began).Round(time.Millisecond))
	// The dead node's people come back with the tokens that they have.
	forAll(people, func(i int) {
		if i%3 == 1 && !busy(i) {
			p := cl.dial(cl.nodes[2], nil)
			p.send(`{"t":"hello","v":1,"token":%q}`, tokens[i])
			if code := p.ended(); code != switchboard.CloseLoggedOut {
				t.Errorf("operator %d of the dead node: closed with %d", i, code)
			}
		} else if i%3 == 1 {
			sockets[i] = cl.hello(cl.nodes[2], tokens[i]) // goes on with the call
		} else if !busy(i) {
			if reason := sockets[i].signedOut(); reason != "The site is closed" {
				t.Errorf("operator %d: the reason is %v", i, reason)
			}
		}
	})
	counts := func(out, leaving int) {
		t.Helper()
		poll(t, fmt.Sprintf("%d out, %d leaving", out, leaving), 15*time.Second, func() bool {
			o := read()
			return o.Out == int64(out) && o.Leaving == int64(leaving)
		})
	}
	counts(people-people/5, people/5)
	cl.check()
	forAll(people, func(i int) {
		if busy(i) {
			if err := cl.admin.EndCall(ctx, cl.org.ID, add[i].ID, "pbx"); err != nil {
				t.Error(err)
			}
			sockets[i].signedOut()
		}
	})
	counts(people, 0)
	rows, err := cl.admin.Outcomes(ctx, cl.org.ID, id)
	if err != nil || len(rows) != people {
		t.Fatalf("%d outcomes, %v", len(rows), err)
	}
	signed := map[string]int{}
	entries, err := cl.nodes[0].rdb.XRange(ctx, cl.admin.Partition(cl.org.ID).Key(cl.org.ID, "audit"), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Values["what"] == "signed out" {
			signed[fmt.Sprint(e.Values["who"])]++
		}
	}
	for _, row := range rows {
		if n := signed[fmt.Sprint(row.Operator)]; row.Outcome != presence.OutcomeOut || n != 1 {
			t.Errorf("operator %d: %s, signed out %d times", row.Operator, row.Outcome, n)
		}
	}
	cl.check()
}
