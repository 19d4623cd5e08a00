// Package accounts keeps what exists before anybody connects: companies, their
// organizations, the credentials of other systems, the logins of people, and
// the keys that sign tokens. It also gives out ids.
//
// All of it stands under the registry's tag in Redis (keys.go) and changes
// rarely, so reads that stand in the way of every request go through small
// bounded caches; each says how late it may be.
//
// # How secrets are kept
//
// A password that a person chose is hashed with argon2id, whose cost is the
// point: it has few bits, and a copy of the store must not be worth a night of
// guessing. A secret that this package made has 256 random bits; nobody can
// guess it, so one SHA-256 is as safe and lets the API check it on every
// request. Because HTTP Basic sends a chosen password each time too, a password
// that has just verified is remembered for a minute, in memory, under a keyed
// hash.
//
// Tickets and refresh tokens are random and stored as SHA-256. Signing keys are
// sealed with the master key, which never enters Redis.
package accounts

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

//go:embed scripts/*.lua
var files embed.FS

func script(name string) *redis.Script {
	b, err := files.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // the file is embedded: only a typing error gets here
	}
	return redis.NewScript(string(b))
}

var (
	scriptCreate        = script("create")
	scriptSetOrg        = script("setorg")
	scriptRefreshNew    = script("refreshnew")
	scriptRefreshRotate = script("refreshrotate")
	scriptOrderID       = script("order")
	scriptSigningKey    = script("signingkey")
)

// MasterSize is the length of the master key in bytes.
const MasterSize = 32

// Store reads and writes accounts. Its methods may be called by any number of
// goroutines. Their errors are *switchboard.Error: CodeUnavailable when Redis
// does not answer, CodeInternal when what it holds makes no sense, else as each
// method says.
type Store struct {
	rdb     redis.UniversalClient
	seal    cipher.AEAD // of signing keys
	refresh []byte      // derives refresh tokens
	hooks   []byte      // derives the secrets that sign webhooks
	hasher  *hasher
	ring    ring

	orgs  *recent[switchboard.OrgID, Organization]
	slugs *recent[string, switchboard.OrgID]
	homes *recent[switchboard.OperatorID, switchboard.OrgID]
}

// Open returns a store over a client. It does not call Redis. The master key
// seals the signing keys and derives refresh tokens; all nodes of one store need the same.
func Open(rdb redis.UniversalClient, master []byte) (*Store, error) {
	if len(master) != MasterSize {
		return nil, switchboard.Invalid("master", fmt.Sprintf("the master key must have %d bytes, not %d", MasterSize, len(master)))
	}
	// The purpose is part of each key, so that no use of the master key can meet
	// another one.
	key, err := hkdf.Key(sha256.New, master, nil, "switchboard signing keys 1", 32)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	refresh, err := hkdf.Key(sha256.New, master, nil, "switchboard refresh tokens 1", 32)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	hooks, err := hkdf.Key(sha256.New, master, nil, "switchboard webhooks 1", 32)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return &Store{
		rdb: rdb, seal: seal, refresh: refresh, hooks: hooks, hasher: newHasher(),
		orgs:  newRecent[switchboard.OrgID, Organization](1024, organizationAge),
		slugs: newRecent[string, switchboard.OrgID](1024, organizationAge),
		homes: newRecent[switchboard.OperatorID, switchboard.OrgID](8192, 10*time.Minute),
	}, nil
}

// WebhookSecret returns the secret that signs an organization's webhooks, 32
// bytes, by the number of the key (Organization.WebhookKey). It is derived from
// the master key and stands nowhere.
func (s *Store) WebhookSecret(org switchboard.OrgID, key int64) ([]byte, error) {
	return hkdf.Key(sha256.New, s.hooks, nil, fmt.Sprintf("organization %d key %d", org, key), 32)
}

// storeError gives what go-redis says the shape that callers know.
func storeError(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	e := switchboard.Wrap(switchboard.CodeUnavailable, "the store does not answer; try again", fmt.Errorf("%s: %w", what, err))
	e.RetryAfter = time.Second
	return e
}

// damaged is the error for a record that cannot be read back.
func damaged(what string, err error) error {
	return switchboard.Wrap(switchboard.CodeInternal, what+" cannot be read", err)
}

// run calls a script and returns its answer: a status word and what follows.
func (s *Store) run(ctx context.Context, what string, sc *redis.Script, keys []string, args ...any) (status string, rest []string, err error) {
	answer, err := sc.Run(ctx, s.rdb, keys, args...).StringSlice()
	if err != nil {
		return "", nil, storeError(what, err)
	}
	if len(answer) == 0 {
		return "", nil, damaged("the answer of "+what, nil)
	}
	return answer[0], answer[1:], nil
}

// get reads a string key; found is false when there is none.
func (s *Store) get(ctx context.Context, what, key string) (text []byte, found bool, err error) {
	text, err = s.rdb.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storeError(what, err)
	}
	return text, true, nil
}
