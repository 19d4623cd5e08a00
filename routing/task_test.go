package routing

import (
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Outside work takes units beside chats, whatever the limit; no chat comes before there
// is room, and the next comes in the step that ends it or its lease. A status
// for after the work waits for it. (Red with "other" left out of tally, and with
// finish left out of task.lua.)
func TestOutsideWorkTakesUnits(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", OfferMS: 600_000})
	d.operators(1, 1, 3)
	start := func(id string, units int, lease time.Duration) {
		t.Helper()
		if err := d.reg.StartTask(d.ctx, d.org, 1, presence.Task{ID: id, Units: units}, lease); err != nil {
			t.Fatal(err)
		}
	}
	start("mail", 2, time.Hour)
	first := d.active("a")
	second := d.start("b")
	d.holds("2 + 1 of 3", second.ID, switchboard.ChatWaiting, 0)
	start("case", 5, time.Minute) // over the limit: it is there already
	d.check()
	if v := d.operator(1).View(true); v.Others != 2 || v.Chats != 1 {
		t.Errorf("the board shows %d others, %d chats", v.Others, v.Chats)
	}
	if err := d.reg.EndTask(d.ctx, d.org, 1, "mail"); err != nil {
		t.Fatal(err)
	}
	d.match()
	d.holds("5 + 1 of 3", second.ID, switchboard.ChatWaiting, 0)
	d.warp(61 * time.Second)
	d.holds("the lease is over", second.ID, switchboard.ChatOffered, 1)
	d.check()

	start("mail", 1, time.Hour)
	start("mail", 1, time.Hour) // renewed
	if _, err := d.reg.SetStatus(d.ctx, d.org, 1, presence.StatusChange{Status: switchboard.StatusBreak, Source: "operator", When: "after_work"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Chat{first, second} {
		if _, err := d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done"); err != nil {
			t.Fatal(err)
		}
	}
	if op := d.operator(1); op.Intent != switchboard.StatusAvailable || op.Pending == nil {
		t.Errorf("while outside work is left: %s, pending %v", op.Intent, op.Pending)
	}
	if err := d.reg.EndTask(d.ctx, d.org, 1, "mail"); err != nil {
		t.Fatal(err)
	}
	if op := d.operator(1); op.Intent != switchboard.StatusBreak || len(op.Work) != 0 {
		t.Errorf("after the last work: %s, %v", op.Intent, op.Work)
	}
	d.check()
}
