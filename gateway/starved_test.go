package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// starved looks, 20 times a second, for chats that wait while somebody is free for
// them: of the same group, heard by their node, and without having declined the chat.
// It asks the store in one step, and by a way of its own that no fault is put on.
type starved struct {
	stop func()

	mu            sync.Mutex
	looks, queued int                  // of them, those that saw anybody wait
	since         map[string]time.Time // chat -> first of the looks in a row that saw it so
	worst         time.Duration
	which         string
}

// starvedScript returns those of the first 500 waiting chats for whom somebody is
// free, and before them ” when any chat waits.
var starvedScript = redis.NewScript(`
local BAND, LATE, out, free = 17592186044416, 8796093022208, {}, {}
local hold = tonumber(redis.call('HGET', KEYS[1], 'hold') or '0')
local t = redis.call('TIME')
if t[1] * 1000 + math.floor(t[2] / 1000) < hold then return out end
local waiting = redis.call('ZRANGE', KEYS[2], 0, 499, 'WITHSCORES')
if waiting[1] then out[1] = '' end -- somebody waits
for k = 1, #waiting, 2 do
  local g = math.floor(tonumber(waiting[k + 1]) / BAND)
  free[g] = free[g] or redis.call('ZRANGEBYSCORE', KEYS[3], string.format('%.0f', g * BAND), string.format('(%.0f', g * BAND + LATE))
  local declined = cjson.decode(redis.call('HGET', KEYS[4], waiting[k])).declined or {}
  for _, member in ipairs(free[g]) do
    if not declined[string.match(member, ':(%d+)$')] then
      out[#out + 1] = waiting[k]
      break
    end
  end
end
return out`)

// starving begins to look at the cluster's organization; judge ends it.
func (cl *cluster) starving() *starved {
	s := &starved{since: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	rdb := cl.open()
	b := cl.admin.Partition(cl.org.ID).Block(cl.org.ID)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			asked := time.Now()
			ids, err := starvedScript.Run(ctx, rdb, []string{b.Meta, b.Queue, b.Free, b.Chat}).StringSlice()
			s.note(asked, time.Now(), ids, err)
			pause(ctx, 50*time.Millisecond)
		}
	}()
	s.stop = sync.OnceFunc(func() { cancel(); <-done; rdb.Close() })
	cl.t.Cleanup(s.stop)
	return s
}

// note takes one look. While the store does not answer nobody can be given a chat,
// so a failed look, or one that took long, begins anew.
func (s *starved) note(asked, answered time.Time, ids []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || answered.Sub(asked) > 500*time.Millisecond {
		clear(s.since)
		return
	}
	s.looks++
	now := map[string]time.Time{}
	for _, id := range ids {
		if id == "" {
			s.queued++
			continue
		}
		now[id] = answered
		if first, ok := s.since[id]; ok {
			now[id] = first
			if d := asked.Sub(first); d > s.worst {
				s.worst, s.which = d, fmt.Sprintf("chat %s", id)
			}
		}
	}
	s.since = now
}

// judge ends the looking and fails the test when a chat waited for longer.
func (s *starved) judge(t *testing.T, most time.Duration) {
	t.Helper()
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%d looks, %d with a queue; %s waited the longest while somebody was free for it: %v", s.looks, s.queued, s.which, s.worst.Round(time.Millisecond))
	if s.looks < 20 {
		t.Errorf("only %d looks: this proves little", s.looks)
	}
	if s.worst > most {
		t.Errorf("%s waited for %v while somebody was free for it, want at most %v", s.which, s.worst, most)
	}
}

// The scan itself: a chat that nobody is offered, because the operators choose for
// themselves, is seen.
func TestScanSeesAChatThatWaitsWhileSomebodyIsFree(t *testing.T) {
	cl := newCluster(t, 1)
	if err := cl.admin.PutTeam(t.Context(), cl.org.ID, presence.Team{Name: "Everyone", Strategy: presence.Pick}); err != nil {
		t.Fatal(err)
	}
	watch := cl.starving()
	cl.available(cl.nodes[0], cl.token(cl.operator("Mina", switchboard.RoleOperator, 1)))
	visitor := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Bo"))
	visitor.send(`{"t":"chat.start","re":"go"}`)
	poll(t, "the chat to be seen for 300 ms", 10*time.Second, func() bool {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		return watch.worst > 300*time.Millisecond
	})
}
