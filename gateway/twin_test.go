package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// neighbour is another company on the same store, with an id of each kind that
// is not in the first one's organization.
type neighbour struct {
	org             switchboard.OrgID
	op              switchboard.OperatorID
	team            switchboard.TeamID
	order           switchboard.OrderID
	chat, offered   int64
	offer           string // token of the offer
	socket, visitor *peer
}

// nobody is an id that nothing has.
const nobody = "987654321"

// newNeighbour settles a second company. Its chat ids are above those of the
// first organization: ids of chats count within an organization.
func newNeighbour(d *badDesk) neighbour {
	d.t.Helper()
	ctx := d.t.Context()
	company, err := d.accounts.AddCompany(ctx, "Neighbour")
	if err != nil {
		d.t.Fatal(err)
	}
	mine, myCompany := d.org, d.company
	d.company = company
	d.org = d.addOrg("neighbour")
	n := neighbour{org: d.org.ID}
	if n.team, err = d.accounts.NextTeam(ctx); err != nil {
		d.t.Fatal(err)
	}
	if err := d.admin.PutTeam(ctx, n.org, presence.Team{ID: n.team, Name: "Theirs", OfferMS: 600_000}); err != nil {
		d.t.Fatal(err)
	}
	n.op = d.operator("Nina", switchboard.RoleSupervisor, 5, n.team)
	token := d.token(n.op)
	n.socket = d.hello(d.node, token)
	n.socket.send(`{"t":"status","re":"s","status":"Available"}`)
	n.socket.until("ok", func(m map[string]any) bool { return m["re"] == "s" })
	for i := range 5 { // all but the last two are over
		p := d.hello(d.node, d.visitor(d.node, "Theirs"))
		p.send(`{"t":"chat.start","re":"go","team":%d,"cmid":"c","text":"hello"}`, n.team)
		id := int64(p.until("the chat", func(m map[string]any) bool { return m["re"] == "go" })["chat"].(float64))
		offer := n.socket.until("the offer", func(m map[string]any) bool { return m["t"] == "offer" && m["chat"] == float64(id) })
		switch {
		case i < 3:
			p.send(`{"t":"chat.close","re":"cl","chat":%d}`, id)
			p.until("closed", func(m map[string]any) bool { return m["re"] == "cl" })
		case i == 3:
			n.socket.send(`{"t":"offer.accept","re":"acc","chat":%d,"token":%q}`, id, offer["token"])
			n.socket.until("accepted", func(m map[string]any) bool { return m["re"] == "acc" })
			n.chat, n.visitor = id, p
		default:
			n.offered, n.offer = id, offer["token"].(string)
		}
	}
	r := ask(d.t, "POST", "http://"+d.node.Addr()+"/v1/logouts", `{"agents":[`+nobody+`]}`, "Authorization: Bearer "+token)
	var a orderAnswer
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != 202 {
		d.t.Fatalf("the neighbour's order: %d %s", r.status, r.body)
	}
	n.order = a.ID
	d.org, d.company = mine, myCompany
	return n
}

// Whatever frame names an id of another organization is answered exactly as if
// nothing had that id, and neither side's store changes.
func TestForeignIdsOnASocketAreAnsweredLikeIdsThatAreNot(t *testing.T) {
	d := newBadDesk(t)
	n := newNeighbour(d)
	twins := []struct{ frame, theirs string }{
		{`{"t":"message","re":"r","chat":ID,"cmid":"x","text":"hi"}`, fmt.Sprint(n.chat)},
		{`{"t":"message","re":"r","chat":ID,"cmid":"x","text":"hi"}`, fmt.Sprint(n.chat - 1)}, // finished
		{`{"t":"typing","re":"r","chat":ID,"on":true}`, fmt.Sprint(n.chat)},
		{`{"t":"typing","re":"r","chat":ID,"on":true,"private":true}`, fmt.Sprint(n.chat)},
		{`{"t":"viewing","re":"r","chat":ID,"on":true}`, fmt.Sprint(n.chat)},
		{`{"t":"chat.close","re":"r","chat":ID}`, fmt.Sprint(n.chat)},
		{`{"t":"chat.close","re":"r","chat":ID}`, fmt.Sprint(n.chat - 1)},
		{`{"t":"offer.accept","re":"r","chat":ID,"token":"` + n.offer + `"}`, fmt.Sprint(n.offered)},
		{`{"t":"offer.decline","re":"r","chat":ID,"token":"` + n.offer + `"}`, fmt.Sprint(n.offered)},
		{`{"t":"resume","re":"r","chats":[{"chat":ID}]}`, fmt.Sprint(n.chat)},
		{`{"t":"resume","re":"r","chats":[{"chat":ID,"pos":"1-1"}]}`, fmt.Sprint(n.chat)},
		{`{"t":"resume","re":"r","chats":[{"chat":ID}]}`, fmt.Sprint(n.chat - 1)},
		{`{"t":"chat.start","re":"r","team":ID,"cmid":"x","text":"hi"}`, fmt.Sprint(n.team)},
	}
	for name, token := range map[string]string{"operator": d.opToken, "supervisor": d.bossToken, "visitor": d.otherToken} {
		d.hello(d.node, token) // so that the end of the sockets below changes nothing
		p := d.join(token)
		was := d.dump()
		for _, twin := range twins {
			got := make([]string, 2)
			for i, id := range []string{twin.theirs, nobody} {
				answers := p.provoke(strings.ReplaceAll(twin.frame, "ID", id))
				got[i] = strings.ReplaceAll(string(mustJSON(answers)), `"chat":`+id, `"chat":ID`)
				if len(answers) == 0 || answers[0]["t"] != "error" {
					t.Errorf("%s: %s is answered with %v", name, twin.frame, answers)
				}
			}
			if got[0] != got[1] {
				t.Errorf("%s: %s\ntheirs %s\nnobody's %s", name, twin.frame, got[0], got[1])
			}
			d.unchanged(name+" "+twin.frame, was)
		}
		// The same positions in a hello.
		got := make([]string, 2)
		for i, id := range []string{fmt.Sprint(n.chat), nobody} {
			p := d.hello(d.node, token, `,"chats":[{"chat":`+id+`,"pos":"1-1"}]`)
			var answers []map[string]any
			p.provoke(`{"t":"pong"}`)
			for _, m := range p.all() {
				if m["t"] == "error" && m["re"] == nil {
					answers = append(answers, m)
				}
			}
			got[i] = strings.ReplaceAll(string(mustJSON(answers)), `"chat":`+id, `"chat":ID`)
			if len(answers) != 1 {
				t.Errorf("%s: hello with %s: %v", name, id, p.all())
			}
		}
		if got[0] != got[1] {
			t.Errorf("%s: hello\ntheirs %s\nnobody's %s", name, got[0], got[1])
		}
		d.unchanged(name+" hello", was)
	}
	n.heardNothing(t)
	d.check()
}

// heardNothing checks that nothing of all this reached the neighbour's sockets.
func (n neighbour) heardNothing(t *testing.T) {
	t.Helper()
	for name, p := range map[string]*peer{"supervisor": n.socket, "visitor": n.visitor} {
		p.provoke(`{"t":"pong"}`)
		for _, m := range p.all() {
			if kind := m["t"]; kind == "typing" || kind == "viewing" || kind == "logout" || kind == "leaving" || kind == "message" && m["cmid"] == "x" || m["state"] == "closed" && m["chat"] == float64(n.chat) {
				t.Errorf("the neighbour's %s heard %v", name, m)
			}
		}
	}
}

// The same over HTTP: every route that takes an id.
func TestForeignIdsInARequestAreAnsweredLikeIdsThatAreNot(t *testing.T) {
	d := newBadDesk(t)
	n := newNeighbour(d)
	cred, _, err := d.accounts.AddCredential(t.Context(), accounts.Credential{Kind: accounts.ChatHub, Company: d.company.ID, Login: "hub"}, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	company, err := NewTokens(d.accounts.SigningKey, d.accounts.VerificationKey).MintCompany(t.Context(), Claims{Company: d.company.ID, Credential: cred.ID})
	if err != nil {
		t.Fatal(err)
	}
	asBoss, asHub, asAPI := "Bearer "+d.bossToken, "Bearer "+company, d.secret.Get("Authorization")
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	theirToken := d.tokenIn(n.org, n.op)
	for _, twin := range []struct {
		method, path, auth, body, theirs string
		writes                           bool // an order of the own organization
	}{
		{"GET", "/v1/chats/ID/messages", "Bearer " + d.opToken, "", fmt.Sprint(n.chat), false},
		{"GET", "/v1/chats/ID/messages", asBoss, "", fmt.Sprint(n.chat), false},
		{"GET", "/v1/chats/ID/messages", asBoss, "", fmt.Sprint(n.chat - 1), false},
		{"GET", "/v1/chats/ID/messages", "Bearer " + d.visToken, "", fmt.Sprint(n.chat), false},
		{"GET", "/v1/logouts/ID", asBoss, "", fmt.Sprint(n.order), false},
		{"POST", "/v1/logouts", asBoss, `{"agents":[ID]}`, fmt.Sprint(n.op), true},
		{"POST", "/v1/logouts", asBoss, `{"teams":[ID]}`, fmt.Sprint(n.team), true},
		{"POST", "/v1/calls", asAPI, `{"operator":ID,"call":"x"}`, fmt.Sprint(n.op), false},
		{"DELETE", "/v1/calls/ID/x", asAPI, "", fmt.Sprint(n.op), false},
		{"POST", ccaiLogout, asAPI, `{"agent_ids":[ID]}`, fmt.Sprint(n.op), true},
		{"POST", ccaiLogout, asAPI, `{"team_ids":[ID]}`, fmt.Sprint(n.team), true},
		{"GET", ccaiLogout + "/jobs/ID", asAPI, "", fmt.Sprint(n.order), false},
		{"POST", "/api/operator/status", asHub, `{"id":ID,"status":2}`, fmt.Sprint(n.op), false},
		{"POST", "/api/operator/get-token", asHub, `{"id":ID,"expiresAt":"` + soon + `"}`, fmt.Sprint(n.op), false},
		{"GET", "/api/operator?organizationId=ID", asHub, "", fmt.Sprint(n.org), false},
		{"GET", "/api/operator?organizationId=ID", "Bearer " + d.opToken, "", fmt.Sprint(n.org), false},
		{"POST", "/api/operator/synchronize", asHub, `[{"organizationId":ID,"name":"Spy"}]`, fmt.Sprint(n.org), false},
		{"POST", "/api/operator/validate-token", asHub, `{"token":"ID"}`, theirToken, false},
	} {
		what, was := twin.method+" "+twin.path+" "+twin.body, d.dump()
		got := make([]string, 2)
		for i, id := range []string{twin.theirs, nobody} {
			r := ask(t, twin.method, "http://"+d.node.Addr()+strings.ReplaceAll(twin.path, "ID", id), strings.ReplaceAll(twin.body, "ID", id), "Authorization: "+twin.auth)
			got[i] = fmt.Sprint(r.status, " ", unlike.ReplaceAllString(r.body, "N"), " ", headerNames(r.header))
		}
		if got[0] != got[1] {
			t.Errorf("%s\ntheirs   %s\nnobody's %s", what, got[0], got[1])
		}
		if !twin.writes {
			d.unchanged(what, was)
		}
	}
	if rec, err := d.admin.Operator(t.Context(), n.org, n.op); err != nil || rec.Out || rec.Leaving != nil || rec.Account != switchboard.AccountActive || rec.Floor != 0 {
		t.Errorf("the neighbour's operator is %+v, %v", rec, err)
	}
	n.heardNothing(t)
	d.check()
}

// unlike is what differs between two orders by their nature: id, time, and what was
// asked for.
var unlike = regexp.MustCompile(`"(id|asked)":\d+|"(agents|teams)":\[\d+\]`)

func headerNames(h http.Header) []string {
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tokenIn makes a token of another organization's operator.
func (d *badDesk) tokenIn(org switchboard.OrgID, op switchboard.OperatorID) string {
	d.t.Helper()
	raw, err := NewTokens(d.accounts.SigningKey, d.accounts.VerificationKey).MintOperator(d.t.Context(),
		Claims{Org: org, Operator: op, Role: switchboard.RoleOperator, Minted: time.Now().UnixMilli(), Expires: time.Now().Add(time.Hour)})
	if err != nil {
		d.t.Fatal(err)
	}
	return raw
}

// A token of one organization opens nothing of another, whatever ids it goes
// with: its person is looked for in its own organization only.
func TestTokensHoldWithinTheirOrganizationOnly(t *testing.T) {
	d := newBadDesk(t)
	n := newNeighbour(d)
	was := d.dump()
	for name, token := range map[string]string{"own operator, their organization": d.tokenIn(n.org, d.op), "their operator, own organization": d.tokenIn(d.org.ID, n.op)} {
		p := d.dial(d.node, nil)
		p.send(`{"t":"hello","v":1,"token":%q}`, token)
		if code := p.ended(); code != switchboard.CloseExpired {
			t.Errorf("%s: closed with %d", name, code)
		}
		refusal(t, name, p.all()[0], switchboard.CodeUnauthorized, "")
		if r := ask(t, "GET", "http://"+d.node.Addr()+"/v1/teams", "", "Authorization: Bearer "+token); r.status != 401 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	p := d.join(d.opToken)
	if got := p.provoke(fmt.Sprintf(`{"t":"auth","re":"a","token":%q}`, d.tokenIn(n.org, n.op))); len(got) != 1 {
		t.Errorf("auth with their token: %v", got)
	} else {
		refusal(t, "auth with their token", got[0], switchboard.CodeForbidden, "token")
	}
	d.unchanged("foreign tokens", was)
}
