package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SourceProxied: a trusted proxy said so in a PROXY protocol header.
const SourceProxied = "proxy-protocol"

// proxyListener reads a PROXY protocol header (v1 or v2) in front of every
// connection of a trusted peer, which must send one: whoever guesses whether it
// is there lets a client write it. Bytes of other peers are never looked at.
type proxyListener struct {
	net.Listener
	trust Trust
}

// Accept implements net.Listener. The header is read by whoever first asks the
// connection for its peer or for bytes, not here: a silent peer holds up itself only.
func (l proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if peer, known := peerAddr(c.RemoteAddr().String()); known && l.trust.trusts(peer) {
		return &announced{Conn: c}, nil
	}
	return c, nil
}

// announced is a connection of a trusted peer.
type announced struct {
	net.Conn
	once sync.Once
	addr net.Addr // the client's; nil: the peer's own (LOCAL)
	err  error    // no header, or none that can be read
}

// proxyHeaderWithin bounds the wait for a header.
const proxyHeaderWithin = 5 * time.Second

func (p *announced) head() {
	p.once.Do(func() {
		_ = p.Conn.SetReadDeadline(time.Now().Add(proxyHeaderWithin)) // a closed conn says so at the read
		var from netip.AddrPort
		var local bool
		if from, local, p.err = readProxyHeader(p.Conn); p.err != nil {
			p.addr = unknownAddr{}
			_ = p.Conn.Close()
			return
		}
		_ = p.Conn.SetReadDeadline(time.Time{})
		switch {
		case local:
		case from.IsValid():
			p.addr = net.TCPAddrFromAddrPort(from)
		default:
			p.addr = unknownAddr{}
		}
	})
}

// Read implements net.Conn.
func (p *announced) Read(b []byte) (int, error) {
	if p.head(); p.err != nil {
		return 0, p.err
	}
	return p.Conn.Read(b)
}

// RemoteAddr implements net.Conn: the client's address.
func (p *announced) RemoteAddr() net.Addr {
	if p.head(); p.addr != nil {
		return p.addr
	}
	return p.Conn.RemoteAddr()
}

// unknownAddr is the address of a client whom the proxy does not know.
type unknownAddr struct{}

// Network implements net.Addr.
func (unknownAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (unknownAddr) String() string { return "unknown" }

type proxiedKey struct{}

// proxiedContext remembers for Trust.Addr over what a request came.
func proxiedContext(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*announced); ok {
		return context.WithValue(ctx, proxiedKey{}, p)
	}
	return ctx
}

// peerSource says how the address of a request's peer is known.
func peerSource(r *http.Request) string {
	if p, ok := r.Context().Value(proxiedKey{}).(*announced); ok && p.addr != nil {
		return SourceProxied
	}
	return SourcePeer
}

var errProxyHeader = errors.New("no PROXY protocol header that can be read")

const (
	proxyV2     = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyV1  = 107  // bytes, the line end included
	maxProxyV2  = 2048 // bytes behind the first 16: addresses and extensions
	proxyV2TCP4 = 0x11
	proxyV2TCP6 = 0x21
)

// readProxyHeader reads exactly one header. local: the proxy speaks for itself. The
// zero AddrPort is a client it does not know. The shortest v1 line is longer than
// the signature of v2, so the first 12 bytes tell them apart.
func readProxyHeader(r io.Reader) (from netip.AddrPort, local bool, err error) {
	buf := make([]byte, 16, maxProxyV1)
	if _, err := io.ReadFull(r, buf[:12]); err != nil {
		return from, false, errProxyHeader
	}
	if string(buf[:12]) != proxyV2 {
		from, err = readProxyV1(r, buf[:12])
		return from, false, err
	}
	if _, err := io.ReadFull(r, buf[12:16]); err != nil {
		return from, false, errProxyHeader
	}
	size := int(binary.BigEndian.Uint16(buf[14:]))
	if buf[12]>>4 != 2 || buf[12]&0xf > 1 || size > maxProxyV2 {
		return from, false, errProxyHeader
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return from, false, errProxyHeader
	}
	switch {
	case buf[12]&0xf == 0:
		return from, true, nil
	case buf[13] == proxyV2TCP4 && size >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[:4])), binary.BigEndian.Uint16(body[8:])), false, nil
	case buf[13] == proxyV2TCP6 && size >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[:16])).Unmap(), binary.BigEndian.Uint16(body[32:])), false, nil
	case buf[13] == proxyV2TCP4 || buf[13] == proxyV2TCP6:
		return from, false, errProxyHeader
	}
	return from, false, nil // another family or protocol
}

func readProxyV1(r io.Reader, line []byte) (from netip.AddrPort, err error) {
	for one := make([]byte, 1); line[len(line)-1] != '\n'; line = append(line, one[0]) {
		if len(line) >= maxProxyV1 || !strings.HasPrefix(string(line), "PROXY ") {
			return from, errProxyHeader
		}
		if _, err := io.ReadFull(r, one); err != nil {
			return from, errProxyHeader
		}
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	f := strings.Split(text, " ")
	if !ok || len(f) < 2 || f[0] != "PROXY" {
		return from, errProxyHeader
	}
	if f[1] == "UNKNOWN" {
		return from, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return from, errProxyHeader
	}
	a, e1 := netip.ParseAddr(f[2])
	to, e2 := netip.ParseAddr(f[3])
	port, e3 := strconv.ParseUint(f[4], 10, 16)
	_, e4 := strconv.ParseUint(f[5], 10, 16)
	if errors.Join(e1, e2, e3, e4) != nil || a.Is4() != (f[1] == "TCP4") || to.Is4() != a.Is4() || a.Zone() != "" {
		return from, errProxyHeader
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), nil
}
