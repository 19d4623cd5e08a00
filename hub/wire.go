package hub

import (
	"encoding/binary"
	"net"
	"sync"
)

// wire is the connection below the library. It sees every byte, so that
// protocol-level pings and pongs, which the library keeps to itself, prove life
// as well; and it gathers what the library writes in pieces, so that a frame
// goes out in one system call with almost no buffer kept per socket.
type wire struct {
	net.Conn
	early []byte // what the client sent before the upgrade was done; read first
	owner *Conn  // set by Open before anybody reads

	// Guarded by the library: it writes one frame at a time.
	part *[]byte // the beginning of a frame that is not complete, pooled
}

var partBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// copyBelow is the size under which copying a piece is cheaper than a gathering
// write.
const copyBelow = 4 << 10

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	w.early = nil
	n, err := w.Conn.Read(p)
	if n > 0 && w.owner != nil {
		w.owner.heard.Store(w.owner.hub.now())
	}
	return n, err
}

// Write implements net.Conn. It keeps an incomplete frame and says that it was
// written; the write that completes the frame sends it and has the error.
func (w *wire) Write(p []byte) (int, error) {
	if w.part == nil {
		if missing(p) == 0 {
			return w.Conn.Write(p)
		}
		w.part = partBuffers.Get().(*[]byte)
		*w.part = append((*w.part)[:0], p...)
		return len(p), nil
	}
	if missing(*w.part) == len(p) && len(p) >= copyBelow {
		return w.send(len(p), *w.part, p)
	}
	*w.part = append(*w.part, p...)
	if missing(*w.part) != 0 {
		return len(p), nil
	}
	return w.send(len(p), *w.part)
}

// send writes what was gathered, gives the buffer back, and answers for the n
// bytes of the Write that completed it.
func (w *wire) send(n int, pieces ...[]byte) (int, error) {
	defer func() {
		partBuffers.Put(w.part)
		w.part = nil
	}()
	bufs := net.Buffers(pieces)
	if _, err := bufs.WriteTo(w.Conn); err != nil {
		return 0, err
	}
	return n, nil
}

// missing returns how many bytes the last frame in b lacks: 0 when b ends where
// a frame ends, -1 when the last frame's header is not whole. Server frames are
// not masked.
func missing(b []byte) int {
	for len(b) > 0 {
		size := frameSize(b)
		if size < 0 {
			return -1
		}
		if size > len(b) {
			return size - len(b)
		}
		b = b[size:]
	}
	return 0
}

// frameSize returns the size of the frame that b starts with, header included,
// -1 when b does not hold the whole header.
func frameSize(b []byte) int {
	if len(b) < 2 {
		return -1
	}
	switch n := int(b[1] & 0x7f); {
	case n < 126:
		return 2 + n
	case n == 126 && len(b) >= 4:
		return 4 + int(binary.BigEndian.Uint16(b[2:]))
	case n == 127 && len(b) >= 10:
		return 10 + int(binary.BigEndian.Uint64(b[2:]))
	}
	return -1
}
