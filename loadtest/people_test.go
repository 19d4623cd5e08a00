package loadtest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

// newCrowd is a crowd whose clock runs until the test ends.
func newCrowd(t *testing.T) *crowd {
	s := Small()
	s.Declines = 0
	c := &crowd{scenario: &s, ledger: NewLedger(s.Limit), clock: NewScheduler(), stats: newStats()}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = c.clock.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	return c
}

// live runs somebody's client until the test ends.
func live(t *testing.T, c *Client) {
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); run.Wait() })
}

// quick is a plan whose messages follow each other at once.
var quick = plan{n: 4, gap: 20 * time.Millisecond, seed: 5, closer: 'o'}

func text(seq int64, from string, k int) string {
	b, err := json.Marshal(switchboard.Message{
		T: switchboard.KindMessage, Chat: 7, Seq: seq, Pos: "", From: switchboard.PersonID(from),
		Cmid: from + quick.text(k), Text: quick.text(k),
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// after skips the client's typing marks and returns its next object.
func (p *peer) after() switchboard.In {
	for {
		if in := p.next(); in.T != switchboard.KindTyping {
			return in
		}
	}
}

func TestOperatorReadsWhatWasWrittenBeforeAndAnswersAndCloses(t *testing.T) {
	type step = switchboard.In
	steps := make(chan step, 10)
	s := newScript(t, 1, func(p *peer) {
		p.want(switchboard.KindHello)
		p.send(`{"t":"ready","person":"o1","role":"operator","timeout_ms":18000,"self":{"id":1,"intent":"Unavailable"}}`)
		steps <- p.after() // status
		p.send(`{"t":"offer","chat":7,"token":"5.1.1","ttl_ms":15000}`)
		steps <- p.after() // accept
		p.send(`{"t":"chat","chat":7,"state":"active","operator":{"id":1,"name":"Ann"},"pos":"1-1"}`)
		steps <- p.after() // resume
		p.send(`{"t":"resumed","chat":7,"ok":true,"state":"active","messages":[` + text(1, "v1", 1) + `]}`)
		for _, seq := range []int64{2, 4} {
			said := p.after()
			steps <- said
			ack, err := json.Marshal(map[string]any{"t": "ack", "chat": 7, "cmid": said.Cmid, "seq": seq, "pos": ""})
			if err != nil {
				t.Error(err)
			}
			p.send(string(ack), text(seq, "o1", int(seq)))
			if seq == 2 {
				p.send(text(3, "v1", 3))
			}
		}
		steps <- p.after() // close
	})
	o := newOperator(newCrowd(t), 1, Config{Nodes: s.nodes, Token: "o1"})
	live(t, o.client)
	if in := receive(t, steps); in.T != switchboard.KindStatus || in.Status != switchboard.StatusAvailable {
		t.Errorf("first %+v", in)
	}
	if in := receive(t, steps); in.T != switchboard.KindAccept || in.Token != "5.1.1" || in.Chat != 7 {
		t.Errorf("to the offer %+v", in)
	}
	if in := receive(t, steps); in.T != switchboard.KindResume || len(in.Chats) != 1 || in.Chats[0].Pos != "" {
		t.Errorf("to the chat %+v", in)
	}
	for _, k := range []int{2, 4} {
		if in := receive(t, steps); in.T != switchboard.KindMessage || numberOf(in.Text) != k {
			t.Errorf("message %d: %+v", k, in)
		}
	}
	if in := receive(t, steps); in.T != switchboard.KindClose || in.Chat != 7 {
		t.Errorf("last %+v", in)
	}
}

func TestOperatorWhoTakesAChatOverSaysOnlyWhatIsMissing(t *testing.T) {
	said := make(chan switchboard.In, 1)
	s := newScript(t, 1, func(p *peer) {
		p.want(switchboard.KindHello)
		p.send(`{"t":"ready","person":"o1","role":"operator","timeout_ms":18000,"self":{"id":1,"intent":"Available"}}`)
		p.send(`{"t":"chat","chat":7,"state":"active","operator":{"id":1,"name":"Ann"},"pos":"2-1"}`)
		if in := p.after(); in.T != switchboard.KindResume {
			t.Errorf("sent %+v", in)
		}
		// Message 2 is another operator's.
		p.send(`{"t":"resumed","chat":7,"ok":true,"state":"active","messages":[` + text(1, "v1", 1) + `,` + text(2, "o9", 2) + `]}`)
		said <- p.after()
	})
	o := newOperator(newCrowd(t), 1, Config{Nodes: s.nodes, Token: "o1"})
	live(t, o.client)
	if in := receive(t, said); in.T != switchboard.KindMessage || numberOf(in.Text) != 4 {
		t.Errorf("said %+v, want message 4", in)
	}
}

func TestVisitorAsksAgainUntilItHasAChat(t *testing.T) {
	asked := make(chan switchboard.In, 3)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		asked <- p.after()
		p.send(`{"t":"error","re":"start","code":"too_fast","retry_ms":10,"message":"later"}`)
		asked <- p.after()
		p.close(1001) // before the answer
	}, func(p *peer) {
		p.greet()
		asked <- p.after()
		p.send(`{"t":"chat","re":"start","chat":7,"state":"waiting","place":1}`)
	})
	c := newCrowd(t)
	v := newVisitor(c, 3, 4, quick, Config{Nodes: s.nodes, Token: "v1"})
	live(t, v.client)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, ready := v.client.Place(); ready || time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	v.arrive()
	began := time.Now()
	for i := range 3 {
		in := receive(t, asked)
		if in.T != switchboard.KindStart || in.Cmid != "first-3" || in.Team != 4 || in.Text != quick.text(1) {
			t.Errorf("time %d: %+v", i+1, in)
		}
	}
	if took := time.Since(began); took > startWithin-time.Second {
		t.Errorf("asked three times in %s; a refusal says when, nobody has to wait for silence", took)
	}
	for deadline := time.Now().Add(20 * time.Second); c.ledger.Chats() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the chat is not in the ledger")
		}
	}
}

func TestVisitorLeavesTheClosingToTheOther(t *testing.T) {
	done := make(chan []switchboard.Kind, 1)
	s := newScript(t, 1, func(p *peer) {
		p.greet()
		p.want(switchboard.KindStart)
		p.send(`{"t":"chat","re":"start","chat":7,"state":"active","operator":{"id":1,"name":"Ann"}}`, text(1, "v1", 1))
		said := p.after()
		p.send(`{"t":"ack","chat":7,"cmid":"`+said.Cmid+`","seq":3}`,
			text(2, "o1", 2), text(3, "v1", 3), text(4, "o1", 4))
		// All is said: what it sends within three times the pause before a close.
		timer := time.AfterFunc(3*typingLead, func() { p.send(`{"t":"ping"}`) })
		defer timer.Stop()
		var kinds []switchboard.Kind
		for {
			in := p.next()
			kinds = append(kinds, in.T)
			if in.T == switchboard.KindPong {
				done <- kinds
				return
			}
		}
	})
	v := newVisitor(newCrowd(t), 1, 0, quick, Config{Nodes: s.nodes, Token: "v1"})
	live(t, v.client)
	v.mu.Lock()
	v.asked = time.Now()
	v.mu.Unlock()
	v.ask() // or ready does
	for _, kind := range receive(t, done) {
		if kind == switchboard.KindClose {
			t.Error("the visitor closed a chat that its plan has the operator close")
		}
	}
}
