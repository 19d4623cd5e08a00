package hub

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"strings"
	"testing"
)

// recorder is a connection that keeps what was written, call by call.
type recorder struct {
	net.Conn
	calls [][]byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.calls = append(r.calls, bytes.Clone(p))
	return len(p), nil
}

// frame returns a server's frame with a payload of n bytes.
func frame(n int) []byte {
	b := []byte{0x81}
	switch {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, strings.Repeat("x", n)...)
}

// FuzzWireKeepsBytes writes frames cut into arbitrary pieces: all bytes come
// out, in order, nothing before its frame is whole, and nothing stays behind.
func FuzzWireKeepsBytes(f *testing.F) {
	f.Add(uint32(0), uint32(5), []byte{1, 1, 1})
	f.Add(uint32(125), uint32(126), []byte{2, 16, 200})
	f.Add(uint32(70_000), uint32(4_096), []byte{16, 255, 255, 0, 3})
	f.Fuzz(func(t *testing.T, first, second uint32, cuts []byte) {
		sent := append(frame(int(first%100_000)), frame(int(second%100_000))...)
		rec := &recorder{}
		w, rest, written := &wire{Conn: rec}, sent, 0
		write := func(p []byte) {
			if n, err := w.Write(p); n != len(p) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(p), err)
			}
			written += len(p)
			if out := len(bytes.Join(rec.calls, nil)); out > written || missing(sent[:out]) != 0 {
				t.Fatalf("%d bytes went out after %d were written: not whole frames", out, written)
			}
		}
		for _, cut := range cuts {
			n := min(int(cut)*17, len(rest))
			write(rest[:n])
			rest = rest[n:]
		}
		write(rest)
		if !bytes.Equal(bytes.Join(rec.calls, nil), sent) {
			t.Error("what came out is not what went in")
		}
		if w.part != nil {
			t.Error("something stayed behind")
		}
	})
}

func TestFrameOfTheLibraryGoesOutInOneWrite(t *testing.T) {
	for _, size := range []int{0, 5, 200, 3 << 10} {
		rec := &recorder{}
		w := &wire{Conn: rec}
		// As the library does it: header and payload through its small buffer.
		bw := bufio.NewWriterSize(w, writeBufferSize)
		whole := frame(size)
		header := len(whole) - size
		for _, b := range whole[:header] {
			if err := bw.WriteByte(b); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := bw.Write(whole[header:]); err != nil {
			t.Fatal(err)
		}
		if err := bw.Flush(); err != nil {
			t.Fatal(err)
		}
		if len(rec.calls) != 1 || !bytes.Equal(rec.calls[0], whole) {
			t.Errorf("a payload of %d bytes took %d writes", size, len(rec.calls))
		}
	}
}

// TestEarlyFrameIsNotLost sends the upgrade request and a first frame in one
// segment, as a client may that knows what the server speaks.
func TestEarlyFrameIsNotLost(t *testing.T) {
	got := make(chan string, 1)
	r := newRig(t, Config{}, Handlers{Frame: func(_ *Conn, frame []byte) { got <- string(frame) }})
	masked := append([]byte{0x81, 0x80 | 5, 0, 0, 0, 0}, "early"...) // masked with zeros
	rawUpgrade(t, serve(t, r.Hub).Listener.Addr().String(), masked)
	if g := <-got; g != "early" {
		t.Errorf("the first frame is %q", g)
	}
}

// rawUpgrade opens a socket without a client library; early follows the request
// in the same segment.
func rawUpgrade(t testing.TB, addr string, early []byte) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() }) // perhaps closed by the test
	request := "GET / HTTP/1.1\r\nHost: hub.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	if _, err := nc.Write(append([]byte(request), early...)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	return nc
}

func TestHijackedWithoutUpgradeHasNoConn(t *testing.T) {
	if c := SmallBuffers(nil).Conn(); c != nil {
		t.Errorf("a connection before the upgrade: %v", c)
	}
}
