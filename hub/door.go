package hub

import (
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// doorState is whether new sockets are let in.
type doorState uint8

const (
	doorOpen doorState = iota
	doorDraining
	doorEnded
)

// door counts who is in and decides who may come in.
type door struct {
	mu        sync.Mutex
	state     doorState
	open      int                       // sockets not yet gone
	strangers map[*Conn]struct{}        // live and not identified
	orgs      map[switchboard.OrgID]int // identified sockets; none of 0
	gone      chan struct{}             // closed when open reaches 0 after the door was shut
	readers   sync.WaitGroup
}

// admit counts c in, or says why not.
func (h *Hub) admit(c *Conn) refusal {
	d := &h.door
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.state != doorOpen:
		return refusedDraining
	case d.open >= h.cfg.MaxConns:
		return refusedFull
	case len(d.strangers) >= h.cfg.MaxUnidentified:
		return refusedStrangers
	}
	d.open++
	d.strangers[c] = struct{}{}
	d.readers.Add(1)
	return ""
}

// refuse closes a socket that was not let in.
func (h *Hub) refuse(c *Conn, why refusal) error {
	code, reason := int(websocket.StatusTryAgainLater), "node is full"
	if why == refusedDraining {
		code, reason = switchboard.CloseMoving, "node is draining"
	}
	c.out.ending = true
	c.out.code, c.out.reason = code, reason
	c.out.closed = make(chan struct{})
	if !h.refusers.add(c.close) {
		// So many are refused that saying why would be an attack on ourselves.
		c.abort()
	}
	return &switchboard.Error{Code: switchboard.CodeUnavailable, Message: reason, RetryAfter: time.Second}
}

// enter counts a socket to its organization, unless that has its fill.
func (d *door) enter(org switchboard.OrgID, most int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.orgs[org] >= most {
		return false
	}
	d.orgs[org]++
	return true
}

// exit counts a socket out of its organization.
func (d *door) exit(org switchboard.OrgID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.orgs[org]--; d.orgs[org] <= 0 {
		delete(d.orgs, org)
	}
}

// identifiedAs takes c out of the strangers.
func (d *door) identifiedAs(c *Conn) {
	d.mu.Lock()
	delete(d.strangers, c)
	d.mu.Unlock()
}

// leave counts c out; c's reader calls it last.
func (d *door) leave() {
	d.mu.Lock()
	d.open--
	d.signal()
	d.mu.Unlock()
	d.readers.Done()
}

// signal tells Drain that nobody is left. The lock is held.
func (d *door) signal() {
	if d.open > 0 || d.state == doorOpen {
		return
	}
	select {
	case <-d.gone:
	default:
		close(d.gone)
	}
}

// shut lets nobody in any more.
func (h *Hub) shut(state doorState) {
	d := &h.door
	d.mu.Lock()
	d.state = max(d.state, state)
	d.signal()
	d.mu.Unlock()
}
