package routing

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// metrics are built for each router, so that several nodes live in one test.
type metrics struct {
	started, closed, messages     prometheus.Counter
	offers, invites, transfers    *prometheus.CounterVec
	nudges, gaps, rebuilt, refuse prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "switchboard_routing_" + name, Help: help})
	}
	m := &metrics{
		started:  counter("chats_started_total", "Chats started through this node."),
		closed:   counter("chats_closed_total", "Chats closed through this node."),
		messages: counter("messages_total", "Messages stored through this node."),
		offers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_routing_offers_total",
			Help: "Offers that ended through this node, by outcome."}, []string{"outcome"}),
		invites: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_routing_invites_total",
			Help: "Invites to chats that ended through this node, by outcome."}, []string{"outcome"}),
		transfers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_routing_transfers_total",
			Help: "Transfers asked for through this node, by outcome."}, []string{"outcome"}),
		nudges:  counter("bus_nudges_total", "Nudges that reached this node."),
		gaps:    counter("bus_gaps_total", "Times nudges were missing and clients were told to look."),
		rebuilt: counter("bus_rebuilt_total", "Times a subscription was silent or broken and was made anew."),
		refuse:  counter("bus_dropped_total", "Nudges dropped because the queue of their partition was full."),
	}
	for _, outcome := range []string{switchboard.OfferAccepted, switchboard.OfferDeclined, switchboard.OfferTimeout} {
		m.offers.WithLabelValues(outcome)
		m.invites.WithLabelValues(outcome)
	}
	if reg != nil {
		reg.MustRegister(m.started, m.closed, m.messages, m.offers, m.invites, m.transfers, m.nudges, m.gaps, m.rebuilt, m.refuse)
	}
	return m
}
