package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// logoutDesk is two nodes behind a trusted proxy, and a supervisor who is here.
type logoutDesk struct {
	*cluster
	boss      switchboard.OperatorID
	bossToken string
	watcher   *peer // the supervisor's socket, at the second node
}

func newLogoutDesk(t *testing.T) *logoutDesk {
	t.Helper()
	d := &logoutDesk{cluster: newDesk(t, 2, func(c *Config) { c.TrustedProxies = mustTrust(t, "127.0.0.1,::1") })}
	d.boss = d.operator("Boss", switchboard.RoleSupervisor, 2)
	d.bossToken = d.token(d.boss)
	d.watcher = d.at(1, d.boss, "203.0.113.250")
	return d
}

// at opens a socket of an operator on a node, as from an address.
func (d *logoutDesk) at(node int, op switchboard.OperatorID, addr string) *peer {
	d.t.Helper()
	p := d.dial(d.nodes[node], http.Header{"X-Forwarded-For": {addr}})
	p.send(`{"t":"hello","v":1,"token":%q}`, d.token(op))
	p.kind("ready")
	return p
}

// api asks our own API as the supervisor, through the first node.
func (d *logoutDesk) api(method, path, body string, headers ...string) (int, string) {
	d.t.Helper()
	h := bearerOf(d.bossToken)
	h.Set("X-Forwarded-For", "203.0.113.250")
	for _, one := range headers {
		name, value, _ := strings.Cut(one, ": ")
		h.Set(name, value)
	}
	return call(d.t, method, "http://"+d.nodes[0].Addr()+path, h, body)
}

// answered is an order as the API shows it.
type orderShown struct {
	ID                                                   int64
	State                                                string
	Total, Todo, Out, Leaving, Offline, Cancelled, Asked int64
	By                                                   string
	Operators                                            []orderRow
	Next                                                 int64
}

func (d *logoutDesk) order(body string) orderShown {
	d.t.Helper()
	status, text := d.api("POST", "/v1/logouts", body)
	if status != 202 {
		d.t.Fatalf("%s: got %d %s", body, status, text)
	}
	return d.shown(text)
}

func (d *logoutDesk) shown(text string) (o orderShown) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		d.t.Fatalf("%v: %s", err, text)
	}
	return o
}

func (d *logoutDesk) read(id int64) orderShown {
	d.t.Helper()
	status, text := d.api("GET", fmt.Sprintf("/v1/logouts/%d", id), "")
	if status != 200 {
		d.t.Fatalf("order %d: %d %s", id, status, text)
	}
	return d.shown(text)
}

// outcomes are operator and outcome of each row, by id.
func (o orderShown) outcomes() string {
	var out []string
	for _, row := range o.Operators {
		out = append(out, row.Name+" "+row.Outcome)
	}
	return strings.Join(out, ", ")
}

func (d *logoutDesk) refused(what, body string, code switchboard.Code, field string) {
	d.t.Helper()
	status, text := d.api("POST", "/v1/logouts", body)
	var e errorBody
	if json.Unmarshal([]byte(text), &e) != nil || e.Code != code || e.Field != field {
		d.t.Errorf("%s: got %d %s, want %s of %s", what, status, text, code, field)
	}
}

func (d *logoutDesk) here(op switchboard.OperatorID) bool {
	d.t.Helper()
	rec, err := d.admin.Operator(d.t.Context(), d.org.ID, op)
	if err != nil {
		d.t.Fatal(err)
	}
	return !rec.Out && rec.Status != switchboard.StatusOffline
}

// L-1, L-8: selectors by union and intersection, exceptions, and connections of
// which any or all are inside. A dry run names the same people and does nothing.
func TestLogoutSelectors(t *testing.T) {
	d := newLogoutDesk(t)
	for team, name := range map[switchboard.TeamID]string{5: "Billing", 6: "Sales"} {
		if err := d.admin.PutTeam(t.Context(), d.org.ID, presence.Team{ID: team, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	people := map[string]switchboard.OperatorID{}
	for name, teams := range map[string][]switchboard.TeamID{"Ada": {5}, "Bea": {5, 6}, "Cid": {6}, "Dan": nil, "Eve": {5}} {
		people[name] = d.operator(name, "", 2, teams...)
	}
	d.at(0, people["Ada"], "198.51.100.1")
	d.at(1, people["Bea"], "::ffff:198.51.100.2") // a v4 address written as v6
	d.at(0, people["Cid"], "198.51.100.3")
	d.at(1, people["Cid"], "192.0.2.3") // and from home
	d.at(1, people["Dan"], "2001:db8::4")
	for _, row := range []struct{ selector, want string }{
		{`"teams":[5]`, "Ada Bea"}, // Eve is not here
		{`"agents":[Eve],"teams":[6]`, "Bea Cid Eve"},
		{`"networks":["198.51.100.0/24"]`, "Ada Bea Cid"},
		{`"networks":["198.51.100.0/24"],"connections":"all"`, "Ada Bea"},
		{`"networks":["198.51.100.0/24","192.0.2.0-192.0.2.9"],"connections":"all"`, "Ada Bea Cid"},
		{`"networks":["2001:db8::/32","198.51.100.2"]`, "Bea Dan"},
		{`"networks":["198.51.100.0/24"],"teams":[5],"match":"all"`, "Ada Bea"},
		{`"agents":[Ada,Dan],"networks":["198.51.100.0/24"],"match":"all"`, "Ada"},
		{`"agents":[Ada,Cid,Eve],"teams":[5],"match":"all"`, "Ada"},
		{`"teams":[5,6],"except":{"agents":[Bea]}`, "Ada Cid"},
		{`"teams":[5],"except":{"teams":[6]}`, "Ada"},
		{`"teams":[5,6],"except":{"networks":["192.0.2.0/24"]}`, "Ada Bea"},
		{`"networks":["198.51.100.0/24"],"except":{"networks":["192.0.2.3"],"teams":[5]}`, ""},
		{`"agents":[Ada],"networks":["198.51.100.3"],"connections":"all"`, "Ada"}, // named all the same
	} {
		selector := row.selector
		for name, id := range people {
			selector = strings.ReplaceAll(selector, name, fmt.Sprint(id))
		}
		o := d.order(`{"dry_run":true,` + selector + `}`)
		var names []string
		for _, r := range o.Operators {
			names = append(names, r.Name)
			if r.Why == "" {
				t.Errorf("%s: no word why %s is meant", row.selector, r.Name)
			}
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != row.want || o.State != "completed" {
			t.Errorf("%s: %s, means %q, want %q", row.selector, o.State, got, row.want)
		}
	}
	for name, id := range people {
		if d.here(id) != (name != "Eve") {
			t.Errorf("a dry run changed %s", name)
		}
	}
	if _, body := d.api("GET", "/v1/logouts", ""); body != `{"logouts":[]}` {
		t.Errorf("dry runs are listed: %s", body)
	}
	o := d.order(fmt.Sprintf(`{"confirm":true,"networks":["198.51.100.0/24"],"except":{"agents":[%d]}}`, people["Bea"]))
	if o.outcomes() != "Ada out, Cid out" && o.outcomes() != "Cid out, Ada out" {
		t.Errorf("outcomes %s", o.outcomes())
	}
	for name, want := range map[string]bool{"Ada": false, "Bea": true, "Cid": false, "Dan": true} {
		if d.here(people[name]) != want {
			t.Errorf("%s is here: %v", name, !want)
		}
	}
	d.check()
}

// T6: more than half of those who are here, or oneself, is signed out only when
// confirmed; all addresses likewise.
func TestLogoutOfManyOrOneselfAsks(t *testing.T) {
	d := newLogoutDesk(t)
	var ops []string
	for i := range 3 {
		op := d.operator(fmt.Sprint("Op", i), "", 2)
		ops = append(ops, fmt.Sprint(op))
		d.at(i%2, op, fmt.Sprint("198.51.100.", i+1))
	}
	all := strings.Join(ops, ",")
	d.refused("three of four", `{"agents":[`+all+`]}`, switchboard.CodeConflict, "confirm")
	d.refused("their network", `{"networks":["198.51.100.0/24"]}`, switchboard.CodeConflict, "confirm")
	d.refused("oneself", fmt.Sprintf(`{"agents":[%d]}`, d.boss), switchboard.CodeConflict, "confirm")
	d.refused("one's own network", `{"networks":["203.0.113.0/24"]}`, switchboard.CodeConflict, "confirm")
	d.refused("everybody", `{"networks":["0.0.0.0/0"]}`, switchboard.CodeInvalid, "networks[0]")
	d.refused("everybody, by halves", `{"networks":["::/1","8000::/1"]}`, switchboard.CodeInvalid, "networks")
	for _, op := range ops {
		var id switchboard.OperatorID
		fmt.Sscan(op, &id)
		if !d.here(id) {
			t.Errorf("operator %s was signed out unconfirmed", op)
		}
	}
	if o := d.order(`{"agents":[` + ops[0] + `]}`); o.Out != 1 {
		t.Errorf("one of four: %+v", o)
	}
	if o := d.order(`{"confirm":true,"networks":["0.0.0.0/0"],"except":{"agents":[` + fmt.Sprint(d.boss) + `]}}`); o.Out != 2 {
		t.Errorf("everybody but oneself: %+v", o)
	}
	if !d.here(d.boss) {
		t.Error("the exception was signed out")
	}
	d.check()
}

// L-7: the deadline of a drain, and mode now: the chat goes to the head of its
// queue with its history, the call ends, the operator is out; never with work.
func TestLogoutDeadlineGivesChatsBack(t *testing.T) {
	for what, mode := range map[string]string{"deadline": `"mode":"drain","deadline_ms":600`, "now": `"mode":"now"`} {
		t.Run(what, func(t *testing.T) {
			d := newLogoutDesk(t)
			mina := d.operator("Mina", "", 1)
			operator, visitor, chat := d.talk(d.token(mina), d.visitor(d.nodes[1], "Bo"))
			visitor.say(chat, "the history")
			if err := d.admin.StartLeg(t.Context(), d.org.ID, mina, "pbx", presence.LegHold, presence.CallLease); err != nil {
				t.Fatal(err)
			}
			other := d.hello(d.nodes[0], d.visitor(d.nodes[0], "Ulla")) // waits since before Bo is given back
			if m := other.request(`{"t":"chat.start","cmid":"c0","text":"anyone?"}`); m["state"] != "waiting" {
				t.Fatalf("a second chat: %v", m)
			}
			n := visitor.count()
			o := d.order(fmt.Sprintf(`{"agents":[%d],%s,"reason":"Shift is over"}`, mina, mode))
			if want := map[string]string{"deadline": "Mina leaving", "now": "Mina out"}[what]; o.outcomes() != want {
				t.Errorf("outcomes %q, want %q", o.outcomes(), want)
			}
			if what == "deadline" {
				if m := operator.kind("leaving"); m["within_ms"].(float64) > 600 || m["reason"] != "Shift is over" {
					t.Errorf("leaving: %v", m)
				}
			}
			if reason := operator.signedOut(); reason != "Shift is over" {
				t.Errorf("the reason is %v", reason)
			}
			if m := visitor.chat(n, chat, "waiting"); m["place"] != 1.0 {
				t.Errorf("the visitor's place: %v", m)
			}
			rec, err := d.admin.Operator(t.Context(), d.org.ID, mina)
			if err != nil || !rec.Out || len(rec.Work) != 0 || rec.Leaving != nil {
				t.Errorf("out with work: %+v, %v", rec, err)
			}
			if o := d.read(o.ID); o.Out != 1 || o.Leaving != 0 || o.outcomes() != "Mina out" {
				t.Errorf("the order at last: %+v", o)
			}
			d.check()
			// The next operator gets the chat that was given back first, whole.
			next := d.available(d.nodes[1], d.token(d.operator("Nils", "", 1)))
			token := next.offered(0, chat)
			if m := next.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, token); m["state"] != "active" {
				t.Fatalf("accept: %v", m)
			}
			if m := next.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
				t.Errorf("status: %v", m)
			}
			next.send(`{"t":"resume","chats":[{"chat":%d,"pos":""}]}`, chat)
			if m := next.kind("resumed"); len(m["messages"].([]any)) != 2 {
				t.Errorf("the history: %v", m)
			}
			d.check()
		})
	}
}

// An order is undone for who is not out yet; the supervisors who watch see it go.
func TestLogoutIsSeenAndCancelled(t *testing.T) {
	d := newLogoutDesk(t)
	if m := d.watcher.request(`{"t":"watch","watch":["operators","logouts"]}`); m["t"] != "ok" {
		t.Fatalf("watch: %v", m)
	}
	if m := d.watcher.kind("logouts"); m["full"] != true || len(m["orders"].([]any)) != 0 {
		t.Errorf("the snapshot: %v", m)
	}
	seen := func(what string, f func(o map[string]any) bool) {
		t.Helper()
		d.watcher.until(what, func(m map[string]any) bool {
			orders, _ := m["orders"].([]any)
			return m["t"] == "logouts" && slices.ContainsFunc(orders, func(o any) bool { return f(o.(map[string]any)) })
		})
	}
	mina, idle := d.operator("Mina", "", 2), d.operator("Idle", "", 2)
	operator, visitor, chat := d.talk(d.token(mina), d.visitor(d.nodes[1], "Bo"))
	d.at(1, idle, "198.51.100.1")
	refusal(t, "an operator watches", operator.request(`{"t":"watch","watch":["logouts"]}`), switchboard.CodeForbidden, "")
	o := d.order(fmt.Sprintf(`{"confirm":true,"agents":[%d,%d],"deadline_ms":3600000,"fence_ms":3600000,"reason":"by mistake"}`, mina, idle))
	if o.Leaving != 1 || o.Out != 1 || o.By != fmt.Sprint("o", d.boss) {
		t.Errorf("the order: %+v", o)
	}
	seen("the order", func(m map[string]any) bool {
		return m["id"] == float64(o.ID) && m["leaving"] == 1.0 && m["out"] == 1.0 && m["state"] == "completed" && m["reason"] == "by mistake"
	})
	operator.kind("leaving")
	if _, err := d.admin.Minted(t.Context(), d.org.ID, idle); switchboard.CodeOf(err) != switchboard.CodeLoggedOut {
		t.Errorf("a sign-in within the fence: %v", err)
	}
	n := operator.count()
	status, body := d.api("DELETE", fmt.Sprintf("/v1/logouts/%d", o.ID), "")
	if got := d.shown(body); status != 200 || got.State != "cancelled" || got.outcomes() != "Mina cancelled, Idle out" || got.Cancelled != 1 || got.Leaving != 0 {
		t.Errorf("cancel: %d %s", status, body)
	}
	operator.after(n, "its own state", func(m map[string]any) bool { return m["t"] == "self" && m["leaving"] == nil })
	seen("the end", func(m map[string]any) bool { return m["state"] == "cancelled" && m["cancelled"] == 1.0 })
	d.at(0, idle, "198.51.100.1") // the fence is lifted
	visitor.request(`{"t":"chat.close","chat":%d}`, chat)
	if m := operator.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" || !d.here(mina) {
		t.Errorf("after the last chat she is out: %v", m)
	}
	if status, body := d.api("DELETE", fmt.Sprintf("/v1/logouts/%d", o.ID), ""); status != 200 {
		t.Errorf("cancelling twice: %d %s", status, body)
	}
	out := d.order(fmt.Sprintf(`{"agents":[%d]}`, idle))
	if status, body := d.api("DELETE", fmt.Sprintf("/v1/logouts/%d", out.ID), ""); status != 409 {
		t.Errorf("everybody is out: %d %s", status, body)
	}
	status, body = d.api("GET", "/v1/logouts?limit=1", "")
	if status != 200 || !strings.HasPrefix(body, fmt.Sprintf(`{"logouts":[{"id":%d,`, out.ID)) || !strings.HasSuffix(body, fmt.Sprintf(`"next":%d}`, out.ID)) {
		t.Errorf("the list: %d %s", status, body)
	}
	if _, body = d.api("GET", fmt.Sprintf("/v1/logouts?before=%d", out.ID), ""); !strings.HasPrefix(body, fmt.Sprintf(`{"logouts":[{"id":%d,`, o.ID)) {
		t.Errorf("the rest of the list: %s", body)
	}
	d.check()
}

// L-3, L-4: the fence refuses a new sign-in for its time, with a clear answer; a
// token of before the order is refused over HTTP and by every node at once.
func TestLogoutFence(t *testing.T) {
	d := newLogoutDesk(t)
	op := d.operator("Mina", "", 2)
	p, old := d.at(0, op, "198.51.100.1"), d.token(op)
	d.order(fmt.Sprintf(`{"agents":[%d],"fence_ms":1500}`, op))
	p.signedOut()
	if m := p.kind("logout"); m["back_ms"] != 1500.0 {
		t.Errorf("logout: %v", m)
	}
	for _, n := range d.nodes {
		if status, body := call(t, "GET", "http://"+n.Addr()+"/v1/teams", bearerOf(old), ""); status != 401 || !strings.Contains(body, "logged_out") {
			t.Errorf("the old token over HTTP: %d %s", status, body)
		}
		q := d.dial(n, nil)
		q.send(`{"t":"hello","v":1,"token":%q}`, old)
		if code := q.ended(); code != switchboard.CloseLoggedOut {
			t.Errorf("the old token at a socket: %d", code)
		}
	}
	_, err := d.admin.Minted(t.Context(), d.org.ID, op)
	body, a := outward(err)
	if a.status != 401 || body.Code != switchboard.CodeLoggedOut || body.RetryMS <= 0 || body.RetryMS > 1500 {
		t.Errorf("a sign-in within the fence: %v", err)
	}
	poll(t, "the end of the fence", 10*time.Second, func() bool {
		_, err := d.admin.Minted(t.Context(), d.org.ID, op)
		return err == nil
	})
	d.at(1, op, "198.51.100.1")
	d.check()
}

// An order for later begins by its deadline, on whichever node; until then it can
// be cancelled and means nobody.
func TestLogoutAtATime(t *testing.T) {
	d := newLogoutDesk(t)
	op := d.operator("Mina", "", 2)
	p := d.at(0, op, "198.51.100.1")
	now, err := d.admin.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	never := d.order(fmt.Sprintf(`{"agents":[%d],"at":%d}`, op, now+1200))
	if never.State != "scheduled" || never.Total != 0 {
		t.Errorf("the order: %+v", never)
	}
	if status, body := d.api("DELETE", fmt.Sprintf("/v1/logouts/%d", never.ID), ""); status != 200 || d.shown(body).State != "cancelled" {
		t.Errorf("cancel: %d %s", status, body)
	}
	o := d.order(fmt.Sprintf(`{"networks":["198.51.100.0/24"],"at":%d,"reason":"End of shift"}`, now+1500))
	if !d.here(op) {
		t.Error("signed out before the time")
	}
	if reason := p.signedOut(); reason != "End of shift" {
		t.Errorf("the reason is %v", reason)
	}
	if now, err = d.admin.Now(t.Context()); err != nil || now < o.Asked+1200 {
		t.Errorf("signed out at %d, asked at %d, %v", now, o.Asked, err)
	}
	poll(t, "completion", 10*time.Second, func() bool { return d.read(o.ID).State == "completed" })
	if got := d.read(o.ID); got.outcomes() != "Mina out" {
		t.Errorf("the order: %+v", got)
	}
	if got := d.read(never.ID); got.State != "cancelled" || got.Total != 0 {
		t.Errorf("the cancelled order: %+v", got)
	}
}

// A standing rule signs out who connects from its network, until it is lifted.
func TestLogoutStanding(t *testing.T) {
	d := newLogoutDesk(t)
	in, later, home := d.operator("In", "", 2), d.operator("Later", "", 2), d.operator("Home", "", 2)
	p, stays := d.at(0, in, "198.51.100.1"), d.at(1, home, "192.0.2.1")
	d.refused("with teams", `{"teams":[1],"networks":["198.51.100.0/24"],"standing":true}`, switchboard.CodeInvalid, "standing")
	o := d.order(`{"networks":["198.51.100.0/24"],"standing":true,"reason":"Site closed","except":{"networks":["198.51.100.99"]}}`)
	p.signedOut()
	if o.State != "standing" || o.Out != 1 {
		t.Errorf("the rule: %+v", o)
	}
	for round := range 2 {
		for node := range d.nodes {
			q := d.dial(d.nodes[node], http.Header{"X-Forwarded-For": {fmt.Sprint("198.51.100.", 7+round)}})
			q.send(`{"t":"hello","v":1,"token":%q}`, d.token(later))
			if reason := q.signedOut(); reason != "Site closed" {
				t.Errorf("the reason is %v", reason)
			}
		}
	}
	if got := d.read(o.ID); got.Out != 2 || got.outcomes() != "In out, Later out" || got.State != "standing" {
		t.Errorf("the rule: %+v", got)
	}
	d.at(0, in, "198.51.100.99") // excepted
	if status, body := d.api("DELETE", fmt.Sprintf("/v1/logouts/%d", o.ID), ""); status != 200 {
		t.Errorf("lift: %d %s", status, body)
	}
	d.at(1, later, "198.51.100.7")
	if m := stays.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
		t.Errorf("who was never inside: %v", m)
	}
	d.check()
}

// The same Idempotency-Key gives the same order, whoever answers; another request
// under it is refused.
func TestLogoutOncePerKey(t *testing.T) {
	d := newLogoutDesk(t)
	op := d.operator("Mina", "", 2)
	d.at(0, op, "198.51.100.1")
	body := fmt.Sprintf(`{"agents":[%d]}`, op)
	status, first := d.api("POST", "/v1/logouts", body, "Idempotency-Key: k1")
	if status != 202 {
		t.Fatalf("got %d %s", status, first)
	}
	back := d.at(1, op, "198.51.100.1")
	status, again := d.api("POST", "/v1/logouts", body, "Idempotency-Key: k1")
	if status != 202 || again != first {
		t.Errorf("again: %d %s, first %s", status, again, first)
	}
	if m := back.request(`{"t":"status","status":"Available"}`); m["t"] != "ok" {
		t.Error("the repeat signed out who came after the order")
	}
	if status, text := d.api("POST", "/v1/logouts", fmt.Sprintf(`{"agents":[%d],"reason":"x"}`, op), "Idempotency-Key: k1"); status != 409 || !strings.Contains(text, `"field":"Idempotency-Key"`) {
		t.Errorf("another request: %d %s", status, text)
	}
	if _, other := d.api("POST", "/v1/logouts", body, "Idempotency-Key: k2"); d.shown(other).ID == d.shown(first).ID {
		t.Error("another key gave the same order")
	}
}

func TestLogoutRefusesWhatItCannotDo(t *testing.T) {
	d := newLogoutDesk(t)
	for body, field := range map[string]string{
		`{"agents":[1],"mode":"later"}`:                                 "mode",
		`{"agents":[1],"match":"some"}`:                                 "match",
		`{"agents":[1],"connections":"all"}`:                            "connections",
		`{"networks":["192.0.2.1"],"connections":"most"}`:               "connections",
		`{"agents":[1],"mode":"now","deadline_ms":5}`:                   "deadline_ms",
		`{"agents":[1],"deadline_ms":-1}`:                               "deadline_ms",
		`{"agents":[1],"fence_ms":604800001}`:                           "fence_ms",
		`{"agents":[1],"at":-5}`:                                        "at",
		`{"agents":[1],"standing":true}`:                                "standing",
		`{"networks":["192.0.2.1"],"standing":true,"at":9999999999999}`: "standing",
		`{"agents":[1],"except":{"networks":["nonsense"]}}`:             "except.networks[0]",
		`{"agents":[1],"except":{"agents":"x"}}`:                        "except.agents",
		`{"except":{"agents":[1]}}`:                                     "agents",
		`{"agents":[1],"reason":"` + strings.Repeat("x", 501) + `"}`:    "reason",
	} {
		d.refused(body, body, switchboard.CodeInvalid, field)
	}
	for path, field := range map[string]string{"/v1/logouts?limit=0": "limit", "/v1/logouts?limit=201": "limit", "/v1/logouts?before=x": "before", "/v1/logouts/1?after=-1": "after"} {
		if status, body := d.api("GET", path, ""); status != 400 || !strings.Contains(body, fmt.Sprintf(`"field":%q`, field)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := d.api("DELETE", "/v1/logouts/987654321", ""); status != 404 {
		t.Errorf("an order that is not there: %d", status)
	}
}

// L-2: one's own sign-out while busy asks: when the work is done, or hand it over;
// a wish is taken back, a supervisor's order is not.
func TestSignOutHandsOverOrStays(t *testing.T) {
	d := newLogoutDesk(t)
	op := d.operator("Mina", "", 2)
	operator, visitor, chat := d.talk(d.token(op), d.visitor(d.nodes[1], "Bo"))
	refusal(t, "now", operator.request(`{"t":"signout"}`), switchboard.CodeConflict, "when")
	operator.request(`{"t":"call.start","call":"x"}`)
	refusal(t, "hand over during a call", operator.request(`{"t":"signout","when":"handover"}`), switchboard.CodeConflict, "when")
	operator.request(`{"t":"call.end","call":"x"}`)
	operator.send(`{"t":"signout","when":"drain"}`)
	operator.kind("leaving")
	if m := operator.request(`{"t":"signout","when":"stay"}`); m["t"] != "ok" {
		t.Errorf("stay: %v", m)
	}
	if rec, err := d.admin.Operator(t.Context(), d.org.ID, op); err != nil || rec.Leaving != nil {
		t.Errorf("leaving after all: %+v, %v", rec.Leaving, err)
	}
	o := d.order(fmt.Sprintf(`{"agents":[%d],"reason":"ordered"}`, op))
	n := operator.count()
	operator.send(`{"t":"signout","when":"stay"}`)
	if m := operator.after(n, "leaving", is("leaving")); m["order"] != float64(o.ID) {
		t.Errorf("an order was taken back by its operator: %v", m)
	}
	n = visitor.count()
	operator.send(`{"t":"signout","when":"handover"}`)
	operator.signedOut()
	visitor.chat(n, chat, "waiting")
	if got := d.read(o.ID); got.Out != 1 || got.Leaving != 0 {
		t.Errorf("the order: %+v", got)
	}
	d.check()
}
