package gateway

import (
	"context"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// After a storm of connects the heap is several times what the sockets need, and
// the runtime keeps it; and an idle node's pings leave so little garbage that the
// heap takes minutes to double before it is collected. A node with many sockets
// that is quiet therefore gives back what it does not need: once when a storm is
// over, and then when a third has gathered (peers.md, "What holds the memory":
// worth as much as the small buffers). A busy node collects by itself.
const (
	tidyEvery = 5 * time.Second
	tidyAfter = 1_000 // sockets opened since the last time
	tidyRest  = 30 * time.Second
)

// tidy gives memory back when it is quiet.
func (s *Server) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	last, tidied, at := uint64(0), uint64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		moved := s.hub.Moved()
		quiet := moved-last < tidyAfter/100
		last = moved
		switch {
		case !quiet || moved < tidyAfter:
		case moved-tidied >= tidyAfter:
			debug.FreeOSMemory() // what the pools held goes with the second
			debug.FreeOSMemory()
			tidied, at = moved, time.Now()
		case time.Since(at) > tidyRest && garbage() > 1./3:
			debug.FreeOSMemory()
			at = time.Now()
		}
	}
}

// garbage returns how much of the heap is not live, against what is.
func garbage() float64 {
	s := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(s)
	for _, one := range s {
		if one.Value.Kind() != runtimemetrics.KindUint64 || one.Value.Uint64() == 0 {
			return 0
		}
	}
	return float64(s[0].Value.Uint64())/float64(s[1].Value.Uint64()) - 1
}
