package presence

import (
	"unicode/utf8"

	"github.com/switchboard/switchboard"
)

// What becomes of an operator's chats when the operator is gone for longer than the
// grace (routing/scripts/lost.lua).
const (
	// LossReturn puts them back to their places in the queue, with their waiting time
	// kept. The default.
	LossReturn = "return"
	// LossHold keeps them for LossHoldMS; an operator who is back by then goes on.
	// Who was signed out, is leaving or no longer active is not waited for.
	LossHold = "hold"
	// LossForward puts them in another team's queue; back to their own places where
	// that team does not answer now.
	LossForward = "forward"
	// LossClose closes them with LossText.
	LossClose = "close"
)

// MarkUnresponsive is what a first reply that did not come makes of an operator.
const MarkUnresponsive = "unresponsive"

// Timers are a team's rules for chats that an operator holds; 0 is off. A chat is
// under the timers that its team has when it is taken, for as long as the team has
// them. It is one flat JSON object with Team; hence its size.
type Timers struct {
	Loss       string              `json:"loss,omitempty"`         // LossReturn, LossHold, LossForward or LossClose
	LossHoldMS int64               `json:"loss_hold_ms,omitempty"` // of LossHold, from the end of the grace: 1,000 to 3,600,000; default 60,000
	LossTeam   *switchboard.TeamID `json:"loss_team,omitempty"`    // of LossForward
	LossText   string              `json:"loss_text,omitempty"`    // of LossClose: what the visitor is told, at most 1,000 bytes

	ReplyMS   int64               `json:"reply_ms,omitempty"`   // an operator who took a chat and says nothing for so long loses it, 1,000 to 3,600,000
	ReplyTeam *switchboard.TeamID `json:"reply_team,omitempty"` // where it goes then; default back to its place
	ReplyMark string              `json:"reply_mark,omitempty"` // MarkUnresponsive; default the operator's status stays

	QuietMS      int64  `json:"quiet_ms,omitempty"`       // a chat in which nobody writes for so long is warned, 1,000 to 86,400,000
	QuietCloseMS int64  `json:"quiet_close_ms,omitempty"` // and closed when nobody writes for so long after, 1,000 to 86,400,000; default 60,000
	QuietText    string `json:"quiet_text,omitempty"`     // of the warning, at most 1,000 bytes

	SilentMS int64 `json:"silent_ms,omitempty"` // a chat whose visitor writes nothing for so long takes no units until they do, 1,000 to 86,400,000

	// Of GoneAsk: a visitor who has shown no sign of life for StillAfterMS (1,000 to
	// 86,400,000; default 60,000) is asked before an operator is, and has StillMS (1,000
	// to 600,000; default 30,000) to answer; then the chat is parked, or removed.
	StillAfterMS int64  `json:"still_after_ms,omitempty"`
	StillMS      int64  `json:"still_ms,omitempty"`
	StillThen    string `json:"still_then,omitempty"` // GonePark (default) or GoneRemove
}

func (t Timers) problems(at string, own switchboard.TeamID) (list []switchboard.Problem) {
	check := func(ok bool, field, message string) {
		if !ok {
			list = append(list, switchboard.Problem{Field: at + field, Message: message})
		}
	}
	other := func(id *switchboard.TeamID) bool { return id == nil || *id >= 0 && *id != own }
	text := func(s string) bool { return len(s) <= 1000 && utf8.ValidString(s) }
	const hour, day = 3_600_000, 86_400_000
	switch t.Loss {
	case "", LossReturn, LossHold, LossForward, LossClose:
	default:
		check(false, "loss", "one of return, hold, forward, close")
	}
	check(within(t.LossHoldMS, 1000, hour), "loss_hold_ms", "1000 to 3600000")
	check(other(t.LossTeam), "loss_team", "another team")
	check(t.Loss != LossForward || t.LossTeam != nil, "loss_team", "loss forward needs a team to go to")
	check(text(t.LossText), "loss_text", "at most 1000 bytes")
	check(within(t.ReplyMS, 1000, hour), "reply_ms", "1000 to 3600000")
	check(other(t.ReplyTeam), "reply_team", "another team")
	check(t.ReplyMark == "" || t.ReplyMark == MarkUnresponsive, "reply_mark", "unresponsive, or nothing")
	check(within(t.QuietMS, 1000, day), "quiet_ms", "1000 to 86400000")
	check(within(t.QuietCloseMS, 1000, day), "quiet_close_ms", "1000 to 86400000")
	check(text(t.QuietText), "quiet_text", "at most 1000 bytes")
	check(within(t.SilentMS, 1000, day), "silent_ms", "1000 to 86400000")
	check(within(t.StillAfterMS, 1000, day), "still_after_ms", "1000 to 86400000")
	check(within(t.StillMS, 1000, 600_000), "still_ms", "1000 to 600000")
	check(t.StillThen == "" || t.StillThen == GonePark || t.StillThen == GoneRemove, "still_then", "park or remove")
	return list
}
