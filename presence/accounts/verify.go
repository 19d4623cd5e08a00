package accounts

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

var errCredential = switchboard.Errorc(switchboard.CodeUnauthorized, "unknown login or wrong secret")

// VerifyChatHub returns the company and the credential's id for a login and its
// password. An unknown login takes as long as a wrong password. Errors:
// CodeUnauthorized, CodeTooFast when too many checks wait.
func (s *Store) VerifyChatHub(ctx context.Context, login, password string) (switchboard.CompanyID, int64, error) {
	c, err := s.chatHub(ctx, login)
	if err != nil {
		return 0, 0, err
	}
	ok, err := s.hasher.check(ctx, c.Hash, password)
	if err != nil {
		return 0, 0, err
	}
	if !ok {
		return 0, 0, errCredential
	}
	return c.Company, c.ID, nil
}

// chatHub returns the credential of a login, or one without a hash.
func (s *Store) chatHub(ctx context.Context, login string) (stored, error) {
	login, err := cleanLogin(login)
	if err != nil {
		return stored{}, nil // no such login can be
	}
	id, err := s.rdb.HGet(ctx, keyChatHub, login).Int64()
	if errors.Is(err, redis.Nil) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, storeError("login", err)
	}
	c, err := s.credential(ctx, id)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return stored{}, nil // removed just now
	}
	return c, err
}

// VerifyAPI returns the organization and the credential's id for a slug and one
// of its secrets. It is made to be called for every request: one read of Redis,
// and a slow hash only for a chosen secret that was not seen in the last
// minute. The slug is public, so an unknown one may answer at once. Errors:
// CodeUnauthorized, CodeTooFast when too many checks wait.
func (s *Store) VerifyAPI(ctx context.Context, slug, secret string) (switchboard.OrgID, int64, error) {
	o, err := s.OrganizationBySlug(ctx, slug)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return 0, 0, errCredential
	}
	if err != nil {
		return 0, 0, err
	}
	hashes, err := s.rdb.HGetAll(ctx, keyOrgAPI(o.ID)).Result()
	if err != nil {
		return 0, 0, storeError("credentials", err)
	}
	// Random secrets first: they cost nothing.
	ids := make([]string, 0, len(hashes))
	for id := range hashes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return -strings.Compare(hashes[a], hashes[b]) })
	for _, id := range ids {
		ok, err := s.hasher.check(ctx, hashes[id], secret)
		if err != nil {
			return 0, 0, err
		}
		if ok {
			n, err := parseID(id)
			return o.ID, n, err
		}
	}
	return 0, 0, errCredential
}
