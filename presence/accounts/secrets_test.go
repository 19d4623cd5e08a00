package accounts

import (
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

func TestChatHubCredentialOpensItsCompanyUntilRemoved(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	company := newCompany(t, s)
	c, secret, err := s.AddCredential(ctx, Credential{Kind: ChatHub, Company: company, Login: "Hub@Acme"}, "chosen by a person")
	if err != nil || secret != "chosen by a person" || c.Login != "hub@acme" {
		t.Fatalf("%+v %q %v", c, secret, err)
	}
	for _, login := range []string{"hub@acme", " HUB@acme "} {
		if got, id, err := s.VerifyChatHub(ctx, login, secret); err != nil || got != company || id != c.ID {
			t.Errorf("%q: %d %d %v", login, got, id, err)
		}
	}
	for _, pair := range [][2]string{{"hub@acme", "wrong password"}, {"hub@acme", ""}, {"nobody", secret}, {"", secret}, {"a b", secret}, {"hub@acme", strings.Repeat("x", 2000)}} {
		_, _, err := s.VerifyChatHub(ctx, pair[0], pair[1])
		wantCode(t, err, switchboard.CodeUnauthorized)
	}
	if lives, err := s.CredentialLives(ctx, c.ID); !lives || err != nil {
		t.Errorf("%v %v", lives, err)
	}
	if err := s.RemoveCredential(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	if lives, err := s.CredentialLives(ctx, c.ID); lives || err != nil {
		t.Errorf("%v %v", lives, err)
	}
	_, _, err = s.VerifyChatHub(ctx, "hub@acme", secret) // although just verified
	wantCode(t, err, switchboard.CodeUnauthorized)
	wantCode(t, s.RemoveCredential(ctx, c.ID), switchboard.CodeNotFound)
	if _, _, err := s.AddCredential(ctx, Credential{Kind: ChatHub, Company: company, Login: "hub@acme"}, "another secret"); err != nil {
		t.Errorf("the login of a removed credential stays taken: %v", err)
	}
}

func TestOrganizationMayHaveSeveralAPISecrets(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	o, other := newOrg(t, s, "a"), newOrg(t, s, "b")
	made, madeSecret, err := s.AddCredential(ctx, Credential{Kind: API, Org: o.ID, Note: "telephony"}, "")
	if err != nil || len(madeSecret) < 40 {
		t.Fatalf("%q %v", madeSecret, err)
	}
	chosen, _, err := s.AddCredential(ctx, Credential{Kind: API, Org: o.ID}, "chosen by a person")
	if err != nil {
		t.Fatal(err)
	}
	for secret, id := range map[string]int64{madeSecret: made.ID, "chosen by a person": chosen.ID} {
		for range 2 {
			if org, got, err := s.VerifyAPI(ctx, "a", secret); err != nil || org != o.ID || got != id {
				t.Errorf("%d %d %v", org, got, err)
			}
		}
		_, _, err := s.VerifyAPI(ctx, other.Slug, secret)
		wantCode(t, err, switchboard.CodeUnauthorized)
	}
	for _, pair := range [][2]string{{"a", "wrong"}, {"a", ""}, {"nobody", madeSecret}, {"A", madeSecret}} {
		_, _, err := s.VerifyAPI(ctx, pair[0], pair[1])
		wantCode(t, err, switchboard.CodeUnauthorized)
	}
	if err := s.RemoveCredential(ctx, chosen.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.VerifyAPI(ctx, "a", "chosen by a person")
	wantCode(t, err, switchboard.CodeUnauthorized)
	if _, _, err := s.VerifyAPI(ctx, "a", madeSecret); err != nil {
		t.Errorf("removing one secret ended another: %v", err)
	}
	all, err := s.Credentials(ctx, o.Company)
	if err != nil || len(all) != 1 || all[0].ID != made.ID || all[0].Note != "telephony" {
		t.Errorf("%+v %v", all, err)
	}
}

func TestCredentialsAreCheckedAndBounded(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	o := newOrg(t, s, "a")
	for _, test := range []struct {
		c      Credential
		secret string
		want   switchboard.Code
	}{
		{Credential{Kind: "other"}, "", switchboard.CodeInvalid},
		{Credential{Kind: ChatHub, Company: o.Company, Login: ""}, "", switchboard.CodeInvalid},
		{Credential{Kind: ChatHub, Company: o.Company, Login: "two words"}, "", switchboard.CodeInvalid},
		{Credential{Kind: ChatHub, Company: o.Company, Login: "l"}, "short", switchboard.CodeInvalid},
		{Credential{Kind: ChatHub, Company: 99, Login: "l"}, "", switchboard.CodeNotFound},
		{Credential{Kind: API, Org: 99}, "", switchboard.CodeNotFound},
		{Credential{Kind: API, Org: o.ID}, "short", switchboard.CodeInvalid},
		{Credential{Kind: API, Org: o.ID, Note: "a\x00b"}, "", switchboard.CodeInvalid},
	} {
		_, _, err := s.AddCredential(ctx, test.c, test.secret)
		if switchboard.CodeOf(err) != test.want {
			t.Errorf("%+v: got %v, want %s", test.c, err, test.want)
		}
	}
	for i := range maxAPI + 1 {
		_, _, err := s.AddCredential(ctx, Credential{Kind: API, Org: o.ID}, "")
		if want := map[bool]switchboard.Code{true: switchboard.CodeConflict}[i == maxAPI]; switchboard.CodeOf(err) != want {
			t.Fatalf("credential %d: %v", i, err)
		}
	}
	var won int
	for err := range race(4, func(int) error {
		_, _, err := s.AddCredential(ctx, Credential{Kind: ChatHub, Company: o.Company, Login: "same"}, "")
		return err
	}) {
		if err == nil {
			won++
		} else {
			wantCode(t, err, switchboard.CodeConflict)
		}
	}
	if won != 1 {
		t.Errorf("%d credentials have one login", won)
	}
}

func TestLoginOfAPerson(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	op, org := newOperator(t, s, "a")
	if err := s.AddLogin(ctx, "Ines@Acme.example", "first password", op, org, switchboard.RoleSupervisor); err != nil {
		t.Fatal(err)
	}
	want := Login{Login: "ines@acme.example", Operator: op, Org: org, Role: switchboard.RoleSupervisor}
	if got, err := s.VerifyLogin(ctx, "INES@acme.example", "first password"); err != nil || got != want {
		t.Fatalf("%+v %v", got, err)
	}
	if all, err := s.Logins(ctx, org); err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("%+v %v", all, err)
	}
	refresh, err := s.NewRefresh(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetPassword(ctx, want.Login, "second password"); err != nil {
		t.Fatal(err)
	}
	_, err = s.VerifyLogin(ctx, want.Login, "first password") // although just verified
	wantCode(t, err, switchboard.CodeUnauthorized)
	_, _, err = s.Rotate(ctx, refresh)
	wantCode(t, err, switchboard.CodeUnauthorized)
	if _, err := s.VerifyLogin(ctx, want.Login, "second password"); err != nil {
		t.Error(err)
	}
	if err := s.RemoveLogin(ctx, want.Login); err != nil {
		t.Fatal(err)
	}
	_, err = s.VerifyLogin(ctx, want.Login, "second password")
	wantCode(t, err, switchboard.CodeUnauthorized)
	wantCode(t, s.RemoveLogin(ctx, want.Login), switchboard.CodeNotFound)
	wantCode(t, s.SetPassword(ctx, want.Login, "third password"), switchboard.CodeNotFound)
	if all, err := s.Logins(ctx, org); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
}

func TestAddLoginRefusesWhatDoesNotFit(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	op, org := newOperator(t, s, "a")
	other, otherOrg := newOperator(t, s, "b")
	const good = "long enough"
	for _, test := range []struct {
		login, password string
		op              switchboard.OperatorID
		org             switchboard.OrgID
		role            switchboard.Role
		want            switchboard.Code
	}{
		{"", good, op, org, switchboard.RoleOperator, switchboard.CodeInvalid},
		{strings.Repeat("l", 129), good, op, org, switchboard.RoleOperator, switchboard.CodeInvalid},
		{"l", "short", op, org, switchboard.RoleOperator, switchboard.CodeInvalid},
		{"l", good, op, org, switchboard.RoleVisitor, switchboard.CodeInvalid},
		{"l", good, op, org, "", switchboard.CodeInvalid},
		{"l", good, other, org, switchboard.RoleOperator, switchboard.CodeNotFound},
		{"l", good, op, otherOrg, switchboard.RoleOperator, switchboard.CodeNotFound},
		{"l", good, 999, org, switchboard.RoleOperator, switchboard.CodeNotFound},
		{"l", good, op, org, switchboard.RoleOperator, ""},
		{"L", good, other, otherOrg, switchboard.RoleOperator, switchboard.CodeConflict},
	} {
		if err := s.AddLogin(ctx, test.login, test.password, test.op, test.org, test.role); switchboard.CodeOf(err) != test.want {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// The figures are medians of work, not of waiting: a check of an unknown login
// must hash as much as one of a known login.
func TestUnknownLoginCostsAsMuchAsAWrongPassword(t *testing.T) {
	s := newStore(t)
	op, org := newOperator(t, s, "a")
	if err := s.AddLogin(t.Context(), "known", "the right one", op, org, switchboard.RoleOperator); err != nil {
		t.Fatal(err)
	}
	fastest := func(login string) time.Duration {
		best := time.Hour
		for range 5 {
			began := time.Now()
			_, err := s.VerifyLogin(t.Context(), login, "a wrong one")
			wantCode(t, err, switchboard.CodeUnauthorized)
			best = min(best, time.Since(began))
		}
		return best
	}
	known, unknown := fastest("known"), fastest("unknown")
	if unknown < known/2 || known < unknown/2 {
		t.Errorf("known %v, unknown %v", known, unknown)
	}
}

func TestVerifiedPasswordIsCheapForAWhile(t *testing.T) {
	h := newHasher()
	stored, err := h.hash(t.Context(), "the right one")
	if err != nil {
		t.Fatal(err)
	}
	check := func(stored, secret string) bool {
		ok, err := h.check(t.Context(), stored, secret)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !check(stored, "the right one") {
		t.Fatal("the right password is refused")
	}
	h.slots = nil // from now on a slow hash would block for ever
	if !check(stored, "the right one") {
		t.Fatal("a verified password is refused")
	}
	ctx, cancel := timeout(t, 20*time.Millisecond)
	defer cancel()
	other := strings.Replace(stored, "$", "$", 1) + "x"
	for _, pair := range [][2]string{{stored, "a wrong one"}, {other, "the right one"}, {"", "the right one"}} {
		if ok, err := h.check(ctx, pair[0], pair[1]); ok || err == nil {
			t.Errorf("%q was answered from the cache: %v %v", pair, ok, err)
		}
	}
}

func TestFloodOfPasswordsIsRefusedNotQueued(t *testing.T) {
	h := newHasher()
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	ctx, cancel := timeout(t, 200*time.Millisecond)
	defer cancel()
	var refused, waited int
	for err := range race(hashWaiting+10, func(int) error {
		_, err := h.check(ctx, "", "password")
		return err
	}) {
		if switchboard.CodeOf(err) == switchboard.CodeTooFast {
			refused++
		} else {
			waited++
		}
	}
	if refused != 10 || waited != hashWaiting {
		t.Errorf("%d refused, %d waited", refused, waited)
	}
}

func TestDamagedHashesAreRefused(t *testing.T) {
	good := newArgon().String()
	if f, err := parseArgon(good); err != nil || f.String() != good {
		t.Fatalf("%v %v", f, err)
	}
	for _, text := range []string{
		"", "argon2id$", "argon2id$2$19456$1$c2FsdHNhbHQ", strings.Replace(good, "$2$", "$0$", 1),
		strings.Replace(good, "$2$", "$999999$", 1), strings.Replace(good, "19456", "99999999", 1),
		strings.Replace(good, "$1$", "$0$", 1), good + "$x", strings.Replace(good, "argon2id", "bcrypt", 1), good[:len(good)-30],
	} {
		if _, err := parseArgon(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func FuzzParseArgon(f *testing.F) {
	f.Add(newArgon().String())
	f.Add("argon2id$1$8$1$$")
	f.Fuzz(func(t *testing.T, text string) {
		form, err := parseArgon(text)
		if err != nil {
			return
		}
		again, err := parseArgon(form.String())
		if err != nil || again.String() != form.String() {
			t.Errorf("%q does not survive: %v", text, err)
		}
	})
}
