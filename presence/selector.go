package presence

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/switchboard/switchboard"
)

// MaxNetworks is the largest number of items in one selector.
const MaxNetworks = 1000

// Network is an unbroken run of addresses of one family, both ends included.
// Every form of text (CIDR, single address, range) becomes one, so matching
// has a single rule. The zero Network holds no address.
type Network struct {
	from, to netip.Addr
}

// Networks is a set of networks in order and without overlaps, as
// ParseNetworks makes it; nothing else may build a non-empty one. It is never
// changed after that, so any number of goroutines may read it.
type Networks []Network

// ParseNetworks reads the networks of a logout order. An item is a CIDR block,
// a single address, or a range "a-b" with both ends included. An IPv4-mapped
// IPv6 address is its IPv4 address; host bits of a block are dropped.
//
// The error is an *Error of CodeInvalid whose Field is "networks[i]", or
// "networks" when there are more than MaxNetworks. Nothing is taken then: a
// selector with a typing error must not sign out the half of it that was right.
// Networks that hold all addresses of a family, alone or together, are refused
// as well: that is far more often a slip than a wish, and whole organizations
// are chosen by team.
func ParseNetworks(items []string) (Networks, error) { return parseNetworks("networks", items, false) }

// parseNetworks is ParseNetworks for another field, and takes all addresses when
// that was confirmed.
func parseNetworks(field string, items []string, everybody bool) (Networks, error) {
	if len(items) > MaxNetworks {
		return nil, switchboard.Invalid(field, fmt.Sprintf("at most %d items", MaxNetworks))
	}
	all := make([]Network, 0, len(items))
	for i, item := range items {
		n, err := parseNetwork(item)
		if err == nil && !everybody && n.everybody() {
			err = errUnconfirmed
		}
		if err != nil {
			return nil, switchboard.Invalid(fmt.Sprintf("%s[%d]", field, i), err.Error())
		}
		all = append(all, n)
	}
	out := merge(all)
	for _, n := range out {
		if !everybody && n.everybody() {
			return nil, switchboard.Invalid(field, "together they hold all addresses, which is refused unless the order is confirmed")
		}
	}
	return out, nil
}

// Contains reports whether the address is in one of the networks. A mapped
// address counts as IPv4 and a zone is ignored. The zero Addr stands for an
// address that could not be learned and is in no network.
func (ns Networks) Contains(a netip.Addr) bool {
	if !a.Is4() { // the common ones are as they are compared
		if !a.IsValid() {
			return false
		}
		a = a.Unmap().WithZone("")
	}
	if len(ns) == 1 {
		return ns[0].holds(a)
	}
	i, found := slices.BinarySearchFunc(ns, a, func(n Network, a netip.Addr) int {
		return n.from.Compare(a)
	})
	if found {
		return true
	}
	// No overlaps: only the last network that begins before a can hold it.
	return i > 0 && ns[i-1].holds(a)
}

// Strings returns the networks as text that ParseNetworks reads back as the
// same set.
func (ns Networks) Strings() []string {
	out := make([]string, len(ns))
	for i, n := range ns {
		out[i] = n.String()
	}
	return out
}

// Contains reports whether the address is in the network, with the same rules
// as Networks.Contains.
func (n Network) Contains(a netip.Addr) bool {
	if !a.IsValid() || !n.from.IsValid() {
		return false
	}
	return n.holds(a.Unmap().WithZone(""))
}

// holds is Contains for an address that is neither mapped nor has a zone.
func (n Network) holds(a netip.Addr) bool {
	// Compare alone would place every IPv4 address below every IPv6 one, which
	// is harmless here because both ends are of one family.
	return n.from.Compare(a) <= 0 && a.Compare(n.to) <= 0
}

// String returns a single address, or the range "a-b".
func (n Network) String() string {
	if n.from == n.to {
		if !n.from.IsValid() {
			return ""
		}
		return n.from.String()
	}
	return n.from.String() + "-" + n.to.String()
}

// ParsePrefix reads a CIDR block or a single address as a masked prefix;
// IPv4-mapped text becomes IPv4. The error is a plain sentence for people and
// never repeats the text.
func ParsePrefix(text string) (netip.Prefix, error) {
	p, err := parsePrefix(text)
	if err == nil && p.Bits() == 0 {
		return netip.Prefix{}, errEverybody
	}
	return p, err
}

func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := parseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text) // refuses zones
	if err != nil {
		return netip.Prefix{}, errNetwork
	}
	if p.Addr().Is4In6() {
		// Fewer than 96 bits would take in addresses outside the mapped block,
		// and nobody who writes ::ffff: means those.
		if p.Bits() < 96 {
			return netip.Prefix{}, errNetwork
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

var (
	errNetwork   = errors.New("must be a CIDR block, an address, or a range a-b")
	errFamilies  = errors.New("both ends of a range must be of one family, the lower first")
	errEverybody = errors.New("a network of all addresses is refused")

	errUnconfirmed = errors.New("a network of all addresses is refused unless the order is confirmed")
)

func parseNetwork(text string) (Network, error) {
	text = strings.TrimSpace(text)
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		p, err := parsePrefix(text)
		if err != nil {
			return Network{}, err
		}
		return Network{from: p.Addr(), to: last(p)}, nil
	}
	from, err := parseAddr(strings.TrimSpace(low))
	if err != nil {
		return Network{}, err
	}
	to, err := parseAddr(strings.TrimSpace(high))
	if err != nil {
		return Network{}, err
	}
	if from.BitLen() != to.BitLen() || to.Less(from) {
		return Network{}, errFamilies
	}
	return Network{from: from, to: to}, nil
}

// everybody reports whether the network is a whole address family.
func (n Network) everybody() bool {
	return n.from.IsUnspecified() && !n.to.Next().IsValid()
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, errNetwork
	}
	return a.Unmap(), nil
}

// last returns the highest address of a masked prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // the length is that of an address
	return a
}

// merge sorts the networks and joins those that overlap or touch. IPv4 sorts
// before IPv6 and the highest IPv4 address has no next one, so families never
// join.
func merge(all []Network) Networks {
	slices.SortFunc(all, func(a, b Network) int { return a.from.Compare(b.from) })
	var out Networks
	for _, n := range all {
		if k := len(out) - 1; k >= 0 && touches(out[k], n) {
			if out[k].to.Less(n.to) {
				out[k].to = n.to
			}
			continue
		}
		out = append(out, n)
	}
	return out
}

// touches reports whether b, which begins no earlier than a, overlaps a or
// begins right behind it.
func touches(a, b Network) bool {
	return b.from.Compare(a.to) <= 0 || a.to.Next() == b.from
}
