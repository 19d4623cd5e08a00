package gateway

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Where a client's address was learned: the closed set of Addr's second
// result, fit for logs, audit and labels.
const (
	SourcePeer      = "peer"            // the other end of the connection
	SourceXFF       = "x-forwarded-for" // a trusted proxy said so
	SourceForwarded = "forwarded"       // likewise, in the words of RFC 7239
	SourceUnknown   = "unknown"         // it could not be learned; the address is the zero Addr
)

// Trust says whose word about a client's address is believed, and in which
// header. Headers that nobody trusted wrote are never read. A Trust is not
// changed once made; any number of goroutines may use it.
type Trust struct {
	// Proxies are the addresses of the proxies in front of this node, each of
	// which must write the header itself. Peers on a Unix socket have no
	// address; they are trusted when 127.0.0.1 or ::1 is.
	Proxies []netip.Prefix
	// Header is SourceXFF, SourceForwarded, or "" for whichever came. With ""
	// two headers that name different clients make the address unknown, since
	// one of them is a client's invention.
	Header string
}

// ParseTrusted reads a list of proxies: CIDR blocks and single addresses,
// separated by commas or white space; an empty list trusts nobody. The error is
// an *Error of CodeInvalid whose Field is "trusted_proxies[i]". A block of all
// addresses is refused: it would let every client choose its own address.
func ParseTrusted(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, item := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
		p, err := presence.ParsePrefix(item)
		if err != nil {
			return nil, switchboard.Invalid("trusted_proxies["+strconv.Itoa(i)+"]", err.Error())
		}
		out = append(out, p)
	}
	return out, nil
}

// Addr returns the address of the client behind a request, without zone and
// with IPv4-mapped IPv6 as IPv4, and where it was learned.
//
// It is the peer's address unless the peer is a trusted proxy. Then the header
// is walked from its right end, which the nearest proxy wrote, over trusted
// addresses to the first other one: everything left of that is the client's own
// text and is not even parsed. If all are trusted the leftmost is the client.
//
// When an entry on the way cannot be read, the answer is the zero Addr and
// SourceUnknown: falling back to a proxy's address would make a stranger look
// like an insider. An unknown address is in no network, and whoever enforces a
// rule about addresses must refuse it.
func (t Trust) Addr(r *http.Request) (netip.Addr, string) {
	peer, known := peerAddr(r.RemoteAddr)
	switch {
	case !known:
		return netip.Addr{}, SourceUnknown
	case peer.IsValid() && !t.trusts(peer):
		return peer, peerSource(r)
	case !peer.IsValid() && !t.trustsLocal():
		return netip.Addr{}, SourceUnknown
	}

	var xff, fwd []string
	if t.Header != SourceForwarded {
		xff = r.Header.Values("X-Forwarded-For")
	}
	if t.Header != SourceXFF {
		fwd = r.Header.Values("Forwarded")
	}
	switch {
	case len(xff) > 0 && len(fwd) > 0:
		a, b := t.walk(xff, lastListed), t.walk(fwd, lastElement)
		if a != b {
			return netip.Addr{}, SourceUnknown
		}
		return sourced(a, SourceXFF)
	case len(xff) > 0:
		return sourced(t.walk(xff, lastListed), SourceXFF)
	case len(fwd) > 0:
		return sourced(t.walk(fwd, lastElement), SourceForwarded)
	}
	return sourced(peer, peerSource(r))
}

func sourced(a netip.Addr, source string) (netip.Addr, string) {
	if !a.IsValid() {
		return a, SourceUnknown
	}
	return a, source
}

// walk goes over header lines from right to left and returns the first address
// that is not trusted, else the leftmost, else (unreadable) the zero Addr. cut
// takes the last entry off a line.
func (t Trust) walk(lines []string, cut func(line string) (rest string, a netip.Addr, more bool)) netip.Addr {
	var a netip.Addr
	for i := len(lines) - 1; i >= 0; i-- {
		for line, more := lines[i], true; more; {
			line, a, more = cut(line)
			if !a.IsValid() || !t.trusts(a) {
				return a
			}
		}
	}
	return a
}

func (t Trust) trusts(a netip.Addr) bool {
	for _, p := range t.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (t Trust) trustsLocal() bool {
	return t.trusts(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || t.trusts(netip.IPv6Loopback())
}

// peerAddr reads http.Request.RemoteAddr. Known with the zero Addr is a Unix
// socket: "@", a path, or nothing at all.
func peerAddr(s string) (a netip.Addr, known bool) {
	if s == "" || s[0] == '@' || s[0] == '/' {
		return netip.Addr{}, true
	}
	a = parseHop(s, false)
	return a, a.IsValid()
}

// lastListed cuts the last address off a line of X-Forwarded-For. An empty
// entry is unreadable, not skipped: whoever wrote it did not know the address,
// and the entry left of it is somebody else's.
func lastListed(line string) (rest string, a netip.Addr, more bool) {
	i := strings.LastIndexByte(line, ',')
	return line[:max(i, 0)], parseHop(strings.Trim(line[i+1:], " \t"), false), i >= 0
}

// parseHop reads an address as proxies write it: bare, in brackets, with a port.
// The answer is the zero Addr when the text is anything else. obfuscated allows
// the port names of RFC 7239 ("_x").
func parseHop(s string, obfuscated bool) netip.Addr {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || !strings.Contains(s[:end], ":") {
			return netip.Addr{}
		}
		host, port = s[1:end], s[end+1:]
	} else if strings.Count(s, ":") == 1 {
		i := strings.IndexByte(s, ':')
		host, port = s[:i], s[i:]
	}
	if port != "" && !validPort(port, obfuscated) {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(host)
	if a = a.WithZone("").Unmap(); err != nil || a.IsUnspecified() {
		return netip.Addr{} // 0.0.0.0 is how some proxies say that they do not know
	}
	return a
}

func validPort(s string, obfuscated bool) bool {
	s, ok := strings.CutPrefix(s, ":")
	if !ok || s == "" {
		return false
	}
	if s[0] == '_' {
		return obfuscated && len(s) > 1
	}
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}
