package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// startRedis starts a Redis with the settings of the embedded default: a unix
// socket in a private folder and an append-only file.
func startRedis(ctx context.Context, f *family, dir string) (*child, string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, "", fmt.Errorf("redis-server 7.0 or newer must be on PATH: %w", err)
	}
	socket := filepath.Join(dir, "redis.sock")
	c, err := f.spawn(filepath.Join(dir, "redis.log"), path,
		"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
	if err != nil {
		return nil, "", err
	}
	err = c.until(ctx, 10*time.Second, "redis-server", func() bool {
		_, err := commandsOf(ctx, socket)
		return err == nil
	})
	if err != nil {
		_ = c.kill() // err says more
		return nil, "", err
	}
	return c, socket, nil
}

// commandsOf asks how many commands Redis has done. One question a run does not
// deserve a client library.
func commandsOf(ctx context.Context, socket string) (int64, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, "INFO stats\r\n"); err != nil {
		return 0, err
	}
	r := bufio.NewReader(conn)
	head, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil || size < 0 || size > 1<<20 {
		return 0, fmt.Errorf("redis answered %q", strings.TrimSpace(head))
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, err
	}
	return field(string(body), "total_commands_processed")
}

// field reads a number from an INFO text.
func field(info, name string) (int64, error) {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("INFO has no %s", name)
}
