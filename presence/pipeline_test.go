package presence

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var scriptEcho = NewScript("echo", "return {KEYS[1], ARGV[1], redis.call('HINCRBY', KEYS[1], ARGV[1], 1)}")

// Thousands of calls at once, many of whose callers give up in the middle: each
// answer goes to its caller, each call is carried out at most once, the slots all
// come back. Seen red with passLocked freeing the slot although somebody waits,
// and with giveUp keeping a slot it was given.
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
	l := s.reg.lane("")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flying != 0 || len(l.pending) != 0 {
		t.Errorf("%d slots and %d calls left", l.flying, len(l.pending))
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

func TestBreakerOpensAtOnceForTimeAndAfterFiveForRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		for i := range failuresToOpen {
			if opened := b.note(true, false, time.Now()); opened != (i == failuresToOpen-1) {
				t.Errorf("failure %d: opened %v", i, opened)
			}
		}
		passed := 0
		for range 10_000 { // 10 s
			time.Sleep(time.Millisecond)
			if b.allow(time.Now()) {
				passed++
				b.note(true, true, time.Now())
			}
		}
		if passed < 9 || passed > 14 { // at 0.1, 0.3, 0.7, 1.5 s and then each second
			t.Errorf("%d calls passed in 10 s", passed)
		}
		if !b.note(false, false, time.Now()) || !b.allow(time.Now()) {
			t.Error("a success did not close it")
		}
		if !b.note(true, true, time.Now()) {
			t.Error("a timeout did not open it")
		}
	})
}

// F6: a store that hangs is found within 1.2 s; from then on calls are refused at
// once, and when it answers again they pass within a second.
func TestCallsAreRefusedAtOnceWhileTheStoreHangs(t *testing.T) {
	server := redistest.Start(t, false)
	rdb := redistest.Client(t, server.Options())
	var away atomic.Bool
	reg, err := Open(t.Context(), rdb, Config{Admin: true, Away: func(_ []Partition, now bool) { away.Store(now) }})
	if err != nil {
		t.Fatal(err)
	}
	call := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := reg.eval(ctx, scriptEcho, []string{reg.parts[0].key("test")}, "x")
		return err
	}
	if err := call(time.Second); err != nil {
		t.Fatal(err)
	}
	thaw := redistest.Freeze(t, server.Pid())
	began := time.Now()
	for !away.Load() {
		if time.Since(began) > 3*time.Second {
			t.Fatal("a hanging store was not noticed in 3 s")
		}
		_ = call(2 * time.Second)
	}
	refused := 0
	began = time.Now()
	for range 1000 {
		err := call(2 * time.Second)
		if switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			t.Fatalf("a call while away: %v", err)
		}
		if errors.Is(err, errAway) {
			refused++
		}
	}
	if refused < 990 || time.Since(began) > 3*time.Second {
		t.Errorf("%d of 1,000 calls were refused at once, in %v", refused, time.Since(began))
	}
	thaw()
	for began = time.Now(); call(time.Second) != nil; {
		if time.Since(began) > 2*time.Second {
			t.Fatal("the store's return was not noticed in 2 s")
		}
	}
	if away.Load() {
		t.Error("still away")
	}
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
