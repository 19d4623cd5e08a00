package gateway

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// F1: a process of its own is a node and is killed with kill -9 while five chats
// are loud. Its sockets break without a word; who comes back to another node within the
// grace has every message that was acknowledged, each once and in order; who does
// not is Offline after it, and that chat waits again. Seen red with the resume giving
// one message less and with the kill left out.
func TestChatsOutliveAProcessThatIsKilled(t *testing.T) {
	cl := newDesk(t, 2)
	addr, kill := cl.process()
	const chats = 5
	var visitors []*peer
	var ops []switchboard.OperatorID
	var tokens []string
	var lost []*peer
	var ids []int64
	for i := range chats {
		ops = append(ops, cl.operator(fmt.Sprint("Operator", i), "", 1))
		tokens = append(tokens, cl.token(ops[i]))
		op := cl.helloBy(addr, tokens[i])
		if m := op.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
			t.Fatal(m)
		}
		v := cl.hello(cl.nodes[i%2], cl.visitor(cl.nodes[0], fmt.Sprint("Visitor", i)))
		chat := v.start()
		if m := op.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, op.offered(0, chat)); m["state"] != "active" {
			t.Fatal(m)
		}
		lost, visitors, ids = append(lost, op), append(visitors, v), append(ids, chat)
	}
	const loud = 60 // of each visitor, and the kill is in the middle
	said := make(chan struct{}, chats*loud)
	acked := make(chan struct{})
	go func() {
		defer close(acked)
		forAll(chats, func(i int) {
			for n := 1; n <= loud; n++ {
				visitors[i].say(ids[i], fmt.Sprint("m", n))
				said <- struct{}{}
			}
		})
	}()
	for range chats * loud / 2 {
		<-said
	}
	n := visitors[chats-1].count()
	kill()
	killed := time.Now()
	var back []*peer
	for i := range chats - 1 {
		lost[i].broke()
		back = append(back, cl.hello(cl.nodes[i%2], tokens[i], fmt.Sprintf(`,"chats":[{"chat":%d,"pos":%q}]`, ids[i], lost[i].last(ids[i]))))
	}
	visitors[chats-1].chat(n, ids[chats-1], "waiting")
	if took := time.Since(killed); took > fast.BuryAfter+fast.CrashGrace+time.Second+busyMachine {
		t.Errorf("the chat waits again %v after the kill", took)
	}
	<-acked
	for i, p := range back {
		p.hasAll(t, ids[i], lost[i].seqs(ids[i]), 2, loud+1) // the first came with the offer
	}
	gone, err := cl.admin.Operator(t.Context(), cl.org.ID, ops[chats-1])
	if err != nil || gone.Status != switchboard.StatusOffline || len(gone.Work) != 0 {
		t.Errorf("who did not come back is %+v, %v", gone, err)
	}
	cl.check()
}

// hasAll waits until a client has the messages of a chat with the numbers from first to
// last, by what it had before, what it resumed and what came live, each once and in
// order.
func (p *peer) hasAll(t *testing.T, chat int64, had []int, first, last int) {
	t.Helper()
	var got []int
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); pause(t.Context(), 10*time.Millisecond) {
		if got = append(slices.Clone(had), p.seqs(chat)...); len(got) > last-first {
			break
		}
	}
	for i, seq := range got {
		if seq != first+i {
			t.Errorf("chat %d: number %d instead of %d in %v", chat, seq, first+i, got)
			return
		}
	}
	if len(got) != last-first+1 {
		t.Errorf("chat %d has %d messages, want %d", chat, len(got), last-first+1)
	}
}

// last returns the position of the last message of a chat that has come, "" for none.
func (p *peer) last(chat int64) (pos string) {
	for _, m := range p.all() {
		if m["t"] == "message" && m["chat"] == float64(chat) {
			pos = m["pos"].(string)
		}
	}
	return pos
}

// seqs returns the numbers of a chat's messages in the order in which they came.
func (p *peer) seqs(chat int64) (out []int) {
	for _, m := range p.all() {
		if m["chat"] != float64(chat) {
			continue
		}
		switch m["t"] {
		case "message":
			out = append(out, int(m["seq"].(float64)))
		case "resumed":
			ms, _ := m["messages"].([]any)
			for _, one := range ms {
				out = append(out, int(one.(map[string]any)["seq"].(float64)))
			}
		}
	}
	return out
}

// process starts a node of the cluster as a process of its own and returns its
// address and the way to kill it with kill -9.
func (cl *cluster) process() (addr string, kill func()) {
	cl.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNodeOfAProcess$")
	cmd.Env = append(os.Environ(), "NODE_ON="+redisOptions.Network+" "+redisOptions.Addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		cl.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		cl.t.Fatal(err)
	}
	ended := false
	kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill() // SIGKILL
			_ = cmd.Wait()         // "signal: killed"
		}
	}
	cl.t.Cleanup(kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if addr, ok := strings.CutPrefix(lines.Text(), "node: "); ok {
			return addr, kill
		}
	}
	cl.t.Fatal("the node's process ended early")
	return "", nil
}

// TestNodeOfAProcess is a node's process, not a test.
func TestNodeOfAProcess(t *testing.T) {
	network, addr, ok := strings.Cut(os.Getenv("NODE_ON"), " ")
	if !ok {
		return // TestChatsOutliveAProcessThatIsKilled starts it
	}
	cl := &cluster{t: t, open: func() redis.UniversalClient {
		return redis.NewClient(&redis.Options{Network: network, Addr: addr, Protocol: 2, ContextTimeoutEnabled: true})
	}}
	fmt.Println("node:", cl.addNode().Addr())
	time.Sleep(time.Minute) // it is killed long before, or the one who started it is gone
}
