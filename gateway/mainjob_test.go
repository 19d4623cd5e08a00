package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/accounts"
)

// TestMainJob is the whole story over three nodes, one of which dies in the
// middle of the chat: an operator comes online, a visitor's chat is routed to
// her, both talk through different nodes, a supervisor orders a logout that
// waits until the chat and the call have ended. No message is lost or repeated.
func TestMainJob(t *testing.T) {
	cl := newCluster(t, 3)
	a, b, c := cl.nodes[0], cl.nodes[1], cl.nodes[2]
	mina := cl.operator("Mina", switchboard.RoleOperator, 2)
	boss := cl.operator("Boss", switchboard.RoleSupervisor, 0)
	minaToken := cl.token(mina)

	supervisor := cl.hello(c, cl.token(boss), `,"watch":["operators","queue"]`)
	supervisor.kind("presence")
	operator := cl.hello(b, minaToken)
	operator.send(`{"t":"status","re":"s","status":"Available"}`)
	operator.until("ok", func(m map[string]any) bool { return m["t"] == "ok" && m["re"] == "s" })
	seen := func(status string) {
		t.Helper()
		supervisor.until("Mina "+status, func(m map[string]any) bool {
			ops, _ := m["operators"].([]any)
			for _, o := range ops {
				v := o.(map[string]any)
				if v["id"] == float64(mina) && v["status"] == status {
					return true
				}
			}
			return false
		})
	}
	seen("Available")

	visitorToken := cl.visitor(a, "Bo")
	visitor := cl.hello(a, visitorToken)
	visitor.send(`{"t":"chat.start","re":"go","cmid":"c0","text":"My invoice is wrong","page":"https://shop.example/cart"}`)
	offer := operator.kind("offer")
	if v := offer["visitor"].(map[string]any); v["name"] != "Bo" || v["page"] != "https://shop.example/cart" {
		t.Errorf("the offer names %v", v)
	}
	chat := int64(offer["chat"].(float64))
	operator.send(`{"t":"offer.accept","re":"acc","chat":%d,"token":%q}`, chat, offer["token"])
	operator.until("the answer to accept", func(m map[string]any) bool { return m["re"] == "acc" && m["state"] == "active" })
	visitor.until("the operator", func(m map[string]any) bool { return m["t"] == "chat" && m["state"] == "active" })
	seen("In-chat")

	// Typing crosses nodes, and a private note's typing does not reach the visitor.
	operator.send(`{"t":"typing","chat":%d,"on":true,"private":true}`, chat)
	operator.send(`{"t":"typing","chat":%d,"on":true}`, chat)
	visitor.kind("typing")
	for _, m := range visitor.all() {
		if m["private"] == true {
			t.Error("the visitor was told of private typing")
		}
	}

	say := func(p *peer, from, to int) {
		t.Helper()
		for i := from; i <= to; i++ {
			p.send(`{"t":"message","chat":%d,"cmid":"m%d","text":"message %d"}`, chat, i, i)
		}
	}
	acked := func(p *peer, i int) {
		t.Helper()
		p.until(fmt.Sprint("ack of m", i), func(m map[string]any) bool { return m["t"] == "ack" && m["cmid"] == fmt.Sprint("m", i) })
	}
	say(visitor, 1, 10)
	acked(visitor, 10)
	message := func(i int) func(m map[string]any) bool {
		return func(m map[string]any) bool { return m["t"] == "message" && m["cmid"] == fmt.Sprint("m", i) }
	}
	operator.until("m10", message(10))

	// The call begins; then the operator's node dies.
	secret := cl.apiSecret()
	if status, body := call(t, "POST", "http://"+c.Addr()+"/v1/calls", secret, fmt.Sprintf(`{"operator":%d,"call":"pbx-1","lease_ms":60000}`, mina)); status != 200 {
		t.Fatalf("call: %d %s", status, body)
	}
	seen("In-call")
	b.crash()
	operator.broke()
	say(visitor, 11, 20) // while nobody hears
	acked(visitor, 20)

	// She comes back to another node with her position: exactly what she missed.
	pos := ""
	for _, m := range operator.all() {
		if m["t"] == "message" {
			pos = m["pos"].(string)
		}
	}
	back := cl.hello(c, minaToken, fmt.Sprintf(`,"chats":[{"chat":%d,"pos":%q}]`, chat, pos))
	resumed := back.kind("resumed")
	if resumed["ok"] != true {
		t.Fatalf("not resumed: %v", resumed)
	}
	missed := resumed["messages"].([]any)
	if len(missed) != 10 {
		t.Fatalf("%d messages were missed, want 10: %v", len(missed), missed)
	}
	for i, m := range missed {
		if got := m.(map[string]any)["seq"]; got != float64(12+i) { // m1..m10 are 2..11 behind the first message
			t.Errorf("missed[%d] has seq %v, want %d", i, got, 12+i)
		}
	}
	say(back, 21, 25)
	acked(back, 25)
	visitor.until("m25", message(25))

	// The supervisor signs her network out: she is busy, so she is leaving.
	auth := http.Header{"Authorization": {"Bearer " + cl.token(boss)}}
	status, body := call(t, "POST", "http://"+a.Addr()+"/v1/logouts", auth, fmt.Sprintf(`{"agents":[%d],"reason":"End of shift"}`, mina))
	if status != 202 {
		t.Fatalf("logout: %d %s", status, body)
	}
	leaving := back.kind("leaving")
	if leaving["reason"] != "End of shift" {
		t.Errorf("leaving: %v", leaving)
	}
	other := cl.hello(a, cl.visitor(a, "Ulla"))
	other.send(`{"t":"chat.start","re":"go","cmid":"c0","text":"anyone?"}`)
	if got := other.until("the place", func(m map[string]any) bool { return m["re"] == "go" }); got["state"] != "waiting" || got["place"] != float64(1) {
		t.Errorf("a leaving operator was given work: %v", got)
	}

	// The chat ends, the call goes on: she stays. The call ends: she is out, in the same step.
	back.send(`{"t":"chat.close","re":"cl","chat":%d}`, chat)
	visitor.until("the end", func(m map[string]any) bool { return m["t"] == "chat" && m["state"] == "closed" })
	if rec, err := cl.admin.Operator(t.Context(), cl.org.ID, mina); err != nil || rec.Leaving == nil || rec.Out {
		t.Fatalf("with a call she is %+v, %v", rec, err)
	}
	cl.check()
	if status, body := call(t, "DELETE", fmt.Sprintf("http://%s/v1/calls/%d/pbx-1", c.Addr(), mina), secret, ""); status != 204 {
		t.Fatalf("call end: %d %s", status, body)
	}
	logout := back.kind("logout")
	if logout["reason"] != "End of shift" {
		t.Errorf("logout: %v", logout)
	}
	if code := back.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("closed with %d, want 4003", code)
	}
	seen("Offline")

	// Her old token is refused everywhere; a new sign-in is fine.
	for _, n := range []*node{a, c} {
		p := cl.dial(n, nil)
		p.send(`{"t":"hello","v":1,"token":%q}`, minaToken)
		if code := p.ended(); code != switchboard.CloseLoggedOut {
			t.Errorf("the old token: closed with %d, want 4003", code)
		}
		if status, _ := call(t, "GET", "http://"+n.Addr()+"/v1/teams", http.Header{"Authorization": {"Bearer " + minaToken}}, ""); status != 401 {
			t.Errorf("the old token over HTTP: %d, want 401", status)
		}
	}
	cl.hello(a, cl.token(mina))
	exactlyOnce(t, visitor, chat, 26)
	cl.check()
}

// exactlyOnce: a socket that stayed saw each message of the chat once, in order.
func exactlyOnce(t *testing.T, p *peer, chat int64, n int) {
	t.Helper()
	at := func(m map[string]any, seq int) bool {
		return (m["t"] == "message" || m["t"] == "ack") && m["chat"] == float64(chat) && m["seq"] == float64(seq)
	}
	p.until(fmt.Sprint("message ", n), func(m map[string]any) bool { return at(m, n) })
	all, last := p.all(), 0.0
	for _, m := range all {
		if m["t"] == "message" && m["chat"] == float64(chat) {
			if m["seq"].(float64) <= last {
				t.Errorf("seq %v after %v", m["seq"], last)
			}
			last = m["seq"].(float64)
		}
	}
	for seq := 1; seq <= n; seq++ {
		if !slices.ContainsFunc(all, func(m map[string]any) bool { return at(m, seq) }) {
			t.Errorf("seq %d is missing", seq)
		}
	}
	if last > float64(n) {
		t.Errorf("seq %v, want at most %d", last, n)
	}
}

// P-5, W-5: the people of a killed node are offline after the grace, everywhere, and
// their chats go back to the queue with their waiting time kept. What happens to a
// chat is the server's decision; the client that was lost has no part in it.
func TestKilledNodesPeopleAreCleanedUp(t *testing.T) {
	cl := newCluster(t, 2)
	a, b := cl.nodes[0], cl.nodes[1]
	op := cl.operator("Gone", switchboard.RoleOperator, 2)
	lost := cl.hello(b, cl.token(op))
	lost.send(`{"t":"status","re":"s","status":"Available"}`)
	lost.until("ok", func(m map[string]any) bool { return m["re"] == "s" })
	visitor := cl.hello(a, cl.visitor(a, "Bo"))
	visitor.send(`{"t":"chat.start","re":"go","cmid":"c0","text":"hello"}`)
	offer := lost.kind("offer")
	lost.send(`{"t":"offer.accept","chat":%v,"token":%q}`, offer["chat"], offer["token"])
	visitor.until("active", func(m map[string]any) bool { return m["state"] == "active" })
	n := visitor.count()
	b.crash()
	began := time.Now()
	visitor.after(n, "the chat waits again", func(m map[string]any) bool { return m["t"] == "chat" && m["state"] == "waiting" })
	if took := time.Since(began); took > fast.BuryAfter+fast.CrashGrace+5*time.Second {
		t.Errorf("took %v", took)
	}
	rec, err := cl.admin.Operator(t.Context(), cl.org.ID, op)
	if err != nil || rec.Status != switchboard.StatusOffline || len(rec.Work) != 0 {
		t.Errorf("the operator is %+v, %v", rec, err)
	}
	next := cl.operator("Next", switchboard.RoleOperator, 2)
	takes := cl.hello(a, cl.token(next))
	takes.send(`{"t":"status","status":"Available"}`)
	if o := takes.kind("offer"); o["chat"] != offer["chat"] {
		t.Errorf("offered %v", o)
	}
	cl.check()
}

// apiSecret makes an API credential and returns its Basic header.
func (cl *cluster) apiSecret() http.Header {
	cl.t.Helper()
	_, secret, err := cl.accounts.AddCredential(cl.t.Context(), accounts.Credential{Kind: accounts.API, Org: cl.org.ID}, "")
	if err != nil {
		cl.t.Fatal(err)
	}
	req, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		cl.t.Fatal(err)
	}
	req.SetBasicAuth(cl.org.Slug, secret)
	return http.Header{"Authorization": req.Header["Authorization"]}
}
