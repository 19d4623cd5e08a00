package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// client is a WebSocket client of one goroutine and small buffers: the crowd must
// not cost more than what it measures. It masks with zeros, which the protocol
// allows (RFC 6455 5.3 wants them unpredictable for the sake of proxies; there
// are none here).
type client struct {
	nc net.Conn
	r  *bufio.Reader
	mu sync.Mutex // one frame at a time

	operator bool // which side of a chat, where it matters
}

const upgrade = "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUser-Agent: switchboard-bench\r\n\r\n"

var errRefused = errors.New("not upgraded")

// dial opens a socket from the i-th of eight loopback addresses, so that the
// ports of one do not run out.
func dial(addr string, i int) (*client, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, r: bufio.NewReaderSize(nc, 1024)}
	if _, err := fmt.Fprintf(nc, upgrade, addr); err != nil {
		nc.Close()
		return nil, err
	}
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second)) // a closed conn says so at the read
	status, err := c.r.ReadString('\n')
	for line := status; err == nil && line != "\r\n"; line, err = c.r.ReadString('\n') {
	}
	if err == nil && !strings.Contains(status, " 101 ") {
		err = fmt.Errorf("%w: %s", errRefused, strings.TrimSpace(status))
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	_ = nc.SetReadDeadline(time.Time{})
	return c, nil
}

// send writes one text frame.
func (c *client) send(text []byte) error {
	head := make([]byte, 0, 14+len(text))
	head = append(head, 0x81)
	switch n := len(text); {
	case n < 126:
		head = append(head, 0x80|byte(n))
	default:
		head = append(head, 0x80|126)
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	}
	head = append(head, 0, 0, 0, 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.nc.Write(append(head, text...))
	return err
}

// read returns the next text frame, valid until the next read. Control frames
// are passed over: the nodes ping by objects.
func (c *client) read(buf []byte) ([]byte, error) {
	for {
		var h [2]byte
		if _, err := readFull(c.r, h[:]); err != nil {
			return nil, err
		}
		n := int(h[1] & 0x7f)
		switch n {
		case 126:
			var x [2]byte
			if _, err := readFull(c.r, x[:]); err != nil {
				return nil, err
			}
			n = int(binary.BigEndian.Uint16(x[:]))
		case 127:
			var x [8]byte
			if _, err := readFull(c.r, x[:]); err != nil {
				return nil, err
			}
			n = int(binary.BigEndian.Uint64(x[:]))
		}
		if n > cap(buf) {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		if _, err := readFull(c.r, buf); err != nil {
			return nil, err
		}
		switch h[0] & 0x0f {
		case 8:
			return nil, errors.New("closed by the node")
		case 1:
			return buf, nil
		}
	}
}

func readFull(r *bufio.Reader, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
