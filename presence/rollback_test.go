package presence

import (
	"testing"
	"time"

	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// hold returns for how many ms matching still waits in a partition.
func (s *site) hold(p Partition) int64 {
	s.t.Helper()
	at, err := s.rdb.HGet(s.ctx, p.key("meta"), "hold").Int64()
	if err != nil {
		return 0
	}
	now, err := s.reg.Now(s.ctx)
	s.must(err)
	return max(at-now, 0)
}

// After a change of server matching waits for all who were live at it: each speaks once
// however often it says so, who is at work prolongs it, and nobody for ever. (Red with a
// count in the place of the list, and with asserting.lua's looks left out one by one.)
func TestMatchingWaitsForWhoeverStillAsserts(t *testing.T) {
	s := newSite(t)
	other, late := s.node(quick), s.node(quick)
	s.must(other.Announce(s.ctx, s.org, "x")) // both are live here; late is not
	p := s.reg.Partition(s.org)
	meta := p.key("meta")
	s.must(s.rdb.HSet(s.ctx, meta, "srv", "another").Err())
	s.must(s.reg.Announce(s.ctx, s.org, "x"))
	gen := s.reg.Generation(p)
	if left := s.hold(p); left <= 0 || left > adoptHold.Milliseconds() {
		t.Fatalf("holds for %d ms", left)
	}
	short := func() { // almost over
		now, err := s.reg.Now(s.ctx)
		s.must(err)
		s.must(s.rdb.HSet(s.ctx, meta, "hold", now+500).Err())
	}
	short()
	s.must(late.Asserting(s.ctx, p, gen))
	if left := s.hold(p); left > 500 {
		t.Errorf("one who is not awaited has prolonged it to %d ms", left)
	}
	s.must(s.reg.Asserting(s.ctx, p, gen-1))
	if left := s.hold(p); left > 500 {
		t.Errorf("one of an earlier generation has prolonged it to %d ms", left)
	}
	s.must(s.reg.Asserting(s.ctx, p, gen))
	if left := s.hold(p); left <= 500 {
		t.Errorf("one at work has not prolonged it: %d ms", left)
	}
	for range 3 {
		s.must(s.reg.Asserted(s.ctx, p, gen))
		s.must(late.Asserted(s.ctx, p, gen))
	}
	if s.hold(p) == 0 {
		t.Error("it has ended before the other has spoken")
	}
	short()
	s.must(s.reg.Asserting(s.ctx, p, gen))
	if left := s.hold(p); left > 500 {
		t.Errorf("one who has spoken has prolonged it to %d ms", left)
	}
	now, err := s.reg.Now(s.ctx)
	s.must(err)
	s.must(s.rdb.HSet(s.ctx, meta, "risen", now-assertWithin.Milliseconds()+1000).Err())
	s.must(other.Asserting(s.ctx, p, gen))
	if left := s.hold(p); left > 1000 {
		t.Errorf("it has no end: %d ms more", left)
	}
	s.must(other.Asserted(s.ctx, p, gen))
	if left := s.hold(p); left != 0 {
		t.Errorf("all have spoken and it holds for %d ms", left)
	}
	s.must(other.Asserting(s.ctx, p, gen))
	if left := s.hold(p); left != 0 {
		t.Errorf("it is back, for %d ms", left)
	}
}

// What a call that failed may have done: one that the store did not answer may be carried
// out yet, one that was never sent may not.
func TestACallWithoutAnAnswerMayBeWritten(t *testing.T) {
	server := redistest.Start(t, false)
	s := &site{t: t, ctx: t.Context(), rdb: redistest.Client(t, server.Options()), org: 1}
	reg := s.node(quick)
	s.must(reg.EnsureOrg(s.ctx, s.org))
	thaw := redistest.Freeze(t, server.Pid())
	defer thaw()
	began := time.Now()
	err := reg.Announce(s.ctx, s.org, "x")
	if err == nil || !MayBeWritten(err) {
		t.Errorf("no answer within %v: %v", time.Since(began), err)
	}
	wait(t, "a call that is not sent", func() bool {
		err := reg.Announce(s.ctx, s.org, "x")
		return err != nil && !MayBeWritten(err)
	})
}
