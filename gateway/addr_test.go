package gateway

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
)

// line is one header line.
type line struct{ name, value string }

func xff(v ...string) []line {
	var out []line
	for _, s := range v {
		out = append(out, line{"X-Forwarded-For", s})
	}
	return out
}

func fwd(v ...string) []line {
	var out []line
	for _, s := range v {
		out = append(out, line{"Forwarded", s})
	}
	return out
}

// from builds the request that a node sees.
func from(peer string, lines []line) *http.Request {
	r := httptest.NewRequest("GET", "/ws", nil)
	r.RemoteAddr = peer
	for _, l := range lines {
		r.Header.Add(l.name, l.value)
	}
	return r
}

func mustTrust(t testing.TB, list string) []netip.Prefix {
	t.Helper()
	p, err := ParseTrusted(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// path is a way from a client to this node.
type path struct {
	name    string
	trusted string
	client  string   // the client's true address
	proxies []string // in the order that the request passes them; the last is our peer
}

var paths = []path{
	{"direct", "10.0.0.0/8", "198.51.100.9", nil},
	{"one proxy", "10.0.0.0/8", "198.51.100.9", []string{"10.0.0.1"}},
	{"two proxies", "10.0.0.0/8, 203.0.113.0/24", "198.51.100.9", []string{"203.0.113.1", "10.0.0.1"}},
	{"v6", "fd00::/8", "2001:db8::9", []string{"fd00::1"}},
	{"v6, two proxies", "fd00::/8 10.0.0.1", "2001:db8::9", []string{"10.0.0.1", "fd00::1"}},
	{"mapped", "10.0.0.0/8", "::ffff:198.51.100.9", []string{"::ffff:10.0.0.1"}},
}

// sent is what clients send in the hope of being somebody else.
var sent = [][]line{
	nil,
	xff(""), xff(" "), xff(","), xff(",,,"), xff("unknown"), xff("garbage"), xff("_hidden"), xff("1.2.3.4"),
	xff("10.0.0.7"), xff("10.0.0.7, 10.0.0.8"), xff("127.0.0.1"), xff("::1"), xff("fd00::7"), xff("fd00::7, fd00::8"),
	xff("1.2.3.4, 10.0.0.7"), xff("10.0.0.7, 1.2.3.4"), xff("1.2.3.4", "5.6.7.8"), xff("", "1.2.3.4", ""),
	xff("::ffff:10.0.0.7"), xff("::ffff:1.2.3.4"), xff("[::1]:80"), xff("1.2.3.4:80"), xff("[1.2.3.4]"), xff("[::1"),
	xff("fe80::1%eth0"), xff("0.0.0.0"), xff("::"), xff("1.2.3.4:99999"), xff("01.2.3.4"), xff("0x0a.0.0.7"), xff("167772167"),
	xff(`"10.0.0.7"`), xff("10.0.0.7/32"), xff("10.0.0.0/8"), xff("1.2.3.4;5.6.7.8"), xff("1.2.3.4 5.6.7.8"),
	xff("\x00"), xff("1.2.3.4\x00"), xff("\xff\xfe"), xff(strings.Repeat("1.2.3.4,", 500)), xff(strings.Repeat("10.0.0.7, ", 500)),
	fwd(""), fwd(","), fwd(";"), fwd("for"), fwd("for="), fwd("for=1.2.3.4"), fwd("For=\"[2001:db8::5]:4711\""), fwd("for=10.0.0.7"),
	fwd("for=10.0.0.7, for=10.0.0.8"), fwd("for=unknown"), fwd("for=_hidden"), fwd("for=1.2.3.4", "for=5.6.7.8"),
	fwd(`for="`), fwd(`for="1.2.3.4`), fwd(`for=1.2.3.4;x="`), fwd(`for=1.2.3.4;x="\`), fwd(`"`), fwd(`"",""`), fwd(`\`), fwd(`x="a, for=`),
	fwd(`for=1.2.3.4;for=5.6.7.8`), fwd(`for="[::1]";by=10.0.0.1;host=a;proto=https`), fwd(`for=::1`), fwd(`for=1.2.3.4 , `), fwd("\x00"),
	{{"X-Real-Ip", "1.2.3.4"}}, {{"True-Client-Ip", "1.2.3.4"}}, {{"Cf-Connecting-Ip", "1.2.3.4"}}, {{"X-Client-Ip", "10.0.0.7"}},
	{{"X-Forwarded", "for=1.2.3.4"}}, {{"Via", "1.1 10.0.0.7"}}, {{"x-forwarded-for", "1.2.3.4"}}, {{"X-FORWARDED-FOR", "10.0.0.7"}},
}

// pass adds what the proxies of a path write behind what the client sent, in
// one line or in lines of their own.
func (p path) pass(lines []line, header string, ownLine bool) []line {
	out := slices.Clone(lines)
	hop := p.client
	for _, next := range p.proxies {
		entry := hop
		if header == "Forwarded" {
			entry = "for=" + hop + ";proto=https"
			if strings.Contains(hop, ":") {
				entry = `proto=https;for="[` + hop + `]:47011"`
			}
		}
		i := len(out) - 1
		for i >= 0 && !strings.EqualFold(out[i].name, header) {
			i--
		}
		if i < 0 || ownLine {
			out = append(out, line{header, entry})
		} else {
			out[i].value += ", " + entry
		}
		hop = next
	}
	return out
}

func (p path) peer() string {
	peer := p.client
	if n := len(p.proxies); n > 0 {
		peer = p.proxies[n-1]
	}
	return netip.AddrPortFrom(netip.MustParseAddr(peer), 40000).String()
}

func TestNothingThatAClientSendsChangesItsAddress(t *testing.T) {
	if len(sent) < 60 {
		t.Fatalf("only %d header combinations", len(sent))
	}
	for _, p := range paths {
		want := netip.MustParseAddr(p.client).Unmap()
		for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
			source := SourcePeer
			if len(p.proxies) > 0 {
				source = strings.ToLower(header)
			}
			for _, ownLine := range []bool{false, true} {
				for _, lines := range sent {
					r := from(p.peer(), p.pass(lines, header, ownLine))
					trust := Trust{Proxies: mustTrust(t, p.trusted), Header: strings.ToLower(header)}
					got, from := trust.Addr(r)
					if got != want || from != source {
						t.Errorf("%s, %s, sent %q: got %s from %s, want %s from %s", p.name, header, lines, got, from, want, source)
					}
					// Believing either header, the other one can only take the
					// address away.
					got, from = clientAddr(r, trust.Proxies)
					if got != want && from != SourceUnknown {
						t.Errorf("%s, either header, sent %q: got %s from %s, want %s", p.name, lines, got, from, want)
					}
				}
			}
		}
	}
}

func TestWhatATrustedProxyWritesIsRead(t *testing.T) {
	const trusted = "10.0.0.0/8,fd00::/8,127.0.0.1"
	const proxy = "10.0.0.1:40000"
	for _, c := range []struct {
		peer  string
		lines []line
		want  string // "" is unknown
		from  string
	}{
		{"198.51.100.9:1", nil, "198.51.100.9", SourcePeer},
		{"[2001:db8::9]:1", nil, "2001:db8::9", SourcePeer},
		{"[::ffff:198.51.100.9]:1", nil, "198.51.100.9", SourcePeer},
		{"[fe80::9%eth0]:1", nil, "fe80::9", SourcePeer},
		{"198.51.100.9:1", xff("1.2.3.4"), "198.51.100.9", SourcePeer},
		{proxy, nil, "10.0.0.1", SourcePeer},
		{proxy, []line{{"X-Real-Ip", "1.2.3.4"}, {"True-Client-Ip", "1.2.3.4"}}, "10.0.0.1", SourcePeer},
		{"[::ffff:10.0.0.1]:1", xff("1.2.3.4"), "1.2.3.4", SourceXFF},
		{"[fd00::1%eth0]:1", xff("1.2.3.4"), "1.2.3.4", SourceXFF},
		// Forms of one entry.
		{proxy, xff("1.2.3.4:5"), "1.2.3.4", SourceXFF},
		{proxy, xff("  1.2.3.4\t"), "1.2.3.4", SourceXFF},
		{proxy, xff("2001:DB8::9"), "2001:db8::9", SourceXFF},
		{proxy, xff("[2001:db8::9]"), "2001:db8::9", SourceXFF},
		{proxy, xff("[2001:db8::9]:443"), "2001:db8::9", SourceXFF},
		{proxy, xff("::ffff:1.2.3.4"), "1.2.3.4", SourceXFF},
		{proxy, xff("[::ffff:1.2.3.4]:443"), "1.2.3.4", SourceXFF},
		{proxy, xff("fe80::9%en0"), "fe80::9", SourceXFF},
		{proxy, xff("[fe80::9%en0]:80"), "fe80::9", SourceXFF},
		{proxy, []line{{"x-FORWARDED-for", "1.2.3.4"}}, "1.2.3.4", SourceXFF},
		// Walking over trusted hops.
		{proxy, xff("1.2.3.4, 10.0.0.2"), "1.2.3.4", SourceXFF},
		{proxy, xff("1.2.3.4,10.0.0.2 , fd00::3"), "1.2.3.4", SourceXFF},
		{proxy, xff("9.9.9.9, 1.2.3.4, 10.0.0.2"), "1.2.3.4", SourceXFF},
		{proxy, xff("9.9.9.9", "1.2.3.4", "10.0.0.2"), "1.2.3.4", SourceXFF},
		{proxy, xff("10.0.0.3, 10.0.0.2"), "10.0.0.3", SourceXFF},
		{proxy, xff("1.2.3.4, ::ffff:10.0.0.2"), "1.2.3.4", SourceXFF},
		// An entry that cannot be read, right of any client's own text.
		{proxy, xff(""), "", SourceUnknown},
		{proxy, xff("unknown"), "", SourceUnknown},
		{proxy, xff("unix:"), "", SourceUnknown},
		{proxy, xff("1.2.3.4, unknown"), "", SourceUnknown},
		{proxy, xff("1.2.3.4,"), "", SourceUnknown},
		{proxy, xff("1.2.3.4, , 10.0.0.2"), "", SourceUnknown},
		{proxy, xff("1.2.3.4", ""), "", SourceUnknown},
		{proxy, xff("1.2.3.4, _x, 10.0.0.2"), "", SourceUnknown},
		{proxy, xff("0.0.0.0"), "", SourceUnknown},
		{proxy, xff("::ffff:0.0.0.0"), "", SourceUnknown},
		{proxy, xff("1.2.3.4:"), "", SourceUnknown},
		{proxy, xff("1.2.3.4:_p"), "", SourceUnknown},
		{proxy, xff("1.2.3.4:65536"), "", SourceUnknown},
		{proxy, xff("1.2.3.4:+80"), "", SourceUnknown},
		{proxy, xff("1.2.3.4:80:80"), "", SourceUnknown},
		{proxy, xff("[1.2.3.4]:80"), "", SourceUnknown},
		{proxy, xff("[::1"), "", SourceUnknown},
		{proxy, xff("[::1]80"), "", SourceUnknown},
		{proxy, xff("::1]:80"), "", SourceUnknown},
		{proxy, xff(`"1.2.3.4"`), "", SourceUnknown},
		{proxy, xff("1.2.3.4%eth0"), "", SourceUnknown},
		{proxy, xff("1.2.3.04"), "", SourceUnknown},
		{proxy, xff("1.2.3.4/32"), "", SourceUnknown},
		// RFC 7239.
		{proxy, fwd("for=1.2.3.4"), "1.2.3.4", SourceForwarded},
		{proxy, fwd("FOR=1.2.3.4;Proto=HTTPS"), "1.2.3.4", SourceForwarded},
		{proxy, fwd(`by=10.0.0.1; for="1.2.3.4:5" ;host="a,b;c\"d"`), "1.2.3.4", SourceForwarded},
		{proxy, fwd(`for="[2001:db8::9]"`), "2001:db8::9", SourceForwarded},
		{proxy, fwd(`for="[2001:db8::9]:_obf"`), "2001:db8::9", SourceForwarded},
		{proxy, fwd(`for=[2001:db8::9]:80`), "2001:db8::9", SourceForwarded},
		{proxy, fwd(`for="\1.2.3.4"`), "1.2.3.4", SourceForwarded},
		{proxy, fwd(`for=1.2.3.4, for="10.0.0.2";x="for=9.9.9.9, "`), "1.2.3.4", SourceForwarded},
		{proxy, fwd("for=9.9.9.9", "for=1.2.3.4,for=10.0.0.2", "for=10.0.0.3"), "1.2.3.4", SourceForwarded},
		{proxy, fwd(`for=1.2.3.4;;`), "1.2.3.4", SourceForwarded},
		{proxy, fwd(""), "", SourceUnknown},
		{proxy, fwd("proto=https"), "", SourceUnknown},
		{proxy, fwd("for=unknown"), "", SourceUnknown},
		{proxy, fwd(`for="_gazonk"`), "", SourceUnknown},
		{proxy, fwd("for=1.2.3.4;for=1.2.3.5"), "", SourceUnknown},
		{proxy, fwd("for=1.2.3.4;for=unknown"), "", SourceUnknown},
		{proxy, fwd("for=2001:db8::9"), "", SourceUnknown},
		{proxy, fwd(`for="2001:db8::9"`), "", SourceUnknown},
		{proxy, fwd("for = 1.2.3.4"), "", SourceUnknown},
		{proxy, fwd("for=1.2.3.4;=x"), "", SourceUnknown},
		{proxy, fwd("for=1.2.3.4;x"), "", SourceUnknown},
		{proxy, fwd(`for=1.2.3.4;x="a"b`), "", SourceUnknown},
		{proxy, fwd(`for=1.2.3.4;x=a b`), "", SourceUnknown},
		{proxy, fwd(`for="1.2.3.4`), "", SourceUnknown},
		{proxy, fwd("for=1.2.3.4,"), "", SourceUnknown},
		// Both headers.
		{proxy, append(xff("1.2.3.4"), fwd("for=1.2.3.4")...), "1.2.3.4", SourceXFF},
		{proxy, append(xff("1.2.3.4"), fwd("for=1.2.3.5")...), "", SourceUnknown},
		{proxy, append(xff("1.2.3.4"), fwd("for=unknown")...), "", SourceUnknown},
		// Unix sockets: as trusted as the loopback address, which is in the list.
		{"@", xff("1.2.3.4"), "1.2.3.4", SourceXFF},
		{"", fwd("for=1.2.3.4"), "1.2.3.4", SourceForwarded},
		{"/run/switchboard.sock", xff("1.2.3.4"), "1.2.3.4", SourceXFF},
		{"@", nil, "", SourceUnknown},
		// Peers that net/http never gives.
		{"garbage", xff("1.2.3.4"), "", SourceUnknown},
		{"10.0.0.1:x", xff("1.2.3.4"), "", SourceUnknown},
		{"0.0.0.0:1", nil, "", SourceUnknown},
	} {
		got, source := clientAddr(from(c.peer, c.lines), mustTrust(t, trusted))
		want := netip.Addr{}
		if c.want != "" {
			want = netip.MustParseAddr(c.want)
		}
		if got != want || source != c.from {
			t.Errorf("%s %q: got %s from %s, want %s from %s", c.peer, c.lines, got, source, want, c.from)
		}
	}
}

func TestAUnixPeerIsNotTrustedUnlessLoopbackIs(t *testing.T) {
	for _, c := range []struct {
		trusted string
		ok      bool
	}{{"", false}, {"10.0.0.0/8", false}, {"127.0.0.0/8", true}, {"::1", true}, {"::ffff:127.0.0.1", true}} {
		a, source := clientAddr(from("@", xff("1.2.3.4")), mustTrust(t, c.trusted))
		if a.IsValid() != c.ok || (source == SourceUnknown) == c.ok {
			t.Errorf("trusted %q: got %s from %s", c.trusted, a, source)
		}
	}
}

func TestOnlyTheChosenHeaderIsRead(t *testing.T) {
	r := from("10.0.0.1:1", append(xff("1.2.3.4"), fwd("for=5.6.7.8")...))
	for header, want := range map[string]string{SourceXFF: "1.2.3.4", SourceForwarded: "5.6.7.8"} {
		got, source := Trust{mustTrust(t, "10.0.0.1"), header}.Addr(r)
		if got.String() != want || source != header {
			t.Errorf("%s: got %s from %s", header, got, source)
		}
	}
}

func TestParseTrustedNamesTheBadItem(t *testing.T) {
	got := mustTrust(t, "10.1.2.3/8, 192.0.2.1\n::ffff:198.51.100.0/120\t,,2001:db8::/32")
	want := []string{"10.0.0.0/8", "192.0.2.1/32", "198.51.100.0/24", "2001:db8::/32"}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i].String() != want[i] {
			t.Errorf("item %d: got %s, want %s", i, got[i], want[i])
		}
	}
	for _, bad := range []string{"x", "10.0.0.0/33", "0.0.0.0/0", "::/0", "fe80::1%a", "10.0.0.1-10.0.0.2", "localhost", "10.0.0.1:80"} {
		_, err := ParseTrusted("10.0.0.1," + bad)
		var e *switchboard.Error
		if !errors.As(err, &e) || e.Code != switchboard.CodeInvalid || e.Field != "trusted_proxies[1]" {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// headerText draws what a client may put into a header: pieces that matter to
// the parsers and plain noise.
var headerText = rapid.OneOf(
	rapid.String(),
	rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
			`"`, `\`, ",", ";", "=", "for=", "For=", " ", "[", "]", ":", "::1", "10.0.0.7", "1.2.3.4", "fd00::7", "unknown", "_x", "by=", "%eth0", "x",
		}), 0, 24).Draw(t, "pieces"), "")
	}),
)

func clientLines(t *rapid.T) []line {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) line {
		name := rapid.SampledFrom([]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via", "X-Forwarded", "Host"})
		return line{name.Draw(t, "name"), headerText.Draw(t, "value")}
	}), 0, 5).Draw(t, "lines")
}

func TestBytesOfAnUntrustedPeerNeverChangeTheResult(t *testing.T) {
	trusted := mustTrust(t, "10.0.0.0/8, fd00::/8, 127.0.0.1")
	rapid.Check(t, func(t *rapid.T) {
		peer := rapid.SampledFrom([]string{"198.51.100.9:1", "[2001:db8::9]:1", "[::ffff:198.51.100.9]:1"}).Draw(t, "peer")
		want, _ := clientAddr(from(peer, nil), trusted)
		got, source := clientAddr(from(peer, clientLines(t)), trusted)
		if got != want || source != SourcePeer {
			t.Fatalf("got %s from %s", got, source)
		}
	})
}

// The same behind proxies: whatever a client sends, what the proxies append is
// what counts.
func TestBytesLeftOfATrustedProxysWordNeverChangeTheResult(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(paths[1:]).Draw(t, "path")
		header := rapid.SampledFrom([]string{"X-Forwarded-For", "Forwarded"}).Draw(t, "header")
		lines := p.pass(clientLines(t), header, rapid.Bool().Draw(t, "own line"))
		prefixes, err := ParseTrusted(p.trusted)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := Trust{prefixes, strings.ToLower(header)}.Addr(from(p.peer(), lines))
		if want := netip.MustParseAddr(p.client).Unmap(); got != want {
			t.Fatalf("%q: got %s, want %s", lines, got, want)
		}
	})
}

func FuzzClientAddr(f *testing.F) {
	f.Add("10.0.0.1:1", "1.2.3.4, 10.0.0.2", `for="[::1]:80", for=10.0.0.1`)
	f.Add("@", "[fe80::1%eth0]:80", `for=a;x="\",`)
	f.Add("[::1]:9", "::ffff:1.2.3.4", `"`)
	trusted := mustTrust(f, "10.0.0.0/8,::1,127.0.0.1")
	f.Fuzz(func(t *testing.T, peer, a, b string) {
		for _, lines := range [][]line{xff(a), fwd(b), xff(a, b), fwd(b, a), append(xff(a), fwd(b)...)} {
			got, source := clientAddr(from(peer, lines), trusted)
			if got.IsValid() == (source == SourceUnknown) {
				t.Fatalf("%q %q: %s from %s", peer, lines, got, source)
			}
			if got.Is4In6() || got.Zone() != "" {
				t.Fatalf("%q %q: %s is not in its plain form", peer, lines, got)
			}
		}
	})
}

// clientAddr believes whichever header came.
func clientAddr(r *http.Request, trusted []netip.Prefix) (netip.Addr, string) {
	return Trust{Proxies: trusted}.Addr(r)
}
