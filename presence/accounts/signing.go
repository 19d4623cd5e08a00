package accounts

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

const (
	// ringAge is how late a change of the signing keys may reach a node.
	ringAge = 30 * time.Second
	// strangeAge is how often an unknown key id may make a node read the keys
	// again: a key that another node made must work at once, and a flood of
	// forged ids must not become a flood of reads.
	strangeAge = 50 * time.Millisecond
)

// keySize is the length of a signing key: that of the hash of HS256.
const keySize = 32

const currentField = "current"

var kidPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)

// ring is what a node knows of the signing keys.
type ring struct {
	mu      sync.Mutex
	keys    map[string][]byte
	current string
	read    time.Time // when they were read
	reading bool      // somebody reads them again
}

// KeyInfo tells of a signing key without the key.
type KeyInfo struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"` // by the clock of Redis
	Current bool      `json:"current"` // it signs; the others only verify
}

// SigningKey returns the key that signs new tokens, and its id. The first call
// on an empty store makes it; of several nodes at once all get the same. It may
// be 30 s behind a RotateKey of another node. The key must not be changed.
func (s *Store) SigningKey(ctx context.Context) (kid string, key []byte, err error) {
	keys, current, err := s.ringNow(ctx, "")
	if err != nil {
		return "", nil, err
	}
	if current == "" {
		if err := s.addKey(ctx, "first"); err != nil {
			return "", nil, err
		}
		if keys, current, err = s.readRing(ctx); err != nil {
			return "", nil, err
		}
	}
	if keys[current] == nil {
		return "", nil, damaged("the signing key", nil)
	}
	return current, keys[current], nil
}

// VerificationKey returns the key of an id. A key that was removed on another
// node may be believed for 30 s more. The key must not be changed. Errors:
// CodeNotFound when there is no such key.
func (s *Store) VerificationKey(ctx context.Context, kid string) ([]byte, error) {
	if kidPattern.MatchString(kid) {
		keys, _, err := s.ringNow(ctx, kid)
		if err != nil {
			return nil, err
		}
		if key := keys[kid]; key != nil {
			return key, nil
		}
	}
	return nil, switchboard.Errorc(switchboard.CodeNotFound, "there is no such key")
}

// RotateKey makes a new key that signs from now on (on other nodes within 30 s)
// and returns its id. Tokens of the last 15 keys before it go on to verify.
func (s *Store) RotateKey(ctx context.Context) (string, error) {
	if err := s.addKey(ctx, "rotate"); err != nil {
		return "", err
	}
	_, current, err := s.readRing(ctx)
	return current, err
}

// RemoveKey ends a key that does not sign any more, and with it all tokens that
// it signed. Errors: CodeConflict for the current key, CodeNotFound.
func (s *Store) RemoveKey(ctx context.Context, kid string) error {
	_, current, err := s.readRing(ctx)
	if err != nil {
		return err
	}
	if kid == current {
		return switchboard.Errorc(switchboard.CodeConflict, "this key signs: rotate first")
	}
	if !kidPattern.MatchString(kid) {
		return switchboard.Errorc(switchboard.CodeNotFound, "there is no such key")
	}
	// A key never becomes current again, so it may be removed without a script.
	n, err := s.rdb.HDel(ctx, keySigning, kid).Result()
	if err != nil {
		return storeError("remove key", err)
	}
	if n == 0 {
		return switchboard.Errorc(switchboard.CodeNotFound, "there is no such key")
	}
	_, _, err = s.readRing(ctx)
	return err
}

// Keys returns all signing keys, the youngest first.
func (s *Store) Keys(ctx context.Context) ([]KeyInfo, error) {
	all, err := s.rdb.HGetAll(ctx, keySigning).Result()
	if err != nil {
		return nil, storeError("signing keys", err)
	}
	var out []KeyInfo
	for kid, text := range all {
		if kid == currentField {
			continue
		}
		created, _, _ := strings.Cut(text, ":")
		ms, err := strconv.ParseInt(created, 10, 64)
		if err != nil {
			return nil, damaged("signing key "+kid, err)
		}
		out = append(out, KeyInfo{ID: kid, Created: time.UnixMilli(ms), Current: kid == all[currentField]})
	}
	slices.SortFunc(out, func(a, b KeyInfo) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// addKey makes a key and stores it; how is "first" or "rotate" (signingkey.lua).
func (s *Store) addKey(ctx context.Context, how string) error {
	var id [8]byte
	rand.Read(id[:])
	kid := hex.EncodeToString(id[:])
	key := make([]byte, keySize)
	rand.Read(key)
	nonce := make([]byte, s.seal.NonceSize())
	rand.Read(nonce)
	// The id is authenticated too: sealed keys cannot be exchanged in the store.
	sealed := base64.RawStdEncoding.EncodeToString(s.seal.Seal(nonce, nonce, key, []byte(kid)))
	_, _, err := s.run(ctx, "add signing key", scriptSigningKey, []string{keySigning}, kid, sealed, how, maxKeys)
	return err
}

// ringNow returns the keys from memory when they are young enough, else from
// Redis. While one caller reads, the others go on with what there is, unless it
// lacks the key they want.
func (s *Store) ringNow(ctx context.Context, want string) (map[string][]byte, string, error) {
	r := &s.ring
	r.mu.Lock()
	keys, current, age := r.keys, r.current, time.Since(r.read)
	lacks := keys == nil || want != "" && keys[want] == nil
	old := age > ringAge || lacks && age > strangeAge || keys == nil || current == ""
	if !old || r.reading && !lacks {
		r.mu.Unlock()
		return keys, current, nil
	}
	r.reading = true
	r.mu.Unlock()

	keys, current, err := s.readRing(ctx)
	r.mu.Lock()
	r.reading = false
	r.mu.Unlock()
	return keys, current, err
}

// readRing reads the keys and remembers them.
func (s *Store) readRing(ctx context.Context) (map[string][]byte, string, error) {
	began := time.Now()
	all, err := s.rdb.HGetAll(ctx, keySigning).Result()
	if err != nil {
		return nil, "", storeError("signing keys", err)
	}
	keys := make(map[string][]byte, len(all))
	for kid, text := range all {
		if kid == currentField {
			continue
		}
		if keys[kid], err = s.unseal(kid, text); err != nil {
			return nil, "", err
		}
	}
	r := &s.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	if began.After(r.read) {
		r.keys, r.current, r.read = keys, all[currentField], began
	}
	return keys, all[currentField], nil
}

func (s *Store) unseal(kid, text string) ([]byte, error) {
	_, sealed, _ := strings.Cut(text, ":")
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, damaged("signing key "+kid, err)
	}
	if len(b) < s.seal.NonceSize() {
		return nil, damaged("signing key "+kid, fmt.Errorf("too short"))
	}
	nonce, box := b[:s.seal.NonceSize()], b[s.seal.NonceSize():]
	key, err := s.seal.Open(nil, nonce, box, []byte(kid))
	if err != nil {
		return nil, damaged("signing key "+kid, fmt.Errorf("it was sealed with another master key, or changed: %w", err))
	}
	return key, nil
}
