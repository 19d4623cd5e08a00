package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// eager is a client's end of a pipe to the store in memory. A pipe holds nothing:
// whoever sends a long pipeline before reading its answers, and a store that
// answers before it reads on, would wait for each other; and a subscriber who
// reads late would hold up the whole store. So what comes is taken at once and
// kept until it is read, as the kernel and a real Redis do.
type eager struct {
	net.Conn
	done chan struct{} // closed when nothing is taken any more

	mu       sync.Mutex
	some     *sync.Cond // something has come, or the deadline has passed
	kept     []byte
	err      error // why nothing more will come
	deadline time.Time
	alarm    *time.Timer
}

// maxKept is how much may wait to be read; one who leaves more is cut off, as
// Redis does (client-output-buffer-limit).
const maxKept = 32 << 20

func newEager(c net.Conn) *eager {
	e := &eager{Conn: c, done: make(chan struct{})}
	e.some = sync.NewCond(&e.mu)
	go e.take()
	return e
}

func (e *eager) take() {
	defer close(e.done)
	buf := make([]byte, 16<<10)
	for {
		n, err := e.Conn.Read(buf)
		e.mu.Lock()
		e.kept = append(e.kept, buf[:n]...)
		if err == nil && len(e.kept) > maxKept {
			err = errors.New("what came was not read")
			e.Conn.Close()
		}
		e.err = err
		e.some.Broadcast()
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (e *eager) Read(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		switch {
		case !e.deadline.IsZero() && !time.Now().Before(e.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(e.kept) > 0:
			n := copy(b, e.kept)
			if e.kept = e.kept[n:]; len(e.kept) == 0 {
				e.kept = nil
			}
			return n, nil
		case e.err != nil:
			if errors.Is(e.err, io.ErrClosedPipe) {
				return 0, net.ErrClosed
			}
			return 0, e.err
		}
		e.some.Wait()
	}
}

func (e *eager) SetReadDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.alarm != nil {
		e.alarm.Stop()
	}
	e.deadline = t
	if !t.IsZero() {
		e.alarm = time.AfterFunc(time.Until(t), func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.some.Broadcast()
		})
	}
	e.some.Broadcast()
	return nil
}

func (e *eager) SetDeadline(t time.Time) error {
	return errors.Join(e.SetReadDeadline(t), e.SetWriteDeadline(t))
}

func (e *eager) Close() error {
	err := e.Conn.Close()
	<-e.done
	return errors.Join(err, e.SetReadDeadline(time.Time{}))
}
