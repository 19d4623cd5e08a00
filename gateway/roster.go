package gateway

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/routing"
)

// roster is the copy of one organization. Until it is loaded, changes are kept
// and applied after it by their numbers. board.mu guards it.
type roster struct {
	loaded, loading bool
	stale           bool // what is being loaded was outdated meanwhile
	views           map[switchboard.OperatorID]view
	changed         map[switchboard.OperatorID][]switchboard.TeamID // and the teams that were told last
	early           []routing.Event
	waiting         int64
	queue           bool // waiting has changed
	viewers         map[*hub.Conn]*viewer

	order []switchboard.OperatorID // of views, ascending; nil: to be made anew
	pages [][]byte                 // frames of the whole, pageSize operators each; nil: to be made anew

	open map[switchboard.TeamID]int  // operators who take chats; 0: of all teams
	told map[switchboard.TeamID]bool // what availability was told last, of teams that somebody watched
}

// view is one operator's public state.
type view struct {
	json  json.RawMessage
	teams []switchboard.TeamID
	takes bool // is here and takes chats
}

// seen is the part of an operator's public state that the board looks at itself.
type seen struct {
	ID      switchboard.OperatorID `json:"id"`
	Account switchboard.Account    `json:"account"`
	Teams   []switchboard.TeamID   `json:"teams"`
	Takes   bool                   `json:"takes"`
}

// viewer is one socket that watches: what, and how far its snapshot has come.
type viewer struct {
	scope  scope
	wants  bool                   // a snapshot is due, from the beginning
	served bool                   // one is being sent
	next   switchboard.OperatorID // the first that it has not had
}

// pageSize is how many operators one frame carries: some 25 KB, so that a slow
// reader gets it within the write timeout and the queue's bound is kept.
const pageSize = 100

func newRoster() *roster {
	return &roster{views: map[switchboard.OperatorID]view{}, changed: map[switchboard.OperatorID][]switchboard.TeamID{},
		viewers: map[*hub.Conn]*viewer{}, open: map[switchboard.TeamID]int{}, told: map[switchboard.TeamID]bool{}}
}

// fill replaces everything by what was read.
func (r *roster) fill(views []switchboard.OperatorView, waiting int64) {
	r.views = make(map[switchboard.OperatorID]view, len(views))
	r.order, r.pages = nil, nil
	clear(r.open)
	for _, v := range views {
		r.put(seen{v.ID, v.Account, v.Teams, v.Takes}, mustJSON(v))
	}
	r.waiting, r.queue = waiting, true
}

func (r *roster) apply(e routing.Event) {
	switch e.Topic {
	case topicOperators:
		var v seen
		if json.Unmarshal(e.Body, &v) != nil || v.ID <= 0 {
			return
		}
		if _, known := r.changed[v.ID]; !known {
			r.changed[v.ID] = r.views[v.ID].teams
		}
		r.put(v, e.Body)
	case topicQueue:
		var v struct {
			Waiting int64 `json:"waiting"`
		}
		if json.Unmarshal(e.Body, &v) == nil {
			r.waiting, r.queue = v.Waiting, true
		}
	}
}

// put replaces one operator's state; a deleted one leaves the board.
func (r *roster) put(v seen, body []byte) {
	old, known := r.views[v.ID]
	r.count(old, -1)
	gone := v.Account == switchboard.AccountDeleted
	if gone {
		delete(r.views, v.ID)
	} else {
		now := view{body, v.Teams, v.Takes}
		r.views[v.ID] = now
		r.count(now, 1)
	}
	if r.order == nil {
		return
	}
	if known == gone { // comes or goes: the pages are divided anew
		r.order, r.pages = nil, nil
	} else if i, ok := slices.BinarySearch(r.order, v.ID); ok && r.pages != nil {
		r.pages[i/pageSize] = nil
	}
}

func (r *roster) count(v view, n int) {
	if !v.takes {
		return
	}
	r.open[0] += n
	for _, t := range v.teams {
		if t != 0 {
			r.open[t] += n
		}
	}
}

// sorted returns the ids of all operators, ascending.
func (r *roster) sorted() []switchboard.OperatorID {
	if r.order == nil {
		r.order = make([]switchboard.OperatorID, 0, len(r.views))
		for id := range r.views {
			r.order = append(r.order, id)
		}
		slices.Sort(r.order)
		r.pages = make([][]byte, (len(r.order)+pageSize-1)/pageSize)
	}
	return r.order
}

// page returns the next frame of a viewer's snapshot, nil when it watches no
// operators, and whether there is more. age is how old it is while the store is away.
func (r *roster) page(v *viewer, age time.Duration) (frame []byte, more bool) {
	sc := v.scope
	if !sc.operators {
		return nil, false
	}
	f := presenceFrame{T: switchboard.KindPresence, Full: v.next == 0, AgeMS: age.Milliseconds(), Operators: []json.RawMessage{}}
	ids := sc.ids
	if ids == nil {
		ids = r.sorted()
	}
	i, _ := slices.BinarySearch(ids, v.next)
	whole := sc.ids == nil && sc.team == 0 && age == 0 && i%pageSize == 0 && (v.next == 0) == (i == 0) && i < len(ids)
	if whole && r.pages[i/pageSize] != nil {
		end := min(i+pageSize, len(ids))
		v.next = ids[end-1] + 1
		return r.pages[i/pageSize], end < len(ids)
	}
	first := i
	for ; i < len(ids) && len(f.Operators) < pageSize; i++ {
		if o, ok := r.views[ids[i]]; ok && (sc.team == 0 || slices.Contains(o.teams, sc.team)) {
			f.Operators = append(f.Operators, o.json)
		}
	}
	if f.More = i < len(ids); f.More {
		v.next = ids[i]
	}
	frame = mustJSON(f)
	if whole {
		r.pages[first/pageSize] = frame
	}
	return frame, f.More
}

type presenceFrame struct {
	T         switchboard.Kind         `json:"t"`
	Full      bool                     `json:"full,omitempty"`
	More      bool                     `json:"more,omitempty"`
	AgeMS     int64                    `json:"age_ms,omitempty"`
	Operators []json.RawMessage        `json:"operators"`
	Gone      []switchboard.OperatorID `json:"gone,omitempty"`
}

type queueFrame struct {
	T       switchboard.Kind `json:"t"`
	Waiting int64            `json:"waiting"`
}

type availabilityFrame struct {
	T    switchboard.Kind   `json:"t"`
	Team switchboard.TeamID `json:"team"`
	Open bool               `json:"open"`
}

// rest sends what a snapshot says beside operators.
func (r *roster) rest(c *hub.Conn, sc scope) {
	if sc.queue {
		c.Send(hub.ClassPresence, mustJSON(queueFrame{switchboard.KindQueue, r.waiting}))
	}
	if sc.available {
		r.told[sc.team] = r.open[sc.team] > 0
		c.Send(hub.ClassPresence, mustJSON(availabilityFrame{switchboard.KindAvailability, sc.team, r.open[sc.team] > 0}))
	}
}

// publish tells watchers what has changed since the last round.
func (r *roster) publish(h *hub.Hub, org switchboard.OrgID) {
	if r.queue {
		h.Publish(org, topicQueue, hub.ClassPresence, mustJSON(queueFrame{switchboard.KindQueue, r.waiting}))
		r.queue = false
	}
	for t, open := range r.told {
		switch now := r.open[t] > 0; {
		case !h.Watched(org, availabilityOf(t)):
			delete(r.told, t)
		case now != open:
			r.told[t] = now
			h.Publish(org, availabilityOf(t), hub.ClassPresence, mustJSON(availabilityFrame{switchboard.KindAvailability, t, now}))
		}
	}
	if len(r.changed) == 0 {
		return
	}
	all := map[string]*presenceFrame{} // by topic
	add := func(topic string, id switchboard.OperatorID, v view, there bool) {
		f := all[topic]
		if f == nil {
			if !h.Watched(org, topic) {
				return
			}
			f = &presenceFrame{T: switchboard.KindPresence, Operators: []json.RawMessage{}}
			all[topic] = f
		}
		if there {
			f.Operators = append(f.Operators, v.json)
		} else {
			f.Gone = append(f.Gone, id)
		}
		if len(f.Operators)+len(f.Gone) == pageSize {
			h.Publish(org, topic, hub.ClassPresence, mustJSON(f))
			delete(all, topic)
		}
	}
	for id, before := range r.changed {
		v, there := r.views[id]
		add(topicOperators, id, v, there)
		add(operatorTopic(id), id, v, there)
		for _, t := range v.teams {
			add(teamTopic(t), id, v, true)
		}
		for _, t := range before {
			if !slices.Contains(v.teams, t) {
				add(teamTopic(t), id, v, false)
			}
		}
	}
	clear(r.changed)
	for topic, f := range all {
		h.Publish(org, topic, hub.ClassPresence, mustJSON(f))
	}
}
