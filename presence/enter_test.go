package presence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// rev is the revision of operator 1.
func (s *site) rev() int64 {
	s.t.Helper()
	var rec struct {
		Rev int64 `json:"rev"`
	}
	raw, err := s.rdb.HGet(s.ctx, s.key("op"), "1").Result()
	s.must(err)
	s.must(json.Unmarshal([]byte(raw), &rec))
	return rec.Rev
}

// comes lets operator 1 enter by a node. It returns all that came of it, the answer
// among it, and by how much the record's revision has moved.
func (s *site) comes(by *Registry, idle bool) (image map[string]string, moved int64) {
	s.t.Helper()
	was, token, ear := s.rev(), s.token(1), s.listen()
	e, err := by.EnterIdle(s.ctx, s.org, "o1", token, idle)
	s.must(err)
	image = s.image("rev")
	gen, err := s.rdb.HGet(s.ctx, s.reg.Partition(s.org).Meta(), "gen").Result()
	s.must(err)
	im := &imager{org: fmt.Sprint(s.org), gen: gen, now: float64(e.Now), without: []string{"rev"}}
	image["answer"] = fmt.Sprintf("%s, back %v, holds %v, orders %v, idle after %d", im.text(e.Record), e.Back, e.Holds, e.Orders, e.IdleMS)
	for i, view := range ear.heard() {
		raw, err := json.Marshal(view)
		s.must(err)
		image[fmt.Sprint("told ", i)] = im.text(string(raw))
	}
	return image, s.rev() - was
}

// An operator who is here by one node enters by another. Nothing of them changes by
// that, so the record is not written (enter.lua, same); whoever is changed by it, as
// each row of the second part, is settled. What is right is what the settle gives: in
// a twin the record has another generation, which is settled always, and answer, store
// and broadcasts must be the same there. Seen red with each condition of same left out, with
// rec.idle or AWAY left out of heeds, with same never true, with setLink or the SADD
// left out where it holds, and with back '1' for everybody.
func TestEnterByAFurtherNodeWritesNoRecordAndIsAsIfItDid(t *testing.T) {
	here := func(s *site) { s.online(1) }
	with := func(more func(s *site)) func(s *site) { return func(s *site) { here(s); more(s) } }
	inCall := func(s *site) { s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", time.Hour)) }
	asleep := func(s *site) { s.idleAfter(30 * time.Minute); s.idle(s.reg, 1, true) }
	for _, tc := range []struct {
		what  string
		given func(s *site)
		moves int64
		shows string
		idle  bool
	}{
		{"Available", here, 0, "Available", false},
		{"Unavailable", func(s *site) { s.enter(s.reg, 1) }, 0, "Unavailable", false},
		{"of a team with skills", with(func(s *site) { s.skills() }), 0, "Available", false},
		{"in a call", with(inCall), 0, "In-call", false},
		{"with outside work", with(func(s *site) { s.must(s.reg.StartTask(s.ctx, s.org, 1, Task{"m", 3}, time.Hour)) }), 0, "Available", false},
		{"in wrap-up", with(func(s *site) { s.wrapUp(); s.call(1, "c")() }), 0, "Wrap-up", false},
		{"on a break for a time", with(func(s *site) { s.chosen(1, StatusChange{Status: "Break", For: time.Hour, Source: SourceOperator}) }), 0, "Break", false},
		{"leaving", with(func(s *site) {
			inCall(s)
			_, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutDrain)
			s.must(err)
		}), 0, "In-call", false},
		{"with orders to be checked against", with(func(s *site) { s.must(s.rdb.HSet(s.ctx, s.key("order"), "open", "7", "late", "8").Err()) }), 0, "Available", false},

		{"idle, Available", with(func(s *site) { s.idle(s.reg, 1, true) }), 1, "Available", false},
		{"idle, Away", with(asleep), 1, "Available", false},
		{"Away, when a return was one change too many", with(func(s *site) { asleep(s); s.patch(1, "idle", nil) }), 1, "Available", false},
		{"comes idle", here, 1, "Available", true},
		{"signed out, with the socket still there", with(func(s *site) {
			_, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutNow)
			s.must(err)
		}), 1, "Available", false},
		{"lost, as routing says", with(func(s *site) { s.patch(1, "lost", time.Now().UnixMilli()) }), 1, "Available", false},
		{"in grace", with(func(s *site) { s.leave(s.reg, 1, time.Hour) }), 1, "Available", false},
		{"offline", with(func(s *site) { s.leave(s.reg, 1, 0) }), 1, "Available", false},
		{"of another generation", with(func(s *site) { s.must(s.rdb.HIncrBy(s.ctx, s.reg.Partition(s.org).Meta(), "gen", 1).Err()) }), 1, "Available", false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			s := newSite(t)
			two, by := s.twin(), s.node(quick)
			for _, s := range []*site{s, two} {
				s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 1, Name: "One"}))
				s.operators(1, 1, 1)
				tc.given(s)
			}
			two.patch(1, "g", 1)
			got, moved := s.comes(by, tc.idle)
			want, settled := two.comes(by, tc.idle)
			alike(t, "by the short way, and settled", got, want)
			if moved != tc.moves || settled != 1 {
				t.Errorf("the revision moved by %d, want %d; where it is settled by %d", moved, tc.moves, settled)
			}
			if back := strings.Contains(got["answer"], "back true"); back != (tc.what == "offline") {
				t.Errorf("answered %s", got["answer"])
			}
			s.shows(1, tc.shows)
			own, err := s.rdb.SIsMember(s.ctx, s.reg.Partition(s.org).Own(by.Incarnation()), fmt.Sprintf("%d/o1", s.org)).Result()
			s.must(err)
			if nodes := strings.Split(s.link("o1"), ","); !own || !slices.Contains(nodes, by.Incarnation()) || tc.moves == 0 && len(nodes) != 2 {
				t.Errorf("link %v, in the index %v", nodes, own)
			}
		})
	}
}

func (s *site) wrapUp() {
	s.t.Helper()
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", WrapMS: 3_600_000, IdleMS: 1_800_000}))
}

// skills gives team 1 two groups of skills, as routing makes them (routing/scripts/chats.lua),
// and operator 1 what the first requires.
func (s *site) skills() {
	s.t.Helper()
	s.patchJSON("team", "1", "groups", map[string]any{
		"en": map[string]any{"g": 256, "n": map[string]int{"lang:en": 2}}, "fr": map[string]any{"g": 257, "n": map[string]int{"lang:fr": 1}}})
	s.must(s.reg.AddOperators(s.ctx, s.org, []NewOperator{{ID: 1, Skills: map[string]int{"lang:en": 3}}}))
}
