package presence

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must be the same on every node, whatever its machine has

	"github.com/switchboard/switchboard"
)

// Hours are opening hours: what a clock on the wall of a place shows while it is
// open. Daylight saving is the zone's (H-1): an hour that a change leaves out
// begins and ends where the clock jumps; one that comes twice is open from its
// first beginning to its last end, so that a change never closes a place for an
// hour in the middle.
type Hours struct {
	Zone string `json:"zone"` // IANA name such as Europe/Berlin
	// Week holds, by day ("monday" .. "sunday"), when the place is open; a day that
	// is missing is closed.
	Week map[string][]Span `json:"week"`
	// Exceptions replace the week's spans on their dates (H-2).
	Exceptions []Exception `json:"exceptions,omitempty"`
}

// Span is a time of one day, "HH:MM" on the clock. To may be "24:00"; a To that is
// before From is on the next day.
type Span struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Exception is a date with other hours, or none. A date with a year wins over one
// of every year.
type Exception struct {
	Date string `json:"date"` // "2026-12-24", or "12-24" for every year
	Name string `json:"name,omitempty"`
	Open []Span `json:"open,omitempty"` // none: closed
}

const (
	maxSpans      = 10 // of a day
	maxExceptions = 200
	// hoursAhead is how far openings are compiled; routing does it anew at each
	// opening and closing, and when half of the time is over.
	hoursAhead = 8 * 24 * time.Hour
)

var days = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// problems lists all that is wrong with the hours; fields begin with at.
func (h *Hours) problems(at string) (list []switchboard.Problem) {
	wrong := func(field, format string, args ...any) {
		list = append(list, switchboard.Problem{Field: at + field, Message: fmt.Sprintf(format, args...)})
	}
	if _, err := zone(h.Zone); err != nil {
		wrong(".zone", "no zone of the IANA database, such as Europe/Berlin")
	}
	for _, day := range slices.Sorted(maps.Keys(h.Week)) {
		if !slices.Contains(days, day) {
			wrong(".week", "%q is none of monday to sunday", day)
			continue
		}
		list = append(list, spanProblems(at+".week."+day, h.Week[day])...)
	}
	if len(h.Exceptions) > maxExceptions {
		wrong(".exceptions", "at most %d", maxExceptions)
		return list
	}
	seen := map[string]bool{}
	for i, e := range h.Exceptions {
		field := fmt.Sprintf(".exceptions[%d]", i)
		// 2028 is a leap year: every day of a year is one of it.
		_, errOnce := time.Parse(time.DateOnly, e.Date)
		_, errYearly := time.Parse(time.DateOnly, "2028-"+e.Date)
		switch {
		case errOnce != nil && errYearly != nil:
			wrong(field+".date", "a date such as 2026-12-24, or 12-24 for every year")
		case seen[e.Date]:
			wrong(field+".date", "this date is there already")
		case len(e.Name) > 100:
			wrong(field+".name", "at most 100 bytes")
		}
		seen[e.Date] = true
		list = append(list, spanProblems(at+field+".open", e.Open)...)
	}
	return list
}

func spanProblems(at string, spans []Span) (list []switchboard.Problem) {
	if len(spans) > maxSpans {
		return []switchboard.Problem{{Field: at, Message: fmt.Sprintf("at most %d times a day", maxSpans)}}
	}
	for i, s := range spans {
		field := fmt.Sprintf("%s[%d]", at, i)
		from, okFrom := minutes(s.From)
		to, okTo := minutes(s.To)
		if !okFrom || from == 24*60 {
			list = append(list, switchboard.Problem{Field: field + ".from", Message: "a time from 00:00 to 23:59"})
		}
		if !okTo {
			list = append(list, switchboard.Problem{Field: field + ".to", Message: "a time from 00:00 to 24:00"})
		} else if okFrom && from == to {
			list = append(list, switchboard.Problem{Field: field + ".to", Message: "is the same as from; all day is 00:00 to 24:00"})
		}
	}
	return list
}

// minutes reads "HH:MM", 00:00 to 24:00.
func minutes(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' || strings.ContainsAny(s, "+-") {
		return 0, false
	}
	h, err1 := strconv.Atoi(s[:2])
	m, err2 := strconv.Atoi(s[3:])
	n := h*60 + m
	return n, err1 == nil && err2 == nil && m < 60 && n <= 24*60
}

func zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" { // which time would take, and would differ by machine
		return nil, fmt.Errorf("no zone %q", name)
	}
	return time.LoadLocation(name)
}

// Opening is a time in which a place is open, Unix ms; To is not part of it.
type Opening struct{ From, To int64 }

// Between returns when the place is open between two moments, in order, apart
// from each other, and cut at both ends. The hours must be valid.
func (h *Hours) Between(from, to time.Time) ([]Opening, error) {
	loc, err := zone(h.Zone)
	if err != nil {
		return nil, err
	}
	var list []Opening
	// A span may reach into the next day: the day before counts too. Days are walked
	// in UTC, where each has 24 hours; only their dates are used.
	eve := from.In(loc).AddDate(0, 0, -1)
	day := time.Date(eve.Year(), eve.Month(), eve.Day(), 0, 0, 0, 0, time.UTC)
	for ; day.Before(to.Add(48 * time.Hour)); day = day.AddDate(0, 0, 1) {
		for _, s := range h.on(day) {
			opens, _ := minutes(s.From)
			closes, _ := minutes(s.To)
			if closes <= opens {
				closes += 24 * 60
			}
			o := Opening{max(first(day, opens, loc), from.UnixMilli()), min(end(day, closes, loc), to.UnixMilli())}
			if o.From < o.To {
				list = append(list, o)
			}
		}
	}
	slices.SortFunc(list, func(a, b Opening) int { return int(a.From - b.From) })
	var merged []Opening
	for _, o := range list {
		if last := len(merged) - 1; last >= 0 && o.From <= merged[last].To {
			merged[last].To = max(merged[last].To, o.To)
			continue
		}
		merged = append(merged, o)
	}
	return merged, nil
}

// on returns the spans of a date.
func (h *Hours) on(day time.Time) []Span {
	yearly := -1
	for i, e := range h.Exceptions {
		if e.Date == day.Format(time.DateOnly) {
			return e.Open
		}
		if e.Date == day.Format("01-02") {
			yearly = i
		}
	}
	if yearly >= 0 {
		return h.Exceptions[yearly].Open
	}
	return h.Week[days[day.Weekday()]]
}

// first returns the first moment from which on a clock in loc shows minute of a
// date (in UTC) or later, Unix ms.
func first(date time.Time, minute int, loc *time.Location) int64 {
	list, change := moments(date.Add(time.Duration(minute)*time.Minute), loc)
	if len(list) == 0 {
		return change
	}
	return list[0]
}

// end returns the moment after the last minute in which a clock in loc shows less
// than minute of a date (in UTC), Unix ms.
func end(date time.Time, minute int, loc *time.Location) int64 {
	list, change := moments(date.Add(time.Duration(minute-1)*time.Minute), loc)
	if len(list) == 0 {
		return change
	}
	return list[len(list)-1] + time.Minute.Milliseconds()
}

// moments returns when a clock in loc shows what wall shows in UTC, in order: at
// one moment, or at two when the clock is set back over it. Of a time that the
// clock jumps over there is none, and change is the moment of the jump.
func moments(wall time.Time, loc *time.Location) (list []int64, change int64) {
	offset := func(t time.Time) time.Duration {
		_, s := t.In(loc).Zone()
		return time.Duration(s) * time.Second
	}
	// No zone changes twice within two days: these are all offsets that may hold.
	before, after := offset(wall.Add(-24*time.Hour)), offset(wall.Add(24*time.Hour))
	early, late := wall.Add(-before), wall.Add(-after)
	if offset(early) == before {
		list = append(list, early.UnixMilli())
	}
	if before != after && offset(late) == after {
		list = append(list, late.UnixMilli())
	}
	if len(list) == 0 {
		start, _ := early.In(loc).ZoneBounds() // early counts with the old offset: it is behind the jump
		return nil, start.UnixMilli()
	}
	return list, 0
}

// compiled is what scripts read: "from-to,from-to" in Redis ms, and until when it
// is known. Scripts decide by it at their own TIME (H-3).
func (h *Hours) compiled(now time.Time) (open string, until int64, err error) {
	end := now.Add(hoursAhead)
	list, err := h.Between(now.Add(-24*time.Hour), end)
	if err != nil {
		return "", 0, err
	}
	parts := make([]string, len(list))
	for i, o := range list {
		parts[i] = fmt.Sprintf("%d-%d", o.From, o.To)
	}
	return strings.Join(parts, ","), end.UnixMilli(), nil
}
