package presence

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/switchboard/switchboard"
)

// memory returns what each key of the store takes, by the server's own count of
// all of its members.
func (s *site) memory() map[string]int64 {
	s.t.Helper()
	keys, err := s.rdb.Keys(s.ctx, "*").Result()
	s.must(err)
	out := map[string]int64{}
	for _, key := range keys {
		n, err := s.rdb.MemoryUsage(s.ctx, key, 0).Result()
		s.must(err)
		out[key] = n
	}
	return out
}

// ARCHITECTURE.md, "Presence costs nothing at rest": at most 700 B an operator
// and 200 B a visitor. Here, Available, one team, a name of 12 characters. The
// history is a log with a bound of its own; its entries have at most 100 B.
func TestMemoryOfPeopleAtRest(t *testing.T) {
	const n = 1000
	s := newSite(t)
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 5, Name: "Billing"}))
	grown := func(who string, bound int64, add func()) {
		t.Helper()
		before := s.memory()
		add()
		after, all := s.memory(), int64(0)
		for _, key := range slices.Sorted(maps.Keys(after)) {
			if grew := after[key] - before[key]; grew != 0 {
				t.Logf("%s: %s %+.1f B each", who, key, float64(grew)/n)
				if strings.HasSuffix(key, ":history") {
					if entries := s.rdb.XLen(s.ctx, key).Val(); grew > entries*100 {
						t.Errorf("%d entries of the history take %d B", entries, grew)
					}
					continue
				}
				all += grew
			}
		}
		t.Logf("%s: %.1f B each", who, float64(all)/n)
		if all > bound*n {
			t.Errorf("%s take %.1f B each, more than %d", who, float64(all)/n, bound)
		}
		if all < 40*n {
			t.Errorf("%s take %.1f B each: something was not counted", who, float64(all)/n)
		}
	}
	grown("operators", 700, func() {
		list := make([]NewOperator, n)
		for i := range list {
			list[i] = NewOperator{ID: switchboard.OperatorID(100_000 + i), Name: fmt.Sprintf("Agent %06d", i), Teams: []switchboard.TeamID{5}}
		}
		s.must(s.reg.AddOperators(s.ctx, s.org, list))
		for _, op := range list {
			s.online(op.ID)
		}
	})
	grown("visitors", 200, func() {
		for i := range n {
			_, err := s.reg.Enter(s.ctx, s.org, switchboard.VisitorPerson(fmt.Sprintf("%016d", i)), 0) // as long as a real id
			s.must(err)
		}
	})
	if due := s.due(); len(due) != 0 {
		t.Errorf("%d deadlines at rest", len(due))
	}
}
