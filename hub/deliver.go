package hub

import "github.com/switchboard/switchboard"

// Deliver queues one JSON object for every live connection of the persons. The
// bytes are shared by all of them: they must hold no newline and must not be
// changed afterwards. It never blocks. Two calls from one goroutine arrive in
// their order; a person named twice gets the object twice.
func (h *Hub) Deliver(org switchboard.OrgID, persons []switchboard.PersonID, class Class, obj []byte) {
	h.deliver(org, persons, &object{json: obj, class: class})
}

// DeliverMessage is Deliver of a chat's live message; seq is its number in the
// chat. It honours Hold and Release.
func (h *Hub) DeliverMessage(org switchboard.OrgID, persons []switchboard.PersonID, chat switchboard.ChatID, seq int64, obj []byte) {
	h.deliver(org, persons, &object{json: obj, class: ClassMessage, chat: chat, seq: seq})
}

func (h *Hub) deliver(org switchboard.OrgID, persons []switchboard.PersonID, x *object) {
	now := h.now()
	var slow []tooSlow
	for _, id := range persons {
		p := person{org, id}
		s := h.shardOf(p)
		s.mu.RLock()
		for c := s.people[p]; c != nil; c = c.member.next {
			if why := c.push(x, now); why != "" {
				slow = append(slow, tooSlow{c, why})
			}
		}
		s.mu.RUnlock()
	}
	endAll(slow)
}

// tooSlow is a connection that a fan-out found over its limits. It is ended
// after the fan-out's lock is released, because ending takes that lock.
type tooSlow struct {
	conn *Conn
	why  string
}

func endAll(slow []tooSlow) {
	for _, s := range slow {
		s.conn.endSlow(s.why)
	}
}

// Hold keeps live messages of a chat back from c until Release, so that the
// chat's history can be read and sent first. What is held back counts against
// Config.QueueBytes: too much of it ends the connection with 4008. Holds do not
// nest.
func (h *Hub) Hold(c *Conn, chat switchboard.ChatID) { c.hold(chat) }

// Release ends Hold: held messages with a seq above after are sent, in order
// and each once; live ones up to after, which the history had, are dropped from
// now on. Every Hold needs a Release, with 0 when the history could not be read.
func (h *Hub) Release(c *Conn, chat switchboard.ChatID, after int64) { c.release(chat, after) }
