package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchboard/switchboard"
)

// readBack writes a report's history to a file and judges it again from there: the
// verdict must be the same, but for latencies, whose last digits the file rounds, and
// the timeline, which is the generator's.
func readBack(t *testing.T, r Report) Report {
	t.Helper()
	path, err := r.SaveHistory()
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	back, err := JudgeAgain(f)
	if err != nil {
		t.Fatal(err)
	}
	if back.Passed != r.Passed || !reflect.DeepEqual(back.Broken, r.Broken) {
		t.Errorf("judged again: passed %v, %q\nat first: passed %v, %q", back.Passed, back.Broken, r.Passed, r.Broken)
	}
	counts := func(r Report) string {
		r.Timeline, r.Connects.Took, r.Lag = nil, Spread{}, Spread{}
		for _, s := range []*Spread{&r.Messages.Took, &r.Messages.TookHit, &r.Messages.Acks, &r.Chats.Assignment, &r.Chats.Routing, &r.Chats.RoutingHit, &r.Chats.Freed} {
			*s = Spread{N: s.N}
		}
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if a, b := counts(back), counts(r); a != b {
		t.Errorf("judged again:\n%s\nat first:\n%s", a, b)
	}
	return back
}

// A broken history is broken in the same way when it is read back, and a good one is
// not. TestRunNamesEachFault asks the same of whole runs. Seen red with take not keeping
// the event (nothing was sent), with overlaps settled by the clock of now (the moment is
// long), with Seq left out of the file (out of order), and with judge going by the clock
// and not by when it judged first (the last moment).
func TestABrokenHistoryIsBrokenWhenReadBack(t *testing.T) {
	for name, c := range map[string]struct {
		add  func(g *Ledger)
		want string // the bound, "" for none
	}{
		"all is well": {func(*Ledger) {}, ""},
		"lost": {func(g *Ledger) {
			g.Sent(7, vic, "c", time.Now())
			g.Acked(7, vic, "c", 3)
			g.Seen(vic, said(3, vic, "c"))
		}, "lost: 1 "},
		"repeated": {func(g *Ledger) { g.Seen(ann, said(2, ann, "b")) }, "repeated: 1 "},
		"forked": {func(g *Ledger) {
			g.Sent(7, vic, "c", time.Now())
			g.Acked(7, vic, "c", 4)
			g.Seen(vic, said(3, vic, "c"))
			g.Seen(ann, said(3, vic, "c"))
		}, "forked: 1 "},
		"unacked":  {func(g *Ledger) { g.Sent(7, vic, "c", time.Now()) }, "unacked: 1 "},
		"stranger": {func(g *Ledger) { g.Seen(ann, said(3, vic, "x")) }, "strangers: 1 "},
		"held by two for a moment": {func(g *Ledger) {
			g.Held(7, 2, true)
			time.Sleep(time.Second)
			g.Held(7, 2, false)
			g.Held(7, 1, true)
		}, ""},
		"held by two in the last moment": {func(g *Ledger) {
			g.Held(7, 2, true)
			g.Held(7, 1, true)
			time.Sleep(time.Second)
		}, ""},
		"held by two for long": {func(g *Ledger) {
			g.Held(7, 2, true)
			time.Sleep(5 * time.Second)
			g.Held(7, 2, false)
			g.Held(7, 1, true)
		}, "held by two: 1 "},
		"held by two to the end": {func(g *Ledger) {
			g.Held(7, 2, true)
			g.Held(7, 1, true) // the last holder is ann, who saw all
			time.Sleep(5 * time.Second)
		}, "held by two: 1 "},
		"over the limit, as the server says": {func(g *Ledger) { g.Stated(switchboard.OperatorView{Chats: 6}) }, "over the limit: 1 "},
		"a position that was declared lost":  {func(g *Ledger) { g.Forgot(7, ann); g.Seen(ann, said(1, vic, "a")); g.Seen(ann, said(2, ann, "b")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := exchanged()
				c.add(g)
				g.Ended(7)
				h := &history{Scenario: Scenario{Limit: 5, Visitors: 1, Bounds: DefaultBounds()}, ledger: g}
				h.Beside.Chats.MaxWaiting, h.Beside.Chats.FreeFor = 1, 1
				r, _ := h.verdict()
				time.Sleep(time.Hour) // it is judged again much later
				if broken := strings.Join(readBack(t, r).Broken, "\n"); !strings.HasPrefix(broken, c.want) || (c.want == "") != (broken == "") {
					t.Errorf("broken: %q, want %q", broken, c.want)
				}
			})
		})
	}
}

// When what went wrong stands in the history, between the messages, and so does what
// was broken beside the referee's judgement. Seen red with Fault called without the
// ledger in its context.
func TestHistoryTellsWhatWentWrong(t *testing.T) {
	t.Parallel()
	s := tiny()
	s.RestartAt, s.FaultAt = 0, 500*time.Millisecond
	f := newFake(t, 3, 4, 2, fakeFaults{})
	targets := f.targets()
	targets.Fault = func(ctx context.Context) error {
		Mark(ctx, "F99 the sky falls")
		return context.DeadlineExceeded
	}
	r, err := Run(t.Context(), s, targets)
	if err != nil {
		t.Fatal(err)
	}
	if broken := strings.Join(readBack(t, r).Broken, "\n"); !strings.Contains(broken, "restart: "+context.DeadlineExceeded.Error()) {
		t.Errorf("broken: %q", broken)
	}
	var text bytes.Buffer
	if err := r.WriteHistory(&text); err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(text.String(), `"what":"fault","text":"F99 the sky falls"`)
	if !found || !strings.Contains(before, `"what":"sent"`) || !strings.Contains(after, `"what":"seen"`) {
		t.Errorf("the fault does not stand between the messages:\n%s", text.String())
	}
	Mark(t.Context(), "of no run") // does nothing
}

// What is no history is refused with the number of the line. Seen red with unknown
// events passed over.
func TestWhatIsNoHistoryIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":              "history: EOF",
		"{}\nno object": "line 2",
		"{}\n{\"what\":\"judged\"}\n{\"what\":\"sung\"}": `line 3: "sung" is no event`,
	} {
		if _, err := JudgeAgain(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := (&Report{}).WriteHistory(&bytes.Buffer{}); err == nil {
		t.Error("a report of no run has a history")
	}
}
