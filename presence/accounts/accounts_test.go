package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var redisOptions *redis.Options

func TestMain(m *testing.M) { redistest.Main(m, &redisOptions) }

var master = bytes.Repeat([]byte{7}, MasterSize)

// newStore returns a store of its own over an empty database. Further nodes of
// the same store come from node.
func newStore(t *testing.T) *Store {
	t.Helper()
	s := node(t, master)
	if err := s.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

func node(t *testing.T, master []byte) *Store {
	t.Helper()
	s, err := Open(redistest.Client(t, redisOptions), master)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newCompany(t *testing.T, s *Store) switchboard.CompanyID {
	t.Helper()
	c, err := s.AddCompany(t.Context(), "Acme")
	if err != nil {
		t.Fatal(err)
	}
	return c.ID
}

func newOrg(t *testing.T, s *Store, slug string) Organization {
	t.Helper()
	o, err := s.AddOrganization(t.Context(), Organization{Company: newCompany(t, s), Name: "Billing", Slug: slug})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// newOperator returns an operator of a new organization.
func newOperator(t *testing.T, s *Store, slug string) (switchboard.OperatorID, switchboard.OrgID) {
	t.Helper()
	o := newOrg(t, s, slug)
	op, err := s.NextOperators(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.BindOperators(t.Context(), o.ID, op, 1); err != nil {
		t.Fatal(err)
	}
	return op, o.ID
}

func wantCode(t *testing.T, err error, want switchboard.Code) {
	t.Helper()
	if switchboard.CodeOf(err) != want {
		t.Errorf("got %v, want code %q", err, want)
	}
}

func TestOrganizationIsFoundByIDAndSlugAndCompany(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	company := newCompany(t, s)
	want, err := s.AddOrganization(ctx, Organization{
		Company: company, Name: " Billing ", Slug: "billing",
		Sites: []string{"HTTPS://Shop.example:443/", "http://localhost:8081"}, Statuses: []string{"Training"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want.Name != "Billing" || want.JobThreshold != 100 || !slices.Equal(want.Sites, []string{"https://shop.example", "http://localhost:8081"}) {
		t.Errorf("stored as %+v", want)
	}
	byID, err := s.Organization(ctx, want.ID)
	if err != nil {
		t.Fatal(err)
	}
	bySlug, err := node(t, master).OrganizationBySlug(ctx, "billing")
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Organizations(ctx, company)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v %v", all, err)
	}
	for _, got := range []Organization{byID, bySlug, all[0]} {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	byID.Sites[0] = "changed"
	if again, err := s.Organization(ctx, want.ID); err != nil || again.Sites[0] == "changed" {
		t.Errorf("a caller changed the cache: %v %v", again, err)
	}
	_, err = s.Organization(ctx, 999)
	wantCode(t, err, switchboard.CodeNotFound)
	for _, slug := range []string{"other", "", "no such:slug"} {
		_, err = s.OrganizationBySlug(ctx, slug)
		wantCode(t, err, switchboard.CodeNotFound)
	}
}

func TestSlugGoesToExactlyOneOfManyNodes(t *testing.T) {
	s := newStore(t)
	company := newCompany(t, s)
	var won, lost int
	for err := range race(8, func(int) error {
		_, err := s.AddOrganization(t.Context(), Organization{Company: company, Name: "n", Slug: "one"})
		return err
	}) {
		switch switchboard.CodeOf(err) {
		case "":
			won++
		case switchboard.CodeConflict:
			lost++
		default:
			t.Error(err)
		}
	}
	if won != 1 || lost != 7 {
		t.Errorf("%d won, %d lost", won, lost)
	}
	if all, err := s.Organizations(t.Context(), company); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
}

func TestSettingsOfAnOrganizationAreChecked(t *testing.T) {
	s := newStore(t)
	good := Organization{Company: newCompany(t, s), Name: "n", Slug: "s"}
	for _, test := range []struct {
		field  string
		change func(*Organization)
	}{
		{"name", func(o *Organization) { o.Name = " " }},
		{"name", func(o *Organization) { o.Name = strings.Repeat("n", 101) }},
		{"name", func(o *Organization) { o.Name = "line\nbreak" }},
		{"slug", func(o *Organization) { o.Slug = "" }},
		{"slug", func(o *Organization) { o.Slug = "Upper" }},
		{"slug", func(o *Organization) { o.Slug = "-a" }},
		{"slug", func(o *Organization) { o.Slug = strings.Repeat("s", 64) }},
		{"slug", func(o *Organization) { o.Slug = "a}b" }},
		{"sites", func(o *Organization) { o.Sites = []string{"shop.example"} }},
		{"sites", func(o *Organization) { o.Sites = []string{"*"} }},
		{"sites", func(o *Organization) { o.Sites = []string{"javascript://x"} }},
		{"sites", func(o *Organization) { o.Sites = []string{"https://shop.example/page"} }},
		{"sites", func(o *Organization) { o.Sites = []string{"https://user@shop.example"} }},
		{"statuses", func(o *Organization) { o.Statuses = []string{"In-chat"} }},
		{"statuses", func(o *Organization) { o.Statuses = []string{"Break"} }},
		{"statuses", func(o *Organization) { o.Statuses = []string{"Lab", "Lab"} }},
		{"statuses", func(o *Organization) { o.Statuses = []string{""} }},
		{"job_threshold", func(o *Organization) { o.JobThreshold = -1 }},
	} {
		o := good
		test.change(&o)
		_, err := s.AddOrganization(t.Context(), o)
		var e *switchboard.Error
		if !errors.As(err, &e) || e.Code != switchboard.CodeInvalid || e.Field != test.field {
			t.Errorf("%+v: got %v, want field %s", o, err, test.field)
		}
	}
	good.Company = 99
	_, err := s.AddOrganization(t.Context(), good)
	wantCode(t, err, switchboard.CodeNotFound)
}

func TestChangedSettingsKeepSlugAndCompany(t *testing.T) {
	s := newStore(t)
	o := newOrg(t, s, "a")
	o.Name, o.Slug, o.Company = "New", "b", 77
	got, err := s.SetOrganization(t.Context(), o)
	if err != nil || got.Name != "New" || got.Slug != "a" || got.Company == 77 {
		t.Fatalf("%+v %v", got, err)
	}
	if again, err := s.Organization(t.Context(), o.ID); err != nil || again.Name != "New" {
		t.Errorf("%+v %v", again, err)
	}
	_, err = s.SetOrganization(t.Context(), Organization{ID: 999, Name: "n"})
	wantCode(t, err, switchboard.CodeNotFound)
}

func TestOperatorIDsAreGivenOutOnceAndBelongToTheirOrganization(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	var mu sync.Mutex
	owner := map[switchboard.OperatorID]switchboard.OrgID{}
	for err := range race(8, func(i int) error {
		const n = 300 // more than a bucket
		org := switchboard.OrgID(i + 1)
		first, err := s.NextOperators(ctx, n)
		if err != nil {
			return err
		}
		mu.Lock()
		for id := first; id < first+n; id++ {
			if owner[id] != 0 {
				t.Errorf("operator %d given out twice", id)
			}
			owner[id] = org
		}
		mu.Unlock()
		return errors.Join(s.BindOperators(ctx, org, first, n), s.BindOperators(ctx, org, first, n))
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range owner {
		if got, err := s.OperatorOrg(ctx, id); err != nil || got != want {
			t.Fatalf("operator %d: %d %v, want %d", id, got, err, want)
		}
	}
	_, err := s.OperatorOrg(ctx, 1_000_000)
	wantCode(t, err, switchboard.CodeNotFound)
	for _, n := range []int{0, -1, maxBind + 1} {
		_, err := s.NextOperators(ctx, n)
		wantCode(t, err, switchboard.CodeInvalid)
	}
}

func TestAnOperatorCostsFewBytes(t *testing.T) {
	s := newStore(t)
	const n = 10 * operatorBucket
	first, err := s.NextOperators(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.BindOperators(t.Context(), 1_000, first, n); err != nil {
		t.Fatal(err)
	}
	var total int64
	for i := switchboard.OperatorID(0); i <= n; i += operatorBucket {
		key, _ := keyOperator(first + i)
		size, err := s.rdb.MemoryUsage(t.Context(), key).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		total += size
	}
	if per := total / n; per < 1 || per > 16 {
		t.Errorf("%d bytes an operator", per)
	}
}

func TestEveryKeyIsListedUnderTheRegistrysTag(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	op, org := newOperator(t, s, "a")
	o, err := s.Organization(ctx, org)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Credential{{Kind: ChatHub, Company: o.Company, Login: "hub"}, {Kind: API, Org: org}} {
		if _, _, err := s.AddCredential(ctx, c, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddLogin(ctx, "ines", "long enough", op, org, switchboard.RoleOperator); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewTicket(ctx, op, org, switchboard.RoleOperator, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewRefresh(ctx, Login{Operator: op, Org: org, Role: switchboard.RoleOperator}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.SigningKey(ctx); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("keys.go")
	if err != nil {
		t.Fatal(err)
	}
	mortal := map[string]time.Duration{"ticket": time.Minute, "refresh": RefreshLife}
	keys, err := s.rdb.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) < 16 {
		t.Errorf("only %d keys; the test has lost its way: %v", len(keys), keys)
	}
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, "sb:{reg}:")
		kind, _, _ := strings.Cut(rest, ":")
		if !ok || !strings.Contains(string(table), "//\t{reg}:"+kind) {
			t.Errorf("key %s is not listed in keys.go", key)
		}
		ttl, err := s.rdb.PTTL(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if want := mortal[kind]; want == 0 && ttl > 0 || want > 0 && (ttl <= 0 || ttl > want) {
			t.Errorf("key %s lives for %v, want %v", key, ttl, want)
		}
	}
}

func TestStoreThatDoesNotAnswerIsUnavailable(t *testing.T) {
	server := redistest.Start(t, false)
	s, err := Open(redistest.Client(t, server.Options()), master)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	calls := map[string]func() error{
		"AddCompany":   func() error { _, err := s.AddCompany(ctx, "n"); return err },
		"Organization": func() error { _, err := s.Organization(ctx, 1); return err },
		"BySlug":       func() error { _, err := s.OrganizationBySlug(ctx, "a"); return err },
		"OperatorOrg":  func() error { _, err := s.OperatorOrg(ctx, 1); return err },
		"VerifyAPI":    func() error { _, _, err := s.VerifyAPI(ctx, "a", "b"); return err },
		"VerifyHub":    func() error { _, _, err := s.VerifyChatHub(ctx, "a", "b"); return err },
		"VerifyLogin":  func() error { _, err := s.VerifyLogin(ctx, "a", "b"); return err },
		"Lives":        func() error { _, err := s.CredentialLives(ctx, 1); return err },
		"SpendTicket":  func() error { _, err := s.SpendTicket(ctx, "x"); return err },
		"Rotate":       func() error { _, _, err := s.Rotate(ctx, refreshToken(1, random(16), random(32))); return err },
		"SigningKey":   func() error { _, _, err := s.SigningKey(ctx); return err },
		"Verification": func() error { _, err := s.VerificationKey(ctx, "0123456789abcdef"); return err },
	}
	for name, call := range calls {
		if err := call(); switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenRefusesAShortMasterKey(t *testing.T) {
	_, err := Open(nil, []byte("short"))
	wantCode(t, err, switchboard.CodeInvalid)
}

// race runs n calls at once and yields their errors.
func race(n int, call func(i int) error) func(yield func(error) bool) {
	return func(yield func(error) bool) {
		errs := make([]error, n)
		begin := make(chan struct{})
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				<-begin
				errs[i] = call(i)
			})
		}
		close(begin)
		wg.Wait()
		for _, err := range errs {
			if !yield(err) {
				return
			}
		}
	}
}
