package main

import (
	"context"
	"slices"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// demoPerson is somebody of the demo company.
type demoPerson struct {
	name, email string
	role        switchboard.Role
	team        string // "" for none but everyone
}

// demoOrganization is an organization of the demo company.
type demoOrganization struct {
	name, slug string
	teams      []string
	people     []demoPerson
}

const demoCompany = "Northwind (demo)"

var demoOrganizations = []demoOrganization{
	{
		name: "Northwind Shop", slug: "northwind-shop", teams: []string{"Sales", "Support"},
		people: []demoPerson{
			{"Ines Duarte", "ines@northwind.example", switchboard.RoleOperator, "Sales"},
			{"Olu Ade", "olu@northwind.example", switchboard.RoleOperator, "Sales"},
			{"Pia Renner", "pia@northwind.example", switchboard.RoleOperator, "Support"},
			{"Mina Okafor", "mina@northwind.example", switchboard.RoleSupervisor, ""},
		},
	},
	{
		name: "Northwind Travel", slug: "northwind-travel",
		people: []demoPerson{{"Theo Lind", "theo@northwind.example", switchboard.RoleOperator, ""}},
	},
}

// seeded is the demo company as the store has it.
type seeded struct {
	organizations []seededOrganization
}

type seededOrganization struct {
	accounts.Organization
	teams  []presence.Team
	people []presence.Operator
}

// seeder makes the demo company. Each step looks first, so a second run, and a
// run after one that broke off, add only what is missing.
type seeder struct {
	accounts *accounts.Store
	presence *presence.Registry
}

func (s *seeder) seed(ctx context.Context, sites []string) (*seeded, error) {
	company, err := s.company(ctx)
	if err != nil {
		return nil, err
	}
	var out seeded
	for _, want := range demoOrganizations {
		o, err := s.organization(ctx, company, want, sites)
		if err != nil {
			return nil, err
		}
		if err := s.teams(ctx, o.ID, want); err != nil {
			return nil, err
		}
		if err := s.people(ctx, o.ID, want); err != nil {
			return nil, err
		}
		so := seededOrganization{Organization: o}
		if so.teams, err = s.presence.Teams(ctx, o.ID); err != nil {
			return nil, err
		}
		if so.people, err = s.presence.Operators(ctx, o.ID); err != nil {
			return nil, err
		}
		out.organizations = append(out.organizations, so)
	}
	return &out, nil
}

func (s *seeder) company(ctx context.Context) (switchboard.CompanyID, error) {
	all, err := s.accounts.Companies(ctx)
	if err != nil {
		return 0, err
	}
	if i := slices.IndexFunc(all, func(c accounts.Company) bool { return c.Name == demoCompany }); i >= 0 {
		return all[i].ID, nil
	}
	c, err := s.accounts.AddCompany(ctx, demoCompany)
	return c.ID, err
}

func (s *seeder) organization(ctx context.Context, company switchboard.CompanyID, want demoOrganization, sites []string) (accounts.Organization, error) {
	o, err := s.accounts.OrganizationBySlug(ctx, want.slug)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return s.accounts.AddOrganization(ctx, accounts.Organization{Company: company, Name: want.name, Slug: want.slug, Sites: sites})
	}
	if err != nil || slices.Equal(o.Sites, sites) {
		return o, err
	}
	o.Sites = sites // the demo listens elsewhere than last time
	return s.accounts.SetOrganization(ctx, o)
}

func (s *seeder) teams(ctx context.Context, org switchboard.OrgID, want demoOrganization) error {
	if err := s.presence.EnsureOrg(ctx, org); err != nil {
		return err
	}
	have, err := s.presence.Teams(ctx, org)
	if err != nil {
		return err
	}
	for _, name := range want.teams {
		if slices.ContainsFunc(have, func(t presence.Team) bool { return t.Name == name }) {
			continue
		}
		id, err := s.accounts.NextTeam(ctx)
		if err != nil {
			return err
		}
		// Whoever tries the demo plays both sides, in two windows: longer than the
		// default to find the other one.
		if err := s.presence.PutTeam(ctx, org, presence.Team{ID: id, Name: name, OfferMS: 60_000}); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) people(ctx context.Context, org switchboard.OrgID, want demoOrganization) error {
	teams, err := s.presence.Teams(ctx, org)
	if err != nil {
		return err
	}
	have, err := s.presence.Operators(ctx, org)
	if err != nil {
		return err
	}
	var missing []presence.NewOperator
	for _, p := range want.people {
		if slices.ContainsFunc(have, func(o presence.Operator) bool { return o.Name == p.name }) {
			continue
		}
		op := presence.NewOperator{Name: p.name, Email: p.email, Role: p.role}
		for _, t := range teams {
			if t.Name == p.team {
				op.Teams = append(op.Teams, t.ID)
			}
		}
		missing = append(missing, op)
	}
	if len(missing) == 0 {
		return nil
	}
	return (&admin{accounts: s.accounts, presence: s.presence}).addOperators(ctx, org, missing)
}
