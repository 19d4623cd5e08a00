package gateway

import (
	"net/netip"
	"strings"
)

// lastElement cuts the last element off a line of Forwarded (RFC 7239) and
// returns the address in its "for", the zero Addr when it names none.
//
// It reads from the right. The usual way, from the left, would let a client
// open a quotation in its own part that swallows what the proxy appended.
func lastElement(line string) (rest string, a netip.Addr, more bool) {
	i := lastOutside(line, ',')
	return line[:max(i, 0)], forAddr(line[i+1:]), i >= 0
}

// lastOutside returns the index of the last sep outside quotations, -1 when
// there is none, scanning from the right.
func lastOutside(s string, sep byte) int {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"':
			// Inside, a quote behind an odd number of backslashes is content.
			if !quoted || backslashes(s[:i])%2 == 0 {
				quoted = !quoted
			}
		case s[i] == sep && !quoted:
			return i
		}
	}
	return -1
}

func backslashes(s string) int { return len(s) - len(strings.TrimRight(s, `\`)) }

// forAddr reads the "for" of one element. It wants exactly one, and every other
// pair well-formed: half-read text proves nothing.
func forAddr(elem string) netip.Addr {
	var a netip.Addr
	seen := false
	for more := true; more; {
		var pair string
		i := lastOutside(elem, ';')
		elem, pair, more = elem[:max(i, 0)], strings.Trim(elem[i+1:], " \t"), i >= 0
		if pair == "" {
			continue // the grammar allows empty pairs
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !isToken(name) {
			return netip.Addr{}
		}
		if value, ok = unquote(value); !ok {
			return netip.Addr{}
		}
		if !strings.EqualFold(name, "for") {
			continue
		}
		if seen {
			return netip.Addr{}
		}
		// IPv6 must stand in brackets here, so a bare one is malformed.
		if strings.Count(value, ":") > 1 && value[0] != '[' {
			return netip.Addr{}
		}
		a, seen = parseHop(value, true), true
	}
	return a
}

// unquote returns the content of a quoted string, or a token as it is. Tokens
// may hold ":" and brackets, since many proxies forget the quotes around ports.
func unquote(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, s != "" && strings.Trim(s, tokenBytes+":[]") == ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i == len(s)-1
		case c == '\\':
			if i++; i == len(s) {
				return "", false
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

const tokenBytes = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func isToken(s string) bool { return s != "" && strings.Trim(s, tokenBytes) == "" }
