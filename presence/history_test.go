package presence

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

func (s *site) orgText() string { return strconv.FormatInt(int64(s.org), 10) }

func zAt(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }

func (s *site) history(op switchboard.OperatorID, from, to int64) History {
	s.t.Helper()
	h, err := s.reg.History(s.ctx, s.org, op, from, to)
	s.must(err)
	return h
}

// P-12: each change is stored with from, to, who, why and when, in its own step;
// the times in all statuses of a day are 24 hours.
func TestHistoryOfADay(t *testing.T) {
	s := newSite(t)
	s.operators(1, 2)
	s.online(1)
	s.online(2) // somebody else's changes are not mine
	s.chosen(1, StatusChange{Status: "Meal", Source: SourceSupervisor, By: "o2", Reason: "lunch", Version: 2})
	s.chosen(1, StatusChange{Status: "Available", By: "o1"})
	end := s.call(1, "c")
	s.chosen(1, StatusChange{Status: "Break", When: WhenAfterWork, By: "o1"})
	end()
	s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: 7, Operators: []switchboard.OperatorID{1}, Reason: "end of shift"}))
	_, _, err := s.reg.WorkOrder(s.ctx, s.org, 7, 100)
	s.must(err)

	now, err := s.reg.Now(s.ctx)
	s.must(err)
	for later := now; later <= now; { // the window ends behind the last change
		later, err = s.reg.Now(s.ctx)
		s.must(err)
	}
	day := (24 * time.Hour).Milliseconds()
	h := s.history(1, now+1-day, now+1)
	var got []string
	last := int64(0)
	for _, c := range h.Changes {
		line := c.Source + " " + c.By + " (" + c.Reason + ")"
		if c.Intent != nil {
			line += " intent " + c.Intent.From + ">" + c.Intent.To
		}
		if c.Status != nil {
			line += " status " + c.Status.From + ">" + c.Status.To
		}
		if c.Pending != "" {
			line += " " + c.Pending + " " + c.Next
		}
		got = append(got, line)
		if c.At < last || c.At > now {
			t.Errorf("%d after %d", c.At, last)
		}
		last = c.At
	}
	want := []string{
		"system  (connected) status Offline>Unavailable",
		"operator  () intent Unavailable>Available status Unavailable>Available",
		"supervisor o2 (lunch) intent Available>Meal status Available>Meal",
		"operator o1 () intent Meal>Available status Meal>Available",
		"system  (work) status Available>In-call",
		"operator o1 () set Break",
		"operator o1 () intent Available>Break status In-call>Break applied Break",
		"system order:7 (end of shift) status Break>Offline",
	}
	if !slices.Equal(got, want) {
		t.Errorf("history\n%q\nwant\n%q", got, want)
	}
	sum := int64(0)
	for _, ms := range h.InStatus {
		sum += ms
	}
	if h.To-h.From != sum || sum < day-2 || h.InStatus["Offline"] < day-60_000 {
		t.Errorf("%d ms in %v", sum, h.InStatus)
	}
}

// The time in each status is what passed between the changes, wherever a window
// begins and ends; before the first and after the last change too.
func TestHistoryTimesAddUp(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.must(s.rdb.Del(s.ctx, s.key("history")).Err())
	now, err := s.reg.Now(s.ctx)
	s.must(err)
	at := func(minutes int64) int64 { return now - 600_000 + minutes*60_000 }
	for i, step := range []struct {
		at       int64
		from, to string
	}{{1, "Offline", "Available"}, {3, "Available", "In-chat"}, {4, "In-chat", "Break"}, {8, "Break", "Offline"}} {
		s.must(s.rdb.XAdd(s.ctx, &redis.XAddArgs{Stream: s.key("history"), ID: fmt.Sprintf("%d-%d", at(step.at), i),
			Values: []any{"op", 1, "i0", "", "i1", "", "s0", step.from, "s1", step.to, "p", "", "src", "system", "by", "", "why", ""}}).Err())
	}
	for _, tc := range []struct {
		from, to int64
		want     map[string]int64
	}{
		{0, 10, map[string]int64{"Offline": 3, "Available": 2, "In-chat": 1, "Break": 4}},
		{0, 1, map[string]int64{"Offline": 1}},
		{2, 5, map[string]int64{"Available": 1, "In-chat": 1, "Break": 1}},
		{5, 7, map[string]int64{"Break": 2}}, // no change inside
		{8, 10, map[string]int64{"Offline": 2}},
		{9, 10, map[string]int64{"Offline": 1}},
		{-60, 0, map[string]int64{"Offline": 60}},
	} {
		got := s.history(1, at(tc.from), at(tc.to)).InStatus
		for status, minutes := range tc.want {
			if got[status] != minutes*60_000 {
				t.Errorf("%d to %d: %v, want %v minutes", tc.from, tc.to, got, tc.want)
			}
		}
		if len(got) != len(tc.want) {
			t.Errorf("%d to %d: %v, want %v minutes", tc.from, tc.to, got, tc.want)
		}
	}
	_, err = s.reg.History(s.ctx, s.org, 1, now, now-1)
	s.wants("to before from", err, switchboard.CodeInvalid)
	_, err = s.reg.History(s.ctx, s.org, 1, now-MaxHistory.Milliseconds()-1, now)
	s.wants("too long", err, switchboard.CodeInvalid)
	_, err = s.reg.History(s.ctx, s.org, 9, at(0), 0)
	s.wants("of nobody", err, switchboard.CodeNotFound)
}

// The history is bounded; what is gone from it is said to be unknown, not guessed.
func TestHistoryIsBoundedAndSaysSinceWhenItIsWhole(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	now, err := s.reg.Now(s.ctx)
	s.must(err)
	key := s.key("history")
	s.must(s.rdb.Del(s.ctx, key).Err())
	for first := 0; first < historyKept+1000; first += 10_000 {
		pipe := s.rdb.Pipeline()
		for i := first; i < first+10_000; i++ {
			pipe.XAdd(s.ctx, &redis.XAddArgs{Stream: key, ID: fmt.Sprintf("%d-%d", now-3_600_000+int64(i), i),
				Values: []any{"op", 2, "i0", "", "i1", "", "s0", "Break", "s1", "Meal", "p", "", "src", "system", "by", "", "why", ""}})
		}
		_, err := pipe.Exec(s.ctx)
		s.must(err)
	}
	s.online(1) // trims
	n, err := s.rdb.XLen(s.ctx, key).Result()
	s.must(err)
	if n < historyKept || n > historyKept+200 {
		t.Errorf("%d entries", n)
	}
	h := s.history(1, now-7_200_000, now)
	if h.KnownFrom <= now-3_600_000 || h.InStatus[StatusUnknown] != h.KnownFrom-h.From || h.InStatus["Offline"] != h.To-h.KnownFrom {
		t.Errorf("known from %d of %d to %d: %v", h.KnownFrom, h.From, h.To, h.InStatus)
	}
}
