package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

func TestAccountsAreMadeListedAndRemovedFromTheCommandLine(t *testing.T) {
	s := newShell(t)
	var company accounts.Company
	s.read(&company, "", "company add --name Acme")
	var org accounts.Organization
	s.read(&org, "", fmt.Sprintf("organization add --company %d --name Billing --slug billing --site https://a.example --site https://b.example --status Lab", company.ID))
	if org.ID == 0 || !slices.Equal(org.Sites, []string{"https://a.example", "https://b.example"}) || !slices.Equal(org.Statuses, []string{"Lab"}) {
		t.Fatalf("%+v", org)
	}
	s.read(&org, "", "organization set --organization billing --name Invoices --deferred-200")
	if org.Name != "Invoices" || !org.Deferred200 || len(org.Sites) != 2 {
		t.Errorf("set changed the wrong things: %+v", org)
	}
	var team struct {
		ID       switchboard.TeamID
		Name     string
		Strategy string
		OfferMS  int64 `json:"offer_ms"`
	}
	s.read(&team, "", fmt.Sprintf("team add --organization %d --name Sales --strategy round_robin --offer 20s", org.ID))
	if team.ID == 0 || team.Strategy != "round_robin" || team.OfferMS != 20_000 {
		t.Errorf("%+v", team)
	}
	var ops []presence.NewOperator
	s.read(&ops, "", fmt.Sprintf("operator add --organization billing --name Agent --count 3 --team %d --role supervisor", team.ID))
	if len(ops) != 3 || ops[2].Name != "Agent 3" || ops[2].ID != ops[0].ID+2 || ops[0].Teams[0] != team.ID {
		t.Fatalf("%+v", ops)
	}
	var known []presence.Operator
	s.read(&known, "", "operator list --organization billing")
	if len(known) != 3 || known[0].Role != switchboard.RoleSupervisor {
		t.Errorf("%+v", known)
	}
	s.do("", fmt.Sprintf("operator account --operator %d --state inactive", ops[0].ID))
	s.read(&known, "", "operator list --organization billing")
	if known[0].Account != switchboard.AccountInactive {
		t.Errorf("%+v", known[0])
	}
	for _, list := range []string{"company list", "organization list", "team list --organization billing", "key list"} {
		if out := s.do("", list); strings.Count(out, "\n") < 2 {
			t.Errorf("%s: %q", list, out)
		}
	}
}

func TestSecretsComeFromInputOrFileAndAreNeverPrinted(t *testing.T) {
	s := newShell(t)
	a, err := accounts.Open(redistest.Client(t, redisOptions), make([]byte, accounts.MasterSize))
	if err != nil {
		t.Fatal(err)
	}
	s.do("", "company add --name Acme")
	s.do("", "organization add --company 1 --name Billing --slug billing")
	s.do("", "operator add --organization billing --name Ines --role admin")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := s.do("from the input\r\n", "login add --operator 1 --login ines")
	out += s.do("", "credential add --kind chathub --company 1 --login hub --secret-file "+file)
	out += s.do("", "credential add --kind api --organization billing --note telephony --secret-file "+file)
	out += s.do("", "credential list --company 1") + s.do("", "login list --organization billing")
	if strings.Contains(out, "from ") {
		t.Errorf("a secret was printed: %s", out)
	}
	ctx := t.Context()
	if l, err := a.VerifyLogin(ctx, "ines", "from the input"); err != nil || l.Role != switchboard.RoleAdmin {
		t.Errorf("%+v %v", l, err)
	}
	if _, id, err := a.VerifyChatHub(ctx, "hub", "from a file"); err != nil || id != 1 {
		t.Errorf("%d %v", id, err)
	}
	if _, id, err := a.VerifyAPI(ctx, "billing", "from a file"); err != nil || id != 2 {
		t.Errorf("%d %v", id, err)
	}
	var made struct {
		ID     int64
		Secret string
	}
	s.read(&made, "", "credential add --kind api --organization billing --generate")
	if _, id, err := a.VerifyAPI(ctx, "billing", made.Secret); err != nil || id != made.ID {
		t.Errorf("%d %v", id, err)
	}
	s.do("", fmt.Sprintf("credential remove --credential %d", made.ID))
	if lives, err := a.CredentialLives(ctx, made.ID); err != nil || lives {
		t.Errorf("%v %v", lives, err)
	}
	s.do("a new password", "login password --login ines")
	if _, err := a.VerifyLogin(ctx, "ines", "a new password"); err != nil {
		t.Error(err)
	}
	s.do("", "login remove --login ines")
	if _, err := a.VerifyLogin(ctx, "ines", "a new password"); err == nil {
		t.Error("a removed login signs in")
	}
}

func TestMistakesOfAnAdministratorAreExplained(t *testing.T) {
	s := newShell(t)
	s.do("", "company add --name Acme")
	s.do("", "organization add --company 1 --name Billing --slug billing")
	s.do("", "operator add --organization billing --name Ines")
	for _, test := range []struct{ want, in, line string }{
		{"there is no such company", "", "organization add --company 9 --name n --slug s"},
		{"slug: this slug is in use", "", "organization add --company 1 --name n --slug billing"},
		{"sites: ", "", "organization add --company 1 --name n --slug s --site nonsense"},
		{`there is no organization "nobody"`, "", "team list --organization nobody"},
		{"there is no such organization", "", "team list --organization 99"},
		{"strategy: ", "", "team add --organization billing --name n --strategy luck"},
		{"--team: the organization has no team 7", "", "operator add --organization billing --name n --team 7"},
		{"--team: billing has no team 7", "", "team set --organization billing --team 7"},
		{"there is no such operator", "", "operator account --operator 99 --state active"},
		{"password: between 8 and 1024 bytes", "short", "login add --operator 1 --login l"},
		{"the secret is empty", "", "login add --operator 1 --login l"},
		{"the secret is longer", strings.Repeat("x", 5000), "login add --operator 1 --login l"},
		{"kind: chathub or api", "a secret that is long", "credential add --kind other"},
		{"there is no such credential", "", "credential remove --credential 9"},
		{"there is no such login", "", "login remove --login nobody"},
		{"this key signs: rotate first", "", "key remove --key " + s.currentKey()},
	} {
		s.refused(exitFailed, test.want, test.in, test.line)
	}
	s.refused(exitUsage, `"gone" is none of active, inactive, deleted`, "", "operator account --operator 1 --state gone")
	s.env = append(s.env, "SWITCHBOARD_REDIS=unix:///nowhere/redis.sock")
	s.refused(exitFailed, "no Redis answers there", "", "company list")
}

func (s *shell) currentKey() string {
	s.t.Helper()
	var keys []accounts.KeyInfo
	s.read(&keys, "", "key list")
	if len(keys) == 0 {
		s.t.Fatal("no keys")
	}
	return keys[0].ID
}

func TestSigningKeyRotatesFromTheCommandLine(t *testing.T) {
	s := newShell(t)
	first := s.currentKey()
	var keys []accounts.KeyInfo
	s.read(&keys, "", "key rotate")
	if len(keys) != 2 || keys[0].ID == first || !keys[0].Current || keys[1].Current {
		t.Fatalf("%+v", keys)
	}
	s.read(&keys, "", "key remove --key "+first)
	if len(keys) != 1 {
		t.Errorf("%+v", keys)
	}
	other := filepath.Join(t.TempDir(), "other")
	s.do("", "key new --key-file "+other)
	s.refused(exitFailed, "another master key", "", "key list --key-file "+other)
	// Commands that do not touch the keys need none.
	s.env = s.env[:1]
	s.do("", "company add --name Acme")
	s.refused(exitFailed, "--key-file", "", "key rotate")
}

func TestCommandsBesideNoNodeUseTheDataFolder(t *testing.T) {
	s := &shell{t: t}
	data := filepath.Join(t.TempDir(), "data")
	s.do("", "company add --name Acme --data "+data)
	var all []accounts.Company
	s.read(&all, "", "company list --data "+data)
	if len(all) != 1 || all[0].Name != "Acme" {
		t.Errorf("%+v", all)
	}
}
