package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/loadtest"
)

// cluster is a Redis and some nodes that this run owns, in a folder of its own.
type cluster struct {
	dir      string
	keep     bool
	binary   string
	family   *family
	redis    *child
	socket   string
	keyFile  string
	login    string
	password string
	org      switchboard.OrgID
	team     switchboard.TeamID
	addrs    []string // of the nodes, host:port

	mu    sync.Mutex // guards nodes: a restart replaces one while another is measured
	nodes []*child
}

// startCluster starts Redis, seeds one company, and starts the nodes. On error
// nothing is left running.
func startCluster(ctx context.Context, o options, s loadtest.Scenario) (*cluster, error) {
	binary, err := filepath.Abs(o.binary)
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		return nil, fmt.Errorf("the switchboard binary (make build): %w", err)
	}
	// Short, because a unix socket's path may have 108 bytes.
	dir, err := os.MkdirTemp("", "sbload")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, keep: o.keep, binary: binary, family: newFamily(), login: "load@switchboard.example"}
	if err := c.start(ctx, o, s); err != nil {
		return nil, errors.Join(err, c.stop(false))
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, o options, s loadtest.Scenario) error {
	secrets := make([]byte, 64)
	if _, err := rand.Read(secrets); err != nil {
		return err
	}
	c.password = hex.EncodeToString(secrets[:32])
	c.keyFile = filepath.Join(c.dir, "key")
	if err := os.WriteFile(c.keyFile, []byte(hex.EncodeToString(secrets[32:])+"\n"), 0o600); err != nil {
		return err
	}
	var err error
	if c.redis, c.socket, err = startRedis(ctx, c.family, c.dir); err != nil {
		return err
	}
	if err := c.seed(ctx, s); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	if c.addrs, err = freeAddrs(o.nodes); err != nil {
		return err
	}
	c.nodes = make([]*child, o.nodes)
	for i := range c.nodes {
		if err := c.startNode(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// freeAddrs finds ports that are free now. Somebody else may take one before
// its node does; the node then says so and the run ends with status 2.
func freeAddrs(n int) ([]string, error) {
	var out []string
	var open []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open, out = append(open, l), append(out, l.Addr().String())
	}
	var errs []error
	for _, l := range open {
		errs = append(errs, l.Close())
	}
	return out, errors.Join(errs...)
}

// startNode starts a node and returns when it answers.
func (c *cluster) startNode(ctx context.Context, i int) error {
	n, err := c.family.spawn(filepath.Join(c.dir, "node"+strconv.Itoa(i)+".log"), c.binary, c.serveArgs(i)...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.nodes[i] = n
	c.mu.Unlock()
	return n.until(ctx, 20*time.Second, "node "+strconv.Itoa(i), func() bool {
		rq, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addrs[i]+"/readyz", nil)
		if err != nil {
			return false
		}
		rs, err := http.DefaultClient.Do(rq)
		if err != nil {
			return false
		}
		rs.Body.Close()
		return rs.StatusCode == http.StatusOK
	})
}

func (c *cluster) node(i int) *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i]
}

// targets are the nodes as a run wants them.
func (c *cluster) targets(kill bool) loadtest.Targets {
	t := loadtest.Targets{Org: c.org, Team: c.team, Login: c.login, Password: c.password}
	for _, addr := range c.addrs {
		t.Nodes = append(t.Nodes, loadtest.Node{URL: "http://" + addr})
	}
	t.Resident = func(i int) (int64, error) {
		n := c.node(i)
		if n == nil {
			return 0, fmt.Errorf("node %d does not run", i)
		}
		return n.resident()
	}
	t.Commands = func(ctx context.Context) (int64, error) { return commandsOf(ctx, c.socket) }
	t.Restart = func(ctx context.Context, i int) error {
		n := c.node(i)
		stop := n.stop
		if kill {
			stop = n.kill
		}
		if err := stop(); err != nil {
			c.mu.Lock()
			c.nodes[i] = nil // it has ended and was complained of
			c.mu.Unlock()
			return fmt.Errorf("stop of node %d: %w", i, err)
		}
		return c.startNode(ctx, i)
	}
	return t
}

// stop ends everything, nodes first, and removes the folder unless something
// went wrong or it is to be kept. An error names the nodes that had ended before
// or did not end well.
func (c *cluster) stop(passed bool) error {
	var crew sync.WaitGroup
	errs := make([]error, len(c.nodes), len(c.nodes)+2)
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		crew.Go(func() {
			if err := n.stop(); err != nil {
				errs[i] = fmt.Errorf("stop of node %d: %w", i, err)
			}
		})
	}
	crew.Wait()
	if c.redis != nil {
		if err := c.redis.stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop of redis-server: %w", err))
		}
	}
	c.family.end()
	err := errors.Join(errs...)
	if c.keep || err != nil || !passed {
		fmt.Fprintln(os.Stderr, "logs are in", c.dir)
		return err
	}
	return os.RemoveAll(c.dir)
}
