package gateway

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// TestMainJobInRealBrowsers opens the widget on a customer's page at one node and
// the console at another, in Chromium: typing, messages, a logout that waits for
// the chat, the signed-out screen. It needs node, chromium and `npm ci` in web
// (make test sees to all three) and does not pass without them.
func TestMainJobInRealBrowsers(t *testing.T) {
	cl := newCluster(t, 2)
	team, err := cl.accounts.NextTeam(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.admin.PutTeam(t.Context(), cl.org.ID, presence.Team{ID: team, Name: "Sales"}); err != nil {
		t.Fatal(err)
	}
	ticket := func(name string, role switchboard.Role) string {
		op := cl.operator(name, role, 3, team)
		tk, err := cl.accounts.NewTicket(t.Context(), op, cl.org.ID, role, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return tk
	}
	cmd := exec.CommandContext(t.Context(), "node", "browser/mainjob.mjs")
	cmd.Dir = "../web"
	cmd.Env = append(os.Environ(),
		"BASE_A=http://"+cl.nodes[0].Addr(), "BASE_B=http://"+cl.nodes[1].Addr(),
		"ORG="+strconv.FormatInt(int64(cl.org.ID), 10), "TEAM="+strconv.FormatInt(int64(team), 10),
		"OPERATOR_TICKET="+ticket("Ines Duarte", switchboard.RoleOperator),
		"SUPERVISOR_TICKET="+ticket("Mina Okafor", switchboard.RoleSupervisor))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	cl.check()
}

// W-1, W-2, P-6, P-7, T-5 in Chromium: a page that was frozen for longer than the
// node waits, one whose network swallows everything, side requests that fail, a
// widget that says who is there without asking, a preview that is masked. (The
// client library's own tests have the 5 s of a probe, by a fake server.)
func TestPagesSurviveSleepAndDeadNetworks(t *testing.T) {
	cl := newCluster(t, 0)
	for range 2 {
		cl.addNode(func(c *Config) { c.Hub.PingEvery, c.Hub.Timeout = time.Second, 3*time.Second })
	}
	org := cl.org
	org.Preview = true
	if _, err := cl.accounts.SetOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	team := cl.team("Sales")
	op := cl.operator("Ines Duarte", switchboard.RoleOperator, 3, team)
	ticket, err := cl.accounts.NewTicket(t.Context(), op, cl.org.ID, switchboard.RoleOperator, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	proxy := redistest.NewProxy(t, "tcp", cl.nodes[0].Addr())
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hole":
			proxy.Hole()
		case "/heal":
			proxy.Heal()
		case "/gone":
			if cl.nodes[0].hub.Stats().Identified > 0 {
				w.WriteHeader(http.StatusConflict)
			}
		}
	}))
	defer control.Close()
	cmd := exec.CommandContext(t.Context(), "node", "browser/link.mjs")
	cmd.Dir = "../web"
	cmd.Env = append(os.Environ(), "FRONT=http://"+proxy.Addr(), "CONTROL="+control.URL, "BASE_B=http://"+cl.nodes[1].Addr(),
		"ORG="+strconv.FormatInt(int64(cl.org.ID), 10), "TEAM="+strconv.FormatInt(int64(team), 10), "OPERATOR_TICKET="+ticket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	cl.check()
}

// TestClosedTeamInARealBrowser: the widget of a closed team takes a message, or a
// place in the line until it opens, and nothing that was written is lost when it
// closes in between. The supervisor's board lists the messages and marks one as done,
// and says why the chat waits. A visitor who has long said nothing is asked whether
// they are there before an operator is (V-1).
func TestClosedTeamInARealBrowser(t *testing.T) {
	cl := newCluster(t, 1)
	team, err := cl.accounts.NextTeam(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.admin.PutTeam(t.Context(), cl.org.ID, presence.Team{ID: team, Name: "Sales"}); err != nil {
		t.Fatal(err)
	}
	admin := cl.operator("Ada", switchboard.RoleAdmin, 1)
	sam := cl.operator("Sam", switchboard.RoleSupervisor, 1, team)
	ticket, err := cl.accounts.NewTicket(t.Context(), sam, cl.org.ID, switchboard.RoleSupervisor, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ines, err := cl.accounts.NewTicket(t.Context(), cl.operator("Ines", switchboard.RoleOperator, 1, team), cl.org.ID, switchboard.RoleOperator, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "browser/offline.mjs")
	cmd.Dir = "../web"
	cmd.Env = append(os.Environ(), "BASE_A=http://"+cl.nodes[0].Addr(), "ORG="+strconv.FormatInt(int64(cl.org.ID), 10),
		"TEAM="+strconv.FormatInt(int64(team), 10), "ADMIN_TOKEN="+cl.token(admin), "SUPERVISOR_TICKET="+ticket, "OPERATOR_TICKET="+ines)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cl.check()
}
