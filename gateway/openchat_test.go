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
