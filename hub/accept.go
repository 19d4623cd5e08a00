package hub

import (
	"bufio"
	"net"
	"net/http"
)

// This file is the one place in which the hub meets net/http. The buffers that
// a hijack returns stay with the socket for its life, so how small they are is
// decided here, beside the code that relies on it, and not among the routes.

// Sizes of the library's buffers. Client frames are short, and a longer read
// goes past the buffer; what is written is gathered by wire.
const (
	readBufferSize  = 512
	writeBufferSize = 16
)

// Hijacked is a ResponseWriter for websocket.Accept that gives the socket small
// buffers of its own instead of net/http's, and remembers the connection. Let
// go of it, of the request and of its context after the upgrade: what they hold
// is three times what the socket needs.
type Hijacked struct {
	http.ResponseWriter
	conn *wire
}

var _ http.Hijacker = (*Hijacked)(nil)

// SmallBuffers wraps the ResponseWriter of an upgrade request.
func SmallBuffers(w http.ResponseWriter) *Hijacked { return &Hijacked{ResponseWriter: w} }

// Conn returns the connection to give to Hub.Open, nil before the upgrade.
func (hj *Hijacked) Conn() net.Conn {
	if hj.conn == nil {
		return nil
	}
	return hj.conn
}

// Hijack implements http.Hijacker; websocket.Accept calls it.
func (hj *Hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(hj.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	hj.conn = &wire{Conn: nc}
	if n := rw.Reader.Buffered(); n > 0 {
		// A client may send its first frame without waiting for our answer.
		early, err := rw.Reader.Peek(n)
		if err != nil {
			return nil, nil, err
		}
		hj.conn.early = append([]byte(nil), early...)
	}
	return hj.conn, bufio.NewReadWriter(
		bufio.NewReaderSize(hj.conn, readBufferSize),
		bufio.NewWriterSize(hj.conn, writeBufferSize)), nil
}
