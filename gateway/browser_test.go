package gateway

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
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
