package redisd_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/switchboard/switchboard/presence/redisd"
)

// A copy of this test binary plays the process that owns a server and dies.
const parentVariable = "REDISD_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentVariable); dir != "" {
		os.Exit(playParent(dir))
	}
	goleak.VerifyTestMain(m)
}

func TestStartAnswersOnAPrivateSocketAndNoPort(t *testing.T) {
	s := start(t, redisd.Options{})
	c := client(t, s)
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if m := mode(filepath.Dir(s.Socket())); m != 0o700 {
		t.Errorf("folder of the socket has mode %o", m)
	}
	if m := mode(s.Socket()); m != 0o700 {
		t.Errorf("socket has mode %o", m)
	}
	if port := c.ConfigGet(t.Context(), "port").Val()["port"]; port != "0" {
		t.Errorf("listens on port %s", port)
	}
}

func TestWritesSurviveAKillOnlyWithAppend(t *testing.T) {
	for _, keep := range []bool{true, false} {
		t.Run("append="+strconv.FormatBool(keep), func(t *testing.T) {
			s := start(t, redisd.Options{Append: keep})
			c := client(t, s)
			if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := s.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.Ping(t.Context()).Err(); err == nil {
				t.Fatal("a killed server answers")
			}
			if s.Pid() != 0 {
				t.Error("a killed server has a process id")
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := c.Get(t.Context(), "k").Err()
			if keep && err != nil || !keep && !errors.Is(err, redis.Nil) {
				t.Errorf("after the restart: %v", err)
			}
		})
	}
}

func TestChildThatDiesByItselfIsStartedAgain(t *testing.T) {
	s := start(t, redisd.Options{Append: true})
	c := client(t, s)
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		was := s.Pid()
		if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wait(t, "a new process that answers", func() bool {
			return s.Pid() != was && c.Get(t.Context(), "k").Val() == "v"
		})
	}
}

func TestSecondStartOnAFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := start(t, redisd.Options{Dir: dir, Append: true})
	_, err := redisd.Start(t.Context(), redisd.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another Switchboard") || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second start: %v", err)
	}
	if socket, ok, err := redisd.Find(t.Context(), dir); err != nil || !ok || socket != first.Socket() {
		t.Errorf("the refused start disturbed the first: %q %v %v", socket, ok, err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := redisd.Find(t.Context(), dir); ok || err != nil {
		t.Errorf("a stopped server is found: %v", err)
	}
	start(t, redisd.Options{Dir: dir, Append: true})
}

func TestDataFolderIsKeptAndTemporaryOnesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s := start(t, redisd.Options{Dir: dir, Append: true})
		if err := client(t, s).Incr(t.Context(), "runs").Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, redisd.Options{Dir: dir, Append: true})
	if n, err := client(t, s).Get(t.Context(), "runs").Int(); n != 2 || err != nil {
		t.Errorf("runs = %d, %v", n, err)
	}
	gone := start(t, redisd.Options{})
	if err := gone.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(gone.Socket())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}

func TestLongDataPathStillGetsASocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	t.Setenv("TMPDIR", filepath.Dir(dir))
	s := start(t, redisd.Options{Dir: dir, Append: true})
	if err := client(t, s).Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if socket, ok, err := redisd.Find(t.Context(), dir); !ok || socket != s.Socket() {
		t.Errorf("Find gives %q %v %v", socket, ok, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(s.Socket())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the socket is still there: %v", err)
	}
}

func TestChildEndsWhenItsParentIsKilled(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentVariable+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "signal: killed"
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	gone := func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
	if runtime.GOOS == "linux" { // elsewhere the next start ends it
		wait(t, "the child to end with its parent", gone)
	}
	// A new owner gets the folder and finds what was written.
	s := start(t, redisd.Options{Dir: dir, Append: true})
	if v := client(t, s).Get(t.Context(), "k").Val(); v != "v" {
		t.Errorf("k = %q", v)
	}
	wait(t, "the child of the dead parent to be gone", gone)
}

func playParent(dir string) int {
	s, err := redisd.Start(context.Background(), redisd.Options{Dir: dir, Append: true})
	if err != nil {
		return 1
	}
	if err := redis.NewClient(s.Options()).Set(context.Background(), "k", "v", 0).Err(); err != nil {
		return 1
	}
	line := strconv.Itoa(s.Pid()) + "\n"
	if _, err := os.Stdout.WriteString(line); err != nil {
		return 1
	}
	if err := s.Wait(); err != nil { // until killed
		return 1
	}
	return 0
}

func TestOrphanIsShutDownBeforeTheFolderIsUsed(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "redis")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	orphan := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", data, "--appendonly", "yes", "--save", "")
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	old := redis.NewClient(redisd.Client(socket))
	defer old.Close()
	wait(t, "the orphan to answer", func() bool { return old.Set(t.Context(), "k", "v", 0).Err() == nil })
	if err := os.WriteFile(filepath.Join(dir, "redis.socket"), []byte(socket), 0o600); err != nil {
		t.Fatal(err)
	}

	s := start(t, redisd.Options{Dir: dir, Append: true})
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		_ = orphan.Process.Kill()
		t.Fatal("two servers run on one folder")
	}
	if v := client(t, s).Get(t.Context(), "k").Val(); v != "v" {
		t.Errorf("k = %q", v)
	}
}

func TestStaleNoteOfAnEarlierRunIsNoObstacle(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil { // the file stays, nobody listens
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "redis.socket"), []byte(socket), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, redisd.Options{Dir: dir})
}

func TestStartTellsWhatIsWrongInOneSentence(t *testing.T) {
	fake := func(script string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "redis-server"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, test := range []struct{ name, path, want string }{
		{"missing", t.TempDir(), "redis-server was not found on PATH"},
		{"too old", fake("echo 'Redis server v=6.2.14 sha=0'"), "is Redis 6.2.14: 7.0 or newer is needed"},
		{"something else", fake("echo hello"), "does not tell its version"},
		{"broken", fake("exit 3"), "--version failed"},
		{"ends at once", fake("echo 'Redis server v=7.0.15 sha=0'; [ \"$1\" = --version ] || { echo no memory; exit 3; }"), "it said: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("PATH", test.path)
			dir := t.TempDir()
			s, err := redisd.Start(t.Context(), redisd.Options{Dir: dir})
			if err == nil {
				t.Fatal(errors.Join(errors.New("it started"), s.Stop()))
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want %q in it", err, test.want)
			}
			if errors.Is(err, redisd.ErrMissing) != (test.name == "missing") {
				t.Errorf("ErrMissing: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "redis.socket")); err == nil {
				t.Error("a failed start left its note")
			}
		})
	}
}

func TestStartEndsWithItsContextWhileTheFileLoads(t *testing.T) {
	dir := t.TempDir()
	// A server that starts and never answers.
	bin := t.TempDir()
	script := "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v=7.0.15 sha=0' && exit\nexec /bin/sleep 60\n"
	if err := os.WriteFile(filepath.Join(bin, "redis-server"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := redisd.Start(ctx, redisd.Options{Dir: dir})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not answer") {
		t.Fatalf("got %v", err)
	}
}

func TestStopMayBeCalledAgainAndEndsAllElse(t *testing.T) {
	s := start(t, redisd.Options{})
	pid := s.Pid()
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		t.Error("the child is still there")
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("a stopped server restarted")
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func start(t *testing.T, opts redisd.Options) *redisd.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := redisd.Start(ctx, opts)
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

func client(t *testing.T, s *redisd.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(s.Options())
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("waited in vain for " + what)
}
