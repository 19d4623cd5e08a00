package presence

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
)

// Strategies: how a team's next operator is chosen among those who are routable
// and meet what the chat requires.
const (
	// LeastLoaded takes who holds the fewest units of work now, of those who was
	// given work or ended some the longest ago. The default.
	LeastLoaded = "least_loaded"
	// LongestIdle takes who has held nothing for the longest time; when all hold
	// something, who was given work or ended some the longest ago.
	LongestIdle = "longest_idle"
	// RoundRobin takes the next operator by id; the pointer moves in the claim.
	RoundRobin = "round_robin"
	// Mod takes index chatId mod count of the routable operators by id.
	Mod = "mod"
	// Pick offers to nobody: operators claim from the queue, which they see.
	Pick = "pick"
	// Webhook asks an address of the customer's, and falls back to another strategy
	// when it names nobody who can take the chat, or does not answer in time.
	Webhook = "webhook"
)

// What happens to a chat that is started while its team is closed, and while
// nobody of it is here and Available (routing/scripts/open.lua has the table).
const (
	// AnswerForm refuses the chat: the visitor may leave a message. The default
	// while closed.
	AnswerForm = "form"
	// AnswerQueue lets it wait: for the opening, or for somebody to come. The default
	// while open.
	AnswerQueue = "queue"
	// AnswerServe gives it to whoever is there although the team is closed.
	AnswerServe = "serve"
)

// What becomes of a waiting chat whose visitor is gone for longer than the grace.
const (
	// GonePark keeps its rank and lets nobody be asked until the visitor is back.
	// The default.
	GonePark = "park"
	// GoneRemove closes it.
	GoneRemove = "remove"
	// GoneOffer lets it be offered all the same.
	GoneOffer = "offer"
	// GoneAsk parks it too, and asks a visitor who is connected and has shown no sign
	// of life whether they are there, before an operator is asked (Timers).
	GoneAsk = "ask"
)

// Team holds a team's settings; 0 is the default of each. The settings of team 0
// (everyone) are those of the organization: its Limit and Units are the defaults
// of every team, its Hours are those of every team without its own. It is one flat JSON object, so that an error's field is the name
// that a client sent; hence its size.
type Team struct {
	ID       switchboard.TeamID `json:"-"`
	Name     string             `json:"name"`
	Strategy string             `json:"strategy,omitempty"` // LeastLoaded, LongestIdle, RoundRobin, Mod, Pick or Webhook
	Priority int                `json:"priority,omitempty"` // of its chats, 0 to 9: higher is earlier

	// How much work an operator may hold, in units.

	Limit     int   `json:"limit,omitempty"`      // of the team's operators, 1 to 250; default team 0's, else 5. An operator's own goes first
	Units     int   `json:"units,omitempty"`      // that one chat of the team takes, 1 to 250; default team 0's, else 1
	CallUnits int   `json:"call_units,omitempty"` // of team 0: that one call takes, 1 to 250. 0: who is in a call takes no chat
	WrapMS    int64 `json:"wrap_ms,omitempty"`    // of team 0: wrap-up after the last work, 0 to 3,600,000

	// Who takes work.

	IdleMS   int64    `json:"idle_ms,omitempty"`  // of team 0: who does nothing for so long is Away, 10,000 to 86,400,000; 0: never
	Routable []string `json:"routable,omitempty"` // of team 0: intents besides Available that mean work, at most 20

	// When chats are taken.

	Hours     *Hours `json:"hours,omitempty"`     // nil: those of team 0; without any always open
	Closed    string `json:"closed,omitempty"`    // while closed: AnswerForm, AnswerQueue or AnswerServe
	Unstaffed string `json:"unstaffed,omitempty"` // while nobody is here: AnswerQueue or AnswerForm

	// How a chat is offered.

	Webhook   string `json:"webhook,omitempty"`    // the address that strategy Webhook asks
	WebhookMS int64  `json:"webhook_ms,omitempty"` // time for its answer, 100 to 10,000; default 2,000
	Fallback  string `json:"fallback,omitempty"`   // strategy without its answer: as Strategy, but Pick and Webhook

	AutoAccept   bool  `json:"auto_accept,omitempty"`   // a chat is the operator's without an offer
	OfferMS      int64 `json:"offer_ms,omitempty"`      // time to accept, 1,000 to 600,000; default 15,000
	Offers       int   `json:"offers,omitempty"`        // operators who are asked at a time, 1 to 5: the first to accept has it; default 1
	Misses       int   `json:"misses,omitempty"`        // offers in a row without an answer that make an operator Unresponsive, 1 to 20; default 1
	PauseMS      int64 `json:"pause_ms,omitempty"`      // before who declined a chat may be asked again, 1,000 to 3,600,000; default 10,000
	LastOperator bool  `json:"last_operator,omitempty"` // a returning visitor's chat is for who held the last one, if routable now
	LastWaitMS   int64 `json:"last_wait_ms,omitempty"`  // while that operator is here but full, wait for them, 0 to 600,000

	// How what a chat requires becomes less while it waits.

	PreferMS int64   `json:"prefer_ms,omitempty"` // preferred skills count for so long, 1,000 to 3,600,000; default 20,000
	Relax    []Relax `json:"relax,omitempty"`     // at most 8, rising

	// How long chats wait, and for whom.

	PriorityStep int                 `json:"priority_step,omitempty"` // of team 0: see Start; 1 to 10,000; default 100
	QueueMax     int                 `json:"queue_max,omitempty"`     // chats that may wait, 1 to 100,000; 0: no bound
	OverflowMS   int64               `json:"overflow_ms,omitempty"`   // a chat that has waited so long goes to OverflowTeam, 1,000 to 86,400,000
	OverflowTeam *switchboard.TeamID `json:"overflow_team,omitempty"` // also takes the chats beyond QueueMax
	Gone         string              `json:"gone,omitempty"`          // GonePark, GoneRemove, GoneOffer or GoneAsk

	Timers

	Version int64 `json:"version,omitempty"` // of these settings; the store counts it
}

// Relax is one step: from AfterMS on (1,000 to 86,400,000, from the start of the
// chat) every level required is Lower (1 to 9) below what was asked, and 1 at least.
type Relax struct {
	AfterMS int64 `json:"after_ms"`
	Lower   int   `json:"lower"`
}

// within reports whether an optional setting is in its range.
func within[T int | int64](v, lo, hi T) bool { return v == 0 || (v >= lo && v <= hi) }

// problems lists all that is wrong with the settings; fields begin with at.
func (t Team) problems(at string) (list []switchboard.Problem) {
	check := func(ok bool, field, message string) {
		if !ok {
			list = append(list, switchboard.Problem{Field: at + field, Message: message})
		}
	}
	oneOf := func(value, field string, known ...string) {
		check(value == "" || slices.Contains(known, value), field, "one of "+strings.Join(known, ", "))
	}
	check(t.Name != "" && len(t.Name) <= 100 && utf8.ValidString(t.Name), "name", "1 to 100 bytes")
	const hour, day = 3_600_000, 86_400_000
	oneOf(t.Strategy, "strategy", LeastLoaded, LongestIdle, RoundRobin, Mod, Pick, Webhook)
	oneOf(t.Fallback, "fallback", LeastLoaded, LongestIdle, RoundRobin, Mod)
	check(within(t.WebhookMS, 100, 10_000), "webhook_ms", "100 to 10000")
	check(t.Strategy != Webhook || t.Webhook != "", "webhook", "strategy webhook needs an address")
	check(t.Webhook == "" || webAddress(t.Webhook), "webhook", "an address such as https://shop.example/route, without user and fragment")
	check(t.Priority >= 0 && t.Priority <= 9, "priority", "0 to 9")
	check(within(t.Limit, 1, 250), "limit", "0 to 250")
	check(within(t.Units, 1, 250), "units", "0 to 250")
	check(within(t.CallUnits, 1, 250), "call_units", "0 to 250")
	check(t.WrapMS >= 0 && t.WrapMS <= hour, "wrap_ms", "0 to 3600000")
	check(within(t.IdleMS, 10_000, day), "idle_ms", "10000 to 86400000, or 0")
	check(len(t.Routable) <= 20 && !slices.ContainsFunc(t.Routable, unmapped), "routable", "at most 20 custom statuses")
	check(within(t.OfferMS, 1000, 600_000), "offer_ms", "1000 to 600000")
	check(within(t.Offers, 1, 5), "offers", "1 to 5")
	check(within(t.Misses, 1, 20), "misses", "1 to 20")
	check(within(t.PauseMS, 1000, hour), "pause_ms", "1000 to 3600000")
	check(t.LastWaitMS >= 0 && t.LastWaitMS <= 600_000, "last_wait_ms", "0 to 600000")
	check(within(t.PreferMS, 1000, hour), "prefer_ms", "1000 to 3600000")
	check(within(t.PriorityStep, 1, 10_000), "priority_step", "1 to 10000")
	check(within(t.QueueMax, 1, 100_000), "queue_max", "1 to 100000")
	check(within(t.OverflowMS, 1000, day), "overflow_ms", "1000 to 86400000")
	check(t.OverflowTeam == nil || (*t.OverflowTeam >= 0 && *t.OverflowTeam != t.ID), "overflow_team", "another team")
	check(t.OverflowMS == 0 || t.OverflowTeam != nil, "overflow_team", "overflow_ms needs a team to go to")
	oneOf(t.Gone, "gone", GonePark, GoneRemove, GoneOffer, GoneAsk)
	check(len(t.Relax) <= 8, "relax", "at most 8 steps")
	for i, step := range t.Relax {
		field := fmt.Sprintf("relax[%d].", i)
		check(step.AfterMS >= 1000 && step.AfterMS <= day, field+"after_ms", "1000 to 86400000")
		check(step.Lower >= 1 && step.Lower <= 9, field+"lower", "1 to 9")
		if i > 0 {
			check(step.AfterMS > t.Relax[i-1].AfterMS && step.Lower > t.Relax[i-1].Lower, field+"after_ms", "steps go up, in time and in what they lower by")
		}
	}
	list = append(list, t.Timers.problems(at, t.ID)...)
	oneOf(t.Closed, "closed", AnswerForm, AnswerQueue, AnswerServe)
	oneOf(t.Unstaffed, "unstaffed", AnswerQueue, AnswerForm)
	if t.Hours != nil {
		list = append(list, t.Hours.problems(at+"hours")...)
	}
	return list
}

// webAddress reports whether a webhook may be set to an address; where it leads is
// looked at when it is asked.
func webAddress(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && len(raw) <= 2048 && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.Fragment == ""
}

// unmapped: statuses of our own mean what they mean.
func unmapped(status string) bool {
	switch status {
	case "", switchboard.StatusUnavailable, switchboard.StatusBreak, switchboard.StatusMeal:
		return true
	}
	return switchboard.Computed(status) || switchboard.Automatic(status)
}
