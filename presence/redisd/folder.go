package redisd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	lockName   = "lock"
	socketNote = "redis.socket"
	socketName = "redis.sock"
	// maxSocket is the longest path that every system takes: 108 bytes with the
	// closing zero on Linux, 104 on macOS and the BSDs.
	maxSocket = 103
)

// folder is a data folder that this process owns.
type folder struct {
	dir    string
	data   string // of Redis
	socket string
	lock   *os.File
	remove []string // trees to remove at the end
}

// openFolder creates what is missing, takes the lock and ends an orphan.
func openFolder(ctx context.Context, dir string) (f folder, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "switchboard-"); err != nil {
			return f, fmt.Errorf("no temporary folder for redis-server: %w", err)
		}
		f.remove = append(f.remove, dir)
	}
	if f.dir, err = filepath.Abs(dir); err != nil {
		return f, fmt.Errorf("the data folder %s: %w", dir, err)
	}
	f.data = filepath.Join(f.dir, "redis")
	if err = os.MkdirAll(f.data, 0o700); err != nil {
		return f, fmt.Errorf("the data folder cannot be created: %w", err)
	}
	// The file holds what people wrote to each other.
	if err = os.Chmod(f.dir, 0o700); err != nil {
		return f, fmt.Errorf("the data folder cannot be made private: %w", err)
	}
	if err = f.take(); err != nil {
		return f, err
	}
	if err = f.endOrphan(ctx); err != nil {
		return f, err
	}
	if err = f.placeSocket(); err != nil {
		return f, err
	}
	return f, os.WriteFile(filepath.Join(f.dir, socketNote), []byte(f.socket), 0o600)
}

// take locks the folder. The lock is of this open file: the kernel drops it
// when the process ends, however it ends.
func (f *folder) take() error {
	lock, err := os.OpenFile(filepath.Join(f.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("the data folder cannot be locked: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close() // opened for nothing
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("the data folder %s is in use by another Switchboard: stop that one, or choose another folder with --data", f.dir)
		}
		return fmt.Errorf("the data folder %s cannot be locked: %w", f.dir, err)
	}
	f.lock = lock
	return nil
}

// endOrphan shuts down a redis-server that outlived its parent: two servers
// that append to one file would spoil it. We hold the lock, so whoever answers
// at the noted socket has no owner. It is told by its socket, not by a process
// id, which may belong to somebody else by now.
func (f *folder) endOrphan(ctx context.Context) error {
	socket, alive, err := Find(ctx, f.dir)
	if err != nil || !alive {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, politeTime)
	defer cancel()
	for {
		// The answer to SHUTDOWN is the end of the connection.
		if _, err := call(ctx, socket, "SHUTDOWN"); errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a redis-server of an earlier run still holds %s and does not end: stop it by hand", f.dir)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// placeSocket chooses the first place whose path is short enough.
func (f *folder) placeSocket() error {
	f.socket = filepath.Join(f.dir, socketName)
	for _, base := range []string{os.TempDir(), "/tmp"} {
		if len(f.socket) <= maxSocket {
			return nil
		}
		dir, err := os.MkdirTemp(base, "sb-") // mode 0700
		if err != nil {
			return fmt.Errorf("no folder for the socket of redis-server: %w", err)
		}
		f.remove = append(f.remove, dir)
		f.socket = filepath.Join(dir, socketName)
	}
	if len(f.socket) > maxSocket {
		return errors.New("no folder with a path short enough for the socket of redis-server: set TMPDIR to a shorter one")
	}
	return nil
}

// close removes what was temporary and drops the lock last.
func (f *folder) close() error {
	var errs []error
	if f.lock != nil {
		if err := os.Remove(filepath.Join(f.dir, socketNote)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, dir := range f.remove {
		errs = append(errs, os.RemoveAll(dir))
	}
	if f.lock != nil {
		errs = append(errs, f.lock.Close())
	}
	return errors.Join(errs...)
}
