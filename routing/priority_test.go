package routing

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// whatever priorities chats were given while they waited, in whatever order, the
// queue is the one that they would stand in with their last ones from the start: the
// bound on overtaking is that of Start. (Red with the rank moved by the new step
// where the old was used, and with the last four bits of the rank left as they were.)
func TestPriorityChangesLeaveNoTrace(t *testing.T) {
	one := newDesk(t)
	rapid.Check(t, func(rt *rapid.T) {
		d := *one
		d.org = switchboard.OrgID(lastOrg.Add(1))
		if err := d.reg.EnsureOrg(d.ctx, d.org); err != nil {
			rt.Fatal(err)
		}
		step := rapid.IntRange(1, 5).Draw(rt, "step")
		d.set(presence.Team{Name: "Everyone", PriorityStep: step})
		type standing struct {
			id   switchboard.ChatID
			key  int
			prio int
		}
		var want []standing
		put := func(i, p int) {
			c, err := d.rt.Prioritize(d.ctx, d.org, want[i].id, p, "test")
			if err != nil || c.Priority != p {
				rt.Fatalf("priority %d: %+v, %v", p, c, err)
			}
			want[i].prio, want[i].key = p, i-p*step
		}
		for i, p := range rapid.SliceOfN(rapid.IntRange(0, 9), 1, 12).Draw(rt, "priorities") {
			c, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(fmt.Sprint("q", i)), Priority: p})
			if err != nil {
				rt.Fatal(err)
			}
			want = append(want, standing{c.ID, i - p*step, p})
		}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 119), 0, 20).Draw(rt, "changes") {
			if n >= 110 { // another step: what was given by the old one is taken back by it
				step = 1 + n%5
				d.set(presence.Team{Name: "Everyone", PriorityStep: step})
				continue
			}
			put(n/10%len(want), n%10)
		}
		for i := range want { // all by the step of now
			put(i, 0)
			put(i, rapid.IntRange(0, 9).Draw(rt, "last"))
		}
		slices.SortFunc(want, func(a, b standing) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(b.prio, a.prio)) })
		list, err := d.rt.Queue(d.ctx, d.org, 0, 200)
		if err != nil || len(list) != len(want) {
			rt.Fatalf("%d wait, %v", len(list), err)
		}
		for i, c := range list {
			if c.ID != want[i].id || c.Place != int64(i+1) {
				rt.Fatalf("place %d has chat %d of priority %d, want %d of %d", i+1, c.ID, c.Priority, want[i].id, want[i].prio)
			}
		}
	})
}

// A chat that is offered or held keeps its operator; it waits by its new rank when it
// comes back. (Red with the score left as it was.)
func TestPriorityOfAChatThatIsOffered(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 1, 1)
	first, second := d.start("a"), d.start("b")
	d.holds("offered", first.ID, switchboard.ChatOffered, 1)
	third := d.start("c")
	if _, err := d.rt.Prioritize(d.ctx, d.org, third.ID, 3, "test"); err != nil {
		t.Fatal(err)
	}
	if c, err := d.rt.Prioritize(d.ctx, d.org, first.ID, 5, "test"); err != nil || c.State != switchboard.ChatOffered {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := d.rt.Prioritize(d.ctx, d.org, second.ID, 4, "test"); err != nil {
		t.Fatal(err)
	}
	d.intent(1, switchboard.StatusBreak)
	if err := d.rt.Decline(d.ctx, d.org, 1, first.ID, first.Token); err != nil {
		t.Fatal(err)
	}
	list, err := d.rt.Queue(d.ctx, d.org, 0, 10)
	if err != nil || len(list) != 3 || list[0].ID != first.ID || list[1].ID != second.ID || list[2].ID != third.ID {
		t.Errorf("the queue is %+v, %v", list, err)
	}
	for _, bad := range []int{-1, 10} {
		if _, err := d.rt.Prioritize(d.ctx, d.org, first.ID, bad, "test"); switchboard.CodeOf(err) != switchboard.CodeInvalid {
			t.Errorf("priority %d: %v", bad, err)
		}
	}
	d.check()
}
