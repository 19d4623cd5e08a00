package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchboard/switchboard"
)

// talks are chats whose two sides this process holds.
type talks struct {
	sockets             []*client // of operators, in order
	operators, visitors []*client // of each chat: routing decides who holds it
	chats               []string

	why   atomic.Pointer[string] // the first refusal
	mu    sync.Mutex
	due   map[string]time.Time // by client message id, not seen yet: when it was due
	asked map[string]bool      // neither acked nor refused yet
	acked map[string]bool
	began time.Time // of this round
	now   talked
	seen  map[string]bool
	room  chan struct{} // closed loop: a message was seen
	n     int           // messages sent so far

	patience time.Duration // for what is under way at the end of a round
}

// talked is what one round did.
type talked struct {
	sent, refused, unanswered int // seen by the other side; refused; neither acked nor refused
	took                      []float64
	lasted                    time.Duration // until the last was seen or refused
}

// rate is how many a second were seen: sending may last longer than was meant.
func (t talked) rate() float64 { return float64(t.sent) / t.lasted.Seconds() }

func newTalks(n int) *talks {
	return &talks{patience: 20 * time.Second, due: map[string]time.Time{}, asked: map[string]bool{}, acked: map[string]bool{}, seen: map[string]bool{}, room: make(chan struct{}, 1<<16),
		sockets: make([]*client, n), operators: make([]*client, n), visitors: make([]*client, n), chats: make([]string, n)}
}

// talk opens one chat an operator and returns when all are active.
func (s *site) talk(ctx context.Context, p people, operators, visitors string) (*talks, error) {
	tokens, err := s.visitors(ctx, p.org, len(p.tokens))
	if err != nil {
		return nil, err
	}
	t := newTalks(len(tokens))
	ops, vis := &throng{tokens: p.tokens}, &throng{tokens: tokens}
	var crew sync.WaitGroup
	errs := make(chan error, 2*len(tokens))
	slots := make(chan struct{}, 32)
	for _, step := range []func(i int) error{
		func(i int) error { return t.operator(i, ops, operators) },
		func(i int) error { return t.visitor(i, vis, visitors, p) },
	} {
		for i := range tokens {
			slots <- struct{}{}
			crew.Go(func() {
				defer func() { <-slots }()
				if err := step(i); err != nil {
					errs <- err
				}
			})
		}
		crew.Wait()
		if len(errs) > 0 {
			break
		}
	}
	select {
	case err := <-errs:
		return nil, err
	default:
	}
	for i := range tokens {
		go t.read(t.operators[i])
		go t.read(t.visitors[i])
	}
	s.b.ends = append(s.b.ends, func() {
		for i := range tokens {
			t.operators[i].nc.Close()
			t.visitors[i].nc.Close()
		}
	})
	return t, nil
}

func (t *talks) operator(i int, ops *throng, addr string) (err error) {
	if t.sockets[i], err = ops.admitted(i, addr); err != nil {
		return fmt.Errorf("operator %d: %w", i, err)
	}
	t.sockets[i].operator = true
	return t.sockets[i].send([]byte(`{"t":"status","status":"Available"}`))
}

// visitor starts a chat and finds out who holds it.
func (t *talks) visitor(i int, vis *throng, visitors string, p people) (err error) {
	if t.visitors[i], err = vis.admitted(i, visitors); err != nil {
		return fmt.Errorf("visitor %d: %w", i, err)
	}
	if err := t.visitors[i].send(fmt.Appendf(nil, `{"t":"chat.start","re":"s","team":%d}`, p.team)); err != nil {
		return err
	}
	_ = t.visitors[i].nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	for buf := make([]byte, 1024); ; {
		frame, err := t.visitors[i].read(buf)
		if err != nil {
			return fmt.Errorf("visitor %d waits for a chat: %w", i, err)
		}
		for line := range bytes.SplitSeq(frame, []byte{'\n'}) {
			var f struct {
				T, State string
				Chat     int64
				Operator struct{ ID switchboard.OperatorID }
			}
			if json.Unmarshal(line, &f) == nil && f.T == "chat" && f.State == "active" {
				holder := slices.Index(p.ids, f.Operator.ID)
				if holder < 0 {
					return fmt.Errorf("chat %d has operator %d", f.Chat, f.Operator.ID)
				}
				t.operators[i] = t.sockets[holder]
				t.chats[i] = strconv.FormatInt(f.Chat, 10)
				return t.visitors[i].nc.SetReadDeadline(time.Time{})
			}
		}
	}
}

// read takes what comes to one side.
func (t *talks) read(c *client) {
	buf := make([]byte, 4096)
	for {
		frame, err := c.read(buf)
		if err != nil {
			return
		}
		for line := range bytes.SplitSeq(frame, []byte{'\n'}) {
			switch {
			case bytes.HasPrefix(line, []byte(`{"t":"message"`)):
				t.saw(field(line, `"cmid":"`), c)
			case bytes.HasPrefix(line, []byte(`{"t":"ack"`)):
				t.mu.Lock()
				t.acked[field(line, `"cmid":"`)] = true
				delete(t.asked, field(line, `"cmid":"`))
				t.mu.Unlock()
			case bytes.HasPrefix(line, []byte(`{"t":"error"`)):
				t.why.CompareAndSwap(nil, new(string(line)))
				t.refuse(field(line, `"cmid":"`))
			case bytes.HasPrefix(line, []byte(`{"t":"ping"`)):
				_ = c.send([]byte(`{"t":"pong"}`)) // a lost socket shows at the read
			}
		}
	}
}

// saw counts a message that the other side sees; the author's own copy starts
// with the letter of its side and is passed over.
func (t *talks) saw(cmid string, c *client) {
	if cmid == "" || (cmid[0] == 'o') == c.operator {
		return
	}
	at := time.Now()
	t.mu.Lock()
	t.seen[cmid] = true
	due, ok := t.due[cmid]
	if ok {
		delete(t.due, cmid)
		t.now.lasted = at.Sub(t.began)
		t.now.took = append(t.now.took, float64(at.Sub(due).Microseconds())/1000)
		t.now.sent++
	}
	t.mu.Unlock()
	if ok {
		select {
		case t.room <- struct{}{}:
		default:
		}
	}
}

func (t *talks) refuse(cmid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked[cmid] {
		delete(t.due, cmid)
		delete(t.asked, cmid)
		t.now.refused++
		t.now.lasted = time.Since(t.began)
	}
	select {
	case t.room <- struct{}{}:
	default:
	}
}

func field(line []byte, name string) string {
	_, rest, ok := bytes.Cut(line, []byte(name))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(value)
}

var text = strings.Repeat("x", 200)

// say sends message n, due at a time, in chat n.
func (t *talks) say(n int, due time.Time) {
	i, side := n%len(t.chats), "v"
	c := t.visitors[i]
	if n/len(t.chats)%2 == 1 {
		c, side = t.operators[i], "o"
	}
	cmid := side + strconv.Itoa(n)
	t.mu.Lock()
	t.due[cmid], t.asked[cmid] = due, true
	t.mu.Unlock()
	if c.send([]byte(`{"t":"message","chat":`+t.chats[i]+`,"cmid":"`+cmid+`","text":"`+text+`"}`)) != nil {
		t.refuse(cmid)
	}
}

// open sends at a rate whether or not earlier ones arrived, for d or until ctx
// ends, and waits for what is under way.
func (t *talks) open(ctx context.Context, rate float64, d time.Duration) talked {
	t.begin()
	began := time.Now()
	for k := 0; ; k++ {
		due := began.Add(time.Duration(float64(k) / rate * float64(time.Second)))
		if due.Sub(began) >= d || ctx.Err() != nil {
			break
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		t.say(t.n, due)
		t.n++
	}
	return t.end()
}

// closed keeps a number of messages under way.
func (t *talks) closed(ctx context.Context, flight int, d time.Duration) talked {
	t.begin()
	until := time.Now().Add(d)
	for range flight {
		t.say(t.n, time.Now())
		t.n++
	}
	for time.Now().Before(until) && ctx.Err() == nil {
		<-t.room
		t.say(t.n, time.Now())
		t.n++
	}
	return t.end()
}

func (t *talks) begin() {
	t.mu.Lock()
	t.now, t.began = talked{}, time.Now()
	t.mu.Unlock()
	for len(t.room) > 0 {
		<-t.room
	}
}

// end waits until everything sent is answered and seen, as long as patience lasts.
// What is not by then is no part of the next round.
func (t *talks) end() talked {
	for deadline := time.Now().Add(t.patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		t.mu.Lock()
		left := len(t.due) + len(t.asked)
		t.mu.Unlock()
		if left == 0 {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.unanswered = len(t.asked)
	clear(t.due)
	clear(t.asked)
	return t.now
}

// lost counts messages that were acked and never seen by the other side.
func (t *talks) lost() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for cmid := range t.acked {
		if !t.seen[cmid] {
			n++
		}
	}
	return n
}
