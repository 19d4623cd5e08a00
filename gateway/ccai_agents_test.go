package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// contracts.md 1.6: the documented system statuses, field by field, then the
// organization's own with positive ids.
func TestCCAIListsStatuses(t *testing.T) {
	d := newCCAIDesk(t)
	org := d.org
	org.Statuses = []string{"Lunch run"}
	if _, err := d.nodes[0].accounts.SetOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	got := d.ask("GET", "/manager/api/v1/user_statuses", "")
	var list []map[string]any
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	by := map[float64]string{}
	for _, st := range list {
		if _, ok := st["wfm_id"]; !ok || len(st) != 4 {
			t.Errorf("a status of %v", st)
		}
		by[st["id"].(float64)] = fmt.Sprint(st["name"], " ", st["color"])
	}
	for id, want := range map[float64]string{0: "Available green", -1: "Unavailable red", -2: "Break yellow", -3: "Special Task pink", -4: "Meal brown",
		-5: "Missed Call blue_grey", -6: "Wrap-up purple", -7: "In-call light_blue", -8: "In-chat indigo", -10: "Offline grey", 1: "Lunch run grey"} {
		if by[id] != want {
			t.Errorf("status %g is %q, want %q", id, by[id], want)
		}
	}
}

// contracts.md 1.7: the answer is an entry for each agent; a move from or to a
// status of the system is refused for that agent, who keeps the old one.
func TestCCAISetsStatusesInBulk(t *testing.T) {
	d := newCCAIDesk(t)
	if err := d.admin.PutTeam(t.Context(), d.org.ID, presence.Team{ID: 7, Name: "Billing"}); err != nil {
		t.Fatal(err)
	}
	org := d.org
	org.Statuses = []string{"Training"}
	if _, err := d.nodes[0].accounts.SetOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	idle, member, calls, away := d.operator("Mina", "", 0), d.operator("Theo", "", 0, 7), d.operator("Lin", "", 0), d.operator("Away", "", 0, 7)
	p := d.online(idle, 0, "192.0.2.1", "Available")
	d.online(member, 1, "192.0.2.2", "Available")
	d.online(calls, 0, "192.0.2.3", "Available")
	end := d.call(calls)
	defer end()
	set := func(body string) reply { t.Helper(); return d.ask("POST", "/apps/api/v1/agent_statuses", body) }
	set(fmt.Sprintf(`{"status":"break","agent_ids":[%d,%d,%d,987654321],"team_ids":[7]}`, calls, idle, away)).want(t, "a mixed answer", 200, "["+strings.Join([]string{
		entry(idle, "Mina", "Available", "Break", ""), entry(member, "Theo", "Available", "Break", ""),
		entry(calls, "Lin", "In-call", "In-call", "Agent can't be changed from system status 'In-call'"),
		entry(away, "Away", "Offline", "Offline", "Agent can't be changed from system status 'Offline'"),
	}, ",")+"]")
	p.until("its own state", func(m map[string]any) bool { return m["t"] == "self" && m["status"] == "Break" })
	set(fmt.Sprintf(`{"status":"Training","agent_ids":[%d],"team_ids":[]}`, idle)).want(t, "a custom status", 200, "["+entry(idle, "Mina", "Break", "Training", "")+"]")
	set(fmt.Sprintf(`{"status":"In-call","agent_ids":[%d],"team_ids":[]}`, idle)).want(t, "to a status of the system", 200,
		"["+entry(idle, "Mina", "Training", "Training", "Agent can't be changed to system status 'In-call'")+"]")
	set(fmt.Sprintf(`{"status":"Nonsense","agent_ids":[%d]}`, idle)).want(t, "an unknown status", 400, `{"message":"invalid status","field":"status"}`)
	set(fmt.Sprintf(`{"agent_ids":[%d]}`, idle)).want(t, "no status", 400, `{"message":"invalid status","field":"status"}`)
	for _, body := range []string{`{"status":"Break"}`, `{"status":"Break","agent_ids":[987654321],"team_ids":[99]}`} {
		set(body).want(t, body, 400, `{"message":"cannot find any agent by input params"}`)
	}
	d.check()
}

// contracts.md 1.7: agents with their live state, every documented field; paging
// and filters.
func TestCCAIListsAgentsWithLiveState(t *testing.T) {
	d := newCCAIDesk(t)
	if err := d.admin.PutTeam(t.Context(), d.org.ID, presence.Team{ID: 7, Name: "Billing"}); err != nil {
		t.Fatal(err)
	}
	mina, theo := d.operator("Mina", "", 0, 7), d.operator("Theo", switchboard.RoleSupervisor, 0)
	d.online(mina, 0, "192.0.2.1", "Available")
	defer d.call(mina)()
	list := func(query string) (out []map[string]any) {
		t.Helper()
		got := d.ask("GET", "/manager/api/v1/agents"+query, "")
		if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != 200 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		return out
	}
	all := list("")
	if len(all) != 2 {
		t.Fatalf("%d agents", len(all))
	}
	a := all[0]
	for _, field := range []string{"id", "email", "created_at", "last_login_time", "first_name", "middle_name", "last_name", "avatar_url", "agent_number", "status",
		"status_updated_at", "crm_authenticated", "online", "wrap_up", "call_count", "chat_count", "location", "roles", "teams", "channels"} {
		if _, ok := a[field]; !ok {
			t.Errorf("no %s", field)
		}
	}
	team := a["teams"].([]any)[0].(map[string]any)
	if a["id"] != float64(mina) || a["online"] != true || a["call_count"] != 1.0 || a["chat_count"] != 0.0 || a["status"].(map[string]any)["id"] != -7.0 ||
		team["id"] != 7.0 || team["name"] != "Billing" || team["agents_count"] != 1.0 || team["deleted"] != false {
		t.Errorf("Mina is %v", a)
	}
	if b := all[1]; b["online"] != false || b["status"].(map[string]any)["name"] != "Offline" || fmt.Sprint(b["roles"]) != "[manager]" {
		t.Errorf("Theo is %v", b)
	}
	for query, want := range map[string]float64{"?page=2&per=1": float64(theo), fmt.Sprintf("?id[]=%d", theo): float64(theo), fmt.Sprintf("?agent_number[]=Agent%%20No.%d", mina): float64(mina)} {
		if got := list(query); len(got) != 1 || got[0]["id"] != want {
			t.Errorf("%s: %v", query, got)
		}
	}
	if got := list("?page=3&per=1"); len(got) != 0 {
		t.Errorf("behind the last page: %v", got)
	}
	for query, field := range map[string]string{"?page=0": "page", "?per=101": "per", "?id[]=x": "id"} {
		d.ask("GET", "/manager/api/v1/agents"+query, "").want(t, query, 400, fmt.Sprintf(`{"message":"invalid %s","field":%q}`, field, field))
	}
}

// contracts.md 1.7: login, changes of the status with their durations, work, logout; the call
// and the chat that an entry is about.
func TestCCAIKeepsAnActivityLog(t *testing.T) {
	d := newCCAIDesk(t)
	mina := d.operator("Mina", "", 0)
	p := d.online(mina, 0, "192.0.2.1", "Break")
	d.call(mina)()
	if m := p.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
		t.Fatal(m)
	}
	visitor := d.hello(d.nodes[1], d.visitor(d.nodes[1], "Bo"))
	chat := visitor.start()
	if m := p.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, p.offered(0, chat)); m["state"] != "active" {
		t.Fatal(m)
	}
	visitor.request(`{"t":"chat.close","chat":%d}`, chat)
	d.logout(fmt.Sprintf(`{"agent_ids":[%d]}`, mina))
	p.ended()
	got := d.ask("GET", fmt.Sprintf("/manager/api/v1/agent_activity_logs?id[]=%d", mina), "")
	var log []map[string]any
	if err := json.Unmarshal([]byte(got.body), &log); err != nil || got.status != 200 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	var what []string
	for i, e := range log {
		what = append(what, fmt.Sprint(e["activity"], ":", e["status"].(map[string]any)["name"]))
		call, about := any(nil), any(nil)
		switch e["activity"] {
		case "call_picked_up":
			call = "c1"
		case "chat_picked_up":
			about = float64(chat)
		}
		if e["call_id"] != call || e["chat_id"] != about {
			t.Errorf("entry %d is about call %v and chat %v, want %v and %v", i, e["call_id"], e["chat_id"], call, about)
		}
		for _, field := range []string{"id", "agent_id", "whodunnit", "status", "started_at", "ended_at", "duration", "activity", "call_id", "chat_id"} {
			if _, ok := e[field]; !ok {
				t.Errorf("entry %d has no %s", i, field)
			}
		}
		if last := i == len(log)-1; (e["ended_at"] == nil) != last || (e["duration"] == nil) != last {
			t.Errorf("entry %d ends %v after %v", i, e["ended_at"], e["duration"])
		}
	}
	if got, want := strings.Join(what, " "), "login:Unavailable user_status_changed:Break call_picked_up:In-call user_status_changed:Break user_status_changed:Available chat_picked_up:In-chat user_status_changed:Available logout:Offline"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d.ask("GET", "/manager/api/v1/agent_activity_logs?from=yesterday", "").want(t, "a bad time", 400, `{"message":"invalid from","field":"from"}`)
}

// contracts.md 1.1: 10 requests per second of a tenant, whichever nodes and paths
// they are spread over; one that is refused hears when to come again. Seen red
// with the bucket in the memory of each node (three times as many were taken).
func TestCCAIRateCountsEveryPathOfEveryNode(t *testing.T) {
	d := newCCAIDesk(t, func(c *Config) { c.Limits.APIPerTenant = 10 })
	d.addNode(func(c *Config) { c.Limits.APIPerTenant = 10 })
	paths := []string{"/manager/api/v1/user_statuses", "/manager/api/v1/agents", "/manager/api/v1/agent_activity_logs", ccaiLogout + "/jobs/1"}
	began := time.Now()
	var taken, refused atomic.Int64
	var crew sync.WaitGroup
	for i := range 90 {
		crew.Go(func() {
			got := ask(t, "GET", "http://"+d.nodes[i%3].Addr()+paths[i%4], "", basic(d.org.Slug, d.secret))
			if got.status != http.StatusTooManyRequests {
				taken.Add(1)
				return
			}
			refused.Add(1)
			if got.header.Get("Retry-After") != "1" || got.body != `{"message":"a tenant may make 10 requests per second; slow down"}` {
				t.Errorf("%v %s", got.header, got.body)
			}
		})
	}
	crew.Wait()
	most := 10 + 10*time.Since(began).Seconds()
	if n := float64(taken.Load()); n > most || n < 10 || refused.Load() == 0 {
		t.Errorf("%v of 90 requests were taken within %v; at most %.1f may be, and 10 must", n, time.Since(began), most)
	}
	other := d.addOrg("second")
	if got := ask(t, "GET", "http://"+d.nodes[0].Addr()+paths[0], "", basic(other.Slug, d.credential(other))); got.status != 200 {
		t.Errorf("another tenant: %d %s", got.status, got.body)
	}
	poll(t, "the next token", 5*time.Second, func() bool { return d.ask("GET", paths[0], "").status == 200 })
}
