package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Cluster starts a Redis Cluster of n masters without replicas on loopback and
// returns the masters' addresses; it is stopped when the test ends.
func Cluster(t testing.TB, n int) []string {
	t.Helper()
	masters, _ := NewCluster(t, n, false)
	var addrs []string
	for _, m := range masters {
		addrs = append(addrs, m.Addr)
	}
	return addrs
}

// NewCluster starts a Redis Cluster of n masters, each with a replica if asked,
// that takes a master for dead after 2 s. args are further options of each.
func NewCluster(t testing.TB, n int, replicas bool, args ...string) (masters, copies []*Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	all := n
	if replicas {
		all = 2 * n
	}
	var first *Process
	for i := range all {
		p := process(t, fmt.Sprintf("cluster%d", i), append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-replica-validity-factor", "0"}, args...)...)
		rdb := p.Client()
		if i < n {
			masters = append(masters, p)
			if err := rdb.ClusterAddSlotsRange(ctx, i*16384/n, (i+1)*16384/n-1).Err(); err != nil {
				t.Fatal(err)
			}
		} else {
			copies = append(copies, p)
		}
		if first == nil {
			first = p
			continue
		}
		host, port, err := net.SplitHostPort(first.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := rdb.ClusterMeet(ctx, host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	whole := func() {
		for _, p := range append(slices.Clone(masters), copies...) {
			rdb := p.Client()
			until(ctx, t, "the cluster to be whole", func() bool {
				info, err := rdb.ClusterInfo(ctx).Result()
				return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", all))
			})
		}
	}
	whole()
	for i, c := range copies {
		id, err := masters[i].Client().Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			t.Fatal(err)
		}
		rdb := c.Client()
		until(ctx, t, "the replica to know its master", func() bool { return rdb.ClusterReplicate(ctx, id).Err() == nil })
		inStep(ctx, t, c)
	}
	whole()
	return masters, copies
}

// MoveSlot moves the slot of a hash tag from the process that has it to another,
// key by key, as a live resharding does.
func MoveSlot(ctx context.Context, t testing.TB, tag string, processes []*Process) {
	t.Helper()
	slot, err := processes[0].Client().ClusterKeySlot(ctx, "{"+tag+"}").Result()
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(processes))
	from := -1
	for i, p := range processes {
		if ids[i], err = p.Client().Do(ctx, "CLUSTER", "MYID").Text(); err != nil {
			t.Fatal(err)
		}
		shards, err := p.Client().ClusterShards(ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, shard := range shards {
			has := slices.ContainsFunc(shard.Slots, func(r redis.SlotRange) bool { return r.Start <= slot && slot <= r.End })
			if has && slices.ContainsFunc(shard.Nodes, func(n redis.Node) bool { return n.ID == ids[i] && n.Role == "master" }) {
				from = i
			}
		}
	}
	if from < 0 {
		t.Fatalf("nobody has slot %d", slot)
	}
	to := (from + 1) % len(processes)
	source, target := processes[from].Client(), processes[to].Client()
	host, port, err := net.SplitHostPort(processes[to].Addr)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(target.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[from]).Err())
	must(source.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to]).Err())
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, int(slot), 10).Result()
		must(err)
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			must(source.Do(ctx, "MIGRATE", host, port, key, 0, 5000).Err())
		}
	}
	for _, p := range []*redis.Client{target, source} {
		must(p.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", ids[to]).Err())
	}
}

// Watched is a master with replicas that one sentinel watches; its name is "main".
type Watched struct {
	Sentinel string // address
	Master   *Process
	Replicas []*Process
	t        testing.TB
}

// Sentinel starts a master, a replica and one sentinel on loopback and returns
// the sentinel's address; the master's name is "main".
func Sentinel(t testing.TB) string { return NewWatched(t, 1).Sentinel }

// NewWatched starts a master with n replicas and one sentinel, which takes a
// master for dead after 2 s. args are further options of master and replicas.
func NewWatched(t testing.TB, n int, args ...string) *Watched {
	t.Helper()
	w := &Watched{t: t, Master: process(t, "master", args...)}
	host, port, err := net.SplitHostPort(w.Master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		w.Replicas = append(w.Replicas, process(t, "replica", append([]string{"--replicaof", host, port}, args...)...))
	}
	w.Sentinel = server(t, "sentinel", "--sentinel")
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	watch := w.watch()
	for _, err := range []error{watch.Monitor(ctx, "main", host, port, "1").Err(), watch.Set(ctx, "main", "down-after-milliseconds", "2000").Err(),
		watch.Set(ctx, "main", "failover-timeout", "6000").Err()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range w.Replicas {
		inStep(ctx, t, r)
	}
	until(ctx, t, "the sentinel to know the replicas", func() bool {
		known, err := watch.Replicas(ctx, "main").Result()
		return err == nil && len(known) == n
	})
	return w
}

func (w *Watched) watch() *redis.SentinelClient {
	c := redis.NewSentinelClient(&redis.Options{Addr: w.Sentinel, Protocol: 2})
	w.t.Cleanup(func() { c.Close() })
	return c
}

// Failover asks for a planned change of master.
func (w *Watched) Failover(ctx context.Context) error { return w.watch().Failover(ctx, "main").Err() }

// MasterNow returns the address that the sentinel gives out.
func (w *Watched) MasterNow(ctx context.Context) (string, error) {
	a, err := w.watch().GetMasterAddrByName(ctx, "main").Result()
	if err != nil || len(a) != 2 {
		return "", err
	}
	return net.JoinHostPort(a[0], a[1]), nil
}

// NewPair starts a master and its replica, in step, with nobody to watch them.
func NewPair(t testing.TB) (master, replica *Process) {
	t.Helper()
	master = process(t, "master")
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	replica = process(t, "replica", "--replicaof", host, port)
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	inStep(ctx, t, replica)
	return master, replica
}

func inStep(ctx context.Context, t testing.TB, p *Process) {
	t.Helper()
	rdb := p.Client()
	until(ctx, t, "the replica to be in step", func() bool {
		info, err := rdb.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
}

// server starts one redis-server on a free port of loopback, without a file.
func server(t testing.TB, name string, args ...string) string {
	t.Helper()
	return process(t, name, args...).Addr
}

// Process is one redis-server of a Cluster or behind Sentinel.
type Process struct {
	Addr string
	t    testing.TB
	name string
	args []string
	log  bytes.Buffer // read after the end only

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it does not run
}

// Pid returns the process id, for Freeze.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Kill ends the process as kill -9 does and returns when it is gone.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	_ = p.cmd.Wait() // "signal: killed"
	p.cmd = nil
}

// Start starts a killed process again, at its address and with its files.
func (p *Process) Start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command("redis-server", p.args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), startTime)
	defer cancel()
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr, Protocol: 2})
	defer rdb.Close()
	until(ctx, p.t, p.name+" to answer", func() bool { return rdb.Ping(ctx).Err() == nil })
}

// Client returns a client of this process alone.
func (p *Process) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: p.Addr, Protocol: 2})
	p.t.Cleanup(func() { c.Close() })
	return c
}

func process(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a cluster needs port+10000 too
	for ; err == nil && l.Addr().(*net.TCPAddr).Port > 55000; l, err = net.Listen("tcp", "127.0.0.1:0") {
		defer l.Close() // held until a lower one is found
	}
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(addr)
	base := []string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"}
	if name == "sentinel" { // a sentinel rewrites its file
		file := filepath.Join(dir, "sentinel.conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, "port %s\nbind 127.0.0.1\ndir %s\n", port, dir), 0o600); err != nil {
			t.Fatal(err)
		}
		base = []string{file}
	}
	p := &Process{Addr: addr, t: t, name: name, args: append(base, args...)}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() && testing.Verbose() {
			t.Logf("%s said:\n%s", name, p.log.String())
		}
	})
	p.Start()
	return p
}

// until waits for a condition of another process, which nothing announces.
func until(ctx context.Context, t testing.TB, what string, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
