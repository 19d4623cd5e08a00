package presence

import (
	"context"
	"strconv"

	"github.com/switchboard/switchboard"
)

// turn is who may write one person's edge of this node now.
type turn struct {
	slot  chan struct{} // capacity 1: whoever has put its token in has the turn
	users int           // those who have it or wait for it; under Registry.mu
}

// turn makes the edge writes of one person on this node follow one another: the
// end of the last socket and the start of a next must not overtake each other
// on their way to Redis. It waits for its turn or for ctx; no lock is held over
// the call that the turn is for.
func (r *Registry) turn(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID) (release func(), err error) {
	id := strconv.FormatInt(int64(org), 10) + "/" + string(person)
	r.mu.Lock()
	t := r.turns[id]
	if t == nil {
		t = &turn{slot: make(chan struct{}, 1)}
		r.turns[id] = t
	}
	t.users++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		if t.users--; t.users == 0 {
			delete(r.turns, id)
		}
		r.mu.Unlock()
	}
	select {
	case t.slot <- struct{}{}:
		return func() { <-t.slot; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
