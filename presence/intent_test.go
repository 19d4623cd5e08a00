package presence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

func TestIntentDecidesRoutableAndShowsOutward(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.status(1, switchboard.StatusAvailable) // offline: kept, not shown
	s.shows(1, switchboard.StatusOffline)
	if s.free(0, 1) {
		t.Error("routable while offline")
	}
	s.enter(s.reg, 1)
	for _, status := range []string{switchboard.StatusUnavailable, switchboard.StatusBreak, switchboard.StatusMeal, "In training", switchboard.StatusAvailable} {
		s.status(1, status)
		s.shows(1, status)
		if free := s.free(0, 1); free != (status == switchboard.StatusAvailable) {
			t.Errorf("%s: routable %v", status, free)
		}
	}
}

func TestIntentComputedStatusesCannotBeChosen(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	was := s.operator(1)
	for _, status := range []string{switchboard.StatusInCall, switchboard.StatusInChat, switchboard.StatusWrapUp, switchboard.StatusOffline, ""} {
		_, err := s.reg.SetStatus(s.ctx, s.org, 1, StatusChange{Status: status})
		s.wants(status, err, switchboard.CodeInvalid)
	}
	_, err := s.reg.SetStatus(s.ctx, s.org, 9, StatusChange{Status: switchboard.StatusBreak})
	s.wants("of nobody", err, switchboard.CodeNotFound)
	if now := s.operator(1); now.Intent != was.Intent || now.Version != was.Version {
		t.Errorf("was %+v, is %+v", was, now)
	}
}

// S-3: of two writers who saw the same version one is refused and learns what
// the other did; a writer who does not care is not.
func TestIntentStaleVersionIsRefused(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	v := s.operator(1).Version
	won, err := s.reg.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusBreak, Version: v, Source: "supervisor"})
	s.must(err)
	if won.Version != v+1 || won.Source != "supervisor" {
		t.Errorf("the first writer got %+v", won)
	}
	lost, err := s.reg.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusAvailable, Version: v, Source: "operator"})
	s.wants("the second writer", err, switchboard.CodeConflict)
	if lost.Intent != switchboard.StatusBreak || lost.Version != v+1 {
		t.Errorf("the second writer is shown %+v", lost)
	}
	s.shows(1, switchboard.StatusBreak)
	s.status(1, switchboard.StatusMeal)
	s.shows(1, switchboard.StatusMeal)
}

func TestCallIsWorkUntilItEnds(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.wants("offline", s.reg.StartCall(s.ctx, s.org, 1, "c", CallLease), switchboard.CodeConflict)
	s.online(1)
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", CallLease))
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", CallLease)) // renewed, not doubled
	s.shows(1, switchboard.StatusInCall)
	if _, calls := s.operator(1).Busy(); calls != 1 || s.free(0, 1) {
		t.Errorf("%d calls, routable %v", calls, s.free(0, 1))
	}
	if due := s.due(); !slices.Equal(due, []string{"call/1/c"}) {
		t.Errorf("deadlines %v", due)
	}
	s.status(1, switchboard.StatusBreak) // an intent for afterwards
	s.shows(1, switchboard.StatusInCall)
	s.status(1, switchboard.StatusAvailable)
	for range 2 { // ending twice is fine
		s.must(s.reg.EndCall(s.ctx, s.org, 1, "c"))
	}
	s.shows(1, switchboard.StatusAvailable)
	if !s.free(0, 1) || len(s.due()) != 0 {
		t.Errorf("routable %v, deadlines %v", s.free(0, 1), s.due())
	}
}

func TestCallInputIsChecked(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	for _, id := range []string{"", strings.Repeat("x", 65), "a/b", "a b", "ä", "a\n"} {
		s.wants("start "+id, s.reg.StartCall(s.ctx, s.org, 1, id, CallLease), switchboard.CodeInvalid)
		s.wants("end "+id, s.reg.EndCall(s.ctx, s.org, 1, id), switchboard.CodeInvalid)
	}
	for _, lease := range []time.Duration{0, -1, time.Hour + 1} {
		s.wants(lease.String(), s.reg.StartCall(s.ctx, s.org, 1, "c", lease), switchboard.CodeInvalid)
	}
	s.wants("of nobody", s.reg.StartCall(s.ctx, s.org, 9, "c", CallLease), switchboard.CodeNotFound)
	s.wants("end of nobody", s.reg.EndCall(s.ctx, s.org, 9, "c"), switchboard.CodeNotFound)
	for i := range 16 {
		s.must(s.reg.StartCall(s.ctx, s.org, 1, fmt.Sprint("c", i), CallLease))
	}
	s.wants("call 17", s.reg.StartCall(s.ctx, s.org, 1, "more", CallLease), switchboard.CodeConflict)
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "c3", CallLease)) // a renewal is no new call
	if _, calls := s.operator(1).Busy(); calls != 16 {
		t.Errorf("%d calls", calls)
	}
}

// Telephony that vanishes does not keep an operator busy for ever; one that
// renews does.
func TestCallEndsWhenItsLeaseIsOver(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "kept", CallLease))
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "kept", 30*time.Millisecond))
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "kept", CallLease)) // the last word counts
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "lost", 30*time.Millisecond))
	s.keep()
	wait(t, "the end of the lost call", func() bool { return s.operator(1).Work["call:lost"] == 0 })
	if s.operator(1).Work["call:kept"] != 1 {
		t.Error("a renewed call has ended")
	}
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "kept", time.Millisecond))
	wait(t, "the end of both", func() bool { return s.operator(1).Status == switchboard.StatusAvailable })
	if due := s.due(); len(due) != 0 {
		t.Errorf("deadlines left: %v", due)
	}
}

// A call of somebody who is deleted meanwhile ends like any other: no deadline
// may ring for ever.
func TestCallOfADeletedOperatorEnds(t *testing.T) {
	for _, how := range []string{"by its lease", "by telephony"} {
		t.Run(how, func(t *testing.T) {
			s := newSite(t)
			s.operators(1, 1)
			s.online(1)
			lease := CallLease
			if how == "by its lease" {
				lease = 50 * time.Millisecond
			}
			s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", lease))
			s.must(s.reg.SetAccount(s.ctx, s.org, 1, switchboard.AccountDeleted))
			s.wants("a new call", s.reg.StartCall(s.ctx, s.org, 1, "d", CallLease), switchboard.CodeNotFound)
			if how == "by telephony" {
				s.must(s.reg.EndCall(s.ctx, s.org, 1, "c"))
			} else {
				s.keep()
			}
			wait(t, "no work", func() bool { return len(s.operator(1).Work) == 0 })
			if due := s.due(); slices.Contains(due, "call/1/c") {
				t.Errorf("deadlines left: %v", due)
			}
		})
	}
}

// The organization's wrap-up time follows the last call: shown, not routable,
// over by itself or by choosing Available.
func TestWrapUpFollowsTheLastWork(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	wrap := func(ms int64) {
		t.Helper()
		s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", WrapMS: ms}))
	}
	call := func(id string) { t.Helper(); s.must(s.reg.StartCall(s.ctx, s.org, 1, id, CallLease)) }
	end := func(id string) { t.Helper(); s.must(s.reg.EndCall(s.ctx, s.org, 1, id)) }
	wrap(3_600_000)
	call("a")
	call("b")
	end("a")
	s.shows(1, switchboard.StatusInCall)
	end("b")
	s.shows(1, switchboard.StatusWrapUp)
	if s.free(0, 1) {
		t.Error("routable in wrap-up")
	}
	s.status(1, switchboard.StatusBreak) // for afterwards
	s.shows(1, switchboard.StatusWrapUp)
	s.status(1, switchboard.StatusAvailable) // "I am ready"
	s.shows(1, switchboard.StatusAvailable)
	if !s.free(0, 1) || len(s.due()) != 0 {
		t.Errorf("routable %v, deadlines %v", s.free(0, 1), s.due())
	}
	call("c") // a call in wrap-up ends the wrap-up
	end("c")
	call("d")
	s.shows(1, switchboard.StatusInCall)
	if due := s.due(); !slices.Equal(due, []string{"call/1/d"}) {
		t.Errorf("deadlines %v", due)
	}
	wrap(30)
	end("d")
	s.keep()
	wait(t, "the end of wrap-up", func() bool { return s.operator(1).Status == switchboard.StatusAvailable })
	if !s.free(0, 1) || len(s.due()) != 0 {
		t.Errorf("routable %v, deadlines %v", s.free(0, 1), s.due())
	}
}

// Whoever is taken off a team gets no chats of it any more (free has an entry
// for each team of a routable operator).
func TestTeamChangeMovesTheFreeOperator(t *testing.T) {
	s := newSite(t)
	for id := switchboard.TeamID(1); id <= 3; id++ {
		s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: id, Name: fmt.Sprint("Team ", id)}))
	}
	s.operators(1, 1, 1, 2)
	s.online(1)
	s.must(s.reg.AddOperators(s.ctx, s.org, []NewOperator{{ID: 1, Teams: []switchboard.TeamID{2, 3}}}))
	for team, want := range map[switchboard.TeamID]bool{0: true, 1: false, 2: true, 3: true} {
		if got := s.free(team, 1); got != want {
			t.Errorf("team %d: free %v, want %v", team, got, want)
		}
	}
	s.must(s.reg.AddOperators(s.ctx, s.org, []NewOperator{{ID: 1, Name: "Only renamed"}}))
	if got := s.operator(1).Teams; !slices.Equal(got, []switchboard.TeamID{2, 3}) {
		t.Errorf("after a change of name: teams %v", got)
	}
	s.must(s.reg.AddOperators(s.ctx, s.org, []NewOperator{{ID: 1, Teams: []switchboard.TeamID{}}}))
	if got := s.operator(1).Teams; len(got) != 0 || s.free(2, 1) || !s.free(0, 1) {
		t.Errorf("taken off every team: %v, free in team 2: %v, of everyone: %v", got, s.free(2, 1), s.free(0, 1))
	}
}

// Every team has a score band of its own, whatever was made first.
func TestTeamsNeverShareABand(t *testing.T) {
	s := newSite(t)
	s.must(s.rdb.Del(s.ctx, s.key("team")).Err()) // before EnsureOrg
	for _, id := range []switchboard.TeamID{7, 8, 0, 9} {
		s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: id, Name: "T"}))
	}
	s.operators(1, 1, 7, 8, 9)
	s.online(1)
	free, err := s.rdb.ZRangeWithScores(s.ctx, s.key("free"), 0, -1).Result()
	s.must(err)
	bands := map[int64]any{}
	for _, z := range free {
		band := int64(z.Score) >> 44
		if other, taken := bands[band]; taken {
			t.Errorf("%v and %v share band %d", z.Member, other, band)
		}
		bands[band] = z.Member
	}
	if len(bands) != 4 {
		t.Errorf("bands %v", bands)
	}
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 7, Name: "Renamed"}))
	again, err := s.rdb.ZScore(s.ctx, s.key("free"), "1:1").Result()
	s.must(err)
	if bands[int64(again)>>44] != "1:1" {
		t.Error("a renamed team moved to another band")
	}
}

func TestSignOutAsksWhileBusy(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", CallLease))
	_, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutNow)
	s.wants("in a call", err, switchboard.CodeConflict)
	if op := s.operator(1); op.Out || op.Leaving != nil {
		t.Errorf("a refused sign-out left %+v", op)
	}
	for range 2 {
		leaving, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutDrain)
		if err != nil || !leaving {
			t.Errorf("drain: leaving %v, %v", leaving, err)
		}
	}
	s.wants("a new call while leaving", s.reg.StartCall(s.ctx, s.org, 1, "d", CallLease), switchboard.CodeLeaving)
	s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", CallLease)) // a renewal is none
	s.must(s.reg.EndCall(s.ctx, s.org, 1, "c"))
	if op := s.operator(1); !op.Out || op.Leaving != nil || op.Status != switchboard.StatusOffline {
		t.Errorf("the call has ended: %+v", op)
	}
	_, err = s.reg.SignOut(s.ctx, s.org, 9, SignOutDrain)
	s.wants("nobody", err, switchboard.CodeNotFound)
}
