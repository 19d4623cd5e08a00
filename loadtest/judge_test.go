package loadtest

import (
	"strings"
	"testing"
	"time"
)

// passing is a report that keeps every bound of Default.
func passing() Report {
	var r Report
	r.Chats.Finished, r.Chats.CrossNode, r.Chats.MaxWaiting, r.Chats.FreeFor = 2000, 0.66, 400, 30
	r.Chats.Routing = Spread{N: 900, P99: 40}
	r.Messages.Took = Spread{N: 14000, P99: 30}
	r.Restart = Restart{Asked: true, People: 700, BackIn: 11, ServedIn: 12}
	return r
}

func TestEachBoundIsNamedWhenItBreaks(t *testing.T) {
	s := Default()
	good := passing()
	if broken := s.Bounds.broken(&s, &good); len(broken) > 0 {
		t.Fatalf("a good report breaks %q", broken)
	}
	for want, harm := range map[string]func(r *Report){
		"lost: 1 ":            func(r *Report) { r.Messages.Lost = 1 },
		"repeated: 1 ":        func(r *Report) { r.Messages.Repeated = 1 },
		"out of order: 1 ":    func(r *Report) { r.Messages.OutOfOrder = 1 },
		"unacked: 1 ":         func(r *Report) { r.Messages.Unacked = 1 },
		"acks: 1 ":            func(r *Report) { r.Wire.AcksMissing = 1 },
		"forked: 1 ":          func(r *Report) { r.Messages.Forked = 1 },
		"strangers: 1 ":       func(r *Report) { r.Messages.Strangers = 1 },
		"finished: 1999 ":     func(r *Report) { r.Chats.Finished = 1999 },
		"held by two: 1 ":     func(r *Report) { r.Chats.Double = 1 },
		"over the limit: 1 ":  func(r *Report) { r.Chats.OverLimit = 1 },
		"second chats: 1":     func(r *Report) { r.Chats.Second = 1 },
		"malformed: 1 ":       func(r *Report) { r.Wire.Malformed = 1 },
		"gave up: 1 ":         func(r *Report) { r.Connects.GaveUp = 1 },
		"message p99: 251.0 ": func(r *Report) { r.Messages.Took.P99 = 251 },
		"message p99: 0.0 ms (n 0)": func(r *Report) {
			// Nothing measured is not a pass.
			r.Messages.Took = Spread{}
		},
		"routing p99: 1001.0 ":      func(r *Report) { r.Chats.Routing.P99 = 1001 },
		"routing p99: 0.0 ms (n 0)": func(r *Report) { r.Chats.Routing = Spread{} },
		"across nodes: 29 ":         func(r *Report) { r.Chats.CrossNode = 0.29 },
		"waiting: nobody":           func(r *Report) { r.Chats.MaxWaiting = 0 },
		"free: no operator":         func(r *Report) { r.Chats.FreeFor = 0 },
		"restart: not everybody":    func(r *Report) { r.Restart.BackIn = -1 },
		"restart: people back in 21": func(r *Report) {
			r.Restart.BackIn = 21
		},
		"restart: nobody was":    func(r *Report) { r.Restart.People = 0 },
		"restart: the node does": func(r *Report) { r.Restart.ServedIn = -1 },
	} {
		r := passing()
		harm(&r)
		broken := s.Bounds.broken(&s, &r)
		if len(broken) != 1 || !strings.HasPrefix(broken[0], want) {
			t.Errorf("broken %q, want one that begins with %q", broken, want)
		}
	}
}

func TestStandingScenarioMakesPeopleWaitAndLeavesOperatorsFree(t *testing.T) {
	for name, s := range map[string]Scenario{"default": Default(), "small": Small()} {
		// Chats of the mean length from their arrival on, were there always a slot.
		mean := (s.ChatMin + s.ChatMax) / 2
		slots := s.Operators * s.Limit
		at := func(when time.Duration) (n int) {
			for i := range s.Visitors {
				draw := float64(i%97) / 97
				if from := s.arrival(i, draw); from <= when && when < from+mean {
					n++
				}
			}
			return n
		}
		calm := time.Duration(float64(s.Arrivals) * s.Calm)
		if n := at(calm - time.Millisecond); n > slots*6/10 {
			t.Errorf("%s: %d chats for %d slots when the calm ends; operators should be free", name, n, slots)
		}
		if n := at(s.Arrivals); n < slots*5/4 {
			t.Errorf("%s: %d chats for %d slots at the height; people should wait", name, n, slots)
		}
		if s.RestartAt <= calm || s.RestartAt >= s.Arrivals+s.ChatMin {
			t.Errorf("%s: the restart at %s is not in the middle", name, s.RestartAt)
		}
	}
}

func TestStretchMovesTheRestart(t *testing.T) {
	s := Default()
	s.Stretch(2 * s.Arrivals)
	if s.RestartAt != 2*Default().RestartAt {
		t.Errorf("restart at %s", s.RestartAt)
	}
}
