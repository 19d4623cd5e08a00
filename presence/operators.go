package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// NewOperator is what a company says of an operator. Nil fields of a known
// operator stay as they are.
type NewOperator struct {
	ID      switchboard.OperatorID `json:"id"`
	Name    string                 `json:"name,omitempty"`
	Email   string                 `json:"email,omitempty"`
	Number  string                 `json:"number,omitempty"`
	Role    switchboard.Role       `json:"role,omitempty"`
	Teams   []switchboard.TeamID   `json:"teams,omitzero"`  // empty, not nil: none
	Skills  map[string]int         `json:"skills,omitzero"` // skill -> level, 1 to 10; empty, not nil: none
	Limit   int                    `json:"limit,omitempty"` // units of work at a time, 0 (the team's or organization's) to 250
	Over    *bool                  `json:"over,omitempty"`  // may claim chats over the limit
	Account *switchboard.Account   `json:"account,omitempty"`
}

// AddOperators creates operators, or changes what is said of known ones; ids
// come from the registry first. Doing it again changes nothing. Presence, intent
// and work of a known operator are untouched. Errors: CodeInvalid names index
// and field, and nothing was written.
func (r *Registry) AddOperators(ctx context.Context, org switchboard.OrgID, ops []NewOperator) error {
	rows := make([]any, len(ops))
	for i, op := range ops {
		field := func(f string) string { return fmt.Sprintf("operators[%d].%s", i, f) }
		switch {
		case op.ID <= 0:
			return switchboard.Invalid(field("id"), "a positive integer")
		case len(op.Name) > 400:
			return switchboard.Invalid(field("name"), "at most 400 bytes")
		case op.Limit < 0 || op.Limit > 250:
			return switchboard.Invalid(field("limit"), "0 to 250")
		case len(op.Skills) > MaxSkills:
			return switchboard.Invalid(field("skills"), fmt.Sprintf("at most %d", MaxSkills))
		case op.Role != "" && op.Role != switchboard.RoleOperator && !op.Role.Supervises():
			return switchboard.Invalid(field("role"), "operator, supervisor or admin")
		}
		for skill, level := range op.Skills {
			if !ValidSkill(skill) {
				return switchboard.Invalid(field("skills"), "a skill's name is 1 to 40 of a-z 0-9 _ . : -")
			}
			if level < 1 || level > MaxLevel {
				return switchboard.Invalid(field("skills."+skill), "a level is 1 to 10")
			}
		}
		raw, err := json.Marshal(op)
		if err != nil {
			return err
		}
		rows[i] = string(raw)
	}
	for part := range slices.Chunk(rows, 250) {
		if _, err := r.Call(ctx, org, scriptOperators, nil, part...); err != nil {
			return err
		}
	}
	return nil
}

// SetAccount switches an operator's account. Inactive takes the operator out of
// routing at once and leaves open chats with them; deleted also signs out,
// refuses every token and hands open chats over. Errors: CodeNotFound.
func (r *Registry) SetAccount(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, account switchboard.Account) error {
	if account < switchboard.AccountActive || account > switchboard.AccountDeleted {
		return switchboard.Invalid("status", "0 active, 1 inactive or 2 deleted")
	}
	if _, err := r.Operator(ctx, org, op); err != nil {
		return err
	}
	return r.AddOperators(ctx, org, []NewOperator{{ID: op, Account: &account}})
}

// Operator returns one operator's record. Errors: CodeNotFound.
func (r *Registry) Operator(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID) (Operator, error) {
	raw, err := r.rdb.HGet(ctx, r.Partition(org).Key(org, "op"), strconv.FormatInt(int64(op), 10)).Result()
	if errors.Is(err, redis.Nil) {
		return Operator{}, switchboard.Errorc(switchboard.CodeNotFound, "no such operator")
	}
	if err != nil {
		return Operator{}, r.storeError("operator", err)
	}
	var rec Operator
	if err := json.Unmarshal([]byte(raw), &rec); err != nil {
		return rec, fmt.Errorf("operator %d: %w", op, err)
	}
	return rec, nil
}

// Operators returns all operators of an organization by id, deleted ones too.
func (r *Registry) Operators(ctx context.Context, org switchboard.OrgID) ([]Operator, error) {
	all, err := r.rdb.HGetAll(ctx, r.Partition(org).Key(org, "op")).Result()
	if err != nil {
		return nil, r.storeError("operators", err)
	}
	out := make([]Operator, 0, len(all))
	for id, raw := range all {
		var rec Operator
		if err := json.Unmarshal([]byte(raw), &rec); err != nil {
			return nil, fmt.Errorf("operator %s: %w", id, err)
		}
		out = append(out, rec)
	}
	slices.SortFunc(out, func(a, b Operator) int { return int(a.ID - b.ID) })
	return out, nil
}

// View returns the public state of one operator. Errors: CodeNotFound.
func (r *Registry) View(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID) (switchboard.OperatorView, error) {
	rec, err := r.Operator(ctx, org, op)
	if err != nil {
		return switchboard.OperatorView{}, err
	}
	here, err := r.rdb.HExists(ctx, r.Partition(org).Key(org, "link"), string(switchboard.OperatorPerson(op))).Result()
	if err != nil {
		return switchboard.OperatorView{}, r.storeError("link", err)
	}
	return rec.View(here), nil
}

// Roster returns the public state of every operator who is not deleted, and the
// number of the last broadcast that it surely contains.
func (r *Registry) Roster(ctx context.Context, org switchboard.OrgID) (views []switchboard.OperatorView, ctr int64, err error) {
	p := r.Partition(org)
	at, err := r.rdb.HGet(ctx, p.key("meta"), "ctr").Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, 0, r.storeError("ctr", err)
	}
	ops, err := r.Operators(ctx, org)
	if err != nil || len(ops) == 0 {
		return nil, at, err
	}
	people := make([]string, len(ops))
	for i, op := range ops {
		people[i] = string(switchboard.OperatorPerson(op.ID))
	}
	links, err := r.rdb.HMGet(ctx, p.Key(org, "link"), people...).Result()
	if err != nil {
		return nil, 0, r.storeError("link", err)
	}
	teams, err := r.Teams(ctx, org)
	if err != nil {
		return nil, 0, err
	}
	means := []string{switchboard.StatusAvailable} // intents that mean work, as operator.lua's takes has it
	if len(teams) > 0 && teams[0].ID == 0 {
		means = append(means, teams[0].Routable...)
	}
	for i, op := range ops {
		if op.Account == switchboard.AccountDeleted {
			continue
		}
		_, here := links[i].(string) // within grace too, as operator.lua's view has it
		v := op.View(here)
		v.Takes = v.Here && op.Account == switchboard.AccountActive && op.Leaving == nil && slices.Contains(means, op.Intent)
		views = append(views, v)
	}
	return views, at, nil
}

// Minted returns the Redis time in ms to put into a new token of an operator: it
// is above every logout of theirs so far. Errors: CodeNotFound; CodeForbidden
// for a deleted operator; CodeLoggedOut while an order's fence refuses sign-ins.
func (r *Registry) Minted(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID) (int64, error) {
	rec, err := r.Operator(ctx, org, op)
	if err != nil {
		return 0, err
	}
	if rec.Account == switchboard.AccountDeleted {
		return 0, switchboard.Errorc(switchboard.CodeForbidden, "the operator is deleted")
	}
	now, err := r.Now(ctx)
	if err != nil {
		return 0, err
	}
	if rec.Fence > now {
		return 0, barred(rec.Fence - now)
	}
	return max(now, rec.Floor+1), nil
}

// CheckToken refuses a token that is older than a logout of its operator; every
// HTTP call with a person's token asks it. Errors: CodeLoggedOut,
// CodeUnauthorized when the operator is gone, CodeUnavailable (fail closed), also
// while nodes assert what a failover may have lost.
func (r *Registry) CheckToken(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, minted int64) (Operator, error) {
	p := r.Partition(org)
	reply, err := r.CallBare(ctx, org, scriptToken, []string{p.Meta(), p.Key(org, "op")}, int64(op))
	if err != nil {
		return Operator{}, err
	}
	if reply.Status == "HOLD" {
		return Operator{}, ErrHold
	}
	var rec Operator
	if raw := reply.Text(0); raw != "" {
		if err := json.Unmarshal([]byte(raw), &rec); err != nil {
			return rec, fmt.Errorf("operator %d: %w", op, err)
		}
	}
	if rec.ID == 0 || rec.Account == switchboard.AccountDeleted {
		return rec, switchboard.Errorc(switchboard.CodeUnauthorized, "this account is no longer there")
	}
	if minted <= rec.Floor {
		return rec, switchboard.Errorc(switchboard.CodeLoggedOut, "you were signed out; sign in again")
	}
	return rec, nil
}
