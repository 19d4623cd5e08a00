package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// script is a node that does what a test says: one function per connection, in
// the order of the connections over all nodes.
type script struct {
	nodes []string

	mu    sync.Mutex
	plays []func(p *peer)
	begun int
}

// peer is the server's end of one connection.
type peer struct {
	t    *testing.T
	ws   *websocket.Conn
	node int
	in   []switchboard.In
}

func newScript(t *testing.T, nodes int, plays ...func(p *peer)) *script {
	s := &script{plays: plays}
	// The clients end first; no play may speak to a test that is over.
	var going sync.WaitGroup
	t.Cleanup(going.Wait)
	for i := range nodes {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ws, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer ws.CloseNow()
			going.Add(1)
			defer going.Done()
			s.mu.Lock()
			n := s.begun
			s.begun++
			s.mu.Unlock()
			if n < len(s.plays) {
				s.plays[n](&peer{t: t, ws: ws, node: i})
			}
			// Until the client goes.
			for err == nil {
				_, _, err = ws.Read(context.Background())
			}
		}))
		t.Cleanup(srv.Close)
		s.nodes = append(s.nodes, srv.URL)
	}
	return s
}

// next returns the next object of the client. The play ends when the client is
// gone; what the test then lacks is seen at its other end.
func (p *peer) next() switchboard.In {
	for len(p.in) == 0 {
		_, frame, err := p.ws.Read(context.Background())
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		lines, err := switchboard.SplitFrame(frame)
		if err != nil {
			p.t.Errorf("frame from the client: %v", err)
			panic(http.ErrAbortHandler)
		}
		for _, line := range lines {
			in, err := switchboard.DecodeIn(line)
			if err != nil {
				p.t.Errorf("object from the client: %v", err)
			}
			p.in = append(p.in, in)
		}
	}
	in := p.in[0]
	p.in = p.in[1:]
	return in
}

func (p *peer) want(kind switchboard.Kind) switchboard.In {
	in := p.next()
	if in.T != kind {
		p.t.Errorf("client sent %q, want %q", in.T, kind)
	}
	return in
}

func (p *peer) send(objects ...string) {
	// A client that is gone is what some tests are about.
	_ = p.ws.Write(context.Background(), websocket.MessageText, []byte(strings.Join(objects, "\n")))
}

// greet answers hello.
func (p *peer) greet(chats ...string) switchboard.In {
	hello := p.want(switchboard.KindHello)
	p.send(fmt.Sprintf(`{"t":"ready","person":"v1","role":"visitor","timeout_ms":18000,"chats":[%s]}`, strings.Join(chats, ",")))
	return hello
}

func (p *peer) close(code int) { _ = p.ws.Close(websocket.StatusCode(code), "test") }

func wire(seq int64, from, cmid string) string {
	b, err := json.Marshal(switchboard.Message{
		T: switchboard.KindMessage, Chat: 7, Seq: seq, Pos: fmt.Sprint(seq, "-1"),
		From: switchboard.PersonID(from), Cmid: cmid, Text: "k=2 hello",
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// start runs a client until the test ends; ended gets what Run returned.
func start(t *testing.T, cfg Config) (c *Client, ended chan error) {
	c, ended = New(cfg), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { ended <- c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		run.Wait()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return c, ended
}

// receive waits for a value; a test that gets none fails here.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestClientSendsAgainWhatWasNotAckedWithItsOldCmid(t *testing.T) {
	first, second := make(chan switchboard.In, 1), make(chan []switchboard.In, 1)
	s := newScript(t, 2, func(p *peer) {
		p.greet()
		first <- p.want(switchboard.KindMessage)
		p.close(1001)
	}, func(p *peer) {
		got := []switchboard.In{p.greet()}
		got = append(got, p.want(switchboard.KindMessage))
		p.send(`{"t":"ack","chat":7,"cmid":"a","pos":"1-1","seq":1}`)
		got = append(got, p.want(switchboard.KindMessage))
		p.send(`{"t":"ack","chat":7,"cmid":"b","pos":"2-1","seq":2}`)
		second <- got
	})
	acks := make(chan Ack, 2)
	ready := make(chan Ready, 2)
	c, _ := start(t, Config{Nodes: s.nodes, Token: "v1", Handlers: Handlers{
		Ready: func(r Ready) { ready <- r }, Acked: func(a Ack) { acks <- a },
	}})
	receive(t, ready)
	c.Say(7, "a", "one")
	c.Say(7, "b", "two")
	if in := receive(t, first); in.Cmid != "a" || in.Text != "one" {
		t.Errorf("first connection got %+v", in)
	}
	got := receive(t, second)
	if got[1].Cmid != "a" || got[1].Text != "one" || got[2].Cmid != "b" {
		t.Errorf("second connection got %+v", got[1:])
	}
	if a, b := receive(t, acks), receive(t, acks); a.Cmid != "a" || b.Cmid != "b" {
		t.Errorf("acks %v, %v", a, b)
	}
	if n := c.Counts(); n.Resent != 1 || n.Reconnects != 1 {
		t.Errorf("%+v", n)
	}
}

func TestClientResumesAfterAGapAndAfterAReconnect(t *testing.T) {
	resume, hello := make(chan switchboard.In, 1), make(chan switchboard.In, 1)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		p.send(wire(1, "o1", "a"), wire(1, "o1", "a"), wire(3, "o1", "c"))
		resume <- p.want(switchboard.KindResume)
		p.send(`{"t":"resumed","chat":7,"ok":true,"state":"active","pos":"3-1","messages":[` + wire(2, "o1", "b") + `,` + wire(3, "o1", "c") + `]}`)
		p.send(`{"t":"ping"}`)
		p.want(switchboard.KindPong)
		p.close(1001)
	}, func(p *peer) {
		hello <- p.greet(`{"t":"chat","chat":7,"state":"active","pos":"4-1"}`)
		p.send(`{"t":"resumed","chat":7,"ok":true,"state":"active","pos":"4-1","messages":[` + wire(4, "o1", "d") + `]}`)
	})
	applied := make(chan int64, 10)
	c, _ := start(t, Config{Nodes: s.nodes, Token: "v1", Handlers: Handlers{
		Message: func(m switchboard.Message) { applied <- m.Seq },
	}})
	for want := int64(1); want <= 4; want++ {
		if got := receive(t, applied); got != want {
			t.Fatalf("applied %d, want %d", got, want)
		}
	}
	position := []switchboard.ChatPosition{{Chat: 7, Pos: "1-1"}}
	if in := receive(t, resume); !slices.Equal(in.Chats, position) {
		t.Errorf("asked for %v, want %v", in.Chats, position)
	}
	position[0].Pos = "3-1"
	if in := receive(t, hello); !slices.Equal(in.Chats, position) || in.V != 1 || in.Token != "v1" {
		t.Errorf("hello %+v, want positions %v", in, position)
	}
	if n := c.Counts(); n.Gaps != 1 || n.Repeats != 1 || n.Resumes != 1 || n.Resets != 0 {
		t.Errorf("%+v", n)
	}
}

func TestClientTellsOfAChatThatWasClosedWhileItWasAway(t *testing.T) {
	s := newScript(t, 1, func(p *peer) {
		p.greet(`{"t":"chat","chat":7,"state":"active"}`)
		p.close(1001)
	}, func(p *peer) {
		p.greet()
		p.send(`{"t":"resumed","chat":7,"ok":true,"state":"closed","pos":"1-1","messages":[` + wire(1, "o1", "a") + `]}`)
	})
	seen := make(chan string, 2)
	start(t, Config{Nodes: s.nodes, Handlers: Handlers{
		Message: func(m switchboard.Message) { seen <- m.Cmid },
		Resumed: func(r Resumed) { seen <- r.State },
	}})
	if a, b := receive(t, seen), receive(t, seen); a != "a" || b != switchboard.ChatClosed {
		t.Errorf("saw %q, then %q; want the message, then the state", a, b)
	}
}

func TestClientAsksForEverythingWhenTheServerSpeaksOfAGap(t *testing.T) {
	resume := make(chan switchboard.In, 1)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		p.send(wire(1, "o1", "a"), `{"t":"gap"}`)
		resume <- p.want(switchboard.KindResume)
	})
	start(t, Config{Nodes: s.nodes})
	if in := receive(t, resume); len(in.Chats) != 1 || in.Chats[0].Pos != "1-1" {
		t.Errorf("asked for %v", in.Chats)
	}
}

// A chat's last message may be lost beside the close: it is asked for after a gap until
// its log was read to the end, and then no more.
func TestClientAsksForAClosedChatUntilItIsWhole(t *testing.T) {
	resume := make(chan switchboard.In, 2)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		p.send(wire(1, "o1", "a"), `{"t":"chat","chat":7,"state":"closed"}`, `{"t":"gap"}`)
		resume <- p.want(switchboard.KindResume)
		p.send(`{"t":"resumed","chat":7,"ok":true,"state":"closed","pos":"2-1","messages":[`+wire(2, "o1", "b")+`]}`, `{"t":"gap"}`, `{"t":"ping"}`)
		resume <- p.want(switchboard.KindPong)
	})
	start(t, Config{Nodes: s.nodes})
	if in := receive(t, resume); len(in.Chats) != 1 || in.Chats[0].Pos != "1-1" {
		t.Errorf("asked for %v", in.Chats)
	}
	if in := receive(t, resume); len(in.Chats) != 0 {
		t.Errorf("asked again for %v", in.Chats)
	}
}

func TestClientFollowsTheTableOfCloseCodes(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(p *peer)
		final bool
		node  int  // of the next connection
		empty bool // it brings no positions
	}{
		"1001 goes to the next node":           {func(p *peer) { p.close(1001) }, false, 1, false},
		"1013 goes to the next node":           {func(p *peer) { p.close(1013) }, false, 1, false},
		"a cut goes to the next node":          {func(p *peer) { p.ws.CloseNow() }, false, 1, false},
		"4008 comes back to the same node":     {func(p *peer) { p.close(4008) }, false, 0, false},
		"4010 comes back without positions":    {func(p *peer) { p.close(4010) }, false, 1, true},
		"4012 goes to the next node":           {func(p *peer) { p.send(`{"t":"moving","in_ms":30}`); p.close(4012) }, false, 1, false},
		"4029 goes to the next node":           {func(p *peer) { p.close(4029) }, false, 1, false},
		"4000 is final":                        {func(p *peer) { p.close(4000) }, true, 0, false},
		"4001 is final without a way to renew": {func(p *peer) { p.close(4001) }, true, 0, false},
		"4003 is final":                        {func(p *peer) { p.send(`{"t":"logout","order":9}`); p.close(4003) }, true, 0, false},
		"1007 is final":                        {func(p *peer) { p.close(1007) }, true, 0, false},
		"1009 is final":                        {func(p *peer) { p.close(1009) }, true, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			type second struct {
				node  int
				hello switchboard.In
			}
			again := make(chan second, 1)
			s := newScript(t, 2, func(p *peer) {
				p.greet()
				p.send(wire(1, "o1", "a"), `{"t":"ping"}`)
				p.want(switchboard.KindPong)
				c.end(p)
			}, func(p *peer) {
				again <- second{p.node, p.greet()}
			})
			_, ended := start(t, Config{Nodes: s.nodes, Token: "v1"})
			if c.final {
				var closed *Closed
				if err := receive(t, ended); !errors.As(err, &closed) {
					t.Fatalf("ended with %v", err)
				}
				return
			}
			got := receive(t, again)
			if got.node != c.node {
				t.Errorf("came back to node %d, want %d", got.node, c.node)
			}
			if (len(got.hello.Chats) == 0) != c.empty {
				t.Errorf("came back with positions %v", got.hello.Chats)
			}
		})
	}
}

func TestClientWaitsAsLongAsMovingSays(t *testing.T) {
	sent, back := make(chan time.Time, 1), make(chan time.Time, 1)
	s := newScript(t, 2, func(p *peer) {
		p.greet()
		sent <- time.Now()
		p.send(`{"t":"moving","in_ms":300}`)
		p.close(switchboard.CloseMoving)
	}, func(p *peer) {
		back <- time.Now()
		p.greet()
	})
	c, _ := start(t, Config{Nodes: s.nodes})
	from := receive(t, sent)
	if took := receive(t, back).Sub(from); took < 300*time.Millisecond {
		t.Errorf("came back after %s, told 300 ms", took)
	}
	if n := c.Counts(); n.Moved != 1 {
		t.Errorf("%+v", n)
	}
}

func TestClientGetsANewTokenWhenTheOldOneExpired(t *testing.T) {
	tokens := make(chan string, 2)
	s := newScript(t, 1, func(p *peer) {
		tokens <- p.greet().Token
		p.send(`{"t":"error","code":"expired","message":"get a new one"}`)
		p.close(switchboard.CloseExpired)
	}, func(p *peer) { tokens <- p.greet().Token })
	start(t, Config{Nodes: s.nodes, Token: "old", Renew: func(context.Context) (string, error) { return "new", nil }})
	if a, b := receive(t, tokens), receive(t, tokens); a != "old" || b != "new" {
		t.Errorf("tokens %q, %q", a, b)
	}
}

func TestClientKeepsAMessageThatWasRefusedForNow(t *testing.T) {
	got := make(chan switchboard.In, 3)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		got <- p.want(switchboard.KindMessage)
		p.send(`{"t":"error","code":"unavailable","message":"later","retry_ms":10,"chat":7,"cmid":"a"}`)
		got <- p.want(switchboard.KindMessage)
		p.send(`{"t":"error","code":"closed","message":"over","chat":7,"cmid":"a"}`)
		got <- p.want(switchboard.KindMessage)
	})
	ready, refused := make(chan Ready, 1), make(chan Refusal, 2)
	c, _ := start(t, Config{Nodes: s.nodes, Handlers: Handlers{
		Ready: func(r Ready) { ready <- r }, Refused: func(r Refusal) { refused <- r },
	}})
	receive(t, ready)
	c.Say(7, "a", "one")
	c.Say(7, "b", "two")
	if in := receive(t, got); in.Cmid != "a" {
		t.Errorf("sent %q first", in.Cmid)
	}
	receive(t, refused)
	c.Check(time.Now().Add(time.Second))
	if in := receive(t, got); in.Cmid != "a" {
		t.Errorf("sent %q although %q is to be tried again", in.Cmid, "a")
	}
	receive(t, refused)
	c.Check(time.Now())
	if in := receive(t, got); in.Cmid != "b" {
		t.Errorf("sent %q after %q was refused for good", in.Cmid, "a")
	}
}

func TestClientCountsAnAckThatDoesNotCome(t *testing.T) {
	got := make(chan switchboard.In, 2)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		got <- p.want(switchboard.KindMessage)
		got <- p.want(switchboard.KindMessage)
	})
	ready := make(chan Ready, 1)
	c, _ := start(t, Config{Nodes: s.nodes, Handlers: Handlers{Ready: func(r Ready) { ready <- r }}})
	receive(t, ready)
	c.Say(7, "a", "one")
	receive(t, got)
	c.Check(time.Now().Add(ackWithin / 2))
	if n := c.Counts(); n.AcksMissing != 0 {
		t.Errorf("counted before its time: %+v", n)
	}
	c.Check(time.Now().Add(ackWithin + time.Second))
	if in := receive(t, got); in.Cmid != "a" {
		t.Errorf("sent %q again", in.Cmid)
	}
	if n := c.Counts(); n.AcksMissing != 1 || n.Resent != 1 {
		t.Errorf("%+v", n)
	}
}

func TestClientLeavesASilentSocket(t *testing.T) {
	again := make(chan int, 1)
	s := newScript(t, 2, func(p *peer) { p.greet() }, func(p *peer) { again <- p.node })
	ready := make(chan Ready, 1)
	c, _ := start(t, Config{Nodes: s.nodes, Handlers: Handlers{Ready: func(r Ready) { ready <- r }}})
	receive(t, ready)
	c.Check(time.Now().Add(19 * time.Second))
	if node := receive(t, again); node != 1 {
		t.Errorf("went to node %d", node)
	}
	if n := c.Counts(); n.Silent != 1 {
		t.Errorf("%+v", n)
	}
}

func TestClientCatchesUpWithWhatAChatObjectTells(t *testing.T) {
	resume := make(chan switchboard.In, 1)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		p.send(`{"t":"chat","chat":7,"state":"closed","pos":"2-1"}`)
		resume <- p.want(switchboard.KindResume)
	})
	told := make(chan switchboard.Chat, 1)
	c, _ := start(t, Config{Nodes: s.nodes, Handlers: Handlers{
		Chat: func(chat switchboard.Chat, _ string) { told <- chat },
	}})
	receive(t, told)
	c.Check(time.Now())
	if n := c.Counts(); n.Resumes != 0 {
		t.Errorf("asked at once: the messages are usually on their way")
	}
	c.Check(time.Now().Add(2 * behindFor))
	if in := receive(t, resume); in.Chats[0].Pos != "" {
		t.Errorf("asked from %q", in.Chats[0].Pos)
	}
}

func TestClientCountsWhatIsNotOfTheProtocol(t *testing.T) {
	ok := make(chan struct{})
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		p.send(`{"t":"message","seq":"one"}`, `nonsense`, `{"t":"from.the.future","x":1}`)
		p.send(`{"t":"ping"}`)
		p.want(switchboard.KindPong)
		close(ok)
	})
	c, _ := start(t, Config{Nodes: s.nodes})
	receive(t, ok)
	if n := c.Counts(); n.Malformed != 2 {
		t.Errorf("%d malformed, want 2", n.Malformed)
	}
}

func TestClientReportsANodeThatDoesNotAnswer(t *testing.T) {
	again := make(chan int, 1)
	s := newScript(t, 1, func(p *peer) { again <- p.node })
	failed := make(chan int, 1)
	c, _ := start(t, Config{Nodes: []string{"http://127.0.0.1:1", s.nodes[0]}, Handlers: Handlers{
		Failed: func(node int, _ error) { failed <- node },
	}})
	if node := receive(t, failed); node != 0 {
		t.Errorf("node %d failed", node)
	}
	receive(t, again)
	if n := c.Counts(); n.Failures != 1 {
		t.Errorf("%+v", n)
	}
}

func TestJitterIsFullAndBounded(t *testing.T) {
	c := New(Config{Nodes: []string{"x"}, Seed: 1})
	for tries, limit := range map[int]time.Duration{0: time.Second, 3: 8 * time.Second, 6: 30 * time.Second, 40: 30 * time.Second} {
		low, high := limit, time.Duration(0)
		for range 1000 {
			d := c.jitter(tries)
			low, high = min(low, d), max(high, d)
		}
		if low > limit/50 || high < limit*9/10 || high >= limit {
			t.Errorf("after %d tries: %s to %s, want 0 to %s", tries, low, high, limit)
		}
	}
}

func TestFramesKeepToTheLimitsOfTheProtocol(t *testing.T) {
	var out [][]byte
	for range 100 {
		out = append(out, []byte(`{"t":"pong"}`))
	}
	big := []byte(strings.Repeat("x", switchboard.MaxFrame-10))
	out = append(out, big, big)
	var sizes []int
	for frame := cutFrame(&out); frame != nil; frame = cutFrame(&out) {
		if len(frame) > switchboard.MaxFrame {
			t.Errorf("a frame of %d bytes", len(frame))
		}
		sizes = append(sizes, strings.Count(string(frame), "\n")+1)
	}
	if !slices.Equal(sizes, []int{64, 36, 1, 1}) {
		t.Errorf("objects a frame: %v", sizes)
	}
}
