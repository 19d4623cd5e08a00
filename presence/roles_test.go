package presence

import (
	"testing"

	"github.com/switchboard/switchboard"
)

// L-9: what counts as work that a logout waits for, a row each. Chats are met in
// gateway's tests, parts in chats in routing's (TestPartsWhileALogoutWaits).
func TestRolesThatKeepAnOperatorIn(t *testing.T) {
	leg := func(role int) func(s *site) func() {
		return func(s *site) func() {
			s.must(s.reg.StartLeg(s.ctx, s.org, 1, "c", role, CallLease))
			return func() { s.must(s.reg.EndCall(s.ctx, s.org, 1, "c")) }
		}
	}
	for name, row := range map[string]struct {
		begin func(s *site) (end func())
		keeps bool
	}{
		"talking":          {leg(LegTalk), true},
		"a call on hold":   {leg(LegHold), true},
		"a conference leg": {leg(LegConference), true},
		"a consult leg":    {leg(LegConsult), true},
		"outside work": {func(s *site) func() {
			s.must(s.reg.StartTask(s.ctx, s.org, 1, Task{"m-1", 2}, CallLease))
			return func() { s.must(s.reg.EndTask(s.ctx, s.org, 1, "m-1")) }
		}, true},
		"monitoring":                   {leg(LegMonitor), false},
		"nothing":                      {func(*site) func() { return func() {} }, false},
		"wrap-up":                      {func(s *site) func() { s.call(1, "c")(); s.shows(1, switchboard.StatusWrapUp); return func() {} }, false},
		"on hold, then talking":        {func(s *site) func() { leg(LegHold)(s); return leg(LegTalk)(s) }, true},
		"monitoring, then in the call": {func(s *site) func() { leg(LegMonitor)(s); return leg(LegConference)(s) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", WrapMS: 3_600_000}))
			s.operators(1, 1)
			s.online(1)
			end := row.begin(s)
			s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1}})
			if op := s.operator(1); op.Out == row.keeps || (op.Leaving != nil) != row.keeps {
				t.Errorf("out %v, leaving %v", op.Out, op.Leaving)
			}
			if row.keeps {
				s.wants("monitoring while leaving", s.reg.StartLeg(s.ctx, s.org, 1, "m", LegMonitor, CallLease), switchboard.CodeLeaving)
				end()
			}
			s.out(0)
			if due := s.due(); len(due) != 0 {
				t.Errorf("deadlines left: %v", due)
			}
		})
	}
}
