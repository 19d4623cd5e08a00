package routing

import (
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// An answer counts until its deadline and once; after it, nothing is changed, and
// the fallback has decided.
func TestWebhookAnswersCountInTimeAndOnce(t *testing.T) {
	d := newDesk(t)
	asks := make(chan Ask, 10)
	d.rt.cfg.Ask = func(_ switchboard.OrgID, q Ask) { asks <- q }
	d.operators(1, 2, 9)
	put := func(ms int64) {
		d.team(presence.Team{ID: 0, Name: "Everyone", Strategy: presence.Webhook, Fallback: presence.RoundRobin, Webhook: "https://shop.example/", WebhookMS: ms})
	}
	put(10_000)
	c := d.start("a")
	if c.State != switchboard.ChatWaiting {
		t.Fatalf("%+v", c)
	}
	match := func() {
		t.Helper()
		if err := d.rt.Match(d.ctx, d.org); err != nil {
			t.Fatal(err)
		}
	}
	match()
	q := <-asks
	if q.URL != "https://shop.example/" || q.Chat != c.ID || len(q.Candidates) != 2 {
		t.Errorf("%+v", q)
	}
	match() // it is asked once
	if len(asks) != 0 {
		t.Error("the same question was put again")
	}
	advise := func(q Ask, want bool, ops ...switchboard.OperatorID) {
		t.Helper()
		if got, err := d.rt.Advise(d.ctx, d.org, q, ops); err != nil || got != want {
			t.Errorf("the answer counts: %v, %v", got, err)
		}
	}
	forged := q
	forged.ID += "0"
	advise(forged, false, 2)
	advise(q, true, 2)
	if got := d.chat(c.ID); got.State != switchboard.ChatOffered || got.Operator != 2 {
		t.Errorf("%+v", got)
	}
	advise(q, false, 1)
	// It is declined: who is next is another question.
	now := d.chat(c.ID)
	if err := d.rt.Decline(d.ctx, d.org, 2, c.ID, now.Token); err != nil {
		t.Fatal(err)
	}
	match()
	if again := <-asks; again.Tries != 1 || again.ID == q.ID {
		t.Errorf("%+v", again)
	} else {
		advise(again, true, 2) // who declined it is passed over, whoever is preferred
	}
	if got := d.chat(c.ID); got.State != switchboard.ChatOffered || got.Operator != 1 {
		t.Errorf("%+v", got)
	}

	// Time is over: the deadline has the fallback decide, and the answer is late.
	put(100)
	late := d.start("b")
	match()
	q = <-asks
	time.Sleep(150 * time.Millisecond) // its time, by the clock of the store
	advise(q, false, 2)
	if got := d.chat(late.ID); got.State != switchboard.ChatWaiting {
		t.Errorf("a late answer gave the chat away: %+v", got)
	}
	if err := d.rt.Ring(d.ctx, presence.AlarmAsk, d.org, "2"); err != nil {
		t.Fatal(err)
	}
	if got := d.chat(late.ID); got.State != switchboard.ChatOffered {
		t.Errorf("after the deadline the chat is %s", got.State)
	}
	d.check()
}
