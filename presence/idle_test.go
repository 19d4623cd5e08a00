package presence

import (
	"slices"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

func (s *site) idle(reg *Registry, op switchboard.OperatorID, on bool) {
	s.t.Helper()
	s.must(reg.SetIdle(s.ctx, s.org, op, func() (bool, bool) { return on, true }))
}

// P-13: idle counts only when the connections on every node are idle; the first
// that is used, or comes new, brings the operator back to what they chose.
// Seen red with awake() looking at the reporting node only.
func TestIdleCountsWhenEveryConnectionIsIdle(t *testing.T) {
	s := newSite(t)
	other := s.node(quick)
	s.operators(1, 1)
	s.enter(other, 1)
	s.online(1)
	s.idle(s.reg, 1, true)
	s.idle(other, 1, true)
	s.shows(1, "Available") // the organization has no idle time
	s.idle(other, 1, false)
	s.idle(s.reg, 1, false)
	s.idleAfter(time.Minute)
	s.idle(s.reg, 1, true)
	s.shows(1, "Available") // works in the other one
	s.idle(other, 1, true)
	if rec := s.operator(1); rec.Status != "Away" || rec.Source != SourceSystem || rec.Reason != "idle" || s.free(0, 1) {
		t.Errorf("%+v, routable %v", rec, s.free(0, 1))
	}
	s.idle(s.reg, 1, false)
	if rec := s.operator(1); rec.Status != "Available" || rec.Source != SourceOperator || !s.free(0, 1) {
		t.Errorf("%+v, routable %v", rec, s.free(0, 1))
	}
	s.idle(s.reg, 1, true)
	s.shows(1, "Away")
	s.leave(s.reg, 1, grace)
	s.shows(1, "Away") // the idle one is left
	s.enter(s.reg, 1)
	s.shows(1, "Available") // a page was opened
	if rec := s.operator(1); rec.Version != 6 {
		t.Errorf("%d changes", rec.Version)
	}
}

// A node that is taken for dead and comes back says again who is idle with it:
// nobody looks active by that.
func TestIdleSurvivesANewIncarnation(t *testing.T) {
	s := newSite(t)
	s.idleAfter(time.Minute)
	s.operators(1, 1)
	s.online(1)
	s.idle(s.reg, 1, true)
	s.shows(1, "Away")
	s.leave(s.reg, 1, grace)
	s.shows(1, "Away")
	next := s.node(quick)
	ear := s.listen()
	_, err := next.EnterIdle(s.ctx, s.org, "o1", s.token(1), true)
	s.must(err)
	if heard := ear.heard(); len(heard) != 0 {
		t.Errorf("heard %+v", heard)
	}
	s.idle(next, 1, false)
	s.shows(1, "Available")
}

// Work is activity: nobody on a call is Away, and the idle time begins anew when
// the call ends.
func TestIdleIsPutOffByWork(t *testing.T) {
	s := newSite(t)
	s.idleAfter(10 * time.Minute)
	s.operators(1, 1)
	s.online(1)
	end := s.call(1, "c")
	s.idle(s.reg, 1, true)
	s.shows(1, switchboard.StatusInCall)
	if rec := s.operator(1); rec.Intent != "Available" {
		t.Errorf("in a call: %+v", rec)
	}
	end()
	s.shows(1, "Available")
	if due := s.due(); !slices.Contains(due, "idle/1") {
		t.Errorf("deadlines %v", due)
	}
	s.ring("idle/", 1)
	s.shows(1, "Away")
	s.status(1, "Available") // a supervisor's, say: nothing is in use
	s.shows(1, "Available")
	s.ring("idle/", 1)
	s.shows(1, "Away")
	end = s.call(1, "d")
	if rec := s.operator(1); rec.Intent != "Available" {
		t.Errorf("a call came: %+v", rec)
	}
	end()
	s.shows(1, "Available")
	s.idle(s.reg, 1, false)
	s.ring("idle/", 1)
	s.shows(1, "Available")
	if due := s.due(); len(due) != 0 {
		t.Errorf("deadlines %v", due)
	}
}

// A break that ends while everything is idle ends in Away, not in work (P-15).
func TestIdleAtTheEndOfABreak(t *testing.T) {
	s := newSite(t)
	s.idleAfter(time.Minute)
	s.operators(1, 1)
	s.online(1)
	s.chosen(1, StatusChange{Status: "Break", For: time.Hour})
	s.idle(s.reg, 1, true)
	s.shows(1, "Break")
	ear := s.listen()
	s.pass(1)
	for _, v := range ear.heard() {
		if v.Status == "Available" {
			t.Errorf("shown as %+v in between", v)
		}
	}
	s.shows(1, "Away")
	s.idle(s.reg, 1, false)
	s.shows(1, "Available")
}

// ring makes a deadline of an operator due and answers it.
func (s *site) ring(kind string, op switchboard.OperatorID) {
	s.t.Helper()
	alarm := kind + s.orgText() + "/" + string(switchboard.OperatorPerson(op))[1:]
	s.must(s.rdb.ZAddXX(s.ctx, s.reg.Partition(s.org).key("due"), zAt(1, alarm)).Err())
	s.must(s.reg.answer(s.ctx, alarm, nil))
}
