package gateway

import (
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// signedOut waits for the end by a logout and returns the reason in its frame.
func (p *peer) signedOut() any {
	p.t.Helper()
	if code := p.ended(); code != switchboard.CloseLoggedOut {
		p.t.Errorf("closed with %d, want 4003", code)
	}
	for _, m := range p.all() {
		if m["t"] == "logout" {
			return m["reason"]
		}
	}
	p.t.Error("no logout frame before the end")
	return nil
}

// A token ends: an idle person's socket is closed with 4001, one that was renewed
// by "auth" goes on, and one with work is leaving: told, and out when it ends (L-5).
func TestTokenExpiry(t *testing.T) {
	cl := newDesk(t, 2)
	const life = 4 * time.Second
	idle, renews, busy := cl.operator("Idle", "", 2), cl.operator("Renews", "", 2), cl.operator("Busy", "", 2)
	working, visitor, chat := cl.talk(cl.brief(busy, life), cl.visitor(cl.nodes[0], "Bo"))
	ends, stays := cl.hello(cl.nodes[0], cl.brief(idle, life)), cl.hello(cl.nodes[1], cl.brief(renews, life))
	expires := stays.kind("ready")["expires"].(float64)
	if left := time.Until(time.UnixMilli(int64(expires))); left <= 0 || left > life {
		t.Errorf("ready says the token lives for %v", left)
	}
	if m := stays.request(`{"t":"auth","token":%q}`, cl.token(renews)); m["t"] != "ok" {
		t.Errorf("auth: %v", m)
	}

	if code := ends.ended(); code != switchboard.CloseExpired {
		t.Errorf("closed with %d, want 4001", code)
	}
	all := ends.all()
	refusal(t, "the last word", all[len(all)-1], switchboard.CodeExpired, "")
	leaving := working.kind("leaving")
	if leaving["chats"] != 1.0 || leaving["calls"] != 0.0 || leaving["reason"] == nil {
		t.Errorf("leaving: %v", leaving)
	}
	working.say(chat, "I finish this")
	visitor.heard("I finish this")
	refusal(t, "a call while leaving", working.request(`{"t":"call.start","call":"x"}`), switchboard.CodeLeaving, "")
	working.send(`{"t":"chat.close","chat":%d}`, chat) // the end may overtake the answer
	working.signedOut()
	if now := time.Now().UnixMilli(); now < int64(expires) {
		t.Fatal("the renewed token's first time is not over yet")
	}
	if m := stays.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
		t.Errorf("the renewed socket: %v", m)
	}
	cl.check()
}

// An idle operator's "now" ends every tab on every node at once and refuses the
// old token; the visitor's ends the visitor's presence without grace.
func TestSignOutNow(t *testing.T) {
	cl := newDesk(t, 2)
	op := cl.operator("Mina", "", 2)
	token := cl.token(op)
	tabs := []*peer{cl.available(cl.nodes[0], token), cl.hello(cl.nodes[0], token), cl.hello(cl.nodes[1], token)}
	tabs[1].send(`{"t":"signout"}`)
	for _, p := range tabs {
		p.signedOut()
	}
	for _, n := range cl.nodes {
		p := cl.dial(n, nil)
		p.send(`{"t":"hello","v":1,"token":%q}`, token)
		if code := p.ended(); code != switchboard.CloseLoggedOut {
			t.Errorf("the old token: closed with %d", code)
		}
	}
	fresh := cl.token(op)
	operator, visitor, chat := cl.talk(fresh, cl.visitor(cl.nodes[1], "Bo"))
	n := operator.count()
	visitor.send(`{"t":"signout"}`)
	if code := visitor.ended(); code != websocket.StatusNormalClosure {
		t.Errorf("the visitor was closed with %d", code)
	}
	operator.after(n, "the visitor's absence", func(m map[string]any) bool {
		return m["t"] == "chat" && m["chat"] == float64(chat) && m["here"] == false && m["state"] == "active"
	})
	cl.check()
}

// L-2: nobody signs out in the middle of work by mistake; "drain" leaves when it
// has ended, in the same step.
func TestSignOutDrains(t *testing.T) {
	cl := newDesk(t, 2)
	op := cl.operator("Mina", "", 2)
	operator, visitor, chat := cl.talk(cl.token(op), cl.visitor(cl.nodes[1], "Bo"))
	tab := cl.hello(cl.nodes[1], cl.token(op))
	for _, frame := range []string{`{"t":"signout"}`, `{"t":"signout","when":"now"}`} {
		refusal(t, frame, operator.request("%s", frame), switchboard.CodeConflict, "when")
	}
	operator.send(`{"t":"signout","when":"drain"}`)
	if m := operator.kind("leaving"); m["chats"] != 1.0 {
		t.Errorf("leaving: %v", m)
	}
	tab.until("its own state", func(m map[string]any) bool { return m["t"] == "self" && m["leaving"] == true })
	second := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Ulla"))
	if m := second.request(`{"t":"chat.start","cmid":"c0","text":"hello"}`); m["state"] != "waiting" {
		t.Errorf("a new chat: %v", m)
	}
	visitor.say(chat, "thanks")
	operator.heard("thanks")
	n := visitor.count()
	visitor.request(`{"t":"chat.close","chat":%d}`, chat)
	operator.signedOut()
	tab.signedOut()
	visitor.chat(0, chat, "closed")
	if got := operator.times(is("offer")); got != 1 {
		t.Errorf("a leaving operator had %d offers", got)
	}
	if m := visitor.times(is("logout")); m != 0 || visitor.count() < n {
		t.Error("the visitor was told of the logout")
	}
	cl.check()
}

// A watcher gets everybody at once, then what changes, and nothing after they
// have had enough.
func TestWatchIsASnapshotAndThenChanges(t *testing.T) {
	cl := newDesk(t, 2)
	a, b := cl.operator("A", "", 2), cl.operator("B", "", 2)
	boss := cl.operator("Boss", switchboard.RoleSupervisor, 2)
	first := cl.available(cl.nodes[0], cl.token(a))
	watcher := cl.hello(cl.nodes[1], cl.token(boss))
	if m := watcher.request(`{"t":"watch","watch":["operators","queue"]}`); m["t"] != "ok" {
		t.Errorf("watch: %v", m)
	}
	full := watcher.until("the snapshot", is("presence"))
	if full["full"] != true || !shows(full, a, "Available") || !shows(full, b, "Offline") || len(full["operators"].([]any)) != 3 {
		t.Errorf("the snapshot: %v", full)
	}
	if m := watcher.until("the queue", is("queue")); m["waiting"] != 0.0 {
		t.Errorf("queue: %v", m)
	}
	n := watcher.count()
	cl.hello(cl.nodes[0], cl.token(b))
	first.request(`{"t":"status","status":"Meal"}`)
	watcher.after(n, "B", func(m map[string]any) bool { return shows(m, b, "Unavailable") })
	watcher.after(n, "A", func(m map[string]any) bool { return shows(m, a, "Meal") })
	visitor := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Bo"))
	chat := visitor.start()
	watcher.after(n, "one waits", func(m map[string]any) bool { return m["t"] == "queue" && m["waiting"] == 1.0 })
	for _, m := range watcher.all()[n:] {
		if m["full"] != nil || m["t"] == "presence" && len(m["operators"].([]any)) > 2 {
			t.Errorf("a change told %v", m)
		}
	}
	watcher.request(`{"t":"watch","watch":["queue"]}`)
	n = watcher.count()
	first.request(`{"t":"status","status":"Break"}`)
	visitor.request(`{"t":"chat.close","chat":%d}`, chat)
	watcher.after(n, "none waits", func(m map[string]any) bool { return m["t"] == "queue" && m["waiting"] == 0.0 })
	for _, m := range watcher.all()[n:] {
		if m["full"] == nil && shows(m, a, "Break") {
			t.Errorf("told after the watch was over: %v", m)
		}
	}
	// Who loses the socket is offline for everybody once the grace is over.
	watcher.request(`{"t":"watch","watch":["operators"]}`)
	n = watcher.count()
	began := time.Now()
	first.ws.CloseNow()
	watcher.after(n, "A offline", func(m map[string]any) bool { return m["full"] == nil && shows(m, a, "Offline") })
	if took := time.Since(began); took < fast.Grace || took > fast.Grace+3*time.Second {
		t.Errorf("offline after %v", took)
	}
}
