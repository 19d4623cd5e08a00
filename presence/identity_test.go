package presence

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// A server that was master, was one's replica, and is master again was copied nothing
// but increments: it still knows what it was told before, and a node that asked nothing
// meanwhile still means it. What the master between them had may be lost all the same.
// Without the look at srv in the prelude no generation is raised here.
func TestAServerThatIsPromotedAgainIsLookedAt(t *testing.T) {
	first, second := redistest.NewPair(t)
	s, master := siteOf(t, first)
	busy, silent := s.node(quick), s.node(quick)
	s.must(busy.EnsureOrg(s.ctx, s.org))
	s.must(silent.Announce(s.ctx, s.org, "before"))
	began := silent.Generation(silent.Partition(s.org))

	promote(t, master, first, second)
	s.must(announceSoon(s, busy))
	between := busy.Generation(busy.Partition(s.org))
	if between <= began {
		t.Fatalf("generation %d on the first server, %d on the second", began, between)
	}
	promote(t, master, second, first)
	stats, err := second.Client().Info(s.ctx, "stats").Result()
	s.must(err)
	if !strings.Contains(stats, "sync_full:0") || !strings.Contains(stats, "sync_partial_ok:1") {
		t.Fatalf("the first server was not copied increments alone: %s", stats)
	}
	s.must(announceSoon(s, silent))
	if now := silent.Generation(silent.Partition(s.org)); now <= between {
		t.Errorf("generation %d between, %d after it", between, now)
	}
}

// A master that was cut off, while another took its place, knows nothing of that: the
// partition was last written on itself. A node that was with the other must not come back
// to a generation that it has left. Without adopt.lua's look at ARGV 3 it does.
func TestAMasterThatWasCutOffIsNotTakenForTheSame(t *testing.T) {
	first, second := redistest.NewPair(t)
	s, master := siteOf(t, first)
	reg := s.node(quick)
	s.must(reg.EnsureOrg(s.ctx, s.org))
	s.must(second.Client().Do(s.ctx, "REPLICAOF", "NO", "ONE").Err())
	pointTo(t, master, second)
	s.must(announceSoon(s, reg))
	between := reg.Generation(reg.Partition(s.org))
	pointTo(t, master, first)
	s.must(announceSoon(s, reg))
	if now := reg.Generation(reg.Partition(s.org)); now <= between {
		t.Errorf("generation %d on the other, %d on the one that was cut off", between, now)
	}
}

// siteOf is a site whose nodes reach the server that is pointed to.
func siteOf(t *testing.T, first *redistest.Process) (*site, *atomic.Pointer[redistest.Process]) {
	t.Helper()
	var master atomic.Pointer[redistest.Process]
	master.Store(first)
	opts := &redis.Options{Protocol: 2, Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", master.Load().Addr)
	}}
	return &site{t: t, ctx: t.Context(), rdb: redistest.Client(t, opts), org: switchboard.OrgID(lastOrg.Add(1))}, &master
}

// pointTo has the next connections go to a server, and ends those that there are.
func pointTo(t *testing.T, master *atomic.Pointer[redistest.Process], to *redistest.Process) {
	t.Helper()
	from := master.Swap(to)
	if err := from.Client().ClientKillByFilter(t.Context(), "TYPE", "normal").Err(); err != nil {
		t.Fatal(err)
	}
}

// promote makes a replica master, and the master its replica, in a planned way.
func promote(t *testing.T, master *atomic.Pointer[redistest.Process], from, to *redistest.Process) {
	t.Helper()
	host, port, err := net.SplitHostPort(to.Addr)
	if err != nil {
		t.Fatal(err)
	}
	old, next := from.Client(), to.Client()
	if err := old.Do(t.Context(), "FAILOVER", "TO", host, port, "TIMEOUT", 10_000).Err(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the replica to be master, and the master its replica", func() bool {
		a, errA := old.Info(t.Context(), "replication").Result()
		b, errB := next.Info(t.Context(), "replication").Result()
		return errA == nil && errB == nil && strings.Contains(a, "master_link_status:up") && strings.Contains(b, "role:master")
	})
	pointTo(t, master, to)
}

// announceSoon calls the store until a connection to the new master is there.
func announceSoon(s *site, reg *Registry) error {
	var err error
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if err = reg.Announce(s.ctx, s.org, "now"); switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			break
		}
	}
	return err
}
