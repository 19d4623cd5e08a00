package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// reply is one HTTP answer, headers included.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask makes one HTTP request; headers are "Name: value".
func ask(t testing.TB, method, url, body string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b strings.Builder
	if err := res.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(b.String(), "\r\n\r\n")
	return reply{res.StatusCode, res.Header, text}
}

// hubDesk is a company that uses ChatHub: one node, a credential, its token.
type hubDesk struct {
	*cluster
	base, token string
	credential  accounts.Credential
}

func newHubDesk(t *testing.T) *hubDesk {
	t.Helper()
	d := &hubDesk{cluster: newCluster(t, 1)}
	d.base = "http://" + d.nodes[0].Addr()
	d.credential, d.token = d.companyToken(d.company.ID)
	return d
}

// companyToken makes a ChatHub credential for a company and takes a token for it.
func (d *hubDesk) companyToken(company switchboard.CompanyID) (accounts.Credential, string) {
	d.t.Helper()
	login := fmt.Sprintf("chathub-%d", time.Now().UnixNano())
	cred, _, err := d.accounts.AddCredential(d.t.Context(), accounts.Credential{Kind: accounts.ChatHub, Company: company, Login: login}, "correct horse")
	if err != nil {
		d.t.Fatal(err)
	}
	got := ask(d.t, "POST", d.base+"/api/company/get-token", fmt.Sprintf(`{"login":%q,"password":"correct horse"}`, login))
	var raw string
	if err := json.Unmarshal([]byte(got.body), &raw); err != nil || got.status != 200 {
		d.t.Fatalf("company token: %d %s", got.status, got.body)
	}
	return cred, raw
}

func (d *hubDesk) ask(method, path, body string) reply {
	d.t.Helper()
	return ask(d.t, method, d.base+path, body, "Authorization: Bearer "+d.token, "Content-Type: application/json", "Accept: text/plain, application/json")
}

// want checks a whole JSON answer, byte for byte.
func (r reply) want(t testing.TB, what string, status int, body string) {
	t.Helper()
	if r.status != status || r.body != body {
		t.Errorf("%s: got %d %s, want %d %s", what, r.status, r.body, status, body)
	}
	if r.body != "" && r.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("%s: Content-Type %q", what, r.header.Get("Content-Type"))
	}
}

// fails checks an error of the surface: status, code, field and index ("" when
// there is none), and that a message is there.
func (r reply) fails(t testing.TB, what string, status int, code switchboard.Code, field, index string) {
	t.Helper()
	var e struct {
		Error *struct {
			Code    switchboard.Code
			Message string
			Field   string
			Index   json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || e.Error == nil {
		t.Errorf("%s: got %d %s", what, r.status, r.body)
		return
	}
	if r.status != status || e.Error.Code != code || e.Error.Field != field || string(e.Error.Index) != index || e.Error.Message == "" {
		t.Errorf("%s: got %d %s, want %d %s, field %q, index %q", what, r.status, r.body, status, code, field, index)
	}
}

// operatorToken takes an operator's token over the surface.
func (d *hubDesk) operatorToken(op switchboard.OperatorID, life time.Duration) string {
	d.t.Helper()
	got := d.ask("POST", "/api/operator/get-token", fmt.Sprintf(`{"id":%d,"expiresAt":%q}`, op, time.Now().Add(life).UTC().Format(time.RFC3339)))
	var raw string
	if err := json.Unmarshal([]byte(got.body), &raw); err != nil || got.status != 200 {
		d.t.Fatalf("operator token: %d %s", got.status, got.body)
	}
	return raw
}

func TestChatHubGivesCompanyTokens(t *testing.T) {
	d := newHubDesk(t)
	url := d.base + "/api/company/get-token"
	good := fmt.Sprintf(`{"login":%q,"password":"correct horse"}`, d.credential.Login)
	got := ask(t, "POST", url, good, "Accept: text/plain")
	if got.status != 200 || strings.Count(got.body, ".") != 2 || strings.Contains(got.body, `"`) || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("with Accept text/plain: %d %s %s", got.status, got.header.Get("Content-Type"), got.body)
	}
	for _, accept := range []string{"application/json", "*/*", "text/plain, */*"} {
		if got := ask(t, "POST", url, good, "Accept: "+accept); got.status != 200 || !strings.HasPrefix(got.body, `"ey`) || !strings.HasSuffix(got.body, `"`) {
			t.Errorf("with Accept %s: %d %s", accept, got.status, got.body)
		}
	}
	ask(t, "POST", url, fmt.Sprintf(`{"login":%q,"password":"wrong"}`, d.credential.Login)).fails(t, "wrong password", 401, "unauthorized", "", "")
	ask(t, "POST", url, `{"login":"nobody","password":"wrong"}`).fails(t, "unknown login", 401, "unauthorized", "", "")
	ask(t, "POST", url, `{"password":"x"}`).fails(t, "no login", 400, "invalid", "login", "")
	ask(t, "POST", url, `{"login":"x"}`).fails(t, "no password", 400, "invalid", "password", "")
	ask(t, "POST", url, `{"login":5,"password":"x"}`).fails(t, "a number as login", 400, "invalid", "login", "")
	ask(t, "POST", url, `[]`).fails(t, "a list", 400, "invalid", "body", "")
	ask(t, "POST", url, `{"login":`).fails(t, "cut JSON", 400, "invalid", "body", "")
	ask(t, "POST", url, ``).fails(t, "nothing", 400, "invalid", "body", "")
	ask(t, "POST", url, `{"login":"`+strings.Repeat("x", maxBody)+`"}`).fails(t, "a huge body", 413, "too_large", "body", "")
}

func TestChatHubTakesTheTokenInEitherHeader(t *testing.T) {
	d := newHubDesk(t)
	want := fmt.Sprintf(`[{"id":%d,"name":"first"}]`, d.org.ID)
	for _, header := range []string{
		"Authorization: Bearer " + d.token, "Authorization: bearer " + d.token, `Authorization: Bearer "` + d.token + `"`,
		"X-Authorization-Key: " + d.token, `X-Authorization-Key: "` + d.token + `"`,
	} {
		ask(t, "GET", d.base+"/api/company/organization", "", header).want(t, header[:24], 200, want)
	}
	for _, headers := range [][]string{
		nil, {"Authorization: Bearer "}, {"Authorization: Basic eDp5"}, {"Authorization: " + d.token}, {"X-Authorization-Key: x"},
		{"Authorization: Bearer forged", "X-Authorization-Key: " + d.token}, {"Cookie: token=" + d.token},
	} {
		ask(t, "GET", d.base+"/api/company/organization", "", headers...).fails(t, fmt.Sprint(headers), 401, "unauthorized", "", "")
	}
	if err := d.accounts.RemoveCredential(t.Context(), d.credential.ID); err != nil {
		t.Fatal(err)
	}
	d.ask("GET", "/api/company/organization", "").fails(t, "a removed credential", 401, "unauthorized", "", "")
}

func TestChatHubRefusesTokensOfAnotherKind(t *testing.T) {
	d := newHubDesk(t)
	op := d.operator("Ines", switchboard.RoleAdmin, 0)
	for kind, token := range map[string]string{"an admin's": d.operatorToken(op, time.Hour), "a visitor's": d.visitor(d.nodes[0], "Bo")} {
		for _, call := range []string{
			"GET /api/company/organization", "POST /api/operator/synchronize", "POST /api/operator/status", "POST /api/operator/get-token", "POST /api/operator/validate-token",
		} {
			method, path, _ := strings.Cut(call, " ")
			ask(t, method, d.base+path, `{}`, "Authorization: Bearer "+token).fails(t, call+" with "+kind, 403, "forbidden", "", "")
		}
	}
	ask(t, "GET", d.base+"/api/operator?organizationId=1", "", "Authorization: Bearer "+d.visitor(d.nodes[0], "Bo")).fails(t, "list with a visitor's", 403, "forbidden", "", "")
}

func TestChatHubListsOperatorsOfAllStates(t *testing.T) {
	d := newHubDesk(t)
	d.ask("GET", fmt.Sprintf("/api/operator?organizationId=%d", d.org.ID), "").want(t, "nobody yet", 200, "[]")
	a, b, c := d.operator("Ines Duarte", "", 0), d.operator("Olu Ade", "", 0), d.operator("Pia", "", 0)
	for op, account := range map[switchboard.OperatorID]switchboard.Account{b: switchboard.AccountDeleted, c: switchboard.AccountInactive} {
		if err := d.admin.SetAccount(t.Context(), d.org.ID, op, account); err != nil {
			t.Fatal(err)
		}
	}
	org := fmt.Sprintf(`"organization":{"id":%d,"name":"first"}`, d.org.ID)
	all := fmt.Sprintf(`[{"id":%d,"name":"Ines Duarte","status":0,%s},{"id":%d,"name":"Olu Ade","status":2,%s},{"id":%d,"name":"Pia","status":1,%s}]`, a, org, b, org, c, org)
	list := fmt.Sprintf("/api/operator?organizationId=%d", d.org.ID)
	d.ask("GET", list, "").want(t, "the list", 200, all)

	for _, query := range []string{"", "?organizationId=", "?organizationId=x", "?organizationId=1.5", "?organizationId=1e3", "?organizationId=99999999999999999999", "?organizationid=1"} {
		d.ask("GET", "/api/operator"+query, "").fails(t, query, 400, "invalid", "organizationId", "")
	}
	for _, id := range []string{"0", "-1", "987654321"} {
		d.ask("GET", "/api/operator?organizationId="+id, "").want(t, "unknown organization "+id, 200, "[]")
	}

	// An operator reads the own organization, named or not, and no other.
	own := d.operatorToken(a, time.Hour)
	other := d.addOrg("second")
	d.ask("POST", "/api/operator/synchronize", fmt.Sprintf(`[{"organizationId":%d,"name":"Hidden"}]`, other.ID))
	if got := d.ask("GET", fmt.Sprintf("/api/operator?organizationId=%d", other.ID), ""); !strings.Contains(got.body, "Hidden") {
		t.Fatalf("the company's own list: %s", got.body)
	}
	with := func(path string) reply { return ask(t, "GET", d.base+path, "", "Authorization: Bearer "+own) }
	with("/api/operator").want(t, "an operator's list", 200, all)
	with(list).want(t, "an operator's list by id", 200, all)
	with(fmt.Sprintf("/api/operator?organizationId=%d", other.ID)).want(t, "another organization", 200, "[]")
	with("/api/operator?organizationId=x").fails(t, "not an id", 400, "invalid", "organizationId", "")
	if err := d.admin.SetAccount(t.Context(), d.org.ID, a, switchboard.AccountDeleted); err != nil {
		t.Fatal(err)
	}
	with("/api/operator").fails(t, "a deleted operator", 401, "unauthorized", "", "")
}

func TestChatHubSynchronizeAddsAllOrNothing(t *testing.T) {
	d := newHubDesk(t)
	second := d.addOrg("second")
	body := fmt.Sprintf(`[{"organizationId":%d,"name":"Pia Renner"},{"organizationId":%d,"name":"Юрій"},{"organizationId":%d,"name":"Pia Renner","more":1}]`, d.org.ID, second.ID, d.org.ID)
	got := d.ask("POST", "/api/operator/synchronize", body)
	var made []struct{ ID switchboard.OperatorID }
	if err := json.Unmarshal([]byte(got.body), &made); err != nil || len(made) != 3 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	got.want(t, "in the order of the request", 200, fmt.Sprintf(`[{"id":%d,"name":"Pia Renner","status":0},{"id":%d,"name":"Юрій","status":0},{"id":%d,"name":"Pia Renner","status":0}]`,
		made[0].ID, made[1].ID, made[2].ID))
	list := func(org switchboard.OrgID) string {
		return d.ask("GET", fmt.Sprintf("/api/operator?organizationId=%d", org), "").body
	}
	if first := list(d.org.ID); strings.Count(first, `"name":"Pia Renner"`) != 2 || strings.Contains(first, "Юрій") {
		t.Errorf("first organization: %s", first)
	}
	if two := list(second.ID); strings.Count(two, `"id"`) != 2 || !strings.Contains(two, "Юрій") { // the operator and its organization
		t.Errorf("second organization: %s", two)
	}
	// The new ones are real: they can be given a token.
	d.operatorToken(made[1].ID, time.Hour)

	d.ask("POST", "/api/operator/synchronize", `[]`).want(t, "nobody", 200, "[]")
	before := list(d.org.ID)
	good := fmt.Sprintf(`{"organizationId":%d,"name":"A"}`, d.org.ID)
	for _, c := range []struct{ name, entry, field string }{
		{"no organization", `{"name":"A"}`, "organizationId"},
		{"organization as text", `{"organizationId":"1","name":"A"}`, "organizationId"},
		{"organization null", `{"organizationId":null,"name":"A"}`, "organizationId"},
		{"unknown organization", `{"organizationId":987654321,"name":"A"}`, "organizationId"},
		{"no name", fmt.Sprintf(`{"organizationId":%d}`, d.org.ID), "name"},
		{"empty name", fmt.Sprintf(`{"organizationId":%d,"name":""}`, d.org.ID), "name"},
		{"blank name", fmt.Sprintf(`{"organizationId":%d,"name":" \t "}`, d.org.ID), "name"},
		{"long name", fmt.Sprintf(`{"organizationId":%d,"name":%q}`, d.org.ID, strings.Repeat("ю", 101)), "name"},
		{"name with a line break", fmt.Sprintf(`{"organizationId":%d,"name":"A\nB"}`, d.org.ID), "name"},
		{"name a number", fmt.Sprintf(`{"organizationId":%d,"name":7}`, d.org.ID), "name"},
		{"a text", `"A"`, "body"}, {"null", `null`, "organizationId"}, {"a list", `[]`, "body"},
	} {
		d.ask("POST", "/api/operator/synchronize", "["+good+","+good+","+c.entry+","+good+"]").fails(t, c.name, 400, "invalid", c.field, "2")
	}
	d.ask("POST", "/api/operator/synchronize", good).fails(t, "no list", 400, "invalid", "body", "")
	d.ask("POST", "/api/operator/synchronize", "null").fails(t, "null", 400, "invalid", "body", "")
	d.ask("POST", "/api/operator/synchronize", "["+good).fails(t, "cut JSON", 400, "invalid", "body", "")
	d.ask("POST", "/api/operator/synchronize", "["+strings.TrimSuffix(strings.Repeat(good+",", maxSynchronize+1), ",")+"]").fails(t, "too many", 413, "too_large", "body", "")
	if after := list(d.org.ID); after != before {
		t.Errorf("a refused batch left something behind: %s", after)
	}
	full := d.ask("POST", "/api/operator/synchronize", "["+strings.TrimSuffix(strings.Repeat(good+",", maxSynchronize), ",")+"]")
	if full.status != 200 || strings.Count(full.body, `"status":0`) != maxSynchronize {
		t.Errorf("a full batch: %d", full.status)
	}
}

func TestChatHubStatusSwitchesTheAccount(t *testing.T) {
	d := newHubDesk(t)
	op := d.operator("Ines", "", 1)
	set := func(status string) reply {
		t.Helper()
		return d.ask("POST", "/api/operator/status", fmt.Sprintf(`{"id":%d,"status":%s}`, op, status))
	}
	socket := d.hello(d.nodes[0], d.operatorToken(op, time.Hour))
	socket.send(`{"t":"status","re":"s","status":"Available"}`)
	socket.until("ok", func(m map[string]any) bool { return m["t"] == "ok" })

	// Inactive: no new chat goes there, and active again takes the one that waits.
	if got := set("1"); got.status != 200 || got.body != "" || got.header.Get("Content-Length") != "0" {
		t.Fatalf("got %d %q, Content-Length %q", got.status, got.body, got.header.Get("Content-Length"))
	}
	visitor := d.hello(d.nodes[0], d.visitor(d.nodes[0], "Bo"))
	visitor.send(`{"t":"chat.start","re":"go","cmid":"c0","text":"hello?"}`)
	if got := visitor.until("the chat", func(m map[string]any) bool { return m["re"] == "go" }); got["state"] != "waiting" {
		t.Errorf("an inactive operator was given work: %v", got)
	}
	if got := set("0"); got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	socket.kind("offer")

	// Deleted: the socket ends for good, and every token with it.
	token := d.operatorToken(op, time.Hour)
	if got := set("2"); got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	if code := socket.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("a deleted operator's socket ended with %d", code)
	}
	d.ask("POST", "/api/operator/validate-token", fmt.Sprintf(`{"token":%q}`, token)).want(t, "a deleted operator's token", 200, `{"isValid":false,"valid":false,"error":"Invalid token"}`)
	d.ask("POST", "/api/operator/get-token", fmt.Sprintf(`{"id":%d,"expiresAt":%q}`, op, time.Now().Add(time.Hour).Format(time.RFC3339))).fails(t, "a token for the deleted", 403, "forbidden", "", "")

	for _, status := range []string{"3", "-1", "null", `"0"`, "0.5", "true"} {
		set(status).fails(t, "status "+status, 400, "invalid", "status", "")
	}
	d.ask("POST", "/api/operator/status", fmt.Sprintf(`{"id":%d}`, op)).fails(t, "no status", 400, "invalid", "status", "")
	d.ask("POST", "/api/operator/status", `{"status":1}`).fails(t, "no id", 400, "invalid", "id", "")
	d.ask("POST", "/api/operator/status", `{"id":"1","status":1}`).fails(t, "id as text", 400, "invalid", "id", "")
	for _, id := range []string{"0", "-5", "987654321"} {
		d.ask("POST", "/api/operator/status", `{"id":`+id+`,"status":1}`).fails(t, "unknown id "+id, 404, "not_found", "id", "")
	}
	d.check()
}

func TestChatHubOperatorTokensLiveADayAtMost(t *testing.T) {
	d := newHubDesk(t)
	op := d.operator("Ines", "", 0)
	now := time.Now().UTC().Truncate(time.Second)
	get := func(expires string) reply {
		t.Helper()
		return d.ask("POST", "/api/operator/get-token", fmt.Sprintf(`{"id":%d,"expiresAt":%s}`, op, expires))
	}
	quote := func(at time.Time, layout string) string { return `"` + at.Format(layout) + `"` }
	for _, expires := range []string{
		quote(now.Add(time.Minute), time.RFC3339), quote(now.Add(24*time.Hour+30*time.Second), time.RFC3339), quote(now.Add(time.Hour), "2006-01-02T15:04:05"),
		quote(now.Add(time.Hour), "2006-01-02T15:04:05.000Z"), quote(now.Add(time.Hour), "2006-01-02T15:04Z07:00"),
		quote(now.Add(time.Hour).In(time.FixedZone("", 7200)), "2006-01-02T15:04:05-0700"), quote(now.Add(time.Hour).In(time.FixedZone("", -7200)), time.RFC3339Nano),
	} {
		got := get(expires)
		var raw string
		if err := json.Unmarshal([]byte(got.body), &raw); err != nil || got.status != 200 {
			t.Errorf("%s: got %d %s", expires, got.status, got.body)
			continue
		}
		if c, err := d.nodes[0].tokens.Verify(t.Context(), raw, now); err != nil || c.Operator != op || c.Org != d.org.ID || c.Minted == 0 || c.Role != switchboard.RoleOperator {
			t.Errorf("%s: %+v, %v", expires, c, err)
		}
	}
	for _, expires := range []string{
		quote(now.Add(24*time.Hour+5*time.Minute), time.RFC3339), quote(now.Add(30*24*time.Hour), time.RFC3339), quote(now.Add(-time.Second), time.RFC3339),
		`"2006-01-02"`, `"tomorrow"`, `""`, "null", fmt.Sprint(now.Add(time.Hour).Unix()),
	} {
		get(expires).fails(t, expires, 400, "invalid", "expiresAt", "")
	}
	in := fmt.Sprintf(`"expiresAt":%q`, now.Add(time.Hour).Format(time.RFC3339))
	d.ask("POST", "/api/operator/get-token", "{"+in+"}").fails(t, "no id", 400, "invalid", "id", "")
	d.ask("POST", "/api/operator/get-token", fmt.Sprintf(`{"id":%d}`, op)).fails(t, "no time", 400, "invalid", "expiresAt", "")
	d.ask("POST", "/api/operator/get-token", `{"id":987654321,`+in+`}`).fails(t, "unknown", 404, "not_found", "id", "")
	d.ask("POST", "/api/operator/get-token", `{"id":[],`+in+`}`).fails(t, "id a list", 400, "invalid", "id", "")
}

func TestChatHubValidatesTokensAsEveryDoorDoes(t *testing.T) {
	d := newHubDesk(t)
	op := d.operator("Ines", "", 0)
	validate := func(raw string) reply {
		t.Helper()
		return d.ask("POST", "/api/operator/validate-token", fmt.Sprintf(`{"token":%q}`, raw))
	}
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	raw := d.operatorToken(op, time.Until(expires)+500*time.Millisecond)
	valid := fmt.Sprintf(`{"isValid":true,"valid":true,"operatorId":%d,"clientId":0,"expiresAt":%q,"error":null}`, op, expires.Format(time.RFC3339))
	validate(raw).want(t, "a good one", 200, valid)
	validate(`"`+raw+`"`).want(t, "in quotes", 200, valid)
	if err := d.admin.SetAccount(t.Context(), d.org.ID, op, switchboard.AccountInactive); err != nil {
		t.Fatal(err)
	}
	validate(raw).want(t, "of an inactive operator", 200, valid)

	const invalid = `{"isValid":false,"valid":false,"error":"Invalid token"}`
	for name, text := range map[string]string{"empty": "", "garbage": "a.b.c", "a company's": d.token, "a visitor's": d.visitor(d.nodes[0], "Bo"), "cut": raw[:len(raw)-1]} {
		validate(text).want(t, name, 200, invalid)
	}
	old, err := d.nodes[0].tokens.MintOperator(t.Context(), Claims{Org: d.org.ID, Operator: op, Role: switchboard.RoleOperator, Minted: 1, Expires: time.Now().Add(-time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	validate(old).want(t, "expired", 200, `{"isValid":false,"valid":false,"error":"Token expired"}`)
	if _, err := d.admin.SignOut(t.Context(), d.org.ID, op, presence.SignOutNow); err != nil {
		t.Fatal(err)
	}
	validate(raw).want(t, "from before a logout", 200, invalid)
	validate(d.operatorToken(op, time.Hour)[:10]).want(t, "cut short", 200, invalid)

	for _, body := range []string{`{}`, `{"token":null}`, `{"token":7}`} {
		d.ask("POST", "/api/operator/validate-token", body).fails(t, body, 400, "invalid", "token", "")
	}
}

// Each call with another company's ids is answered as with ids that nobody has.
func TestChatHubKeepsCompaniesApart(t *testing.T) {
	d := newHubDesk(t)
	op := d.operator("Ines", "", 0)
	raw := d.operatorToken(op, time.Hour)
	stranger, err := d.accounts.AddCompany(t.Context(), "Stranger")
	if err != nil {
		t.Fatal(err)
	}
	_, d.token = d.companyToken(stranger.ID)
	d.ask("GET", "/api/company/organization", "").want(t, "organizations", 200, "[]")
	in := fmt.Sprintf(`"expiresAt":%q`, time.Now().Add(time.Hour).Format(time.RFC3339))
	const nobody = 987654321
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/operator?organizationId=%d", ""},
		{"POST", "/api/operator/synchronize", `[{"organizationId":%d,"name":"A"}]`},
	} {
		put := func(s string, id int64) string { return strings.Replace(s, "%d", fmt.Sprint(id), 1) }
		foreign, none := d.ask(c.method, put(c.path, int64(d.org.ID)), put(c.body, int64(d.org.ID))), d.ask(c.method, put(c.path, nobody), put(c.body, nobody))
		if foreign.status != none.status || foreign.body != none.body {
			t.Errorf("%s: %d %s, but for nobody %d %s", c.path, foreign.status, foreign.body, none.status, none.body)
		}
	}
	for _, c := range []struct{ path, body string }{
		{"/api/operator/status", `{"id":%d,"status":2}`},
		{"/api/operator/get-token", `{"id":%d,` + in + `}`},
	} {
		foreign, none := d.ask("POST", c.path, fmt.Sprintf(c.body, op)), d.ask("POST", c.path, fmt.Sprintf(c.body, nobody))
		if foreign.status != none.status || foreign.body != none.body {
			t.Errorf("%s: %d %s, but for nobody %d %s", c.path, foreign.status, foreign.body, none.status, none.body)
		}
	}
	d.ask("POST", "/api/operator/validate-token", fmt.Sprintf(`{"token":%q}`, raw)).want(t, "a foreign token", 200, `{"isValid":false,"valid":false,"error":"Invalid token"}`)
	if rec, err := d.admin.Operator(t.Context(), d.org.ID, op); err != nil || rec.Account != switchboard.AccountActive {
		t.Errorf("a stranger changed the operator: %+v, %v", rec, err)
	}
}
