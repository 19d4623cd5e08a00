package gateway

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// proxyV2Header builds a header of version 2.
func proxyV2Header(command, family byte, body []byte) string {
	out := append([]byte(proxyV2), 0x20|command, family)
	out = binary.BigEndian.AppendUint16(out, uint16(len(body)))
	return string(append(out, body...))
}

func v2Addrs(from, to string, ports ...byte) []byte {
	a, b := netip.MustParseAddr(from), netip.MustParseAddr(to)
	return append(append(append([]byte{}, a.AsSlice()...), b.AsSlice()...), append([]byte{0x9c, 0x40, 0x01, 0xbb}, ports...)...)
}

// tellsAddr is a server that answers what it takes for the client's address; peers on
// loopback are trusted when trusted is.
func tellsAddr(t *testing.T, trusted bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trust := Trust{Proxies: mustTrust(t, "192.0.2.1")}
	if trusted {
		trust.Proxies = mustTrust(t, "127.0.0.1,10.0.0.0/8")
	}
	srv := &http.Server{ConnContext: proxiedContext, ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, source := trust.Addr(r)
		fmt.Fprint(w, a, " ", source)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(proxyListener{l, trust}) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr().String()
}

func speak(t *testing.T, addr, header, more string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, header+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+more+"\r\n"); err != nil {
		return "closed"
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed"
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 {
		return fmt.Sprint(res.StatusCode)
	}
	return string(body)
}

// L-8: a load balancer in front says who the client is, in either version; only a
// trusted one is believed, and must say it.
func TestProxyProtocol(t *testing.T) {
	yes, no := tellsAddr(t, true), tellsAddr(t, false)
	v4, v6 := v2Addrs("198.51.100.9", "203.0.113.1"), v2Addrs("2001:db8::9", "2001:db8::1")
	for _, row := range []struct{ what, header, more, want string }{
		{"v1", "PROXY TCP4 198.51.100.9 203.0.113.1 40000 443\r\n", "", "198.51.100.9 proxy-protocol"},
		{"v1, v6", "PROXY TCP6 2001:db8::9 2001:db8::1 40000 443\r\n", "", "2001:db8::9 proxy-protocol"},
		{"v1, mapped", "PROXY TCP6 ::ffff:198.51.100.9 ::ffff:203.0.113.1 40000 443\r\n", "", "198.51.100.9 proxy-protocol"},
		{"v1, unknown", "PROXY UNKNOWN\r\n", "", "invalid IP unknown"},
		{"v1, unknown with more", "PROXY UNKNOWN ffff:f...f:ffff 1 2\r\n", "", "invalid IP unknown"},
		{"v2", proxyV2Header(1, proxyV2TCP4, v4), "", "198.51.100.9 proxy-protocol"},
		{"v2, v6", proxyV2Header(1, proxyV2TCP6, v6), "", "2001:db8::9 proxy-protocol"},
		{"v2 with extensions", proxyV2Header(1, proxyV2TCP4, append(v4, 4, 0, 1, 'x')), "", "198.51.100.9 proxy-protocol"},
		{"v2, local", proxyV2Header(0, 0, nil), "", "127.0.0.1 peer"},
		{"v2, unix", proxyV2Header(1, 0x31, make([]byte, 216)), "", "invalid IP unknown"},
		{"behind it a header that the client wrote", "PROXY TCP4 198.51.100.9 203.0.113.1 40000 443\r\n", "X-Forwarded-For: 1.2.3.4\r\n", "198.51.100.9 proxy-protocol"},
		{"behind it a proxy that is trusted too", "PROXY TCP4 10.0.0.7 203.0.113.1 40000 443\r\n", "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4 x-forwarded-for"},
		{"none", "", "", "closed"},
		{"v1, too long", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "", "closed"},
		{"v1, half", "PROXY TCP4 198.51.100.9\r\n", "", "closed"},
		{"v1, families mixed", "PROXY TCP4 2001:db8::9 203.0.113.1 1 2\r\n", "", "closed"},
		{"v1, port", "PROXY TCP4 198.51.100.9 203.0.113.1 70000 443\r\n", "", "closed"},
		{"v1, bare line feed", "PROXY TCP4 198.51.100.9 203.0.113.1 40000 443\n", "", "closed"},
		{"v2, short", proxyV2Header(1, proxyV2TCP4, v4[:8]), "", "closed"},
		{"v2, version 3", proxyV2[:12] + "\x31\x11\x00\x0c" + string(v4), "", "closed"},
		{"v2, too long", proxyV2 + "\x21\x11\xff\xff", "", "closed"},
	} {
		if got := speak(t, yes, row.header, row.more); got != row.want {
			t.Errorf("%s: got %q, want %q", row.what, got, row.want)
		}
		want := "400"
		if row.header == "" {
			want = "127.0.0.1 peer"
		}
		if got := speak(t, no, row.header, row.more); got != want && !(want == "400" && got == "closed") {
			t.Errorf("%s, of a stranger: got %q, want %q", row.what, got, want)
		}
	}
}

// A peer that says nothing holds up nobody else.
func TestProxyProtocolOfASilentPeer(t *testing.T) {
	addr := tellsAddr(t, true)
	for range 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	began := time.Now()
	if got := speak(t, addr, "PROXY UNKNOWN\r\n", ""); got != "invalid IP unknown" || time.Since(began) > 4*time.Second {
		t.Errorf("got %q after %v", got, time.Since(began))
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 198.51.100.9 203.0.113.1 40000 443\r\nrest"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(proxyV2Header(1, proxyV2TCP6, v2Addrs("2001:db8::9", "2001:db8::1"))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		from, local, err := readProxyHeader(r)
		if err != nil && (from.IsValid() || local) || local && from.IsValid() {
			t.Fatalf("%v %v %v", from, local, err)
		}
		if from.IsValid() && (from.Addr().Is4In6() || from.Addr().Zone() != "") {
			t.Fatalf("%v is not in its plain form", from)
		}
		if used := len(raw) - r.Len(); used > 16+maxProxyV2 {
			t.Fatalf("%d bytes were read", used)
		}
	})
}

// Without a connection of ours a request's peer is the peer.
func TestPeerSource(t *testing.T) {
	if got := peerSource(httptest.NewRequest("GET", "/", nil)); got != SourcePeer {
		t.Errorf("got %q", got)
	}
}
