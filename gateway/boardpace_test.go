package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

// F-3: whatever an operator's status does within boardEvery reaches a watcher as one
// frame, in which the last state stands; so the cost of a board grows with its
// watchers and not with changes. A second of changes, as fast as they go, through two
// nodes. Seen red with heard publishing at once (a frame for each change), with apply
// keeping the first state of an interval (the last was never shown), and with
// changed not cleared after a round (a frame each round, changes or not).
func TestChangesOfAnOperatorGoToWatchersOncePerInterval(t *testing.T) {
	cl := newDesk(t, 2)
	team := cl.team("Seven")
	op := cl.many(1, team)
	boss := cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0))
	socks := map[string]*peer{}
	for name, rest := range map[string]string{
		"all": `,"watch":["operators"]`, "team": fmt.Sprintf(`,"watch":["operators"],"team":%d`, team), "ids": fmt.Sprintf(`,"watch":["operators"],"operators":[%d]`, op),
	} {
		socks[name] = cl.hello(cl.nodes[len(socks)%2], boss, rest)
		socks[name].settledBoard()
	}
	from := map[string]int{}
	for name, p := range socks {
		from[name] = p.count()
	}
	began, changes := time.Now(), 0
	for ; time.Since(began) < time.Second; changes++ {
		if err := cl.choose(op, []string{"Meal", "Available"}[changes%2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.choose(op, "Break"); err != nil {
		t.Fatal(err)
	}
	rounds := int(time.Since(began)/boardEvery) + 2 // one is under way at the beginning, one is still to come
	only := func(v switchboard.OperatorView) bool { return v.ID == op }
	truth := cl.truth(only)
	for name, p := range socks {
		poll(t, name+" shows the last state", 15*time.Second, func() bool {
			got := p.screen()
			maps.DeleteFunc(got, func(id switchboard.OperatorID, _ string) bool { return id != op })
			return maps.Equal(got, truth)
		})
	}
	// Rounds later, after changes of somebody else, this operator is in no frame more.
	other := cl.many(1, team)
	for _, status := range []string{"Meal", "Break", "Meal", "Available"} {
		if err := cl.choose(other, status); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"all", "team"} {
			poll(t, name+" shows the other", 15*time.Second, func() bool { return strings.Contains(socks[name].screen()[other], status) })
		}
	}
	for name, p := range socks {
		frames := 0
		for _, m := range p.all()[from[name]:] {
			raw, err := json.Marshal(m["operators"])
			if err != nil {
				t.Fatal(err)
			}
			if m["t"] == "presence" && bytes.Contains(raw, fmt.Appendf(nil, `"id":%d,`, op)) {
				frames++
			}
		}
		t.Logf("%s: %d changes in %d frames", name, changes, frames)
		if frames > rounds || frames == 0 {
			t.Errorf("%s: %d changes came in %d frames; %d rounds were made at most", name, changes, frames, rounds)
		}
	}
	if changes < 4*rounds {
		t.Errorf("%d changes are too few to tell from %d rounds", changes, rounds)
	}
}
