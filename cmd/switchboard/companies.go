package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/accounts"
)

var companyCommands = []command{
	{"company add", "create a company", companyAdd},
	{"company list", "list the companies", companyList},
	{"organization add", "create an organization of a company", organizationAdd},
	{"organization list", "list the organizations", organizationList},
	{"organization set", "change settings of an organization", organizationSet},
}

func companyAdd(f *flags) action {
	name := arg(f, "name", "", "name", required)
	return manage(f, func(ctx context.Context, a *admin) error {
		c, err := a.accounts.AddCompany(ctx, *name)
		if err != nil {
			return err
		}
		return a.showCompanies(c, c)
	})
}

func companyList(f *flags) action {
	return manage(f, func(ctx context.Context, a *admin) error {
		all, err := a.accounts.Companies(ctx)
		if err != nil {
			return err
		}
		return a.showCompanies(orEmpty(all), all...)
	})
}

func (a *admin) showCompanies(v any, all ...accounts.Company) error {
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{fmt.Sprint(c.ID), c.Name})
	}
	return a.show(v, []string{"COMPANY", "NAME"}, rows)
}

func organizationAdd(f *flags) action {
	company := arg(f, "company", "", "id of the company", id[switchboard.CompanyID])
	name := arg(f, "name", "", "name", required)
	slug := arg(f, "slug", "", "name in addresses, a-z, 0-9 and hyphen; never changes", required)
	rest := addSettings(f)
	return manage(f, func(ctx context.Context, a *admin) error {
		o := accounts.Organization{Company: *company, Name: *name, Slug: *slug}
		rest(&o)
		o, err := a.accounts.AddOrganization(ctx, o)
		if err != nil {
			return err
		}
		if err := a.presence.EnsureOrg(ctx, o.ID); err != nil {
			return err
		}
		return a.showOrganizations(o, o)
	})
}

// addSettings adds the flags of an organization's settings and returns what
// puts those that were given into one.
func addSettings(f *flags) func(*accounts.Organization) {
	sites := list(f, "site", "origin whose pages may show the widget, such as https://shop.example; may be repeated")
	statuses := list(f, "status", "custom status; may be repeated")
	threshold := arg(f, "job-threshold", "100", "a logout of more operators than this runs as a job", whole(1, 1_000_000))
	deferred := arg(f, "deferred-200", "", "answer 200, not 400, to a force logout when all are busy", yes)
	percent := arg(f, "confirm-percent", "50", "a logout of more of those who are here must be confirmed", whole(1, 100))
	preview := arg(f, "preview", "", "show operators what a visitor types before it is sent; visitors are told", yes)
	allow := list(f, "webhook-allow", "inner network (CIDR) that its webhooks may reach, or none; may be repeated")
	return func(o *accounts.Organization) {
		if f.given("webhook-allow") {
			o.WebhookAllow = slices.DeleteFunc(append([]string{}, *allow...), func(s string) bool { return s == "none" })
		}
		if f.given("confirm-percent") {
			o.ConfirmPercent = *percent
		}
		if f.given("preview") {
			o.Preview = *preview
		}
		if f.given("site") {
			o.Sites = *sites
		}
		if f.given("status") {
			o.Statuses = *statuses
		}
		if f.given("job-threshold") {
			o.JobThreshold = *threshold
		}
		if f.given("deferred-200") {
			o.Deferred200 = *deferred
		}
	}
}

func organizationSet(f *flags) action {
	ref := arg(f, "organization", "", "slug or id", required)
	name := arg(f, "name", "", "new name", text)
	rest := addSettings(f)
	return manage(f, func(ctx context.Context, a *admin) error {
		o, err := a.organization(ctx, *ref)
		if err != nil {
			return err
		}
		if *name != "" {
			o.Name = *name
		}
		rest(&o)
		if o, err = a.accounts.SetOrganization(ctx, o); err != nil {
			return err
		}
		return a.showOrganizations(o, o)
	})
}

func organizationList(f *flags) action {
	company := arg(f, "company", "", "id of one company", id[switchboard.CompanyID])
	return manage(f, func(ctx context.Context, a *admin) error {
		companies := []accounts.Company{{ID: *company}}
		if *company == 0 {
			var err error
			if companies, err = a.accounts.Companies(ctx); err != nil {
				return err
			}
		}
		var all []accounts.Organization
		for _, c := range companies {
			some, err := a.accounts.Organizations(ctx, c.ID)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		return a.showOrganizations(orEmpty(all), all...)
	})
}

func (a *admin) showOrganizations(v any, all ...accounts.Organization) error {
	var rows [][]string
	for _, o := range all {
		rows = append(rows, []string{fmt.Sprint(o.ID), fmt.Sprint(o.Company), o.Slug, o.Name,
			dash(strings.Join(o.Sites, " ")), dash(strings.Join(o.Statuses, ", "))})
	}
	return a.show(v, []string{"ORGANIZATION", "COMPANY", "SLUG", "NAME", "SITES", "STATUSES"}, rows)
}

// orEmpty keeps an empty list from being null in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
