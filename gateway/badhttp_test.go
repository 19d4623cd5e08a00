package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// shape says how a surface writes its errors.
type shape uint8

const (
	ours    shape = iota // {"code","message","field","retry_ms"}
	ccaiOwn              // {"message","field"}
	hubOwn               // {"error":{"code","message","field","index"}}
)

// read checks an error body and returns its code ("" where the shape has none)
// and field.
func (s shape) read(t *testing.T, what string, r reply) (code, field string) {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Errorf("%s: no JSON object: %d %s", what, r.status, r.body)
		return "", ""
	}
	names := []string{"code", "message", "field", "retry_ms", "problems"}
	switch s {
	case ccaiOwn:
		names = []string{"message", "field"}
	case hubOwn:
		inner, ok := body["error"].(map[string]any)
		if !ok || len(body) != 1 {
			t.Errorf("%s: %d %s", what, r.status, r.body)
			return "", ""
		}
		body, names = inner, []string{"code", "message", "field", "index"}
	}
	for name := range body {
		if !slices.Contains(names, name) {
			t.Errorf("%s: undocumented %q in %s", what, name, r.body)
		}
	}
	if m, _ := body["message"].(string); m == "" {
		t.Errorf("%s: no message in %s", what, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("%s: Content-Type %q", what, got)
	}
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s: Cache-Control %q", what, got)
	}
	code, _ = body["code"].(string)
	field, _ = body["field"].(string)
	return code, field
}

// badRequest is one row. auth is who asks: "" nobody, op, boss, visitor, company,
// api, or a literal header.
type badRequest struct {
	method, path, auth, body string
	status                   int
	code                     switchboard.Code
	field                    string
}

// Every wrong request is answered in its surface's shape, and changes nothing.
func TestBadRequestsAreRefusedAndChangeNothing(t *testing.T) {
	d := newBadDesk(t)
	cred, _, err := d.accounts.AddCredential(t.Context(), accounts.Credential{Kind: accounts.ChatHub, Company: d.company.ID, Login: "hub"}, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	company, err := NewTokens(d.accounts.SigningKey, d.accounts.VerificationKey).MintCompany(t.Context(), Claims{Company: d.company.ID, Credential: cred.ID})
	if err != nil {
		t.Fatal(err)
	}
	out := d.operator("Out", switchboard.RoleSupervisor, 0)
	outToken := d.token(out)
	if _, err := d.admin.SignOut(t.Context(), d.org.ID, out, presence.SignOutNow); err != nil {
		t.Fatal(err)
	}
	auth := map[string]string{"op": "Bearer " + d.opToken, "boss": "Bearer " + d.bossToken, "visitor": "Bearer " + d.visToken, "company": "Bearer " + company, "api": d.secret.Get("Authorization")}
	fill := strings.NewReplacer("OPTOKEN", d.opToken, "EXPIRED", d.expired(), "FORGED", d.forgedTokens()["another role"], "OUT", outToken,
		"ORG", fmt.Sprint(d.org.ID), "OP", fmt.Sprint(d.op), "CHAT", fmt.Sprint(d.chat))
	was := d.dump()
	for s, rows := range map[shape][]badRequest{ours: badOurs(), ccaiOwn: badCCAI(), hubOwn: badChatHub()} {
		for _, row := range rows {
			var header []string
			if a, ok := auth[row.auth]; ok {
				header = []string{"Authorization: " + a}
			} else if row.auth != "" {
				header = []string{fill.Replace(row.auth)}
			}
			what := fmt.Sprintf("%s %s by %q, %.80s", row.method, row.path, row.auth[:min(len(row.auth), 30)], row.body)
			r := ask(t, row.method, "http://"+d.node.Addr()+fill.Replace(row.path), fill.Replace(row.body), header...)
			code, field := s.read(t, what, r)
			if r.status != row.status || field != row.field || (s != ccaiOwn && code != string(row.code)) {
				t.Errorf("%s: got %d %s, want %d %s, field %q", what, r.status, r.body, row.status, row.code, row.field)
			}
			d.unchanged(what, was)
		}
	}
	if got := d.watching.provoke(`{"t":"pong"}`); len(got) != 0 {
		t.Errorf("the operator heard %v", got)
	}
	d.check()
}

// A stranger's X-Forwarded-For is not believed: who says to sit in a network is
// not signed out with it, and cannot hide from the network of the real address.
func TestForwardedForOfAnUntrustedPeerCountsNothing(t *testing.T) {
	d := newBadDesk(t)
	liar := d.operator("Liar", switchboard.RoleOperator, 0)
	p := d.dial(d.node, http.Header{"X-Forwarded-For": {"198.51.100.7"}, "Forwarded": {"for=198.51.100.7"}, "X-Real-Ip": {"198.51.100.7"}})
	p.send(`{"t":"hello","v":1,"token":%q}`, d.token(liar))
	p.kind("ready")
	order := func(network string) orderAnswer {
		t.Helper()
		r := ask(t, "POST", "http://"+d.node.Addr()+"/v1/logouts", fmt.Sprintf(`{"confirm":true,"networks":[%q]}`, network), "Authorization: Bearer "+d.bossToken, "X-Forwarded-For: 198.51.100.7")
		var a orderAnswer
		if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != 202 || a.State != "completed" {
			t.Fatalf("order of %s: %d %s", network, r.status, r.body)
		}
		return a
	}
	if a := order("198.51.100.0/24"); a.Total != 0 {
		t.Errorf("the claimed address was believed: %+v", a)
	}
	if got := p.provoke(`{"t":"pong"}`); len(got) != 0 {
		t.Errorf("the liar heard %v", got)
	}
	if a := order("127.0.0.0/8"); a.Total != 2 || a.Out != 1 || a.Leaving != 1 { // and Mina, who is in a call
		t.Errorf("by the real address: %+v", a)
	}
	if code := p.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("closed with %d", code)
	}
}
