package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/loadtest"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// TestSmallLoad is `make load` at a tenth of its size: 20 operators and 200
// visitors on three nodes, one of which is drained and started again in the
// middle of the rush. The referee keeps its own account of every message, offer
// and chat. Bounds on time are for `make load` alone: this machine does other
// things too.
func TestSmallLoad(t *testing.T) {
	cl := newCluster(t, 3)
	s := loadtest.Small()
	s.Bounds.MessageP99, s.Bounds.RoutingP99, s.Bounds.Recovery = time.Minute, time.Minute, time.Minute
	targets := cl.crowd(s)
	targets.Restart = func(_ context.Context, i int) error { return cl.restart(i) }
	cl.play(s, targets)
}

// crowd makes the people of a scenario and says where the nodes are.
func (cl *cluster) crowd(s loadtest.Scenario) loadtest.Targets {
	t := cl.t
	t.Helper()
	ctx := t.Context()
	team, err := cl.accounts.NextTeam(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.admin.PutTeam(ctx, cl.org.ID, presence.Team{ID: team, Name: "Load"}); err != nil {
		t.Fatal(err)
	}
	for range s.Operators {
		cl.operator("Operator", switchboard.RoleOperator, s.Limit, team)
	}
	if _, _, err := cl.accounts.AddCredential(ctx, accounts.Credential{Kind: accounts.ChatHub, Company: cl.company.ID, Login: "load"}, "load-password"); err != nil {
		t.Fatal(err)
	}
	targets := loadtest.Targets{Org: cl.org.ID, Team: team, Login: "load", Password: "load-password"}
	for _, n := range cl.nodes {
		targets.Nodes = append(targets.Nodes, loadtest.Node{URL: "http://" + n.Addr()})
	}
	return targets
}

// restart drains a node and starts it again at its address.
func (cl *cluster) restart(i int) error {
	if err := cl.nodes[i].stop(); err != nil {
		return err
	}
	cl.again(i)
	return nil
}

// again starts a node that has ended at its address.
func (cl *cluster) again(i int, change ...func(*Config)) {
	addr, last := cl.nodes[i].Addr(), len(cl.nodes)
	cl.addNode(append(change, func(cfg *Config) { cfg.Listen = addr })...)
	cl.nodes[i], cl.nodes = cl.nodes[last], cl.nodes[:last]
}

// keepHistory has a test that fails write down what its crowd was told and saw:
// `bin/loadtest -judge` judges the file again.
func keepHistory(t testing.TB, report loadtest.Report) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		path, err := report.SaveHistory()
		t.Logf("history, for go run ./cmd/loadtest -judge: %s (%v)", path, err)
	})
}

// play runs a scenario, prints what was seen and checks the invariants.
func (cl *cluster) play(s loadtest.Scenario, targets loadtest.Targets) loadtest.Report {
	t := cl.t
	t.Helper()
	report, err := loadtest.Run(t.Context(), s, targets)
	keepHistory(t, report)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	for _, b := range report.Broken {
		t.Error(b)
	}
	cl.check()
	return report
}
