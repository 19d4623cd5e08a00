package loadtest

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

const (
	// maxTasks bounds the plans of a run: some 20 for each of 10,000 people.
	maxTasks = 200_000
	// workers do the tasks. A task may write to a socket that does not drain,
	// so one stuck node must not take them all.
	workers = 32
	// maxLags bounds the samples of the scheduler's own lateness.
	maxLags = 1 << 20
)

// Scheduler does things later for everybody: one heap and a few workers instead
// of a timer and a goroutine for each person.
type Scheduler struct {
	mu    sync.Mutex
	tasks taskHeap
	lags  []sample
	// refused counts tasks over maxTasks; one refused task makes a run void.
	refused int

	wake chan struct{} // one slot: the first task has changed
	work chan task
}

type task struct {
	at time.Time
	do func()
}

// NewScheduler returns a scheduler that does nothing until Run.
func NewScheduler() *Scheduler {
	return &Scheduler{wake: make(chan struct{}, 1), work: make(chan task, workers)}
}

// After has do called once, d from now, on one of the workers; do may block for
// as long as one write to a socket. Any goroutine may call After, do included.
// Tasks that are not due when Run ends are dropped.
func (s *Scheduler) After(d time.Duration, do func()) {
	t := task{at: time.Now().Add(d), do: do}
	s.mu.Lock()
	if len(s.tasks) >= maxTasks {
		s.refused++
		s.mu.Unlock()
		return
	}
	heap.Push(&s.tasks, t)
	first := s.tasks[0].at.Equal(t.at)
	s.mu.Unlock()
	if !first {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run does the tasks as they fall due until ctx ends, and returns when the last
// worker is done.
func (s *Scheduler) Run(ctx context.Context) error {
	var crew sync.WaitGroup
	for range workers {
		crew.Go(func() {
			for t := range s.work {
				s.late(t.at)
				t.do()
			}
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		due, next := s.due()
		for _, t := range due {
			select {
			case s.work <- t:
			case <-ctx.Done():
			}
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	close(s.work)
	crew.Wait()
	return nil
}

// due takes the tasks whose time has come and says how long until the next.
func (s *Scheduler) due() ([]task, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []task
	now := time.Now()
	for len(s.tasks) > 0 {
		if wait := s.tasks[0].at.Sub(now); wait > 0 {
			return out, wait
		}
		out = append(out, heap.Pop(&s.tasks).(task))
	}
	return out, time.Minute
}

func (s *Scheduler) late(due time.Time) {
	s.mu.Lock()
	if len(s.lags) < maxLags {
		s.lags = append(s.lags, sample{due, time.Since(due)})
	}
	s.mu.Unlock()
}

// Lag says how late tasks were started and how many were refused. A crowd that
// is late itself measures its own machine, not the nodes.
func (s *Scheduler) Lag() (Spread, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return spreadOf(durations(s.lags)), s.refused
}

// samples returns the lag of each task. Run has ended.
func (s *Scheduler) samples() []sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lags
}

type taskHeap []task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h taskHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *taskHeap) Push(x any)        { *h = append(*h, x.(task)) }
func (h *taskHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = task{}
	*h = old[:len(old)-1]
	return last
}
