package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchboard/switchboard"
)

// An admin says what operators can do; a chat that asks for a skill goes to who has
// it, over sockets. A waiting visitor is told the place again and again, and
// an operator may take the chat from the queue.
func TestSkillsPlacesAndClaimsOverSockets(t *testing.T) {
	cl := newDesk(t, 2)
	admin := cl.token(cl.operator("Boss", switchboard.RoleAdmin, 1))
	op := cl.operator("Mina", "", 1)
	path := fmt.Sprintf("/v1/operators/%d/skills", op)
	if status, body := cl.api("PUT", path, admin, `{"skills":{"billing":11}}`); status != 400 || !strings.Contains(body, `"skills.billing"`) {
		t.Errorf("a level of 11: %d %s", status, body)
	}
	if status, body := cl.api("PUT", path, admin, `{"skills":{"billing":3}}`); status != 200 || !strings.Contains(body, `"billing":3`) {
		t.Errorf("%d %s", status, body)
	}
	mina := cl.available(cl.nodes[0], cl.token(op))
	asks := cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Bo"))
	m := asks.request(`{"t":"chat.start","cmid":"c0","text":"my invoice","skills":[{"skill":"billing","level":3}]}`)
	chat := int64(m["chat"].(float64))
	if m := mina.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, mina.offered(0, chat)); m["state"] != "active" {
		t.Errorf("accept: %v", m)
	}

	first, second := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "First")), cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Second"))
	one, two := first.start(), second.start()
	second.until("the second place", func(m map[string]any) bool { return m["t"] == "chat" && m["place"] == 2.0 })
	first.request(`{"t":"chat.close","chat":%d}`, one)
	second.until("the first place", func(m map[string]any) bool { return m["t"] == "chat" && m["place"] == 1.0 && m["wait_ms"] != nil })
	refusal(t, "a claim at the limit", mina.request(`{"t":"chat.claim","chat":%d}`, two), "conflict", "over")
	if status, body := cl.api("PUT", path, admin, `{"skills":{},"over":true}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if m := mina.request(`{"t":"chat.claim","chat":%d,"over":true}`, two); m["t"] != "chat" || m["state"] != "active" {
		t.Errorf("a claim over the limit: %v", m)
	}
	cl.check()
}
