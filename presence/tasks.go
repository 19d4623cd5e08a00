package presence

import (
	"context"
	"time"

	"github.com/switchboard/switchboard"
)

// MaxTasks is how many pieces of outside work an operator may hold.
const MaxTasks = 64

// Task is a piece of outside work, other:<id> in an operator's record: a mail, a case.
type Task struct {
	ID    string // as a call's: 1 to 64 of A-Z a-z 0-9 . _ -
	Units int    // that it takes of the operator's limit, 1 to 250
}

// StartTask reports that an operator has a piece of outside work, or has it still: it
// is work until EndTask or until the lease (at most an hour) is over, takes its units
// whatever the limit, and keeps a logout waiting. It may be repeated. Errors:
// CodeInvalid (field), CodeNotFound, CodeConflict when the operator is not signed in
// or holds MaxTasks, CodeLeaving when a logout waits.
func (r *Registry) StartTask(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, task Task, lease time.Duration) error {
	switch {
	case !callID.MatchString(task.ID):
		return switchboard.Invalid("id", "1 to 64 characters of A-Z a-z 0-9 . _ -")
	case task.Units < 1 || task.Units > 250:
		return switchboard.Invalid("units", "1 to 250")
	case lease < time.Millisecond || lease > time.Hour:
		return switchboard.Invalid("lease_ms", "1 ms to 1 hour")
	}
	reply, err := r.Call(ctx, org, scriptTask, nil, int64(op), task.ID, lease.Milliseconds(), "", task.Units)
	if err != nil {
		return err
	}
	return reported(reply, "the operator holds 64 pieces of work already")
}

// EndTask ends a piece of outside work; ending one that is not there is fine.
// Errors: CodeInvalid (id), CodeNotFound.
func (r *Registry) EndTask(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, id string) error {
	if !callID.MatchString(id) {
		return switchboard.Invalid("id", "1 to 64 characters of A-Z a-z 0-9 . _ -")
	}
	reply, err := r.Call(ctx, org, scriptTask, nil, int64(op), id, 0, "")
	if err != nil {
		return err
	}
	return reported(reply, "")
}
