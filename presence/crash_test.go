package presence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// errCrashed is what a dead node's client says.
var errCrashed = errors.New("this node is dead")

// dying is a client of a node that dies at its n-th write: before it, or with it
// done and the answer lost. Each script that it sends is one numbered step.
type dying struct {
	at      int64 // the step at which it dies; 0: never
	after   bool  // the step is still carried out
	step    atomic.Int64
	dead    atomic.Bool
	scripts map[string]bool // functions of the steps that count
}

func (d *dying) DialHook(next redis.DialHook) redis.DialHook { return next }
func (d *dying) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return d.one(cmd, func() error { return next(ctx, cmd) })
	}
}
func (d *dying) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if d.dead.Load() {
			for _, c := range cmds {
				c.SetErr(errCrashed)
			}
			return errCrashed
		}
		return next(ctx, cmds) // reads; the scripts of one caller go one at a time
	}
}

func (d *dying) one(cmd redis.Cmder, next func() error) error {
	if d.dead.Load() {
		cmd.SetErr(errCrashed)
		return errCrashed
	}
	counts := len(cmd.Args()) > 1 && d.scripts[fmt.Sprint(cmd.Args()[1])]
	if counts && d.step.Add(1) == d.at {
		d.dead.Store(true)
		if d.after {
			_ = next()
		}
		cmd.SetErr(errCrashed)
		return errCrashed
	}
	return next()
}

// dyingNode opens a registry whose node dies at a step.
func (s *site) dyingNode(d *dying, steps ...*Script) *Registry {
	s.t.Helper()
	rdb := redis.NewClient(redisOptions)
	s.t.Cleanup(func() { s.must(rdb.Close()) })
	rdb.AddHook(d)
	reg, err := Open(s.ctx, rdb, quick)
	s.must(err)
	d.scripts = map[string]bool{}
	for _, sc := range steps {
		d.scripts[sc.function(libraryOf(false).name)] = true
	}
	return reg
}

// survive runs the site's node and one that buries whoever is dead.
func (s *site) survive() {
	s.t.Helper()
	s.run(s.reg, nil)
	s.run(s.node(soon), nil)
}

// L-6: the node that carries an order out dies at each numbered step of it: while
// it writes, looks for names, reports its scan, or applies; before the step or with
// the step done and its answer lost. Its asker gives the same order again, or does
// not; either way the others complete it and everybody has exactly one outcome.
func TestOrderSurvivesACrashAtEveryStep(t *testing.T) {
	const people, busy = 24, 4 // three steps of orderapply
	story := func(reg *Registry, s *site) error {
		spec := OrderSpec{ID: 1, Teams: []switchboard.TeamID{5}, Networks: []string{"192.0.2.0/24"}, By: "test"}
		if err := reg.NewOrder(s.ctx, s.org, spec); err != nil {
			return err
		}
		o, err := reg.OpenOrder(s.ctx, s.org, 1)
		if err != nil {
			return err
		}
		if err := reg.OrderFound(s.ctx, s.org, o, []Found{{people, Inside, "192.0.2.1 peer"}}, true); err != nil {
			return err
		}
		for todo := int64(1); todo > 0; {
			if todo, _, err = reg.WorkOrder(s.ctx, s.org, 1, 50); err != nil {
				return err
			}
		}
		return nil
	}
	steps := []*Script{scriptOrder, scriptOrderMore, scriptOrderApply}
	run := func(t *testing.T, d *dying) (died bool) {
		s := newSite(t)
		s.must(s.reg.PutTeam(s.ctx, s.org, Team{ID: 5, Name: "Billing"}))
		s.operators(1, people-1, 5)
		s.operators(people, 1) // found by address
		other := s.node(soon)
		for op := switchboard.OperatorID(1); op <= people; op++ {
			s.enter(s.reg, op)
			if op <= busy {
				s.call(op, "c")
			}
		}
		reg := s.dyingNode(d, steps...)
		s.must(reg.enterPartition(s.ctx, reg.Partition(s.org), reg.Incarnation()))
		if err := story(reg, s); err != nil && !d.dead.Load() {
			t.Fatal(err)
		}
		if died = d.dead.Load(); !died {
			return false
		}
		if _, err := s.reg.Order(s.ctx, s.org, 1); switchboard.CodeOf(err) == switchboard.CodeNotFound {
			// Nothing was written, and nobody was told that it was: the asker asks again.
			s.must(s.reg.NewOrder(s.ctx, s.org, OrderSpec{ID: 1, Teams: []switchboard.TeamID{5}, Networks: []string{"192.0.2.0/24"}, By: "test"}))
		}
		for _, alive := range []*Registry{s.reg, other} { // the living look through their addresses
			o, err := alive.OpenOrder(s.ctx, s.org, 1)
			s.must(err)
			s.must(alive.OrderFound(s.ctx, s.org, o, []Found{{people, Inside, "192.0.2.1 peer"}}, true))
		}
		s.run(s.reg, nil)
		s.run(other, nil) // buries the dead one
		wait(t, "completion", func() bool { return s.progress(1).State() == OrderCompleted })
		s.counts(1, people-busy, busy, 0)
		for op := switchboard.OperatorID(1); op <= busy; op++ {
			s.must(other.EndCall(s.ctx, s.org, op, "c"))
		}
		s.counts(1, people, 0, 0)
		entries, err := s.rdb.XRange(s.ctx, s.key("audit"), "-", "+").Result()
		s.must(err)
		times := map[string]int{}
		for _, e := range entries {
			if e.Values["what"] == "signed out" {
				times[fmt.Sprint(e.Values["who"])]++
			}
		}
		for who, n := range times {
			if n != 1 {
				t.Errorf("operator %s was signed out %d times", who, n)
			}
		}
		s.overdue(1) // people of the dead node
		wait(t, "no deadlines", func() bool { return len(s.due()) == 0 })
		return true
	}
	for _, after := range []bool{false, true} {
		for at := int64(1); ; at++ {
			died := false
			t.Run(fmt.Sprintf("step %d, done %v", at, after), func(t *testing.T) { died = run(t, &dying{at: at, after: after}) })
			if !died {
				if at < 6 {
					t.Errorf("only %d steps", at-1)
				}
				break
			}
		}
	}
}

// The node dies in the step that ends the last work of a leaving operator (finish),
// or while it undoes an order: whoever comes next completes it.
func TestCancelAndCutSurviveACrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := int64(1); at <= 3; at++ {
			t.Run(fmt.Sprintf("cancel, step %d, done %v", at, after), func(t *testing.T) {
				s := newSite(t)
				const people = 150 // two batches
				s.operators(1, people)
				ids := make([]switchboard.OperatorID, people)
				for i := range ids {
					ids[i] = switchboard.OperatorID(i + 1)
					s.enter(s.reg, ids[i])
					s.call(ids[i], "c")
				}
				s.order(OrderSpec{ID: 1, Operators: ids})
				d := &dying{at: at, after: after}
				reg := s.dyingNode(d, scriptOrderStop)
				if err := reg.CancelOrder(s.ctx, s.org, 1, "test"); err == nil || !d.dead.Load() {
					t.Fatalf("the node lives: %v", err)
				}
				if at == 1 && !after {
					s.must(s.reg.CancelOrder(s.ctx, s.org, 1, "test")) // nothing was written
				}
				s.survive()
				wait(t, "everybody to stay", func() bool { o := s.progress(1); return o.Cancelled == people && o.Leaving == 0 })
				wait(t, "no deadline of the order", func() bool { return !slices.Contains(s.due(), "order/1") })
				for _, op := range ids {
					if rec := s.operator(op); rec.Leaving != nil || rec.Out {
						t.Fatalf("operator %d: %+v", op, rec)
					}
				}
			})
		}
		t.Run(fmt.Sprintf("the deadline, done %v", after), func(t *testing.T) {
			s := newSite(t)
			s.operators(1, 1)
			s.online(1)
			s.call(1, "c")
			within := int64(50)
			s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1}, DeadlineMS: &within})
			d := &dying{at: 1, after: after}
			reg := s.dyingNode(d, scriptCut)
			wait(t, "the deadline", func() bool {
				time.Sleep(5 * time.Millisecond)
				now, err := s.reg.Now(s.ctx)
				s.must(err)
				return now > s.operator(1).Since+60
			})
			_, err := reg.Call(s.ctx, s.org, scriptCut, nil, "1")
			if err == nil {
				t.Fatal("the node lives")
			}
			s.survive()
			wait(t, "the end", func() bool { return s.operator(1).Out })
			s.out(0)
			s.counts(1, 1, 0, 0)
		})
		t.Run(fmt.Sprintf("the end of work, done %v", after), func(t *testing.T) { // F29
			s := newSite(t)
			s.operators(1, 1)
			s.online(1)
			s.must(s.reg.StartCall(s.ctx, s.org, 1, "c", 300*time.Millisecond))
			s.order(OrderSpec{ID: 1, Operators: []switchboard.OperatorID{1}})
			d := &dying{at: 1, after: after}
			reg := s.dyingNode(d, scriptCall)
			if err := reg.EndCall(s.ctx, s.org, 1, "c"); err == nil {
				t.Fatal("the node lives")
			}
			s.survive() // a lost telephony ends the call by its lease
			wait(t, "the end", func() bool { return s.operator(1).Out })
			s.out(0)
			s.counts(1, 1, 0, 0)
		})
	}
}
