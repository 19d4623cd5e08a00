package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// ccaiDesk is an organization whose contact center signs agents out: two nodes
// behind a trusted proxy, and an API credential.
type ccaiDesk struct {
	*cluster
	secret string
}

func newCCAIDesk(t *testing.T, change ...func(*Config)) *ccaiDesk {
	t.Helper()
	// Nodes of earlier tests stay on their partitions' live lists until they are
	// buried, and an order by network waits for them.
	if err := redistest.Client(t, redisOptions).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	d := &ccaiDesk{cluster: newCluster(t, 0)}
	for range 2 {
		d.addNode(append([]func(*Config){func(c *Config) {
			c.TrustedProxies = mustTrust(t, "127.0.0.1,::1")
			c.Limits.APIPerTenant = 10_000 // a test does not wait
		}}, change...)...)
	}
	d.secret = d.credential(d.org)
	return d
}

func (d *ccaiDesk) credential(org accounts.Organization) string {
	d.t.Helper()
	_, secret, err := d.accounts.AddCredential(d.t.Context(), accounts.Credential{Kind: accounts.API, Org: org.ID}, "")
	if err != nil {
		d.t.Fatal(err)
	}
	return secret
}

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return "Authorization: " + r.Header.Get("Authorization")
}

func (d *ccaiDesk) ask(method, path, body string) reply {
	d.t.Helper()
	return ask(d.t, method, "http://"+d.nodes[0].Addr()+path, body, basic(d.org.Slug, d.secret), "Content-Type: application/json", "Accept: application/json")
}

func (d *ccaiDesk) logout(body string) reply {
	d.t.Helper()
	return d.ask("POST", "/apps/api/v1/agent_statuses/force_logout", body)
}

// online opens a socket of an operator on a node, as from an address.
func (d *ccaiDesk) online(op switchboard.OperatorID, node int, addr, status string) *peer {
	d.t.Helper()
	p := d.dial(d.nodes[node], http.Header{"X-Forwarded-For": {addr}})
	p.send(`{"t":"hello","v":1,"token":%q}`, d.token(op))
	p.kind("ready")
	p.send(`{"t":"status","re":"st","status":%q}`, status)
	p.until("ok", func(m map[string]any) bool { return m["t"] == "ok" && m["re"] == "st" })
	return p
}

// call puts an operator into a call; the answer ends it.
func (d *ccaiDesk) call(op switchboard.OperatorID) (end func()) {
	d.t.Helper()
	if err := d.admin.StartCall(d.t.Context(), d.org.ID, op, "c1", presence.CallLease); err != nil {
		d.t.Fatal(err)
	}
	return func() {
		d.t.Helper()
		if err := d.admin.EndCall(d.t.Context(), d.org.ID, op, "c1"); err != nil {
			d.t.Fatal(err)
		}
	}
}

// entry is an agent in an answer, as the contract writes it.
func entry(op switchboard.OperatorID, name, previous, current, message string) string {
	if message != "" {
		message = fmt.Sprintf(`,"message":%q`, message)
	}
	return fmt.Sprintf(`{"agent_id":%d,"name":%q,"email":"%s@example.test","agent_number":"Agent No.%d","previous_status":%q,"current_status":%q%s}`,
		op, name, name, op, previous, current, message)
}

const deferred = "will force logout as soon as the ongoing call/chat is completed"

func TestCCAISignsOutIdleAgentsByIdTeamAndAddress(t *testing.T) {
	d := newCCAIDesk(t)
	const team = switchboard.TeamID(7)
	if err := d.admin.PutTeam(t.Context(), d.org.ID, presence.Team{ID: team, Name: "Billing"}); err != nil {
		t.Fatal(err)
	}
	byID, byTeam, byAddr := d.operator("Mina", "", 0), d.operator("Theo", "", 0, team), d.operator("Lin", "", 0)
	both, stays := d.operator("Ada", "", 0, team), d.operator("Kim", "", 0)
	d.operator("Away", "", 0, team) // of the team, but not here: not selected
	sockets := []*peer{
		d.online(byID, 0, "192.0.2.1", "Break"), d.online(byID, 1, "192.0.2.1", "Break"), d.online(byTeam, 1, "192.0.2.2", "Available"),
		d.online(byAddr, 0, "203.0.113.9", "Meal"), d.online(byAddr, 1, "198.51.100.77", "Meal"), d.online(both, 0, "::ffff:198.51.100.1", "Unavailable"),
	}
	left := d.online(stays, 1, "203.0.113.8", "Available")
	old := d.token(byID)

	got := d.logout(fmt.Sprintf(`{"agent_ids":[%d,%d,987654321],"team_ids":[%d],"ip_addrs":["198.51.100.0/24"],"unknown":true}`, byID, byID, team))
	got.want(t, "a union, each agent once, by id", 200, "["+strings.Join([]string{
		entry(byID, "Mina", "Break", "Offline", ""), entry(byTeam, "Theo", "Available", "Offline", ""),
		entry(byAddr, "Lin", "Meal", "Offline", ""), entry(both, "Ada", "Unavailable", "Offline", ""),
	}, ",")+"]")
	for i, p := range sockets {
		if code := p.ended(); code != switchboard.CloseLoggedOut {
			t.Errorf("socket %d ended with %d", i, code)
		}
	}
	// An old token is refused, a new sign-in is not.
	back := d.dial(d.nodes[1], nil)
	back.send(`{"t":"hello","v":1,"token":%q}`, old)
	if code := back.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("an old token's socket ended with %d", code)
	}
	d.hello(d.nodes[1], d.token(byID))
	left.send(`{"t":"watch","re":"w","watch":[]}`)
	left.until("an answer", func(m map[string]any) bool { return m["re"] == "w" })
	d.check()
}

func TestCCAIReadsEveryFormOfAddress(t *testing.T) {
	d := newCCAIDesk(t)
	for i, c := range []struct{ addr, item string }{
		{"198.51.100.7", "198.51.100.7"}, {"2001:db8::17", "2001:db8::17"}, {"2001:db8:5::1", "2001:db8:5::/48"},
		{"198.51.100.20", "198.51.100.10-198.51.100.20"}, {"2001:db8::a", "2001:db8::5-2001:db8::a"}, {"::ffff:10.9.8.7", "10.9.8.0/24"}, {"10.9.8.7", "::ffff:10.9.8.7"},
	} {
		name := fmt.Sprint("Agent", i)
		op := d.operator(name, "", 0)
		p := d.online(op, i%2, c.addr, "Available")
		d.logout(fmt.Sprintf(`{"ip_addrs":[%q]}`, c.item)).want(t, c.item, 200, "["+entry(op, name, "Available", "Offline", "")+"]")
		if code := p.ended(); code != switchboard.CloseLoggedOut {
			t.Errorf("%s: the socket ended with %d", c.item, code)
		}
	}
}

func TestCCAIDefersAgentsWithWork(t *testing.T) {
	d := newCCAIDesk(t)
	busy, idle := d.operator("Theo", "", 0), d.operator("Mina", "", 0)
	p := d.online(busy, 0, "192.0.2.1", "Available")
	end := d.call(busy)
	ask := fmt.Sprintf(`{"agent_ids":[%d],"team_ids":[],"ip_addrs":[]}`, busy)
	waits := entry(busy, "Theo", "In-call", "In-call", deferred)
	d.logout(ask).want(t, "all deferred", 400, "["+waits+"]")
	p.kind("leaving")
	d.logout(ask).want(t, "the same again", 400, "["+waits+"]")

	// One who can go at once makes it 200.
	d.online(idle, 1, "192.0.2.2", "Available")
	d.logout(fmt.Sprintf(`{"agent_ids":[%d,%d]}`, busy, idle)).want(t, "mixed", 200, "["+waits+","+entry(idle, "Mina", "Available", "Offline", "")+"]")

	// The setting makes it 200 as well.
	org := d.org
	org.Deferred200 = true
	if _, err := d.nodes[0].accounts.SetOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	d.logout(ask).want(t, "all deferred, by setting", 200, "["+waits+"]")

	end()
	if code := p.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("the socket ended with %d", code)
	}
	// The same with a chat: it ends, and the agent is out.
	chatting := d.operator("Lin", "", 0)
	op := d.online(chatting, 1, "192.0.2.3", "Available")
	visitor := d.hello(d.nodes[0], d.visitor(d.nodes[0], "Bo"))
	visitor.send(`{"t":"chat.start","re":"go","cmid":"c0","text":"hello?"}`)
	offer := op.kind("offer")
	op.send(`{"t":"offer.accept","chat":%v,"token":%q}`, offer["chat"], offer["token"])
	visitor.until("the operator", func(m map[string]any) bool { return m["t"] == "chat" && m["state"] == "active" })
	d.logout(`{"ip_addrs":["192.0.2.3"]}`).want(t, "in a chat", 200, "["+entry(chatting, "Lin", "In-chat", "In-chat", deferred)+"]") // the setting holds
	visitor.send(`{"t":"chat.close","chat":%v}`, offer["chat"])
	if code := op.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("the chatting agent's socket ended with %d", code)
	}

	d.logout(ask).want(t, "who is offline and named", 200, "["+entry(busy, "Theo", "Offline", "Offline", "")+"]")
	d.check()
}

func TestCCAISaysWhenNobodyIsMeant(t *testing.T) {
	d := newCCAIDesk(t)
	op := d.operator("Mina", "", 0)
	p := d.online(op, 0, "192.0.2.1", "Available")
	const nobody = `{"message":"cannot find any agent by input params"}`
	for _, body := range []string{
		`{}`, `{"agent_ids":[],"team_ids":[],"ip_addrs":[]}`, `{"agent_ids":null}`, `{"agent_ids":[987654321]}`, `{"agent_ids":[0,-1]}`,
		`{"team_ids":[987654321]}`, `{"ip_addrs":["203.0.113.0/24"]}`,
	} {
		d.logout(body).want(t, body, 400, nobody)
	}
	// Bad input names its field and signs out nobody, though the agent is named.
	for _, c := range []struct{ body, message, field string }{
		{`{"agent_ids":[%d],"ip_addrs":["192.0.2.0/33"]}`, "invalid ip_addrs", "ip_addrs[0]"},
		{`{"agent_ids":[%d],"ip_addrs":["192.0.2.1","nonsense"]}`, "invalid ip_addrs", "ip_addrs[1]"},
		{`{"agent_ids":[%d],"ip_addrs":["192.0.2.9-192.0.2.1"]}`, "invalid ip_addrs", "ip_addrs[0]"},
		{`{"agent_ids":[%d],"ip_addrs":["0.0.0.0/0"]}`, "invalid ip_addrs", "ip_addrs[0]"},
		{`{"agent_ids":[%d],"ip_addrs":[""]}`, "invalid ip_addrs", "ip_addrs[0]"},
		{`{"agent_ids":[%d],"ip_addrs":"192.0.2.1"}`, "invalid ip_addrs", "ip_addrs"},
		{`{"agent_ids":[%d],"ip_addrs":[5]}`, "invalid ip_addrs", "ip_addrs"},
		{`{"agent_ids":[%d,"x"]}`, "invalid agent_ids", "agent_ids"},
		{`{"agent_ids":[%d,1.5]}`, "invalid agent_ids", "agent_ids"},
		{`{"agent_ids":%d}`, "invalid agent_ids", "agent_ids"},
		{`{"agent_ids":[%d],"team_ids":{}}`, "invalid team_ids", "team_ids"},
		{`[%d]`, "invalid body", "body"},
		{`{"agent_ids":[%d]`, "invalid body", "body"},
	} {
		body := fmt.Sprintf(c.body, op)
		d.logout(body).want(t, body, 400, fmt.Sprintf(`{"message":%q,"field":%q}`, c.message, c.field))
	}
	d.logout(``).want(t, "nothing", 400, `{"message":"invalid body","field":"body"}`)
	many := fmt.Sprintf(`{"agent_ids":[%s%d]}`, strings.Repeat("1,", maxCCAIAgents), op)
	d.logout(many).want(t, "too many", 400, `{"message":"invalid agent_ids","field":"agent_ids"}`)
	if got := d.logout(`{"x":"` + strings.Repeat("x", maxCCAIBody) + `"}`); got.status != 413 {
		t.Errorf("a huge body: %d %s", got.status, got.body)
	}
	p.send(`{"t":"watch","re":"w","watch":[]}`)
	p.until("an answer", func(m map[string]any) bool { return m["re"] == "w" })
}

func TestCCAIRunsLargeOrdersAsJobs(t *testing.T) {
	d := newCCAIDesk(t)
	org := d.org
	org.JobThreshold = 3
	if _, err := d.nodes[0].accounts.SetOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	var ids []string
	var busy switchboard.OperatorID
	for i := range 6 {
		op := d.operator(fmt.Sprint("Agent", i), "", 0)
		ids = append(ids, fmt.Sprint(op))
		if i == 0 {
			busy = op
		}
	}
	p := d.online(busy, 1, "192.0.2.1", "Available")
	end := d.call(busy)
	got := d.logout(`{"agent_ids":[` + strings.Join(ids, ",") + `],"ip_addrs":["203.0.113.77/24"]}`)
	var job struct {
		ID     int64
		Status string
	}
	if err := json.Unmarshal([]byte(got.body), &job); err != nil || job.ID <= 0 || (job.Status != "created" && job.Status != "processing") {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	path := fmt.Sprintf("/apps/api/v1/agent_statuses/force_logout/jobs/%d", job.ID)
	got.want(t, "the job", 200, fmt.Sprintf(`{"id":%d,"status":%q,"ip_addrs":["203.0.113.77/24"]}`, job.ID, job.Status))
	if got.header.Get("Location") != path || got.header.Get("Link") != "<"+path+`>; rel="job"` {
		t.Errorf("headers %v", got.header)
	}
	progress := func(pending int) {
		t.Helper()
		want := fmt.Sprintf(`{"id":%d,"status":"completed","total":6,"logged_out":%d,"pending":%d,"failed":0}`, job.ID, 6-pending, pending)
		for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got := d.ask("GET", path, "")
			if got.status == 200 && got.body == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("got %d %s, want %s", got.status, got.body, want)
			}
		}
	}
	progress(1)
	end()
	if code := p.ended(); code != switchboard.CloseLoggedOut {
		t.Errorf("the socket ended with %d", code)
	}
	progress(0)
	for _, id := range []string{"987654321", "0", "-1", "x", "1.5", "99999999999999999999"} {
		d.ask("GET", "/apps/api/v1/agent_statuses/force_logout/jobs/"+id, "").want(t, "job "+id, 404, `{"message":"cannot find the job"}`)
	}
}

func TestCCAIKnowsWhoAsks(t *testing.T) {
	d := newCCAIDesk(t)
	other := d.addOrg("second")
	secret := d.credential(other)
	op := d.operator("Mina", "", 0)
	url := "http://" + d.nodes[0].Addr() + ccaiLogout
	body := fmt.Sprintf(`{"agent_ids":[%d]}`, op)
	for name, header := range map[string]string{
		"nothing": "X: y", "a wrong secret": basic(d.org.Slug, "wrong"), "another's secret": basic(d.org.Slug, secret), "no such subdomain": basic("nobody", d.secret),
		"an empty secret": basic(d.org.Slug, ""), "a bearer": "Authorization: Bearer " + d.token(op), "not base64": "Authorization: Basic %%%",
	} {
		got := ask(t, "POST", url, body, header)
		var e map[string]string
		if err := json.Unmarshal([]byte(got.body), &e); err != nil || got.status != 401 || e["message"] == "" || len(e) != 1 {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
		if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: WWW-Authenticate %q", name, got.header.Get("WWW-Authenticate"))
		}
	}
	// Another tenant's agents and jobs are as if they were not there.
	ask(t, "POST", url, body, basic(other.Slug, secret)).want(t, "a foreign agent", 400, `{"message":"cannot find any agent by input params"}`)
	d.logout(body).want(t, "the own agent", 200, "["+entry(op, "Mina", "Offline", "Offline", "")+"]")
	last, err := d.accounts.NextOrder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mine := fmt.Sprintf("%s/jobs/%d", url, last-1)
	if got := ask(t, "GET", mine, "", basic(d.org.Slug, d.secret)); got.status != 200 {
		t.Errorf("the own order: %d %s", got.status, got.body)
	}
	ask(t, "GET", mine, "", basic(other.Slug, secret)).want(t, "a foreign order", 404, `{"message":"cannot find the job"}`)
}

// Ten a second, the contract's rate, is tested with the limiter; here it is one
// in ten seconds, so that a slow machine cannot earn a token meanwhile.
func TestCCAIRefusesATenantOverItsRate(t *testing.T) {
	d := newCCAIDesk(t, func(c *Config) { c.Limits.APIPerTenant = 0.1 })
	other := d.addOrg("second")
	secret := d.credential(other)
	url := "http://" + d.nodes[0].Addr() + ccaiLogout
	for range 20 { // a stranger's wrong secrets do not count
		ask(t, "POST", url, `{}`, basic(d.org.Slug, "wrong"))
	}
	if got := d.logout(`{}`); got.status != 400 {
		t.Fatalf("the first request: %d %s", got.status, got.body)
	}
	got := d.logout(`{}`)
	got.want(t, "the second", 429, `{"message":"a tenant may make 0.1 requests per second; slow down"}`)
	if wait, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || wait < 1 || wait > 10 {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	if got := ask(t, "POST", url, `{}`, basic(other.Slug, secret)); got.status != 400 {
		t.Errorf("another tenant: %d %s", got.status, got.body)
	}
}
