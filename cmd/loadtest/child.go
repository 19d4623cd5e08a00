package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// stopWithin is how long a child may take to end by itself: a node's drain of
	// 10 s, and as much again.
	stopWithin = 20 * time.Second
	// stacksWithin is how long it may then take to write down what it is doing.
	stacksWithin = 2 * time.Second
)

// family starts the processes of a run. They all start on one thread, kept for
// that: the kernel ends a child when the thread that started it ends, and which
// threads of a Go program live on is not ours to say.
type family struct {
	starts chan func()
	ended  chan struct{}
}

// newFamily returns a family; end it once all its children have ended.
func newFamily() *family {
	f := &family{starts: make(chan func()), ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		// Not unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		for start := range f.starts {
			start()
		}
	}()
	return f
}

func (f *family) end() {
	close(f.starts)
	<-f.ended
}

// child is a process of the run with its log in a file.
type child struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when it has ended
	err   error         // how; after ended
}

// spawn starts a process. The one who spawns stops it; should loadtest be
// killed, the kernel ends it where that can be arranged.
func (f *family) spawn(log, name string, args ...string) (*child, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = environ()
	cmd.SysProcAttr = diesWithParent()
	started := make(chan error)
	f.starts <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// environ is the environment of children: ours without the settings of some
// other node.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "SWITCHBOARD_") })
}

// stop asks the process to end and waits. One that does not end is made to write
// its stacks into its log and killed; an error says so, or that it did not end
// well by itself.
func (c *child) stop() error {
	// A process that has ended already needs no signal.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		if c.err != nil {
			return fmt.Errorf("%w: %s", c.err, tail(c.log))
		}
		return nil
	case <-time.After(stopWithin):
	}
	_ = c.cmd.Process.Signal(syscall.SIGQUIT) // the kill follows in any case
	select {
	case <-c.ended:
	case <-time.After(stacksWithin):
	}
	return errors.Join(fmt.Errorf("%s did not end within %s; its stacks are in %s", filepath.Base(c.cmd.Path), stopWithin, c.log), c.kill())
}

// kill ends the process without a word and waits.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	<-c.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// until waits for ok to hold, the process to end, or the time to be over.
func (c *child) until(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for !ok() {
		select {
		case <-c.ended:
			return fmt.Errorf("%s: the process ended: %v: %s", what, c.err, tail(c.log))
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %s", what, ctx.Err(), tail(c.log))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// resident is the memory of the process in bytes.
func (c *child) resident() (int64, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc")
}

// maxTail is how many bytes of a log an error carries; the file has the rest.
const maxTail = 600

// tail is the end of a log in one line, for a failure.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(b) > maxTail {
		b = b[len(b)-maxTail:]
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
