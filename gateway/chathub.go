package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// chatHub is the surface that keeps the contract of SMSBat ChatHub's operator
// API (contracts.md 2, without its SignalR hub). It translates words and has no
// state or rules of its own. Its decisions where that contract is silent:
//
//   - Bodies are JSON with the type application/json whatever is asked for,
//     except that a token is sent without quotes to who accepts text/plain alone.
//   - An error is {"error":{"code","message","field","index"}}: field is the
//     input field at fault and index the entry of a list, counted from 0; both are
//     left out when there is none. Codes are those of our own API.
//   - A foreign id is answered as one that does not exist.
type chatHub struct {
	accounts *accounts.Store
	reg      *presence.Registry
	tokens   *Tokens
	log      *slog.Logger
	// admit limits the one call that needs no token, by the client's address.
	admit func(*http.Request) error
}

const (
	maxSynchronize = 250 // operators in one call: what one script writes at once
	maxName        = 100 // characters of an operator's name
)

func (s *chatHub) routes(r chi.Router) {
	r.Post("/api/company/get-token", s.answer(s.companyToken))
	r.Get("/api/company/organization", s.answer(s.organizations))
	r.Get("/api/operator", s.answer(s.operators))
	r.Post("/api/operator/synchronize", s.answer(s.synchronize))
	r.Post("/api/operator/status", s.answer(s.status))
	r.Post("/api/operator/get-token", s.answer(s.operatorToken))
	r.Post("/api/operator/validate-token", s.answer(s.validateToken))
}

// answer turns a handler that may fail into a plain one.
func (s *chatHub) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		r = r.WithContext(ctx)
		w.Header().Set("Cache-Control", "no-store")
		if err := h(w, r); err != nil {
			s.writeError(w, r, err)
		}
	}
}

// chatHubError is the error body of this surface.
type chatHubError struct {
	Error struct {
		Code    switchboard.Code `json:"code"`
		Message string           `json:"message"`
		Field   string           `json:"field,omitempty"`
		Index   *int             `json:"index,omitempty"`
	} `json:"error"`
}

// inItem says which entry of a list an error is about.
type inItem struct {
	index int
	err   error
}

func (e *inItem) Error() string { return "entry " + strconv.Itoa(e.index) + ": " + e.err.Error() }
func (e *inItem) Unwrap() error { return e.err }

func (s *chatHub) writeError(w http.ResponseWriter, r *http.Request, err error) {
	body, a := outward(err)
	logError(s.log, r, err, body.Code)
	var out chatHubError
	out.Error.Code, out.Error.Message, out.Error.Field = body.Code, body.Message, body.Field
	var item *inItem
	if errors.As(err, &item) {
		out.Error.Index = &item.index
	}
	writeJSON(w, prepareError(w, body, a), out)
}

// tokenOf returns the verified token of a request, from either header.
func (s *chatHub) tokenOf(r *http.Request) (Claims, error) {
	raw, err := bearer(r)
	if key := r.Header.Get("X-Authorization-Key"); err != nil && key != "" {
		raw, err = key, nil
	}
	if err != nil {
		return Claims{}, err
	}
	return s.tokens.Verify(r.Context(), raw, time.Now())
}

// company returns whose company token a request carries. The credential that
// it was made from is looked up each time: removing that is how a token without
// expiry ends.
func (s *chatHub) company(r *http.Request) (switchboard.CompanyID, error) {
	claims, err := s.tokenOf(r)
	if err != nil {
		return 0, err
	}
	return s.companyOf(r.Context(), claims)
}

func (s *chatHub) companyOf(ctx context.Context, claims Claims) (switchboard.CompanyID, error) {
	if claims.Audience != AudienceCompany {
		return 0, switchboard.Errorc(switchboard.CodeForbidden, "this needs a company token")
	}
	lives, err := s.accounts.CredentialLives(ctx, claims.Credential)
	if err != nil {
		return 0, err
	}
	if !lives {
		return 0, forged()
	}
	return claims.Company, nil
}

// companyToken: login and password for a company token.
func (s *chatHub) companyToken(w http.ResponseWriter, r *http.Request) error {
	if err := s.admit(r); err != nil {
		return err
	}
	var in struct {
		Login    *string `json:"login"`
		Password *string `json:"password"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.Login == nil {
		return switchboard.Invalid("login", "a text is needed")
	}
	if in.Password == nil {
		return switchboard.Invalid("password", "a text is needed")
	}
	company, credential, err := s.accounts.VerifyChatHub(r.Context(), *in.Login, *in.Password)
	if err != nil {
		return err
	}
	raw, err := s.tokens.MintCompany(r.Context(), Claims{Company: company, Credential: credential})
	if err == nil {
		writeToken(w, r, raw)
	}
	return err
}

// writeToken sends a token as a JSON string, or bare to a client that accepts
// text/plain alone: those keep the quotes otherwise (contracts.md 2.7, quirk 3).
func writeToken(w http.ResponseWriter, r *http.Request, raw string) {
	if accept := r.Header.Values("Accept"); len(accept) != 1 || !strings.EqualFold(strings.TrimSpace(accept[0]), "text/plain") {
		writeJSON(w, http.StatusOK, raw)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write([]byte(raw)) // a client that has gone away cannot be told
}

type chatHubOrganization struct {
	ID   switchboard.OrgID `json:"id"`
	Name string            `json:"name"`
}

func (s *chatHub) organizations(w http.ResponseWriter, r *http.Request) error {
	company, err := s.company(r)
	if err != nil {
		return err
	}
	orgs, err := s.accounts.Organizations(r.Context(), company)
	if err != nil {
		return err
	}
	out := make([]chatHubOrganization, len(orgs))
	for i, o := range orgs {
		out[i] = chatHubOrganization{o.ID, o.Name}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

type chatHubOperator struct {
	ID           switchboard.OperatorID `json:"id"`
	Name         string                 `json:"name"`
	Status       switchboard.Account    `json:"status"`
	Organization *chatHubOrganization   `json:"organization,omitempty"` // in the list only
}

// operators lists the operators of an organization, those switched off and
// deleted too. An operator's own token may read the own organization, and need
// not name it (quirk 6).
func (s *chatHub) operators(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.tokenOf(r)
	if err != nil {
		return err
	}
	own := claims.Audience == AudienceOperator
	var company switchboard.CompanyID
	if own {
		_, err = s.reg.CheckToken(r.Context(), claims.Org, claims.Operator, claims.Minted)
	} else {
		company, err = s.companyOf(r.Context(), claims)
	}
	if err != nil {
		return err
	}
	id := claims.Org
	if text := r.URL.Query().Get("organizationId"); text != "" || !own {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return switchboard.Invalid("organizationId", "an integer is needed")
		}
		id = switchboard.OrgID(n)
	}
	out := []chatHubOperator{}
	if own && id != claims.Org {
		writeJSON(w, http.StatusOK, out)
		return nil
	}
	org, found, err := s.organization(r.Context(), id)
	if err != nil {
		return err
	}
	if found && (own || org.Company == company) {
		ops, err := s.reg.Operators(r.Context(), id)
		if err != nil {
			return err
		}
		for _, op := range ops {
			out = append(out, chatHubOperator{op.ID, op.Name, op.Account, &chatHubOrganization{org.ID, org.Name}})
		}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// organization returns an organization, and whether there is one.
func (s *chatHub) organization(ctx context.Context, id switchboard.OrgID) (accounts.Organization, bool, error) {
	o, err := s.accounts.Organization(ctx, id)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return o, false, nil
	}
	return o, err == nil, err
}
