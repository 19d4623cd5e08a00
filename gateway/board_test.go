package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// screen is what a page would show after all presence objects so far, by operator:
// full clears, entries replace, gone ones leave.
func (p *peer) screen() map[switchboard.OperatorID]string {
	out := map[switchboard.OperatorID]string{}
	for _, m := range p.all() {
		if m["t"] != "presence" {
			continue
		}
		if m["full"] == true {
			clear(out)
		}
		ops, _ := m["operators"].([]any)
		for _, o := range ops {
			v := o.(map[string]any)
			raw, err := json.Marshal(v) // maps are written in the order of their keys
			if err != nil {
				p.t.Fatal(err)
			}
			out[switchboard.OperatorID(v["id"].(float64))] = string(raw)
		}
		gone, _ := m["gone"].([]any)
		for _, id := range gone {
			delete(out, switchboard.OperatorID(id.(float64)))
		}
	}
	return out
}

// truth is the same as the store has it, of the operators that keep accepts.
func (cl *cluster) truth(keep func(switchboard.OperatorView) bool) map[switchboard.OperatorID]string {
	cl.t.Helper()
	views, _, err := cl.admin.Roster(cl.t.Context(), cl.org.ID)
	if err != nil {
		cl.t.Fatal(err)
	}
	out := map[switchboard.OperatorID]string{}
	for _, v := range views {
		if !keep(v) {
			continue
		}
		var m map[string]any
		if err := json.Unmarshal(mustJSON(v), &m); err != nil {
			cl.t.Fatal(err)
		}
		out[v.ID] = string(mustJSON(m))
	}
	return out
}

// team makes a team of the organization.
func (cl *cluster) team(name string) switchboard.TeamID {
	cl.t.Helper()
	id, err := cl.accounts.NextTeam(cl.t.Context())
	if err != nil {
		cl.t.Fatal(err)
	}
	if err := cl.admin.PutTeam(cl.t.Context(), cl.org.ID, presence.Team{ID: id, Name: name}); err != nil {
		cl.t.Fatal(err)
	}
	return id
}

// many makes n operators at once and returns the first id; the others follow.
func (cl *cluster) many(n int, teams ...switchboard.TeamID) switchboard.OperatorID {
	cl.t.Helper()
	first, err := cl.accounts.NextOperators(cl.t.Context(), n)
	if err != nil {
		cl.t.Fatal(err)
	}
	ops := make([]presence.NewOperator, n)
	for i := range ops {
		ops[i] = presence.NewOperator{ID: first + switchboard.OperatorID(i), Name: fmt.Sprintf("Operator with a name %d", i), Teams: teams}
	}
	if err := cl.admin.AddOperators(cl.t.Context(), cl.org.ID, ops); err != nil {
		cl.t.Fatal(err)
	}
	return first
}

// settledBoard waits until the last part of a snapshot has come.
func (p *peer) settledBoard() {
	p.t.Helper()
	p.until("the whole board", func(m map[string]any) bool { return m["t"] == "presence" && m["more"] == nil })
}

// F-4, F-1: a board of 5,000 operators comes within 2 s, in objects of at most 64 KB
// so that the queue's bound and a slow reader's write timeout are kept; after that
// only changes come, and only of what is on the screen.
func TestABoardOfFiveThousandOperatorsComesInPartsAndThenChangesOnly(t *testing.T) {
	cl := newDesk(t, 2)
	boss := cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0))
	const n = 5000
	first := cl.many(n)
	last := first + n - 1
	whole := cl.hello(cl.nodes[0], boss)
	cold := time.Now()
	whole.request(`{"t":"watch","watch":["operators"]}`)
	whole.settledBoard()
	t.Logf("%d operators: %v after the first watcher of the node asked", n, time.Since(cold).Round(time.Millisecond))
	warm, again := time.Now(), cl.hello(cl.nodes[0], boss, `,"watch":["operators"]`)
	again.settledBoard()
	took := time.Since(warm)
	t.Logf("%d operators: %v with hello, for the next one", n, took.Round(time.Millisecond))
	if took > 2*time.Second && full() || took > 10*time.Second { // 2 s on a machine that does nothing else
		t.Errorf("the snapshot took %v", took)
	}
	if got := len(again.screen()); got != n+1 {
		t.Errorf("%d operators are shown, want %d", got, n+1)
	}
	for _, m := range again.all() {
		if size := len(mustJSON(m)); size > 64<<10 {
			t.Errorf("an object of %d bytes", size)
		}
	}
	var ids []string
	for i := range 200 {
		ids = append(ids, fmt.Sprint(int(first)+10+i))
	}
	few := cl.hello(cl.nodes[1], boss)
	few.request(`{"t":"watch","watch":["operators"],"operators":[%s]}`, strings.Join(ids, ","))
	few.settledBoard()
	if got := len(few.screen()); got != 200 {
		t.Errorf("%d operators are on a screen of 200", got)
	}
	a, b := again.count(), few.count()
	for _, op := range []switchboard.OperatorID{first, first + 10, last} {
		if err := cl.choose(op, "Meal"); err != nil {
			t.Fatal(err)
		}
	}
	changed := func(from int, p *peer) (out []switchboard.OperatorID) {
		for _, m := range p.all()[from:] {
			ops, _ := m["operators"].([]any)
			for _, o := range ops {
				out = append(out, switchboard.OperatorID(o.(map[string]any)["id"].(float64)))
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	poll(t, "the changes", 15*time.Second, func() bool { return len(changed(a, again)) >= 3 && len(changed(b, few)) >= 1 })
	if got := changed(a, again); !slices.Equal(got, []switchboard.OperatorID{first, first + 10, last}) {
		t.Errorf("the whole board was told of %v", got)
	}
	if got := changed(b, few); !slices.Equal(got, []switchboard.OperatorID{first + 10}) {
		t.Errorf("the screen was told of %v", got)
	}
}

// F-1, F-2: a socket hears of the operators it watches and of no others: a team, a
// set of ids, all; who does not watch hears nothing. Who leaves the team or is
// deleted leaves the screen.
func TestWatchingIsOfWhatIsOnTheScreen(t *testing.T) {
	cl := newDesk(t, 2)
	seven, eight := cl.team("Seven"), cl.team("Eight")
	boss := cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0))
	a, b, c := cl.many(1, seven), cl.many(1, eight), cl.many(1, seven, eight)
	socks := map[string]*peer{}
	for name, rest := range map[string]string{
		"all": `,"watch":["operators"]`, "team": fmt.Sprintf(`,"watch":["operators"],"team":%d`, seven),
		"ids": fmt.Sprintf(`,"watch":["operators"],"operators":[%d,%d,999999]`, b, b), "none": `,"watch":["operators"],"operators":[]`,
	} {
		socks[name] = cl.hello(cl.nodes[0], boss, rest)
		socks[name].settledBoard()
	}
	plain, visitor := cl.hello(cl.nodes[0], boss), cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Bo"))
	quiet := []*peer{plain, visitor, socks["none"]}
	var from []int
	for _, p := range quiet {
		from = append(from, p.count())
	}
	shown := func(name string, want ...switchboard.OperatorID) {
		t.Helper()
		truth := cl.truth(func(v switchboard.OperatorView) bool { return slices.Contains(want, v.ID) })
		poll(t, name+" shows what it should", 15*time.Second, func() bool {
			got := socks[name].screen()
			if name == "all" {
				maps.DeleteFunc(got, func(id switchboard.OperatorID, _ string) bool { return id != a && id != b && id != c })
			}
			return maps.Equal(got, truth)
		})
	}
	shown("all", a, b, c)
	shown("team", a, c)
	shown("ids", b)
	for _, op := range []switchboard.OperatorID{a, b, c} {
		if err := cl.choose(op, "Meal"); err != nil {
			t.Fatal(err)
		}
	}
	shown("all", a, b, c)
	shown("team", a, c)
	shown("ids", b)
	move := func(op switchboard.OperatorID, to ...switchboard.TeamID) {
		t.Helper()
		if err := cl.admin.AddOperators(t.Context(), cl.org.ID, []presence.NewOperator{{ID: op, Teams: to}}); err != nil {
			t.Fatal(err)
		}
	}
	move(a, eight) // leaves the team, and comes back
	shown("team", c)
	move(a, seven)
	shown("team", a, c)
	if err := cl.admin.SetAccount(t.Context(), cl.org.ID, b, switchboard.AccountDeleted); err != nil {
		t.Fatal(err)
	}
	shown("ids")
	shown("all", a, c)
	// What is watched can be changed at any time.
	socks["ids"].request(`{"t":"watch","watch":["operators"],"operators":[%d]}`, c)
	shown("ids", c)
	for i, p := range quiet {
		for _, m := range p.all()[from[i]:] {
			if m["t"] != "ping" {
				t.Errorf("a socket that watches nobody was told %v", m)
			}
		}
	}
	for frame, field := range map[string]string{
		`{"t":"watch","watch":["everything"]}`:                                                 "watch",
		`{"t":"watch","watch":["queue"],"operators":[1]}`:                                      "operators",
		`{"t":"watch","watch":["operators"],"operators":[1],"team":7}`:                         "operators",
		`{"t":"watch","watch":["operators"],"team":-1}`:                                        "team",
		`{"t":"watch","watch":["operators"],"operators":[` + strings.Repeat("1,", 500) + `1]}`: "operators",
	} {
		refusal(t, frame, plain.request("%s", frame), switchboard.CodeInvalid, field)
	}
	refusal(t, "a visitor who watches operators", visitor.request(`{"t":"watch","watch":["operators"]}`), switchboard.CodeForbidden, "")
}

// F-2: there is no broadcast to everybody in the code base. Every loop over all
// sockets of a node is known here, with its reason.
func TestNothingIsSentToEverybody(t *testing.T) {
	known := map[string]string{
		"degraded.go": "the people of a partition whose store went or came", "resync.go": "collects who is here and sends nothing",
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "hub.Each(") && known[name] == "" {
			t.Errorf("%s goes through every socket of the node", name)
		}
		delete(known, name)
	}
	if len(known) > 0 {
		t.Errorf("no such files: %v", known)
	}
}

// P-14: after any sequence of changes, with sockets cut, subscriptions killed and
// broadcasts lost, every watcher's view equals the server's, whatever it watches and
// on whichever node: within 2 s, but for a lost broadcast that nothing follows, which
// a look at the numbers every 5 s finds; busyMachine comes on top. Seen red with Lost not
// wired in server.go, and with changes collected for 5 s instead of 250 ms (board.go).
func TestEveryWatchersViewEqualsTheServersAfterChangesAndDrops(t *testing.T) {
	cl := newDesk(t, 2)
	seven := cl.team("Seven")
	boss := cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 0))
	first := cl.many(30, seven)
	for i := range 30 {
		if i%3 == 0 {
			if err := cl.admin.AddOperators(t.Context(), cl.org.ID, []presence.NewOperator{{ID: first + switchboard.OperatorID(i), Teams: []switchboard.TeamID{}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	type watcher struct {
		node int
		rest string
		keep func(switchboard.OperatorView) bool
		p    *peer
	}
	var watchers []*watcher
	for node := range 2 {
		watchers = append(watchers,
			&watcher{node: node, rest: `,"watch":["operators"]`, keep: func(switchboard.OperatorView) bool { return true }},
			&watcher{node: node, rest: fmt.Sprintf(`,"watch":["operators"],"team":%d`, seven), keep: func(v switchboard.OperatorView) bool { return slices.Contains(v.Teams, seven) }},
			&watcher{node: node, rest: fmt.Sprintf(`,"watch":["operators"],"operators":[%d,%d]`, first, first+1), keep: func(v switchboard.OperatorView) bool { return v.ID == first || v.ID == first+1 }})
	}
	open := func(w *watcher) { w.p = cl.hello(cl.nodes[w.node], boss, w.rest) }
	for _, w := range watchers {
		open(w)
	}
	const within = 2 * time.Second                    // P-14
	const look = 5*time.Second + 500*time.Millisecond // at the numbers, and again: of what nothing shows
	agree := func(what string, within time.Duration) {
		t.Helper()
		began := time.Now()
		for i, w := range watchers {
			truth := cl.truth(w.keep)
			poll(t, fmt.Sprintf("%s: watcher %d agrees with the server", what, i), within+busyMachine, func() bool { return maps.Equal(w.p.screen(), truth) })
		}
		took := time.Since(began)
		t.Logf("%s: all agree after %v", what, took.Round(time.Millisecond))
		if took > within+busyMachine {
			t.Errorf("%s: all agree after %v, want %v", what, took, within)
		}
	}
	agree("at first", within)
	rdb, part := redistest.Client(t, redisOptions), cl.admin.Partition(cl.org.ID)
	renamed := 0
	lose := func(op switchboard.OperatorID) { // a change that is stored and numbered, and whose broadcast never arrives
		t.Helper()
		key, field := part.Key(cl.org.ID, "op"), fmt.Sprint(op)
		rec, err := rdb.HGet(t.Context(), key, field).Result()
		if err != nil {
			t.Fatal(err)
		}
		renamed++
		rec = regexp.MustCompile(`"name":"[^"]*"`).ReplaceAllString(rec, fmt.Sprintf(`"name":"Renamed %d"`, renamed))
		if err := errors.Join(rdb.HSet(t.Context(), key, field, rec).Err(), rdb.HIncrBy(t.Context(), part.Meta(), "ctr", 1).Err()); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for round := range 4 {
		for range 60 {
			op := first + switchboard.OperatorID(rnd.IntN(30))
			switch k := rnd.IntN(10); {
			case k < 5:
				if err := cl.choose(op, []string{"Available", "Break", "Meal"}[rnd.IntN(3)]); err != nil {
					t.Fatal(err)
				}
			case k < 7:
				teams := []switchboard.TeamID{}
				if rnd.IntN(2) == 0 {
					teams = append(teams, seven)
				}
				if err := cl.admin.AddOperators(t.Context(), cl.org.ID, []presence.NewOperator{{ID: op, Teams: teams}}); err != nil {
					t.Fatal(err)
				}
			case k < 9:
				w := watchers[rnd.IntN(len(watchers))]
				w.p.ws.CloseNow()
				open(w)
			default:
				lose(op)
			}
		}
		if round == 3 {
			if err := rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
			lose(first)
		} else if err := cl.choose(first+1, []string{"Available", "Break"}[round%2]); err != nil { // shows the hole
			t.Fatal(err)
		}
		if round == 3 { // a subscription is made anew, and the hole is behind it
			agree("round 3", look)
		} else {
			agree(fmt.Sprint("round ", round), within)
		}
		if round == 2 { // nothing follows that could show the hole
			lose(first)
			agree("a lost tail", look)
		}
	}
}
