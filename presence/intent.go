package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchboard/switchboard"
)

// Sources of an intent; doc.go has the table of who may overwrite whom.
const (
	SourceOperator   = "operator"
	SourceSupervisor = "supervisor"
	SourceSystem     = "system" // only the system itself writes it
)

// When a status choice counts.
const (
	WhenNow       = "now"        // the default
	WhenAfterWork = "after_work" // when the last chat or call ends; at once without any
	WhenCancel    = "cancel"     // takes back what is pending
	WhenReturn    = "return"     // ends a temporary or automatic status
)

// Covered is a status that a temporary or automatic one lies over.
type Covered struct {
	Status string `json:"i"`
	Source string `json:"s,omitempty"`
	Until  int64  `json:"t,omitempty"` // Redis ms; 0: never
	Reason string `json:"w,omitempty"`
}

// Pending is a status that waits for the end of the operator's work.
type Pending struct {
	Status string `json:"i"`
	Source string `json:"s"`
	By     string `json:"b,omitempty"`
	Reason string `json:"w,omitempty"`
	ForMS  int64  `json:"ms,omitempty"` // temporary, for so long from then on; 0: not
}

// StatusChange is one write of an operator's intent.
type StatusChange struct {
	Status  string        // not looked at by WhenCancel and WhenReturn
	Version int64         // the version the writer last saw; 0: do not compare
	Source  string        // SourceOperator or SourceSupervisor
	When    string        // "" is WhenNow
	For     time.Duration // how long it holds, 1 s to 24 h; 0: until the next choice
	By      string        // who writes: a person, or the name of a program
	Reason  string        // at most 200 bytes, shown on boards and in the history
	// Minted is the Redis ms of an operator's own token: the write is refused when
	// they were signed out since. 0 for other writers.
	Minted int64
}

// Bounds of a temporary status.
const (
	minFor = time.Second
	maxFor = 24 * time.Hour
)

func (c StatusChange) validate() error {
	chooses := c.When != WhenCancel && c.When != WhenReturn
	switch {
	case c.When != "" && c.When != WhenNow && c.When != WhenAfterWork && chooses:
		return switchboard.Invalid("when", "now, after_work, cancel or return")
	case chooses && (c.Status == "" || switchboard.Computed(c.Status) || switchboard.Automatic(c.Status)):
		return switchboard.Invalid("status", "this status cannot be chosen")
	case c.For != 0 && (!chooses || c.For < minFor || c.For > maxFor):
		return switchboard.Invalid("for_ms", "1000 to 86400000, with a status")
	case len(c.Reason) > 200:
		return switchboard.Invalid("reason", "at most 200 bytes")
	}
	return nil
}

// SetStatus changes an operator's intent; the caller has checked that the
// organization knows the status. It returns the record as it is then; of a stale
// write, the record that was not changed. Errors: CodeInvalid names the field,
// nothing was written; CodeConflict with field version when the version is stale,
// with field for_ms when 8 temporary statuses lie within each other;
// CodeForbidden while a supervisor's temporary status lasts; CodeLoggedOut when
// the operator was signed out since Minted; CodeNotFound.
func (r *Registry) SetStatus(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, ch StatusChange) (Operator, error) {
	if err := ch.validate(); err != nil {
		return Operator{}, err
	}
	if ch.When == "" {
		ch.When = WhenNow
	}
	if ch.Source == "" {
		ch.Source = SourceOperator
	}
	reply, err := r.Call(ctx, org, scriptStatus, nil, int64(op), ch.Status, ch.Version, ch.Source, ch.When, ch.For.Milliseconds(), ch.By, ch.Reason, ch.Minted)
	if err != nil {
		return Operator{}, err
	}
	var rec Operator
	if reply.Status == "OK" || reply.Status == "STALE" {
		if err := json.Unmarshal([]byte(reply.Text(0)), &rec); err != nil {
			return rec, fmt.Errorf("operator record: %w", err)
		}
	}
	switch reply.Status {
	case "GONE":
		return rec, switchboard.Errorc(switchboard.CodeNotFound, "no such operator")
	case "OUT":
		return rec, switchboard.Errorc(switchboard.CodeLoggedOut, "you were signed out; sign in again")
	case "STALE":
		return rec, &switchboard.Error{Code: switchboard.CodeConflict, Field: "version", Message: "the status has changed since"}
	case "LOCKED":
		left := time.Duration(reply.Int(0)) * time.Millisecond
		return rec, &switchboard.Error{Code: switchboard.CodeForbidden, Field: "status", RetryAfter: left,
			Message: fmt.Sprintf("a supervisor has set this status for another %v", left.Round(time.Second))}
	case "DEEP":
		return rec, &switchboard.Error{Code: switchboard.CodeConflict, Field: "for_ms", Message: "8 temporary statuses lie within each other already"}
	}
	return rec, nil
}

// SetIdle records whether all connections that this node holds of an operator are
// idle. now is asked when it is this call's turn; ok false writes nothing. Errors
// as in Call.
func (r *Registry) SetIdle(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, now func() (idle, ok bool)) error {
	release, err := r.turn(ctx, org, switchboard.OperatorPerson(op))
	if err != nil {
		return err
	}
	defer release()
	idle, ok := now()
	if !ok {
		return nil
	}
	_, err = r.Call(ctx, org, scriptIdle, nil, int64(op), flag(idle))
	return err
}

// flapping says that an operator's status kept changing without a person and was
// stopped: the metric and the log; the script has written the audit.
func (r *Registry) flapping(ctx context.Context, org switchboard.OrgID, id string) error {
	reply, err := r.Call(ctx, org, scriptFlap, nil, id)
	if err == nil && reply.Int(0) == 1 {
		r.metrics.flapped.Inc()
		r.log.Error("automatic status changes were stopped: too many in a minute", "org", int64(org), "operator", id)
	}
	return err
}

// flag is a truth as scripts read it.
func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
