package presence

import "github.com/prometheus/client_golang/prometheus"

// metrics are built for each registry, so that several nodes live in one test.
type metrics struct {
	calls, alarms, buried, rejoins, reaped, raised prometheus.Counter
	shed, opened, flapped                          prometheus.Counter
	batch                                          prometheus.Histogram
	late                                           prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "switchboard_presence_" + name, Help: help})
	}
	m := &metrics{
		calls:   counter("scripts_total", "Scripts sent to Redis."),
		alarms:  counter("alarms_total", "Due deadlines answered by this node."),
		buried:  counter("buried_total", "Silent nodes this node took out of the registry."),
		rejoins: counter("rejoins_total", "Times this node was taken for dead and came back under a new number."),
		raised:  counter("generations_raised_total", "Times this node found a partition on another server and raised its generation."),
		shed:    counter("shed_total", "Calls refused at the sender because too many waited for the store."),
		opened:  counter("away_total", "Times the store was found not to answer."),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "switchboard_presence_pipeline_calls",
			Help: "Calls that went to the store in one pipeline.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128}}),
		flapped: counter("status_flaps_total", "Times that automatic changes of an operator's status were stopped for being too many."),
		reaped:  counter("reaped_total", "Edges of dead nodes ended by this node."),
		late: prometheus.NewGauge(prometheus.GaugeOpts{Name: "switchboard_presence_alarm_late_seconds",
			Help: "How late the oldest deadline was at the last sweep."}),
	}
	if reg != nil {
		reg.MustRegister(m.calls, m.alarms, m.buried, m.rejoins, m.reaped, m.raised, m.shed, m.opened, m.flapped, m.batch, m.late)
	}
	return m
}
