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

// Strategies: how a team's next operator is chosen.
const (
	// LeastLoaded takes who holds the fewest chats, of those who was given work
	// or ended some the longest ago. The default.
	LeastLoaded = "least_loaded"
	// RoundRobin takes the next operator by id; the pointer moves in the claim.
	RoundRobin = "round_robin"
	// Mod takes index chatId mod count of the routable operators by id.
	Mod = "mod"
)

// Team holds a team's settings. The settings of team 0 (everyone) are those of
// the organization: its Limit is the default of every operator, and its WrapMS
// counts after any work.
type Team struct {
	ID         switchboard.TeamID `json:"-"`
	Name       string             `json:"name"`
	Strategy   string             `json:"strategy,omitempty"`    // LeastLoaded, RoundRobin or Mod
	Limit      int                `json:"limit,omitempty"`       // team 0: chats an operator holds at a time, 1 to 250; default 5
	AutoAccept bool               `json:"auto_accept,omitempty"` // a chat is the operator's without an offer
	OfferMS    int64              `json:"offer_ms,omitempty"`    // time to accept, 1,000 to 600,000; default 15,000
	WrapMS     int64              `json:"wrap_ms,omitempty"`     // team 0: wrap-up after the last work, 0 to 3,600,000
}

func (t Team) validate() error {
	switch {
	case t.Name == "" || len(t.Name) > 100:
		return switchboard.Invalid("name", "1 to 100 bytes")
	case !slices.Contains([]string{"", LeastLoaded, RoundRobin, Mod}, t.Strategy):
		return switchboard.Invalid("strategy", "one of least_loaded, round_robin, mod")
	case t.Limit < 0 || t.Limit > 250:
		return switchboard.Invalid("limit", "0 to 250")
	case t.OfferMS != 0 && (t.OfferMS < 1000 || t.OfferMS > 600_000):
		return switchboard.Invalid("offer_ms", "1000 to 600000")
	case t.WrapMS < 0 || t.WrapMS > 3_600_000:
		return switchboard.Invalid("wrap_ms", "0 to 3600000")
	}
	return nil
}

// PutTeam creates a team or changes its settings, and recomputes its operators.
// Errors: CodeInvalid names the field, CodeConflict when the organization has
// 256 teams.
func (r *Registry) PutTeam(ctx context.Context, org switchboard.OrgID, t Team) error {
	if err := t.validate(); err != nil {
		return err
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	orgs := r.Partition(org).key("orgs")
	reply, err := r.Call(ctx, org, scriptTeam, []string{orgs}, int64(t.ID), string(raw))
	if err != nil {
		return err
	}
	if reply.Status == "FULL" {
		return switchboard.Errorc(switchboard.CodeConflict, "an organization has at most 256 teams")
	}
	ops, err := r.Operators(ctx, org)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ops, 250) {
		ids := make([]any, len(part))
		for i, op := range part {
			ids[i] = int64(op.ID)
		}
		if _, err := r.Call(ctx, org, scriptResettle, nil, ids...); err != nil {
			return err
		}
	}
	return nil
}

// EnsureOrg makes an organization ready for work: its team 0, everyone. Doing it
// again changes nothing.
func (r *Registry) EnsureOrg(ctx context.Context, org switchboard.OrgID) error {
	p := r.Partition(org)
	has, err := r.rdb.HExists(ctx, p.Key(org, "team"), "0").Result()
	if err != nil {
		return r.storeError("team", err)
	}
	if has {
		return nil
	}
	return r.PutTeam(ctx, org, Team{ID: 0, Name: "Everyone"})
}

// Teams returns an organization's teams by id, team 0 first.
func (r *Registry) Teams(ctx context.Context, org switchboard.OrgID) ([]Team, error) {
	all, err := r.rdb.HGetAll(ctx, r.Partition(org).Key(org, "team")).Result()
	if err != nil {
		return nil, r.storeError("teams", err)
	}
	out := make([]Team, 0, len(all))
	for id, raw := range all {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("team id %q: %w", id, err)
		}
		t := Team{}
		if err := json.Unmarshal([]byte(raw), &t); err != nil {
			return nil, fmt.Errorf("team %s: %w", id, err)
		}
		t.ID = switchboard.TeamID(n)
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Team) int { return int(a.ID - b.ID) })
	return out, nil
}

// NewOperator is what a company says of an operator. Nil fields of a known
// operator stay as they are.
type NewOperator struct {
	ID      switchboard.OperatorID `json:"id"`
	Name    string                 `json:"name,omitempty"`
	Email   string                 `json:"email,omitempty"`
	Number  string                 `json:"number,omitempty"`
	Role    switchboard.Role       `json:"role,omitempty"`
	Teams   []switchboard.TeamID   `json:"teams,omitzero"`  // empty, not nil: none
	Limit   int                    `json:"limit,omitempty"` // chats and offers at a time, 0 (the organization's) to 250
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
		case op.Role != "" && op.Role != switchboard.RoleOperator && !op.Role.Supervises():
			return switchboard.Invalid(field("role"), "operator, supervisor or admin")
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
	for i, op := range ops {
		if op.Account == switchboard.AccountDeleted {
			continue
		}
		_, here := links[i].(string) // within grace too, as operator.lua's view has it
		views = append(views, op.View(here))
	}
	return views, at, nil
}

// Minted returns the Redis time in ms to put into a new token of an operator: it
// is above every logout of theirs so far. Errors: CodeNotFound; CodeForbidden
// for a deleted operator.
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
	return max(now, rec.Floor+1), nil
}

// CheckToken refuses a token that is older than a logout of its operator; every
// HTTP call with a person's token asks it. Errors: CodeLoggedOut,
// CodeUnauthorized when the operator is gone, CodeUnavailable (fail closed).
func (r *Registry) CheckToken(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, minted int64) (Operator, error) {
	rec, err := r.Operator(ctx, org, op)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return rec, switchboard.Errorc(switchboard.CodeUnauthorized, "this account is no longer there")
	}
	if err != nil {
		return rec, err
	}
	if rec.Account == switchboard.AccountDeleted {
		return rec, switchboard.Errorc(switchboard.CodeUnauthorized, "this account is no longer there")
	}
	if minted <= rec.Floor {
		return rec, switchboard.Errorc(switchboard.CodeLoggedOut, "you were signed out; sign in again")
	}
	return rec, nil
}
