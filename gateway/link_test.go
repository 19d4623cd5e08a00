package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// hasty are hub times for tests: a silent socket is dead after a second.
func hasty(c *Config) {
	c.Hub.PingEvery, c.Hub.Timeout = 300*time.Millisecond, time.Second
}

// told counts the changes that the organization's partition has told its nodes
// of: what does not count up is no event at all, for anybody.
func (cl *cluster) told() int64 {
	cl.t.Helper()
	_, ctr, err := cl.admin.Roster(cl.t.Context(), cl.org.ID)
	if err != nil {
		cl.t.Fatal(err)
	}
	return ctr
}

// edges returns which incarnations hold sockets of a person, as the store has it:
// "" for nobody, "-" in grace.
func (cl *cluster) edges(person switchboard.PersonID) string {
	cl.t.Helper()
	key := cl.admin.Partition(cl.org.ID).Key(cl.org.ID, "link")
	link, err := redistest.Client(cl.t, redisOptions).HMGet(cl.t.Context(), key, string(person)).Result()
	if err != nil {
		cl.t.Fatal(err)
	}
	text, _ := link[0].(string)
	return text
}

// sockets counts a person's live sockets on all nodes.
func (cl *cluster) sockets(person switchboard.PersonID) (n int) {
	for _, node := range cl.nodes {
		n += len(node.hub.Conns(cl.org.ID, person))
	}
	return n
}

// P-1, F-3, W-6: a tab that does nothing but answer pings stays, for many times
// the timeout and the grace together, and costs nobody anything: no status event,
// no frame but pings on any socket. Life belongs to the socket: chats come and go
// on it. (hub has the same for 60 minutes of virtual time.)
func TestATabThatOnlyAnswersPingsStaysAndTellsNobody(t *testing.T) {
	cl := newDesk(t, 2, hasty, func(c *Config) { c.Presence.Grace = 500 * time.Millisecond })
	op := cl.operator("Mina", "", 5)
	operator, visitor, chat := cl.talk(cl.token(op), cl.visitor(cl.nodes[0], "Bo"))
	watcher := cl.hello(cl.nodes[1], cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0)), `,"watch":["operators"]`)
	watcher.until("In-chat", func(m map[string]any) bool { return shows(m, op, "In-chat") })
	all := []*peer{operator, visitor, watcher}
	pinged := func(n int) {
		t.Helper()
		from := operator.times(is("ping"))
		poll(t, "pings", time.Minute, func() bool { return operator.times(is("ping")) >= from+n })
	}
	quiet := func() {
		t.Helper()
		pinged(3) // boards have said what they had to say
		told, counts := cl.told(), []int{}
		for _, p := range all {
			counts = append(counts, p.count())
		}
		pinged(8) // 2.4 s: more than timeout and grace
		if now := cl.told(); now != told {
			t.Errorf("%d events were told while everybody only answered pings", now-told)
		}
		for i, p := range all {
			for _, m := range p.all()[counts[i]:] {
				if m["t"] != "ping" {
					t.Errorf("socket %d was told %v", i, m)
				}
			}
		}
	}
	quiet()
	// The first chat ends and a second one comes on the same sockets (W-6).
	visitor.request(`{"t":"chat.close","chat":%d}`, chat)
	operator.until("no work", func(m map[string]any) bool {
		return m["t"] == "self" && m["status"] == "Available" && m["chats"] == 0.0
	})
	second := visitor.start()
	operator.request(`{"t":"offer.accept","chat":%d,"token":%q}`, second, operator.offered(0, second))
	visitor.chat(0, second, "active")
	quiet()
	operator.say(second, "still here")
	visitor.heard("still here")
	cl.check()
}

// P-2: of two connections, on one node or two, either may end, with a close frame
// or by a cut: nobody is told, and the operator still gets work by the other one.
// A phone is a connection like any other, so who is here by phone only is routable.
func TestEndingOneOfTwoConnectionsChangesNothing(t *testing.T) {
	cl := newDesk(t, 2, func(c *Config) { c.Presence.Grace = time.Millisecond }) // no grace could hide a mistake
	cl.everyone(presence.Team{OfferMS: 600_000})
	op := cl.operator("Mina", "", 100)
	token := cl.token(op)
	phone := cl.available(cl.nodes[0], token)
	boss := cl.hello(cl.nodes[0], cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0)), `,"watch":["operators"]`)
	boss.until("Available", func(m map[string]any) bool { return shows(m, op, "Available") })
	last := phone
	for i, how := range []string{"cut", "clean", "cut", "clean", "cut", "clean", "cut", "clean"} {
		older, node := i%4 < 2, cl.nodes[i/2%2]
		told := cl.told()
		other := cl.hello(node, token)
		ends, stays := last, other
		if !older {
			ends, stays = other, last
		}
		if how == "cut" {
			ends.ws.CloseNow()
		} else if err := ends.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Fatal(err)
		}
		poll(t, "one socket is left", 15*time.Second, func() bool { return cl.sockets(switchboard.OperatorPerson(op)) == 1 })
		if link := cl.edges(switchboard.OperatorPerson(op)); link == "" || link == "-" {
			t.Errorf("%d %s: nobody holds the operator: %q", i, how, link)
		}
		if now := cl.told(); now != told {
			t.Errorf("%d %s: %d events were told", i, how, now-told)
		}
		visitor := cl.hello(cl.nodes[(i+1)%2], cl.visitor(cl.nodes[0], "Bo"))
		stays.offered(0, visitor.start())
		last = stays
	}
	for _, m := range boss.all() {
		if shows(m, op, "Offline") {
			t.Errorf("the board showed %v", m)
		}
	}
	cl.check()
}

// P-4: an operator whose network is gone, without a close frame, gets no work as
// soon as the timeout is over (18 s by default, and one wheel tick), and is offline
// after the grace.
func TestACutOperatorIsNotRoutableAfterTheTimeoutAndOfflineAfterTheGrace(t *testing.T) {
	const grace = 3 * time.Second
	cl := newDesk(t, 2, hasty, func(c *Config) { c.Presence.Grace = grace })
	op := cl.operator("Mina", "", 5)
	watcher := cl.hello(cl.nodes[1], cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0)), `,"watch":["operators"]`)
	proxy := redistest.NewProxy(t, "tcp", cl.nodes[0].Addr())
	ws, _, err := websocket.Dial(t.Context(), "ws://"+proxy.Addr()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := cl.peerOf(ws)
	p.send(`{"t":"hello","v":1,"token":%q}`, cl.token(op))
	p.request(`{"t":"status","status":"Available"}`)
	watcher.until("Available", func(m map[string]any) bool { return shows(m, op, "Available") })

	began := time.Now()
	proxy.Hole() // nothing passes, nothing is closed: flight mode
	poll(t, "nobody is offered to her", 15*time.Second, func() bool { return cl.edges(switchboard.OperatorPerson(op)) == "-" })
	if took := time.Since(began); took < 600*time.Millisecond || took > time.Second+2*time.Second {
		t.Errorf("the link was given up after %v; the timeout is 1 s", took)
	}
	visitor := cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Bo"))
	if m := visitor.request(`{"t":"chat.start","cmid":"c0","text":"hello"}`); m["state"] != "waiting" {
		t.Errorf("in the grace: %v", m)
	}
	if rec, err := cl.admin.Operator(t.Context(), cl.org.ID, op); err != nil || len(rec.Work) != 0 {
		t.Errorf("a lost operator holds %v, %v", rec.Work, err)
	}
	watcher.until("Offline", func(m map[string]any) bool { return shows(m, op, "Offline") })
	if took := time.Since(began); took < grace || took > grace+6*time.Second {
		t.Errorf("offline after %v; timeout and grace are 4 s", took)
	}
	// What is promised without settings.
	proxy.Heal()
	if m := p.kind("ready"); m["timeout_ms"] != 1000.0 {
		t.Errorf("ready says %v", m["timeout_ms"])
	}
	if d := hub.DefaultTimeout; d > 20*time.Second {
		t.Errorf("by default a cut is noticed after %v, more than 20 s", d)
	}
	cl.check()
}

// P-9, P-8: signing out in one tab ends every connection of the operator, on every
// node, within a second and with its reason. The bound was seen red with ended sockets
// told 4 s late (inbound.go).
func TestSignOutInOneTabIsHeardByAll(t *testing.T) {
	cl := newDesk(t, 3)
	op := cl.operator("Mina", "", 2)
	token := cl.token(op)
	var tabs []*peer
	for i := range 6 {
		tabs = append(tabs, cl.hello(cl.nodes[i%3], token))
	}
	began := time.Now()
	tabs[4].send(`{"t":"signout"}`)
	for i, p := range tabs {
		if m := p.kind("logout"); m["reason"] != "signed out" {
			t.Errorf("tab %d heard %v", i, m)
		}
		if code := p.ended(); code != switchboard.CloseLoggedOut {
			t.Errorf("tab %d was closed with %d", i, code)
		}
	}
	if took := time.Since(began); took > time.Second+busyMachine {
		t.Errorf("the last tab heard it after %v", took)
	}
	rec, err := cl.admin.Operator(t.Context(), cl.org.ID, op)
	if err != nil || rec.Status != switchboard.StatusOffline {
		t.Errorf("signed out, and %v, %v", rec.Status, err)
	}
	cl.check()
}

// P-5: one of three nodes is killed. Who reconnects within the grace is no news to
// anybody; the others are offline after it; all nodes give the same answer and
// nobody has to clean up.
func TestAllNodesAgreeAfterOneWasKilled(t *testing.T) {
	cl := newDesk(t, 3, func(c *Config) { c.Presence.CrashGrace = 8 * time.Second })
	boss := cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0))
	var back, gone []switchboard.OperatorID
	tokens := map[switchboard.OperatorID]string{}
	for i := range 10 {
		op := cl.operator(fmt.Sprint("Operator", i), "", 2)
		tokens[op] = cl.token(op)
		cl.available(cl.nodes[2], tokens[op])
		if i%2 == 0 {
			back = append(back, op)
		} else {
			gone = append(gone, op)
		}
	}
	watchers := []*peer{cl.hello(cl.nodes[0], boss, `,"watch":["operators"]`), cl.hello(cl.nodes[1], boss, `,"watch":["operators"]`)}
	for _, w := range watchers {
		for op := range tokens {
			w.until("Available", func(m map[string]any) bool { return shows(m, op, "Available") })
		}
	}
	cl.nodes[2].crash()
	cl.nodes = cl.nodes[:2]
	for i, op := range back {
		cl.hello(cl.nodes[i%2], tokens[op])
	}
	for _, w := range watchers {
		for _, op := range gone {
			w.until("Offline", func(m map[string]any) bool { return shows(m, op, "Offline") })
		}
		for _, op := range back {
			if n := w.times(func(m map[string]any) bool { return shows(m, op, "Offline") }); n > 0 {
				t.Errorf("operator %d reconnected in time and was shown as Offline", op)
			}
		}
	}
	var views []string
	for _, n := range cl.nodes {
		views = append(views, boardText(cl.hello(n, boss, `,"watch":["operators"]`).kind("presence")))
	}
	if views[0] != views[1] || strings.Count(views[0], "Offline") != len(gone) {
		t.Errorf("the nodes say\n%s\nand\n%s", views[0], views[1])
	}
	cl.check()
}

// boardText is a presence object as sorted lines.
func boardText(m map[string]any) string {
	var lines []string
	for _, o := range m["operators"].([]any) {
		v := o.(map[string]any)
		var fields []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, fmt.Sprintf("%s=%v", k, v[k]))
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
