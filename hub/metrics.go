package hub

import (
	"strconv"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// drop is why an object never reached a connection that it was meant for.
type drop string

const (
	dropTyping    drop = "typing_full"   // typing, and the queue is over a quarter
	dropPresence  drop = "presence_full" // presence, and the queue is over a half
	dropCollapsed drop = "presence_stale"
	dropSeen      drop = "seen"   // a live message that the resume has already sent
	dropEnded     drop = "ended"  // handed to a connection that was already ending
	dropUnsent    drop = "unsent" // still queued when the connection was cut
)

var drops = []drop{dropTyping, dropPresence, dropCollapsed, dropSeen, dropEnded, dropUnsent}

// refusal is why a socket was not let in.
type refusal string

const (
	refusedDraining  refusal = "draining"
	refusedFull      refusal = "full"
	refusedStrangers refusal = "unidentified"
)

var refusals = []refusal{refusedDraining, refusedFull, refusedStrangers}

// lost is the code under which an end without a close frame of ours is counted:
// the peer closed, or the line broke.
const lost = 0

// closeCodes are the codes that the hub and its callers close with.
var closeCodes = []int{
	lost,
	int(websocket.StatusGoingAway), int(websocket.StatusInvalidFramePayloadData),
	int(websocket.StatusMessageTooBig), int(websocket.StatusInternalError), int(websocket.StatusTryAgainLater),
	switchboard.CloseProtocol, switchboard.CloseExpired, switchboard.CloseLoggedOut, switchboard.CloseSlow,
	switchboard.ClosePositionLost, switchboard.CloseMoving, switchboard.CloseTooFast,
}

type metrics struct {
	opened    prometheus.Counter
	refused   map[refusal]prometheus.Counter
	ended     map[int]prometheus.Counter
	endedElse prometheus.Counter
	dropped   map[drop]prometheus.Counter
	framesIn  prometheus.Counter
	framesOut prometheus.Counter
	objects   prometheus.Counter
	waited    prometheus.Histogram
	panics    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, h *Hub) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "switchboard_hub_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_hub_" + name, Help: help}, []string{label})
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "switchboard_hub_" + name, Help: help}, value))
	}
	gauge("sockets", "Sockets opened and not yet gone.", func() float64 { return float64(h.Stats().Sockets) })
	gauge("identified_sockets", "Live identified sockets.", func() float64 { return float64(h.identified.Load()) })
	gauge("queued_bytes", "Bytes waiting in all queues.", func() float64 { return float64(h.queued.Load()) })

	m := &metrics{
		opened:    counter("opened_total", "Sockets taken over."),
		refused:   make(map[refusal]prometheus.Counter, len(refusals)),
		ended:     make(map[int]prometheus.Counter, len(closeCodes)),
		dropped:   make(map[drop]prometheus.Counter, len(drops)),
		framesIn:  counter("frames_in_total", "Text frames read."),
		framesOut: counter("frames_out_total", "Text frames written."),
		objects:   counter("objects_out_total", "Objects written; several may share a frame."),
		panics:    counter("handler_panics_total", "Panics of the frame handler."),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "switchboard_hub_queue_seconds",
			Help:    "How long the oldest object of a frame had waited when the frame was written.",
			Buckets: []float64{.0001, .001, .005, .01, .05, .1, .5, 1, 5, 10},
		}),
	}
	reg.MustRegister(m.waited)
	// Every label value exists from the start, so that a rate over it is never absent.
	refused := vector("refused_total", "Sockets not let in.", "reason")
	for _, r := range refusals {
		m.refused[r] = refused.WithLabelValues(string(r))
	}
	ended := vector("ended_total", "Sockets ended, by close code; 0 is a peer that went by itself.", "code")
	for _, code := range closeCodes {
		m.ended[code] = ended.WithLabelValues(strconv.Itoa(code))
	}
	m.endedElse = ended.WithLabelValues("other")
	dropped := vector("objects_dropped_total", "Objects that a socket did not get.", "reason")
	for _, d := range drops {
		m.dropped[d] = dropped.WithLabelValues(string(d))
	}
	return m
}

func (m *metrics) end(code int) {
	if c, ok := m.ended[code]; ok {
		c.Inc()
		return
	}
	m.endedElse.Inc()
}

func (m *metrics) drop(why drop, n int) {
	if n > 0 {
		m.dropped[why].Add(float64(n))
	}
}
