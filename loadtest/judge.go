package loadtest

import (
	"fmt"
	"maps"
	"time"
)

// judge turns what was seen into the report and names the broken bounds. All
// goroutines of the run have ended.
func (r *run) judge() Report {
	s, out := r.scenario, r.report
	out.Seed, out.Nodes, out.Operators, out.Visitors = s.Seed, len(r.targets.Nodes), s.Operators, s.Visitors
	hit := r.restarted()
	for _, c := range r.clients {
		out.Wire.add(c.Counts())
	}
	r.stats.judge(&out)
	for _, v := range r.visitor {
		out.Messages.Planned += v.plan.n
	}
	out.Chats.MaxWaiting = r.tides.maxWaiting
	out.Chats.WaitingFor, out.Chats.FreeFor = r.tides.seconds(r.tides.waiting), r.tides.seconds(r.tides.free)
	out.Chats.BothLongest = r.tides.seconds(r.tides.longest)
	var refused int
	out.Lag, refused = r.clock.Lag()
	if !hit.asked.IsZero() {
		out.Restart = Restart{Asked: true, People: hit.people, BackIn: -1, ServedIn: -1}
		if !hit.back.IsZero() {
			out.Restart.BackIn = hit.back.Sub(hit.asked).Seconds()
		}
		if !hit.answered.IsZero() && hit.err == nil {
			out.Restart.ServedIn = hit.answered.Sub(hit.asked).Seconds()
		}
	}
	if refused > 0 {
		out.Broken = append(out.Broken, fmt.Sprintf("the generator dropped %d tasks: the run is void", refused))
	}
	if hit.err != nil {
		out.Broken = append(out.Broken, "restart: "+hit.err.Error())
	}
	out, messages := (&history{Scenario: *s, Asked: hit.asked, Beside: out, ledger: r.ledger}).verdict()
	if !r.begun.IsZero() {
		out.Timeline = sliced(r.begun, messages, r.clock.samples())
	}
	return out
}

// judge fills in what the referee knows and returns how long each message took.
func (g *Ledger) judge(out *Report, hit restart) []sample {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.past); n == 0 || g.past[n-1].What != "judged" { // the first time
		g.take(Event{At: time.Now(), What: "judged"})
	}
	now := g.past[len(g.past)-1].At
	for _, d := range g.operators {
		if !d.over.IsZero() && now.Sub(d.over) > tolerance {
			g.faults.overLimit++
			d.over = time.Time{}
		}
	}
	var w timings
	c, m := &out.Chats, &out.Messages
	answered, cross := 0, 0
	for _, r := range g.chats {
		g.settleOverlap(r, now)
		n := r.talk.count(r.parties())
		m.Sent, m.Acked, m.Delivered = m.Sent+n.sent, m.Acked+n.acked, m.Delivered+n.delivered
		m.Lost, m.OutOfOrder, m.Unacked = m.Lost+n.lost, m.OutOfOrder+n.swapped, m.Unacked+n.unacked
		m.Refused, m.Strangers, m.Forked = m.Refused+n.refused, m.Strangers+n.strangers, m.Forked+n.forked
		w.take(r, hit)
		if r.started.IsZero() {
			continue
		}
		c.Started++
		if !r.closed.IsZero() && r.talk.seenBy(r.visitor) >= r.planned {
			c.Finished++
		}
		if !r.active.IsZero() {
			answered++
			if r.at[0] != r.at[1] {
				cross++
			}
		}
	}
	if answered > 0 {
		c.CrossNode = float64(cross) / float64(answered)
	}
	m.Repeated = g.faults.seenTwice
	m.Forked += g.faults.forked
	m.OutOfOrder += g.faults.outOfOrder
	m.Lost += g.faults.skipped
	m.TypingSent, m.TypingSeen = g.typing[0], g.typing[1]
	m.Took, m.TookHit, m.Acks = spreadOf(w.messages), spreadOf(w.messagesHit), spreadOf(w.acks)
	c.Assignment, c.Routing, c.RoutingHit = spreadOf(w.assigned), spreadOf(w.routed), spreadOf(w.routedHit)
	var freed []time.Duration
	for _, f := range g.freed {
		if !hit.covers(f.began, f.took) {
			freed = append(freed, f.took)
		}
	}
	c.Freed = spreadOf(freed)
	c.Double, c.OverLimit = g.faults.double, g.faults.overLimit
	c.Offers = maps.Clone(g.offers)
	return w.all
}

// timings collects durations over all chats.
type timings struct {
	all                         []sample // messages
	messages, messagesHit, acks []time.Duration
	assigned, routed, routedHit []time.Duration
}

func (w *timings) take(r *record, hit restart) {
	for _, m := range r.talk.messages {
		if m.order == 0 {
			continue
		}
		// The first message waits for an operator like its chat does; routing
		// measures that.
		first := m.author == r.visitor && m.order == 1
		if !m.seen.IsZero() && !first {
			took := m.seen.Sub(m.sent)
			w.all = append(w.all, sample{m.sent, took})
			if hit.covers(m.sent, took) {
				w.messagesHit = append(w.messagesHit, took)
			} else {
				w.messages = append(w.messages, took)
			}
		}
		if took := m.acked.Sub(m.sent); !m.acked.IsZero() && !hit.covers(m.sent, took) {
			w.acks = append(w.acks, took)
		}
	}
	if r.started.IsZero() {
		return
	}
	if !r.active.IsZero() {
		w.assigned = append(w.assigned, r.active.Sub(r.started))
	}
	if r.roomy && !r.offered.IsZero() {
		if took := max(0, r.offered.Sub(r.started)); hit.covers(r.started, took) {
			w.routedHit = append(w.routedHit, took)
		} else {
			w.routed = append(w.routed, took)
		}
	}
}

// broken names every bound that does not hold.
func (b Bounds) broken(s *Scenario, r *Report) []string {
	var out []string
	need := func(ok bool, format string, args ...any) {
		if !ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	m, c := r.Messages, r.Chats
	need(b.Rollback || m.Lost <= b.Lost, "lost: %d messages, at most %d", m.Lost, b.Lost)
	need(m.Repeated <= b.Repeated, "repeated: %d messages, at most %d", m.Repeated, b.Repeated)
	need(m.OutOfOrder <= b.OutOfOrder, "out of order: %d messages, at most %d", m.OutOfOrder, b.OutOfOrder)
	need(m.Unacked == 0, "unacked: %d messages got no answer", m.Unacked)
	need(r.Wire.AcksMissing == 0, "acks: %d did not come within %s on a live socket", r.Wire.AcksMissing, ackWithin)
	need(b.Rollback || m.Forked == 0, "forked: %d times two witnesses disagree on a sequence", m.Forked)
	need(m.Strangers == 0, "strangers: %d messages were sent by nobody", m.Strangers)
	need(b.Rollback && c.Finished > s.Visitors/4 || c.Finished == s.Visitors, "finished: %d of %d chats", c.Finished, s.Visitors)
	need(c.Double == 0, "held by two: %d chats", c.Double)
	need(c.OverLimit == 0, "over the limit: %d times", c.OverLimit)
	need(c.Second == 0, "second chats: %d", c.Second)
	need(r.Wire.Malformed == 0, "malformed: %d objects from the nodes", r.Wire.Malformed)
	need(r.Connects.GaveUp == 0, "gave up: %d people were told not to come back", r.Connects.GaveUp)
	need(m.Took.N > 0 && m.Took.P99 <= ms(b.MessageP99), "message p99: %.1f ms (n %d), at most %.0f ms", m.Took.P99, m.Took.N, ms(b.MessageP99))
	need(c.Routing.N > 0 && c.Routing.P99 <= ms(b.RoutingP99), "routing p99: %.1f ms (n %d), at most %.0f ms", c.Routing.P99, c.Routing.N, ms(b.RoutingP99))
	need(c.CrossNode >= b.CrossNode, "across nodes: %.0f %% of chats, at least %.0f %%", 100*c.CrossNode, 100*b.CrossNode)
	need(c.MaxWaiting > 0, "waiting: nobody ever waited; the load is too small to judge the queue")
	need(c.FreeFor > 0, "free: no operator was ever free; the load is too large to judge routing")
	if s.RestartAt > 0 {
		back := r.Restart.BackIn
		need(r.Restart.Asked && back >= 0, "restart: not everybody came back")
		need(back <= b.Recovery.Seconds(), "restart: people back in %.1f s, at most %.0f s", back, b.Recovery.Seconds())
		need(r.Restart.People > 0, "restart: nobody was on the node")
		need(r.Restart.ServedIn >= 0, "restart: the node does not serve again")
	}
	return out
}

func (n *Counts) add(m Counts) {
	n.Connects += m.Connects
	n.Failures += m.Failures
	n.Reconnects += m.Reconnects
	n.Moved += m.Moved
	n.Silent += m.Silent
	n.Repeats += m.Repeats
	n.Gaps += m.Gaps
	n.Resumes += m.Resumes
	n.Resets += m.Resets
	n.Resent += m.Resent
	n.AcksMissing += m.AcksMissing
	n.Malformed += m.Malformed
	n.Refused += m.Refused
	n.Objects += m.Objects
}
