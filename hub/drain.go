package hub

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/switchboard/switchboard"
)

// drainStep is the time between two waves of a drain.
const drainStep = 250 * time.Millisecond

// Drain lets no new socket in and sends everybody away, spread over a time: in
// waves, each connection is told {"t":"moving","in_ms":n} and closed with 4012
// one wave later, so that answers under way still arrive. n lies between one
// and two waves, so that one wave does not come back as one, and nobody is away
// for longer than that. Drain returns when every socket is gone; when ctx ends
// first, the rest is closed at once and Drain returns without waiting.
func (h *Hub) Drain(ctx context.Context, over time.Duration) {
	h.shut(doorDraining)
	conns := h.everyone()
	// By chance, or all people of one shard would reconnect in the same wave.
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })

	waves := max(1, int(over/drainStep))
	step := over / time.Duration(waves)
	ticker := time.NewTicker(max(step, time.Millisecond))
	defer ticker.Stop()
	told := 0
	for wave := range waves {
		if told == len(conns) {
			break // nobody, or nobody left
		}
		until := len(conns) * (wave + 1) / waves
		tellMoving(conns[told:until], max(step, drainStep))
		before := told
		told = until
		select {
		case <-ticker.C:
		case <-ctx.Done():
			endMoving(conns[before:])
			return
		}
		endMoving(conns[before:told])
	}
	select {
	case <-h.door.gone:
	case <-ctx.Done():
	}
}

func tellMoving(conns []*Conn, within time.Duration) {
	for _, c := range conns {
		in := within + rand.N(within)
		obj := append([]byte(`{"t":"moving","in_ms":`), strconv.FormatInt(in.Milliseconds(), 10)...)
		c.Send(ClassEvent, append(obj, '}'))
	}
}

func endMoving(conns []*Conn) {
	for _, c := range conns {
		c.End(switchboard.CloseMoving, "moving")
	}
}
