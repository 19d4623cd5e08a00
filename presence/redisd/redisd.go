package redisd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrMissing is wrapped by the error of Start when there is no redis-server on
// PATH; the command falls back to other stores only for this reason.
var ErrMissing = errors.New("redis-server was not found on PATH: install Redis 7.0 or newer (Debian and Ubuntu: apt-get install redis-server; Homebrew: brew install redis), or give the address of one with --redis")

// Options say how to run the child.
type Options struct {
	// Dir is the data folder; it is created with mode 0700 when missing. Empty
	// means a temporary folder that Stop removes.
	Dir string
	// Log hears of starts, exits and what redis-server warns about. Nil is silent.
	Log *slog.Logger
	// Append keeps all writes in an append-only file, synced once a second.
	// Without it nothing survives a Stop.
	Append bool
}

// Server is a running child with its supervisor. All methods may be called
// from any number of goroutines.
type Server struct {
	log    *slog.Logger
	folder folder
	bin    string
	append bool

	asks chan ask      // to the supervisor, which alone starts and signals the child
	quit chan struct{} // closed by Stop
	done chan struct{} // closed by the supervisor when the child is gone for good
	end  error         // how it ended; written before done is closed

	pid     atomic.Int64 // 0 while no child runs
	stopped sync.Once
}

// Start takes the folder, starts redis-server and waits until it answers. The
// context bounds this wait only: an append-only file of a gigabyte takes some
// ten seconds to load. The caller must Stop the Server.
//
// Errors are single sentences for the person who typed the command; ErrMissing
// is among them.
func Start(ctx context.Context, opts Options) (*Server, error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrMissing
	}
	if err := checkVersion(ctx, bin); err != nil {
		return nil, err
	}
	f, err := openFolder(ctx, opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		log: log, folder: f, bin: bin, append: opts.Append,
		asks: make(chan ask), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go s.supervise()
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Socket returns the path of the unix socket. It stays the same over restarts.
func (s *Server) Socket() string { return s.folder.socket }

// Pid returns the process id of the child, 0 while none runs. Tests freeze the
// child with it.
func (s *Server) Pid() int { return int(s.pid.Load()) }

// Options returns the settings of a client of this server: short timeouts, no
// retries (a script whose answer was lost must not run twice by itself), and
// contexts that count. Each call returns a value of its own.
func (s *Server) Options() *redis.Options { return Client(s.folder.socket) }

// Client returns the settings of a client of the server behind a unix socket.
func Client(socket string) *redis.Options {
	return &redis.Options{
		Network:               "unix",
		Addr:                  socket,
		Protocol:              2,
		ContextTimeoutEnabled: true,
		DialTimeout:           500 * time.Millisecond,
		ReadTimeout:           time.Second,
		WriteTimeout:          time.Second,
		MaxRetries:            -1,
		DialerRetries:         1,
	}
}

// Restart ends the child if one runs, starts it again and waits until it
// answers or the context ends. It loses what an append-only file would keep
// only when Options.Append is off.
func (s *Server) Restart(ctx context.Context) error {
	c, err := s.send(ctx, ask{start: true, answer: make(chan *child, 1)})
	if err != nil {
		return err
	}
	return c.ready(ctx, s.folder.socket)
}

// Kill ends the child with SIGKILL, as a crash would, and keeps it down until
// Restart. It returns when the process is gone.
func (s *Server) Kill(ctx context.Context) error {
	_, err := s.send(ctx, ask{answer: make(chan *child, 1)})
	return err
}

// send hands an ask to the supervisor and waits for its answer, which comes as
// soon as the old child is gone.
func (s *Server) send(ctx context.Context, a ask) (*child, error) {
	select {
	case s.asks <- a:
		return <-a.answer, nil
	case <-s.done:
		return nil, errors.New("redis-server was stopped")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stop ends the child politely, kills it after 5 s, and gives the folder back.
// Further calls wait for the first and return the same.
func (s *Server) Stop() error {
	s.stopped.Do(func() { close(s.quit) })
	return s.Wait()
}

// Wait blocks until the Server was stopped. The error tells of an end that was
// not clean.
func (s *Server) Wait() error {
	<-s.done
	return s.end
}

// arguments of redis-server. Everything is on the command line, so that no
// configuration file of the machine is read.
func (s *Server) arguments() []string {
	appendOnly := "no"
	if s.append {
		appendOnly = "yes"
	}
	return []string{
		"--port", "0",
		"--unixsocket", s.folder.socket,
		"--unixsocketperm", "700",
		"--dir", s.folder.data,
		"--appendonly", appendOnly,
		"--appendfsync", "everysec",
		"--save", "",
		"--daemonize", "no",
		"--logfile", "",
		"--loglevel", "warning",
		// A full memory must refuse writes, never forget people.
		"--maxmemory-policy", "noeviction",
	}
}

// Find returns the socket of the server that some process runs on a data
// folder now, and false when none answers there. Commands beside a running
// server use it to reach the same data.
func Find(ctx context.Context, dir string) (socket string, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, socketNote))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("the data folder %s cannot be read: %w", dir, err)
	}
	socket = string(b)
	return socket, ping(ctx, socket) == nil, nil
}
