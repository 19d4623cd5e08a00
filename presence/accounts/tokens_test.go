package accounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func TestTicketIsSpentByExactlyOneOfMany(t *testing.T) {
	s := newStore(t)
	op, org := newOperator(t, s, "a")
	for range 50 {
		ticket, err := s.NewTicket(t.Context(), op, org, switchboard.RoleSupervisor, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		won := 0
		for err := range race(4, func(int) error {
			l, err := s.SpendTicket(t.Context(), ticket)
			if err == nil && (l.Operator != op || l.Org != org || l.Role != switchboard.RoleSupervisor) {
				return fmt.Errorf("wrong person: %+v", l)
			}
			return err
		}) {
			if err == nil {
				won++
			} else {
				wantCode(t, err, switchboard.CodeUnauthorized)
			}
		}
		if won != 1 {
			t.Fatalf("%d spent one ticket", won)
		}
	}
}

func TestTicketEndsWithItsTime(t *testing.T) {
	s := newStore(t)
	op, org := newOperator(t, s, "a")
	ticket, err := s.NewTicket(t.Context(), op, org, switchboard.RoleOperator, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	// Age the record, not the clock.
	if err := s.rdb.PExpire(t.Context(), keyTicket(digest(ticket)), 0).Err(); err != nil {
		t.Fatal(err)
	}
	_, err = s.SpendTicket(t.Context(), ticket)
	wantCode(t, err, switchboard.CodeUnauthorized)
	for _, bad := range []string{"", "x", digest(ticket)} {
		_, err = s.SpendTicket(t.Context(), bad)
		wantCode(t, err, switchboard.CodeUnauthorized)
	}
	for _, ttl := range []time.Duration{0, -time.Second, 2 * time.Hour} {
		_, err = s.NewTicket(t.Context(), op, org, switchboard.RoleOperator, ttl)
		wantCode(t, err, switchboard.CodeInvalid)
	}
	_, err = s.NewTicket(t.Context(), op, org+1, switchboard.RoleOperator, time.Minute)
	wantCode(t, err, switchboard.CodeNotFound)
}

func newFamily(t *testing.T, s *Store) (Login, string) {
	t.Helper()
	op, org := newOperator(t, s, "a")
	l := Login{Operator: op, Org: org, Role: switchboard.RoleOperator}
	token, err := s.NewRefresh(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return l, token
}

func TestRefreshTokenRotatesAndNeverStandsInTheStore(t *testing.T) {
	s := newStore(t)
	l, token := newFamily(t, s)
	seen := map[string]bool{}
	for range 5 {
		got, next, err := node(t, master).Rotate(t.Context(), token)
		if err != nil || got != l {
			t.Fatalf("%+v %v", got, err)
		}
		if seen[next] {
			t.Fatal("a token came twice")
		}
		seen[next] = true
		all, err := s.rdb.HGetAll(t.Context(), keyRefresh(l.Operator)).Result()
		if err != nil || len(all) != 1 {
			t.Fatalf("%v %v", all, err)
		}
		secret := next[strings.LastIndex(next, ".")+1:]
		if strings.Contains(fmt.Sprint(all), secret) {
			t.Fatal("the token can be read in the store")
		}
		token = next
	}
}

func TestLostAnswerMayBeAskedForAgain(t *testing.T) {
	s := newStore(t)
	_, token := newFamily(t, s)
	answers := map[string]bool{}
	var mu sync.Mutex
	for err := range race(8, func(int) error {
		_, next, err := s.Rotate(t.Context(), token)
		mu.Lock()
		defer mu.Unlock()
		answers[next] = true
		return err
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	if len(answers) != 1 {
		t.Errorf("%d different tokens lead on", len(answers))
	}
	for next := range answers {
		if _, _, err := s.Rotate(t.Context(), next); err != nil {
			t.Error(err)
		}
	}
}

func TestReuseOfASpentTokenEndsTheFamily(t *testing.T) {
	for _, test := range []struct {
		name string
		// spend returns a spent token and the one that leads on.
		spend func(t *testing.T, s *Store, l Login, token string) (spent, live string)
	}{
		{"long after it was spent", func(t *testing.T, s *Store, l Login, token string) (string, string) {
			next := rotate(t, s, token)
			age(t, s, l.Operator, refreshAgain+time.Second)
			return token, next
		}},
		{"after its successor was spent", func(t *testing.T, s *Store, l Login, token string) (string, string) {
			return token, rotate(t, s, rotate(t, s, token))
		}},
		{"forged in a family that is known", func(t *testing.T, s *Store, l Login, token string) (string, string) {
			return token[:len(token)-43] + random(32), token
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			l, token := newFamily(t, s)
			other, err := s.NewRefresh(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			spent, live := test.spend(t, s, l, token)
			_, _, err = s.Rotate(t.Context(), spent)
			wantCode(t, err, switchboard.CodeUnauthorized)
			if !errors.Is(err, ErrReused) {
				t.Errorf("not told apart: %v", err)
			}
			_, _, err = s.Rotate(t.Context(), live)
			wantCode(t, err, switchboard.CodeUnauthorized)
			if _, _, err := s.Rotate(t.Context(), other); err != nil {
				t.Errorf("another family of the person ended too: %v", err)
			}
		})
	}
}

func rotate(t *testing.T, s *Store, token string) string {
	t.Helper()
	_, next, err := s.Rotate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// age makes the one family of an operator older: its spent time and its expiry.
func age(t *testing.T, s *Store, op switchboard.OperatorID, by time.Duration) {
	t.Helper()
	all, err := s.rdb.HGetAll(t.Context(), keyRefresh(op)).Result()
	if err != nil {
		t.Fatal(err)
	}
	for family, record := range all {
		parts := strings.SplitN(record, ":", 5)
		for _, i := range []int{2, 3} {
			var ms int64
			if _, err := fmt.Sscan(parts[i], &ms); err != nil {
				t.Fatal(err)
			}
			parts[i] = fmt.Sprint(max(0, ms-by.Milliseconds()))
		}
		if err := s.rdb.HSet(t.Context(), keyRefresh(op), family, strings.Join(parts, ":")).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefreshTokenEndsWithItsTime(t *testing.T) {
	s := newStore(t)
	l, token := newFamily(t, s)
	age(t, s, l.Operator, RefreshLife)
	_, _, err := s.Rotate(t.Context(), token)
	wantCode(t, err, switchboard.CodeUnauthorized)
	if errors.Is(err, ErrReused) {
		t.Error("age was taken for theft")
	}
}

func TestRevokeEndsAllFamilies(t *testing.T) {
	s := newStore(t)
	l, first := newFamily(t, s)
	second, err := s.NewRefresh(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeFamilies(t.Context(), l.Operator); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{first, second} {
		_, _, err := s.Rotate(t.Context(), token)
		wantCode(t, err, switchboard.CodeUnauthorized)
	}
}

func TestFamiliesOfAnOperatorAreBounded(t *testing.T) {
	s := newStore(t)
	l, first := newFamily(t, s)
	age(t, s, l.Operator, time.Second) // so that it is surely the oldest
	tokens := make([]string, maxFamilies)
	for i := range tokens {
		var err error
		if tokens[i], err = s.NewRefresh(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.rdb.HLen(t.Context(), keyRefresh(l.Operator)).Val(); n != maxFamilies {
		t.Errorf("%d families", n)
	}
	_, _, err := s.Rotate(t.Context(), first)
	wantCode(t, err, switchboard.CodeUnauthorized)
	for _, token := range tokens {
		if _, _, err := s.Rotate(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
}

func TestRotationFollowsTheLogin(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	op, org := newOperator(t, s, "a")
	if err := s.AddLogin(ctx, "ines", "long enough", op, org, switchboard.RoleAdmin); err != nil {
		t.Fatal(err)
	}
	l, err := s.VerifyLogin(ctx, "ines", "long enough")
	if err != nil {
		t.Fatal(err)
	}
	l.Role = switchboard.RoleOperator // as if it had been promoted since
	l.Since = 12345
	token, err := s.NewRefresh(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	got, token, err := s.Rotate(ctx, token)
	if err != nil || got.Role != switchboard.RoleAdmin || got.Since != 12345 {
		t.Fatalf("%+v %v", got, err)
	}
	// The family that a sign-in began just after the login was removed.
	if err := s.rdb.Del(ctx, keyLogin("ines")).Err(); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Rotate(ctx, token)
	wantCode(t, err, switchboard.CodeUnauthorized)
	if n := s.rdb.Exists(ctx, keyRefresh(op)).Val(); n != 0 {
		t.Error("the family of a removed login lives")
	}
}

func TestMalformedRefreshTokensAreRefused(t *testing.T) {
	s := newStore(t)
	_, token := newFamily(t, s)
	for _, bad := range []string{
		"", "x", token[1:], token + "x", strings.Replace(token, ".", ":", 1), "sbr_0" + token[5:],
		strings.Replace(token, "sbr_", "sbr_99999999999999999999", 1), token + "\n",
	} {
		_, _, err := s.Rotate(t.Context(), bad)
		wantCode(t, err, switchboard.CodeUnauthorized)
	}
	if _, _, err := s.Rotate(t.Context(), token); err != nil {
		t.Errorf("malformed tokens ended a family: %v", err)
	}
}

func TestNodesThatStartAtOnceAgreeOnTheFirstKey(t *testing.T) {
	for range 20 {
		first := newStore(t)
		nodes := []*Store{first, node(t, master), node(t, master), node(t, master)}
		kids, keys := make([]string, len(nodes)), make([][]byte, len(nodes))
		for err := range race(len(nodes), func(i int) (err error) {
			kids[i], keys[i], err = nodes[i].SigningKey(t.Context())
			return err
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range nodes {
			if kids[i] != kids[0] || !bytes.Equal(keys[i], keys[0]) || len(keys[i]) != keySize {
				t.Fatalf("the nodes do not agree: %v", kids)
			}
		}
	}
}

func TestRotatedKeySignsAndTheOldOneVerifies(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	oldID, oldKey, err := s.SigningKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other := node(t, master)
	if _, _, err := other.SigningKey(ctx); err != nil { // knows the old one only
		t.Fatal(err)
	}
	newID, err := s.RotateKey(ctx)
	if err != nil || newID == oldID {
		t.Fatalf("%s %v", newID, err)
	}
	kid, newKey, err := s.SigningKey(ctx)
	if err != nil || kid != newID || bytes.Equal(newKey, oldKey) {
		t.Errorf("%s %v", kid, err)
	}
	wait(t, "the other node to know the new key", func() bool {
		key, err := other.VerificationKey(ctx, newID)
		return err == nil && bytes.Equal(key, newKey)
	})
	if key, err := other.VerificationKey(ctx, oldID); err != nil || !bytes.Equal(key, oldKey) {
		t.Errorf("the old key does not verify: %v", err)
	}
	wantCode(t, s.RemoveKey(ctx, newID), switchboard.CodeConflict)
	if err := s.RemoveKey(ctx, oldID); err != nil {
		t.Fatal(err)
	}
	_, err = s.VerificationKey(ctx, oldID)
	wantCode(t, err, switchboard.CodeNotFound)
	for _, kid := range []string{oldID, "", "current", "0123456789abcdef"} {
		wantCode(t, s.RemoveKey(ctx, kid), switchboard.CodeNotFound)
	}
	all, err := s.Keys(ctx)
	if err != nil || len(all) != 1 || all[0].ID != newID || !all[0].Current || time.Since(all[0].Created) > time.Minute {
		t.Errorf("%+v %v", all, err)
	}
}

func TestOldKeysAreForgottenInOrder(t *testing.T) {
	s := newStore(t)
	var kids []string
	for range maxKeys + 3 {
		kid, err := s.RotateKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kids = append(kids, kid)
		tick(t, s)
	}
	for i, kid := range kids {
		_, err := s.VerificationKey(t.Context(), kid)
		if (err == nil) != (i >= 3) {
			t.Errorf("key %d of %d: %v", i, len(kids), err)
		}
	}
}

// tick waits until Redis tells another millisecond.
func tick(t *testing.T, s *Store) {
	t.Helper()
	began := s.rdb.Time(t.Context()).Val().UnixMilli()
	wait(t, "the next millisecond", func() bool { return s.rdb.Time(t.Context()).Val().UnixMilli() > began })
}

func TestKeysAreReadFromMemoryMostly(t *testing.T) {
	s := newStore(t)
	kid, _, err := s.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.rdb.Del(t.Context(), keySigning).Err(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := s.VerificationKey(t.Context(), kid); err != nil {
			t.Fatal(err)
		}
	}
	// "current" is a field of the hash, not a key.
	for _, strange := range []string{"current", "", "../x", strings.Repeat("a", 17)} {
		_, err := s.VerificationKey(t.Context(), strange)
		wantCode(t, err, switchboard.CodeNotFound)
	}
	// What is too old is read again, and then it is gone.
	s.ring.mu.Lock()
	s.ring.read = time.Now().Add(-ringAge - time.Second)
	s.ring.mu.Unlock()
	_, err = s.VerificationKey(t.Context(), kid)
	wantCode(t, err, switchboard.CodeNotFound)
}

func TestSealedKeysAreOfNoUseWithoutTheMasterKey(t *testing.T) {
	s := newStore(t)
	kid, key, err := s.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := s.rdb.HGet(t.Context(), keySigning, kid).Val()
	if strings.Contains(text, string(key)) {
		t.Error("the key can be read in the store")
	}
	_, _, err = node(t, bytes.Repeat([]byte{8}, MasterSize)).SigningKey(t.Context())
	wantCode(t, err, switchboard.CodeInternal)
	if err == nil || !strings.Contains(err.Error(), "another master key") {
		t.Errorf("the reason is not told: %v", err)
	}
	// A sealed key under another id does not open.
	if err := s.rdb.HSet(t.Context(), keySigning, "0123456789abcdef", text, currentField, "0123456789abcdef").Err(); err != nil {
		t.Fatal(err)
	}
	_, _, err = node(t, master).SigningKey(t.Context())
	wantCode(t, err, switchboard.CodeInternal)
}

func TestRecentForgetsByAgeAndStaysBounded(t *testing.T) {
	r := newRecent[int, int](10, time.Hour)
	for i := range 1000 {
		r.put(i, i)
		if n := len(r.young) + len(r.old); n > 20 {
			t.Fatalf("%d entries", n)
		}
	}
	if v, ok := r.get(999); !ok || v != 999 {
		t.Error("the last entry is gone")
	}
	if _, ok := r.get(0); ok {
		t.Error("the first entry is still there")
	}
	r.drop(999)
	if _, ok := r.get(999); ok {
		t.Error("a dropped entry is still there")
	}
	r.age = -time.Second
	r.put(1, 1)
	if _, ok := r.get(1); ok {
		t.Error("an old entry is still there")
	}
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("waited in vain for " + what)
}
