package loadtest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is the verdict on a run. Passed is true when Broken is empty.
type Report struct {
	Passed bool     `json:"passed"`
	Broken []string `json:"broken"` // each bound that does not hold, in words

	Seed      uint64  `json:"seed"`
	Nodes     int     `json:"nodes"`
	Operators int     `json:"operators"`
	Visitors  int     `json:"visitors"`
	Took      float64 `json:"took_s"`

	Connects Connects `json:"connects"`
	Chats    Chats    `json:"chats"`
	Messages Messages `json:"messages"`
	Wire     Counts   `json:"wire"`
	Restart  Restart  `json:"restart"`
	Memory   Memory   `json:"memory"`

	RedisCommands float64        `json:"redis_commands_per_s"` // 0 when not measured
	Lag           Spread         `json:"generator_lag"`        // how late the crowd itself was
	Timeline      []Slice        `json:"timeline"`             // in parts of 5 s
	Closes        map[string]int `json:"closes"`               // ends of ready sockets, by close code
	Refusals      map[string]int `json:"refusals"`             // by error code

	history *history // of the run, to be judged again
}

// Connects is how people got in, reconnects included.
type Connects struct {
	Count    int    `json:"count"`
	Failures int    `json:"failures"`
	GaveUp   int    `json:"gave_up"` // told not to come back
	Took     Spread `json:"took"`    // from the dial to ready
}

// Chats is what routing did. Assignment is from chat.start to the visitor's
// sight of an operator; Routing to the first operator who is asked, for chats
// that started while operators were free; Freed from the end of a full
// operator's chat to his next offer, while visitors waited.
type Chats struct {
	Started     int            `json:"started"`
	Finished    int            `json:"finished"`    // closed, with every planned message seen by the visitor
	Unfinished  int            `json:"unfinished"`  // the others
	CrossNode   float64        `json:"cross_node"`  // share of chats with their sides on two nodes
	Assignment  Spread         `json:"assignment"`  // all chats, waiting included
	Routing     Spread         `json:"routing"`     // outside the time around the restart
	RoutingHit  Spread         `json:"routing_hit"` // within it
	Freed       Spread         `json:"freed"`
	Offers      map[string]int `json:"offers"` // by outcome
	MaxWaiting  int            `json:"max_waiting"`
	WaitingFor  float64        `json:"waiting_s"` // time in which somebody waited
	FreeFor     float64        `json:"free_s"`    // time in which an operator was free
	BothLongest float64        `json:"waiting_beside_free_longest_s"`
	Double      int            `json:"held_by_two"`
	OverLimit   int            `json:"operators_over_limit"`
	Second      int            `json:"second_chats"` // a visitor got a chat beside its own

	StartsUnanswered int `json:"starts_unanswered"` // chat.start without an answer in time; it was sent again
}

// Messages is what the referee counted. Lost: acked, but not seen by both
// parties. Repeated: seen twice by one person. OutOfOrder: seen or stored in
// another order than sent.
type Messages struct {
	Planned    int    `json:"planned"`
	Sent       int    `json:"sent"`
	Acked      int    `json:"acked"`
	Delivered  int    `json:"delivered"` // seen by the other party
	Lost       int    `json:"lost"`
	Repeated   int    `json:"repeated"`
	OutOfOrder int    `json:"out_of_order"`
	Unacked    int    `json:"unacked"`   // no answer to the end
	Refused    int    `json:"refused"`   // answered with an error for good
	Forked     int    `json:"forked"`    // two witnesses disagree on what a sequence holds
	Strangers  int    `json:"strangers"` // seen, but sent by nobody
	Took       Spread `json:"took"`      // sent to seen by the other party, outside the time around the restart
	TookHit    Spread `json:"took_hit"`  // within it
	Acks       Spread `json:"acks"`      // sent to acked, outside that time
	TypingSent int    `json:"typing_sent"`
	TypingSeen int    `json:"typing_seen"`
}

// Restart is the restart of a node; all zero when there was none. Times are
// seconds since it was asked for; -1: did not happen.
type Restart struct {
	Asked    bool    `json:"asked"`
	People   int     `json:"people"`
	BackIn   float64 `json:"people_back_s"`
	ServedIn float64 `json:"node_serves_s"`
}

// Break notes what went wrong beside the run.
func (r *Report) Break(what string) {
	r.Passed, r.Broken = false, append(r.Broken, what)
}

// WriteText writes the verdict as a table for people.
func (r Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	row("run", "%d nodes, %d operators, %d visitors, seed %d, %.0f s", r.Nodes, r.Operators, r.Visitors, r.Seed, r.Took)
	row("connects", "%d, %d failed, %d gave up, %s", r.Connects.Count, r.Connects.Failures, r.Connects.GaveUp, r.Connects.Took)
	c := r.Chats
	row("chats", "%d started, %d finished, %.0f %% across nodes", c.Started, c.Finished, 100*c.CrossNode)
	row("  assignment", "%s (chat.start to answered, waiting included)", c.Assignment)
	row("  routing", "%s (chat.start to the first offer, operators free)", c.Routing)
	row("  around restart", "%s", c.RoutingHit)
	row("  from freed", "%s (slot freed to the next offer, visitors waiting)", c.Freed)
	row("  offers", "%s", counted(c.Offers))
	row("  waiting", "at most %d; %.1f s with people waiting, %.1f s with operators free, %.1f s in a row with both",
		c.MaxWaiting, c.WaitingFor, c.FreeFor, c.BothLongest)
	row("  rules", "%d held by two, %d over the limit, %d second chats", c.Double, c.OverLimit, c.Second)
	m := r.Messages
	row("messages", "%d planned, %d sent, %d acked, %d delivered", m.Planned, m.Sent, m.Acked, m.Delivered)
	row("  verdict", "%d lost, %d repeated, %d out of order, %d unacked, %d refused, %d forked, %d strangers",
		m.Lost, m.Repeated, m.OutOfOrder, m.Unacked, m.Refused, m.Forked, m.Strangers)
	row("  latency", "%s (sent to seen by the other party)", m.Took)
	row("  around restart", "%s", m.TookHit)
	if w := r.slowest(); w.Messages.N > 0 {
		row("  slowest 5 s", "p99 %.1f ms from %.0f s on, when the generator was late by p99 %.1f ms", w.Messages.P99, w.From, w.Lag.P99)
	}
	row("  ack", "%s", m.Acks)
	row("  typing", "%d sent, %d seen", m.TypingSent, m.TypingSeen)
	x := r.Wire
	row("wire", "%d objects; %d reconnects, %d told to move, %d silent; %d repeats dropped, %d gaps, %d resumes, %d re-sent, %d acks missing",
		x.Objects, x.Reconnects, x.Moved, x.Silent, x.Repeats, x.Gaps, x.Resumes, x.Resent, x.AcksMissing)
	row("  closes", "%s", counted(r.Closes))
	row("  refusals", "%s", counted(r.Refusals))
	if r.Restart.Asked {
		row("restart", "%d people, back in %.1f s, node serves after %.1f s", r.Restart.People, r.Restart.BackIn, r.Restart.ServedIn)
	}
	if r.Memory.PerSocket > 0 {
		row("memory", "%.1f KB a socket (%d sockets; nodes %.0f MB, %.0f MB before)", r.Memory.PerSocket/1e3,
			r.Memory.Sockets, float64(r.Memory.ResidentBytes)/1e6, float64(r.Memory.BaseBytes)/1e6)
	}
	if r.RedisCommands > 0 {
		row("redis", "%.0f commands a second", r.RedisCommands)
	}
	row("generator", "late by %s", r.Lag)
	if r.Passed {
		row("PASSED", "every bound holds")
	}
	for _, b := range r.Broken {
		row("BROKEN", "%s", b)
	}
	return t.Flush()
}

// slowest is the part of the run with the highest latency of messages.
func (r Report) slowest() Slice {
	var worst Slice
	for _, s := range r.Timeline {
		if s.Messages.P99 > worst.Messages.P99 {
			worst = s
		}
	}
	return worst
}

// String is "p50 1.2 ms, p99 8.0 ms (n 1200)".
func (s Spread) String() string {
	if s.N == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, max %.1f ms (n %d)", s.P50, s.P99, s.Max, s.N)
}

func counted(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(out, ", ")
}
