package loadtest

import (
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// stats counts what happens to sockets and requests, over all people.
type stats struct {
	mu         sync.Mutex
	connects   []time.Duration
	failures   int
	lastFailed string
	closes     map[string]int // sockets that had been ready, by close code
	refusals   map[string]int // by error code
	others     map[string]int // kinds that no behaviour uses
	want       int            // visitors who asked for a chat
	noAnswer   int            // chat.start without an answer in time
	second     int            // a visitor was shown a chat beside its own
	left       int            // people who were told not to come back
	lastLeft   string
	broken     int // objects that lack what their kind must have
}

func newStats() *stats {
	return &stats{closes: make(map[string]int), refusals: make(map[string]int), others: make(map[string]int)}
}

func (s *stats) up(_ int, took time.Duration) {
	s.mu.Lock()
	s.connects = append(s.connects, took)
	s.mu.Unlock()
}

func (s *stats) failed(_ int, err error) {
	s.mu.Lock()
	s.failures++
	s.lastFailed = err.Error()
	s.mu.Unlock()
}

func (s *stats) down(_ int, code int)        { s.add(s.closes, strconv.Itoa(code)) }
func (s *stats) refused(r Refusal)           { s.add(s.refusals, string(r.Code)) }
func (s *stats) other(kind switchboard.Kind) { s.add(s.others, string(kind)) }
func (s *stats) wanted()                     { s.inc(&s.want) }
func (s *stats) startUnanswered()            { s.inc(&s.noAnswer) }
func (s *stats) secondChat()                 { s.inc(&s.second) }
func (s *stats) malformed()                  { s.inc(&s.broken) }

func (s *stats) add(m map[string]int, key string) {
	s.mu.Lock()
	m[key]++
	s.mu.Unlock()
}

func (s *stats) inc(n *int) {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
}

func (s *stats) gaveUp(err error) {
	s.mu.Lock()
	s.left++
	s.lastLeft = err.Error()
	s.mu.Unlock()
}

func (s *stats) lastFailure() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastLeft != "" {
		return s.lastLeft
	}
	return s.lastFailed
}

func (s *stats) wants() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want
}

func (s *stats) judge(out *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Connects = Connects{Count: len(s.connects), Failures: s.failures, GaveUp: s.left, Took: spreadOf(s.connects)}
	out.Closes, out.Refusals = maps.Clone(s.closes), maps.Clone(s.refusals)
	out.Chats.Second, out.Chats.StartsUnanswered = s.second, s.noAnswer
	out.Wire.Malformed += s.broken
}
