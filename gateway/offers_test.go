package gateway

import (
	"fmt"
	"testing"

	"github.com/switchboard/switchboard/presence"
)

// gone waits for the end of a chat's offer and returns its reason.
func (p *peer) gone(n int, chat int64) any {
	p.t.Helper()
	return p.after(n, "the end of the offer", func(m map[string]any) bool { return m["t"] == "offer.gone" && m["chat"] == float64(chat) })["reason"]
}

// An offer can be accepted once, by any tab, with its own token; whoever is late
// hears "conflict" and every tab hears what became of it.
func TestOfferIsAcceptedOnce(t *testing.T) {
	cl := newDesk(t, 2)
	token := cl.token(cl.operator("Mina", "", 2))
	first, second := cl.available(cl.nodes[0], token), cl.hello(cl.nodes[1], token)
	visitor := cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Bo"))
	chat := visitor.start()
	offer := first.offered(0, chat)
	m := first.until("the offer", is("offer"))
	if m["ttl_ms"] != 15000.0 || m["team"] != 0.0 || m["visitor"].(map[string]any)["name"] != "Bo" {
		t.Errorf("the offer says %v", m)
	}
	// A tab that comes now finds the offer in ready.
	late := cl.hello(cl.nodes[0], token)
	offers, _ := late.kind("ready")["offers"].([]any)
	if len(offers) != 1 || offers[0].(map[string]any)["token"] != offer {
		t.Errorf("ready has offers %v", offers)
	}
	visitor.chat(0, chat, "waiting")
	if n := visitor.times(func(m map[string]any) bool { return m["state"] == "offered" || m["t"] == "offer" }); n != 0 {
		t.Error("the visitor was told of the offer")
	}
	refusal(t, "another token", first.request(`{"t":"offer.accept","chat":%d,"token":"%sx"}`, chat, offer), "conflict", "token")
	if m := second.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, offer); m["t"] != "chat" || m["state"] != "active" {
		t.Errorf("accept: %v", m)
	}
	for _, p := range []*peer{first, second, late} {
		if reason := p.gone(0, chat); reason != "accepted" {
			t.Errorf("the offer ended as %v", reason)
		}
	}
	if m := first.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, offer); m["state"] != "active" {
		t.Errorf("the same accept by another tab: %v", m)
	}
	refusal(t, "a late decline", first.request(`{"t":"offer.decline","chat":%d,"token":%q}`, chat, offer), "conflict", "token")
	if m := visitor.chat(0, chat, "active"); m["operator"].(map[string]any)["name"] != "Mina" || m["visitor"] != nil {
		t.Errorf("the visitor is told %v", m)
	}
	cl.check()
}

// A declined chat goes to the next operator at once, from its old place; the one
// who declined is not asked again while somebody else is there.
func TestDeclinedChatGoesToTheNextOperator(t *testing.T) {
	cl := newDesk(t, 2)
	first := cl.available(cl.nodes[0], cl.token(cl.operator("First", "", 2)))
	visitor := cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Bo"))
	chat := visitor.start()
	offer := first.offered(0, chat)
	second := cl.available(cl.nodes[1], cl.token(cl.operator("Second", "", 2)))
	n := first.count()
	if m := first.request(`{"t":"offer.decline","chat":%d,"token":%q}`, chat, offer); m["t"] != "ok" {
		t.Errorf("decline: %v", m)
	}
	if reason := first.gone(n, chat); reason != "declined" {
		t.Errorf("the offer ended as %v", reason)
	}
	next := second.offered(0, chat)
	if next == offer {
		t.Error("two offers have one token")
	}
	refusal(t, "a late accept", first.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, offer), "conflict", "token")
	if m := second.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, next); m["state"] != "active" {
		t.Errorf("accept: %v", m)
	}
	if got := first.times(is("offer")); got != 1 {
		t.Errorf("the one who declined was asked %d times", got)
	}
	cl.check()
}

// An offer that nobody answers goes on to the next; the end by the visitor takes
// an offer away with a word of its own.
func TestOfferThatIsNotAnsweredGoesOn(t *testing.T) {
	cl := newDesk(t, 2)
	cl.everyone(presence.Team{OfferMS: 1000})
	silentToken := cl.token(cl.operator("Silent", "", 2))
	silent := cl.available(cl.nodes[0], silentToken)
	visitor := cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Bo"))
	chat := visitor.start()
	offer := silent.offered(0, chat)
	awake := cl.available(cl.nodes[1], cl.token(cl.operator("Awake", "", 2)))
	if reason := silent.gone(0, chat); reason != "timeout" {
		t.Errorf("the offer ended as %v", reason)
	}
	refusal(t, "a late accept", silent.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, offer), "conflict", "token")
	awake.offered(0, chat)
	visitor.request(`{"t":"chat.close","chat":%d}`, chat)
	if reason := awake.gone(0, chat); reason != "visitor_left" {
		t.Errorf("the offer ended as %v", reason)
	}
	cl.check()
}

// Three offers in a row without an answer: the operator is not there, whatever
// the status says, and gets no more until they choose one anew.
func TestThreeSilentOffersMakeAnOperatorUnresponsive(t *testing.T) {
	cl := newDesk(t, 2)
	cl.everyone(presence.Team{OfferMS: 1000, Misses: 3})
	op := cl.operator("Silent", "", 3)
	silent := cl.available(cl.nodes[0], cl.token(op))
	visitors := make([]*peer, 4)
	for i := range visitors {
		visitors[i] = cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], fmt.Sprint("Visitor", i)))
		visitors[i].start()
	}
	// An offer that a freed slot brought meanwhile ends by its own time.
	m := silent.until("Unresponsive", func(m map[string]any) bool {
		return m["t"] == "self" && m["status"] == "Unresponsive" && m["offers"] == 0.0
	})
	if m["intent"] != "Unresponsive" || m["version"] != 3.0 {
		t.Errorf("self: %v", m)
	}
	n := silent.count()
	last := cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Last"))
	if m := last.request(`{"t":"chat.start","cmid":"c0","text":"anyone?"}`); m["state"] != "waiting" || m["place"] != 5.0 {
		t.Errorf("with nobody there: %v", m)
	}
	silent.provoke(`{"t":"pong"}`)
	for _, m := range silent.all()[n:] {
		if m["t"] == "offer" {
			t.Errorf("an unresponsive operator was offered %v", m)
		}
	}
	n = silent.count()
	silent.request(`{"t":"status","status":"Available"}`)
	silent.after(n, "an offer", is("offer"))
	cl.check()
}
