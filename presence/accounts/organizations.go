package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// AddCompany stores a company. Names need not be unique. Errors: CodeInvalid.
func (s *Store) AddCompany(ctx context.Context, name string) (Company, error) {
	name, err := cleanName("name", name)
	if err != nil {
		return Company{}, err
	}
	id, err := s.next(ctx, "company", 1)
	if err != nil {
		return Company{}, err
	}
	c := Company{ID: switchboard.CompanyID(id), Name: name}
	text, err := json.Marshal(c)
	if err != nil {
		return Company{}, damaged("a company", err)
	}
	_, err = s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, keyCompany(c.ID), text, 0)
		p.SAdd(ctx, keyCompanies, id)
		return nil
	})
	if err != nil {
		return Company{}, storeError("add company", err)
	}
	return c, nil
}

// Company returns a company. Errors: CodeNotFound.
func (s *Store) Company(ctx context.Context, id switchboard.CompanyID) (Company, error) {
	var c Company
	text, found, err := s.get(ctx, "company", keyCompany(id))
	if err != nil {
		return c, err
	}
	if !found {
		return c, switchboard.Errorc(switchboard.CodeNotFound, "there is no such company")
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, damaged("a company", err)
	}
	return c, nil
}

// Companies returns all companies by id.
func (s *Store) Companies(ctx context.Context) ([]Company, error) {
	ids, err := s.rdb.SMembers(ctx, keyCompanies).Result()
	if err != nil {
		return nil, storeError("companies", err)
	}
	all, err := readAll[Company](ctx, s, ids, func(id string) string { return prefix + "company:" + id })
	slices.SortFunc(all, func(a, b Company) int { return int(a.ID - b.ID) })
	return all, err
}

// AddOrganization stores a new organization of an existing company and returns
// it with its id. Errors: CodeInvalid names the field, CodeNotFound when the
// company does not exist, CodeConflict when the slug is taken or the company
// has 1,000 organizations.
func (s *Store) AddOrganization(ctx context.Context, o Organization) (Organization, error) {
	o, err := o.clean()
	if err != nil {
		return o, err
	}
	if _, err := s.Company(ctx, o.Company); err != nil {
		return o, err
	}
	id, err := s.next(ctx, "org", 1)
	if err != nil {
		return o, err
	}
	o.ID = switchboard.OrgID(id)
	text, err := json.Marshal(o)
	if err != nil {
		return o, damaged("an organization", err)
	}
	status, _, err := s.run(ctx, "add organization", scriptCreate,
		[]string{keySlugs, keyOrg(o.ID), keyCompanyOrgs(o.Company)}, o.Slug, id, text, id, maxOrganizations)
	switch {
	case err != nil:
		return o, err
	case status == "TAKEN":
		return o, &switchboard.Error{Code: switchboard.CodeConflict, Field: "slug", Message: "this slug is in use"}
	case status == "FULL":
		return o, switchboard.Errorc(switchboard.CodeConflict, "a company may have 1000 organizations")
	}
	return o, nil
}

// AnyVersion writes settings whatever they were before.
const AnyVersion = -1

// SetOrganization replaces the settings of an organization, whatever they were;
// see ChangeOrganization.
func (s *Store) SetOrganization(ctx context.Context, o Organization) (Organization, error) {
	return s.ChangeOrganization(ctx, o, AnyVersion, "administrator")
}

// ChangeOrganization replaces the settings of an organization, with an audit
// entry that names by, and returns them. Its company and slug stay, and so does a
// WebhookAllow that is nil here. Known is the Version that the writer has seen, or
// AnyVersion. Other nodes see it within 5 s, or when they are told to Forget. Errors: CodeInvalid with every problem,
// CodeNotFound, CodeConflict when the version has moved on.
func (s *Store) ChangeOrganization(ctx context.Context, o Organization, known int64, by string) (Organization, error) {
	for range 20 { // each time somebody else has written meanwhile
		text, found, err := s.get(ctx, "organization", keyOrg(o.ID))
		if err != nil {
			return o, err
		}
		if !found {
			return o, errNoOrganization
		}
		var old Organization
		if err := json.Unmarshal(text, &old); err != nil {
			return o, damaged("an organization", err)
		}
		if old.Version == 0 {
			old.Version = 1 // written before versions were counted
		}
		if known != AnyVersion && known != old.Version {
			return o, &switchboard.Error{Code: switchboard.CodeConflict, Field: "version",
				Message: fmt.Sprintf("the settings have changed; their version is %d now", old.Version)}
		}
		o.Company, o.Slug, o.Version = old.Company, old.Slug, old.Version+1
		if o.WebhookAllow == nil {
			o.WebhookAllow = old.WebhookAllow
		}
		if o, err = o.clean(); err != nil {
			return o, err
		}
		fresh, err := json.Marshal(o)
		if err != nil {
			return o, damaged("an organization", err)
		}
		status, _, err := s.run(ctx, "set organization", scriptSetOrg, []string{keyOrg(o.ID), keyAudit}, text, fresh, int64(o.ID), by)
		if err != nil {
			return o, err
		}
		if status == "OK" {
			s.orgs.drop(o.ID)
			return o, nil
		}
	}
	return o, switchboard.Errorc(switchboard.CodeConflict, "the settings change all the time")
}

// Forget drops what is remembered of an organization: its settings have changed.
func (s *Store) Forget(id switchboard.OrgID) { s.orgs.drop(id) }

// Organization returns an organization, at most 5 s old. Errors: CodeNotFound.
func (s *Store) Organization(ctx context.Context, id switchboard.OrgID) (Organization, error) {
	if o, ok := s.orgs.get(id); ok {
		return o.clone(), nil
	}
	o, err := s.readOrganization(ctx, id)
	if err != nil {
		return o, err
	}
	s.orgs.put(id, o)
	return o.clone(), nil
}

// OrganizationBySlug is Organization by its slug.
func (s *Store) OrganizationBySlug(ctx context.Context, slug string) (Organization, error) {
	if !slugPattern.MatchString(slug) {
		return Organization{}, errNoOrganization
	}
	if id, ok := s.slugs.get(slug); ok {
		return s.Organization(ctx, id)
	}
	id, err := s.rdb.HGet(ctx, keySlugs, slug).Int64()
	if errors.Is(err, redis.Nil) {
		return Organization{}, errNoOrganization
	}
	if err != nil {
		return Organization{}, storeError("slug", err)
	}
	s.slugs.put(slug, switchboard.OrgID(id))
	return s.Organization(ctx, switchboard.OrgID(id))
}

// Organizations returns the organizations of a company by id; none when there
// is no such company.
func (s *Store) Organizations(ctx context.Context, company switchboard.CompanyID) ([]Organization, error) {
	ids, err := s.rdb.SMembers(ctx, keyCompanyOrgs(company)).Result()
	if err != nil {
		return nil, storeError("organizations", err)
	}
	all, err := readAll[Organization](ctx, s, ids, func(id string) string { return prefix + "org:" + id })
	slices.SortFunc(all, func(a, b Organization) int { return int(a.ID - b.ID) })
	return all, err
}

var errNoOrganization = switchboard.Errorc(switchboard.CodeNotFound, "there is no such organization")

func (s *Store) readOrganization(ctx context.Context, id switchboard.OrgID) (Organization, error) {
	var o Organization
	text, found, err := s.get(ctx, "organization", keyOrg(id))
	if err != nil {
		return o, err
	}
	if !found {
		return o, errNoOrganization
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, damaged("an organization", err)
	}
	return o, nil
}

// readAll reads the JSON records of some ids in one round trip.
func readAll[T any](ctx context.Context, s *Store, ids []string, key func(string) string) ([]T, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = key(id)
	}
	texts, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, storeError("list", err)
	}
	var all []T
	for i, text := range texts {
		if text == nil {
			continue // removed between the two reads
		}
		var v T
		if err := json.Unmarshal([]byte(text.(string)), &v); err != nil {
			return nil, damaged(keys[i], err)
		}
		all = append(all, v)
	}
	return all, nil
}
