package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// This file is the one way out to addresses that customers name. Whoever may set
// a webhook must not reach our inner network by it: the address that is dialed is
// looked at after the name was resolved and just before the connection is made,
// so neither an odd way to write an address nor a name that changes its answer
// helps. Redirects are not followed and proxies of the environment not used.

var errForbiddenAddress = errors.New("the address is not public and the organization does not allow it")

// inner are networks that are no place on the public net, besides those that
// netip knows (loopback, private, link-local, multicast, unspecified). In v6 only
// 2000::/3 is public; listed here are parts of it that lead elsewhere.
var inner = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23",     // Teredo and other assignments of the protocols
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4: holds any v4 address
	"3fff::/20",     // documentation
)

var globalUnicast6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// public reports whether an address is one of the public net.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	if a.Is6() && !globalUnicast6.Contains(a) {
		return false
	}
	for _, p := range inner {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// mayDial decides on a resolved address, "ip:port". Public ones are reached on the
// ports of the web only; those that the organization allows on any.
func mayDial(address string, allow []netip.Prefix) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errForbiddenAddress
	}
	a := to.Addr().Unmap()
	for _, p := range allow {
		if p.Contains(a) {
			return nil
		}
	}
	if !public(a) {
		return errForbiddenAddress
	}
	if to.Port() != 80 && to.Port() != 443 {
		return fmt.Errorf("port %d: only 80 and 443 are dialed", to.Port())
	}
	return nil
}

// egress returns a client for one organization's addresses. resolver is nil for
// the machine's own. Each request has a connection of its own: a kept one would
// outlive a change of what is allowed.
func egress(allow []netip.Prefix, resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Resolver: resolver,
		Control: func(_, address string, _ syscall.RawConn) error { return mayDial(address, allow) }}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 5 * time.Second,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
		},
	}
}
