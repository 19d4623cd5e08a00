package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// api calls our own API as somebody and returns status, body and headers' ETag.
func (cl *cluster) api(method, path, token, body string, headers ...string) (int, string) {
	cl.t.Helper()
	h := http.Header{"Authorization": {"Bearer " + token}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return call(cl.t, method, "http://"+cl.nodes[0].Addr()+path, h, body)
}

// problems are the fields of an error's problems.
func problems(t *testing.T, body string) (fields []string) {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for _, p := range e.Problems {
		fields = append(fields, p.Field)
	}
	return fields
}

func TestTeamSettingsAreReadWrittenAndGuardedByTheirVersion(t *testing.T) {
	cl := newDesk(t, 1)
	admin, boss := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1)), cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1))
	plain := cl.token(cl.operator("Op", switchboard.RoleOperator, 1))

	status, body := cl.api("POST", "/v1/teams", admin, `{"name":"Sales","offer_ms":5000,"hours":{"zone":"Europe/Berlin","week":{"monday":[{"from":"09:00","to":"17:00"}]}}}`)
	var made teamBody
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != 201 || made.ID == 0 || made.Version != 1 || made.Hours == nil {
		t.Fatalf("%d %s", status, body)
	}
	path := fmt.Sprint("/v1/teams/", made.ID)
	read := func(token string) teamBody { return reads[teamBody](cl, "GET", path, token, "") }
	if got := read(boss); got.OfferMS != 5000 || got.Hours.Zone != "Europe/Berlin" || got.Version != 1 {
		t.Errorf("read %+v", got)
	}
	// Two writers have seen version 1: the second is refused (S-3), and told so.
	if status, body := cl.api("PUT", path, admin, `{"name":"Sales","limit":3}`, "If-Match", `"1"`); status != 200 || strings.Contains(body, "hours") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := cl.api("PUT", path, admin, `{"name":"Old","version":1}`); status != 409 || !strings.Contains(body, `"field":"version"`) {
		t.Errorf("a stale write: %d %s", status, body)
	}
	if got := read(boss); got.Name != "Sales" || got.Limit != 3 || got.Version != 2 {
		t.Errorf("after a stale write: %+v", got)
	}
	if status, _ := cl.api("PUT", path, admin, `{"name":"Sold"}`, "If-Match", "*"); status != 200 {
		t.Errorf("whatever version: %d", status)
	}
	// Who may: supervisors read, admins write; operators see names.
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"PUT", path, boss, 403}, {"POST", "/v1/teams", boss, 403}, {"PUT", "/v1/teams", boss, 403}, {"PUT", path, plain, 403},
		{"GET", path, plain, 403}, {"GET", "/v1/teams", plain, 200}, {"GET", "/v1/teams/0", boss, 200}, {"GET", "/v1/teams/987654", boss, 404}, {"PUT", "/v1/teams/987654", admin, 404},
	} {
		if status, body := cl.api(c.method, c.path, c.token, `{"name":"X","version":7}`); status != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, status, body, c.want)
		}
	}
	if _, body := cl.api("GET", "/v1/teams", plain, ""); strings.Contains(body, "version") {
		t.Errorf("an operator sees settings: %s", body)
	}
	// Several at once: all or none.
	_, other := cl.api("POST", "/v1/teams", admin, `{"name":"Other"}`)
	second := decode[teamBody](t, 200, other).ID
	both := func(v1, v2 int64) string {
		return fmt.Sprintf(`[{"id":%d,"name":"A","version":%d},{"id":%d,"name":"B","version":%d}]`, made.ID, v1, second, v2)
	}
	if status, body := cl.api("PUT", "/v1/teams", admin, both(3, 9)); status != 409 {
		t.Errorf("%d %s", status, body)
	}
	if got := read(boss); got.Name != "Sold" {
		t.Errorf("half of a refused change was written: %+v", got)
	}
	list := reads[[]teamBody](cl, "PUT", "/v1/teams", admin, both(3, 1))
	if len(list) != 2 || list[0].Name != "A" || list[1].Name != "B" || list[1].Version != 2 {
		t.Errorf("%+v", list)
	}
	cl.auditHas("team settings", 6) // and the names of what was set
}

// reads calls the API and decodes its answer of 200.
func reads[T any](cl *cluster, method, path, token, body string, headers ...string) T {
	cl.t.Helper()
	status, got := cl.api(method, path, token, body, headers...)
	return decode[T](cl.t, status, got)
}

// auditHas checks how many entries of a kind the organization's audit has.
func (cl *cluster) auditHas(what string, want int) {
	cl.t.Helper()
	n := 0
	list, err := cl.nodes[0].rdb.XRange(cl.t.Context(), cl.admin.Partition(cl.org.ID).Key(cl.org.ID, "audit"), "-", "+").Result()
	if err != nil {
		cl.t.Fatal(err)
	}
	for _, e := range list {
		if e.Values["what"] == what && e.Values["by"] != "" {
			n++
		}
	}
	if n != want {
		cl.t.Errorf("the audit has %d entries of %q, want %d: %v", n, what, want, list)
	}
}

func TestBadSettingsAreToldAllAtOnceWithTheirFields(t *testing.T) {
	cl := newDesk(t, 1)
	admin := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1))
	for _, c := range []struct {
		method, path, body string
		want               []string
	}{
		{"POST", "/v1/teams", `{"nmae":"Sales","strategy":"dice","limit":999,"offer_ms":5}`, []string{"nmae"}},
		{"POST", "/v1/teams", `{"name":"","strategy":"dice","limit":999,"offer_ms":5,"closed":"maybe","unstaffed":"serve"}`, []string{"name", "strategy", "limit", "offer_ms", "closed", "unstaffed"}},
		{"POST", "/v1/teams", `{"name":5,"limit":"many","wrap_ms":{},"auto_accept":"yes"}`, []string{"auto_accept", "limit", "name", "wrap_ms"}},
		{"POST", "/v1/teams", `{"name":"A","hours":{"zone":"Nowhere","week":{"monday":[{"from":"9","to":"10:00"}]}}}`, []string{"hours.zone", "hours.week.monday[0].from"}},
		{"PUT", "/v1/teams/0", `{"name":"A","limt":3}`, []string{"limt", "version"}},
		{"PUT", "/v1/teams", `[{"id":0,"name":"","version":1},{"id":1,"name":"B","limit":-1,"version":1}]`, []string{"teams[0].name", "teams[1].limit"}},
		{"PUT", "/v1/teams", `[{"id":1,"name":"B","limt":1},{"id":1,"name":"B"}]`, []string{"teams[0].limt", "teams[1].version"}},
	} {
		status, body := cl.api(c.method, c.path, admin, c.body)
		if got := problems(t, body); status != 400 || !slices.Equal(got, c.want) {
			t.Errorf("%s: %d %s\nfields %q, want %q", c.body, status, body, got, c.want)
		}
	}
}

func TestOrganizationSettingsReachEveryNodeAtOnce(t *testing.T) {
	cl := newDesk(t, 2)
	admin, boss := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1)), cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1))
	op := cl.available(cl.nodes[1], cl.token(cl.operator("Op", switchboard.RoleOperator, 0)))
	if m := op.request(`{"t":"status","status":"Training"}`); m["t"] != "error" {
		t.Fatalf("%v", m) // and node 1 has the settings in memory now
	}
	cl.hello(cl.nodes[0], boss)
	was := reads[settingsBody](cl, "GET", "/v1/settings", boss, "")
	body := fmt.Sprintf(`{"name":"Renamed","sites":["https://shop.example"],"statuses":["Training"],"version":%d}`, was.Version)
	if now := reads[settingsBody](cl, "PUT", "/v1/settings", admin, body); now.Name != "Renamed" || now.Version != was.Version+1 || now.Slug != was.Slug {
		t.Errorf("%+v", now)
	}
	told := time.Now()
	poll(t, "the other node knows the new status", 15*time.Second, func() bool {
		return op.request(`{"t":"status","status":"Training"}`)["t"] == "ok"
	})
	if took := time.Since(told); took > 4*time.Second { // 5 s is what a memory may be old
		t.Errorf("took %v", took)
	}
	if status, body := cl.api("PUT", "/v1/settings", admin, body); status != 409 || !strings.Contains(body, `"field":"version"`) {
		t.Errorf("a stale write: %d %s", status, body)
	}
	status, answer := cl.api("PUT", "/v1/settings", admin, `{"name":"","sites":["shop"],"statuses":["Offline"],"job_threshold":-1}`, "If-Match", "*")
	if got := problems(t, answer); status != 400 || !slices.Equal(got, []string{"name", "sites", "statuses", "job_threshold"}) {
		t.Errorf("%d %s", status, answer)
	}
	// T12: an inner network is not a tenant's to open.
	if status, answer := cl.api("PUT", "/v1/settings", admin, `{"name":"A","webhook_allow":["127.0.0.0/8"]}`, "If-Match", "*"); status != 400 || !strings.Contains(answer, `"field":"webhook_allow"`) {
		t.Errorf("%d %s", status, answer)
	}
	for _, c := range []struct{ method, token string }{{"PUT", boss}, {"GET", cl.token(cl.operator("Two", switchboard.RoleOperator, 0))}} {
		if status, _ := cl.api(c.method, "/v1/settings", c.token, body); status != 403 {
			t.Errorf("%s: %d", c.method, status)
		}
	}
	n, err := cl.nodes[0].rdb.XLen(t.Context(), "sb:{reg}:audit").Result()
	if err != nil || n != 1 {
		t.Errorf("%d audit entries, %v", n, err)
	}
}

// settings that free capacity serve the queue at once, on every node.
func TestSettingsThatFreeCapacityServeTheQueue(t *testing.T) {
	cl := newDesk(t, 2)
	admin := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1))
	cl.everyone(presence.Team{Limit: 1})
	op := cl.available(cl.nodes[1], cl.token(cl.operator("Op", switchboard.RoleOperator, 0)))
	one, two := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "One")), cl.hello(cl.nodes[1], cl.visitor(cl.nodes[1], "Two"))
	first := one.start()
	op.offered(0, first)
	waits := two.start()
	if status, body := cl.api("PUT", "/v1/teams/0", admin, `{"name":"Everyone","limit":2}`, "If-Match", "*"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	op.offered(0, waits)
	cl.check()
}

// A change whose node died before it had recomputed the operators is finished by
// another one, by its deadline.
func TestSettingsOfANodeThatDiedAreFinished(t *testing.T) {
	cl := newDesk(t, 1)
	op := cl.available(cl.nodes[0], cl.token(cl.operator("Op", switchboard.RoleOperator, 0)))
	cl.everyone(presence.Team{Limit: 1})
	v := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "One"))
	op.offered(0, v.start())
	two := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Two"))
	waits := two.start()
	// As ChangeTeams would, were it to die after its first step: the settings are
	// written and nobody is recomputed.
	rdb, p := cl.nodes[0].rdb, cl.admin.Partition(cl.org.ID)
	if err := rdb.HSet(t.Context(), p.Key(cl.org.ID, "team"), "0", `{"name":"Everyone","limit":2,"group":0,"version":9}`).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.HIncrBy(t.Context(), p.Key(cl.org.ID, "org"), "settings", 1).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.ZAdd(t.Context(), p.Block(cl.org.ID).Due, redis.Z{Member: fmt.Sprintf("settle/%d/0", cl.org.ID)}).Err(); err != nil {
		t.Fatal(err)
	}
	op.offered(0, waits)
	poll(t, "the deadline goes", 15*time.Second, func() bool {
		return rdb.ZScore(t.Context(), p.Block(cl.org.ID).Due, fmt.Sprintf("settle/%d/0", cl.org.ID)).Err() != nil
	})
	cl.check()
}

// A-13 over the wire: the visitor is told, leaves a message, and a supervisor reads
// it and notes that it was dealt with; nobody else may.
func TestClosedTeamIsToldAndTakesAMessage(t *testing.T) {
	cl := newDesk(t, 1)
	admin, plain := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1)), cl.token(cl.operator("Op", switchboard.RoleOperator, 1))
	opens := time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)
	hours := fmt.Sprintf(`{"zone":"UTC","week":{},"exceptions":[{"date":%q,"open":[{"from":"09:00","to":"10:00"}]}]}`, opens)
	_, body := cl.api("POST", "/v1/teams", admin, `{"name":"Sales","hours":`+hours+`}`)
	team := decode[teamBody](t, 200, body)
	widget := func() widgetTeam {
		t.Helper()
		var out struct {
			Answer string
			Teams  []widgetTeam
		}
		status, body := call(t, "GET", fmt.Sprintf("http://%s/v1/widget?org=%d", cl.nodes[0].Addr(), cl.org.ID), nil, "")
		if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 || len(out.Teams) != 1 || out.Answer != "serve" {
			t.Fatalf("%d %s", status, body)
		}
		return out.Teams[0]
	}
	at, err := time.Parse(time.DateOnly, opens)
	if err != nil {
		t.Fatal(err)
	}
	if w := widget(); w.Answer != "form" || w.Opens != at.Add(9*time.Hour).UnixMilli() {
		t.Errorf("the widget hears %+v", w)
	}
	token := cl.visitor(cl.nodes[0], "Bo")
	v := cl.hello(cl.nodes[0], token)
	if m := v.request(`{"t":"chat.start","cmid":"c0","team":%d,"text":"hello"}`, team.ID); m["t"] != "error" || m["code"] != "offline" || m["retry_ms"].(float64) < 3_600_000 {
		t.Errorf("the visitor hears %v", m)
	}
	leave := fmt.Sprintf(`{"cmid":"m1","team":%d,"email":"bo@shop.example","text":"Call me back","page":"https://shop.example/"}`, team.ID)
	for range 2 { // a repeat after a lost answer
		if status, body := cl.api("POST", "/v1/offline", token, leave); status != 201 || !strings.Contains(body, `"id":1,`) {
			t.Errorf("%d %s", status, body)
		}
	}
	if status, body := cl.api("POST", "/v1/offline", token, `{"team":-1,"text":" "}`); status != 400 || !slices.Equal(problems(t, body), []string{"cmid", "team", "email", "text"}) {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct{ method, path, token string }{{"POST", "/v1/offline", plain}, {"GET", "/v1/offline", plain}, {"GET", "/v1/offline", token}, {"POST", "/v1/offline/1/done", plain}} {
		if status, body := cl.api(c.method, c.path, c.token, `{}`); status != 403 {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	if status, body := cl.api("POST", "/v1/offline/1/done", admin, ""); status != 204 {
		t.Errorf("%d %s", status, body)
	}
	_, body = cl.api("GET", "/v1/offline", admin, "")
	for _, part := range []string{`"text":"Call me back"`, `"name":"Bo"`, `"email":"bo@shop.example"`, `"done":{"by":"o`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
	// It opens: the same start is served.
	if status, body := cl.api("PUT", fmt.Sprint("/v1/teams/", team.ID), admin, `{"name":"Sales"}`, "If-Match", "*"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if m := v.request(`{"t":"chat.start","cmid":"c0","team":%d,"text":"hello"}`, team.ID); m["t"] != "chat" || widget().Answer != "serve" {
		t.Errorf("after it opened: %v", m)
	}
}

// an opening is a deadline that any node answers: the chat that waited for it
// is offered, and its visitor is told that the wait is over.
func TestOpeningIsADeadlineOfAnyNode(t *testing.T) {
	cl := newDesk(t, 2)
	op := cl.available(cl.nodes[1], cl.token(cl.operator("Op", switchboard.RoleOperator, 1)))
	one, two := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "One")), cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Two"))
	day := []presence.Span{{From: "00:00", To: "24:00"}}
	week := map[string][]presence.Span{}
	for d := time.Sunday; d <= time.Saturday; d++ {
		week[strings.ToLower(d.String())] = day
	}
	cl.everyone(presence.Team{Closed: presence.AnswerQueue, Hours: &presence.Hours{Zone: "UTC", Week: week}})
	rdb, p := cl.nodes[0].rdb, cl.admin.Partition(cl.org.ID)
	due := fmt.Sprintf("hours/%d/0", cl.org.ID)
	poll(t, "the deadline stands in the days to come", 15*time.Second, func() bool {
		at, err := rdb.ZScore(t.Context(), p.Block(cl.org.ID).Due, due).Result()
		return err == nil && at > float64(time.Now().Add(24*time.Hour).UnixMilli())
	})
	// What was compiled says that it opens in four seconds.
	opens := time.Now().Add(4 * time.Second).UnixMilli()
	rec := fmt.Sprintf(`{"name":"Everyone","group":0,"version":3,"closed":"queue","open":"%d-%d","known":%d}`, opens, opens+86_400_000, opens+86_400_000)
	if err := rdb.HSet(t.Context(), p.Key(cl.org.ID, "team"), "0", rec).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.ZAdd(t.Context(), p.Block(cl.org.ID).Due, redis.Z{Score: float64(opens), Member: due}).Err(); err != nil {
		t.Fatal(err)
	}
	chat := one.start()
	if m := one.chat(0, chat, "waiting"); m["opens"] != float64(opens) {
		t.Errorf("who waits for the opening hears %v", m)
	}
	second := two.start()
	op.offered(0, chat)
	two.until("the wait for the opening is over", func(m map[string]any) bool {
		_, waits := m["opens"]
		return m["t"] == "chat" && m["chat"] == float64(second) && m["state"] == "waiting" && !waits
	})
	cl.check()
}
