package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

var peopleCommands = []command{
	{"team add", "create a team of an organization", teamAdd},
	{"team set", "change the settings of a team; team 0 is everyone", teamSet},
	{"team list", "list the teams of an organization", teamList},
	{"operator add", "create operators of an organization", operatorAdd},
	{"operator list", "list the operators of an organization", operatorList},
	{"operator account", "switch an operator's account: active, inactive or deleted", operatorAccount},
}

// teamFlags adds the flags of a team's settings and returns what puts those
// that were given into one.
func teamFlags(f *flags) func(*presence.Team) {
	strategy := arg(f, "strategy", presence.LeastLoaded, "who gets the next chat: least_loaded, round_robin or mod", text)
	limit := arg(f, "limit", "5", "team 0: chats an operator holds at a time", whole(1, 250))
	auto := arg(f, "auto-accept", "", "a chat is the operator's without an offer", yes)
	offer := arg(f, "offer", "15s", "time to accept an offer", span(time.Second, 10*time.Minute))
	wrap := arg(f, "wrap", "0s", "team 0: wrap-up after the last work", span(0, time.Hour))
	idle := arg(f, "idle", "0s", "team 0: who uses no page for so long is Away; 0s is never", span(0, 24*time.Hour))
	routable := list(f, "routable", "team 0: custom status that means work, as Available does; may be repeated")
	return func(t *presence.Team) {
		if f.given("strategy") {
			t.Strategy = *strategy
		}
		if f.given("limit") {
			t.Limit = *limit
		}
		if f.given("auto-accept") {
			t.AutoAccept = *auto
		}
		if f.given("offer") {
			t.OfferMS = offer.Milliseconds()
		}
		if f.given("wrap") {
			t.WrapMS = wrap.Milliseconds()
		}
		if f.given("idle") {
			t.IdleMS = idle.Milliseconds()
		}
		if f.given("routable") {
			t.Routable = *routable
		}
	}
}

func teamAdd(f *flags) action {
	ref := arg(f, "organization", "", "slug or id", required)
	name := arg(f, "name", "", "name", required)
	rest := teamFlags(f)
	return manage(f, func(ctx context.Context, a *admin) error {
		o, err := a.organization(ctx, *ref)
		if err != nil {
			return err
		}
		team := presence.Team{Name: *name}
		rest(&team)
		if team.ID, err = a.accounts.NextTeam(ctx); err != nil {
			return err
		}
		if err := a.presence.EnsureOrg(ctx, o.ID); err != nil {
			return err
		}
		if err := a.presence.PutTeam(ctx, o.ID, team); err != nil {
			return err
		}
		return a.showTeams(true, team)
	})
}

func teamSet(f *flags) action {
	ref := arg(f, "organization", "", "slug or id", required)
	team := arg(f, "team", "0", "id of the team", whole(0, 1<<53))
	name := arg(f, "name", "", "new name", text)
	rest := teamFlags(f)
	return manage(f, func(ctx context.Context, a *admin) error {
		o, err := a.organization(ctx, *ref)
		if err != nil {
			return err
		}
		if err := a.presence.EnsureOrg(ctx, o.ID); err != nil {
			return err
		}
		all, err := a.presence.Teams(ctx, o.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(t presence.Team) bool { return int(t.ID) == *team })
		if i < 0 {
			return fmt.Errorf("--team: %s has no team %d", o.Slug, *team)
		}
		if *name != "" {
			all[i].Name = *name
		}
		rest(&all[i])
		if err := a.presence.PutTeam(ctx, o.ID, all[i]); err != nil {
			return err
		}
		return a.showTeams(true, all[i])
	})
}

func teamList(f *flags) action {
	ref := arg(f, "organization", "", "slug or id", required)
	return manage(f, func(ctx context.Context, a *admin) error {
		o, err := a.organization(ctx, *ref)
		if err != nil {
			return err
		}
		all, err := a.presence.Teams(ctx, o.ID)
		if err != nil {
			return err
		}
		return a.showTeams(false, all...)
	})
}

// showTeams prints teams with their ids, which presence keeps outside of their
// settings.
func (a *admin) showTeams(single bool, all ...presence.Team) error {
	type shown struct {
		ID switchboard.TeamID `json:"id"`
		presence.Team
	}
	list := []shown{}
	var rows [][]string
	for _, t := range all {
		list = append(list, shown{t.ID, t})
		rows = append(rows, []string{fmt.Sprint(t.ID), t.Name, dash(t.Strategy), strconv.FormatBool(t.AutoAccept)})
	}
	var v any = list
	if single {
		v = list[0]
	}
	return a.show(v, []string{"TEAM", "NAME", "STRATEGY", "AUTO-ACCEPT"}, rows)
}

func operatorAdd(f *flags) action {
	ref := arg(f, "organization", "", "slug or id", required)
	name := arg(f, "name", "", "name that visitors see; with --count a number follows", required)
	email := arg(f, "email", "", "e-mail address", text)
	number := arg(f, "number", "", "agent number", text)
	role := arg(f, "role", "operator", "operator, supervisor or admin", text)
	teams := list(f, "team", "id of a team; may be repeated")
	limit := arg(f, "limit", "0", "chats at a time; 0 is the organization's", whole(0, 250))
	count := arg(f, "count", "1", "how many to create", whole(1, 10_000))
	return manage(f, func(ctx context.Context, a *admin) error {
		o, err := a.organization(ctx, *ref)
		if err != nil {
			return err
		}
		ids, err := a.teamIDs(ctx, o.ID, *teams)
		if err != nil {
			return err
		}
		ops := make([]presence.NewOperator, *count)
		for i := range ops {
			ops[i] = presence.NewOperator{Name: *name, Email: *email, Number: *number, Role: switchboard.Role(*role), Teams: ids, Limit: *limit}
			if *count > 1 {
				ops[i].Name = fmt.Sprintf("%s %d", *name, i+1)
			}
		}
		if err := a.addOperators(ctx, o.ID, ops); err != nil {
			return err
		}
		var rows [][]string
		for _, op := range ops {
			rows = append(rows, []string{fmt.Sprint(op.ID), op.Name, string(op.Role)})
		}
		return a.show(ops, []string{"OPERATOR", "NAME", "ROLE"}, rows)
	})
}

// addOperators gives ids to new operators and stores them.
func (a *admin) addOperators(ctx context.Context, org switchboard.OrgID, ops []presence.NewOperator) error {
	if err := a.presence.EnsureOrg(ctx, org); err != nil {
		return err
	}
	first, err := a.accounts.NextOperators(ctx, len(ops))
	if err != nil {
		return err
	}
	if err := a.accounts.BindOperators(ctx, org, first, len(ops)); err != nil {
		return err
	}
	for i := range ops {
		ops[i].ID = first + switchboard.OperatorID(i)
	}
	return a.presence.AddOperators(ctx, org, ops)
}

// teamIDs reads team ids and checks that the organization has them.
func (a *admin) teamIDs(ctx context.Context, org switchboard.OrgID, raw []string) ([]switchboard.TeamID, error) {
	known, err := a.presence.Teams(ctx, org)
	if err != nil {
		return nil, err
	}
	var ids []switchboard.TeamID
	for _, text := range raw {
		n, err := id[switchboard.TeamID](text)
		if err != nil {
			return nil, fmt.Errorf("--team: %w", err)
		}
		if !slices.ContainsFunc(known, func(t presence.Team) bool { return t.ID == n }) {
			return nil, fmt.Errorf("--team: the organization has no team %d", n)
		}
		ids = append(ids, n)
	}
	return ids, nil
}

func operatorList(f *flags) action {
	ref := arg(f, "organization", "", "slug or id", required)
	return manage(f, func(ctx context.Context, a *admin) error {
		o, err := a.organization(ctx, *ref)
		if err != nil {
			return err
		}
		all, err := a.presence.Operators(ctx, o.ID)
		if err != nil {
			return err
		}
		var rows [][]string
		for _, op := range all {
			rows = append(rows, []string{fmt.Sprint(op.ID), op.Name, string(op.Role), strings.Trim(fmt.Sprint(op.Teams), "[]"), accountWords[op.Account], op.Status})
		}
		return a.show(orEmpty(all), []string{"OPERATOR", "NAME", "ROLE", "TEAMS", "ACCOUNT", "STATUS"}, rows)
	})
}

var accountWords = map[switchboard.Account]string{
	switchboard.AccountActive: "active", switchboard.AccountInactive: "inactive", switchboard.AccountDeleted: "deleted",
}

func operatorAccount(f *flags) action {
	op := arg(f, "operator", "", "id of the operator", id[switchboard.OperatorID])
	state := arg(f, "state", "", "active, inactive (no new work) or deleted (signed out, work handed over)", func(raw string) (switchboard.Account, error) {
		for account, word := range accountWords {
			if word == raw {
				return account, nil
			}
		}
		return 0, fmt.Errorf("%q is none of active, inactive, deleted", raw)
	})
	return manage(f, func(ctx context.Context, a *admin) error {
		known, org, err := a.operator(ctx, *op)
		if err != nil {
			return err
		}
		if err := a.presence.SetAccount(ctx, org, known.ID, *state); err != nil {
			return err
		}
		return a.show(map[string]any{"id": known.ID, "account": *state}, []string{"OPERATOR", "NAME", "ACCOUNT"},
			[][]string{{fmt.Sprint(known.ID), known.Name, accountWords[*state]}})
	})
}
