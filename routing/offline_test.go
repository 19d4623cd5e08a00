package routing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

func left(n int) OfflineMessage {
	return OfflineMessage{Visitor: switchboard.VisitorPerson(fmt.Sprint("v", n)), Cmid: "c", Info: Info{Name: "Bo", Email: "bo@example.test"}, Text: fmt.Sprint("message ", n)}
}

func TestOfflineMessagesAreKeptOnceAndReadBackwards(t *testing.T) {
	d := newDesk(t)
	for n := 1; n <= 5; n++ {
		for range 2 { // a repeat leaves nothing more
			m, err := d.rt.Leave(d.ctx, d.org, left(n))
			if err != nil || m.ID != int64(n) || m.At == 0 {
				t.Fatalf("%+v, %v", m, err)
			}
		}
	}
	list, err := d.rt.OfflineMessages(d.ctx, d.org, 5, 3)
	if err != nil || len(list) != 3 || list[0].ID != 4 || list[2].ID != 2 || list[0].Text != "message 4" || list[0].Email != "bo@example.test" || list[0].Done != nil {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, by := range []switchboard.PersonID{"o7", "o8"} {
		if err := d.rt.OfflineDone(d.ctx, d.org, 4, by); err != nil {
			t.Fatal(err)
		}
	}
	if list, err = d.rt.OfflineMessages(d.ctx, d.org, 0, 200); err != nil || len(list) != 5 || list[1].Done == nil || list[1].Done.By != "o7" || list[0].Done != nil {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := d.rt.OfflineDone(d.ctx, d.org, 6, "o7"); switchboard.CodeOf(err) != switchboard.CodeNotFound {
		t.Error(err)
	}
	audit, err := d.rdb.XRange(d.ctx, d.reg.Partition(d.org).Key(d.org, "audit"), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	entries := map[any]int{}
	for _, e := range audit {
		entries[e.Values["what"]]++
		if strings.Contains(fmt.Sprint(e.Values), "message 4") {
			t.Errorf("the audit repeats what a visitor wrote: %v", e.Values)
		}
	}
	if entries["offline message"] != 5 || entries["offline message done"] != 1 {
		t.Errorf("audit: %v", entries)
	}
}

func TestOfflineMessagesAreBounded(t *testing.T) {
	d := newDesk(t)
	for n := range MaxOfflineVisitor {
		m := left(1)
		m.Cmid = fmt.Sprint("c", n)
		if _, err := d.rt.Leave(d.ctx, d.org, m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.rt.Leave(d.ctx, d.org, left(1)); switchboard.CodeOf(err) != switchboard.CodeTooFast {
		t.Errorf("one more of a visitor: %v", err)
	}
	// The box is as good as full: only the numbers are.
	key := d.reg.Partition(d.org).Key(d.org, "offline")
	if err := d.rdb.HSet(d.ctx, key, "#", MaxOffline).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.rt.Leave(d.ctx, d.org, left(2)); switchboard.CodeOf(err) != switchboard.CodeConflict {
		t.Errorf("one more than the box holds: %v", err)
	}
	if err := d.rt.OfflineDone(d.ctx, d.org, 1, "o7"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.rt.Leave(d.ctx, d.org, left(2)); err != nil {
		t.Errorf("after one was dealt with: %v", err)
	}
	list, err := d.rt.OfflineMessages(d.ctx, d.org, 3, 200)
	if err != nil || len(list) != 1 || list[0].ID != 2 {
		t.Errorf("the oldest that was dealt with made room: %+v, %v", list, err)
	}
	// Time is over: those of the retention go, ten at a time.
	d.rt.cfg.Retention = time.Nanosecond
	if err := d.rdb.HSet(d.ctx, key, "#", MaxOffline+1).Err(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // Redis counts milliseconds
	if _, err := d.rt.Leave(d.ctx, d.org, left(3)); err != nil {
		t.Error(err)
	}
}

func TestOfflineMessagesTellEveryProblem(t *testing.T) {
	d := newDesk(t)
	_, err := d.rt.Leave(d.ctx, d.org, OfflineMessage{Visitor: "va", Team: -1, Info: Info{Email: "Bo <bo@example.test>", Name: strings.Repeat("n", 101)}, Text: " \n"})
	var e *switchboard.Error
	if !errors.As(err, &e) || len(e.Problems) != 5 || e.Problems[0].Field != "cmid" || e.Problems[3].Field != "email" {
		t.Errorf("%+v, %v", e, err)
	}
	m := left(1)
	m.Team = 99
	if _, err := d.rt.Leave(d.ctx, d.org, m); switchboard.CodeOf(err) != switchboard.CodeInvalid {
		t.Error(err)
	}
}
