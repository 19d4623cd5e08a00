package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/switchboard/switchboard"
)

// RefreshLife is how long a refresh token works, from when it was given.
const RefreshLife = 30 * 24 * time.Hour

// refreshAgain is how long a token that was just spent may be presented again
// for the same answer: long enough for a client whose node died before it could
// answer, and for two tabs that share a token.
const refreshAgain = 20 * time.Second

// ErrReused is wrapped by the error of Rotate when a spent token came again: a
// copy is about. The gateway writes it to the audit log.
var ErrReused = errors.New("a spent refresh token was presented")

var errRefresh = switchboard.Errorc(switchboard.CodeUnauthorized, "this session is over; sign in again")

// A refresh token names its operator, its family and a secret of 256 bits:
// sbr_<operator>.<family>.<secret>. All families of an operator stand in one
// key, so revoking them is one step that no rotation can slip past.
var refreshPattern = regexp.MustCompile(`^sbr_([1-9][0-9]{0,18})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})$`)

// NewRefresh begins a family of refresh tokens for a person who has signed in
// and returns its first token. An operator has at most 20 families; one more
// ends the one that was used least recently.
func (s *Store) NewRefresh(ctx context.Context, l Login) (string, error) {
	person, err := json.Marshal(l)
	if err != nil {
		return "", damaged("a login", err)
	}
	family, secret := random(16), random(32)
	_, _, err = s.run(ctx, "new refresh token", scriptRefreshNew, []string{keyRefresh(l.Operator)},
		family, digest(secret), RefreshLife.Milliseconds(), maxFamilies, person)
	if err != nil {
		return "", err
	}
	return refreshToken(l.Operator, family, secret), nil
}

// Rotate spends a refresh token and returns its person, with the role of today,
// and the next token. The same token gets the same answer for 20 s, so a lost
// answer may be asked for again. A token that was spent earlier ends its family,
// because one of the two who had it must not have: both have to sign in again.
// Errors: CodeUnauthorized, wrapping ErrReused in that case.
func (s *Store) Rotate(ctx context.Context, token string) (Login, string, error) {
	var l Login
	m := refreshPattern.FindStringSubmatch(token)
	if m == nil {
		return l, "", errRefresh
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return l, "", errRefresh // beyond 64 bits
	}
	op, family, next := switchboard.OperatorID(n), m[2], s.successor(m[2], m[3])
	status, rest, err := s.run(ctx, "rotate refresh token", scriptRefreshRotate, []string{keyRefresh(op)},
		family, digest(m[3]), digest(next), RefreshLife.Milliseconds(), refreshAgain.Milliseconds())
	switch {
	case err != nil:
		return l, "", err
	case status == "REUSED":
		return l, "", switchboard.Wrap(switchboard.CodeUnauthorized, "this session is over; sign in again", ErrReused)
	case status != "OK" || len(rest) == 0:
		return l, "", errRefresh
	}
	if err := json.Unmarshal([]byte(rest[0]), &l); err != nil {
		return l, "", damaged("a refresh token", err)
	}
	if l, err = s.stillThere(ctx, l); err != nil {
		return l, "", err
	}
	return l, refreshToken(op, family, next), nil
}

// successor derives the next secret from a spent one. It is the same each time,
// so that a repeated request can be answered although only hashes are stored;
// nobody without the master key can take this step.
func (s *Store) successor(family, secret string) string {
	m := hmac.New(sha256.New, s.refresh)
	m.Write([]byte(family + "." + secret))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// stillThere returns the person with today's role. A login that was removed
// while its person signed in may have left a family behind; it ends here.
func (s *Store) stillThere(ctx context.Context, l Login) (Login, error) {
	if l.Login == "" {
		return l, nil // came by a ticket
	}
	now, err := s.login(ctx, l.Login)
	if err != nil {
		return l, err
	}
	if now.Operator != l.Operator {
		return l, errors.Join(errRefresh, s.RevokeFamilies(ctx, l.Operator))
	}
	now.Since = l.Since
	return now.Login, nil
}

// RevokeFamilies ends all refresh tokens of an operator.
func (s *Store) RevokeFamilies(ctx context.Context, op switchboard.OperatorID) error {
	if err := s.rdb.Del(ctx, keyRefresh(op)).Err(); err != nil {
		return storeError("revoke refresh tokens", err)
	}
	return nil
}

func refreshToken(op switchboard.OperatorID, family, secret string) string {
	return "sbr_" + decimal(op) + "." + family + "." + secret
}
