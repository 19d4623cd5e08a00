package loadtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// connectWithin bounds the time until everybody is ready.
	connectWithin = 90 * time.Second
	censusEvery   = 100 * time.Millisecond
	checkEvery    = time.Second
	// checkBatch is how many clients one task looks after.
	checkBatch = 100
)

// run is one run of a scenario. Its methods run one after the other on the
// goroutine of Run, but for those that say otherwise.
type run struct {
	*crowd
	targets  *Targets
	rnd      *rand.Rand
	clients  []*Client
	operator []*operator
	visitor  []*visitor
	begun    time.Time // of the first chat
	base     []int64   // resident bytes of each node before anybody connected
	tides    tides
	report   Report

	mu      sync.Mutex // guards restart: its goroutine writes, judging reads
	restart restart
}

// Run plays a scenario against running nodes and judges it. It blocks until
// everything is over: about ConnectRate-paced connects, then Arrivals plus the
// last chats, at most Arrivals plus Patience. An error means that the scenario
// could not be played; a broken bound is no error but stands in Report.Broken.
// All goroutines have ended when Run returns.
func Run(ctx context.Context, s Scenario, t Targets) (Report, error) {
	if err := s.check(&t); err != nil {
		return Report{}, err
	}
	if t.HTTP == nil {
		t.HTTP = &http.Client{Timeout: 15 * time.Second}
	}
	r := &run{
		crowd:   &crowd{scenario: &s, ledger: NewLedger(s.Limit), clock: NewScheduler(), stats: newStats()},
		targets: &t,
		rnd:     rand.New(rand.NewPCG(s.Seed, 1)),
		tides:   tides{every: censusEvery},
	}
	ctx, cancel := context.WithCancel(ctx)
	var crew sync.WaitGroup
	crew.Go(func() {
		// Run of a Scheduler has no way to fail.
		_ = r.clock.Run(ctx)
	})
	err := r.play(ctx, &crew)
	cancel()
	crew.Wait()
	t.HTTP.CloseIdleConnections()
	return r.judge(), err
}

// play is the whole run, in order.
func (r *run) play(ctx context.Context, crew *sync.WaitGroup) error {
	s := r.scenario
	began := time.Now()
	r.say("%d operators and %d visitors sign in, seed %d", s.Operators, s.Visitors, s.Seed)
	if err := r.signIn(ctx); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	r.base = r.resident()
	r.say("they connect, %d a second", s.ConnectRate)
	if err := r.connect(ctx, crew); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if !sleep(ctx, s.Idle) {
		return ctx.Err()
	}
	r.report.Memory = r.memory()
	commands, timed := r.commands(ctx), time.Now()
	r.say("chats begin: %s of arrivals, chats of %s to %s", s.Arrivals, s.ChatMin, s.ChatMax)
	if err := r.chats(ctx, crew); err != nil {
		return err
	}
	if after := r.commands(ctx); commands >= 0 && after >= commands {
		r.report.RedisCommands = float64(after-commands) / time.Since(timed).Seconds()
	}
	r.report.Took = time.Since(began).Seconds()
	return ctx.Err()
}

// signIn gets a token for everybody and makes the people.
func (r *run) signIn(ctx context.Context) error {
	s, t := r.scenario, r.targets
	a := &api{http: t.HTTP}
	for _, n := range t.Nodes {
		a.base = append(a.base, n.URL)
	}
	company, err := a.company(ctx, t.Login, t.Password)
	if err != nil {
		return err
	}
	ids, err := a.operators(ctx, company, t.Org)
	if err != nil {
		return err
	}
	if len(ids) < s.Operators {
		return fmt.Errorf("organization %d has %d active operators, the scenario wants %d", t.Org, len(ids), s.Operators)
	}
	ids = ids[:s.Operators]
	tokens := make([]string, s.Operators+s.Visitors)
	err = forEach(ctx, len(tokens), func(ctx context.Context, i int) (err error) {
		if i < s.Operators {
			tokens[i], err = a.operator(ctx, company, ids[i])
			return err
		}
		tokens[i], err = a.visitor(ctx, t.Org, fmt.Sprintf("Visitor %d", i-s.Operators))
		return err
	})
	if err != nil {
		return err
	}
	for i, token := range tokens {
		cfg := Config{Nodes: a.base, Start: r.place(), Token: token, Seed: r.rnd.Uint64(), HTTP: t.HTTP}
		if i < s.Operators {
			o := newOperator(r.crowd, ids[i], cfg)
			r.operator, r.clients = append(r.operator, o), append(r.clients, o.client)
			continue
		}
		v := newVisitor(r.crowd, i-s.Operators, t.Team, newPlan(r.rnd, s), cfg)
		r.visitor, r.clients = append(r.visitor, v), append(r.clients, v.client)
	}
	return nil
}

// place draws a node by weight.
func (r *run) place() int {
	sum := 0
	for _, n := range r.targets.Nodes {
		sum += max(n.Weight, 1)
	}
	draw := r.rnd.IntN(sum)
	for i, n := range r.targets.Nodes {
		if draw -= max(n.Weight, 1); draw < 0 {
			return i
		}
	}
	return 0
}

// connect starts all clients at the pace of the scenario and returns when
// everybody is ready and every operator available.
func (r *run) connect(ctx context.Context, crew *sync.WaitGroup) error {
	pace := time.Second / time.Duration(r.scenario.ConnectRate)
	tick := time.NewTicker(max(pace, time.Millisecond))
	defer tick.Stop()
	for _, c := range r.clients {
		crew.Go(func() {
			if err := c.Run(ctx); err != nil {
				r.stats.gaveUp(err)
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for at := 0; at < len(r.clients); at += checkBatch {
		r.look(ctx, r.clients[at:min(at+checkBatch, len(r.clients))])
	}
	until := time.Now().Add(connectWithin)
	for {
		missing, first := 0, ""
		for i, c := range r.clients {
			if _, ready := c.Place(); !ready {
				missing++
				first = fmt.Sprintf("person %d", i)
			}
		}
		free := r.ledger.Census().Free
		if missing == 0 && free >= r.scenario.Operators {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d people are not ready (such as %s), %d of %d operators are available; last failure: %s",
				missing, first, free, r.scenario.Operators, r.stats.lastFailure())
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// look checks some clients now and again every second, on the scheduler.
func (r *run) look(ctx context.Context, some []*Client) {
	r.clock.After(checkEvery, func() {
		now := time.Now()
		for _, c := range some {
			c.Check(now)
		}
		if ctx.Err() == nil {
			r.look(ctx, some)
		}
	})
}

// chats lets the visitors come, restarts the node, and returns when all chats
// are over and settled or the patience is.
func (r *run) chats(ctx context.Context, crew *sync.WaitGroup) error {
	s := r.scenario
	r.begun = time.Now()
	for i, v := range r.visitor {
		r.clock.After(s.arrival(i, r.rnd.Float64()), v.arrive)
	}
	if s.RestartAt > 0 {
		crew.Go(func() { r.restartNode(ctx) })
	}
	if s.FaultAt > 0 {
		crew.Go(func() { r.fault(ctx) })
	}
	tick := time.NewTicker(censusEvery)
	defer tick.Stop()
	until := r.begun.Add(s.Arrivals + s.Patience)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		c := r.ledger.Census()
		r.tides.take(c)
		over := c.Open == 0 && r.stats.wants() == s.Visitors && r.ledger.Chats() >= s.Visitors && (s.RestartAt == 0 || r.restarted().done)
		if over || time.Now().After(until) {
			break
		}
	}
	r.say("chats are over, the last frames settle")
	until = time.Now().Add(s.Settle)
	for !r.ledger.Settled() && time.Now().Before(until) && sleep(ctx, censusEvery) {
	}
	return ctx.Err()
}
