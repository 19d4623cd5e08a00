package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchboard/switchboard"
)

// the customer's server opens a chat for a visitor with a priority, and changes
// it while it waits; a supervisor may too. The visitor's page has the chat and its
// place at once, and is told no priority. (Red with the priority left out of the
// opening, and with the rank left as it was.)
func TestPriorityOverHTTP(t *testing.T) {
	cl := newDesk(t, 2)
	base, auth := "http://"+cl.nodes[0].Addr(), cl.apiSecret()
	secret := "Authorization: " + auth.Get("Authorization")
	boss := cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1))
	plain := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Plain"))
	waits := plain.start()
	token := cl.visitor(cl.nodes[1], "Important")
	page := cl.hello(cl.nodes[1], token)
	body := fmt.Sprintf(`{"token":%q,"cmid":"c0","text":"urgent","priority":5}`, token)
	got := ask(t, "POST", base+"/v1/chats", body, secret)
	if got.status != 201 {
		t.Fatalf("opened: %d %s", got.status, got.body)
	}
	opened := decode[prioritized](t, 200, got.body)
	if opened.Priority != 5 || opened.Place != 1 || opened.State != "waiting" {
		t.Errorf("opened: %s", got.body)
	}
	m := page.chat(0, int64(opened.Chat.Chat), "waiting")
	if m["place"] != 1.0 || strings.Contains(fmt.Sprint(m), "prio") {
		t.Errorf("the page is told %v", m)
	}
	page.heard("c0")
	if again := ask(t, "POST", base+"/v1/chats", body, secret); again.status != 200 || decode[prioritized](t, 200, again.body).Chat.Chat != opened.Chat.Chat {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	path := fmt.Sprintf("%s/v1/chats/%d/priority", base, waits)
	status, answer := call(t, "PUT", path, bearerOf(boss), `{"priority":9}`)
	if c := decode[prioritized](t, status, answer); c.Place != 1 || c.Priority != 9 {
		t.Errorf("raised: %s", answer)
	}
	plain.after(0, "its new place", func(m map[string]any) bool { return m["t"] == "chat" && m["place"] == 1.0 })
	if got := ask(t, "PUT", path, `{"priority":0}`, secret); got.status != 200 || decode[prioritized](t, 200, got.body).Place != 2 {
		t.Errorf("lowered: %d %s", got.status, got.body)
	}
	cl.check()
}

// V-5: knowing a chat's id is not enough: with a good token of another visitor, of the
// same organization or of none of its chats, nothing of it can be read, written or
// ended, and the answers are those for a chat that is not there. (Red with the party
// check taken out of resumeOne, and of append.lua.)
func TestKnowingAChatsIdIsNotEnough(t *testing.T) {
	cl := newDesk(t, 1)
	operator, visitor, chat := cl.talk(cl.token(cl.operator("Mina", "", 2)), cl.visitor(cl.nodes[0], "Bo"))
	strangerToken := cl.visitor(cl.nodes[0], "Eve")
	stranger := cl.hello(cl.nodes[0], strangerToken, fmt.Sprintf(`,"chats":[{"chat":%d,"pos":""}]`, chat))
	for _, frame := range []string{`{"t":"message","chat":%d,"cmid":"x","text":"x"}`, `{"t":"chat.close","chat":%d}`, `{"t":"chat.here","chat":%d}`, `{"t":"typing","chat":%d,"on":true}`} {
		own, none := stranger.request(frame, chat), stranger.request(frame, chat+1000)
		if own["t"] != "error" || own["code"] != none["code"] || own["field"] != none["field"] || own["message"] != none["message"] {
			t.Errorf("%s: %v, and for no chat %v", frame, own, none)
		}
	}
	path := fmt.Sprintf("http://%s/v1/chats/%d/messages", cl.nodes[0].Addr(), chat)
	if status, body := call(t, "GET", path, bearerOf(strangerToken), ""); status != 404 {
		t.Errorf("messages: %d %s", status, body)
	}
	visitor.say(chat, "secret")
	operator.heard("secret")
	stranger.provoke(`{"t":"pong"}`)
	for _, m := range stranger.all() {
		if m["t"] == "message" || m["t"] == "resumed" || m["t"] == "chat" {
			t.Errorf("the stranger was told %v", m)
		}
	}
	cl.check()
}

// Outside work over HTTP: it fills an operator, and the waiting chat comes when it ends.
// Its id is the other system's own: one that looks like a chat's shows nobody that chat
// (V-5). (Red with deleteWork doing nothing, and with snapshot.lua looking up all that
// is no call.)
func TestOutsideWorkOverHTTP(t *testing.T) {
	cl := newDesk(t, 1)
	_, _, secretChat := cl.talk(cl.token(cl.operator("Otto", "", 1)), cl.visitor(cl.nodes[0], "Al"))
	base, secret := "http://"+cl.nodes[0].Addr(), "Authorization: "+cl.apiSecret().Get("Authorization")
	mina := cl.operator("Mina", "", 2)
	operator := cl.available(cl.nodes[0], cl.token(mina))
	if got := ask(t, "POST", base+"/v1/work", fmt.Sprintf(`{"operator":%d,"id":"mail-7","units":2}`, mina), secret); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	operator.until("others", func(m map[string]any) bool { return m["t"] == "self" && m["others"] == 1.0 })
	visitor := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Bo"))
	chat := visitor.start()
	if n := operator.times(is("offer")); n != 0 {
		t.Errorf("a full operator was asked %d times", n)
	}
	if got := ask(t, "DELETE", fmt.Sprintf("%s/v1/work/%d/mail-7", base, mina), "", secret); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	operator.offered(0, chat)
	if got := ask(t, "POST", base+"/v1/work", fmt.Sprintf(`{"operator":%d,"id":"%d"}`, mina, secretChat), secret); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	ready := cl.hello(cl.nodes[0], cl.token(mina)).kind("ready")
	if chats, offers := ready["chats"].([]any), ready["offers"].([]any); len(chats) != 0 || len(offers) != 1 {
		t.Errorf("after a reload the operator, who has one offer, is shown %v and %v", chats, offers)
	}
	cl.check()
}
