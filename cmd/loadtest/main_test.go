package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchboard/switchboard/loadtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlagsChangeTheScenario(t *testing.T) {
	var out bytes.Buffer
	s, o, err := parse([]string{"-visitors", "50", "--small", "-seed", "9", "-kill", "-max-message-p99", "1s", "-duration", "20s"}, &out)
	if err != nil {
		t.Fatal(err, out.String())
	}
	small := loadtest.Small()
	if s.Visitors != 50 || s.Operators != small.Operators || s.Seed != 9 || !o.kill || s.Bounds.MessageP99 != time.Second {
		t.Errorf("%+v %+v", s, o)
	}
	if s.Arrivals != 20*time.Second || s.RestartAt != 2*small.RestartAt {
		t.Errorf("arrivals over %s, restart at %s", s.Arrivals, s.RestartAt)
	}
	if s, _, err := parse([]string{"-restart", "-1"}, &out); err != nil || s.RestartAt != 0 {
		t.Errorf("restart at %s, %v", s.RestartAt, err)
	}
}

// kin is a family that ends with the test.
func kin(t *testing.T) *family {
	f := newFamily()
	t.Cleanup(f.end)
	return f
}

// shortDir is a folder whose name leaves room for the path of a unix socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestWhatCannotBePlayedEndsWithStatus2(t *testing.T) {
	t.Setenv("TMPDIR", shortDir(t)) // a failed run keeps its logs
	for name, args := range map[string][]string{
		"unknown flag":             {"-users", "3"},
		"argument":                 {"now"},
		"no binary":                {"-binary", filepath.Join(t.TempDir(), "none")},
		"targets without a login":  {"-targets", "http://127.0.0.1:1"},
		"no such node to restart":  {"-restart", "3"},
		"no nodes":                 {"-nodes", "0"},
		"binary that cannot seed":  {"-binary", "/bin/false"},
		"targets without password": {"-targets", "http://127.0.0.1:1", "-org", "1", "-login", "x", "-password-file", "/nonexistent"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%s: status %d, said %q", name, code, errs.String())
		}
	}
}

// A kept history is judged again, and its verdict is the exit status. Seen red with
// -judge ignored (status 2: there is no binary).
func TestAHistoryIsJudgedAgain(t *testing.T) {
	good := `{"scenario":{"Limit":5,"Visitors":1,"Bounds":{"MessageP99":1000000000,"RoutingP99":1000000000}},"beside":{"chats":{"max_waiting":1,"free_s":1}}}
{"at":"2026-01-01T00:00:00Z","what":"started","chat":7,"person":"v1","since":"2026-01-01T00:00:00Z","planned":2,"yes":true}
{"at":"2026-01-01T00:00:00.1Z","what":"held","chat":7,"operator":1,"yes":true}
{"at":"2026-01-01T00:00:01Z","what":"sent","chat":7,"person":"o1","cmid":"a","since":"2026-01-01T00:00:01Z"}
{"at":"2026-01-01T00:00:01.1Z","what":"acked","chat":7,"person":"o1","cmid":"a","seq":1}
{"at":"2026-01-01T00:00:01.2Z","what":"seen","chat":7,"person":"o1","from":"o1","cmid":"a","seq":1}
{"at":"2026-01-01T00:00:01.2Z","what":"seen","chat":7,"person":"v1","from":"o1","cmid":"a","seq":1}
{"at":"2026-01-01T00:00:02Z","what":"sent","chat":7,"person":"o1","cmid":"b","since":"2026-01-01T00:00:02Z"}
{"at":"2026-01-01T00:00:02.1Z","what":"acked","chat":7,"person":"o1","cmid":"b","seq":2}
{"at":"2026-01-01T00:00:02.2Z","what":"seen","chat":7,"person":"o1","from":"o1","cmid":"b","seq":2}
{"at":"2026-01-01T00:00:02.2Z","what":"seen","chat":7,"person":"v1","from":"o1","cmid":"b","seq":2}
{"at":"2026-01-01T00:00:03Z","what":"ended","chat":7}
`
	shown := `{"at":"2026-01-01T00:00:02.2Z","what":"seen","chat":7,"person":"v1","from":"o1","cmid":"b","seq":2}` + "\n"
	for text, want := range map[string]struct {
		code int
		says string
	}{
		good:                                   {0, "PASSED"},
		strings.Replace(good, shown, "", 1):    {1, "lost: 1 messages"},
		strings.Replace(good, "seen", "x", 1):  {2, "is no event"},
		strings.Replace(good, `{"at"`, "?", 1): {2, "line 2"},
	} {
		path := filepath.Join(t.TempDir(), "history")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if code := run(t.Context(), []string{"-judge", path, "-binary", "none"}, &out, &out); code != want.code || !strings.Contains(out.String(), want.says) {
			t.Errorf("status %d, want %d and %q:\n%s", code, want.code, want.says, out.String())
		}
	}
}

func TestRedisIsStartedCountedAndStopped(t *testing.T) {
	dir := shortDir(t)
	c, socket, err := startRedis(t.Context(), kin(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err1 := commandsOf(t.Context(), socket)
	after, err2 := commandsOf(t.Context(), socket)
	if err1 != nil || err2 != nil || after <= before {
		t.Errorf("commands %d, %v, then %d, %v", before, err1, after, err2)
	}
	if n, err := c.resident(); err != nil || n < 1<<20 {
		t.Errorf("resident %d, %v", n, err)
	}
	if err := c.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := commandsOf(t.Context(), socket); err == nil {
		t.Error("it answers after the stop")
	}
}

func TestChildThatEndsAtOnceSaysWhy(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c, err := kin(t).spawn(log, "sh", "-c", "echo no such key >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = c.until(t.Context(), 10*time.Second, "node 0", func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "no such key") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
}

func TestChildThatDoesNotHearIsKilled(t *testing.T) {
	c, err := kin(t).spawn(filepath.Join(t.TempDir(), "log"), "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.kill(); err != nil {
		t.Error(err)
	}
	if err := c.kill(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestLogTailIsOneLine(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(strings.Repeat("x", 5000)+"\none\n\n  two \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(log); !strings.HasSuffix(got, "x; one; two") || len(got) > maxTail+10 {
		t.Errorf("%q", got)
	}
}

func TestUntilEndsWithItsContext(t *testing.T) {
	c, err := kin(t).spawn(filepath.Join(t.TempDir(), "log"), "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.until(ctx, time.Minute, "sleep", func() bool { return false }); err == nil {
		t.Error("no error")
	}
	if err := c.kill(); err != nil {
		t.Error(err)
	}
}

func TestFieldReadsInfo(t *testing.T) {
	n, err := field("# Stats\r\ntotal_connections_received:4\r\ntotal_commands_processed:123\r\n", "total_commands_processed")
	if err != nil || n != 123 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := field("# Stats\r\n", "total_commands_processed"); err == nil {
		t.Error("no error for a missing field")
	}
}
