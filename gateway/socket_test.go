package gateway

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/routing"
)

// T-1: a mark that nobody renews ends by the server's clock, without any client's
// help; and at once when its socket is lost.
func TestTypingEndsByItselfAndWithItsSocket(t *testing.T) {
	cl := newDesk(t, 2)
	token := cl.visitor(cl.nodes[0], "Bo")
	operator, visitor, chat := cl.talk(cl.token(cl.operator("Mina", "", 2)), token)
	on := func(m map[string]any) bool { return m["t"] == "typing" && m["on"] == true }
	off := func(m map[string]any) bool { return m["t"] == "typing" && m["on"] == false }

	began := time.Now()
	visitor.send(`{"t":"typing","chat":%d,"on":true}`, chat)
	operator.send(`{"t":"typing","chat":%d,"on":true}`, chat)
	for _, p := range []*peer{operator, visitor} {
		m := p.until("typing", on)
		if m["ttl_ms"] != float64(routing.TypingFor.Milliseconds()) || m["chat"] != float64(chat) {
			t.Errorf("typing: %v", m)
		}
		if p.times(off) != 0 {
			t.Error("typing ended before its time")
		}
	}
	for _, p := range []*peer{operator, visitor} {
		p.until("the end of typing", off)
		if took := time.Since(began); took < routing.TypingFor-100*time.Millisecond || took > routing.TypingFor+3*time.Second {
			t.Errorf("typing ended after %v", took)
		}
	}

	n := operator.count()
	visitor.send(`{"t":"typing","chat":%d,"on":true}`, chat)
	operator.after(n, "typing", on)
	began = time.Now()
	visitor.ws.CloseNow()
	operator.after(n, "the end of typing", off)
	if took := time.Since(began); took > routing.TypingFor/2 {
		t.Errorf("typing outlived its socket by %v", took)
	}
	// Marks end when their person says so, and a mark for a chat that is over is none.
	visitor = cl.hello(cl.nodes[1], token)
	n = operator.count()
	visitor.send(`{"t":"typing","chat":%d,"on":true}`+"\n"+`{"t":"typing","chat":%d,"on":false}`, chat, chat)
	operator.after(n, "the end of typing", off)
	visitor.request(`{"t":"chat.close","chat":%d}`, chat)
	if m := visitor.request(`{"t":"typing","chat":%d,"on":true}`, chat); m["code"] != "not_found" {
		t.Errorf("typing in a closed chat: %v", m)
	}
}

// T-2: who types privately, who looks on: colleagues see it, a visitor never does.
func TestPrivateMarksNeverReachTheVisitor(t *testing.T) {
	cl := newDesk(t, 2)
	mina, boss := cl.operator("Mina", "", 2), cl.operator("Boss", switchboard.RoleSupervisor, 0)
	operator, visitor, chat := cl.talk(cl.token(mina), cl.visitor(cl.nodes[0], "Bo"))
	supervisor := cl.hello(cl.nodes[1], cl.token(boss))
	supervisor.send(`{"t":"viewing","chat":%d,"on":true}`, chat)
	operator.until("the viewer", func(m map[string]any) bool {
		return m["t"] == "viewing" && m["from"] == fmt.Sprint("o", boss) && m["on"] == true
	})
	for _, p := range []*peer{operator, supervisor} {
		p.send(`{"t":"typing","chat":%d,"on":true,"private":true}`, chat)
	}
	private := func(m map[string]any) bool {
		return m["t"] == "typing" && m["private"] == true && m["on"] == true
	}
	operator.until("the supervisor's private typing", private)
	supervisor.until("the operator's private typing", private)
	supervisor.send(`{"t":"typing","chat":%d,"on":true}`, chat) // of one who only looks on
	operator.until("the supervisor's typing", func(m map[string]any) bool {
		return m["t"] == "typing" && m["from"] == fmt.Sprint("o", boss) && m["private"] == nil
	})
	supervisor.ws.CloseNow()
	operator.until("the end of the viewing", func(m map[string]any) bool { return m["t"] == "viewing" && m["on"] == false })
	operator.send(`{"t":"typing","chat":%d,"on":false,"private":true}`, chat)
	operator.say(chat, "last")
	visitor.heard("last")
	for _, m := range visitor.all() {
		if m["t"] == "viewing" || m["private"] != nil || m["t"] == "typing" {
			t.Errorf("the visitor was told %v", m)
		}
	}
	// A visitor has no privacy to offer: the operator sees the typing.
	visitor.send(`{"t":"typing","chat":%d,"on":true,"private":true}`, chat)
	operator.until("the visitor's typing", func(m map[string]any) bool {
		return m["t"] == "typing" && m["from"] != fmt.Sprint("o", boss) && m["private"] == nil && m["on"] == true
	})
}

// Several tabs on several nodes are one person: each hears everything once, what
// one does the others see.
func TestTabsOfOnePersonAllHearTheSame(t *testing.T) {
	cl := newDesk(t, 2)
	a, b := cl.nodes[0], cl.nodes[1]
	token, visToken := cl.token(cl.operator("Mina", "", 2)), cl.visitor(cl.nodes[0], "Bo")
	tabs := []*peer{cl.available(a, token), cl.hello(a, token), cl.hello(b, token)}
	visits := []*peer{cl.hello(a, visToken), cl.hello(b, visToken)}
	chat := visits[0].start()
	visits[1].chat(0, chat, "waiting")
	tokens := map[string]bool{}
	for _, p := range tabs {
		tokens[p.offered(0, chat)] = true
	}
	if len(tokens) != 1 {
		t.Errorf("one offer has tokens %v", tokens)
	}
	for offer := range tokens {
		tabs[2].request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, offer)
	}
	for i, p := range tabs {
		p.until("the end of the offer", func(m map[string]any) bool { return m["t"] == "offer.gone" && m["reason"] == "accepted" })
		p.chat(0, chat, "active")
		p.until("its own state", func(m map[string]any) bool { return m["t"] == "self" && m["status"] == "In-chat" })
		p.say(chat, fmt.Sprint("from tab ", i))
	}
	visits[1].say(chat, "from a visit")
	for _, p := range append(tabs, visits...) {
		p.heard("from a visit")
		for i := range tabs {
			cmid := fmt.Sprint("from tab ", i)
			if n := p.times(func(m map[string]any) bool { return m["t"] == "message" && m["cmid"] == cmid }); n != 1 {
				t.Errorf("a socket heard %q %d times", cmid, n)
			}
		}
	}
	tabs[0].request(`{"t":"status","status":"Break"}`)
	for _, p := range tabs {
		p.until("the choice of another tab", func(m map[string]any) bool { return m["t"] == "self" && m["intent"] == "Break" })
	}
	tabs[0].ws.CloseNow()
	tabs[1].ws.CloseNow()
	tabs[2].say(chat, "still here")
	visits[0].heard("still here")
	cl.check()
}

// P-3: 200 reloads within the grace: the colleague who watches sees nothing.
func TestReloadsAreNoNewsToColleagues(t *testing.T) {
	cl := newDesk(t, 2, func(c *Config) { c.Presence.Grace = time.Minute })
	mina, other := cl.operator("Mina", "", 2), cl.operator("Other", "", 2)
	token := cl.token(mina)
	p, second := cl.available(cl.nodes[0], token), cl.available(cl.nodes[1], cl.token(other))
	watcher := cl.hello(cl.nodes[1], cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0)), `,"watch":["operators"]`)
	told := func(n int, op switchboard.OperatorID, status string) {
		t.Helper()
		watcher.after(n, "a status", func(m map[string]any) bool { return shows(m, op, status) })
	}
	told(0, mina, "Available")
	second.request(`{"t":"status","status":"Break"}`) // what came before this is told
	told(0, other, "Break")
	n := watcher.count()
	for i := range 200 {
		p.ws.CloseNow()
		p = cl.hello(cl.nodes[i%2], token)
	}
	second.request(`{"t":"status","status":"Meal"}`)
	told(n, other, "Meal")
	for _, m := range watcher.all()[n:] {
		if ops, _ := m["operators"].([]any); m["t"] == "presence" && (len(ops) != 1 || !shows(m, other, "Meal")) {
			t.Errorf("the watcher was told %v", m)
		}
	}
	if m := p.kind("ready"); m["self"].(map[string]any)["status"] != "Available" {
		t.Errorf("after 200 reloads: %v", m["self"])
	}
	cl.check()
}

// shows reports whether a presence object says an operator's status.
func shows(m map[string]any, op switchboard.OperatorID, status string) bool {
	ops, _ := m["operators"].([]any)
	for _, o := range ops {
		if v := o.(map[string]any); v["id"] == float64(op) && v["status"] == status {
			return true
		}
	}
	return false
}

// V-2, V-4: a visitor who reloads finds the chat again, with what was said: all of it,
// or what came behind the position the page has kept. The same token does it at another
// node; it lives for days (TestAVisitorTokenLivesThirtyDaysUnlessSaid).
func TestVisitorReloadResumesWithHistory(t *testing.T) {
	cl := newDesk(t, 2)
	token := cl.visitor(cl.nodes[1], "Bo")
	operator, visitor, chat := cl.talk(cl.token(cl.operator("Mina", "", 2)), token)
	for i := range 5 {
		visitor.say(chat, fmt.Sprint("v", i))
	}
	visitor.ws.CloseNow()
	for i := range 5 {
		operator.say(chat, fmt.Sprint("o", i))
	}
	gen := cl.generation()
	// A renewed session is the same visitor.
	status, body := call(t, "POST", "http://"+cl.nodes[0].Addr()+"/v1/visitor", nil, fmt.Sprintf(`{"org":%d,"token":%q}`, cl.org.ID, token))
	renewed := decode[visitorSession](t, status, body)
	for name, c := range map[string]struct {
		token, rest string
		first, n    int
	}{
		"a new page": {token, "", 1, 11}, "a page with a position": {token, fmt.Sprintf(`,"chats":[{"chat":%d,"pos":"6-%d"}]`, chat, gen), 7, 5},
		"a renewed session": {renewed.Token, "", 1, 11}, "an unknown position": {token, fmt.Sprintf(`,"chats":[{"chat":%d,"pos":"6-7"}]`, chat), 1, 11},
	} {
		p := cl.hello(cl.nodes[0], c.token, c.rest)
		chats, _ := p.kind("ready")["chats"].([]any)
		if len(chats) != 1 || chats[0].(map[string]any)["chat"] != float64(chat) || chats[0].(map[string]any)["state"] != "active" {
			t.Errorf("%s: ready has %v", name, chats)
		}
		m := p.kind("resumed")
		messages, _ := m["messages"].([]any)
		if m["ok"] != (name != "an unknown position") || len(messages) != c.n || m["pos"] != fmt.Sprint("11-", gen) {
			t.Errorf("%s: %v", name, m)
			continue
		}
		for i, one := range messages {
			if seq := one.(map[string]any)["seq"]; seq != float64(c.first+i) {
				t.Errorf("%s: message %d has seq %v", name, i, seq)
			}
		}
	}
	operator.say(chat, "live")
	cl.check()
}

// V-2: 100 starts at once, from many tabs on two nodes, make one chat with one
// first message.
func TestParallelStartsOfAVisitorMakeOneChat(t *testing.T) {
	cl := newDesk(t, 2)
	token := cl.visitor(cl.nodes[0], "Bo")
	tabs := make([]*peer, 20)
	for i := range tabs {
		tabs[i] = cl.hello(cl.nodes[i%2], token)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	chats, acks := map[any]int{}, map[any]int{}
	for _, p := range tabs {
		wg.Go(func() {
			for i := range 5 {
				p.send(`{"t":"chat.start","re":"s%d","cmid":"c0","text":"hello"}`, i)
			}
			for i := range 5 {
				m := p.until("a chat", func(m map[string]any) bool { return m["re"] == fmt.Sprint("s", i) })
				ack := p.until("an ack", func(m map[string]any) bool { return m["t"] == "ack" && m["cmid"] == "c0" })
				mu.Lock()
				chats[m["chat"]]++
				acks[ack["pos"]]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(chats) != 1 || len(acks) != 1 || acks[fmt.Sprint("1-", cl.generation())] != 100 {
		t.Errorf("chats %v, first messages at %v", chats, acks)
	}
	p := cl.hello(cl.nodes[1], token)
	if m := p.kind("resumed"); len(m["messages"].([]any)) != 1 {
		t.Errorf("the log holds %v", m["messages"])
	}
	cl.check()
}

// V-3, S-8: the end by either side reaches the other, on every tab; what is
// written afterwards is refused with "closed", and a new chat may begin.
func TestCloseReachesTheOtherSideAndEndsWriting(t *testing.T) {
	cl := newDesk(t, 2)
	opToken, visToken := cl.token(cl.operator("Mina", "", 2)), cl.visitor(cl.nodes[0], "Bo")
	for _, by := range []string{"visitor", "operator"} {
		operator, visitor, chat := cl.talk(opToken, visToken)
		tab := cl.hello(cl.nodes[1], opToken)
		closer, other := visitor, operator
		if by == "operator" {
			closer, other = operator, visitor
		}
		began := time.Now()
		if m := closer.request(`{"t":"chat.close","chat":%d}`, chat); m["t"] != "chat" || m["state"] != "closed" {
			t.Fatalf("close by the %s: %v", by, m)
		}
		for _, p := range []*peer{other, tab} {
			if m := p.chat(0, chat, "closed"); m["reason"] != "closed by the "+by {
				t.Errorf("the other side heard %v", m)
			}
		}
		if took := time.Since(began); took > 2*time.Second { // 1 s on a machine that does nothing else
			t.Errorf("the end took %v to the other side", took)
		}
		for _, p := range []*peer{operator, visitor, tab} {
			m := p.request(`{"t":"message","chat":%d,"cmid":"late","text":"hello?"}`, chat)
			refusal(t, "a late message", m, switchboard.CodeClosed, "")
			if m["cmid"] != "late" || m["chat"] != float64(chat) {
				t.Errorf("the client cannot tell which message was refused: %v", m)
			}
			if m := p.request(`{"t":"chat.close","chat":%d}`, chat); m["state"] != "closed" { // repeats are fine
				t.Errorf("closed again: %v", m)
			}
		}
		operator.until("no work", func(m map[string]any) bool {
			return m["t"] == "self" && m["status"] == "Available" && m["chats"] == 0.0
		})
		operator.ws.CloseNow()
		visitor.ws.CloseNow()
	}
	cl.check()
}
