package loadtest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSchedulerDoesTasksWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler()
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = s.Run(ctx) })
		began := time.Now()
		var mu sync.Mutex
		var done []time.Duration
		note := func() {
			mu.Lock()
			defer mu.Unlock()
			done = append(done, time.Since(began))
		}
		s.After(3*time.Second, note)
		s.After(time.Second, func() {
			note()
			s.After(time.Second, note)
		})
		s.After(0, note)
		time.Sleep(10 * time.Second) // virtual
		cancel()
		run.Wait()
		if want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(done, want) {
			t.Errorf("done at %v, want %v", done, want)
		}
		if lag, refused := s.Lag(); lag.N != 4 || lag.Max != 0 || refused != 0 {
			t.Errorf("lag %+v, %d refused", lag, refused)
		}
	})
}

func TestSchedulerGoesOnWhileOneTaskBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler()
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = s.Run(ctx) })
		stuck := make(chan struct{})
		s.After(0, func() { <-stuck })
		done := make(chan struct{})
		s.After(time.Second, func() { close(done) })
		<-done
		close(stuck)
		cancel()
		run.Wait()
	})
}

func TestSchedulerDropsWhatIsNotDueWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler()
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = s.Run(ctx) })
		s.After(time.Hour, func() { t.Error("done after the end") })
		synctest.Wait()
		cancel()
		run.Wait()
	})
}

func TestSchedulerRefusesAboveItsBound(t *testing.T) {
	s := NewScheduler()
	for range maxTasks + 3 {
		s.After(time.Hour, func() {})
	}
	if _, refused := s.Lag(); refused != 3 {
		t.Errorf("%d refused, want 3", refused)
	}
}

func TestSpreadIsExact(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := spreadOf(hundred), (Spread{N: 100, P50: 50, P99: 99, Max: 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := spreadOf(hundred[90:]), (Spread{N: 10, P50: 5, P99: 10, Max: 10}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	one := spreadOf([]time.Duration{1500 * time.Microsecond})
	if want := (Spread{N: 1, P50: 1.5, P99: 1.5, Max: 1.5}); one != want {
		t.Errorf("%+v, want %+v", one, want)
	}
	if got := spreadOf(nil); got != (Spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestTimelineCutsARunIntoParts(t *testing.T) {
	begun := time.Now()
	at := func(s int) time.Time { return begun.Add(time.Duration(s) * time.Second) }
	got := sliced(begun, []sample{{at(1), time.Second}, {at(12), 3 * time.Second}}, []sample{{at(-1), time.Hour}, {at(4), time.Millisecond}})
	want := []Slice{
		{From: 0, Messages: Spread{1, 1000, 1000, 1000}, Lag: Spread{1, 1, 1, 1}},
		{From: 5},
		{From: 10, Messages: Spread{1, 3000, 3000, 3000}},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
