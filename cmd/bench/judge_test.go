package main

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A bound over no samples is broken, in a small run too, also where it is a ratio or a
// sum of one; the file of figures says so. Seen red with quantile returning -1 for no
// samples (every row), and with add not looking for NaN (the small rows, and the file).
func TestNothingMeasuredHoldsNoBound(t *testing.T) {
	for name, note := range map[string]func(b *bench){
		"p99":             func(b *bench) { b.most("p99", quantile(nil, .99), "ms", 20) },
		"ratio":           func(b *bench) { b.most("ratio", quantile(nil, .99)/quantile(nil, .99), "times", 2) },
		"beside a bound":  func(b *bench) { b.most("loud", 1, "ms", max(2*quantile(nil, .99), 10)) },
		"rate":            func(b *bench) { b.find("rate", talked{}.rate(), "/s") },
		"gone process":    func(b *bench) { b.most("processor", cpu(1<<30)-1, "s", 3) },
		"without a bound": func(b *bench) { b.find("p50", quantile(nil, .5), "ms") },
	} {
		for _, small := range []bool{false, true} {
			b := &bench{small: small, json: filepath.Join(t.TempDir(), "figures.json")}
			note(b)
			if code := b.verdict(); code != 1 {
				t.Errorf("%s, small %v: exit status %d, want 1", name, small, code)
			}
			raw, err := os.ReadFile(b.json)
			if err != nil || !json.Valid(raw) {
				t.Errorf("%s: the file: %v\n%s", name, err, raw)
			}
			if !strings.Contains(string(raw), `"none": true`) {
				t.Errorf("%s: the file does not say that nothing was measured:\n%s", name, raw)
			}
		}
	}
	if v := quantile([]float64{3, 1, 2}, .5); math.Abs(v-2) > 0 {
		t.Errorf("the median of 3, 1, 2 is %g", v)
	}
}

// Refused and unanswered messages break a round that has a fine p99 for the rest, and
// leave nothing behind for the next. Seen red with answered judging either of the two
// only, with refuse not counting, with acks not taken note of (the good round), and
// with end not clearing what is left (the round after the silent one).
func TestRefusedAndUnansweredMessagesBreakARound(t *testing.T) {
	srv := &moody{}
	web := httptest.NewServer(srv)
	defer web.Close()
	talks := newTalks(1)
	talks.patience, talks.chats[0] = 200*time.Millisecond, "1"
	for side, c := range map[string]**client{"o": &talks.operators[0], "v": &talks.visitors[0]} {
		ws, err := dial(web.Listener.Addr().String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.nc.Close()
		if err := ws.send([]byte(side)); err != nil {
			t.Fatal(err)
		}
		if _, err := ws.read(make([]byte, 64)); err != nil { // it is known there
			t.Fatal(err)
		}
		ws.operator, *c = side == "o", ws
		go talks.read(ws) // until its socket is closed
	}
	for _, round := range []struct {
		mood                      string // of every fourth message
		sent, refused, unanswered int
		code                      int
	}{
		{"good", 40, 0, 0, 0},
		{"refuse", 30, 10, 0, 1},
		{"silent", 30, 0, 10, 1},
		{"good", 40, 0, 0, 0}, // those of the round before are no part of it
		{"unseen", 30, 0, 0, 0},
	} {
		srv.be(round.mood)
		got := talks.open(t.Context(), 1000, 40*time.Millisecond)
		b := &bench{small: true}
		b.answered(round.mood+": ", got)
		if got.sent != round.sent || got.refused != round.refused || got.unanswered != round.unanswered || len(got.took) != got.sent {
			t.Errorf("%s: %+v, want %+v", round.mood, got, round)
		}
		if code := b.verdict(); code != round.code {
			t.Errorf("%s: exit status %d, want %d", round.mood, code, round.code)
		}
		if got.lasted < 35*time.Millisecond || got.rate() > float64(got.sent)/.035 {
			t.Errorf("%s: %v, %g a second: what was sent for 40 ms", round.mood, got.lasted, got.rate())
		}
	}
	if n := talks.lost(); n != 10 { // acked and not seen, in the last round
		t.Errorf("%d lost, want 10", n)
	}
}

// moody is a server of one chat that treats every fourth message in its own way.
type moody struct {
	mu   sync.Mutex
	mood string
	n    int
	here map[string]*websocket.Conn
}

func (m *moody) be(mood string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mood, m.n = mood, 0
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	_, side, err := ws.Read(r.Context())
	if err != nil {
		return
	}
	m.mu.Lock()
	if m.here == nil {
		m.here = map[string]*websocket.Conn{}
	}
	m.here[string(side)] = ws
	m.mu.Unlock()
	for err = ws.Write(r.Context(), websocket.MessageText, []byte(`{"t":"ready"}`)); err == nil; {
		var frame []byte
		if _, frame, err = ws.Read(r.Context()); err == nil {
			err = m.answer(r.Context(), string(side), field(frame, `"cmid":"`))
		}
	}
}

func (m *moody) answer(ctx context.Context, side, cmid string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mood := m.mood
	if m.n++; m.n%4 != 0 {
		mood = "good"
	}
	cmid = `"cmid":"` + cmid + `"}`
	switch mood {
	case "silent":
		return nil
	case "refuse":
		return m.here[side].Write(ctx, websocket.MessageText, []byte(`{"t":"error","code":"busy",`+cmid))
	case "good":
		other := map[string]string{"o": "v", "v": "o"}[side]
		if err := m.here[other].Write(ctx, websocket.MessageText, []byte(`{"t":"message",`+cmid)); err != nil {
			return err
		}
	}
	return m.here[side].Write(ctx, websocket.MessageText, []byte(`{"t":"ack",`+cmid))
}
