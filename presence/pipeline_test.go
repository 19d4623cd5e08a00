package presence

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var scriptEcho = NewScript("echo", "return {KEYS[1], ARGV[1], redis.call('HINCRBY', KEYS[1], ARGV[1], 1)}")

// Thousands of calls at once, many of whose callers give up in the middle: each
// answer goes to its caller, each call is carried out at most once, the slots all
// come back, and calls go together: some ten in a pipeline, three at least on any
// machine. Seen red with passLocked freeing the slot although somebody waits,
// with giveUp keeping a slot it was given, and with pipelines of one call.
func TestCallsOfManyCallersGoTogetherAndEachGetsItsOwnAnswer(t *testing.T) {
	s := newSite(t)
	key := s.reg.Partition(s.org).key("test:" + t.Name())
	var wg sync.WaitGroup
	var answered, gaveUp atomic.Int64
	for worker := range 100 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(worker)))
			for i := range 100 {
				ctx, cancel := context.WithCancel(s.ctx)
				if rnd.IntN(3) == 0 {
					ctx, cancel = context.WithTimeout(s.ctx, time.Duration(rnd.IntN(2000))*time.Microsecond)
				}
				id := fmt.Sprint(worker, "-", i)
				raw, err := s.reg.eval(ctx, scriptEcho, []string{key}, id)
				cancel()
				if err != nil {
					gaveUp.Add(1)
					continue
				}
				answered.Add(1)
				if list := raw.([]any); list[1] != id || list[2] != int64(1) {
					t.Errorf("call %s was answered %v", id, list)
				}
			}
		})
	}
	wg.Wait()
	if answered.Load() < 5000 {
		t.Errorf("%d answered, %d gave up", answered.Load(), gaveUp.Load())
	}
	if pipelines, calls := piped(t, s.reg); calls < 3*pipelines {
		t.Errorf("%d calls went in %d pipelines", calls, pipelines)
	}
	l := s.reg.lane("")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flying != 0 || len(l.pending) != 0 {
		t.Errorf("%d slots and %d calls left", l.flying, len(l.pending))
	}
}

// piped returns how many pipelines a registry has sent, and how many calls in them.
func piped(t *testing.T, r *Registry) (pipelines, calls int) {
	t.Helper()
	var m dto.Metric
	if err := r.metrics.batch.Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetHistogram().GetSampleCount()), int(m.GetHistogram().GetSampleSum())
}

// reads returns how often a server has read from its connections.
func (s *site) reads() (n int) {
	s.t.Helper()
	info, err := s.rdb.Info(s.ctx, "stats").Result()
	s.must(err)
	_, rest, _ := strings.Cut(info, "total_reads_processed:")
	_, err = fmt.Sscan(rest, &n)
	s.must(err)
	return n
}

// Calls that wait while both slots are taken go together when one comes free: 100 are
// one pipeline, which the server has read at a few times, and 300 are as few as
// maxBatch allows. Seen red with takeLocked taking one call, and with fly sending the
// calls of a batch one by one.
func TestCallsThatAreReadyTogetherAreOnePipeline(t *testing.T) {
	s := newSite(t)
	key := s.reg.Partition(s.org).key("test:" + t.Name())
	l := s.reg.lane("")
	for _, tc := range []struct{ calls, pipelines int }{{100, 1}, {300, 3}} {
		l.mu.Lock()
		l.flying = maxFlying
		l.mu.Unlock()
		pipelines, sum := piped(t, s.reg)
		reads := s.reads()
		var wg sync.WaitGroup
		for i := range tc.calls {
			wg.Go(func() {
				if _, err := s.reg.eval(s.ctx, scriptEcho, []string{key}, fmt.Sprint(tc.calls, "-", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wait(t, "all callers to wait", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.pending) == tc.calls
		})
		l.mu.Lock()
		l.flying = 1
		l.passLocked()
		l.mu.Unlock()
		wg.Wait()
		after, all := piped(t, s.reg)
		if all-sum != tc.calls || after-pipelines != tc.pipelines {
			t.Errorf("%d calls went in %d pipelines, want %d in %d", all-sum, after-pipelines, tc.calls, tc.pipelines)
		}
		if n := s.reads() - reads; n > tc.calls/5 {
			t.Errorf("the server has read %d times for %d calls", n, tc.calls)
		}
	}
}

// F20: the scripts are flushed while calls go out in pipelines; nobody notices.
func TestFlushedScriptsAreLoadedAgainUnderLoad(t *testing.T) {
	s := newSite(t)
	key := s.reg.Partition(s.org).key("test:" + t.Name())
	rdb := redistest.Client(t, redisOptions)
	done := make(chan struct{})
	var wg sync.WaitGroup
	var calls atomic.Int64
	for worker := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := s.reg.eval(s.ctx, scriptEcho, []string{key}, fmt.Sprint(worker, "-", i)); err != nil {
					t.Error(err)
				}
				calls.Add(1)
			}
		})
	}
	for range 20 {
		before := calls.Load()
		s.must(rdb.FunctionFlush(s.ctx).Err())
		for calls.Load() < before+100 {
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	wg.Wait()
}

// BenchmarkCalls is 64 callers of an append-like script, together and each alone.
//
//	go test ./presence -run '^$' -bench BenchmarkCalls
func BenchmarkCalls(b *testing.B) {
	rdb := redistest.Client(b, redisOptions)
	reg, err := Open(b.Context(), rdb, Config{Admin: true})
	if err != nil {
		b.Fatal(err)
	}
	script := NewScript("bench", "redis.call('HINCRBY', KEYS[1], 'n', 1) redis.call('XADD', KEYS[2], 'MAXLEN', 100, '*', 'm', ARGV[1]) return redis.call('PUBLISH', 'x', ARGV[1])")
	p := reg.parts[0]
	keys, text := []string{p.key("bench:h"), p.key("bench:s")}, string(make([]byte, 200))
	b.Run("together", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := reg.eval(b.Context(), script, keys, text); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("alone", func(b *testing.B) {
		alone := redis.NewScript(nest(script.scopes))
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := alone.Run(b.Context(), rdb, keys, text).Err(); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
