package presence

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

// soon buries a node that has been silent for half a second; crashed people
// stay in grace for longer than any test.
var soon = Config{Beat: 50 * time.Millisecond, Sweep: 20 * time.Millisecond, BuryAfter: 500 * time.Millisecond, CrashGrace: grace}

// crowd puts n visitors and one operator (id 1, Available) on a node.
func (s *site) crowd(reg *Registry, n int) {
	s.t.Helper()
	s.operators(1, 1)
	s.enter(reg, 1)
	s.status(1, switchboard.StatusAvailable)
	for i := range n {
		_, err := reg.Enter(s.ctx, s.org, switchboard.VisitorPerson(fmt.Sprint("c", i)), 0)
		s.must(err)
	}
}

// inGrace returns how many people have no edge and a grace deadline.
func (s *site) inGrace() int {
	s.t.Helper()
	links, err := s.rdb.HGetAll(s.ctx, s.key("link")).Result()
	s.must(err)
	due, n := s.due(), 0
	for person, link := range links {
		if link == "-" && slices.Contains(due, "grace/"+person) {
			n++
		}
	}
	return n
}

func (s *site) registered(reg *Registry) bool {
	s.t.Helper()
	has, err := s.rdb.HExists(s.ctx, keyNodes, reg.Incarnation()).Result()
	s.must(err)
	return has
}

// nothingLeft waits until the store has forgotten a dead incarnation.
func (s *site) nothingLeft(inc string) {
	s.t.Helper()
	p := s.reg.Partition(s.org)
	wait(s.t, "nothing left of incarnation "+inc, func() bool {
		pipe := s.rdb.Pipeline()
		live, inbox := pipe.SIsMember(s.ctx, p.key("live"), inc), pipe.HExists(s.ctx, p.InboxHeads(), inc)
		keys := pipe.Exists(s.ctx, p.Own(inc), keyNode(inc))
		_, err := pipe.Exec(s.ctx)
		s.must(err)
		return !live.Val() && !inbox.Val() && keys.Val() == 0
	})
}

// A killed node stops to beat. A peer buries it within two beats of BuryAfter
// and everybody it held is in grace, not offline.
func TestLeaseSilentNodeIsBuriedAndItsPeopleAreInGrace(t *testing.T) {
	s := newSite(t)
	dead, peer := s.node(soon), s.node(soon)
	s.crowd(dead, 600)
	s.run(s.reg, nil)
	began := time.Now()
	s.run(peer, nil)
	wait(t, "the burial", func() bool { return !s.registered(dead) })
	if took := time.Since(began); took < soon.BuryAfter || took > soon.BuryAfter+5*time.Second {
		t.Errorf("buried after %v", took)
	}
	wait(t, "601 people in grace", func() bool { return s.inGrace() == 601 })
	s.shows(1, switchboard.StatusAvailable)
	if s.free(0, 1) {
		t.Error("an operator of a dead node may be given chats")
	}
	s.nothingLeft(dead.Incarnation())
	if n := value(peer.metrics.buried) + value(s.reg.metrics.buried); n != 1 {
		t.Errorf("buried %v times", n)
	}
	if e := s.enter(peer, 1); e.Back || !s.free(0, 1) {
		t.Error("the operator could not return within the grace")
	}
}

// Whoever reaps may die in the middle: the next one finds what is left.
func TestLeaseReapGoesOnWhenTheReaperDies(t *testing.T) {
	s := newSite(t)
	dead := s.node(soon)
	s.crowd(dead, 600)
	s.must(s.rdb.HDel(s.ctx, keyNodes, dead.Incarnation()).Err())
	s.must(s.rdb.Del(s.ctx, keyNode(dead.Incarnation())).Err())
	p := s.reg.Partition(s.org)
	// The first reaper stops behind its first step of each kind.
	raw, err := s.reg.eval(s.ctx, scriptDead, s.reg.deadKeys(p, dead.Incarnation()), dead.Incarnation(), 250)
	s.must(err)
	batch := texts(raw)
	if len(batch) != 250 {
		t.Fatalf("%d edges in one step, want 250", len(batch))
	}
	args := []any{dead.Incarnation(), grace.Milliseconds()}
	for _, edge := range batch {
		_, person, _ := splitEdge(edge)
		args = append(args, person)
	}
	_, err = s.reg.call(s.ctx, s.org, scriptLeave, dead.Incarnation(), nil, args...)
	s.must(err)
	if n := s.inGrace(); n != 250 {
		t.Fatalf("%d in grace after one step", n)
	}
	s.run(s.reg, nil)
	wait(t, "everybody in grace", func() bool { return s.inGrace() == 601 })
	s.nothingLeft(dead.Incarnation())
}

// A node that was taken for dead may not write under its old number; it learns
// so at its next call, comes back under a new one, and asserts its people.
func TestLeaseFencedNodeComesBackUnderANewNumber(t *testing.T) {
	s := newSite(t)
	cfg := soon
	var frozen *Registry
	asserted := make(chan string, 10)
	cfg.Rejoined = func(ctx context.Context, inc string) {
		if _, err := frozen.Enter(ctx, s.org, "o1", s.token(1)); err != nil {
			t.Error(err)
		}
		asserted <- inc
	}
	frozen = s.node(cfg)
	s.crowd(frozen, 0)
	old := frozen.Incarnation()
	s.run(s.reg, nil)
	s.run(s.node(soon), nil)
	wait(t, "the burial", func() bool { return !s.registered(frozen) })
	wait(t, "the reaping", func() bool { return s.link("o1") == "-" })

	_, err := frozen.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusBreak, Source: "operator"})
	s.wants("a write of a fenced node", err, switchboard.CodeUnavailable)
	_, err = frozen.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusBreak, Source: "operator"})
	s.wants("its next write", err, switchboard.CodeUnavailable) // it must not join again under a buried number
	s.shows(1, switchboard.StatusAvailable)

	ear := s.listen()
	s.run(frozen, nil) // the freeze is over
	inc := <-asserted
	if inc == old || inc != frozen.Incarnation() || s.link("o1") != inc {
		t.Errorf("was %s, is %s, told %s, link %q", old, frozen.Incarnation(), inc, s.link("o1"))
	}
	if got := ear.heard(); len(got) != 0 {
		t.Errorf("the freeze was within the grace and told %+v", got)
	}
	_, err = frozen.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusBreak, Source: "operator"})
	s.must(err)
	s.nothingLeft(old)
}

// A node with many people says for long who is here; meanwhile it beats, or it would be
// buried again. (Red when lease.go calls Rejoined in its loop.)
func TestLeaseBeatsWhileItSaysWhoIsHere(t *testing.T) {
	s := newSite(t)
	cfg := soon
	begun, end := make(chan string, 10), make(chan struct{})
	cfg.Rejoined = func(ctx context.Context, inc string) {
		begun <- inc
		select {
		case <-ctx.Done():
		case <-end:
		}
	}
	frozen := s.node(cfg)
	s.crowd(frozen, 0)
	s.run(s.reg, nil)
	s.run(s.node(soon), nil)
	wait(t, "the burial", func() bool { return !s.registered(frozen) })
	s.run(frozen, nil)
	inc := <-begun
	wait(t, "twice the beats in which a silent node is buried", func() bool {
		beats, err := s.rdb.HGet(s.ctx, keyNodes, inc).Int64()
		return err == nil && beats > 2*int64(cfg.BuryAfter/cfg.Beat)
	})
	if len(begun) != 0 || frozen.Incarnation() != inc {
		t.Errorf("was %s, is %s; said again by %d", inc, frozen.Incarnation(), len(begun))
	}
	close(end)
}

// A partition whose live list is lost (a rolled-back server) lets a living node
// in again: it is fenced once and enters anew under its old number.
func TestLeaseLostLiveListIsEnteredAgain(t *testing.T) {
	s := newSite(t)
	s.operators(1, 1)
	s.enter(s.reg, 1)
	inc := s.reg.Incarnation()
	s.must(s.rdb.Del(s.ctx, s.reg.Partition(s.org).key("live")).Err())
	_, err := s.reg.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusBreak})
	s.wants("the first write", err, switchboard.CodeUnavailable)
	_, err = s.reg.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusBreak})
	s.must(err)
	if s.reg.Incarnation() != inc {
		t.Error("a living node took a new number")
	}
}

func TestLeaseLivingNodesAreNeverBuried(t *testing.T) {
	s := newSite(t)
	cfg := soon
	cfg.BuryAfter = 2 * time.Second // a busy machine may hold a beat back for long
	nodes := []*Registry{s.node(cfg), s.node(cfg), s.node(cfg)}
	incs := make([]string, len(nodes))
	for i, n := range nodes {
		incs[i] = n.Incarnation()
		s.run(n, nil)
	}
	s.run(s.reg, nil)
	wait(t, "60 beats of each", func() bool { // 3 s: longer than BuryAfter
		counters, err := s.rdb.HMGet(s.ctx, keyNodes, incs...).Result()
		s.must(err)
		return !slices.ContainsFunc(counters, func(c any) bool { text, _ := c.(string); return len(text) < 2 || text < "60" && len(text) == 2 })
	})
	for i, n := range nodes {
		if n.Incarnation() != incs[i] || value(n.metrics.buried) != 0 || value(n.metrics.rejoins) != 0 {
			t.Errorf("node %s is %s now, has buried %v", incs[i], n.Incarnation(), value(n.metrics.buried))
		}
	}
}

// A planned stop gives the lease back: peers need not wait for a silence.
func TestLeaseIsGivenBackAtTheEndOfRun(t *testing.T) {
	s := newSite(t)
	leaves := s.node(quick)
	s.crowd(leaves, 3)
	s.run(s.reg, nil)
	stop := s.run(leaves, nil)
	stop()
	if s.registered(leaves) {
		t.Error("the lease is still there")
	}
	wait(t, "everybody in grace", func() bool { return s.inGrace() == 4 }) // BuryAfter is an hour here
	s.nothingLeft(leaves.Incarnation())
	if err := s.admin().Run(s.ctx, nil); err == nil {
		t.Error("an administrator's registry runs")
	}
}

func (s *site) admin() *Registry {
	s.t.Helper()
	reg, err := Open(s.ctx, s.rdb, Config{Admin: true})
	s.must(err)
	return reg
}

// A store made with another partition table would be searched under other keys.
func TestOpenRefusesAnotherPartitionTable(t *testing.T) {
	s := newSite(t)
	s.must(s.rdb.Set(s.ctx, keyTags, "a,b,c", 0).Err())
	_, err := Open(s.ctx, s.rdb, quick)
	s.wants("another table", err, switchboard.CodeConflict)
}
