package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var redisOptions *redis.Options

func TestMain(m *testing.M) { redistest.Main(m, &redisOptions) }

// shell runs command lines against one empty store, as a person would.
type shell struct {
	t   *testing.T
	env []string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	if err := redistest.Client(t, redisOptions).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := makeMaster(key); err != nil {
		t.Fatal(err)
	}
	return &shell{t: t, env: []string{"SWITCHBOARD_REDIS=unix://" + redisOptions.Addr, "SWITCHBOARD_KEY_FILE=" + key}}
}

// try runs one line and returns what it printed and its exit code.
func (s *shell) try(in string, args ...string) (out, errs string, code int) {
	s.t.Helper()
	var o, e bytes.Buffer
	code = run(s.t.Context(), args, s.env, strings.NewReader(in), &o, &e)
	return o.String(), e.String(), code
}

// do runs one line that must succeed.
func (s *shell) do(in string, line string) string {
	s.t.Helper()
	out, errs, code := s.try(in, strings.Split(line, " ")...)
	if code != exitOK || errs != "" {
		s.t.Fatalf("%s: exit %d: %s", line, code, errs)
	}
	return out
}

// read runs one line with --json and decodes what it printed.
func (s *shell) read(v any, in, line string) {
	s.t.Helper()
	out := s.do(in, line+" --json")
	if err := json.Unmarshal([]byte(out), v); err != nil {
		s.t.Fatalf("%s: %v in %s", line, err, out)
	}
}

// refused runs one line that must fail and whose error must contain a text.
func (s *shell) refused(want int, text, in, line string) {
	s.t.Helper()
	out, errs, code := s.try(in, strings.Split(line, " ")...)
	if code != want || !strings.Contains(errs, text) {
		s.t.Errorf("%s: exit %d, want %d; %q lacks %q", line, code, want, errs, text)
	}
	if out != "" {
		s.t.Errorf("%s: a failure printed %q", line, out)
	}
}

// output is a writer that a test may read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// background is a command that runs until the test stops it.
type background struct {
	t         *testing.T
	out, errs output
	in        *io.PipeWriter
	stop      context.CancelFunc
	code      chan int
	ended     bool
}

func start(t *testing.T, env []string, args ...string) *background {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	b := &background{t: t, in: w, stop: stop, code: make(chan int, 1)}
	go func() { b.code <- run(ctx, args, env, r, &b.out, &b.errs) }()
	t.Cleanup(func() {
		if !b.ended {
			b.end()
		}
	})
	return b
}

// end asks the command to stop and returns its exit code.
func (b *background) end() int {
	b.t.Helper()
	b.ended = true
	b.stop()
	_ = b.in.Close() // never fails
	select {
	case code := <-b.code:
		return code
	case <-time.After(30 * time.Second):
		b.t.Fatalf("the command does not end: %s", b.errs.String())
		return 0
	}
}

// wait waits for a condition, and fails at once when the command has ended.
func (b *background) wait(what string, done func() bool) {
	b.t.Helper()
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
		select {
		case code := <-b.code:
			b.code <- code
			b.t.Fatalf("ended with %d before %s: %s", code, what, b.errs.String())
		default:
		}
	}
	b.t.Fatalf("waited in vain for %s: %s%s", what, b.out.String(), b.errs.String())
}

// freePorts returns the first of n ports in a row that nobody uses, with those
// for metrics above them.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for port := 20000 + time.Now().Nanosecond()%20000; port < 60000; port += 10 {
		free := true
		for i := range n {
			free = free && isFree(port+i) && isFree(port+metricsAbove+i)
		}
		if free {
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	return err == nil && l.Close() == nil
}
