package gateway

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/routing"
)

// A message comes back to its author's other sockets, on whatever node, and need not
// to the one that sent it: the ack says all that a copy would. Seen red with append.lua
// leaving the author out whether or not he has a second socket.
func TestAMessageComesBackToItsAuthorsOtherSockets(t *testing.T) {
	cl := newDesk(t, 2)
	a := cl.token(cl.operator("Mina", "", 2))
	mina, visitor, chat := cl.talk(a, cl.visitor(cl.nodes[0], "Bo"))
	copies := func(p *peer, cmid string) int {
		return p.times(func(m map[string]any) bool { return m["t"] == "message" && m["cmid"] == cmid })
	}
	mina.say(chat, "m1")
	visitor.heard("m1")
	visitor.say(chat, "v1") // behind it on the same way
	mina.heard("v1")
	if n := copies(mina, "m1"); n != 0 {
		t.Errorf("the only socket of an author got %d copies", n)
	}
	for i, n := range []*node{cl.nodes[0], cl.nodes[1]} {
		tab, cmid := cl.hello(n, a), fmt.Sprint("other", i)
		tab.kind("resumed") // from here on it hears live
		mina.say(chat, cmid)
		tab.heard(cmid)
		visitor.heard(cmid)
	}
	cl.check()
}

// The store carried a message out and its answer was lost, and a second tab had come
// meanwhile, which nobody told of it: the author sends it again, and the tab is told
// that there is a gap. (Red with repeats left out of storeMessage's second look.)
func TestARepeatTellsATabThatTheFirstTryPassedOver(t *testing.T) {
	cl := newDesk(t, 1)
	a := cl.token(cl.operator("Mina", "", 2))
	mina, visitor, chat := cl.talk(a, cl.visitor(cl.nodes[0], "Bo"))
	tab := cl.hello(cl.nodes[0], a)
	tab.kind("resumed")
	person := switchboard.PersonID(mina.kind("ready")["person"].(string))
	if _, err := cl.nodes[0].router.Append(t.Context(), cl.org.ID, routing.Draft{From: person, Chat: switchboard.ChatID(chat), Cmid: "lost", Text: "x", Alone: true}); err != nil {
		t.Fatal(err)
	}
	visitor.heard("lost")
	mina.say(chat, "lost")
	tab.until("a gap", func(m map[string]any) bool {
		return m["t"] == "gap" && fmt.Sprint(m["chats"]) == fmt.Sprintf("[%d]", chat)
	})
	if n := tab.times(func(m map[string]any) bool { return m["t"] == "message" && m["cmid"] == "lost" }); n != 0 {
		t.Errorf("the tab was told %d times: nothing is tested", n)
	}
	// A first message that came with its chat has been told to all tabs.
	token := cl.visitor(cl.nodes[0], "Cy")
	cy, other := cl.hello(cl.nodes[0], token), cl.hello(cl.nodes[0], token)
	cy.request(`{"t":"chat.start","cmid":"first","text":"hello"}`)
	other.heard("first")
	other.provoke(`{"t":"pong"}`)
	if n := other.times(is("gap")); n != 0 {
		t.Errorf("a new chat's first message told %d gaps", n)
	}
	cl.check()
}

// A tab that is opened while its person writes in another misses nothing: either it
// reads the message when it opens, or the message comes to it, or it is told of a gap.
// Seen red with the second look taken out of onMessage and 5 ms of sleep before Append,
// which makes the window wide enough.
func TestATabThatOpensWhileItsPersonWritesMissesNothing(t *testing.T) {
	cl := newDesk(t, 1)
	a := cl.token(cl.operator("Mina", "", 2))
	mina, _, chat := cl.talk(a, cl.visitor(cl.nodes[0], "Bo"))
	person := switchboard.PersonID(mina.kind("ready")["person"].(string))
	for i := range 60 {
		cmid := fmt.Sprint("m", i)
		var writer sync.WaitGroup
		writer.Go(func() { mina.say(chat, cmid) })
		tab := cl.hello(cl.nodes[0], a)
		writer.Wait()
		tab.until(cmid+" or a gap", func(m map[string]any) bool {
			if m["t"] == "resumed" {
				for _, one := range m["messages"].([]any) {
					if one.(map[string]any)["cmid"] == cmid {
						return true
					}
				}
			}
			return m["t"] == "gap" || m["t"] == "message" && m["cmid"] == cmid
		})
		tab.ws.CloseNow()
		poll(t, "the tab is gone", 15*time.Second, func() bool { return len(cl.nodes[0].hub.Conns(cl.org.ID, person)) == 1 })
	}
}
