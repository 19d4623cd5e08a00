package presence

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

// changes are both changes of the clock in four zones: two with an hour at night,
// one with half an hour, one at midnight.
var changes = []struct{ zone, date, what string }{
	{"Europe/Berlin", "2026-03-29", "02:00 becomes 03:00"}, {"Europe/Berlin", "2026-10-25", "03:00 becomes 02:00"},
	{"America/New_York", "2026-03-08", "02:00 becomes 03:00"}, {"America/New_York", "2026-11-01", "02:00 becomes 01:00"},
	{"Australia/Lord_Howe", "2026-10-04", "02:00 becomes 02:30"}, {"Australia/Lord_Howe", "2026-04-05", "02:00 becomes 01:30"},
	{"America/Santiago", "2026-09-06", "00:00 becomes 01:00"}, {"America/Santiago", "2026-04-04", "24:00 becomes 23:00"},
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// H-1: on the day of a change every span of half hours opens at the first minute
// in which the clock on the wall shows its beginning or later, and closes after
// the last in which it shows less than its end: looked up minute by minute.
func TestHoursOverBothChangesOfTheClockInFourZones(t *testing.T) {
	for _, c := range changes {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, err := time.Parse(time.DateOnly, c.date)
		if err != nil {
			t.Fatal(err)
		}
		// What the clock shows at each minute around that day, in minutes since its midnight.
		begin := day.Add(-26 * time.Hour)
		var shows []int
		for m := range 76 * 60 {
			w := begin.Add(time.Duration(m) * time.Minute).In(loc)
			wall := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), 0, 0, time.UTC)
			shows = append(shows, int(wall.Sub(day)/time.Minute))
		}
		changed := false
		for m := 1; m < len(shows); m++ {
			changed = changed || shows[m] != shows[m-1]+1
		}
		if !changed {
			t.Fatalf("%s: the clock does not change around %s", c.zone, c.date)
		}
		at := func(m int) int64 { return begin.Add(time.Duration(m) * time.Minute).UnixMilli() }
		for from := 0; from < 24*60; from += 30 {
			for to := 30; to <= 24*60; to += 30 {
				if from == to {
					continue
				}
				wallTo := to
				if to < from {
					wallTo += 24 * 60 // over midnight
				}
				first := slices.IndexFunc(shows, func(w int) bool { return w >= from })
				last := 0
				for m, w := range shows {
					if w < wallTo {
						last = m
					}
				}
				var want []Opening
				if first <= last {
					want = []Opening{{at(first), at(last + 1)}}
				}
				h := Hours{Zone: c.zone, Exceptions: []Exception{{Date: c.date, Open: []Span{{clock(from), clock(to)}}}}}
				got, err := h.Between(begin, begin.Add(76*time.Hour))
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("%s on %s (%s), %s to %s: open %v (%v), want %v", c.zone, c.date, c.what, clock(from), clock(to), got, err, want)
				}
			}
		}
	}
}

// H-1, in figures that a person has checked.
func TestHoursThatDoNotExistOrExistTwice(t *testing.T) {
	for _, c := range []struct{ name, zone, date, from, to, opens, closes string }{
		{"opens in the hour that is left out", "Europe/Berlin", "2026-03-29", "02:30", "10:00", "01:00", "08:00"},
		{"closes in it", "Europe/Berlin", "2026-03-29", "00:00", "02:30", "-1:00", "01:00"},
		{"lies in it", "Europe/Berlin", "2026-03-29", "02:10", "02:50", "", ""},
		{"opens in the hour that comes twice", "Europe/Berlin", "2026-10-25", "02:30", "10:00", "00:30", "09:00"},
		{"closes in it", "Europe/Berlin", "2026-10-25", "00:00", "02:30", "-2:00", "01:30"},
		{"closes where it begins", "Europe/Berlin", "2026-10-25", "00:00", "02:00", "-2:00", "00:00"},
		{"lies in it", "Europe/Berlin", "2026-10-25", "02:10", "02:50", "00:10", "01:50"},
		{"an ordinary summer day", "Europe/Berlin", "2026-07-01", "09:00", "17:00", "07:00", "15:00"},
		{"an ordinary winter day", "Europe/Berlin", "2026-12-01", "09:00", "17:00", "08:00", "16:00"},
		{"New York after the change", "America/New_York", "2026-03-08", "09:00", "17:00", "13:00", "21:00"},
		{"New York before it", "America/New_York", "2026-03-07", "09:00", "17:00", "14:00", "22:00"},
		{"half an hour twice", "Australia/Lord_Howe", "2026-04-05", "01:30", "02:00", "-9:30", "-8:30"},
		{"midnight is left out", "America/Santiago", "2026-09-06", "00:00", "02:00", "04:00", "05:00"},
		{"the last hour twice", "America/Santiago", "2026-04-04", "23:00", "24:00", "26:00", "28:00"},
	} {
		day, err := time.Parse(time.DateOnly, c.date)
		if err != nil {
			t.Fatal(err)
		}
		utc := func(s string) int64 {
			var h, m int
			if _, err := fmt.Sscanf(s, "%d:%d", &h, &m); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(s, "-") {
				m = -m
			}
			return day.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute).UnixMilli()
		}
		var want []Opening
		if c.opens != "" {
			want = []Opening{{utc(c.opens), utc(c.closes)}}
		}
		h := Hours{Zone: c.zone, Week: map[string][]Span{strings.ToLower(day.Weekday().String()): {{c.from, c.to}}}}
		got, err := h.Between(day.Add(-30*time.Hour), day.Add(54*time.Hour))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %s %s to %s is open %v (%v), want %v", c.name, c.date, c.from, c.to, got, err, want)
		}
	}
}

// H-2: exceptions by date, closed or with other hours, once or every year; what
// began the evening before an exception goes on.
func TestHoursExceptionsReplaceTheDay(t *testing.T) {
	h := Hours{Zone: "UTC",
		Week: map[string][]Span{"wednesday": {{"22:00", "02:00"}}, "thursday": {{"09:00", "17:00"}}, "friday": {{"09:00", "12:00"}, {"11:00", "13:00"}, {"13:00", "14:00"}}},
		Exceptions: []Exception{{Date: "12-24", Open: []Span{{"10:00", "11:00"}}}, {Date: "12-25", Name: "Christmas Day"},
			{Date: "2027-12-24"}, {Date: "2028-02-29"}}}
	for _, c := range []struct{ date, want string }{
		{"2026-12-23", "22:00-02:00"}, // a Wednesday, until Thursday morning
		{"2026-12-24", "10:00-11:00"},
		{"2026-12-25", ""},
		{"2026-12-31", "09:00-17:00"},
		{"2027-01-01", "09:00-14:00"}, // a Friday: spans that meet or overlap are one
		{"2027-12-24", ""},            // with a year: wins
		{"2026-12-22", ""},            // a Tuesday
	} {
		day, err := time.Parse(time.DateOnly, c.date)
		if err != nil {
			t.Fatal(err)
		}
		list, err := h.Between(day.Add(3*time.Hour), day.Add(27*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range list {
			got = append(got, time.UnixMilli(o.From).UTC().Format("15:04")+"-"+time.UnixMilli(o.To).UTC().Format("15:04"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s is open %v, want %q", c.date, got, c.want)
		}
	}
}

func TestHoursTellEveryProblemWithItsField(t *testing.T) {
	raw := `{"zone":"Mars/Olympus","week":{"mon":[],"monday":[{"from":"9:00","to":"17:00"},{"from":"24:00","to":"24:01"},{"from":"08:00","to":"08:00"}]},
		"exceptions":[{"date":"2026-02-30"},{"date":"02-29"},{"date":"02-29"},{"date":"24.12."},{"date":"2026-12-24","open":[{"from":"-1:00","to":"+3:00"}]}]}`
	var h Hours
	if err := json.Unmarshal([]byte(raw), &h); err != nil {
		t.Fatal(err)
	}
	err := switchboard.InvalidAll(Team{Name: "", Strategy: "dice", OfferMS: 1, Hours: &h}.problems(""))
	var e *switchboard.Error
	if !errors.As(err, &e) || e.Code != switchboard.CodeInvalid || e.Field != "name" {
		t.Fatal(err)
	}
	var got []string
	for _, p := range e.Problems {
		got = append(got, p.Field)
	}
	want := []string{"name", "strategy", "offer_ms", "hours.zone", "hours.week", "hours.week.monday[0].from", "hours.week.monday[1].from", "hours.week.monday[1].to",
		"hours.week.monday[2].to", "hours.exceptions[0].date", "hours.exceptions[2].date", "hours.exceptions[3].date", "hours.exceptions[4].open[0].from", "hours.exceptions[4].open[0].to"}
	if !slices.Equal(got, want) {
		t.Errorf("problems of\n%q, want\n%q", got, want)
	}
	for _, zone := range []string{"", "Local", "local", "../../etc/passwd", "EST5EDT4", "Europe/Berlin "} {
		if len((&Hours{Zone: zone}).problems("")) == 0 {
			t.Errorf("zone %q was taken", zone)
		}
	}
}
