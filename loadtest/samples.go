package loadtest

import (
	"slices"
	"time"
)

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
