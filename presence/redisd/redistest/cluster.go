package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Cluster starts a Redis Cluster of n masters without replicas on loopback and
// returns the masters' addresses; it is stopped when the test ends.
func Cluster(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	for i := range n {
		addrs = append(addrs, server(t, fmt.Sprintf("cluster%d", i), "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for i, addr := range addrs {
		rdb := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
		defer rdb.Close()
		lo, hi := i*16384/n, (i+1)*16384/n-1
		if err := rdb.ClusterAddSlotsRange(ctx, lo, hi).Err(); err != nil {
			t.Fatal(err)
		}
		host, port, err := net.SplitHostPort(addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := rdb.ClusterMeet(ctx, host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range addrs {
		rdb := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
		defer rdb.Close()
		until(ctx, t, "the cluster to be whole", func() bool {
			info, err := rdb.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", n))
		})
	}
	return addrs
}

// Sentinel starts a master, a replica and one sentinel on loopback and returns
// the sentinel's address; the master's name is "main".
func Sentinel(t testing.TB) string {
	t.Helper()
	master := server(t, "master")
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	replica := server(t, "replica", "--replicaof", host, port)
	sentinel := server(t, "sentinel", "--sentinel")
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinel, Protocol: 2})
	defer watch.Close()
	for _, err := range []error{watch.Monitor(ctx, "main", host, port, "1").Err(), watch.Set(ctx, "main", "down-after-milliseconds", "2000").Err()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	rdb := redis.NewClient(&redis.Options{Addr: replica, Protocol: 2})
	defer rdb.Close()
	until(ctx, t, "the replica to be in step", func() bool {
		info, err := rdb.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	return sentinel
}

// server starts one redis-server on a free port of loopback, without a file.
func server(t testing.TB, name string, args ...string) string {
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
	base := []string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"}
	if name == "sentinel" { // a sentinel rewrites its file
		file := filepath.Join(dir, "sentinel.conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, "port %s\nbind 127.0.0.1\ndir %s\n", port, dir), 0o600); err != nil {
			t.Fatal(err)
		}
		base = []string{file}
	}
	var log bytes.Buffer
	cmd := exec.Command("redis-server", append(base, args...)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // "signal: killed"
		if t.Failed() {
			t.Logf("%s said:\n%s", name, log.String())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	rdb := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
	defer rdb.Close()
	until(ctx, t, name+" to answer", func() bool { return rdb.Ping(ctx).Err() == nil })
	return addr
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
