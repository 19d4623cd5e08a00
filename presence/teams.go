package presence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// TeamChange replaces a team's settings, or creates it.
type TeamChange struct {
	Team
	// Known is the Version that the writer has seen: the change is refused when it
	// is another by now (S-3). 0 creates a team; AnyVersion replaces what is there.
	Known int64
}

// AnyVersion writes settings whatever they were before.
const AnyVersion = -1

// PutTeam creates a team or changes its settings, whatever they were; see
// ChangeTeams.
func (r *Registry) PutTeam(ctx context.Context, org switchboard.OrgID, t Team) error {
	_, err := r.ChangeTeams(ctx, org, "administrator", []TeamChange{{t, AnyVersion}})
	return err
}

// ChangeTeams writes the settings of teams, all or none, with an audit entry for
// each that names by, and recomputes the organization's operators; chats that
// wait are looked at again. It returns the new versions. Errors:
// CodeInvalid with every problem (of change i as teams[i].field, unless there is
// one change only), CodeConflict when a version has moved on or the organization
// has 256 teams, CodeNotFound.
func (r *Registry) ChangeTeams(ctx context.Context, org switchboard.OrgID, by string, changes []TeamChange) ([]int64, error) {
	reply, err := r.writeTeams(ctx, org, by, "0", changes)
	if err != nil {
		return nil, err
	}
	versions := make([]int64, len(changes))
	for i := range versions {
		versions[i] = reply.Int(i + 1)
	}
	// Should this node die now, the deadline that the script left does the rest.
	return versions, r.settleAll(ctx, org, reply.Int(0))
}

// writeTeams writes settings; keep "1" leaves a team that is there as it is.
func (r *Registry) writeTeams(ctx context.Context, org switchboard.OrgID, by, keep string, changes []TeamChange) (Reply, error) {
	var problems []switchboard.Problem
	args := []any{keep, by}
	for i, c := range changes {
		at := ""
		if len(changes) > 1 {
			at = fmt.Sprintf("teams[%d].", i)
		}
		if more := c.problems(at); len(more) > 0 {
			problems = append(problems, more...)
			continue
		}
		row, err := c.row(time.Now())
		if err != nil {
			return Reply{}, err
		}
		args = append(args, row...)
	}
	if err := switchboard.InvalidAll(problems); err != nil {
		return Reply{}, err
	}
	reply, err := r.Call(ctx, org, scriptTeam, []string{r.Partition(org).key("orgs")}, args...)
	if err != nil {
		return reply, err
	}
	switch reply.Status {
	case "FULL":
		return reply, switchboard.Errorc(switchboard.CodeConflict, "an organization has at most 256 teams")
	case "NOTFOUND":
		return reply, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "team", Message: "the organization has no team " + reply.Text(0)}
	case "STALE":
		return reply, &switchboard.Error{Code: switchboard.CodeConflict, Field: "version",
			Message: fmt.Sprintf("the settings of team %s have changed; their version is %s now", reply.Text(0), reply.Text(1))}
	}
	return reply, nil
}

// row is what the script takes for one change.
func (c TeamChange) row(now time.Time) ([]any, error) {
	audit, err := json.Marshal(c.Team)
	if err != nil {
		return nil, err
	}
	hours, open, until := "", "-", int64(0)
	if c.Hours != nil {
		raw, err := json.Marshal(c.Hours)
		if err != nil {
			return nil, err
		}
		hours = string(raw)
		if open, until, err = c.Hours.compiled(now); err != nil {
			return nil, err
		}
	}
	record, err := json.Marshal(recordOf(c.Team))
	return []any{int64(c.ID), string(record), hours, open, until, c.Known, string(audit)}, err
}

// teamRecord is a team as scripts read it: its strategy is the one that orders
// operators, and ask_ms says that a webhook is asked before.
type teamRecord struct {
	Team
	AskMS int64 `json:"ask_ms,omitempty"`
}

func recordOf(t Team) teamRecord {
	t.Hours, t.Version = nil, 0 // they stand elsewhere, and the script counts
	r := teamRecord{Team: t}
	if t.Strategy == Webhook {
		r.AskMS = cmp.Or(t.WebhookMS, 2000)
		r.Strategy, r.Fallback = t.Fallback, ""
	}
	return r
}

func (r teamRecord) team() Team {
	t := r.Team
	if r.AskMS > 0 {
		t.Fallback, t.Strategy = t.Strategy, Webhook
	}
	return t
}

// settleAll recomputes every operator after settings changed; mark is that of
// the change, and its deadline goes when all is done.
func (r *Registry) settleAll(ctx context.Context, org switchboard.OrgID, mark int64) error {
	ops, err := r.Operators(ctx, org)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ops, 250) {
		ids := []any{""}
		for _, op := range part {
			ids = append(ids, int64(op.ID))
		}
		if _, err := r.Call(ctx, org, scriptResettle, nil, ids...); err != nil {
			return err
		}
	}
	_, err = r.Call(ctx, org, scriptResettle, nil, mark)
	return err
}

// settleAgain is settleAll for a change that somebody else did not finish.
func (r *Registry) settleAgain(ctx context.Context, org switchboard.OrgID) error {
	mark, err := r.rdb.HGet(ctx, r.Partition(org).Key(org, "org"), "settings").Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return r.storeError("settings", err)
	}
	return r.settleAll(ctx, org, mark)
}

// Announce broadcasts a topic of an organization to the nodes that serve it.
func (r *Registry) Announce(ctx context.Context, org switchboard.OrgID, topic string) error {
	_, err := r.Call(ctx, org, scriptAnnounce, nil, topic)
	return err
}

// EnsureOrg makes an organization ready for work: its team 0, everyone, unless
// it has one. Doing it again changes nothing, whoever sets the team meanwhile.
func (r *Registry) EnsureOrg(ctx context.Context, org switchboard.OrgID) error {
	_, err := r.writeTeams(ctx, org, "", "1", []TeamChange{{Team{ID: 0, Name: "Everyone"}, AnyVersion}})
	return err
}

// Teams returns an organization's teams by id, team 0 first.
func (r *Registry) Teams(ctx context.Context, org switchboard.OrgID) ([]Team, error) {
	p := r.Partition(org)
	pipe := r.rdb.Pipeline()
	teams, rest := pipe.HGetAll(ctx, p.Key(org, "team")), pipe.HGetAll(ctx, p.Key(org, "org"))
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, r.storeError("teams", err)
	}
	out := make([]Team, 0, len(teams.Val()))
	for id, raw := range teams.Val() {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("team id %q: %w", id, err)
		}
		var record teamRecord
		if err := json.Unmarshal([]byte(raw), &record); err != nil {
			return nil, fmt.Errorf("team %s: %w", id, err)
		}
		t := record.team()
		t.ID = switchboard.TeamID(n)
		if raw, ok := rest.Val()[hoursField(t.ID)]; ok {
			if err := json.Unmarshal([]byte(raw), &t.Hours); err != nil {
				return nil, fmt.Errorf("hours of team %s: %w", id, err)
			}
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Team) int { return int(a.ID - b.ID) })
	return out, nil
}

// Team returns one team. Errors: CodeNotFound.
func (r *Registry) Team(ctx context.Context, org switchboard.OrgID, id switchboard.TeamID) (Team, error) {
	all, err := r.Teams(ctx, org)
	if err != nil {
		return Team{}, err
	}
	for _, t := range all {
		if t.ID == id {
			return t, nil
		}
	}
	return Team{}, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "team", Message: fmt.Sprintf("the organization has no team %d", id)}
}

// hoursField is where the rules of a team's hours stand in o:org: scripts read
// teams all the time and rules never.
func hoursField(id switchboard.TeamID) string { return "hours:" + strconv.FormatInt(int64(id), 10) }

// CompiledHours reads the rules of a team's hours and returns them as they are
// stored, "" for none, with what scripts read instead: when it is open, and until
// when that is known.
func (r *Registry) CompiledHours(ctx context.Context, org switchboard.OrgID, id switchboard.TeamID) (rules, open string, until int64, err error) {
	rules, err = r.rdb.HGet(ctx, r.Partition(org).Key(org, "org"), hoursField(id)).Result()
	if errors.Is(err, redis.Nil) {
		return "", "", 0, nil
	}
	if err != nil {
		return "", "", 0, r.storeError("hours", err)
	}
	var h Hours
	if err := json.Unmarshal([]byte(rules), &h); err != nil {
		return "", "", 0, fmt.Errorf("hours of team %d: %w", id, err)
	}
	open, until, err = h.compiled(time.Now())
	return rules, open, until, err
}
