package hub

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

const manyAddrs = 100_000

// addressed is a hub that holds many identified connections of one organization,
// without sockets: 10.0.0.0 on, one for each person.
func addressed(b *testing.B) (*Hub, []netip.Addr) {
	h := New(Config{}, Handlers{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	var addrs []netip.Addr
	for i := range manyAddrs {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		addrs = append(addrs, a)
		c := &Conn{hub: h, addr: a}
		p := person{1, switchboard.OperatorPerson(switchboard.OperatorID(i + 1))}
		s := h.shardOf(p)
		if _, err := h.join(s, c, p, Identity{Org: p.org, Person: p.id}); err != nil {
			b.Fatal(err)
		}
	}
	return h, addrs
}

// BenchmarkMatch looks through 100,000 live addresses for one prefix, as each node
// does for a logout order by network (about a millisecond is promised), against a
// straight loop over the same addresses in one slice: its floor. Few are inside in
// "one in 390", two of three in "65,536".
func BenchmarkMatch(b *testing.B) {
	h, addrs := addressed(b)
	b.Run("straight loop", func(b *testing.B) {
		prefix := netip.MustParsePrefix("10.1.0.0/24")
		for b.Loop() {
			n := 0
			for _, a := range addrs {
				if prefix.Contains(a) {
					n++
				}
			}
			if n != 256 {
				b.Fatal(n)
			}
		}
	})
	for _, c := range []struct {
		name, prefix string
		inside       int
	}{{"one in 390", "10.1.0.0/24", 256}, {"65,536", "10.0.0.0/16", 65_536}} {
		b.Run(c.name, func(b *testing.B) {
			prefix := netip.MustParsePrefix(c.prefix)
			b.ReportAllocs()
			for b.Loop() {
				found := h.Match(1, func(a netip.Addr) uint8 {
					if prefix.Contains(a) {
						return 1
					}
					return 0
				})
				if len(found) != c.inside {
					b.Fatal(len(found))
				}
			}
		})
	}
}
