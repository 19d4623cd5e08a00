package presence

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

// mixed makes what a node may hold when it dies, all that the steps of a leave tell
// apart: operators who take work or do not, with and without an edge on another node,
// of up to three teams with groups of skills, each in every kind of state; visitors
// with and without a chat; and two chats with several operators. It returns the people.
func (s *site) mixed(dies, other *Registry) (people []any) {
	s.t.Helper()
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", IdleMS: 1_800_000, WrapMS: 3_600_000, Routable: []string{"Mail"}}))
	for i, strategy := range []string{RoundRobin, LongestIdle, LeastLoaded} {
		s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: switchboard.TeamID(i + 1), Name: strategy, Strategy: strategy, Limit: 2}))
	}
	need := func(g int, skill string) map[string]any {
		return map[string]any{"g": g, "n": map[string]int{skill: 2}}
	}
	s.patchJSON("team", "1", "groups", map[string]any{"en": need(256, "lang:en"), "fr": need(257, "lang:fr")})
	s.patchJSON("team", "2", "groups", map[string]any{"en": need(258, "lang:en")})
	states := s.states(dies, other)
	for n := range len(states) * 4 {
		op, second := switchboard.OperatorID(n+1), n&2 != 0
		s.operators(n+1, 1, []switchboard.TeamID{1, 2, 3}[:(n/4+n)%4]...)
		s.must(s.reg.AddOperators(s.ctx, s.org, []NewOperator{{ID: op, Skills: map[string]int{[]string{"lang:en", "lang:fr"}[n/2%2]: 1 + n%3}}}))
		s.enter(dies, op)
		if second {
			s.enter(other, op)
		}
		if n&1 == 0 {
			s.status(op, switchboard.StatusAvailable)
		}
		states[n/4](op, second)
		people = append(people, fmt.Sprint("o", op))
	}
	for n := range 8 {
		person := switchboard.VisitorPerson(fmt.Sprint(n))
		for i, reg := range []*Registry{dies, other} {
			if i == 0 || n&2 != 0 {
				_, err := reg.Enter(s.ctx, s.org, person, 0)
				s.must(err)
			}
		}
		if n&1 == 0 {
			s.must(s.rdb.HSet(s.ctx, s.key("vis"), string(person), 100+n).Err())
		}
		people = append(people, string(person))
	}
	return append(people, s.chatsOf(dies)...)
}

// states are what an operator may be in when an edge ends.
func (s *site) states(dies, other *Registry) []func(op switchboard.OperatorID, second bool) {
	call := func(op switchboard.OperatorID) { s.must(s.reg.StartCall(s.ctx, s.org, op, "c", time.Hour)) }
	signOut := func(op switchboard.OperatorID, when string) {
		_, err := s.reg.SignOut(s.ctx, s.org, op, when)
		s.must(err)
	}
	return []func(op switchboard.OperatorID, second bool){
		func(switchboard.OperatorID, bool) {},
		func(op switchboard.OperatorID, _ bool) { signOut(op, SignOutNow) },
		func(op switchboard.OperatorID, _ bool) { s.idle(dies, op, true) },
		func(op switchboard.OperatorID, second bool) { // idle on each node
			s.idle(dies, op, true)
			if second {
				s.idle(other, op, true)
			}
		},
		func(op switchboard.OperatorID, second bool) { // uses the connection that dies
			if second {
				s.idle(other, op, true)
			}
		},
		func(op switchboard.OperatorID, _ bool) { call(op) },
		func(op switchboard.OperatorID, _ bool) { call(op); signOut(op, SignOutDrain) },
		func(op switchboard.OperatorID, _ bool) {
			call(op)
			s.chosen(op, StatusChange{Status: "Meal", When: WhenAfterWork, Source: SourceOperator})
		},
		func(op switchboard.OperatorID, _ bool) { s.call(op, "c")() }, // wrap-up
		func(op switchboard.OperatorID, _ bool) {
			s.must(s.reg.StartTask(s.ctx, s.org, op, Task{"m", 2}, time.Hour)) // full
		},
		func(op switchboard.OperatorID, _ bool) {
			s.chosen(op, StatusChange{Status: "Mail", For: time.Hour, Source: SourceOperator})
		},
	}
}

// chatsOf makes a chat that two operators are offered, and one that one holds and
// another has joined, as routing has them.
func (s *site) chatsOf(reg *Registry) (people []any) {
	s.t.Helper()
	now := time.Now().UnixMilli()
	chats := map[string]map[string]any{
		"7": {"id": 7, "state": "offered", "offers": map[string]any{"101": map[string]any{"k": 1}, "102": map[string]any{"k": 2}}, "score": 5, "group": 0, "visitor": "v0", "team": 0, "since": now},
		"9": {"id": 9, "state": "active", "op": 103, "opname": "Operator 103", "visitor": "v2", "team": 0, "since": now, "with": map[string]any{"104": map[string]any{"r": "join", "n": "Operator 104", "at": now}}},
	}
	for id, chat := range chats {
		raw, err := json.Marshal(chat)
		s.must(err)
		s.must(s.rdb.HSet(s.ctx, s.key("chat"), id, raw).Err())
	}
	s.operators(101, 4)
	for i, item := range []string{"offer:7", "offer:7", "chat:9", "join:9"} {
		op := switchboard.OperatorID(101 + i)
		s.enter(reg, op)
		s.status(op, switchboard.StatusAvailable)
		s.patch(op, "work", map[string]int{item: 1})
		people = append(people, fmt.Sprint("o", op))
	}
	s.settleEach(people)
	return people
}

// settleEach settles the operators among people.
func (s *site) settleEach(people []any) {
	s.t.Helper()
	args := []any{""}
	for _, person := range people {
		if op, ok := switchboard.PersonID(person.(string)).Operator(); ok {
			args = append(args, int64(op))
		}
	}
	_, err := s.reg.Call(s.ctx, s.org, scriptResettle, nil, args...)
	s.must(err)
}

// ends ends edges of a dead incarnation, so many people a call, and returns what came
// of it: the store, and what was told of each operator.
func (s *site) ends(dead string, grace time.Duration, people []any, step int) map[string]string {
	s.t.Helper()
	p, ear := s.reg.Partition(s.org), s.listen()
	_, err := s.reg.eval(s.ctx, scriptDead, s.reg.deadKeys(p, dead), dead, 1)
	s.must(err)
	var ended int64
	for some := range slices.Chunk(people, step) {
		reply, err := s.reg.call(s.ctx, s.org, scriptLeave, dead, nil, append([]any{dead, grace.Milliseconds()}, some...)...)
		s.must(err)
		ended += reply.Int(0)
	}
	image := s.image()
	delete(image, "sb::iq "+dead) // nobody reads there any more
	image["edges ended"] = fmt.Sprint(ended)
	for _, view := range ear.heard() {
		image[fmt.Sprint("told of ", view.ID)] += fmt.Sprintf(" %s/%s here %v v%d offers %d;", view.Status, view.Intent, view.Here, view.Version, view.Offers)
	}
	return image
}

// whereTheyAre checks by each person's link of before, in which the node that is dead
// came first, that they are here by another node, in grace with a deadline, or offline.
func (s *site) whereTheyAre(image map[string]string, people []any, before map[string]string, grace bool) {
	s.t.Helper()
	for _, who := range people {
		person := who.(string)
		_, link, _ := strings.Cut(before[person], ",")
		op, is := switchboard.PersonID(person).Operator()
		alarm := ""
		if link == "" && grace && !(is && s.operator(op).Out) {
			link, alarm = "-", `"now+60m"`
		}
		if l, a := image["sb::o:link "+person], image["sb::due grace/ORG/"+person]; l != link || a != alarm {
			s.t.Errorf("%s: link %q, grace %s; want %q and %s", person, l, a, link, alarm)
		}
	}
}

// A dead node's people end many a step, and what is written of them is written
// together: it must be what ending them one by one gives, also of those who are named
// twice; and who was not settled because nothing of them changes (leave.lua) would not
// change by it. A goodbye of all at once is the same with everybody offline, and what
// they held given back. Seen red with the write of the batch left out, or either half
// of it, with the links, the alarms or the SREM left out, with takes or heeds left out
// of the conditions, with rec.out left out, and with known never asked.
func TestLeaveOfManyAtOnceIsThatOfOneByOne(t *testing.T) {
	for _, grace := range []time.Duration{time.Hour, 0} {
		t.Run(fmt.Sprint("grace ", grace), func(t *testing.T) {
			s := newSite(t)
			two, dies, other := s.twin(), s.node(quick), s.node(quick)
			people := s.mixed(dies, other)
			two.mixed(dies, other)
			dead := dies.Incarnation()
			links, err := s.rdb.HGetAll(s.ctx, s.key("link")).Result()
			s.must(err)
			alike(t, "before", s.image(), two.image())
			rand.New(rand.NewPCG(6, 6)).Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
			twice := slices.Concat(people, people[:20])
			twice = slices.Insert(twice, 5, people[4])
			at, one := s.ends(dead, grace, twice, len(twice)), two.ends(dead, grace, twice, 1)
			alike(t, "at once, and one by one", at, one)
			if at["edges ended"] != fmt.Sprint(len(people)) {
				t.Errorf("%s edges of %d ended", at["edges ended"], len(people))
			}
			for key := range at {
				if strings.HasPrefix(key, "sb::own:"+dead+" ") {
					t.Errorf("left: %s", key)
				}
			}
			s.whereTheyAre(at, people, links, grace > 0)
			settled := s.image("rev")
			s.settleEach(people)
			alike(t, "as left, and settled", settled, s.image("rev"))
		})
	}
}
