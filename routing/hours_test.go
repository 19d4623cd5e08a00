package routing

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

var (
	always = &presence.Hours{Zone: "Asia/Kolkata", Week: map[string][]presence.Span{}}
	never  = &presence.Hours{Zone: "America/New_York"}
)

func init() {
	for _, day := range []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"} {
		always.Week[day] = []presence.Span{{From: "00:00", To: "24:00"}}
	}
}

// shutUntil are hours that are closed now and open on the day after tomorrow.
func shutUntil(now time.Time) *presence.Hours {
	day := now.UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	return &presence.Hours{Zone: "UTC", Exceptions: []presence.Exception{{Date: day, Open: []presence.Span{{From: "09:00", To: "17:00"}}}}}
}

func (d *desk) team(t presence.Team) {
	d.t.Helper()
	if t.Name == "" {
		t.Name = fmt.Sprint("Team ", t.ID)
	}
	if err := d.reg.PutTeam(d.ctx, d.org, t); err != nil {
		d.t.Fatal(err)
	}
}

// A-13, H-3: what a chat meets follows from hours, operators and settings by one
// table; Start and Doors say the same.
func TestDecisionTableOfHoursOperatorsAndSettings(t *testing.T) {
	const some = "*"
	// The first row that fits counts.
	table := []struct{ hours, staff, closed, unstaffed, want string }{
		{"closed", some, "", some, DoorForm},
		{"closed", some, "form", some, DoorForm},
		{"closed", some, "queue", some, DoorHold},
		// From here on: open, or closed and served all the same.
		{some, "none", some, "form", DoorForm},
		{some, "none", some, some, "waits"},
		{some, "full", some, some, "waits"},
		{some, "free", some, some, "offered"},
	}
	want := func(hours, staff, closed, unstaffed string) string {
		for _, row := range table {
			fits := true
			for _, f := range [][2]string{{row.hours, hours}, {row.staff, staff}, {row.closed, closed}, {row.unstaffed, unstaffed}} {
				fits = fits && (f[0] == some || f[0] == f[1])
			}
			if fits {
				return row.want
			}
		}
		t.Fatal("no row fits")
		return ""
	}
	d := newDesk(t)
	now, err := d.rdb.Time(d.ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	d.team(presence.Team{ID: 5, AutoAccept: true}) // keeps an operator busy
	d.operators(1, 1, 1)
	if err := d.reg.AddOperators(d.ctx, d.org, []presence.NewOperator{{ID: 1, Teams: []switchboard.TeamID{5, 7}}}); err != nil {
		t.Fatal(err)
	}
	status := func(s string) {
		t.Helper()
		if _, err := d.reg.SetStatus(d.ctx, d.org, 1, presence.StatusChange{Status: s, Source: "operator"}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, staff := range []string{"free", "full", "none"} {
		status(switchboard.StatusAvailable)
		switch staff {
		case "full":
			if c, _, err := d.begin(Opening{Visitor: "vbusy", Team: 5}); err != nil || c.State != switchboard.ChatActive {
				t.Fatalf("%+v, %v", c, err)
			}
		case "none": // in a chat, but on a break: here, and not at work
			status(switchboard.StatusBreak)
		}
		for hours, rules := range map[string]*presence.Hours{"open": always, "closed": shutUntil(now), "none": nil} {
			for _, closed := range []string{"", "form", "queue", "serve"} {
				for _, unstaffed := range []string{"", "queue", "form"} {
					name := fmt.Sprintf("%s, %s, closed=%q, unstaffed=%q", hours, staff, closed, unstaffed)
					w := want(hours, staff, closed, unstaffed)
					d.team(presence.Team{ID: 7, Hours: rules, Closed: closed, Unstaffed: unstaffed})
					doors, err := d.rt.Doors(d.ctx, d.org, []switchboard.TeamID{7, 99})
					if err != nil {
						t.Fatal(err)
					}
					door := map[string]string{"waits": DoorServe, "offered": DoorServe, DoorForm: DoorForm, DoorHold: DoorHold}[w]
					if doors[0].Answer != door || (doors[0].Opens > now.UnixMilli()) != (hours == "closed") || doors[1].Answer != "" {
						t.Errorf("%s: doors %+v, want %s", name, doors, door)
					}
					n++
					v := switchboard.VisitorPerson(strconv.Itoa(n))
					c, _, err := d.begin(Opening{Visitor: v, Team: 7, Cmid: "a", Text: "hello"})
					if w == DoorForm {
						var e *switchboard.Error
						if !errors.As(err, &e) || e.Code != switchboard.CodeOffline || (e.RetryAfter > 9*time.Hour) != (hours == "closed") {
							t.Errorf("%s: %v", name, err)
						}
						if s, err := d.rt.Snapshot(d.ctx, d.org, v); err != nil || len(s.Chats) != 0 {
							t.Errorf("%s: a refused visitor has chats %+v, %v", name, s.Chats, err)
						}
						continue
					}
					if err != nil {
						t.Fatal(name, err)
					}
					got := map[string]string{switchboard.ChatWaiting: "waits", switchboard.ChatOffered: "offered"}[c.State]
					if c.Opens > now.UnixMilli() {
						got = DoorHold
					}
					if got != w {
						t.Errorf("%s: the chat is %s, opens %d; want %s", name, c.State, c.Opens, w)
					}
					if _, err := d.rt.Close(d.ctx, d.org, v, false, c.ID, "done"); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		d.check()
	}
}

// compiledAs replaces what scripts read of a team's hours, as if it had been
// compiled from other rules.
func (d *desk) compiledAs(team switchboard.TeamID, open string, known int64) {
	d.t.Helper()
	key, field := d.reg.Partition(d.org).Key(d.org, "team"), strconv.Itoa(int(team))
	raw, err := d.rdb.HGet(d.ctx, key, field).Result()
	if err != nil {
		d.t.Fatal(err)
	}
	var rec map[string]any
	if err := json.Unmarshal([]byte(raw), &rec); err != nil {
		d.t.Fatal(err)
	}
	rec["open"], rec["known"] = open, known
	out, err := json.Marshal(rec)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.rdb.HSet(d.ctx, key, field, out).Err(); err != nil {
		d.t.Fatal(err)
	}
}

// H-3: nothing has to notice that a team opens or closes; the clock of the store
// decides at each chat.
func TestHoursAreAskedAtEachDecision(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 1, 50)
	d.team(presence.Team{ID: 7, Hours: never})
	now, err := d.rdb.Time(d.ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	opens, closes := now.Add(time.Second).UnixMilli(), now.Add(2500*time.Millisecond).UnixMilli()
	d.compiledAs(7, fmt.Sprintf("%d-%d", opens, closes), now.Add(time.Hour).UnixMilli())
	seen, n := []bool{false}, 0
	for deadline := now.Add(20 * time.Second); len(seen) < 3; n++ {
		before, err := d.rdb.Time(d.ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		if before.After(deadline) {
			t.Fatalf("open and closed by turns: %v", seen)
		}
		_, _, err = d.begin(Opening{Visitor: switchboard.VisitorPerson(strconv.Itoa(n)), Team: 7})
		open := err == nil
		if !open && switchboard.CodeOf(err) != switchboard.CodeOffline {
			t.Fatal(err)
		}
		after, err := d.rdb.Time(d.ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		inside := func(at time.Time) bool { return at.UnixMilli() >= opens && at.UnixMilli() < closes }
		if inside(before) == inside(after) && open != inside(before) {
			t.Fatalf("at %d a chat was taken: %v; open from %d to %d", before.UnixMilli(), open, opens, closes)
		}
		if open != seen[len(seen)-1] {
			seen = append(seen, open)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	if !slices.Equal(seen, []bool{false, true, false}) {
		t.Errorf("open and closed by turns: %v", seen)
	}
}

// A-2, H-3: an opening serves the queue in its own step; chats that came before
// the closing are served all the while.
func TestOpeningServesWhoWaitedForIt(t *testing.T) {
	d := newDesk(t)
	d.team(presence.Team{ID: 7})
	d.operators(1, 3, 1)
	var list []presence.NewOperator
	for id := switchboard.OperatorID(1); id <= 3; id++ {
		list = append(list, presence.NewOperator{ID: id, Teams: []switchboard.TeamID{7}})
	}
	busy := make([]Chat, 3)
	for i := range busy {
		busy[i] = d.start(fmt.Sprint("busy", i))
	}
	if err := d.reg.AddOperators(d.ctx, d.org, list); err != nil {
		t.Fatal(err)
	}
	start := func(v string) Chat {
		t.Helper()
		c, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(v), Team: 7})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	early := start("early")
	d.team(presence.Team{ID: 7, Hours: never, Closed: presence.AnswerQueue})
	held := []Chat{start("a"), start("b")}
	if held[0].State != switchboard.ChatWaiting || held[1].Place != 3 {
		t.Fatalf("%+v", held)
	}
	if _, err := d.rt.Close(d.ctx, d.org, busy[0].Visitor, false, busy[0].ID, "done"); err != nil {
		t.Fatal(err)
	}
	if c := d.chat(early.ID); c.State != switchboard.ChatOffered {
		t.Errorf("who came before the closing is %s", c.State)
	}
	for _, c := range busy[1:] {
		if _, err := d.rt.Close(d.ctx, d.org, c.Visitor, false, c.ID, "done"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.rt.Match(d.ctx, d.org); err != nil {
		t.Fatal(err)
	}
	for _, c := range held {
		if got := d.chat(c.ID); got.State != switchboard.ChatWaiting {
			t.Errorf("while it is closed chat %d is %s", c.ID, got.State)
		}
	}
	// Its rules are such that it is open; only nobody has looked since.
	d.team(presence.Team{ID: 7, Hours: always, Closed: presence.AnswerQueue})
	now, err := d.rdb.Time(d.ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	d.compiledAs(7, "", now.Add(time.Hour).UnixMilli())
	if err := d.rt.Ring(d.ctx, presence.AlarmHours, d.org, "7"); err != nil {
		t.Fatal(err)
	}
	for _, c := range held {
		if got := d.chat(c.ID); got.State != switchboard.ChatOffered {
			t.Errorf("after the opening chat %d is %s", c.ID, got.State)
		}
	}
	d.check()
}

// H-3: compiled hours that ran out, because no node was there for days, are
// compiled before anything is decided by them; so are those of everyone.
func TestHoursThatRanOutAreCompiledFirst(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 1, 9)
	d.team(presence.Team{ID: 0, Name: "Everyone", Hours: always})
	d.team(presence.Team{ID: 7, Hours: always})
	d.team(presence.Team{ID: 8}) // as everyone
	for _, team := range []switchboard.TeamID{0, 7} {
		d.compiledAs(team, "1000-2000", 2000)
	}
	for _, team := range []switchboard.TeamID{7, 8, 0} {
		c, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(fmt.Sprint("t", team)), Team: team})
		if err != nil || c.State == "" {
			t.Errorf("team %d: %+v, %v", team, c, err)
		}
	}
	d.compiledAs(0, "1000-2000", 2000)
	doors, err := d.rt.Doors(d.ctx, d.org, []switchboard.TeamID{8})
	if err != nil || doors[0].Answer != DoorServe {
		t.Errorf("%+v, %v", doors, err)
	}
	// A deadline stands at the latest when half of what is known is over.
	for _, team := range []string{"0", "7"} {
		at, err := d.rdb.ZScore(d.ctx, d.reg.Partition(d.org).Block(d.org).Due, fmt.Sprintf("hours/%d/%s", d.org, team)).Result()
		if ahead := time.Until(time.UnixMilli(int64(at))); err != nil || ahead > hoursRenew+time.Minute {
			t.Errorf("hours of team %s are looked at in %v, %v", team, ahead, err)
		}
	}
}

// P-15: an opening makes nobody Available.
func TestOpeningLeavesOperatorsAsTheyChose(t *testing.T) {
	d := newDesk(t)
	d.operators(1, 1, 9)
	if _, err := d.reg.SetStatus(d.ctx, d.org, 1, presence.StatusChange{Status: switchboard.StatusUnavailable, Source: "operator"}); err != nil {
		t.Fatal(err)
	}
	d.team(presence.Team{ID: 0, Name: "Everyone", Hours: never, Closed: presence.AnswerQueue})
	c := d.start("a")
	d.team(presence.Team{ID: 0, Name: "Everyone", Hours: always})
	if err := d.rt.Ring(d.ctx, presence.AlarmHours, d.org, "0"); err != nil {
		t.Fatal(err)
	}
	if op := d.operator(1); op.Intent != switchboard.StatusUnavailable || len(op.Work) != 0 {
		t.Errorf("the operator is %s with %v", op.Intent, op.Work)
	}
	if got := d.chat(c.ID); got.State != switchboard.ChatWaiting {
		t.Errorf("the chat is %s", got.State)
	}
}
