package presence

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var scriptShed = NewScript("shed echo", "return {KEYS[1], ARGV[1]}").Sheddable()

// A node that is offered more than its store takes refuses messages at the sender once
// the oldest call has waited too long, lets everything else wait, and takes messages
// again as soon as the store does. Seen red with shedAfter at 10 s (nothing is refused),
// and with every script sheddable (what must not be refused is).
func TestMessagesAreRefusedAndNothingElseWhileCallsWaitTooLong(t *testing.T) {
	server := redistest.Start(t, false)
	rdb := redistest.Client(t, server.Options())
	reg, err := Open(t.Context(), rdb, Config{Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	key := reg.parts[0].key("test")
	call := func(s *Script) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := reg.eval(ctx, s, []string{key}, "x")
		return err
	}
	for _, s := range []*Script{scriptEcho, scriptShed} { // loaded, so that nothing else is in the way
		if err := call(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := rdb.Do(t.Context(), "CLIENT", "PAUSE", "900", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	var crew sync.WaitGroup
	for range maxFlying + 3 { // the first fill the slots, the others wait
		crew.Go(func() {
			if err := call(scriptEcho); err != nil {
				t.Errorf("a call that must not be refused: %v", err)
			}
		})
	}
	answered := make(chan struct{})
	go func() { defer close(answered); crew.Wait() }()
	l := reg.lane(reg.parts[0].Tag)
	wait(t, "calls that wait", func() bool { // else a try would take a slot, and be sent
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.pending) > 0
	})
	var refused error
	for waiting := true; waiting && refused == nil; {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // a try, not a wait
		if _, err := reg.eval(ctx, scriptShed, []string{key}, "x"); !errors.Is(err, context.DeadlineExceeded) {
			refused = err
		}
		cancel()
		select {
		case <-answered:
			waiting = false
		default:
		}
	}
	if switchboard.CodeOf(refused) != switchboard.CodeUnavailable {
		t.Errorf("a message while calls wait: %v", refused)
	}
	<-answered
	if err := call(scriptShed); err != nil {
		t.Errorf("a message when the store answers again: %v", err)
	}
}
