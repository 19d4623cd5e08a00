// Package redistest gives a test package a real redis-server of its own and
// checks that no goroutine is left behind.
package redistest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/switchboard/switchboard/presence/redisd"
)

// startTime bounds a start on a loaded machine.
const startTime = 20 * time.Second

// Main is the body of a TestMain: it starts one server without a file, stores
// the settings of a client in *opts, runs the tests, stops the server, looks
// for leaked goroutines and exits. There is no way to skip: a machine without
// redis-server fails.
//
//	var redisOptions *redis.Options
//
//	func TestMain(m *testing.M) { redistest.Main(m, &redisOptions) }
func Main(m *testing.M, opts **redis.Options, leaks ...goleak.Option) {
	os.Exit(run(m, opts, leaks))
}

func run(m *testing.M, opts **redis.Options, leaks []goleak.Option) int {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	s, err := redisd.Start(ctx, redisd.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "redistest:", err)
		return 1
	}
	*opts = s.Options()
	redis.SetLogger(quiet{})
	code := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "redistest:", err)
		code = 1
	}
	if code != 0 {
		return code // a failed test leaves goroutines; they would hide its message
	}
	if err := goleak.Find(leaks...); err != nil {
		fmt.Fprintln(os.Stderr, "redistest:", err)
		return 1
	}
	return 0
}

// quiet is for the library's own log: tests kill and cut, and say so themselves.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Start returns a server for one test that kills, freezes or fills it; it is
// stopped when the test ends. With keep it has an append-only file.
func Start(t testing.TB, keep bool) *redisd.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	s, err := redisd.Start(ctx, redisd.Options{Append: keep})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Client returns a client that is closed when the test ends. Tests of one
// package share the server: keep them apart by organization, or flush.
func Client(t testing.TB, opts *redis.Options) *redis.Client {
	t.Helper()
	own := *opts // a client changes its settings
	c := redis.NewClient(&own)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
