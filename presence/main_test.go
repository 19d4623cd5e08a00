package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var (
	redisOptions *redis.Options
	lastOrg      atomic.Int64
)

func TestMain(m *testing.M) { redistest.Main(m, &redisOptions) }

// races is how often a race is run: RACES=10000 (make races) for the full size.
func races(t testing.TB, short int) int {
	s := os.Getenv("RACES")
	if s == "" {
		return short
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// site is one organization on an empty store, with a node that does not run:
// nothing is swept and nobody is buried but by the test itself.
type site struct {
	t   testing.TB
	ctx context.Context
	rdb *redis.Client
	org switchboard.OrgID
	reg *Registry

	nodes []*Registry
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, ctx: t.Context(), rdb: redistest.Client(t, redisOptions), org: switchboard.OrgID(lastOrg.Add(1))}
	// Nodes of earlier tests look alive until they are buried, and could be the
	// keepers of this test's deadlines.
	if err := s.rdb.FlushAll(s.ctx).Err(); err != nil {
		t.Fatal(err)
	}
	s.reg = s.node(quick)
	s.must(s.reg.EnsureOrg(s.ctx, s.org))
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// wants fails the test unless err has the code.
func (s *site) wants(what string, err error, code switchboard.Code) {
	s.t.Helper()
	if got := switchboard.CodeOf(err); got != code {
		s.t.Errorf("%s: got %v (code %q), want code %q", what, err, got, code)
	}
}

// node is a further node; it does not run.
func (s *site) node(cfg Config) *Registry {
	s.t.Helper()
	reg, err := Open(s.ctx, s.rdb, cfg)
	s.must(err)
	s.nodes = append(s.nodes, reg)
	return reg
}

// quick sweeps often and buries nobody within a test.
var quick = Config{Beat: 20 * time.Millisecond, Sweep: 10 * time.Millisecond, BuryAfter: time.Hour}

// run runs a node until the test ends or stop is called; rung gets the alarms
// that routing would answer.
func (s *site) run(reg *Registry, rung func(kind, id string)) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- reg.Run(ctx, func(_ context.Context, kind string, org switchboard.OrgID, id string) error {
			if rung != nil {
				rung(kind, id)
			}
			return nil
		})
	}()
	stop = func() {
		s.t.Helper()
		cancel()
		if done == nil {
			return
		}
		if err := <-done; err != nil {
			s.t.Errorf("run: %v", err)
		}
		done = nil
	}
	s.t.Cleanup(stop)
	return stop
}

// keep runs every node so far, so that due alarms are answered; nobody is buried.
func (s *site) keep() {
	s.t.Helper()
	for _, reg := range s.nodes {
		s.run(reg, nil)
	}
}

// operators makes n operators whose ids begin at first; they are offline.
func (s *site) operators(first, n int, teams ...switchboard.TeamID) {
	s.t.Helper()
	list := make([]NewOperator, n)
	for i := range list {
		list[i] = NewOperator{ID: switchboard.OperatorID(first + i), Name: fmt.Sprintf("Operator %d", first+i), Teams: teams}
	}
	s.must(s.reg.AddOperators(s.ctx, s.org, list))
}

// token returns what a new token of an operator would say of its time.
func (s *site) token(op switchboard.OperatorID) int64 {
	s.t.Helper()
	minted, err := s.reg.Minted(s.ctx, s.org, op)
	s.must(err)
	return minted
}

// enter opens the first socket of an operator on a node, with a new token.
func (s *site) enter(reg *Registry, op switchboard.OperatorID) Entered {
	s.t.Helper()
	e, err := reg.Enter(s.ctx, s.org, switchboard.OperatorPerson(op), s.token(op))
	s.must(err)
	return e
}

// online is enter on the site's own node, and Available.
func (s *site) online(op switchboard.OperatorID) {
	s.t.Helper()
	s.enter(s.reg, op)
	s.status(op, switchboard.StatusAvailable)
}

func (s *site) status(op switchboard.OperatorID, status string) {
	s.t.Helper()
	_, err := s.reg.SetStatus(s.ctx, s.org, op, StatusChange{Status: status, Source: "operator"})
	s.must(err)
}

func never() bool { return false }

// leave ends an operator's last socket on a node.
func (s *site) leave(reg *Registry, op switchboard.OperatorID, grace time.Duration) {
	s.t.Helper()
	s.must(reg.Leave(s.ctx, s.org, switchboard.OperatorPerson(op), grace, never))
}

func (s *site) operator(op switchboard.OperatorID) Operator {
	s.t.Helper()
	rec, err := s.reg.Operator(s.ctx, s.org, op)
	s.must(err)
	return rec
}

// shows checks an operator's outward status.
func (s *site) shows(op switchboard.OperatorID, status string) {
	s.t.Helper()
	if got := s.operator(op).Status; got != status {
		s.t.Errorf("operator %d shows %s, want %s", op, got, status)
	}
}

func (s *site) key(name string) string { return s.reg.Partition(s.org).Key(s.org, name) }

func (s *site) link(person switchboard.PersonID) string {
	s.t.Helper()
	link, err := s.rdb.HGet(s.ctx, s.key("link"), string(person)).Result()
	if err != redis.Nil {
		s.must(err)
	}
	return link
}

// free reports whether an operator may be given chats of a team; teams of these
// tests are made in the order of their ids, so that a team's group is its id.
func (s *site) free(team switchboard.TeamID, op switchboard.OperatorID) bool {
	s.t.Helper()
	score, err := s.rdb.ZScore(s.ctx, s.key("free"), fmt.Sprintf("%d:%d", team, op)).Result()
	if err != redis.Nil {
		s.must(err)
	}
	return err == nil && score >= 0 // below: at work, not free
}

// due returns the deadlines of the site's organization, kind/id.
func (s *site) due() []string {
	s.t.Helper()
	all, err := s.rdb.ZRange(s.ctx, s.reg.Partition(s.org).key("due"), 0, -1).Result()
	s.must(err)
	var out []string
	for _, alarm := range all {
		kind, org, id, ok := splitAlarm(alarm)
		if !ok {
			s.t.Errorf("no alarm: %q", alarm)
		}
		if org == s.org {
			out = append(out, kind+"/"+id)
		}
	}
	return out
}

// wait waits until f holds.
func wait(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// ear hears the broadcasts of the site's partition.
type ear struct {
	s  *site
	ps *redis.PubSub
	n  int
}

func (s *site) listen() *ear {
	s.t.Helper()
	e := &ear{s: s, ps: s.rdb.Subscribe(s.ctx, s.reg.Partition(s.org).Broadcast())}
	s.t.Cleanup(func() { e.ps.Close() })
	if _, err := e.ps.Receive(s.ctx); err != nil { // the confirmation
		s.t.Fatal(err)
	}
	return e
}

// heard returns the operators that were broadcast since the last call, in order.
// A mark of our own in the channel says that all of it has come: Redis keeps
// the order of what is published.
func (e *ear) heard() []switchboard.OperatorView {
	e.s.t.Helper()
	e.n++
	mark := fmt.Sprint("mark ", e.n)
	e.s.must(e.s.rdb.Publish(e.s.ctx, e.s.reg.Partition(e.s.org).Broadcast(), mark).Err())
	var out []switchboard.OperatorView
	for {
		msg, err := e.ps.ReceiveMessage(e.s.ctx)
		e.s.must(err)
		if msg.Payload == mark {
			return out
		}
		for event := range strings.SplitSeq(msg.Payload, "\x1e") {
			f := strings.SplitN(event, "\t", 5)
			if len(f) != 5 || f[2] != fmt.Sprint(e.s.org) || f[3] != "operators" {
				continue
			}
			var v switchboard.OperatorView
			e.s.must(json.Unmarshal([]byte(f[4]), &v))
			out = append(out, v)
		}
	}
}

// textLog writes a log as text; only one goroutine may use it.
func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// value reads one counter or gauge.
func value(c prometheus.Collector) float64 {
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	all, err := reg.Gather()
	if err != nil {
		panic(err)
	}
	m := all[0].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}
