package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/gateway"
	"github.com/switchboard/switchboard/presence"
)

// logout: a supervisor signs out a network with 10,000 operators on three nodes,
// every fifth of whom is in a call, while others chat beside them.
func logout(ctx context.Context, b *bench) error {
	people, chats, rate, round := 10_000, 100, 200.0, 15*time.Second
	if b.small {
		people, chats, rate, round = 200, 10, 20, 3*time.Second
	}
	b.scanCost()
	s, err := newSite(ctx, b)
	if err != nil {
		return err
	}
	crowd, err := s.organization(ctx, "crowd", people, 5)
	if err != nil {
		return err
	}
	beside, err := s.organization(ctx, "beside", chats, 1)
	if err != nil {
		return err
	}
	var nodes []*process
	for range 3 {
		n, err := s.startNode(1e6)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	talk, err := s.talk(ctx, beside, nodes[0].addr, nodes[1].addr)
	if err != nil {
		return err
	}
	ends := &endings{}
	if err := ends.enter(crowd.tokens, nodes); err != nil {
		return err
	}
	busy, err := s.inCalls(ctx, crowd)
	if err != nil {
		return err
	}
	talk.open(ctx, rate, 2*time.Second) // the first message of each connection costs more
	commands, began := s.commands(ctx), time.Now()
	before := talk.open(ctx, rate, round)
	usual := (s.commands(ctx) - commands) / time.Since(began).Seconds()

	boss, err := s.supervisor(ctx, crowd)
	if err != nil {
		return err
	}
	during := make(chan talked, 1)
	go func() { during <- talk.open(ctx, rate, round) }()
	wait(ctx, 500*time.Millisecond)
	if err := s.watchSlow(ctx); err != nil {
		return err
	}
	commands, began = s.commands(ctx), time.Now()
	id, err := order(ctx, nodes[2].addr, boss, `{"networks":["127.0.0.0/24"],"mode":"drain","confirm":true,"reason":"The site is closed"}`)
	if err != nil {
		return err
	}
	idle := int64(people - busy)
	for ends.n.Load() < idle && time.Since(began) < time.Minute && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	took := ends.since(began)
	asked := s.commands(ctx) - commands - usual*time.Since(began).Seconds()
	b.find("idle sockets closed: half", quantile(took, .5), "ms")
	b.most("all idle sockets closed", quantile(took, 1), "ms", 5000)
	b.most("commands in Redis an operator, those of scripts too", asked/float64(people), "", 60)
	got := <-during
	if os.Getenv("SLOW") != "" {
		for i, ms := range got.took { // in bursts, or all along?
			if ms > 2*quantile(before.took, .99) {
				fmt.Fprintf(os.Stderr, "message %d: %.0f ms\n", i, ms)
			}
		}
	}
	longest, err := s.slowest(ctx)
	if err != nil {
		return err
	}
	b.find("longest run of a script in Redis meanwhile", longest, "ms")
	quiet, loud := quantile(before.took, .99), quantile(got.took, .99)
	b.find("a message beside it, before: p99", quiet, "ms")
	b.most("a message beside it, meanwhile: p99", loud, "ms", max(2*quiet, 10))
	b.answered("messages beside it, before: ", before)
	b.answered("messages beside it, meanwhile: ", got)
	b.must("messages acked and not seen", float64(talk.lost()), 0)
	o, err := s.reg.Order(ctx, crowd.org, id)
	if err != nil {
		return err
	}
	b.must("signed out, of the idle", float64(o.Out), float64(idle))
	b.must("leaving, of the busy", float64(o.Leaving), float64(busy))
	began = time.Now()
	if err := s.endCalls(ctx, crowd); err != nil {
		return err
	}
	for ends.n.Load() < int64(people) && time.Since(began) < time.Minute && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	b.must("sockets closed when the calls have ended", float64(ends.n.Load()), float64(people))
	return nil
}

// scanCost is what a node does for one prefix over 100,000 addresses; make bench-logout
// runs the same through the hub behind it (BenchmarkMatch).
func (b *bench) scanCost() {
	nets, err := presence.ParseNetworks([]string{"10.1.0.0/16"})
	if err != nil {
		panic(err) // a constant
	}
	prefix := netip.MustParsePrefix("10.1.0.0/16")
	addrs := make([]netip.Addr, 100_000)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	scan := func(contains func(netip.Addr) bool) (ms float64, inside int) {
		best := time.Hour
		for range 20 {
			began := time.Now()
			inside = 0
			for _, a := range addrs {
				if contains(a) {
					inside++
				}
			}
			best = min(best, time.Since(began))
		}
		return float64(best.Microseconds()) / 1000, inside
	}
	floor, _ := scan(prefix.Contains)
	took, inside := scan(nets.Contains)
	b.must("scan: addresses inside, of 100,000", float64(inside), 100_000-65_536)
	b.find("floor: a straight loop over netip.Prefix.Contains", floor, "ms")
	b.most("scan of 100,000 addresses for one prefix", took, "ms", 2)
}

// endings hold the crowd's sockets and note when each ended.
type endings struct {
	n   atomic.Int64
	mu  sync.Mutex
	at  []time.Time
	err error
}

func (e *endings) enter(tokens []string, nodes []*process) error {
	slots := make(chan struct{}, 64)
	var crew sync.WaitGroup
	for i, token := range tokens {
		slots <- struct{}{}
		crew.Go(func() {
			defer func() { <-slots }()
			t := &throng{tokens: []string{token}}
			ws, err := t.hello(0, nodes[i%len(nodes)].addr)
			if err != nil {
				e.mu.Lock()
				e.err = err
				e.mu.Unlock()
				return
			}
			go e.stay(ws)
		})
	}
	crew.Wait()
	return e.err
}

// stay answers pings until the socket ends.
func (e *endings) stay(ws *client) {
	defer ws.nc.Close()
	for buf := make([]byte, 512); ; {
		frame, err := ws.read(buf)
		if err != nil {
			break
		}
		if bytes.Contains(frame, []byte(`"t":"ping"`)) && ws.send([]byte(`{"t":"pong"}`)) != nil {
			break
		}
	}
	e.mu.Lock()
	e.at = append(e.at, time.Now())
	e.mu.Unlock()
	e.n.Add(1)
}

// since returns the ms from a time to each end behind it.
func (e *endings) since(t time.Time) (ms []float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, at := range e.at {
		ms = append(ms, float64(at.Sub(t).Microseconds())/1000)
	}
	return ms
}

// fifths calls f for every fifth operator, 32 at a time.
func fifths(p people, f func(op switchboard.OperatorID) error) (n int, err error) {
	slots := make(chan struct{}, 32)
	var crew sync.WaitGroup
	var failed atomic.Pointer[error]
	for i, op := range p.ids {
		if i%5 != 0 {
			continue
		}
		n++
		slots <- struct{}{}
		crew.Go(func() {
			defer func() { <-slots }()
			if err := f(op); err != nil {
				failed.Store(&err)
			}
		})
	}
	crew.Wait()
	if e := failed.Load(); e != nil {
		err = *e
	}
	return n, err
}

func (s *site) inCalls(ctx context.Context, p people) (int, error) {
	return fifths(p, func(op switchboard.OperatorID) error { return s.reg.StartCall(ctx, p.org, op, "bench", time.Hour) })
}

func (s *site) endCalls(ctx context.Context, p people) error {
	_, err := fifths(p, func(op switchboard.OperatorID) error { return s.reg.EndCall(ctx, p.org, op, "bench") })
	return err
}

// supervisor makes a supervisor of an organization, who is not here, and a token.
func (s *site) supervisor(ctx context.Context, p people) (string, error) {
	id, err := s.accounts.NextOperators(ctx, 1)
	if err != nil {
		return "", err
	}
	if err := s.reg.AddOperators(ctx, p.org, []presence.NewOperator{{ID: id, Name: "Boss", Role: switchboard.RoleSupervisor}}); err != nil {
		return "", err
	}
	minted, err := s.reg.Minted(ctx, p.org, id)
	if err != nil {
		return "", err
	}
	return s.tokens.MintOperator(ctx, gateway.Claims{Org: p.org, Operator: id, Role: switchboard.RoleSupervisor, Name: "Boss", Minted: minted, Expires: time.Now().Add(time.Hour)})
}

// order asks a node for a logout and returns its id.
func order(ctx context.Context, addr, token, body string) (switchboard.OrderID, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/logouts", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var o struct{ ID switchboard.OrderID }
	if err := json.NewDecoder(res.Body).Decode(&o); err != nil || res.StatusCode != http.StatusAccepted {
		return 0, fmt.Errorf("the order: %s, %v", res.Status, err)
	}
	return o.ID, nil
}

// watchSlow has Redis note what takes longer than 0.2 ms from now on.
func (s *site) watchSlow(ctx context.Context) error {
	if err := s.rdb.ConfigSet(ctx, "slowlog-log-slower-than", "200").Err(); err != nil {
		return err
	}
	if err := s.rdb.ConfigSet(ctx, "slowlog-max-len", "10000").Err(); err != nil {
		return err
	}
	return s.rdb.Do(ctx, "SLOWLOG", "RESET").Err()
}

// slowest returns the longest that a script held Redis up since watchSlow, in ms.
func (s *site) slowest(ctx context.Context) (ms float64, err error) {
	all, err := s.rdb.SlowLogGet(ctx, 10_000).Result()
	slices.SortFunc(all, func(a, b redis.SlowLog) int { return cmp.Compare(b.Duration, a.Duration) })
	for i, one := range all {
		if len(one.Args) > 0 && strings.EqualFold(one.Args[0], "fcall") {
			ms = max(ms, float64(one.Duration.Microseconds())/1000)
		}
		if os.Getenv("SLOW") != "" && i < 10 {
			fmt.Fprintln(os.Stderr, one.Duration, one.Args[:min(2, len(one.Args))])
		}
	}
	return ms, err
}
