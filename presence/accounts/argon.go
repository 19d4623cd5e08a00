package accounts

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The cost of argon2id: the OWASP floor of 19 MiB and two passes, some 30 ms of
// one core. A change here applies to passwords set later; the old ones carry
// their own figures.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16
)

// argonMark begins the stored form of a password that a person chose:
// argon2id$<time>$<KiB>$<threads>$<salt>$<hash>.
const argonMark = "argon2id$"

// argonForm is a slow hash with all that is needed to compute it again.
type argonForm struct {
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

// newArgon returns a form with today's cost, a fresh salt and an empty hash.
func newArgon() argonForm {
	f := argonForm{argonTime, argonMemory, argonThreads, make([]byte, argonSalt), make([]byte, argonKey)}
	rand.Read(f.salt) // never fails: it ends the process instead
	return f
}

// String returns the stored form.
func (f argonForm) String() string {
	e := base64.RawStdEncoding
	return fmt.Sprintf("%s%d$%d$%d$%s$%s", argonMark, f.time, f.memory, f.threads, e.EncodeToString(f.salt), e.EncodeToString(f.key))
}

// parseArgon reads a stored form. It refuses figures that would make a check
// free or take the machine: the store may have been written by somebody else.
func parseArgon(s string) (argonForm, error) {
	var f argonForm
	rest, ok := strings.CutPrefix(s, argonMark)
	parts := strings.Split(rest, "$")
	if !ok || len(parts) != 5 {
		return f, errors.New("unknown form")
	}
	time, err1 := strconv.ParseUint(parts[0], 10, 32)
	memory, err2 := strconv.ParseUint(parts[1], 10, 32)
	threads, err3 := strconv.ParseUint(parts[2], 10, 8)
	salt, err4 := base64.RawStdEncoding.DecodeString(parts[3])
	key, err5 := base64.RawStdEncoding.DecodeString(parts[4])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return f, err
	}
	if time < 1 || time > 10 || memory > 256<<10 || threads < 1 || len(salt) < 8 || len(key) < 16 || len(key) > 64 {
		return f, errors.New("figures out of range")
	}
	return argonForm{uint32(time), uint32(memory), uint8(threads), salt, key}, nil
}
