package loadtest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchboard/switchboard"
)

const (
	vic = switchboard.PersonID("v1")
	ann = switchboard.PersonID("o1")
	bob = switchboard.PersonID("o2")
)

func said(seq int64, from switchboard.PersonID, cmid string) switchboard.Message {
	return switchboard.Message{Chat: 7, Seq: seq, Pos: fmt.Sprint(seq, "-1"), From: from, Cmid: cmid}
}

// exchanged is a ledger in which vic and ann each wrote one message and all
// went well.
func exchanged() *Ledger {
	g := NewLedger(5)
	now := time.Now()
	g.Started(7, vic, now, 2, true)
	g.Operator(1, true, true, 0)
	g.Offered(7, 1)
	g.OfferEnded(7, 1, switchboard.OfferAccepted)
	g.Held(7, 1, true)
	g.Active(7, 1, 1)
	g.Sent(7, vic, "a", now)
	g.Acked(7, vic, "a", 1)
	g.Sent(7, ann, "b", now)
	g.Acked(7, ann, "b", 2)
	for _, p := range []switchboard.PersonID{vic, ann} {
		g.Seen(p, said(1, vic, "a"))
		g.Seen(p, said(2, ann, "b"))
	}
	return g
}

func verdict(g *Ledger) Report {
	var r Report
	g.Ended(7)
	g.judge(&r, restart{})
	return r
}

func TestLedgerFindsNothingInAGoodExchange(t *testing.T) {
	r := verdict(exchanged())
	m := r.Messages
	if m.Sent != 2 || m.Acked != 2 || m.Delivered != 2 || r.Chats.Finished != 1 || r.Chats.CrossNode != 1 {
		t.Errorf("%+v %+v", m, r.Chats)
	}
	if m.Lost+m.Repeated+m.OutOfOrder+m.Unacked+m.Refused+m.Forked+m.Strangers+r.Chats.Double+r.Chats.OverLimit != 0 {
		t.Errorf("faults: %+v %+v", m, r.Chats)
	}
}

func TestLedgerFindsEachFault(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		add  func(g *Ledger)
		want Messages
	}{
		"acked and not shown to the other party": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Acked(7, vic, "c", 3)
			g.Seen(vic, said(3, vic, "c"))
		}, Messages{Lost: 1}},
		"acked and not shown to the author": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Acked(7, vic, "c", 3)
			g.Seen(ann, said(3, vic, "c"))
		}, Messages{Lost: 1}},
		"a reader made to jump a sequence": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Acked(7, vic, "c", 4)
			g.Seen(ann, said(4, vic, "c"))
			g.Seen(vic, said(4, vic, "c"))
		}, Messages{Lost: 2}},
		"shown again under its sequence": {func(g *Ledger) { g.Seen(ann, said(2, ann, "b")) }, Messages{Repeated: 1}},
		"shown again under a new sequence": {func(g *Ledger) {
			g.Seen(ann, said(3, ann, "b"))
		}, Messages{Repeated: 1}},
		"stored before the one sent earlier": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Sent(7, vic, "d", now)
			for _, p := range []switchboard.PersonID{vic, ann} {
				g.Seen(p, said(3, vic, "d"))
				g.Seen(p, said(4, vic, "c"))
			}
			g.Acked(7, vic, "c", 4)
			g.Acked(7, vic, "d", 3)
		}, Messages{OutOfOrder: 1}},
		"shown after a later one": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Sent(7, ann, "d", now)
			g.Seen(vic, said(3, vic, "c"))
			g.Seen(vic, said(4, ann, "d"))
			g.Seen(ann, said(4, ann, "d"))
			g.Seen(ann, said(3, vic, "c"))
			g.Acked(7, vic, "c", 3)
			g.Acked(7, ann, "d", 4)
		}, Messages{OutOfOrder: 1, Lost: 1}}, // ann jumped 3 first
		"never acked": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
		}, Messages{Unacked: 1}},
		"refused for good": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Refused(7, vic, "c")
		}, Messages{Refused: 1}},
		"acked under another sequence than stored": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Acked(7, vic, "c", 9)
			g.Seen(vic, said(3, vic, "c"))
			g.Seen(ann, said(3, vic, "c"))
		}, Messages{Forked: 1}},
		"two readers with another message at one sequence": {func(g *Ledger) {
			g.Sent(7, vic, "c", now)
			g.Sent(7, ann, "d", now)
			g.Seen(vic, said(3, vic, "c"))
			g.Seen(ann, said(3, ann, "d"))
		}, Messages{Forked: 1, Unacked: 2}},
		"sent by nobody": {func(g *Ledger) {
			g.Seen(vic, said(3, ann, "x"))
			g.Seen(ann, said(3, ann, "x"))
		}, Messages{Strangers: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			g := exchanged()
			c.add(g)
			m := verdict(g).Messages
			got := Messages{
				Lost: m.Lost, Repeated: m.Repeated, OutOfOrder: m.OutOfOrder, Unacked: m.Unacked,
				Refused: m.Refused, Forked: m.Forked, Strangers: m.Strangers,
			}
			if got != c.want {
				t.Errorf("found %+v\nwant  %+v", got, c.want)
			}
		})
	}
}

func TestLedgerForgivesRepeatsAfterADeclaredLossOfPosition(t *testing.T) {
	g := exchanged()
	g.Forgot(7, ann)
	g.Seen(ann, said(1, vic, "a"))
	g.Seen(ann, said(2, ann, "b"))
	if m := verdict(g).Messages; m.Repeated+m.OutOfOrder+m.Lost+m.Forked != 0 {
		t.Errorf("%+v", m)
	}
}

func TestLedgerWantsTheWholeLogFromALaterOperator(t *testing.T) {
	g := exchanged()
	g.Operator(1, false, false, 0)
	g.Operator(2, true, true, 0)
	g.Held(7, 2, true)
	g.Seen(bob, said(1, vic, "a"))
	if m := verdict(g).Messages; m.Lost != 1 {
		t.Errorf("bob did not see message 2, but %d are lost", m.Lost)
	}
	g.Seen(bob, said(2, ann, "b"))
	if m := verdict(g).Messages; m.Lost != 0 {
		t.Errorf("bob saw all, but %d are lost", m.Lost)
	}
}

func TestLedgerFindsAChatHeldByTwo(t *testing.T) {
	for name, c := range map[string]struct {
		overlap time.Duration // until ann knows, or loses her socket
		cut     bool          // she loses her socket
		want    int
	}{
		"for long":                             {5 * time.Second, false, 1},
		"while the frames cross":               {time.Second, false, 0},
		"by one who is not connected any more": {0, true, 0},
		"until one of them loses his socket":   {5 * time.Second, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := exchanged()
				g.Operator(2, true, true, 0)
				if c.cut && c.overlap == 0 {
					g.Operator(1, false, false, 0)
				}
				g.Held(7, 2, true)
				time.Sleep(c.overlap)
				if c.overlap == 0 {
					time.Sleep(5 * time.Second) // ann does not come back
				} else if c.cut {
					g.Operator(1, false, false, 0)
				} else {
					g.Held(7, 1, false)
				}
				if got := verdict(g).Chats.Double; got != c.want {
					t.Errorf("%d chats held by two, want %d", got, c.want)
				}
			})
		})
	}
	t.Run("to the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := exchanged()
			g.Operator(2, true, true, 0)
			g.Held(7, 2, true)
			time.Sleep(5 * time.Second)
			if got := verdict(g).Chats.Double; got != 1 {
				t.Errorf("%d chats held by two, want 1", got)
			}
		})
	})
}

func TestLedgerFindsAnOperatorAboveTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewLedger(2)
		g.Operator(1, true, true, 0)
		g.Held(1, 1, true)
		g.Held(2, 1, true)
		g.Offered(3, 1)
		time.Sleep(time.Second)
		g.OfferEnded(3, 1, switchboard.OfferWithdrawn)
		if r := verdict(g); r.Chats.OverLimit != 0 {
			t.Errorf("a second above the limit was counted: frames may cross")
		}
		g.Held(3, 1, true)
		time.Sleep(5 * time.Second)
		if r := verdict(g); r.Chats.OverLimit != 1 {
			t.Errorf("%d times over the limit, want 1", r.Chats.OverLimit)
		}
	})
	g := NewLedger(2)
	g.Stated(switchboard.OperatorView{Chats: 2})
	g.Stated(switchboard.OperatorView{Chats: 2, Offers: 1})
	if g.faults.overLimit != 1 {
		t.Errorf("the server said 3 of 2 once, counted %d", g.faults.overLimit)
	}
}

func TestCensusCountsWhoWaitsAndWhoIsFree(t *testing.T) {
	g := NewLedger(2)
	now := time.Now()
	for id := range switchboard.ChatID(3) {
		g.Started(id+1, switchboard.VisitorPerson(fmt.Sprint(id)), now, 2, true)
	}
	g.Operator(1, true, true, 0)
	g.Operator(2, true, false, 0)
	g.Operator(3, false, true, 0)
	check := func(step string, want Census) {
		t.Helper()
		if got := g.Census(); got != want {
			t.Errorf("%s: %+v, want %+v", step, got, want)
		}
	}
	check("one of three is here and available", Census{Waiting: 3, Free: 1, Slots: 2, Open: 3})
	g.Offered(1, 1)
	check("an offer takes a slot", Census{Waiting: 2, Free: 1, Slots: 1, Open: 3})
	g.OfferEnded(1, 1, switchboard.OfferAccepted)
	g.Held(1, 1, true)
	g.Active(1, 1, 0)
	check("accepted", Census{Waiting: 2, Free: 1, Slots: 1, Open: 3})
	g.Offered(2, 1)
	check("full", Census{Waiting: 1, Free: 0, Slots: 0, Open: 3})
	g.OfferEnded(2, 1, switchboard.OfferTimeout)
	check("silent", Census{Waiting: 2, Free: 1, Slots: 1, Open: 3})
	g.Held(1, 1, false)
	g.Ended(1)
	check("one is over", Census{Waiting: 2, Free: 1, Slots: 2, Open: 2})
	g.Operator(1, false, false, 0)
	check("nobody is here", Census{Waiting: 2, Open: 2})
}

func TestLedgerTimesWhatAFreedSlotWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewLedger(1)
		g.Operator(1, true, true, 0)
		g.Started(1, "v1", time.Now(), 2, true)
		g.Started(2, "v2", time.Now(), 2, false)
		g.Held(1, 1, true)
		g.Active(1, 1, 0)
		time.Sleep(20 * time.Second)
		g.Held(1, 1, false)
		time.Sleep(30 * time.Millisecond)
		g.Offered(2, 1)
		var r Report
		g.judge(&r, restart{})
		if want := (Spread{N: 1, P50: 30, P99: 30, Max: 30}); r.Chats.Freed != want {
			t.Errorf("%+v, want %+v", r.Chats.Freed, want)
		}
	})
}

func TestLatencyAroundTheRestartIsKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewLedger(5)
		g.Started(7, vic, time.Now(), 2, true)
		g.Held(7, 1, true)
		g.Sent(7, vic, "first", time.Now())
		hit := restart{asked: time.Now().Add(20 * time.Second), around: 10 * time.Second}
		// Sent at 0, 10, 20 ... s and seen after 1, 2, 3 ... s.
		for i := range 5 {
			cmid := fmt.Sprint("c", i)
			g.Sent(7, vic, cmid, time.Now())
			took := time.Duration(i+1) * time.Second
			time.Sleep(took)
			g.Seen(ann, said(int64(i+1), vic, cmid))
			g.Acked(7, vic, cmid, int64(i+1))
			time.Sleep(10*time.Second - took)
		}
		var r Report
		g.judge(&r, hit)
		if got := r.Messages.Took; got.N != 4 || got.Max != 5000 {
			t.Errorf("away from the restart: %+v", got)
		}
		if got := r.Messages.TookHit; got.N != 1 || got.Max != 3000 {
			t.Errorf("around it: %+v", got)
		}
	})
}
