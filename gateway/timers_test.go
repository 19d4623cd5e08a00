package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// A-8, V-7: over real sockets on two nodes. The operator's connection is lost for
// longer than the grace: a supervisor hears who was lost with which chat, the visitor
// sees that the operator is away and that they are back. When they do not come back
// the chat goes on to another. (Red without the topic in heard, and without away in
// forVisitor and in parts.changed.)
func TestLostOperatorIsToldToSupervisorsAndToTheVisitor(t *testing.T) {
	cl := newDesk(t, 2, func(c *Config) { c.Presence.Grace = 200 * time.Millisecond })
	cl.everyone(presence.Team{Timers: presence.Timers{Loss: presence.LossHold, LossHoldMS: 2000}})
	boss := cl.hello(cl.nodes[1], cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1)))
	boss.request(`{"t":"watch","watch":["losses"]}`)
	mina := cl.operator("Mina", "", 2)
	operator, visitor, chat := cl.talk(cl.token(mina), cl.visitor(cl.nodes[1], "Bo"))
	if m := operator.request(`{"t":"watch","watch":["losses"]}`); m["code"] != "forbidden" {
		t.Errorf("an operator watches losses: %v", m)
	}
	away := func(want any) func(m map[string]any) bool {
		return func(m map[string]any) bool {
			o, _ := m["operator"].(map[string]any)
			return m["t"] == "chat" && m["state"] == "active" && o != nil && o["away"] == want
		}
	}
	n := visitor.count()
	operator.ws.CloseNow()
	m := boss.until("lost", is("lost"))
	if got, want := fmt.Sprint(m["operator"].(map[string]any)["name"], m["chats"]), fmt.Sprintf("Mina[map[chat:%d team:0 then:hold]]", chat); got != want {
		t.Errorf("the supervisor hears %s, want %s", got, want)
	}
	visitor.after(n, "the operator is away", away(true))
	n = visitor.count()
	boss.request(`{"t":"chat.join","chat":%d,"role":"join"}`, chat)
	visitor.told(n, chat, "who joined while the operator is away", func(m map[string]any) bool { return has(m, "with", "Boss", "") && away(true)(m) })
	n = visitor.count()
	back := cl.hello(cl.nodes[1], cl.token(mina))
	visitor.after(n, "the operator is back", away(nil))
	back.say(chat, "m1")
	visitor.heard("m1")

	other := cl.available(cl.nodes[0], cl.token(cl.operator("Otto", "", 2)))
	n = visitor.count()
	back.ws.CloseNow()
	visitor.after(n, "the operator is away again", away(true))
	visitor.chat(n, chat, "waiting")
	other.offered(0, chat)
	cl.check()
}

// the desk's own words and the end of an inactive chat reach both sides as
// messages and frames, and a late reader finds them in the log. (Red with say()
// telling nobody, and with it leaving out c.with: the supervisor who monitors.)
func TestInactiveChatIsWarnedAndClosedBeforeBothSides(t *testing.T) {
	cl := newDesk(t, 2)
	cl.everyone(presence.Team{Timers: presence.Timers{QuietMS: 1000, QuietCloseMS: 1000, QuietText: "Still there?"}})
	operator, visitor, chat := cl.talk(cl.token(cl.operator("Mina", "", 2)), cl.visitor(cl.nodes[1], "Bo"))
	boss := cl.hello(cl.nodes[1], cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1)))
	if m := boss.request(`{"t":"chat.join","chat":%d,"role":"monitor"}`, chat); m["t"] != "chat" {
		t.Fatalf("join: %v", m)
	}
	for _, p := range []*peer{operator, visitor, boss} {
		m := p.until("the warning", func(m map[string]any) bool { return m["t"] == "message" && m["from"] == "s" })
		if m["text"] != "Still there?" || m["seq"] != 2.0 {
			t.Errorf("the warning: %v", m)
		}
		if p == boss {
			continue // its part ends with chat.gone
		}
		if m := p.chat(0, chat, "closed"); m["reason"] != "inactive" {
			t.Errorf("the end: %v", m)
		}
	}
	if m := visitor.request(`{"t":"message","chat":%d,"cmid":"late","text":"x"}`, chat); m["code"] != "closed" {
		t.Errorf("a message into the closed chat: %v", m)
	}
	cl.check()
}

// V-1 and the slot of a silent chat, over real sockets: the visitor's page is told to
// ask, and finds the question after a reload; chat.here answers it. The operator's page
// sees which chat is silent, and the visitor's message wakes it at once. (Red with Still
// left out of chatFrame, and silent of parts.frame.)
func TestVisitorIsAskedAndSilentChatIsShown(t *testing.T) {
	cl := newDesk(t, 2)
	cl.everyone(presence.Team{Gone: presence.GoneAsk, Timers: presence.Timers{StillAfterMS: 1000, StillMS: 600_000, SilentMS: 1000}})
	token := cl.visitor(cl.nodes[1], "Bo")
	visitor := cl.hello(cl.nodes[1], token)
	chat := visitor.start()
	time.Sleep(1100 * time.Millisecond) // what the team calls a sign of life is over
	operator := cl.available(cl.nodes[0], cl.token(cl.operator("Mina", "", 2)))
	asked := func(m map[string]any) bool { return m["t"] == "chat" && m["still"] != nil }
	visitor.until("the question", asked)
	if chats := cl.hello(cl.nodes[0], token).kind("ready")["chats"].([]any); len(chats) != 1 || chats[0].(map[string]any)["still"] == nil {
		t.Errorf("after a reload: %v", chats)
	}
	if n := operator.times(is("offer")); n != 0 {
		t.Errorf("the operator was asked %d times before", n)
	}
	refusal(t, "another's chat", visitor.request(`{"t":"chat.here","chat":%d}`, chat+1), "not_found", "chat")
	if m := visitor.request(`{"t":"chat.here","chat":%d}`, chat); m["t"] != "ok" {
		t.Errorf("the answer: %v", m)
	}
	if m := operator.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, operator.offered(0, chat)); m["state"] != "active" {
		t.Fatalf("accept: %v", m)
	}
	silent := func(want any) func(m map[string]any) bool {
		return func(m map[string]any) bool { return m["t"] == "chat" && m["state"] == "active" && m["silent"] == want }
	}
	operator.until("silent", silent(true))
	otto := cl.operator("Otto", "", 2)
	cl.hello(cl.nodes[1], cl.token(otto))
	n := operator.count()
	operator.request(`{"t":"chat.invite","chat":%d,"operator":%d,"role":"consult"}`, chat, otto)
	operator.told(n, chat, "who is asked, silent still", func(m map[string]any) bool { return has(m, "invites", "Otto", "") && silent(true)(m) })
	n = operator.count()
	visitor.say(chat, "m1")
	operator.after(n, "awake", silent(nil))
	if visitor.times(func(m map[string]any) bool { return m["silent"] != nil }) != 0 {
		t.Error("the visitor was told that they are silent")
	}
	cl.check()
}
