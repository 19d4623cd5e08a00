package loadtest

import (
	"context"
	"fmt"
)

// Memory is what the sockets cost the nodes' processes, measured while
// everybody is connected and idle.
type Memory struct {
	Sockets       int     `json:"sockets"`
	ResidentBytes int64   `json:"resident_bytes"` // all nodes
	BaseBytes     int64   `json:"base_bytes"`     // all nodes, before anybody connected
	PerSocket     float64 `json:"bytes_per_socket"`
}

// resident returns the memory of each node, nil when it cannot be measured.
func (r *run) resident() []int64 {
	if r.targets.Resident == nil {
		return nil
	}
	out := make([]int64, len(r.targets.Nodes))
	for i := range out {
		n, err := r.targets.Resident(i)
		if err != nil {
			r.say("memory of node %d: %v", i, err)
			return nil
		}
		out[i] = n
	}
	return out
}

func (r *run) memory() Memory {
	m := Memory{Sockets: len(r.clients)}
	now := r.resident()
	if now == nil || r.base == nil {
		return m
	}
	for i := range now {
		m.ResidentBytes += now[i]
		m.BaseBytes += r.base[i]
	}
	m.PerSocket = float64(m.ResidentBytes-m.BaseBytes) / float64(m.Sockets)
	return m
}

// commands returns how many commands Redis has done, -1 when nobody knows.
func (r *run) commands(ctx context.Context) int64 {
	if r.targets.Commands == nil {
		return -1
	}
	n, err := r.targets.Commands(ctx)
	if err != nil {
		r.say("commands of Redis: %v", err)
		return -1
	}
	return n
}

func (r *run) say(format string, args ...any) {
	if r.targets.Progress != nil {
		r.targets.Progress(fmt.Sprintf(format, args...))
	}
}
