package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
)

// Operator is an operator's record as the store holds it. Status is outward and
// computed; link is not part of it.
type Operator struct {
	ID      switchboard.OperatorID `json:"id"`
	Name    string                 `json:"name"`
	Email   string                 `json:"email,omitempty"`
	Number  string                 `json:"number,omitempty"`
	Role    switchboard.Role       `json:"role"`
	Account switchboard.Account    `json:"account"`
	Teams   []switchboard.TeamID   `json:"teams,omitempty"`
	Skills  map[string]int         `json:"skills,omitempty"` // skill -> level
	Limit   int                    `json:"limit,omitempty"`  // units of work at a time; 0: the team's or organization's
	Over    bool                   `json:"over,omitempty"`   // may claim chats over the limit
	Intent  string                 `json:"intent"`
	Source  string                 `json:"source,omitempty"` // who set the intent: operator, supervisor, system
	Reason  string                 `json:"why,omitempty"`    // of the intent
	Version int64                  `json:"version"`          // counts changes of the intent and of what is pending
	Until   int64                  `json:"till,omitempty"`   // when a temporary intent ends, Redis ms; 0: never
	Back    []Covered              `json:"back,omitempty"`   // what it goes back to, the nearest last
	Pending *Pending               `json:"pend,omitempty"`   // chosen for when the last chat or call ends
	Status  string                 `json:"shown"`
	Since   int64                  `json:"since"` // since when Status, Redis ms
	Floor   int64                  `json:"floor,omitempty"`
	Out     bool                   `json:"out,omitempty"`
	Wrap    int64                  `json:"wrap,omitempty"`  // wrap-up lasts until, Redis ms; 0: none
	Fence   int64                  `json:"fence,omitempty"` // a new sign-in is refused until, Redis ms
	Leaving *Leaving               `json:"leaving,omitempty"`
	Work    map[string]int         `json:"work,omitempty"` // "chat:7", "call:x", "offer:8", "monitor:y" -> units (chats, offers, invites) or role; scripts/parts.lua has the others
}

// Leaving says that a logout waits for the operator's work to end.
type Leaving struct {
	Orders []switchboard.OrderID `json:"orders"` // 0 is the operator's own wish
	Reason string                `json:"reason,omitempty"`
	At     int64                 `json:"at"`
	Cuts   map[string]int64      `json:"cuts,omitempty"`   // order -> when it waits no longer, Redis ms
	Fences map[string]int64      `json:"fences,omitempty"` // order -> for how many ms a new sign-in is refused
}

// Wrapping reports whether the operator is in wrap-up.
func (o Operator) Wrapping() bool { return o.Wrap != 0 }

// Busy returns how many chats and calls the operator holds; offers are not work
// that keeps anyone in.
func (o Operator) Busy() (chats, calls int) {
	for item := range o.Work {
		switch {
		case strings.HasPrefix(item, "chat:"):
			chats++
		case strings.HasPrefix(item, "call:"):
			calls++
		}
	}
	return chats, calls
}

// Tasks returns how many pieces of outside work the operator holds (StartTask).
func (o Operator) Tasks() (n int) {
	for item := range o.Work {
		if strings.HasPrefix(item, "other:") {
			n++
		}
	}
	return n
}

// View returns the public state; here says whether a socket is held, or was lost
// less than the grace ago.
func (o Operator) View(here bool) switchboard.OperatorView {
	v := switchboard.OperatorView{ID: o.ID, Name: o.Name, Role: o.Role, Account: o.Account, Teams: o.Teams, Status: o.Status,
		Intent: o.Intent, Since: o.Since, Version: o.Version, Here: here && !o.Out, Leaving: o.Leaving != nil,
		Source: o.Source, Reason: o.Reason, Until: o.Until}
	if o.Pending != nil {
		v.Next = o.Pending.Status
	}
	v.Chats, v.Calls = o.Busy()
	v.Others = o.Tasks()
	v.Offers = o.holds("offer:")
	return v
}

// Parts returns how many chats the operator takes part in and does not hold, as one
// who is consulted or has joined; they keep an operator in (L-9).
func (o Operator) Parts() int { return o.holds("consult:") + o.holds("join:") }

func (o Operator) holds(kind string) (n int) {
	for item := range o.Work {
		if strings.HasPrefix(item, kind) {
			n++
		}
	}
	return n
}

// Entered is what a node learns when it holds a first socket of a person.
type Entered struct {
	Operator *Operator // nil for a visitor
	Record   string    // the operator's record as the store holds it, for Restore
	Back     bool      // the person was offline before
	Now      int64     // Redis ms
	Holds    bool      // there are chats, offers, calls or a leaving mark: ask for a snapshot
	Orders   []switchboard.OrderID
	IdleMS   int64 // an operator who does nothing for so long is idle; 0: never
}

// Enter records that this node holds a socket of a person and says who they are.
// minted is the Redis time of the person's token in ms (0 for a visitor). A
// further socket on the same node writes nothing. Errors: CodeLoggedOut when
// the token is older than a logout, CodeUnauthorized when there is no such
// operator any more, CodeUnavailable, also to an operator who comes while nodes
// assert what a failover may have lost: it may be the logout of this token.
func (r *Registry) Enter(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, minted int64) (Entered, error) {
	return r.EnterIdle(ctx, org, person, minted, false)
}

// EnterIdle is Enter that also says whether all connections of the person here
// are idle: who only changes the node must not look active by it.
func (r *Registry) EnterIdle(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, minted int64, idle bool) (Entered, error) {
	return r.enter(ctx, org, person, minted, idle, true)
}

// Stays is EnterIdle for a person who has a socket here and need not come in
// again: assertion does not wait for assertion. Errors as in EnterIdle, and
// ErrHold while the operator's record is still to be asserted.
func (r *Registry) Stays(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, minted int64, idle bool) error {
	_, err := r.enter(ctx, org, person, minted, idle, false)
	return err
}

// ErrHold refuses while nodes assert what a server that has changed may have lost;
// a person of this node's is entered by that assertion.
var ErrHold = &switchboard.Error{Code: switchboard.CodeUnavailable, RetryAfter: retryAfter,
	Message: "the store has changed and logouts are looked for; try again"}

func (r *Registry) enter(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, minted int64, idle, comes bool) (Entered, error) {
	release, err := r.turn(ctx, org, person)
	if err != nil {
		return Entered{}, err
	}
	defer release()
	reply, err := r.Call(ctx, org, scriptEnter, nil, string(person), minted, flag(idle), flag(comes))
	if err != nil {
		return Entered{}, err
	}
	switch reply.Status {
	case "BARRED":
		return Entered{}, barred(reply.Int(0))
	case "OUT":
		return Entered{}, switchboard.Errorc(switchboard.CodeLoggedOut, "you were signed out; sign in again")
	case "GONE":
		return Entered{}, switchboard.Errorc(switchboard.CodeUnauthorized, "this account is no longer there")
	case "HOLD":
		return Entered{}, ErrHold
	}
	e := Entered{Back: reply.Text(1) == "1", Now: reply.Int(4), Holds: reply.Text(5) == "1"}
	if raw := reply.Text(0); raw != "" {
		e.Operator, e.Record = new(Operator), raw
		if err := json.Unmarshal([]byte(raw), e.Operator); err != nil {
			return Entered{}, fmt.Errorf("operator record: %w", err)
		}
	}
	e.IdleMS = reply.Int(3)
	e.Orders, err = orderIDs(reply.Text(2))
	return e, err
}

// Leave records that this node holds no socket of a person any more. still is
// asked when it is this call's turn: when it says true a new socket has come and
// nothing is written. grace is for how long the person still shows as here; 0
// after an explicit sign-out, negative for the configured default.
func (r *Registry) Leave(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, grace time.Duration, still func() bool) error {
	release, err := r.turn(ctx, org, person)
	if err != nil {
		return err
	}
	defer release()
	if still() {
		return nil
	}
	if grace < 0 {
		grace = r.cfg.Grace
	}
	_, err = r.Call(ctx, org, scriptLeave, nil, r.Incarnation(), grace.Milliseconds(), string(person))
	return err
}

// barred is the error of a sign-in that an order's fence refuses for ms more.
func barred(ms int64) error {
	wait := time.Duration(ms) * time.Millisecond
	return &switchboard.Error{Code: switchboard.CodeLoggedOut, RetryAfter: wait,
		Message: fmt.Sprintf("you were signed out and may sign in again in %v", max(wait.Round(time.Second), time.Second))}
}

// When an operator's own sign-out happens.
const (
	SignOutNow      = "now"      // refused while busy
	SignOutDrain    = "drain"    // as soon as the work ends
	SignOutHandOver = "handover" // at once, chats go to the head of their queues; refused during a call
	SignOutStay     = "stay"     // not at all: takes an own SignOutDrain back
)

// SignOut is an operator's own wish to leave, or to stay after all. Returns
// whether the operator is leaving (true); false is out, or staying. Errors:
// CodeConflict when the work does not allow it (L-2).
func (r *Registry) SignOut(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, when string) (leaving bool, err error) {
	reply, err := r.Call(ctx, org, scriptSignOut, nil, int64(op), when, "signed out")
	if err != nil {
		return false, err
	}
	switch reply.Status {
	case "BUSY":
		return false, &switchboard.Error{Code: switchboard.CodeConflict, Field: "when",
			Message: fmt.Sprintf("you hold %d chats and %d calls; sign out with when=drain to leave as soon as they end, or hand chats over with when=handover", reply.Int(0), reply.Int(1))}
	case "GONE":
		return false, switchboard.Errorc(switchboard.CodeNotFound, "no such operator")
	}
	return reply.Status == "LEAVING", nil
}

// CallLease is how long a call lives without renewal: its owner may vanish.
const CallLease = 90 * time.Second

var callID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Roles of an operator in a call, by the numbers in Operator.Work. All but
// RoleMonitor keep an operator in while a logout waits (L-9).
const (
	LegTalk = 1 + iota
	LegHold
	LegConference
	LegConsult
	LegMonitor
)

// Legs are the roles by their words on the wire.
var Legs = map[string]int{"talk": LegTalk, "hold": LegHold, "conference": LegConference, "consult": LegConsult, "monitor": LegMonitor}

// StartCall is StartLeg for one who talks.
func (r *Registry) StartCall(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, call string, lease time.Duration) error {
	return r.StartLeg(ctx, org, op, call, LegTalk, lease)
}

// StartLeg records (or renews) an operator's leg of a call until lease is over,
// and the operator's role in it. Errors: CodeInvalid for a bad call id,
// CodeNotFound, CodeConflict when the operator is not signed in or holds 16
// legs, CodeLeaving when a logout waits.
func (r *Registry) StartLeg(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, call string, role int, lease time.Duration) error {
	if !callID.MatchString(call) {
		return switchboard.Invalid("call", "1 to 64 characters of A-Z a-z 0-9 . _ -")
	}
	if lease <= 0 || lease > time.Hour {
		return switchboard.Invalid("lease_ms", "1 ms to 1 hour")
	}
	reply, err := r.Call(ctx, org, scriptCall, nil, int64(op), call, max(lease.Milliseconds(), 1), "", role)
	if err != nil {
		return err
	}
	return reported(reply, "the operator holds 16 calls already")
}

// reported is what the answer to a report of work, a call's leg or an outside one,
// means to who reported it (scripts call and task); full is said when it is too much.
func reported(reply Reply, full string) error {
	switch reply.Status {
	case "GONE":
		return switchboard.Errorc(switchboard.CodeNotFound, "no such operator")
	case "OFFLINE":
		return switchboard.Errorc(switchboard.CodeConflict, "the operator is not signed in")
	case "LEAVING":
		return switchboard.Errorc(switchboard.CodeLeaving, "the operator is being signed out and takes no new work")
	case "FULL":
		return switchboard.Errorc(switchboard.CodeConflict, full)
	}
	return nil
}

// EndCall ends a call; ending one that is not there is fine.
func (r *Registry) EndCall(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, call string) error {
	if !callID.MatchString(call) {
		return switchboard.Invalid("call", "1 to 64 characters of A-Z a-z 0-9 . _ -")
	}
	reply, err := r.Call(ctx, org, scriptCall, nil, int64(op), call, 0, "")
	if err != nil {
		return err
	}
	return reported(reply, "")
}
