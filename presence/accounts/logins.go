package accounts

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

const maxLogin = 128 // bytes

// Login is a person who has signed in, or may: which operator of which
// organization, and what that person may do.
type Login struct {
	Login    string                 `json:"login,omitempty"` // "" when it came from a ticket
	Operator switchboard.OperatorID `json:"operator"`
	Org      switchboard.OrgID      `json:"org"`
	Role     switchboard.Role       `json:"role"` // operator, supervisor or admin
	// Since is when the person signed in, Redis ms; the gateway sets it before
	// NewRefresh and refuses a refresh that is older than a logout.
	Since int64 `json:"since,omitempty"`
}

type storedLogin struct {
	Login
	Hash string `json:"hash"`
}

// AddLogin lets a person sign in by a name and a password of 8 to 1,024 bytes.
// The name is kept in lower case and unique over all organizations. Errors:
// CodeInvalid, CodeNotFound when the operator is not of that organization,
// CodeConflict when the name is taken.
func (s *Store) AddLogin(ctx context.Context, login, password string, op switchboard.OperatorID, org switchboard.OrgID, role switchboard.Role) error {
	login, err := cleanLogin(login)
	if err != nil {
		return err
	}
	if err := s.checkPerson(ctx, op, org, role); err != nil {
		return err
	}
	text, err := s.loginRecord(ctx, Login{Login: login, Operator: op, Org: org, Role: role}, password)
	if err != nil {
		return err
	}
	status, _, err := s.run(ctx, "add login", scriptCreate,
		[]string{keyLogins, keyLogin(login), keyOrgLogins(org)}, login, int64(op), text, login, maxLogins)
	switch {
	case err != nil:
		return err
	case status == "TAKEN":
		return &switchboard.Error{Code: switchboard.CodeConflict, Field: "login", Message: "this login is in use"}
	case status == "FULL":
		return switchboard.Errorc(switchboard.CodeConflict, "an organization may have 10000 logins")
	}
	return nil
}

// SetPassword replaces a password and ends the sessions that were begun with
// the old one. Errors: CodeInvalid, CodeNotFound.
func (s *Store) SetPassword(ctx context.Context, login, password string) error {
	old, err := s.login(ctx, login)
	if err != nil {
		return err
	}
	if old.Operator == 0 {
		return errNoLogin
	}
	text, err := s.loginRecord(ctx, old.Login, password)
	if err != nil {
		return err
	}
	// XX: a login that is removed at the same moment stays removed.
	set, err := s.rdb.SetXX(ctx, keyLogin(old.Login.Login), text, 0).Result()
	if err != nil {
		return storeError("set password", err)
	}
	if !set {
		return errNoLogin
	}
	return s.RevokeFamilies(ctx, old.Operator)
}

// RemoveLogin ends a login and its operator's refresh tokens; access tokens
// live on until they expire or a logout order ends them. Errors: CodeNotFound.
func (s *Store) RemoveLogin(ctx context.Context, login string) error {
	l, err := s.login(ctx, login)
	if err != nil {
		return err
	}
	if l.Operator == 0 {
		return errNoLogin
	}
	_, err = s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HDel(ctx, keyLogins, l.Login.Login)
		p.Del(ctx, keyLogin(l.Login.Login), keyRefresh(l.Operator))
		p.SRem(ctx, keyOrgLogins(l.Org), l.Login.Login)
		return nil
	})
	if err != nil {
		return storeError("remove login", err)
	}
	return nil
}

// Logins returns the logins of an organization by name.
func (s *Store) Logins(ctx context.Context, org switchboard.OrgID) ([]Login, error) {
	names, err := s.rdb.SMembers(ctx, keyOrgLogins(org)).Result()
	if err != nil {
		return nil, storeError("logins", err)
	}
	all, err := readAll[Login](ctx, s, names, keyLogin)
	slices.SortFunc(all, func(a, b Login) int { return strings.Compare(a.Login, b.Login) })
	return all, err
}

// VerifyLogin returns who a login and its password stand for. An unknown login
// takes as long as a wrong password. Whether the operator's account is active
// is presence's to say. Errors: CodeUnauthorized, CodeTooFast when too many
// checks wait.
func (s *Store) VerifyLogin(ctx context.Context, login, password string) (Login, error) {
	l, err := s.login(ctx, login)
	if err != nil {
		return Login{}, err
	}
	ok, err := s.hasher.check(ctx, l.Hash, password)
	if err != nil {
		return Login{}, err
	}
	if !ok {
		return Login{}, switchboard.Errorc(switchboard.CodeUnauthorized, "unknown login or wrong password")
	}
	return l.Login, nil
}

var errNoLogin = switchboard.Errorc(switchboard.CodeNotFound, "there is no such login")

// login returns a stored login, or an empty one when there is none.
func (s *Store) login(ctx context.Context, login string) (storedLogin, error) {
	var l storedLogin
	login, err := cleanLogin(login)
	if err != nil {
		return l, nil // no such login can be
	}
	text, found, err := s.get(ctx, "login", keyLogin(login))
	if err != nil || !found {
		return l, err
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, damaged("a login", err)
	}
	return l, nil
}

func (s *Store) loginRecord(ctx context.Context, l Login, password string) ([]byte, error) {
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(storedLogin{l, hash})
	if err != nil {
		return nil, damaged("a login", err)
	}
	return text, nil
}

// checkPerson checks that an operator is of an organization and that the role
// is one that operators have.
func (s *Store) checkPerson(ctx context.Context, op switchboard.OperatorID, org switchboard.OrgID, role switchboard.Role) error {
	switch role {
	case switchboard.RoleOperator, switchboard.RoleSupervisor, switchboard.RoleAdmin:
	default:
		return switchboard.Invalid("role", "operator, supervisor or admin")
	}
	home, err := s.OperatorOrg(ctx, op)
	if err != nil {
		return err
	}
	if home != org {
		return switchboard.Errorc(switchboard.CodeNotFound, "there is no such operator in this organization")
	}
	return nil
}

// cleanLogin returns the one form of a login: lower case, no spaces.
func cleanLogin(login string) (string, error) {
	login = strings.ToLower(strings.TrimSpace(login))
	bad := strings.ContainsFunc(login, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
	if login == "" || len(login) > maxLogin || bad || !utf8.ValidString(login) {
		return "", switchboard.Invalid("login", "1 to 128 bytes without spaces")
	}
	return login, nil
}

func parseID(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, damaged("an id", err)
	}
	return n, nil
}
