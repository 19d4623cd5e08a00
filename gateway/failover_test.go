package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/loadtest"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// onSentinel is a cluster of nodes on a watched master.
func onSentinel(t *testing.T, w *redistest.Watched, n int) *cluster {
	t.Helper()
	return newClusterOn(t, func() redis.UniversalClient {
		return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{w.Sentinel}, Protocol: 2,
			ContextTimeoutEnabled: true, DialTimeout: 500 * time.Millisecond, ReadTimeout: time.Second, WriteTimeout: time.Second, MaxRetries: -1, DialerRetries: 1})
	}, n)
}

func onCluster(t *testing.T, masters []*redistest.Process, n int) *cluster {
	t.Helper()
	var addrs []string
	for _, m := range masters {
		addrs = append(addrs, m.Addr)
	}
	return newClusterOn(t, func() redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, Protocol: 2, ContextTimeoutEnabled: true, ClusterStateReloadInterval: time.Second,
			DialTimeout: 500 * time.Millisecond, ReadTimeout: time.Second, WriteTimeout: time.Second, MaxRetries: -1, DialerRetries: 1})
	}, n)
}

// F13: the master dies; the sentinel promotes its replica. Once with scripts called as
// functions, once, where the servers have none, by their hashes.
func TestChaosSentinelMasterKilled(t *testing.T) {
	for name, args := range map[string][]string{"functions": nil, "hashes": {"--rename-command", "FUNCTION", ""}} {
		t.Run(name, func(t *testing.T) {
			w := redistest.NewWatched(t, 1, args...)
			cl := onSentinel(t, w, 2)
			chaos(t, cl, []fault{{"F13 the master is killed", func(ctx context.Context) error {
				w.Master.Kill()
				return cl.risen(ctx, cl.generation())
			}}})
		})
	}
}

// F14: the master hangs: go-redis alone would stay deaf until it goes on.
func TestChaosSentinelMasterHangs(t *testing.T) {
	w := redistest.NewWatched(t, 1)
	cl := onSentinel(t, w, 2)
	chaos(t, cl, []fault{{"F14 the master hangs", func(ctx context.Context) error {
		thaw := redistest.Freeze(t, w.Master.Pid())
		err := cl.risen(ctx, cl.generation())
		pause(ctx, 4*time.Second) // messages must pass while it still hangs
		thaw()
		return err
	}}})
}

// A planned change of master loses what was acked in its last moments (realtime.md
// 2.4): that is counted as lost, and nothing else may break.
func TestChaosSentinelPlannedFailover(t *testing.T) {
	w := redistest.NewWatched(t, 1)
	cl := onSentinel(t, w, 2)
	chaos(t, cl, []fault{{"a planned failover", func(ctx context.Context) error {
		was := cl.generation()
		if err := w.Failover(ctx); err != nil {
			return err
		}
		return cl.risen(ctx, was)
	}}}, func(s *loadtest.Scenario) { s.Bounds.Rollback, s.Patience = true, 15*time.Second })
}

// F16: the master of the organization's slot dies in a Cluster with replicas.
func TestChaosClusterMasterKilled(t *testing.T) {
	masters, _ := redistest.NewCluster(t, 3, true)
	cl := onCluster(t, masters, 2)
	chaos(t, cl, []fault{{"F16 a cluster's master is killed", func(ctx context.Context) error {
		was, p := cl.generation(), cl.admin.Partition(cl.org.ID)
		slot, err := cl.nodes[0].rdb.ClusterKeySlot(ctx, p.Broadcast()).Result()
		if err != nil {
			return err
		}
		masters[slot*3/16384].Kill()
		return cl.risen(ctx, was)
	}}})
}

// F17: the organization's slot moves to another master, key by key.
func TestChaosClusterSlotMoves(t *testing.T) {
	masters, _ := redistest.NewCluster(t, 3, false)
	cl := onCluster(t, masters, 2)
	chaos(t, cl, []fault{{"F17 a live slot moves", func(ctx context.Context) error {
		was := cl.generation()
		redistest.MoveSlot(ctx, t, cl.admin.Partition(cl.org.ID).Tag, masters)
		return cl.risen(ctx, was)
	}}})
}

// risen waits until every node has noticed the new server, and says how long it
// took; the bound is reliability.md's for F13 to F17 and something for a busy
// machine.
func (cl *cluster) risen(ctx context.Context, was int64) error {
	began := time.Now()
	p := cl.admin.Partition(cl.org.ID)
	for ctx.Err() == nil {
		n := 0
		for _, node := range cl.nodes {
			if node.reg.Generation(p) > was {
				n++
			}
		}
		if n == len(cl.nodes) {
			cl.t.Logf("every node knew after %v", time.Since(began).Round(time.Millisecond))
			return nil
		}
		if time.Since(began) > 20*time.Second {
			return fmt.Errorf("%d of %d nodes noticed in 20 s", n, len(cl.nodes))
		}
		pause(ctx, 20*time.Millisecond)
	}
	return ctx.Err()
}

// F15, by the recipe that loses acknowledged writes every time (reliability.md
// 2.3): the replicas hang and are cut off, the master goes on alone and dies. A
// logout order is not acknowledged meanwhile; what was is there afterwards.
func TestOrdersAreAcknowledgedOnlyWithAReplica(t *testing.T) {
	w := redistest.NewWatched(t, 2)
	cl := onSentinel(t, w, 2)
	ctx := t.Context()
	early, late := cl.operator("Early", "operator", 1), cl.operator("Late", "operator", 1)
	tokens := []string{cl.token(early), cl.token(late)}
	ops := []*peer{cl.available(cl.nodes[0], tokens[0]), cl.available(cl.nodes[1], tokens[1])}
	order := func(op int) error {
		id, err := cl.accounts.NextOrder(ctx)
		if err != nil {
			t.Fatal(err)
		}
		spec := presence.OrderSpec{ID: id, By: "test"}
		spec.Operators = append(spec.Operators, early)
		if op == 1 {
			spec.Operators[0] = late
		}
		_, err = cl.nodes[0].signOut(ctx, cl.org.ID, spec, 100)
		return err
	}
	if err := order(0); err != nil {
		t.Fatalf("with replicas: %v", err)
	}
	ops[0].ended()
	for _, r := range w.Replicas {
		redistest.Freeze(t, r.Pid())
	}
	if err := w.Master.Client().Do(ctx, "CLIENT", "KILL", "TYPE", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	was := cl.generation()
	if err := order(1); err == nil {
		t.Error("an order was acknowledged that no replica has")
	}
	ops[1].ended() // he is out all the same, and his floor is in nodes' memory
	w.Master.Kill()
	for _, r := range w.Replicas {
		redistest.Thaw(t, r.Pid())
	}
	if err := cl.risen(ctx, was); err != nil {
		t.Fatal(err)
	}
	for i, token := range tokens {
		poll(t, "the old token to be looked at again", 10*time.Second, func() bool {
			p := cl.dial(cl.nodes[i], nil)
			p.send(`{"t":"hello","v":1,"token":%q}`, token)
			switch code := p.until("an answer", func(m map[string]any) bool { return m["t"] == "error" || m["t"] == "ready" || m["t"] == "logout" })["code"]; code {
			case "logged_out":
				return true
			case "unavailable": // logouts are being asserted
			default:
				t.Errorf("an old token came back to life: %v", p.all())
				return true
			}
			return false
		})
	}
	cl.check()
}
