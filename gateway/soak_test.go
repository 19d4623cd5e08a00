package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/loadtest"
	"github.com/switchboard/switchboard/presence/redisd"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// F34: crowd after crowd comes and goes while random faults happen, two in each;
// the referee judges each crowd, and in the end goroutines, descriptors, heap and
// everything that Redis holds are where they were after the first one (I11).
//
// It lasts SOAK=20s here and 20 minutes by `make soak`; SEED=n repeats it: the
// same faults in the same order at about the same times, all of them printed. When it
// fails, the history of the last crowd is kept as chaos keeps it (chaos_test.go).
func TestSoak(t *testing.T) {
	lasts := 20 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAK: %v", err)
		}
	}
	seed := uint64(envInt(t, "SEED", 1))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: SEED=%d SOAK=%s go test -race -count=1 -timeout 60m ./gateway -run '^TestSoak$' -v", seed, lasts)
		}
	})
	rnd := rand.New(rand.NewPCG(seed, 34))
	cl, server, way := proxied(t, 0)
	for range 3 {
		cl.addNode(short)
	}
	s := loadtest.Small()
	s.Operators, s.Visitors, s.RestartAt, s.FaultAt = 8, 48, 0, 2*time.Second // some messages are before the faults
	s.Arrivals, s.ChatMin, s.ChatMax, s.Patience, s.Settle = 4*time.Second, 2*time.Second, 3*time.Second, 60*time.Second, 15*time.Second
	s.Bounds.MessageP99, s.Bounds.RoutingP99, s.Bounds.Around, s.Bounds.CrossNode = time.Minute, time.Minute, time.Minute, 0
	targets := cl.crowd(s)
	began, count := time.Now(), map[string]int{}
	var last loadtest.Report // the round that fails is the last
	t.Cleanup(func() { keepHistory(t, last) })
	round := func(faults []fault) {
		s.Seed = rnd.Uint64()
		targets.Fault = func(ctx context.Context) error {
			for _, f := range faults {
				t.Logf("seed %d, %v: %s", seed, time.Since(began).Round(100*time.Millisecond), f.name)
				loadtest.Mark(ctx, f.name)
				count[f.name]++
				if err := f.do(ctx); err != nil {
					return fmt.Errorf("%s: %w", f.name, err)
				}
				loadtest.Mark(ctx, "over: "+f.name)
				pause(ctx, time.Duration(rnd.IntN(500))*time.Millisecond)
			}
			return nil
		}
		report, err := loadtest.Run(t.Context(), s, targets)
		last = report
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range report.Broken {
			if !strings.HasPrefix(b, "waiting:") && !strings.HasPrefix(b, "free:") { // so small a crowd
				t.Errorf("%v: %s", time.Since(began).Round(time.Second), b)
			}
		}
		cl.check()
	}
	// The first has a fault too, so that pools and tables have their usual size.
	round([]fault{{"F24 a node loses all its sockets", func(context.Context) error { cl.nodes[0].stormed(); return nil }}})
	first := cl.holds(server)
	t.Logf("after the first crowd: %v", first)
	rounds := 0
	for ; time.Since(began) < lasts || rounds == 0; rounds++ {
		all := cl.soakFaults(t, rnd, server, way)
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		round(all[:2])
		if t.Failed() {
			break
		}
	}
	end := cl.holds(server)
	t.Logf("after %d crowds and %v: %v", rounds, time.Since(began).Round(time.Second), end)
	for _, name := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%4d x %s", count[name], name)
	}
	end.like(t, first)
}

// short makes what a node waits for short: a silent socket is dead after 5 s.
func short(c *Config) {
	c.Hub = hub.Config{PingEvery: 2 * time.Second, Timeout: 5 * time.Second}
}

// soakFaults are the faults of one crowd, with what is random in them drawn.
func (cl *cluster) soakFaults(t *testing.T, rnd *rand.Rand, server *redisd.Server, way func(int) *redistest.Proxy) []fault {
	i := rnd.IntN(len(cl.nodes))
	d := time.Duration(500+rnd.IntN(2000)) * time.Millisecond
	seed := rnd.Uint64()
	over := func(what func(*redistest.Proxy)) func(context.Context) error {
		return func(ctx context.Context) error { return during(way(i), d, what)(ctx) }
	}
	return []fault{
		{"F1 a node is killed and started again", func(context.Context) error {
			gone := way(i)
			cl.nodes[i].crash()
			gone.Close()
			cl.again(i, short)
			return nil
		}},
		{"F2 a node hangs", over((*redistest.Proxy).Hole)},
		{"F3 a node stops and starts", func(context.Context) error {
			gone := way(i)
			if err := cl.nodes[i].stop(); err != nil {
				return err
			}
			gone.Close()
			cl.again(i, short)
			return nil
		}},
		{"F5 Redis is killed and comes back from its file", func(ctx context.Context) error {
			rdb := redis.NewClient(server.Options())
			if err := errors.Join(written(ctx, rdb), rdb.Close()); err != nil {
				return err
			}
			if err := server.Kill(ctx); err != nil {
				return err
			}
			pause(ctx, d)
			return server.Restart(ctx)
		}},
		{"F6 Redis hangs", func(ctx context.Context) error {
			thaw := redistest.Freeze(t, server.Pid())
			pause(ctx, d)
			thaw()
			return nil
		}},
		{"F7 answers take 50 ms more", over(func(p *redistest.Proxy) { p.Delay(50 * time.Millisecond) })},
		{"F8 a subscription is a black hole", over((*redistest.Proxy).Deafen)},
		{"F9 connections are reset in mid-call", func(context.Context) error { way(i).Reset(); return nil }},
		{"F10 everything comes in pieces of 40 bytes", over(func(p *redistest.Proxy) { p.Slice(40) })},
		{"F11 a node is cut from the store", over((*redistest.Proxy).Cut)},
		{"one of 20 nudges is lost", over(func(p *redistest.Proxy) { p.Lose(20, seed) })},
		{"F24 a node loses all its sockets", func(context.Context) error { cl.nodes[i].stormed(); return nil }},
		{"F25 clients stop reading", func(ctx context.Context) error {
			var all []*websocket.Conn
			for range 10 {
				ws, err := cl.stalling(ctx, cl.nodes[i], "")
				if err != nil {
					return err
				}
				all = append(all, ws)
			}
			pause(ctx, d)
			for _, ws := range all {
				ws.CloseNow()
			}
			return nil
		}},
	}
}

// holding is what a process and its store hold when nobody is here.
type holding struct {
	goroutines, descriptors int
	heap                    float64        // MB in use, after collection
	redis                   map[string]int // kind of key -> keys and their members
}

func (h holding) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MB of heap, Redis %v", h.goroutines, h.descriptors, h.heap, h.redis)
}

// holds waits until whatever ends by itself has ended, and counts the rest.
func (cl *cluster) holds(server *redisd.Server) (h holding) {
	rdb := redis.NewClient(server.Options())
	defer rdb.Close()
	for deadline := time.Now().Add(40 * time.Second); ; {
		was := h
		h = holding{redis: contents(cl.t, rdb)}
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		h.heap, h.goroutines = float64(m.HeapAlloc)/(1<<20), runtime.NumGoroutine()
		if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
			h.descriptors = len(fds)
		}
		same := maps.Equal(was.redis, h.redis) && was.goroutines == h.goroutines && was.descriptors == h.descriptors
		if same && h.redis["o:link"] == 0 && h.redis["o:chat"] == 0 || time.Now().After(deadline) {
			return h
		}
		time.Sleep(time.Second) // between two looks at what nothing announces
	}
}

// like compares with what was held before. What grows by design and is bounded
// (presence/keys.go, routing/keys.go) is not compared: audit, history,
// decisions, visitors' last operators, and finished chats, which are kept for
// their retention.
func (h holding) like(t *testing.T, first holding) {
	t.Helper()
	if h.goroutines > first.goroutines+15 {
		t.Errorf("goroutines: %d, and %d at first", h.goroutines, first.goroutines)
	}
	if h.descriptors > first.descriptors+20 {
		t.Errorf("descriptors: %d, and %d at first", h.descriptors, first.descriptors)
	}
	if h.heap > first.heap*1.5+8 {
		t.Errorf("heap: %.1f MB, and %.1f MB at first", h.heap, first.heap)
	}
	for kind, n := range h.redis {
		switch kind {
		case "o:audit", "o:history", "o:decided", "o:last", "o:closed", "o:log", "o:cmid":
		default:
			if n > first.redis[kind]+3 {
				t.Errorf("Redis: %d in %s, and %d at first", n, kind, first.redis[kind])
			}
		}
	}
}

// contents counts keys and their members by kind of key.
func contents(t testing.TB, rdb *redis.Client) map[string]int {
	t.Helper()
	ctx, out := t.Context(), map[string]int{}
	keys, err := rdb.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		n := 1
		if kind, err := rdb.Type(ctx, key).Result(); err != nil {
			t.Fatal(err)
		} else if count, ok := map[string]func(context.Context, string) *redis.IntCmd{"hash": rdb.HLen, "set": rdb.SCard, "zset": rdb.ZCard, "stream": rdb.XLen, "list": rdb.LLen}[kind]; ok {
			if m, err := count(ctx, key).Result(); err == nil {
				n = int(m)
			}
		}
		if kindOfKey(key) == "meta" { // these stay when an incarnation died before it had asserted what it held (adopt.lua)
			held, err := rdb.HMGet(ctx, key, "hold", "awaited", "risen").Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range held {
				if v != nil {
					n--
				}
			}
		}
		out[kindOfKey(key)] += n
	}
	return out
}

// kindOfKey takes the tag and the numbers out of a key.
func kindOfKey(key string) string {
	_, rest, _ := strings.Cut(key, "}:")
	if rest == "" {
		rest = key
	}
	var kept []string
	for part := range strings.SplitSeq(rest, ":") {
		if strings.Trim(part, "0123456789") != "" && len(part) < 16 {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ":")
}
