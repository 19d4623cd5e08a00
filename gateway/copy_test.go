package gateway

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
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
