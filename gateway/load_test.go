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
	targets := loadtest.Targets{Org: cl.org.ID, Team: team, Login: "load", Password: "load-password",
		Restart: func(_ context.Context, i int) error {
			addr := cl.nodes[i].Addr()
			if err := cl.nodes[i].stop(); err != nil {
				return err
			}
			last := len(cl.nodes)
			cl.addNode(func(cfg *Config) { cfg.Listen = addr })
			cl.nodes[i], cl.nodes = cl.nodes[last], cl.nodes[:last]
			return nil
		}}
	for _, n := range cl.nodes {
		targets.Nodes = append(targets.Nodes, loadtest.Node{URL: "http://" + n.Addr()})
	}
	report, err := loadtest.Run(ctx, s, targets)
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
}
