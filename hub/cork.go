package hub

// A connection that is being opened is known to the hub before its client has
// been told who it is, so that nothing decided in between passes it by. Cork
// keeps what comes by Deliver and Publish behind what the opener sends itself.

// Cork keeps delivered objects back until Uncork; what Send queues goes out at
// once. They count against Config.QueueBytes: too many end the connection with
// 4008. Who opens a connection calls it before Identify. Corks add up: it takes as many
// Uncorks.
func (h *Hub) Cork(c *Conn) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.corks++
}

// Uncork, the last of them, lets go of what was kept back, in its order, behind what was
// sent so far. A connection that ended meanwhile has dropped it.
func (h *Hub) Uncork(c *Conn) {
	o, now, seen := &c.out, h.now(), 0
	o.mu.Lock()
	if o.corks--; o.corks > 0 {
		o.mu.Unlock()
		return
	}
	kept := o.corked
	o.corked = nil
	if !o.ending {
		for i := range kept {
			x := &kept[i]
			cost, why := c.cost(len(x.json)), drop("")
			o.heldUse -= cost
			if x.chat != 0 && o.heldBackLocked(x, cost, &why) {
				if why != "" {
					seen++
				}
				continue
			}
			c.appendLocked(x.json, cost, now)
		}
	}
	o.mu.Unlock()
	h.met.drop(dropSeen, seen)
}

// corkLocked keeps an object back when the connection is corked.
func (o *outbox) corkLocked(x *object, cost int) bool {
	if o.corks == 0 || x.direct {
		return false
	}
	o.corked = append(o.corked, *x)
	o.heldUse += cost
	return true
}
