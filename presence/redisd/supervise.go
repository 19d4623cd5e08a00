package redisd

import (
	"errors"
	"runtime"
	"syscall"
	"time"
)

const (
	// politeTime is how long a child may take to end after SIGTERM.
	politeTime = 5 * time.Second
	// A child that died by itself is started again after firstPause, then after
	// twice as long each time, up to lastPause; one that lived for steadyTime
	// starts the count anew. It never gives up: the gateway keeps its sockets
	// meanwhile, and an operator may free the disk or the memory.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	steadyTime = 10 * time.Second
)

// ask tells the supervisor to end the child and, with start, to begin another.
// The answer is the new child, or nil when none was wanted.
type ask struct {
	start  bool
	answer chan *child
}

// supervise owns the child: nobody else starts or ends it.
//
// It stays on one OS thread, because the kernel ties the parent-death signal to
// the thread that forked: were that thread to end, the child would be killed
// while the process lives on. The thread ends with this goroutine, after the
// child.
func (s *Server) supervise() {
	runtime.LockOSThread()
	defer close(s.done)

	var c *child // nil while it is meant to be down, or waits for again
	pause := firstPause
	again := time.NewTimer(time.Hour)
	again.Stop()
	for {
		select {
		case a := <-s.asks:
			again.Stop()
			c.kill()
			s.pid.Store(0)
			c = nil
			if a.start {
				pause = firstPause
				c = s.begin()
			}
			a.answer <- c
		case <-c.exited():
			s.pid.Store(0)
			if time.Since(c.born) > steadyTime {
				pause = firstPause
			}
			s.log.Error("redis-server ended by itself; it is started again", "error", c.err, "pause", pause)
			again.Reset(pause)
			pause = min(2*pause, lastPause)
			c = nil
		case <-again.C:
			c = s.begin()
		case <-s.quit:
			again.Stop()
			s.end = errors.Join(c.stop(), s.folder.close())
			s.pid.Store(0)
			return
		}
	}
}

// begin starts a child on this thread. One that cannot be started has exited
// already.
func (s *Server) begin() *child {
	c := newChild(s.bin, s.arguments(), s.log)
	if c.start() {
		s.pid.Store(int64(c.cmd.Process.Pid))
		s.log.Info("redis-server started", "pid", c.cmd.Process.Pid, "socket", s.folder.socket)
	}
	return c
}

// signal sends a signal to a child that may have exited.
func (c *child) signal(sig syscall.Signal) {
	select {
	case <-c.gone:
		return
	default:
	}
	// The one error is "already finished": gone says so a moment later.
	_ = c.cmd.Process.Signal(sig)
}
