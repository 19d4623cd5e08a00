package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

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
	IdleMS     int64              `json:"idle_ms,omitempty"`     // team 0: who does nothing for so long is Away, 10,000 to 86,400,000; 0: never
	Routable   []string           `json:"routable,omitempty"`    // team 0: intents besides Available that mean work, at most 20
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
	case t.IdleMS != 0 && (t.IdleMS < 10_000 || t.IdleMS > 86_400_000):
		return switchboard.Invalid("idle_ms", "10000 to 86400000, or 0")
	case len(t.Routable) > 20 || slices.ContainsFunc(t.Routable, unmapped):
		return switchboard.Invalid("routable", "at most 20 custom statuses")
	}
	return nil
}

// unmapped: statuses of our own mean what they mean.
func unmapped(status string) bool {
	switch status {
	case "", switchboard.StatusUnavailable, switchboard.StatusBreak, switchboard.StatusMeal:
		return true
	}
	return switchboard.Computed(status) || switchboard.Automatic(status)
}

// PutTeam creates a team or changes its settings, and recomputes its operators.
// Errors: CodeInvalid names the field, CodeConflict when the organization has
// 256 teams.
func (r *Registry) PutTeam(ctx context.Context, org switchboard.OrgID, t Team) error {
	if err := r.putTeam(ctx, org, t, "0"); err != nil {
		return err
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

// putTeam writes a team's settings; keep "1" leaves a team that is there as it is.
func (r *Registry) putTeam(ctx context.Context, org switchboard.OrgID, t Team, keep string) error {
	if err := t.validate(); err != nil {
		return err
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	orgs := r.Partition(org).key("orgs")
	reply, err := r.Call(ctx, org, scriptTeam, []string{orgs}, int64(t.ID), string(raw), keep)
	if err != nil {
		return err
	}
	if reply.Status == "FULL" {
		return switchboard.Errorc(switchboard.CodeConflict, "an organization has at most 256 teams")
	}
	return nil
}

// EnsureOrg makes an organization ready for work: its team 0, everyone, unless
// it has one. Doing it again changes nothing, whoever sets the team meanwhile.
func (r *Registry) EnsureOrg(ctx context.Context, org switchboard.OrgID) error {
	return r.putTeam(ctx, org, Team{ID: 0, Name: "Everyone"}, "1")
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
