package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// metrics are built for each node, so that several live in one test. Labels come
// from our own error codes only.
type metrics struct {
	hellos, refused *prometheus.CounterVec
	helloSeconds    prometheus.Histogram
	logouts         prometheus.Counter
	restored        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_gateway_" + name, Help: help}, []string{label})
		for _, code := range switchboard.Codes() {
			v.WithLabelValues(string(code))
		}
		reg.MustRegister(v)
		return v
	}
	m := &metrics{
		hellos:  vec("hellos_total", "Opened and refused sockets, by error code; ok when opened.", "code"),
		refused: vec("refused_total", "Objects of clients that were refused, by error code.", "code"),
		helloSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "switchboard_gateway_hello_seconds",
			Help: "From a hello to its ready.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2}}),
		logouts: prometheus.NewCounter(prometheus.CounterOpts{Name: "switchboard_gateway_logged_out_sockets_total",
			Help: "Sockets closed because their person was signed out."}),
	}
	m.restored = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_gateway_chats_asserted_total",
		Help: "Chats asserted after a partition's server had changed, by what the store did."}, []string{"what"})
	m.hellos.WithLabelValues("ok")
	reg.MustRegister(m.helloSeconds, m.logouts, m.restored)
	return m
}
