package presence

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
)

// choose makes one write of an intent, on behalf of a source.
func (s *site) choose(op switchboard.OperatorID, ch StatusChange) (Operator, error) {
	s.t.Helper()
	return s.reg.SetStatus(s.ctx, s.org, op, ch)
}

func (s *site) chosen(op switchboard.OperatorID, ch StatusChange) Operator {
	s.t.Helper()
	rec, err := s.choose(op, ch)
	s.must(err)
	return rec
}

// pass lets the temporary status that an operator has end now, and leaves those
// beneath their time: deadlines are Redis ms, and nobody wants to wait for them.
func (s *site) pass(op switchboard.OperatorID) {
	s.t.Helper()
	p, id := s.reg.Partition(s.org), fmt.Sprint(int64(op))
	raw, err := s.rdb.HGet(s.ctx, s.key("op"), id).Result()
	s.must(err)
	rec := s.operator(op)
	if rec.Until == 0 {
		s.t.Fatalf("operator %d has no temporary status: %s", op, raw)
	}
	now, err := s.reg.Now(s.ctx)
	s.must(err)
	shift := rec.Until - now + 1
	s.must(s.rdb.Eval(s.ctx, `local r = cjson.decode(redis.call('HGET', KEYS[1], ARGV[1]))
		r.till = r.till - ARGV[2]
		redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(r))
		return redis.call('ZADD', KEYS[2], string.format('%.0f', r.till), ARGV[3])`,
		[]string{s.key("op"), p.key("due")}, id, shift, fmt.Sprintf("until/%d/%s", s.org, id)).Err())
	s.must(s.reg.answer(s.ctx, fmt.Sprintf("until/%d/%s", s.org, id), nil))
}

func (s *site) cover(op switchboard.OperatorID) {
	s.t.Helper()
	s.must(s.reg.SetIdle(s.ctx, s.org, op, func() (bool, bool) { return true, true }))
}

func (s *site) uncover(op switchboard.OperatorID) {
	s.t.Helper()
	s.must(s.reg.SetIdle(s.ctx, s.org, op, func() (bool, bool) { return false, true }))
}

func (s *site) idleAfter(d time.Duration) {
	s.t.Helper()
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", IdleMS: d.Milliseconds()}))
}

// P-14, A7: the table of doc.go. What holds, who writes, and whether it counts.
// Seen red with locked() always false, and with cover() not asking takes().
func TestStatusSourcePriority(t *testing.T) {
	const forever, hour = 0, time.Hour
	for _, tc := range []struct {
		holds, by string
		lasts     time.Duration
		status    string // that holds
		writer    string
		ok        bool
	}{
		{"Break", SourceOperator, forever, "Break", SourceOperator, true},
		{"Break", SourceOperator, hour, "Break", SourceOperator, true},
		{"Break", SourceSupervisor, forever, "Break", SourceOperator, true},
		{"locked Break", SourceSupervisor, hour, "Break", SourceOperator, false},
		{"Break", SourceOperator, hour, "Break", SourceSupervisor, true},
		{"locked Break", SourceSupervisor, hour, "Break", SourceSupervisor, true},
		{"Break", SourceOperator, forever, "Break", SourceSystem, false},
		{"Break", SourceSupervisor, forever, "Break", SourceSystem, false},
		{"custom", SourceOperator, forever, "In training", SourceSystem, false},
		{"Available", SourceOperator, forever, "Available", SourceSystem, true},
		{"Available", SourceSupervisor, forever, "Available", SourceSystem, true},
		{"locked Available", SourceSupervisor, hour, "Available", SourceSystem, true}, // covers, and gives back
	} {
		t.Run(fmt.Sprintf("%s over %s of %s", tc.writer, tc.holds, tc.by), func(t *testing.T) {
			s := newSite(t)
			s.idleAfter(time.Minute)
			s.operators(1, 1)
			s.enter(s.reg, 1)
			was := s.chosen(1, StatusChange{Status: tc.status, Source: tc.by, For: tc.lasts})
			if tc.writer == SourceSystem {
				s.cover(1)
				got := s.operator(1)
				if covered := got.Intent == switchboard.StatusAway; covered != tc.ok || (covered && got.Source != SourceSystem) {
					t.Fatalf("%+v", got)
				}
				s.uncover(1)
				if got := s.operator(1); got.Intent != tc.status || got.Source != tc.by || got.Until != was.Until {
					t.Errorf("given back: %+v", got)
				}
				return
			}
			_, err := s.choose(1, StatusChange{Status: "Meal", Source: tc.writer, Version: was.Version})
			if !tc.ok {
				s.wants("the write", err, switchboard.CodeForbidden)
				if got := s.operator(1); got.Intent != tc.status || got.Version != was.Version {
					t.Errorf("a refused write left %+v", got)
				}
				return
			}
			s.must(err)
			s.shows(1, "Meal")
		})
	}
}

// S-3: a supervisor's change is not undone by the operator's page, which writes
// with the version it last saw; the operator may choose again knowing of it, but
// not while it has a time, and never over what is automatic.
func TestStatusOfASupervisorStaysUntilTheOperatorChoosesAgain(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	seen := s.operator(1).Version
	s.chosen(1, StatusChange{Status: "Meal", Source: SourceSupervisor, By: "o9", Reason: "lunch", Version: seen})
	_, err := s.choose(1, StatusChange{Status: "Available", Version: seen})
	s.wants("the page, which has not heard of it", err, switchboard.CodeConflict)
	s.shows(1, "Meal")
	now := s.chosen(1, StatusChange{Status: "Available", Version: seen + 1})
	if now.Intent != "Available" || now.Source != SourceOperator {
		t.Errorf("%+v", now)
	}
	s.chosen(1, StatusChange{Status: "Meeting", Source: SourceSupervisor, By: "o9", For: time.Hour})
	for _, ch := range []StatusChange{{Status: "Available"}, {Status: "Meeting", For: time.Minute}, {Status: "Break", When: WhenAfterWork}, {When: WhenReturn}} {
		if ch.When == WhenAfterWork {
			s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", CallLease))
		}
		_, err := s.choose(1, ch)
		s.wants(fmt.Sprintf("%+v while locked", ch), err, switchboard.CodeForbidden)
		var e *switchboard.Error
		if e, _ = err.(*switchboard.Error); e == nil || e.RetryAfter < 50*time.Minute || e.RetryAfter > time.Hour {
			t.Errorf("the operator is told %v", err)
		}
	}
	s.must(s.reg.EndCall(s.ctx, s.org, 1, "c"))
	s.shows(1, "Meeting")
	s.pass(1)
	s.shows(1, "Available") // what the operator had chosen
	s.chosen(1, StatusChange{Status: "Break"})
}

// S-2: temporary states nested twice, each goes back to what it was; one whose
// time has passed meanwhile is left out. Seen red with pop() taking the base.
func TestTemporaryStatusesGoBackToWhatWas(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	s.chosen(1, StatusChange{Status: "Break", For: 15 * time.Minute})
	s.chosen(1, StatusChange{Status: "Meeting", Source: SourceSupervisor, By: "o9", Reason: "urgent", For: 5 * time.Minute})
	rec := s.operator(1)
	if rec.Reason != "urgent" || len(rec.Back) != 2 || rec.Back[0].Status != "Available" || rec.Back[1].Status != "Break" {
		t.Fatalf("%+v", rec)
	}
	if due := s.due(); !slices.Equal(due, []string{"until/1"}) {
		t.Errorf("deadlines %v", due)
	}
	s.pass(1)
	if rec = s.operator(1); rec.Intent != "Break" || rec.Until == 0 || rec.Source != SourceOperator || rec.Reason != "" {
		t.Fatalf("after the meeting: %+v", rec)
	}
	s.pass(1)
	if rec = s.operator(1); rec.Intent != "Available" || rec.Until != 0 || len(rec.Back) != 0 || !s.free(0, 1) || len(s.due()) != 0 {
		t.Fatalf("after the break: %+v, deadlines %v", rec, s.due())
	}

	s.chosen(1, StatusChange{Status: "Break", For: 5 * time.Minute})
	s.chosen(1, StatusChange{Status: "Meal", For: 30 * time.Minute}) // the break is over before
	s.pass(1)
	if rec = s.operator(1); rec.Intent != "Available" {
		t.Errorf("after the meal: %+v", rec)
	}
	s.chosen(1, StatusChange{Status: "Break", For: time.Minute})
	s.chosen(1, StatusChange{Status: "Break", For: 2 * time.Minute}) // longer, not nested
	if rec = s.operator(1); len(rec.Back) != 1 {
		t.Errorf("the same twice: %+v", rec)
	}
	s.chosen(1, StatusChange{When: WhenReturn}) // back early
	s.shows(1, "Available")
	s.chosen(1, StatusChange{Status: "Break", For: time.Hour})
	s.chosen(1, StatusChange{Status: "Unavailable"}) // for good
	if rec = s.operator(1); rec.Until != 0 || len(rec.Back) != 0 || len(s.due()) != 0 {
		t.Errorf("chosen for good: %+v, deadlines %v", rec, s.due())
	}
	for i := range 8 {
		s.chosen(1, StatusChange{Status: fmt.Sprint("S", i), For: time.Duration(20-i) * time.Hour})
	}
	_, err := s.choose(1, StatusChange{Status: "S9", For: time.Hour})
	s.wants("a ninth within each other", err, switchboard.CodeConflict)
	s.shows(1, "S7")
}

// A temporary status ends by its deadline in the store, whichever node lives.
func TestTemporaryStatusEndsByItself(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	s.chosen(1, StatusChange{Status: "Break", For: time.Second})
	s.shows(1, "Break")
	s.keep()
	wait(t, "the end of the break", func() bool { return s.operator(1).Intent == "Available" })
	if !s.free(0, 1) || len(s.due()) != 0 {
		t.Errorf("routable %v, deadlines %v", s.free(0, 1), s.due())
	}
}

func TestStatusInputIsChecked(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	for field, bad := range map[string][]StatusChange{
		"when":   {{Status: "Break", When: "later"}},
		"status": {{Status: ""}, {Status: "Away"}, {Status: "Unresponsive"}, {Status: "In-chat"}, {When: WhenAfterWork}},
		"for_ms": {{Status: "Break", For: -1}, {Status: "Break", For: time.Millisecond}, {Status: "Break", For: 25 * time.Hour}, {When: WhenReturn, For: time.Minute}},
		"reason": {{Status: "Break", Reason: string(make([]byte, 201))}},
	} {
		for _, ch := range bad {
			_, err := s.choose(1, ch)
			s.wants(fmt.Sprintf("%+v", ch), err, switchboard.CodeInvalid)
			if e, ok := err.(*switchboard.Error); !ok || e.Field != field {
				t.Errorf("%+v: %v, want field %s", ch, err, field)
			}
		}
	}
	s.shows(1, "Available")
}

// S-1: a choice for after work is pending, may be replaced and cancelled, and the
// newest counts, in the very step that ends the last work. Each step is told.
func TestPendingStatus(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	after := func(status string) Operator {
		t.Helper()
		return s.chosen(1, StatusChange{Status: status, When: WhenAfterWork})
	}
	pending := func(want string) {
		t.Helper()
		rec := s.operator(1)
		got := ""
		if rec.Pending != nil {
			got = rec.Pending.Status
		}
		if got != want || rec.View(true).Next != want {
			t.Errorf("pending %q, want %q", got, want)
		}
	}
	after("Meal") // no work: at once
	s.shows(1, "Meal")
	s.status(1, "Available")
	end := s.call(1, "a")
	second := s.call(1, "b")
	before := s.operator(1)
	after("Break")
	pending("Break")
	if rec := s.operator(1); rec.Intent != "Available" || rec.Version != before.Version+1 {
		t.Errorf("%+v", rec)
	}
	_, err := s.choose(1, StatusChange{When: WhenCancel, Version: before.Version})
	s.wants("a stale cancel", err, switchboard.CodeConflict)
	s.chosen(1, StatusChange{When: WhenCancel})
	pending("")
	s.chosen(1, StatusChange{When: WhenCancel}) // twice is fine
	after("Break")
	after("Meal")
	end()
	pending("Meal") // a call is left
	s.shows(1, switchboard.StatusInCall)
	second()
	pending("")
	s.shows(1, "Meal")
	if s.free(0, 1) {
		t.Error("routable in between")
	}

	s.status(1, "Available")
	end = s.call(1, "c")
	after("Break")
	s.status(1, "Unavailable") // chosen later, at once: counts
	pending("")
	end()
	s.shows(1, "Unavailable")

	s.status(1, "Available")
	end = s.call(1, "d")
	s.chosen(1, StatusChange{Status: "Break", When: WhenAfterWork, For: time.Hour})
	end()
	if rec := s.operator(1); rec.Status != "Break" || rec.Until == 0 || rec.Back[0].Status != "Available" {
		t.Errorf("a temporary one after work: %+v", rec)
	}
	want := []string{"set Break", "cancelled Break", "set Break", "replaced Meal", "applied Meal", "set Break", "cancelled Break", "set Break", "applied Break"}
	var got []string
	s.must(s.reg.Changes(s.ctx, s.org, 0, func(c Change) bool {
		if c.Pending != "" {
			got = append(got, c.Pending+" "+c.Next)
		}
		return true
	}))
	if !slices.Equal(got, want) {
		t.Errorf("events\n%v, want\n%v", got, want)
	}
}

// S-1 and wrap-up: what was pending is the intent at the end of the last work,
// and shown when the wrap-up is over; only "I am ready" now ends a wrap-up.
func TestPendingStatusMeetsWrapUp(t *testing.T) {
	s := newSite(t)
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", WrapMS: 3_600_000}))
	s.operators(1, 1)
	s.online(1)
	end := s.call(1, "a")
	s.chosen(1, StatusChange{Status: "Break", When: WhenAfterWork})
	end()
	if rec := s.operator(1); rec.Intent != "Break" || rec.Pending != nil {
		t.Errorf("%+v", rec)
	}
	s.shows(1, switchboard.StatusWrapUp)
	s.chosen(1, StatusChange{Status: "Available", When: WhenAfterWork})
	s.shows(1, switchboard.StatusWrapUp)
	s.status(1, "Available")
	s.shows(1, "Available")
}

// S-3: a write from before a logout never applies after it, neither by the
// operator's old token, nor by a version from before, nor as a pending one.
// Seen red with signOut not moving the version, and without the token's time.
func TestStatusFromBeforeALogoutNeverApplies(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.online(1)
	old, version := s.token(1), s.operator(1).Version
	end := s.call(1, "a")
	s.chosen(1, StatusChange{Status: "Break", When: WhenAfterWork, Version: version})
	if leaving, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutDrain); err != nil || !leaving {
		t.Fatal(leaving, err)
	}
	end()
	rec := s.operator(1)
	if !rec.Out || rec.Pending != nil || rec.Intent != "Available" {
		t.Fatalf("signed out: %+v", rec)
	}
	_, err := s.choose(1, StatusChange{Status: "Meal", Minted: old})
	s.wants("with the old token", err, switchboard.CodeLoggedOut)
	s.enter(s.reg, 1)
	_, err = s.choose(1, StatusChange{Status: "Meal", Minted: old})
	s.wants("with the old token, signed in again", err, switchboard.CodeLoggedOut)
	_, err = s.choose(1, StatusChange{Status: "Meal", Source: SourceSupervisor, Version: version + 1})
	s.wants("a supervisor who has not seen the logout", err, switchboard.CodeConflict)
	s.shows(1, "Available")
	s.chosen(1, StatusChange{Status: "Meal", Minted: s.token(1), Version: rec.Version})
}

// P-10: which intents mean work. A custom status never does, unless the
// organization maps it.
func TestStatusesThatMeanWork(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.enter(s.reg, 1)
	for _, mapped := range [][]string{nil, {"Back office"}} {
		s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", Routable: mapped}))
		for status, routable := range map[string]bool{
			"Available": true, "Unavailable": false, "Break": false, "Meal": false, "Do not disturb": false,
			"Busy": false, "available": false, "Back office": mapped != nil,
		} {
			s.status(1, status)
			if s.free(0, 1) != routable {
				t.Errorf("%s with %v mapped: routable %v", status, mapped, !routable)
			}
		}
	}
	s.status(1, "Back office")
	s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone"}))
	if s.free(0, 1) {
		t.Error("routable by a mapping that was taken back")
	}
	for _, bad := range []string{"", "Break", "Offline", "Away"} {
		s.wants(bad, s.reg.PutTeam(s.ctx, s.org, Team{ID: 0, Name: "Everyone", Routable: []string{bad}}), switchboard.CodeInvalid)
	}
}

// P-8: signing out the last session ends presence in the same step: not shown as
// here, not routable, no deadline left that could bring anything back.
func TestSignOutEndsPresence(t *testing.T) {
	s := newSite(t)
	s.idleAfter(time.Minute)
	s.operators(1, 1)
	s.online(1)
	s.cover(1)
	s.shows(1, "Away")
	ear := s.listen()
	if leaving, err := s.reg.SignOut(s.ctx, s.org, 1, SignOutNow); err != nil || leaving {
		t.Fatal(leaving, err)
	}
	heard := ear.heard()
	if len(heard) != 1 || heard[0].Status != switchboard.StatusOffline || heard[0].Here {
		t.Errorf("watchers heard %+v", heard)
	}
	if rec := s.operator(1); rec.Status != switchboard.StatusOffline || rec.Intent != "Available" || s.free(0, 1) || len(s.due()) != 0 {
		t.Errorf("%+v, routable %v, deadlines %v", rec, s.free(0, 1), s.due())
	}
}

// S-3: no status changes more than six times a minute without a person: the
// seventh is not made, the keeper says so once, and a person's choice goes on.
// Seen red with budget() always true.
func TestAutomaticChangesAreStopped(t *testing.T) {
	s := newSite(t)
	s.idleAfter(time.Minute)
	s.operators(1, 1)
	s.online(1)
	version := s.operator(1).Version
	for range 50 { // two tabs that disagree
		s.cover(1)
		s.uncover(1)
	}
	if got := s.operator(1).Version - version; got != 6 {
		t.Errorf("%d automatic changes", got)
	}
	s.shows(1, "Available")
	s.cover(1)
	s.shows(1, "Available") // stopped
	s.keep()
	wait(t, "the alarm", func() bool { return value(s.reg.metrics.flapped) == 1 })
	audit, err := s.rdb.XRange(s.ctx, s.key("audit"), "-", "+").Result()
	s.must(err)
	if len(audit) != 1 || audit[0].Values["who"] != "1" {
		t.Errorf("audit %v", audit)
	}
	for range 10 {
		s.status(1, "Break")
		s.status(1, "Available")
	}
	s.shows(1, "Available")
	s.cover(1)
	s.shows(1, "Away")
}

// P-15: whatever is automatic, in any order, never makes anybody routable whom
// the last person to choose did not choose to be.
func TestAutomaticChangesNeverRaise(t *testing.T) {
	s := newSite(t)
	s.idleAfter(time.Minute)
	id := 0
	rapid.Check(t, func(rt *rapid.T) {
		id++
		op := switchboard.OperatorID(id)
		s.operators(id, 1)
		s.enter(s.reg, op)
		chosen := []string{"Unavailable"} // what a person has chosen, temporary ones on top
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"choose", "temporary", "idle", "active", "pass", "reload"}).Draw(rt, "step") {
			case "choose":
				status := rapid.SampledFrom([]string{"Available", "Break", "Unavailable"}).Draw(rt, "status")
				s.status(op, status)
				chosen = []string{status}
			case "temporary":
				if len(chosen) == 5 {
					continue
				}
				status := fmt.Sprint("T", len(chosen))
				s.chosen(op, StatusChange{Status: status, For: time.Duration(10-len(chosen)) * time.Hour})
				chosen = append(chosen, status)
			case "idle":
				s.cover(op)
			case "active":
				s.uncover(op)
			case "pass":
				if s.operator(op).Until != 0 {
					s.pass(op)
					chosen = chosen[:len(chosen)-1]
				}
			case "reload":
				s.leave(s.reg, op, grace)
				s.enter(s.reg, op)
			}
			want := chosen[len(chosen)-1]
			got := s.operator(op)
			if got.Intent != want && (got.Intent != "Away" || want != "Available") {
				rt.Fatalf("chosen %v, is %+v", chosen, got)
			}
			if s.free(0, op) && want != "Available" {
				rt.Fatalf("chosen %v and routable", chosen)
			}
		}
	})
}
