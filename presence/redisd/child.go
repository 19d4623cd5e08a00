package redisd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is one redis-server process.
type child struct {
	cmd  *exec.Cmd
	born time.Time
	said said

	gone chan struct{} // closed when the process was reaped, or never started
	err  error         // why it ended; written before gone is closed
}

func newChild(bin string, args []string, log *slog.Logger) *child {
	c := &child{cmd: exec.Command(bin, args...), gone: make(chan struct{}), born: time.Now()}
	c.said.log = log
	c.cmd.SysProcAttr = childAttributes()
	c.cmd.Stdout = &c.said
	c.cmd.Stderr = &c.said
	c.cmd.WaitDelay = time.Second // a rewrite that Redis forked may hold the pipe
	return c
}

// start begins the process on the calling thread and reports whether it runs.
func (c *child) start() bool {
	if err := c.cmd.Start(); err != nil {
		c.err = fmt.Errorf("redis-server cannot be started: %w", err)
		close(c.gone)
		return false
	}
	go func() {
		err := c.cmd.Wait()
		c.err = fmt.Errorf("redis-server ended (%v)%s", reason(c.cmd, err), c.said.last())
		close(c.gone)
	}()
	return true
}

func reason(cmd *exec.Cmd, err error) string {
	if cmd.ProcessState != nil {
		return cmd.ProcessState.String()
	}
	return err.Error()
}

// exited returns a channel that closes when the process is gone; a nil child
// never exits.
func (c *child) exited() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.gone
}

// kill ends the process at once and waits until it is gone.
func (c *child) kill() {
	if c == nil {
		return
	}
	c.signal(syscall.SIGKILL)
	<-c.gone
}

// stop asks the process to write what it holds and end; one that does not is
// killed and told of.
func (c *child) stop() error {
	if c == nil {
		return nil
	}
	c.signal(syscall.SIGTERM)
	select {
	case <-c.gone:
		return nil
	case <-time.After(politeTime):
		c.kill()
		return fmt.Errorf("redis-server did not end within %v and was killed", politeTime)
	}
}

// ready waits until the process answers a PING. While it loads its file it
// answers with an error, so time alone says nothing.
func (c *child) ready(ctx context.Context, socket string) error {
	var last error
	for {
		if last = ping(ctx, socket); last == nil {
			return nil
		}
		select {
		case <-c.gone:
			return c.err
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", errors.Join(ctx.Err(), last))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ping speaks to the socket without a client library: at this point there is
// no server to keep a pool of connections to.
func ping(ctx context.Context, socket string) error {
	answer, err := call(ctx, socket, "PING")
	if err == nil && answer != "+PONG" {
		err = errors.New(answer)
	}
	return err
}

// call sends one inline command and returns the first line of the answer.
func call(ctx context.Context, socket, command string) (string, error) {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// said keeps the last lines that the child wrote and passes each to the log.
// At log level "warning" Redis writes little and nothing of what is stored.
type said struct {
	log *slog.Logger

	mu    sync.Mutex
	part  []byte   // of a line that is not whole yet
	lines []string // the last few that are not usual
}

const saidLines = 4

// Write implements io.Writer and never fails.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	var whole []string
	s.part = append(s.part, p...)
	for {
		line, rest, found := bytes.Cut(s.part, []byte{'\n'})
		if !found {
			break
		}
		s.part = rest
		t := strings.TrimSpace(string(line))
		if t == "" {
			continue
		}
		whole = append(whole, t)
		if weight(t) > slog.LevelDebug {
			s.lines = append(s.lines, t)
		}
	}
	if len(s.part) > 4096 {
		s.part = nil
	}
	s.lines = s.lines[max(0, len(s.lines)-saidLines):]
	s.mu.Unlock()
	for _, line := range whole {
		s.log.Log(context.Background(), weight(line), "redis-server says", "line", line)
	}
	return len(p), nil
}

// weight tells trouble from what Redis says at each start and stop, for which
// it has no level of its own.
func weight(line string) slog.Level {
	for _, usual := range []string{
		"Redis is starting", "Redis version=", "Configuration loaded", "Server initialized",
		"User requested shutdown", "SIGTERM", "now ready to exit", "Memory overcommit",
	} {
		if strings.Contains(line, usual) {
			return slog.LevelDebug
		}
	}
	return slog.LevelWarn
}

// last returns what was said last, for an error.
func (s *said) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 {
		return ""
	}
	return "; it said: " + strings.Join(s.lines, " / ")
}
