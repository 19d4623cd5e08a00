package loadtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

// tiny is Default for a fake server: 8 slots meet a rush of 20 chats. It ends
// in about 5 s.
func tiny() Scenario {
	s := Default()
	s.Operators, s.Visitors, s.Limit = 4, 30, 2
	s.Arrivals, s.Patience = 1500*time.Millisecond, 12*time.Second
	s.ChatMin, s.ChatMax, s.MessagesMin, s.MessagesMax = 700*time.Millisecond, 900*time.Millisecond, 4, 6
	s.RestartAt, s.RestartNode = 900*time.Millisecond, 1
	s.Idle, s.Settle, s.Bounds.Around = 100*time.Millisecond, time.Second, 500*time.Millisecond
	s.Bounds.MessageP99 = 2 * time.Second // the machine is shared; the bound has its own test
	return s
}

func TestRunPassesOnACorrectServerWithANodeRestarted(t *testing.T) {
	t.Parallel()
	f := newFake(t, 3, 4, 2, fakeFaults{
		// Legal on the wire: the reader has to notice the gap and ask.
		dropLive: func(m switchboard.Message) bool { return m.Chat%4 == 0 && m.Seq == 3 },
	})
	r, err := Run(t.Context(), tiny(), f.targets())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Passed {
		t.Errorf("a correct server failed: %q", r.Broken)
	}
	m := r.Messages
	if m.Sent != m.Planned || m.Acked != m.Planned || m.Delivered != m.Planned {
		t.Errorf("planned %d messages, sent %d, acked %d, delivered %d", m.Planned, m.Sent, m.Acked, m.Delivered)
	}
	if r.Chats.Started != 30 || r.Chats.Finished != 30 {
		t.Errorf("chats: %+v", r.Chats)
	}
	if r.Chats.Offers[switchboard.OfferAccepted] < 30 {
		t.Errorf("offers: %v", r.Chats.Offers)
	}
	if r.Wire.Gaps == 0 || r.Wire.Resumes == 0 {
		t.Errorf("messages were left out, but nobody asked: %+v", r.Wire)
	}
	if r.Wire.Reconnects == 0 || r.Wire.Moved == 0 || r.Closes["4012"] == 0 {
		t.Errorf("a node was restarted, but nobody moved: %+v, closes %v", r.Wire, r.Closes)
	}
	if m.TypingSeen == 0 {
		t.Error("nobody saw anybody type")
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "PASSED") {
		t.Errorf("the table does not say so:\n%s", text.String())
	}
	t.Log("\n" + text.String())
	readBack(t, r)
}

// TestRunNamesEachFault breaks the server in one way at a time.
func TestRunNamesEachFault(t *testing.T) {
	second := func(m switchboard.Message) bool { return m.Chat == 5 && numberOf(m.Text) == 2 }
	for name, c := range map[string]struct {
		faults fakeFaults
		broken string
	}{
		"a stored message that nobody is shown is lost": {
			fakeFaults{drop: second}, "lost: ",
		},
		"a last message that nobody is shown is lost, with no later one to show the gap": {
			fakeFaults{drop: func(m switchboard.Message) bool {
				return m.Chat == 5 && m.From.Visitor() && numberOf(m.Text) >= 3
			}}, "lost: ",
		},
		"a message stored under two sequences is repeated": {
			fakeFaults{twice: second}, "repeated: ",
		},
		"two messages stored the other way round are out of order": {
			fakeFaults{swap: second, unsaid: true}, "out of order: ",
		},
		"an ack that gave away its sequence is found": {
			fakeFaults{swap: second}, "forked: ",
		},
		"a message that is never acked is found": {
			fakeFaults{noAck: second}, "unacked: ",
		},
		"an operator above the limit is found": {
			fakeFaults{overfill: true}, "over the limit: ",
		},
		"chats that nobody is offered are not finished": {
			fakeFaults{deaf: true}, "finished: 0 of 30",
		},
		"a message that somebody else is said to have sent is a stranger": {
			fakeFaults{forge: second}, "strangers: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tiny()
			s.RestartAt, s.Patience = 0, 5*time.Second
			r, err := Run(t.Context(), s, newFake(t, 3, 4, 2, c.faults).targets())
			if err != nil {
				t.Fatal(err)
			}
			if r.Passed || !strings.Contains(strings.Join(r.Broken, "\n"), c.broken) {
				t.Errorf("broken bounds are %q; want one that begins with %q", r.Broken, c.broken)
			}
			readBack(t, r)
		})
	}
}

func TestRunStopsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	targets := newFake(t, 1, 4, 2, fakeFaults{}).targets()
	s := tiny()
	s.RestartAt = 0
	targets.Progress = func(line string) {
		if strings.HasPrefix(line, "chats begin") {
			cancel()
		}
	}
	r, err := Run(ctx, s, targets)
	if err == nil || r.Passed {
		t.Errorf("error %v, passed %v; want an error and no pass", err, r.Passed)
	}
}

func TestRunRefusesWhatItCannotPlay(t *testing.T) {
	_, err := Run(t.Context(), Scenario{RestartAt: time.Second}, Targets{})
	if err == nil {
		t.Fatal("an empty scenario was accepted")
	}
	for _, want := range []string{"no nodes", "at least one operator", "limit", "messages", "connect rate", "restart"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
}

func TestRunSaysWhenTheOrganizationIsTooSmall(t *testing.T) {
	s := tiny()
	s.RestartAt = 0
	_, err := Run(t.Context(), s, newFake(t, 1, 3, 2, fakeFaults{}).targets())
	if err == nil || !strings.Contains(err.Error(), "has 3 active operators, the scenario wants 4") {
		t.Errorf("error %v", err)
	}
}
