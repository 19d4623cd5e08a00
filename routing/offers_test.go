package routing

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// ear hears what the operators of a desk are told of their offers.
type ear struct {
	mu   sync.Mutex
	gone map[switchboard.ChatID][]string // reasons why offers of a chat ended, in order
}

// ears hear the node's nudges from here on.
func (d *desk) ears() *ear {
	e := &ear{gone: map[switchboard.ChatID][]string{}}
	sub := d.rdb.Subscribe(d.ctx, d.reg.Partition(d.org).Inbox(d.reg.Incarnation()))
	if _, err := sub.Receive(d.ctx); err != nil {
		d.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range sub.Channel() {
			for nudge := range strings.SplitSeq(m.Payload, separator) {
				f := strings.SplitN(nudge, "\t", 6)
				if len(f) == 6 && strings.Contains(f[5], `"offer.gone"`) {
					var gone struct {
						Chat   switchboard.ChatID
						Reason string
					}
					if err := json.Unmarshal([]byte(f[5]), &gone); err != nil {
						d.t.Error(err)
					}
					e.mu.Lock()
					e.gone[gone.Chat] = append(e.gone[gone.Chat], gone.Reason)
					e.mu.Unlock()
				}
			}
		}
	}()
	d.t.Cleanup(func() { sub.Close(); <-done })
	return e
}

func (e *ear) reasons(t testing.TB, chat switchboard.ChatID, want ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		e.mu.Lock()
		got = append([]string(nil), e.gone[chat]...)
		e.mu.Unlock()
		if strings.Join(got, " ") == strings.Join(want, " ") {
			return
		}
	}
	t.Errorf("offers of chat %d ended as %v, want %v", chat, got, want)
}

// S-5: an offer ends as one of seven; each can be reached, and is told apart.
func TestOffersEndInSevenWays(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Offers: 2, PauseMS: 600_000, Misses: 20})
	e := d.ears()
	d.operators(1, 2, 10)
	next := 0
	offered := func() Chat {
		t.Helper()
		next++
		c := d.start(string(rune('a' + next)))
		if c.State != switchboard.ChatOffered || len(c.Offers) != 2 {
			t.Fatalf("chat %d is %s, offered to %d", c.ID, c.State, len(c.Offers))
		}
		return c
	}

	c := offered()
	if _, err := d.rt.Accept(d.ctx, d.org, 1, c.ID, c.Offers["1"]); err != nil {
		t.Fatal(err)
	}
	e.reasons(t, c.ID, "superseded", "accepted")
	_, err := d.rt.Accept(d.ctx, d.org, 2, c.ID, c.Offers["2"])
	if switchboard.CodeOf(err) != switchboard.CodeConflict || !strings.Contains(err.Error(), "Operator 1") {
		t.Errorf("the second to accept hears %v, want a conflict that names the winner (A-4)", err)
	}

	c = offered()
	for _, op := range []switchboard.OperatorID{1, 2} {
		if err := d.rt.Decline(d.ctx, d.org, op, c.ID, d.chat(c.ID).Offers[fmt.Sprint(op)]); err != nil {
			t.Fatal(err)
		}
	}
	e.reasons(t, c.ID, "declined", "declined")

	c = offered()
	d.warp(15 * time.Second)
	e.reasons(t, c.ID, "timeout", "timeout")

	c = offered()
	if _, err := d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done"); err != nil {
		t.Fatal(err)
	}
	e.reasons(t, c.ID, "visitor_left", "visitor_left")

	c = offered()
	if _, err := d.rt.Close(d.ctx, d.org, "o9", true, c.ID, "by a supervisor"); err != nil {
		t.Fatal(err)
	}
	e.reasons(t, c.ID, "withdrawn", "withdrawn")

	// Whose connection is lost cannot be told; the chat has the other left, and
	// then nobody.
	c = offered()
	if err := d.reg.Leave(d.ctx, d.org, "o1", 0, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	if got := d.chat(c.ID); got.State != switchboard.ChatOffered || got.Offers["1"] != "" || got.Offers["2"] == "" {
		t.Errorf("after one of two is lost the chat is %s, offered to %v", got.State, got.Offers)
	}
	d.check()
}

// connection_lost is told to nobody who could hear it, but to the operator's other
// devices in the seconds between; here the decision itself is looked at.
func TestOffersOfALostOperatorGoOnToTheNext(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 2, 1)
	c := d.start("a")
	other := switchboard.OperatorID(3) - c.Operator
	if err := d.reg.Leave(d.ctx, d.org, switchboard.OperatorPerson(c.Operator), 0, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	d.match()
	d.holds("lost", c.ID, switchboard.ChatOffered, other)
	if got := d.chat(c.ID); got.Rank != c.Rank || got.Since != c.Since || got.Declined != nil {
		t.Errorf("the chat has lost its place: %+v", got)
	}
	d.check()
}

// S-9: as many offers without an answer as the team says, one by default, and the
// operator is Unresponsive: the others are withdrawn and no more come. A decline
// or an accept in between begins anew.
func TestOffersUnansweredMakeAnOperatorUnresponsive(t *testing.T) {
	d := newDesk(t)
	e := d.ears()
	d.operators(1, 1, 3)
	a := d.start("a")
	d.warp(5 * time.Second)
	b := d.start("b")
	d.warp(10 * time.Second)
	if op := d.operator(1); op.Intent != "Unresponsive" || op.Source != "system" || len(op.Work) != 0 {
		t.Errorf("after one silent offer: %s by %s with %v", op.Intent, op.Source, op.Work)
	}
	e.reasons(t, a.ID, "timeout")
	e.reasons(t, b.ID, "withdrawn")
	d.check()

	d.set(presence.Team{Name: "Everyone", Misses: 2})
	d.online(1)
	d.warp(10 * time.Second) // the pause
	d.match()
	if c := d.chat(a.ID); c.State != switchboard.ChatOffered {
		t.Fatalf("one click back: the chat is %s", c.State)
	}
	d.warp(15 * time.Second)
	if op := d.operator(1); op.Intent != switchboard.StatusAvailable && len(op.Work) > 0 {
		t.Errorf("after one of two: %s", op.Intent)
	}
	d.check()
}

// S-9: who declined a chat is not asked again while anyone else can be, however
// long ago; and else not before the pause.
func TestOffersDeclinedDoNotComeBackWhileAnotherCanTakeThem(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", PauseMS: 30_000, OfferMS: 600_000})
	d.operators(1, 1, 5)
	c := d.start("a")
	if err := d.rt.Decline(d.ctx, d.org, 1, c.ID, c.Token); err != nil {
		t.Fatal(err)
	}
	d.warp(29 * time.Second)
	d.holds("within the pause", c.ID, switchboard.ChatWaiting, 0)
	other := d.start("b")
	d.holds("another chat is served meanwhile", other.ID, switchboard.ChatOffered, 1)
	d.warp(time.Second)
	d.holds("after the pause, nobody else is there", c.ID, switchboard.ChatOffered, 1)
	if err := d.rt.Decline(d.ctx, d.org, 1, c.ID, d.chat(c.ID).Token); err != nil {
		t.Fatal(err)
	}
	// 2 comes, and is asked although 1 is less loaded, also long after the pause.
	d.operators(2, 1, 5)
	for range 3 {
		d.match()
		d.holds("somebody else is there", c.ID, switchboard.ChatOffered, 2)
		d.warp(40 * time.Second)
	}
	d.check()
}

// of many who accept the offers of one chat, one wins; the others hear who.
func TestOffersSeveralAtOnceHaveOneWinner(t *testing.T) {
	d := newDesk(t)
	d.set(presence.Team{Name: "Everyone", Offers: 5})
	d.operators(1, 5, 250)
	for i := range races(t, 300) {
		c := d.start(fmt.Sprint("r", i))
		var mu sync.Mutex
		var winners []switchboard.OperatorID
		var wg sync.WaitGroup
		for op := switchboard.OperatorID(1); op <= 5; op++ {
			wg.Go(func() {
				_, err := d.rt.Accept(d.ctx, d.org, op, c.ID, c.Offers[fmt.Sprint(op)])
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, op)
				case switchboard.CodeOf(err) != switchboard.CodeConflict || !strings.Contains(err.Error(), "has the chat"):
					t.Errorf("the loser hears %v", err)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("race %d: winners %v", i, winners)
		}
		d.holds("the winner", c.ID, switchboard.ChatActive, winners[0])
		if _, err := d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done"); err != nil {
			t.Fatal(err)
		}
	}
	d.check()
}
