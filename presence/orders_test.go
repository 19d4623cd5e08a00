package presence

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// order writes an order and works on it until nothing is to do here.
func (s *site) order(spec OrderSpec) Order {
	s.t.Helper()
	spec.By = "test"
	s.must(s.reg.NewOrder(s.ctx, s.org, spec))
	for {
		todo, _, err := s.reg.WorkOrder(s.ctx, s.org, spec.ID, 100)
		s.must(err)
		if todo == 0 {
			return s.progress(spec.ID)
		}
	}
}

func (s *site) progress(id switchboard.OrderID) Order {
	s.t.Helper()
	o, err := s.reg.Order(s.ctx, s.org, id)
	s.must(err)
	return o
}

// counts checks the figures of an order, and that they add up to its outcomes.
func (s *site) counts(id switchboard.OrderID, out, leaving, offline int64) {
	s.t.Helper()
	o := s.progress(id)
	if o.Out != out || o.Leaving != leaving || o.Offline != offline {
		s.t.Errorf("order %d: out %d, leaving %d, offline %d; want %d, %d, %d", id, o.Out, o.Leaving, o.Offline, out, leaving, offline)
	}
	outcomes, err := s.reg.Outcomes(s.ctx, s.org, id)
	s.must(err)
	got := map[string]int64{}
	for _, row := range outcomes {
		got[row.Outcome]++
	}
	if got["out"] != out || got["leaving"] != leaving || got["offline"] != offline || o.Total() != int64(len(outcomes))+o.Todo {
		s.t.Errorf("order %d: outcomes %v, total %d, to do %d", id, got, o.Total(), o.Todo)
	}
}

// outcome returns what an order did to an operator, "" for nothing.
func (s *site) outcome(id switchboard.OrderID, op switchboard.OperatorID) string {
	s.t.Helper()
	outcomes, err := s.reg.Outcomes(s.ctx, s.org, id)
	s.must(err)
	for _, row := range outcomes {
		if row.Operator == op {
			return row.Outcome
		}
	}
	return ""
}

// scanned is a node's look through its addresses, which finds these inside.
func (s *site) scanned(reg *Registry, id switchboard.OrderID, done bool, inside ...switchboard.OperatorID) {
	s.t.Helper()
	o, err := reg.OpenOrder(s.ctx, s.org, id)
	s.must(err)
	var found []Found
	for _, op := range inside {
		found = append(found, Found{op, Inside, "192.0.2.1 peer"})
	}
	s.must(reg.OrderFound(s.ctx, s.org, o, found, done))
}

func (s *site) call(op switchboard.OperatorID, id string) (end func()) {
	s.t.Helper()
	s.must(s.reg.StartCall(s.ctx, s.org, op, id, CallLease))
	return func() { // also from other goroutines
		if err := s.reg.EndCall(s.ctx, s.org, op, id); err != nil {
			s.t.Error(err)
		}
	}
}

func TestOrderMeansTheUnionOfItsSelectors(t *testing.T) {
	s := newSite(t)
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 5, Name: "Billing"}))
	s.operators(1, 1)    // named
	s.operators(2, 3, 5) // of the team: 2 and 3 are here, 4 is not
	s.operators(5, 2)    // 5 is found by address, 6 stays
	for _, op := range []switchboard.OperatorID{1, 2, 3, 5, 6} {
		s.online(op)
	}
	other := s.node(quick)
	s.enter(other, 6) // so that the other node is on the live list
	s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1, 1, 2, 99}, Teams: []switchboard.TeamID{5, 77}, Networks: []string{"10.0.0.0/8"}}))
	if o := s.progress(1); o.State() != "created" || o.Awaited != 2 || o.Todo != 3 {
		t.Errorf("at first: %s, %+v", o.State(), o)
	}
	_, _, err := s.reg.WorkOrder(s.ctx, s.org, 1, 100)
	s.must(err)
	if o := s.progress(1); o.State() != "processing" {
		t.Errorf("while nodes look for addresses: %s", o.State())
	}
	s.scanned(s.reg, 1, true, 5, 1) // 1 was met already
	s.scanned(other, 1, true)
	_, _, err = s.reg.WorkOrder(s.ctx, s.org, 1, 100)
	s.must(err)
	if o := s.progress(1); o.State() != "completed" {
		t.Errorf("at last: %s, %+v", o.State(), o)
	}
	s.counts(1, 4, 0, 0)
	for op, want := range map[switchboard.OperatorID]bool{1: true, 2: true, 3: true, 4: false, 5: true, 6: false} {
		if got := s.operator(op).Out; got != want {
			t.Errorf("operator %d out: %v, want %v", op, got, want)
		}
	}
	if due := s.due(); len(due) != 0 {
		t.Errorf("deadlines left: %v", due)
	}
}

// L-1, L-3: idle people are out in the order's own step; one with work is
// leaving, gets no more, and is out in the step that ends the last of it.
func TestOrderLetsWorkEnd(t *testing.T) {
	s := newSite(t)
	s.operators(1, 2)
	s.online(1)
	s.online(2)
	endA, endB := s.call(2, "a"), s.call(2, "b")
	o := s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1, 2}, Reason: "End of shift"})
	if o.State() != "completed" {
		t.Errorf("state %s", o.State())
	}
	s.counts(1, 1, 1, 0)
	s.shows(1, switchboard.StatusOffline)
	s.shows(2, switchboard.StatusInCall)
	if op := s.operator(2); op.Out || op.Leaving == nil || op.Leaving.Reason != "End of shift" || !slices.Equal(op.Leaving.Orders, []switchboard.OrderID{1}) {
		t.Errorf("the busy one: %+v", op)
	}
	s.wants("a new call", s.reg.StartCall(s.ctx, s.org, 2, "c", CallLease), switchboard.CodeLeaving)
	s.status(2, switchboard.StatusAvailable)
	endA()
	if op := s.operator(2); op.Out || s.free(0, 2) {
		t.Errorf("with one call left: out %v, routable %v", op.Out, s.free(0, 2))
	}
	endB()
	if op := s.operator(2); !op.Out || op.Leaving != nil || op.Floor == 0 || op.Status != switchboard.StatusOffline {
		t.Errorf("after the last call: %+v", op)
	}
	s.counts(1, 2, 0, 0)
}

// A wrap-up is no work that keeps anyone in, nor does the end of work under a
// waiting logout begin one.
func TestOrderKnowsNoWrapUp(t *testing.T) {
	s := newSite(t)
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", WrapMS: 3_600_000}))
	s.operators(1, 2)
	s.online(1)
	s.online(2)
	s.call(1, "a")()
	end := s.call(2, "b")
	s.shows(1, switchboard.StatusWrapUp)
	s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1, 2}})
	end()
	for op := switchboard.OperatorID(1); op <= 2; op++ {
		if rec := s.operator(op); !rec.Out || rec.Wrapping() {
			t.Errorf("operator %d: %+v", op, rec)
		}
	}
	s.counts(1, 2, 0, 0)
	if due := s.due(); len(due) != 0 {
		t.Errorf("deadlines left: %v", due)
	}
}

func TestOrderRepeatedChangesNothing(t *testing.T) {
	s := newSite(t)
	s.operators(1, 3)
	s.online(1)
	s.online(2)
	end := s.call(2, "a")
	spec := OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1, 2, 3}}
	s.order(spec)
	s.counts(1, 1, 1, 1)
	s.enter(s.reg, 1) // signed in anew, behind the order
	was := s.operator(1)
	s.order(spec)
	s.counts(1, 1, 1, 1)
	if now := s.operator(1); now.Out || now.Floor != was.Floor {
		t.Errorf("a repeat signed out who came after the order: %+v", now)
	}
	end()
	s.order(spec)
	s.counts(1, 2, 0, 1)
}

func TestOrdersOverTheSamePersonEachGetTheirOutcome(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	end := s.call(1, "a")
	spec := []switchboard.OperatorID{1}
	s.order(OrderSpec{ID: 1, Operators: spec})
	s.order(OrderSpec{ID: 2, Operators: spec, Reason: "the second"})
	s.counts(1, 0, 1, 0)
	s.counts(2, 0, 1, 0)
	if _, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutDrain); err != nil { // and by own wish
		t.Error(err)
	}
	end()
	s.counts(1, 1, 0, 0)
	s.counts(2, 1, 0, 0)
	s.order(OrderSpec{ID: 3, Operators: spec})
	s.counts(3, 0, 0, 1)
}

// The account is deleted while a logout waits: the order's figures follow.
func TestOrderCountsADeletedOperatorAsOut(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	s.call(1, "a")
	s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1}})
	s.counts(1, 0, 1, 0)
	s.must(s.reg.SetAccount(s.ctx, s.org, 1, switchboard.AccountDeleted))
	s.counts(1, 1, 0, 0)
	was := s.operator(1)
	s.must(s.reg.SetAccount(s.ctx, s.org, 1, switchboard.AccountDeleted))
	if now := s.operator(1); now.Floor != was.Floor || now.Version != was.Version {
		t.Errorf("deleting twice: was %+v, is %+v", was, now)
	}
}

func TestOrderRaisesTheFloorOfNamedPeopleWhoAreOffline(t *testing.T) {
	s := newSite(t)
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 5, Name: "Billing"}))
	s.operators(1, 2, 5)
	old := s.token(1)
	s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1}, Teams: []switchboard.TeamID{5}})
	s.counts(1, 0, 0, 1) // 2 is of the team and not here: not meant
	_, err := s.reg.Enter(s.ctx, s.org, "o1", old)
	s.wants("the token of before", err, switchboard.CodeLoggedOut)
	s.enter(s.reg, 1)
	if s.outcome(1, 2) != "" {
		t.Error("an absent team member was signed out")
	}
}

// The first worker stops right behind NewOrder: the order's deadline has another
// node go on, and a node that died is not awaited: its people are looked at when
// they come back from its grace, and nobody else is. Seen red without the list
// 'late' (ordermore.lua), and with enter.lua showing it to everybody.
func TestOrderGoesOnByItsDeadline(t *testing.T) {
	s := newSite(t)
	dead := s.node(soon)
	s.crowd(dead, 0) // operator 1, on a node that will be buried
	s.operators(2, 1)
	s.online(2)
	s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: 1, Operators: []switchboard.OperatorID{2}, Networks: []string{"192.0.2.1"}}))
	s.scanned(s.reg, 1, true)
	if o := s.progress(1); o.Awaited != 1 || o.Todo != 1 {
		t.Fatalf("awaited %d, to do %d", o.Awaited, o.Todo)
	}
	s.run(s.reg, nil)
	s.run(s.node(soon), nil)
	wait(t, "completion", func() bool { return s.progress(1).State() == "completed" })
	s.counts(1, 1, 0, 0)
	s.operators(3, 1)
	if e := s.enter(s.reg, 3); len(e.Orders) != 0 {
		t.Errorf("a completed order is still open to newcomers: %v", e.Orders)
	}
	if e := s.enter(s.reg, 1); len(e.Orders) != 1 {
		t.Errorf("who was on the dead node is not looked at: %v", e.Orders)
	}
	s.scanned(s.reg, 1, false, 1) // and is inside
	_, _, err := s.reg.WorkOrder(s.ctx, s.org, 1, 100)
	s.must(err)
	s.counts(1, 2, 0, 0)
	s.overdue(1)
	wait(t, "no deadline of the order", func() bool { return !slices.Contains(s.due(), "order/1") })
	if e := s.enter(s.node(quick), 1); len(e.Orders) != 0 {
		t.Errorf("an order stays open for ever: %v", e.Orders)
	}
}

// overdue ends the time in which people of a dead node come back to an order.
func (s *site) overdue(id switchboard.OrderID) {
	s.t.Helper()
	n := strconv.FormatInt(int64(id), 10)
	s.must(s.rdb.HSet(s.ctx, s.key("order"), n+":late", 1).Err())
	s.must(s.rdb.ZAddXX(s.ctx, s.reg.Partition(s.org).Block(s.org).Due, redis.Z{Score: 1, Member: fmt.Sprintf("order/%d/%d", s.org, id)}).Err())
}

// A connection that was met by an order which is just done: its node dies between
// saying so and carrying it out. Nobody may slip through there either.
func TestOrderGoesOnForALateFind(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{99}})
	if due := s.due(); len(due) != 0 {
		t.Fatalf("deadlines of an order that is done: %v", due)
	}
	s.scanned(s.reg, 1, false, 1)
	s.keep()
	wait(t, "the operator's end", func() bool { return s.operator(1).Out })
	s.counts(1, 1, 0, 0)
}

// While nodes look through their addresses a newcomer learns of the order; after
// that, orders by network are over.
func TestOrderByNetworkIsToldToNewcomersWhileItLooks(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.enter(s.reg, 1)
	for _, id := range []switchboard.OrderID{7, 8} {
		s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: id, Networks: []string{"192.0.2.0/24"}}))
	}
	if e := s.enter(s.reg, 1); !slices.Equal(e.Orders, []switchboard.OrderID{7, 8}) {
		t.Errorf("told of %v", e.Orders)
	}
	o, err := s.reg.OpenOrder(s.ctx, s.org, 7)
	s.must(err)
	if o.Look(netip.MustParseAddr("192.0.2.200")) != Inside || o.Look(netip.MustParseAddr("192.0.3.1")) != 0 {
		t.Error("the order's networks are not those that were asked for")
	}
	s.scanned(s.reg, 7, true)
	if e := s.enter(s.reg, 1); !slices.Equal(e.Orders, []switchboard.OrderID{8}) {
		t.Errorf("told of %v", e.Orders)
	}
	_, err = s.reg.OpenOrder(s.ctx, s.org, 9)
	s.wants("an order that is not there", err, switchboard.CodeNotFound)
}

func TestOrderInputIsCheckedBeforeAnythingIsWritten(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	me := []switchboard.OperatorID{1}
	for what, spec := range map[string]OrderSpec{
		"no id":    {Operators: me},
		"networks": {ID: 1, Operators: me, Networks: []string{"192.0.2.1", "nonsense"}},
		"reason":   {ID: 1, Operators: me, Reason: fmt.Sprintf("%501s", "x")},
	} {
		s.wants(what, s.reg.NewOrder(s.ctx, s.org, spec), switchboard.CodeInvalid)
	}
	_, err := s.reg.Order(s.ctx, s.org, 1)
	s.wants("the order", err, switchboard.CodeNotFound)
	_, _, err = s.reg.WorkOrder(s.ctx, s.org, 1, 100)
	s.wants("work on it", err, switchboard.CodeNotFound)
	s.shows(1, switchboard.StatusAvailable)
}

// keys.go: orders are kept for 30 days. Each new one looks at some old ones; an
// order that somebody still leaves for stays.
func TestOrderIsForgottenAfterThirtyDays(t *testing.T) {
	s := newSite(t)
	s.operators(1, 2)
	s.online(1)
	s.online(2)
	s.call(2, "c")
	const old, young = 31 * 24 * 3600 * 1000, 29 * 24 * 3600 * 1000 // ms
	now, err := s.reg.Now(s.ctx)
	s.must(err)
	for id := switchboard.OrderID(1); id <= 300; id++ {
		switch s.order(OrderSpec{ID: id, Operators: []switchboard.OperatorID{1}}); {
		case id == 7:
			s.order(OrderSpec{ID: 1000, Operators: []switchboard.OperatorID{2}}) // leaving
			s.must(s.rdb.HSet(s.ctx, s.key("order"), "1000:at", now-old).Err())
		case id <= 200:
			s.must(s.rdb.HSet(s.ctx, s.key("order"), fmt.Sprint(id, ":at"), now-old).Err())
		default:
			s.must(s.rdb.HSet(s.ctx, s.key("order"), fmt.Sprint(id, ":at"), now-young).Err())
		}
	}
	for id := switchboard.OrderID(301); id <= 400; id++ {
		s.order(OrderSpec{ID: id, Operators: []switchboard.OperatorID{1}})
	}
	for _, id := range []switchboard.OrderID{7, 201, 300, 301, 400, 1000} {
		s.progress(id) // is there
	}
	n, err := s.rdb.HLen(s.ctx, s.key("order")).Result()
	s.must(err)
	if most := int64(8*(1+100+100+1) + 2); n > most { // "open" may be there, "scan" is
		t.Errorf("%d fields are kept, at most %d are needed", n, most)
	}
}

// However many nodes work on an order, each operator gets one outcome.
func TestOrderGivesEachOperatorOneOutcomeUnderEightWorkers(t *testing.T) {
	const all, here, busy = 2000, 600, 100
	s := newSite(t)
	s.operators(1, all)
	ids := make([]switchboard.OperatorID, all)
	for i := range ids {
		ids[i] = switchboard.OperatorID(i + 1)
		if i < here {
			s.enter(s.reg, ids[i])
		}
		if i < busy {
			s.call(ids[i], "c")
		}
	}
	s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: 1, Operators: ids}))
	if o := s.progress(1); o.Todo != all || o.Total() != all {
		t.Fatalf("to do %d of %d", o.Todo, o.Total())
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				todo, _, err := s.reg.WorkOrder(s.ctx, s.org, 1, 100)
				if err != nil {
					t.Error(err)
				}
				if err != nil || todo == 0 {
					return
				}
			}
		})
	}
	wg.Wait()
	s.counts(1, here-busy, busy, all-here)
	for i := range busy {
		wg.Go(func() {
			if err := s.reg.EndCall(s.ctx, s.org, ids[i], "c"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.counts(1, here, 0, all-here)
}

// Of all nodes that work on orders of a partition one step is done at a time, with a
// rest behind it, in which messages pass; a step that is too early does nothing and says
// how long to wait. Who answers a deadline does not wait. (Red without the rest in
// orderapply.lua.)
func TestOrdersRestBetweenTheStepsOfAllTheirWorkers(t *testing.T) {
	s := newSite(t)
	other := s.node(quick)
	var people []NewOperator
	for i := range 3 * orderStep {
		people = append(people, NewOperator{ID: switchboard.OperatorID(i + 1), Name: "Op", Teams: []switchboard.TeamID{0}})
	}
	s.must(s.reg.AddOperators(s.ctx, s.org, people))
	for _, op := range people {
		s.enter(s.reg, op.ID)
	}
	s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: 1, Teams: []switchboard.TeamID{0}, By: "test"}))
	step := func(reg *Registry, rest time.Duration) (int64, time.Duration) {
		t.Helper()
		todo, _, wait, err := reg.stepOrder(s.ctx, s.org, 1, orderStep, rest)
		s.must(err)
		return todo, wait
	}
	if todo, wait := step(s.reg, 900*time.Millisecond); todo != 2*orderStep || wait != 0 {
		t.Fatalf("the first step leaves %d, and waits %v", todo, wait)
	}
	if todo, wait := step(other, time.Millisecond); todo != 2*orderStep || wait <= 0 || wait > 900*time.Millisecond {
		t.Fatalf("another node's step in the rest leaves %d, and waits %v", todo, wait)
	}
	if todo, wait := step(other, 0); todo != orderStep || wait != 0 {
		t.Fatalf("an answer to the deadline leaves %d, and waits %v", todo, wait)
	}
	if todo, _, err := other.WorkOrder(s.ctx, s.org, 1, 100); err != nil || todo != 0 {
		t.Fatalf("after the rest: %d, %v", todo, err)
	}
	for _, op := range people {
		if rec, err := s.reg.Operator(s.ctx, s.org, op.ID); err != nil || !rec.Out {
			t.Errorf("operator %d: %v, %v", op.ID, rec.Out, err)
		}
	}
}
