package presence

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/switchboard/switchboard"
)

// This file asserts again what a failover may have lost. A node keeps the record
// of each operator it holds a socket of, as the bus brings it, and after a new
// generation (identity.go) says: these are here, and this is what I last heard
// of them. The store merges (scripts/restore.lua). In order:
//
//  1. Restore with missing: operators whose record is gone.
//  2. routing asserts the chats of people here.
//  3. Restore: what else is known of operators: leaving, calls, floors, intent.
//  4. Enter for everybody here, and Strays for edges of people who are not.
//  5. Asserted: matching may go on.

// Restore asserts operators of an organization by their records, as Entered and
// nudges carry them. missing restricts it to those whose record is gone. It may
// be repeated. Errors as in Call.
func (r *Registry) Restore(ctx context.Context, org switchboard.OrgID, missing bool, records []string) error {
	mode := "merge"
	if missing {
		mode = "missing"
	}
	for part := range slices.Chunk(records, 50) {
		args := []any{mode}
		for _, raw := range part {
			args = append(args, raw)
		}
		if _, err := r.Call(ctx, org, scriptRestore, nil, args...); err != nil {
			return err
		}
	}
	return nil
}

// Asserted says that this node has asserted all it holds in a partition under a
// generation; matching waits for it (scripts/adopt.lua).
func (r *Registry) Asserted(ctx context.Context, p Partition, gen int64) error {
	_, err := r.eval(ctx, scriptAsserted, []string{p.key("meta")}, gen, r.Incarnation())
	return err
}

// Asserting says that this node still asserts what it holds in a partition under a
// generation: matching waits on, to be called each second, for assertWithin at most after
// the change. It may be called when matching waits no more.
func (r *Registry) Asserting(ctx context.Context, p Partition, gen int64) error {
	_, err := r.eval(ctx, scriptAsserting, []string{p.key("meta")}, gen, r.Incarnation(), adoptHold.Milliseconds(), assertWithin.Milliseconds())
	return err
}

// assertWithin is for how long after a change of server nobody is matched while nodes say
// that they still assert: some thousand chats a node take longer than adoptHold.
const assertWithin = 15 * time.Second

// Strays ends the edges of this incarnation whose people are not here: their end
// was lost. here is asked for each.
func (r *Registry) Strays(ctx context.Context, p Partition, here func(switchboard.OrgID, switchboard.PersonID) bool) error {
	scan := r.rdb.SScan(ctx, p.Own(r.Incarnation()), 0, "", 500).Iterator()
	for scan.Next(ctx) {
		org, person, ok := splitEdge(scan.Val())
		if !ok {
			return fmt.Errorf("own holds %q, which is no edge", scan.Val())
		}
		who := switchboard.PersonID(person)
		if here(org, who) {
			continue
		}
		if err := r.Leave(ctx, org, who, -1, func() bool { return here(org, who) }); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		return r.storeError("strays", err)
	}
	return nil
}

// waitCopy is how long Safe waits for a replica, and copyGone for how long a
// server that has lost its replicas is still held to have some.
const (
	waitCopy = 500 * time.Millisecond
	copyGone = time.Minute
)

// Safe returns when everything written so far for an organization is on a
// replica too, where there are replicas: what is answered after it survives the
// death of the master. A replica that missed it can still be elected when more
// than one is lost at once; Redis promises no more. Errors: CodeUnavailable when
// no replica has confirmed in time; what was written stays written.
func (r *Registry) Safe(ctx context.Context, org switchboard.OrgID) error {
	p := r.Partition(org)
	r.ids.mu.Lock()
	copies := r.ids.copies[p.Tag]
	r.ids.mu.Unlock()
	if !copies {
		return nil
	}
	conn, err := r.connection(ctx, p.Tag)
	if err != nil {
		return r.storeError("wait", err)
	}
	defer conn.Close()
	// WAIT is about this connection's own last write; a replica that has that has
	// everything before it, whoever wrote it.
	pipe := conn.Pipeline()
	pipe.HIncrBy(ctx, p.key("meta"), "safe", 1)
	done := pipe.Do(ctx, "WAIT", 1, waitCopy.Milliseconds())
	if _, err := pipe.Exec(ctx); err != nil {
		return r.storeError("wait", err)
	}
	n, err := strconv.Atoi(fmt.Sprint(done.Val()))
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	r.ids.mu.Lock()
	defer r.ids.mu.Unlock()
	if n > 0 {
		delete(r.ids.alone, p.Tag)
		return nil
	}
	if since, ok := r.ids.alone[p.Tag]; !ok {
		r.ids.alone[p.Tag] = time.Now()
	} else if time.Since(since) > copyGone {
		r.log.Warn("the store has lost its replicas; orders are confirmed without", "partition", p.Tag)
		delete(r.ids.alone, p.Tag)
		r.ids.copies[p.Tag] = false
		return nil
	}
	return &switchboard.Error{Code: switchboard.CodeUnavailable, RetryAfter: retryAfter,
		Message: "no replica of the store has confirmed this yet; it may be lost, try again"}
}
