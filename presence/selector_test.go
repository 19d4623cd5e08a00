package presence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
)

func TestNetworksAcceptEveryDocumentedForm(t *testing.T) {
	for _, c := range []struct {
		item    string
		in, out string // addresses separated by spaces
		text    string // how the network is written back
	}{
		{"198.51.100.0/24", "198.51.100.0 198.51.100.255", "198.51.99.255 198.51.101.0", "198.51.100.0-198.51.100.255"},
		{"198.51.100.77/24", "198.51.100.0 198.51.100.255", "198.51.99.255 198.51.101.0", "198.51.100.0-198.51.100.255"},
		{"198.51.100.7", "198.51.100.7 ::ffff:198.51.100.7", "198.51.100.6 198.51.100.8 ::198.51.100.7", "198.51.100.7"},
		{"198.51.100.7/32", "198.51.100.7", "198.51.100.8", "198.51.100.7"},
		{" 198.51.100.7 ", "198.51.100.7", "198.51.100.8", "198.51.100.7"},
		{"10.0.0.250-10.0.1.5", "10.0.0.250 10.0.0.255 10.0.1.0 10.0.1.5", "10.0.0.249 10.0.1.6", "10.0.0.250-10.0.1.5"},
		{"10.0.0.1 - 10.0.0.3", "10.0.0.1 10.0.0.3", "10.0.0.0 10.0.0.4", "10.0.0.1-10.0.0.3"},
		{"10.0.0.9-10.0.0.9", "10.0.0.9", "10.0.0.8 10.0.0.10", "10.0.0.9"},
		{"255.255.255.255", "255.255.255.255", "255.255.255.254 ::", "255.255.255.255"},
		{"2001:db8::17", "2001:db8::17 2001:DB8:0:0:0:0:0:17 2001:db8::17%eth0", "2001:db8::18", "2001:db8::17"},
		{"2001:db8::/32", "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff:: 2001:db9::", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"2001:db8::5-2001:db8::9", "2001:db8::5 2001:db8::9", "2001:db8::4 2001:db8::a", "2001:db8::5-2001:db8::9"},
		{"::ffff:198.51.100.0/120", "198.51.100.3 ::ffff:198.51.100.3", "198.51.101.3", "198.51.100.0-198.51.100.255"},
		{"::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"},
		{"::ffff:10.0.0.1-10.0.0.4", "10.0.0.1 ::ffff:a00:4", "10.0.0.5", "10.0.0.1-10.0.0.4"},
		// A block around the mapped addresses holds IPv6 only.
		{"::/64", "::1 ::ffff:ffff", "10.0.0.1 ::ffff:10.0.0.1", "::-::ffff:ffff:ffff:ffff"},
	} {
		ns, err := ParseNetworks([]string{c.item})
		if err != nil {
			t.Errorf("%q: %v", c.item, err)
			continue
		}
		for _, a := range strings.Fields(c.in) {
			if !ns.Contains(netip.MustParseAddr(a)) || !ns[0].Contains(netip.MustParseAddr(a)) {
				t.Errorf("%q does not hold %s", c.item, a)
			}
		}
		for _, a := range strings.Fields(c.out) {
			if ns.Contains(netip.MustParseAddr(a)) || ns[0].Contains(netip.MustParseAddr(a)) {
				t.Errorf("%q holds %s", c.item, a)
			}
		}
		if got := ns.Strings(); len(got) != 1 || got[0] != c.text {
			t.Errorf("%q is written back as %q, want %q", c.item, got, c.text)
		}
		if ns.Contains(netip.Addr{}) {
			t.Errorf("%q holds the unknown address", c.item)
		}
	}
}

func TestNetworksRefuseGarbageAndNameTheItem(t *testing.T) {
	for _, bad := range []string{
		"", " ", "-", "/", "x", "localhost", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "0x7f.1", "2130706433",
		"1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/+8", "1.2.3.4/08", "1.2.3.4/8/8", "1.2.3.4:80", "[::1]", "[::1]/128",
		"fe80::1%eth0", "fe80::1%eth0/64", "fe80::1%1-fe80::2%1", "::1/129", ":::1", "1.2.3.*", "１.2.3.4",
		"1.2.3.4-", "-1.2.3.4", "1.2.3.4-1.2.3.3", "1.2.3.4-::1", "::1-1.2.3.4", "1.2.3.4-5", "1.2.3.0/24-1.2.4.0/24",
		"1.2.3.4-1.2.3.5-1.2.3.6", "::ffff:1.2.3.4/90", "1.2.3.4\x00", "1.2.3.4,1.2.3.5", "1.2.3.4 1.2.3.5",
		"0.0.0.0/0", "::/0", "10.0.0.0/0", "::ffff:0.0.0.0/96", "0.0.0.0-255.255.255.255",
		"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		ns, err := ParseNetworks([]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", bad})
		var e *switchboard.Error
		if !errors.As(err, &e) || e.Code != switchboard.CodeInvalid || e.Field != "networks[3]" {
			t.Errorf("%q: got %v, %v", bad, ns, err)
		}
		if ns != nil {
			t.Errorf("%q: a part of a wrong selector was taken", bad)
		}
	}
}

func TestNetworksThatTogetherHoldEverybodyAreRefused(t *testing.T) {
	_, err := ParseNetworks([]string{"128.0.0.0/1", "0.0.0.0/1"})
	var e *switchboard.Error
	if !errors.As(err, &e) || e.Field != "networks" {
		t.Fatalf("got %v", err)
	}
}

func TestNetworksAreBoundedInNumber(t *testing.T) {
	items := slices.Repeat([]string{"192.0.2.1"}, MaxNetworks)
	if _, err := ParseNetworks(items); err != nil {
		t.Fatal(err)
	}
	_, err := ParseNetworks(append(items, "192.0.2.2"))
	var e *switchboard.Error
	if !errors.As(err, &e) || e.Field != "networks" {
		t.Fatalf("got %v", err)
	}
}

func TestNoNetworksHoldNobody(t *testing.T) {
	ns, err := ParseNetworks(nil)
	if err != nil || len(ns) != 0 || ns.Contains(netip.MustParseAddr("192.0.2.1")) {
		t.Fatalf("got %v, %v", ns, err)
	}
	if (Network{}).Contains(netip.MustParseAddr("192.0.2.1")) || (Network{}).String() != "" {
		t.Fatal("the zero Network holds an address")
	}
}

// naive is the specification in its slowest form: bytes compared one by one,
// no merging, no search.
type naive struct{ from, to []byte }

func (n naive) contains(b []byte) bool {
	return len(b) == len(n.from) && slices.Compare(n.from, b) <= 0 && slices.Compare(b, n.to) <= 0
}

// bytesOf draws an address out of a small corner of the space, so that hits,
// edges and overlaps are common.
func bytesOf(t *rapid.T, label string) []byte {
	low := rapid.Uint16().Draw(t, label)
	if rapid.Bool().Draw(t, label+" v4") {
		return []byte{10, 0, byte(low >> 8), byte(low)}
	}
	b := make([]byte, 16)
	b[0], b[1], b[14], b[15] = 0x20, 0x01, byte(low>>8), byte(low)
	return b
}

// text writes an address; IPv4 sometimes in its mapped form.
func text(t *rapid.T, b []byte) (s string, mapped bool) {
	a, _ := netip.AddrFromSlice(b)
	if a.Is4() && rapid.Bool().Draw(t, "mapped") {
		return "::ffff:" + a.String(), true
	}
	return a.String(), false
}

func item(t *rapid.T) (string, naive) {
	b := bytesOf(t, "addr")
	s, mapped := text(t, b)
	switch rapid.IntRange(0, 2).Draw(t, "form") {
	case 0:
		return s, naive{b, b}
	case 1:
		bits := rapid.IntRange(1, len(b)*8).Draw(t, "bits")
		n := naive{slices.Clone(b), slices.Clone(b)}
		for i := bits; i < len(b)*8; i++ {
			n.from[i/8] &^= 1 << (7 - i%8)
			n.to[i/8] |= 1 << (7 - i%8)
		}
		if mapped {
			bits += 96
		}
		return fmt.Sprintf("%s/%d", s, bits), n
	default:
		c := bytesOf(t, "end")
		if len(c) != len(b) {
			c = b
		}
		if slices.Compare(c, b) < 0 {
			b, c = c, b
		}
		lo, _ := text(t, b)
		hi, _ := text(t, c)
		return lo + "-" + hi, naive{b, c}
	}
}

func TestNetworksAgreeWithANaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items []string
		var want []naive
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			s, n := item(t)
			items, want = append(items, s), append(want, n)
		}
		ns, err := ParseNetworks(items)
		if err != nil {
			var e *switchboard.Error
			if errors.As(err, &e) && e.Field == "networks" {
				return // 0.0.0.0/1 and its other half: refused by design
			}
			t.Fatal(err)
		}
		again, err := ParseNetworks(ns.Strings())
		if err != nil || !slices.Equal(again, ns) {
			t.Fatalf("%v is read back as %v, %v", ns, again, err)
		}
		// Edges of what was asked for, then random addresses.
		probes := [][]byte{bytesOf(t, "probe"), bytesOf(t, "probe")}
		for _, w := range want {
			from, _ := netip.AddrFromSlice(w.from)
			to, _ := netip.AddrFromSlice(w.to)
			for _, a := range []netip.Addr{from, to, from.Prev(), to.Next()} {
				if a.IsValid() {
					probes = append(probes, a.AsSlice())
				}
			}
		}
		for _, b := range probes {
			hit := slices.ContainsFunc(want, func(n naive) bool { return n.contains(b) })
			a, _ := netip.AddrFromSlice(b)
			for _, a := range []netip.Addr{a, netip.AddrFrom16(a.As16())} {
				if ns.Contains(a) != hit {
					t.Fatalf("%q: %s is in: %v, want %v", items, a, !hit, hit)
				}
			}
		}
	})
}

func FuzzNetworks(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "10.0.0.1-10.0.0.9", "::ffff:10.0.0.1/97", "fe80::1%a", "::-::1", "1.2.3.4-", "::/0"} {
		f.Add(s, "10.0.0.5")
	}
	f.Fuzz(func(t *testing.T, item, probe string) {
		ns, err := ParseNetworks([]string{item})
		if err != nil {
			if switchboard.CodeOf(err) != switchboard.CodeInvalid {
				t.Fatalf("%q: %v", item, err)
			}
			return
		}
		if len(ns) != 1 {
			t.Fatalf("%q became %v", item, ns)
		}
		again, err := ParseNetworks(ns.Strings())
		if err != nil || !slices.Equal(again, ns) {
			t.Fatalf("%q: %v is read back as %v, %v", item, ns, again, err)
		}
		if a, err := netip.ParseAddr(probe); err == nil {
			if ns.Contains(a) != ns.Contains(netip.AddrFrom16(a.WithZone("").As16())) {
				t.Fatalf("%q: %s and its mapped form differ", item, a)
			}
		}
	})
}

// BenchmarkNetworks matches 100,000 addresses, the connections of a large
// node, against selectors of several sizes.
func BenchmarkNetworks(b *testing.B) {
	addrs := make([]netip.Addr, 100_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
	}
	addrs[0] = netip.MustParseAddr("10.0.0.5") // a hit for every size
	for _, size := range []int{1, 10, MaxNetworks} {
		items := make([]string, size)
		for i := range items {
			items[i] = fmt.Sprintf("10.%d.%d.0/25", i/256, i%256)
		}
		ns, err := ParseNetworks(items)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("networks=%d", size), func(b *testing.B) {
			for b.Loop() {
				n := 0
				for _, a := range addrs {
					if ns.Contains(a) {
						n++
					}
				}
				if n == 0 {
					b.Fatal("nothing matched")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(addrs)), "ns/addr")
		})
	}
}
