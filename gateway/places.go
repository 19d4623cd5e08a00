package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/routing"
)

// Each node tells the visitors who wait at its own sockets where they stand: it
// reads, and only when a queue or who serves it has changed, so nothing is
// written and the cost grows with those who look.
const (
	placesEvery = 2 * time.Second
	placesBatch = 200        // chats a call
	placesCalls = 20         // calls an organization and round; the others come in the next
	waitStep    = 30 * 1_000 // ms; an estimate is no better than this
)

// places are the waiting chats of visitors who are connected here.
type places struct {
	hub    *hub.Hub
	router *routing.Router
	log    *slog.Logger

	mu      sync.Mutex
	waiting map[switchboard.OrgID]map[switchboard.ChatID]*standing
	changed map[switchboard.OrgID]struct{}
}

// standing is what one visitor was last told.
type standing struct {
	visitor     switchboard.PersonID
	team        switchboard.TeamID
	place, wait int64
	opens       int64 // the chat waits for its team to open
}

func newPlaces(h *hub.Hub, router *routing.Router, log *slog.Logger) *places {
	return &places{hub: h, router: router, log: log, waiting: map[switchboard.OrgID]map[switchboard.ChatID]*standing{},
		changed: map[switchboard.OrgID]struct{}{}}
}

// nudged learns of chats that begin or cease to wait.
func (p *places) nudged(n routing.Nudge) {
	if n.Class != 'k' || !n.Persons[0].Visitor() {
		return
	}
	var f switchboard.Chat
	if json.Unmarshal(n.Frame, &f) == nil && f.Chat > 0 {
		p.note(n.Org, n.Persons[0], f)
	}
}

func (p *places) note(org switchboard.OrgID, visitor switchboard.PersonID, f switchboard.Chat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.State != switchboard.ChatWaiting {
		delete(p.waiting[org], f.Chat)
		if len(p.waiting[org]) == 0 {
			delete(p.waiting, org)
		}
		return
	}
	if p.waiting[org] == nil {
		p.waiting[org] = map[switchboard.ChatID]*standing{}
	}
	st := &standing{visitor: visitor, team: f.Team, place: f.Place, wait: -1, opens: f.Opens}
	if f.Wait != nil {
		st.wait = *f.Wait
	}
	p.waiting[org][f.Chat] = st
	p.changed[org] = struct{}{}
}

// snapshot adds the estimate to a visitor's waiting chat, as ready tells it.
func (p *places) snapshot(ctx context.Context, org switchboard.OrgID, snap *routing.Snapshot) {
	for i, c := range snap.Chats {
		if c.State != switchboard.ChatWaiting {
			continue
		}
		list, err := p.router.Places(ctx, org, c.Team, []switchboard.ChatID{c.ID})
		if err != nil || len(list) != 1 || list[0].Place == 0 {
			continue // the next round tells
		}
		wait := rounded(list[0].Wait)
		snap.Chats[i].Place, snap.Chats[i].Wait = list[0].Place, &wait
		p.note(org, c.Visitor, chatFrame(snap.Chats[i], false))
	}
}

// heard notes that a queue, or who serves it, has changed.
func (p *places) heard(e routing.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[e.Org] != nil {
		p.changed[e.Org] = struct{}{}
	}
}

func (p *places) run(ctx context.Context) {
	tick := time.NewTicker(placesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		orgs := p.changed
		p.changed = map[switchboard.OrgID]struct{}{}
		p.mu.Unlock()
		for org := range orgs {
			p.tell(ctx, org)
		}
	}
}

// tell reads where the waiting chats of an organization stand and tells those
// for whom it has changed.
func (p *places) tell(ctx context.Context, org switchboard.OrgID) {
	byTeam := map[switchboard.TeamID][]switchboard.ChatID{}
	p.mu.Lock()
	for chat, st := range p.waiting[org] {
		byTeam[st.team] = append(byTeam[st.team], chat)
	}
	p.mu.Unlock()
	calls := 0
	for team, chats := range byTeam {
		for part := range slices.Chunk(chats, placesBatch) {
			if calls++; calls > placesCalls {
				p.again(org)
				return
			}
			call, cancel := context.WithTimeout(ctx, callWithin)
			list, err := p.router.Places(call, org, team, part)
			cancel()
			if err != nil {
				p.log.Debug("places are told later", "org", org, "err", err)
				p.again(org)
				return
			}
			for i, at := range list {
				p.tellOne(org, team, part[i], at)
			}
		}
	}
}

func (p *places) again(org switchboard.OrgID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed[org] = struct{}{}
}

func (p *places) tellOne(org switchboard.OrgID, team switchboard.TeamID, chat switchboard.ChatID, at routing.Place) {
	wait := rounded(at.Wait)
	p.mu.Lock()
	st := p.waiting[org][chat]
	if st == nil || st.team != team || (at.Place == st.place && wait == st.wait) {
		p.mu.Unlock()
		return
	}
	visitor, opens := st.visitor, st.opens
	conns := p.hub.Conns(org, visitor)
	if at.Place == 0 || len(conns) == 0 {
		// It is a chat of nobody here, or waits no more: whoever comes back brings it again.
		delete(p.waiting[org], chat)
		p.mu.Unlock()
		return
	}
	st.place, st.wait = at.Place, wait
	p.mu.Unlock()
	frame := mustJSON(switchboard.Chat{T: switchboard.KindChat, Chat: chat, State: switchboard.ChatWaiting, Team: team, Place: at.Place, Opens: opens, Wait: &wait})
	for _, c := range conns {
		c.Send(hub.ClassEvent, frame)
	}
}

// rounded is an estimate as people are told it: never less than one step.
func rounded(ms int64) int64 {
	if ms < 0 {
		return -1
	}
	return (ms/waitStep + 1) * waitStep
}

// waitingRow is one chat of the queue as operators see it.
type waitingRow struct {
	Chat     switchboard.ChatID   `json:"chat"`
	Team     switchboard.TeamID   `json:"team"`
	Place    int64                `json:"place"`
	Waited   int64                `json:"waited_ms"`
	Priority int                  `json:"priority,omitempty"`
	Visitor  *switchboard.Visitor `json:"visitor"`
	Skills   map[string]int       `json:"skills,omitempty"` // that it requires at first
}

// getQueue lists who waits in a team, next first: GET /v1/queue?team=<id>&n=<1..200>,
// for its operators and for supervisors.
func (s *Server) getQueue(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.operatorOf(r)
	if err != nil {
		return err
	}
	team, n := int64(0), 50
	if q := r.URL.Query().Get("team"); q != "" {
		if team, err = strconv.ParseInt(q, 10, 64); err != nil || team < 0 {
			return switchboard.Invalid("team", "0 or a team's id")
		}
	}
	if q := r.URL.Query().Get("n"); q != "" {
		if n, err = strconv.Atoi(q); err != nil || n < 1 || n > 200 {
			return switchboard.Invalid("n", "1 to 200")
		}
	}
	if team != 0 && !claims.Role.Supervises() {
		op, err := s.reg.Operator(r.Context(), claims.Org, claims.Operator)
		if err != nil {
			return err
		}
		if !slices.Contains(op.Teams, switchboard.TeamID(team)) {
			return &switchboard.Error{Code: switchboard.CodeForbidden, Field: "team", Message: "you are not in this team"}
		}
	}
	list, err := s.router.Queue(r.Context(), claims.Org, switchboard.TeamID(team), n)
	if err != nil {
		return err
	}
	rows := make([]waitingRow, len(list))
	for i, c := range list {
		rows[i] = waitingRow{Chat: c.ID, Team: c.Team, Place: c.Place, Waited: c.Waited, Priority: c.Priority, Visitor: visitorOf(c)}
		if len(c.Steps) > 0 {
			rows[i].Skills = c.Steps[0].Need
		}
	}
	s.writeJSON(w, http.StatusOK, rows)
	return nil
}
