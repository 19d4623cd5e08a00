package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// orgOf returns the organization of an operator of the company. Errors:
// CodeNotFound, for a foreign operator too.
func (s *chatHub) orgOf(ctx context.Context, company switchboard.CompanyID, op switchboard.OperatorID) (switchboard.OrgID, error) {
	missing := &switchboard.Error{Code: switchboard.CodeNotFound, Field: "id", Message: "no such operator"}
	id, err := s.accounts.OperatorOrg(ctx, op)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return 0, missing
	}
	if err != nil {
		return 0, err
	}
	org, found, err := s.organization(ctx, id)
	if err != nil {
		return 0, err
	}
	if !found || org.Company != company {
		return 0, missing
	}
	return id, nil
}

// newcomer is one entry of synchronize.
type newcomer struct {
	org  switchboard.OrgID
	name string
	id   switchboard.OperatorID
}

// synchronize adds operators; despite its name it removes and matches nothing.
// All or nothing: everything is checked before anything is written.
func (s *chatHub) synchronize(w http.ResponseWriter, r *http.Request) error {
	company, err := s.company(r)
	if err != nil {
		return err
	}
	var entries []json.RawMessage
	if err := readJSON(w, r, maxBody, &entries); err != nil {
		return err
	}
	if entries == nil { // null
		return switchboard.Invalid("body", "a list is needed")
	}
	if len(entries) > maxSynchronize {
		return &switchboard.Error{Code: switchboard.CodeTooLarge, Field: "body", Message: "at most " + strconv.Itoa(maxSynchronize) + " operators in one call"}
	}
	list := make([]newcomer, len(entries))
	for i, raw := range entries {
		if list[i], err = s.newcomer(r.Context(), company, raw); err != nil {
			return &inItem{i, err}
		}
	}
	if err := s.add(r.Context(), list); err != nil {
		return err
	}
	out := make([]chatHubOperator, len(list))
	for i, n := range list {
		out[i] = chatHubOperator{ID: n.id, Name: n.name, Status: switchboard.AccountActive}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// newcomer reads and checks one entry.
func (s *chatHub) newcomer(ctx context.Context, company switchboard.CompanyID, raw []byte) (newcomer, error) {
	var in struct {
		OrganizationID *switchboard.OrgID `json:"organizationId"`
		Name           *string            `json:"name"`
	}
	if err := decodeJSON(raw, &in); err != nil {
		return newcomer{}, err
	}
	switch {
	case in.OrganizationID == nil:
		return newcomer{}, switchboard.Invalid("organizationId", "an integer is needed")
	case in.Name == nil || strings.TrimSpace(*in.Name) == "":
		return newcomer{}, switchboard.Invalid("name", "must not be blank")
	case utf8.RuneCountInString(*in.Name) > maxName:
		return newcomer{}, switchboard.Invalid("name", "at most 100 characters")
	case strings.ContainsFunc(*in.Name, unicode.IsControl):
		return newcomer{}, switchboard.Invalid("name", "must not hold control characters")
	}
	org, found, err := s.organization(ctx, *in.OrganizationID)
	if err != nil {
		return newcomer{}, err
	}
	if !found || org.Company != company {
		return newcomer{}, switchboard.Invalid("organizationId", "no such organization")
	}
	return newcomer{org: org.ID, name: *in.Name}, nil
}

// add gives ids to the newcomers and stores them: one atomic step for each
// organization. An organization has one run of ids, in the order of the request.
//
// When the store fails between two organizations the rest is tried again, since
// the client cannot know which half is there and would add it twice.
func (s *chatHub) add(ctx context.Context, list []newcomer) error {
	if len(list) == 0 {
		return nil
	}
	byOrg := map[switchboard.OrgID][]*newcomer{}
	var orgs []switchboard.OrgID
	for i := range list {
		n := &list[i]
		if byOrg[n.org] == nil {
			orgs = append(orgs, n.org)
		}
		byOrg[n.org] = append(byOrg[n.org], n)
	}
	next, err := s.accounts.NextOperators(ctx, len(list))
	if err != nil {
		return err
	}
	for i, org := range orgs {
		first, rows := next, make([]presence.NewOperator, len(byOrg[org]))
		for k, n := range byOrg[org] {
			n.id = next
			rows[k] = presence.NewOperator{ID: n.id, Name: n.name}
			next++
		}
		write := func(ctx context.Context) error {
			if err := s.accounts.BindOperators(ctx, org, first, len(rows)); err != nil {
				return err
			}
			return s.reg.AddOperators(ctx, org, rows)
		}
		if i == 0 {
			err = write(ctx)
		} else {
			err = s.insist(ctx, write)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// insistFor bounds how long a half-written batch is tried again.
const insistFor = 5 * time.Second

// insist repeats an idempotent write that must follow another one, also when
// the client has gone away.
func (s *chatHub) insist(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), insistFor)
	defer cancel()
	for {
		err := write(ctx)
		if switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			return err
		}
		select {
		case <-ctx.Done():
			s.log.Error("a batch of operators was stored for some of its organizations only", "err", err)
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// status switches an operator's account. The answer has no body.
func (s *chatHub) status(w http.ResponseWriter, r *http.Request) error {
	company, err := s.company(r)
	if err != nil {
		return err
	}
	var in struct {
		ID     *switchboard.OperatorID `json:"id"`
		Status *switchboard.Account    `json:"status"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	switch {
	case in.ID == nil:
		return switchboard.Invalid("id", "an integer is needed")
	case in.Status == nil || *in.Status < switchboard.AccountActive || *in.Status > switchboard.AccountDeleted:
		return switchboard.Invalid("status", "0 active, 1 inactive or 2 deleted")
	}
	org, err := s.orgOf(r.Context(), company, *in.ID)
	if err != nil {
		return err
	}
	if err := s.reg.SetAccount(r.Context(), org, *in.ID, *in.Status); err != nil {
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}
