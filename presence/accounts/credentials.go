package accounts

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// Kind is what a credential opens.
type Kind string

const (
	// ChatHub is a login and password that stand for a company.
	ChatHub Kind = "chathub"
	// API is a secret that stands for an organization; the slug is its user
	// name. An organization may have several, so that one can be replaced
	// without a pause.
	API Kind = "api"
)

// Credential lets another system in. Its secret is never part of it.
type Credential struct {
	ID      int64                 `json:"id"`
	Kind    Kind                  `json:"kind"`
	Company switchboard.CompanyID `json:"company,omitempty"` // of kind ChatHub
	Login   string                `json:"login,omitempty"`   // of kind ChatHub
	Org     switchboard.OrgID     `json:"org,omitempty"`     // of kind API
	Note    string                `json:"note,omitempty"`    // for people: who uses it
}

// stored is a credential with its hash, as Redis holds it.
type stored struct {
	Credential
	Hash string `json:"hash,omitempty"` // of kind ChatHub; those of kind API stand together
}

// AddCredential stores a credential for a company (ChatHub) or an organization
// (API) that exists and returns it with its id and its secret. An empty secret
// makes a random one, which is the only time anybody sees it. Errors:
// CodeInvalid, CodeNotFound, CodeConflict when the login is taken or the owner
// has too many credentials.
func (s *Store) AddCredential(ctx context.Context, c Credential, secret string) (Credential, string, error) {
	made := secret == ""
	if made {
		secret = "sb_" + random(32)
	}
	var err error
	if c.Note != "" {
		if c.Note, err = cleanName("note", c.Note); err != nil {
			return c, "", err
		}
	}
	switch c.Kind {
	case ChatHub:
		c.Org = 0
		c, err = s.addChatHub(ctx, c, secret)
	case API:
		c.Company, c.Login = 0, ""
		c, err = s.addAPI(ctx, c, secret, made)
	default:
		err = switchboard.Invalid("kind", "chathub or api")
	}
	return c, secret, err
}

func (s *Store) addChatHub(ctx context.Context, c Credential, secret string) (Credential, error) {
	login, err := cleanLogin(c.Login)
	if err != nil {
		return c, err
	}
	c.Login = login
	if _, err := s.Company(ctx, c.Company); err != nil {
		return c, err
	}
	// Slow even for a secret that we made: an unknown login must take as long
	// as a known one.
	hash, err := s.hasher.hash(ctx, secret)
	if err != nil {
		return c, err
	}
	return s.create(ctx, stored{c, hash}, keyChatHub, login, "", keyCompanyCreds(c.Company), maxChatHub)
}

func (s *Store) addAPI(ctx context.Context, c Credential, secret string, made bool) (Credential, error) {
	if _, err := s.Organization(ctx, c.Org); err != nil {
		return c, err
	}
	hash := hashRandom(secret)
	if !made {
		var err error
		if hash, err = s.hasher.hash(ctx, secret); err != nil {
			return c, err
		}
	}
	return s.create(ctx, stored{Credential: c}, keyOrgAPI(c.Org), "", hash, keyOrgCreds(c.Org), maxAPI)
}

// create stores a credential under a name: its login, or by default its id;
// the name's value is by default its id too.
func (s *Store) create(ctx context.Context, c stored, names, name, value, list string, most int) (Credential, error) {
	id, err := s.next(ctx, "credential", 1)
	if err != nil {
		return c.Credential, err
	}
	c.ID = id
	if name == "" {
		name = decimal(id)
	}
	if value == "" {
		value = decimal(id)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return c.Credential, damaged("a credential", err)
	}
	status, _, err := s.run(ctx, "add credential", scriptCreate, []string{names, keyCred(id), list}, name, value, text, id, most)
	switch {
	case err != nil:
		return c.Credential, err
	case status == "TAKEN":
		return c.Credential, &switchboard.Error{Code: switchboard.CodeConflict, Field: "login", Message: "this login is in use"}
	case status == "FULL":
		return c.Credential, switchboard.Errorc(switchboard.CodeConflict, "too many credentials: remove one first")
	}
	return c.Credential, nil
}

// RemoveCredential ends a credential and, by CredentialLives, the tokens that
// were given for it. Errors: CodeNotFound.
func (s *Store) RemoveCredential(ctx context.Context, id int64) error {
	c, err := s.credential(ctx, id)
	if err != nil {
		return err
	}
	_, err = s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, keyCred(id))
		if c.Kind == ChatHub {
			p.HDel(ctx, keyChatHub, c.Login)
			p.SRem(ctx, keyCompanyCreds(c.Company), id)
		} else {
			p.HDel(ctx, keyOrgAPI(c.Org), decimal(id))
			p.SRem(ctx, keyOrgCreds(c.Org), id)
		}
		return nil
	})
	if err != nil {
		return storeError("remove credential", err)
	}
	return nil
}

// Credentials returns the ChatHub credentials of a company and the API
// credentials of its organizations, by id.
func (s *Store) Credentials(ctx context.Context, company switchboard.CompanyID) ([]Credential, error) {
	orgs, err := s.Organizations(ctx, company)
	if err != nil {
		return nil, err
	}
	lists := []string{keyCompanyCreds(company)}
	for _, o := range orgs {
		lists = append(lists, keyOrgCreds(o.ID))
	}
	ids, err := s.rdb.SUnion(ctx, lists...).Result()
	if err != nil {
		return nil, storeError("credentials", err)
	}
	all, err := readAll[Credential](ctx, s, ids, func(id string) string { return prefix + "cred:" + id })
	slices.SortFunc(all, func(a, b Credential) int { return int(a.ID - b.ID) })
	return all, err
}

// CredentialLives reports whether a credential was not removed. It asks Redis
// each time: this is what revokes tokens.
func (s *Store) CredentialLives(ctx context.Context, id int64) (bool, error) {
	n, err := s.rdb.Exists(ctx, keyCred(id)).Result()
	if err != nil {
		return false, storeError("credential", err)
	}
	return n == 1, nil
}

func (s *Store) credential(ctx context.Context, id int64) (stored, error) {
	var c stored
	text, found, err := s.get(ctx, "credential", keyCred(id))
	if err != nil {
		return c, err
	}
	if !found {
		return c, switchboard.Errorc(switchboard.CodeNotFound, "there is no such credential")
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, damaged("a credential", err)
	}
	return c, nil
}
