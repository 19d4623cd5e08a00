package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/switchboard/switchboard"
)

// Bounds of a password or secret that a person gives, in bytes.
const (
	minPassword = 8
	maxPassword = 1024
)

// plainMark begins the stored form of a secret that we made: sha256$<hash>.
const plainMark = "sha256$"

const (
	verifiedAge = time.Minute
	// hashWaiting is how many checks may wait for a core; the next is refused.
	hashWaiting = 64
)

// random returns n random bytes as URL-safe text.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest is how random secrets are stored.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func hashRandom(secret string) string { return plainMark + digest(secret) }

// hasher computes and checks slow hashes, a few at a time: each takes 19 MiB,
// and a flood of wrong passwords must not take the node's memory.
type hasher struct {
	slots    chan struct{} // one a hash that is computed
	waiting  chan struct{} // one a hash that is computed or waits
	verified *recent[[32]byte, struct{}]
	mac      [32]byte  // of this process; keeps passwords out of the cache
	nobody   argonForm // for unknown logins: compared like others, equal to none
}

func newHasher() *hasher {
	h := &hasher{
		slots:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		waiting:  make(chan struct{}, hashWaiting),
		verified: newRecent[[32]byte, struct{}](2048, verifiedAge),
	}
	rand.Read(h.mac[:])
	h.nobody = newArgon()
	return h
}

// hash returns the stored form of a password that a person chose.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", switchboard.Invalid("password", fmt.Sprintf("between %d and %d bytes", minPassword, maxPassword))
	}
	form := newArgon()
	var err error
	if form.key, err = h.argon(ctx, password, form); err != nil {
		return "", err
	}
	return form.String(), nil
}

// check reports whether a secret is the one that was stored. An empty stored
// form takes as long as a wrong password. Errors: CodeTooFast when too many
// checks wait, the context's own.
func (h *hasher) check(ctx context.Context, stored, secret string) (bool, error) {
	if rest, ok := strings.CutPrefix(stored, plainMark); ok {
		return subtle.ConstantTimeCompare([]byte(rest), []byte(digest(secret))) == 1, nil
	}
	if len(secret) > maxPassword {
		return false, nil // its length is no secret of ours
	}
	known := h.fingerprint(stored, secret)
	if _, ok := h.verified.get(known); ok {
		return true, nil
	}
	form := h.nobody
	if stored != "" {
		var err error
		if form, err = parseArgon(stored); err != nil {
			return false, damaged("a stored password", err)
		}
	}
	key, err := h.argon(ctx, secret, form)
	if err != nil {
		return false, err
	}
	if subtle.ConstantTimeCompare(key, form.key) != 1 || stored == "" {
		return false, nil
	}
	h.verified.put(known, struct{}{})
	return true, nil
}

// fingerprint names a pair of stored form and secret. The stored form is part
// of it, so a changed password is never answered from the cache.
func (h *hasher) fingerprint(stored, secret string) [32]byte {
	m := hmac.New(sha256.New, h.mac[:])
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(stored)))
	m.Write(size[:])
	m.Write([]byte(stored))
	m.Write([]byte(secret))
	return [32]byte(m.Sum(nil))
}

// argon computes the hash of a password with the figures of a form.
func (h *hasher) argon(ctx context.Context, password string, f argonForm) ([]byte, error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, &switchboard.Error{Code: switchboard.CodeTooFast, Message: "too many sign-ins at once; try again", RetryAfter: time.Second}
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), f.salt, f.time, f.memory, f.threads, uint32(len(f.key))), nil
}
