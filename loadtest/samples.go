package loadtest

import (
	"slices"
	"time"
)

// sample is a duration and the time at which it began, to tell the time around
// the restart from the rest.
type sample struct {
	began time.Time
	took  time.Duration
}

func durations(samples []sample) []time.Duration {
	out := make([]time.Duration, len(samples))
	for i, s := range samples {
		out[i] = s.took
	}
	return out
}

// Spread is the summary of a set of durations, in milliseconds. All are 0 when
// N is 0.
type Spread struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// spreadOf summarises exact samples; a run has some ten thousand, too few for
// a histogram to be worth its error. The quantiles are nearest-rank: each is a
// duration that was measured.
func spreadOf(samples []time.Duration) Spread {
	if len(samples) == 0 {
		return Spread{}
	}
	sorted := slices.Clone(samples)
	slices.Sort(sorted)
	at := func(percent int) float64 {
		rank := (len(sorted)*percent + 99) / 100
		return ms(sorted[max(rank, 1)-1])
	}
	return Spread{N: len(sorted), P50: at(50), P99: at(99), Max: ms(sorted[len(sorted)-1])}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// slice is the length of one part of the timeline.
const slice = 5 * time.Second

// Slice is a part of a run: what began within it.
type Slice struct {
	From     float64 `json:"from_s"` // since the first chat
	Messages Spread  `json:"messages"`
	Lag      Spread  `json:"generator_lag"`
}

// sliced cuts messages and lags into the parts in which they began. What began
// before the first chat is left out.
func sliced(begun time.Time, messages, lags []sample) []Slice {
	type part struct{ messages, lags []time.Duration }
	var parts []part
	cut := func(samples []sample, into func(*part) *[]time.Duration) {
		for _, s := range samples {
			at := int(s.began.Sub(begun) / slice)
			if s.began.Before(begun) {
				continue
			}
			for at >= len(parts) {
				parts = append(parts, part{})
			}
			list := into(&parts[at])
			*list = append(*list, s.took)
		}
	}
	cut(messages, func(p *part) *[]time.Duration { return &p.messages })
	cut(lags, func(p *part) *[]time.Duration { return &p.lags })
	out := make([]Slice, len(parts))
	for i, p := range parts {
		out[i] = Slice{From: (time.Duration(i) * slice).Seconds(), Messages: spreadOf(p.messages), Lag: spreadOf(p.lags)}
	}
	return out
}
