package presence

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/switchboard/switchboard"
)

// Selector says who is meant. Ids that do not exist are passed over. Operators
// named by id are meant even when offline (their old tokens are refused); teams
// and networks mean people who are here.
type Selector struct {
	Operators []switchboard.OperatorID `json:"operators,omitempty"`
	Teams     []switchboard.TeamID     `json:"teams,omitempty"`
	Networks  []string                 `json:"networks,omitempty"` // as ParseNetworks reads them
}

// Modes of an order: what becomes of those who have work.
const (
	// ModeDrain lets the work end first (the default), for OrderSpec.DeadlineMS at most.
	ModeDrain = "drain"
	// ModeNow signs out at once; chats go to the head of their queues.
	ModeNow = "now"
)

// MaxWithin is the longest deadline and fence of an order, in ms: a week.
const MaxWithin = 7 * 24 * 3600 * 1000

// OrderSpec says who is to be signed out, and how. The selectors are a union.
// Its many fields are one request, kept as it was asked for.
type OrderSpec struct {
	ID        switchboard.OrderID      `json:"id"` // from the registry, one per order: doing it again is fine
	Operators []switchboard.OperatorID `json:"operators,omitempty"`
	Teams     []switchboard.TeamID     `json:"teams,omitempty"`
	Networks  []string                 `json:"networks,omitempty"`
	Except    Selector                 `json:"except,omitzero"`     // never these; by network: any connection inside
	Intersect bool                     `json:"intersect,omitempty"` // only who every selector given means
	All       bool                     `json:"all,omitempty"`       // networks mean who has all connections inside, not any

	Mode       string `json:"mode,omitempty"`
	DeadlineMS *int64 `json:"deadline_ms,omitempty"` // of ModeDrain: then chats go to the head of their queues (L-7)
	FenceMS    int64  `json:"fence_ms,omitempty"`    // for how long a new sign-in is refused
	At         int64  `json:"at,omitempty"`          // when it begins, Redis ms; 0: at once
	Standing   bool   `json:"standing,omitempty"`    // by network: also for who connects, until cancelled
	Dry        bool   `json:"dry,omitempty"`         // only say who is meant
	Everybody  bool   `json:"everybody,omitempty"`   // networks may hold all addresses
	Hold       bool   `json:"hold,omitempty"`        // set by NewOrder: nobody is worked on before all have looked

	Reason string `json:"reason,omitempty"` // shown to the operator; at most 500 bytes
	By     string `json:"by"`               // who asked, for the audit
	From   string `json:"from,omitempty"`   // from which address, and how that is known
}

// Validate reports what is wrong with an order, as NewOrder does.
func (s OrderSpec) Validate() error {
	within := func(ms, least int64) bool { return ms >= least && ms <= MaxWithin }
	switch {
	case s.ID <= 0:
		return switchboard.Invalid("id", "a positive integer")
	case len(s.Reason) > 500:
		return switchboard.Invalid("reason", "at most 500 bytes")
	case s.Mode != "" && s.Mode != ModeDrain && s.Mode != ModeNow:
		return switchboard.Invalid("mode", "drain or now")
	case s.DeadlineMS != nil && s.Mode == ModeNow:
		return switchboard.Invalid("deadline_ms", "only with mode drain")
	case s.DeadlineMS != nil && !within(*s.DeadlineMS, 0):
		return switchboard.Invalid("deadline_ms", "0 to 604800000")
	case !within(s.FenceMS, 0):
		return switchboard.Invalid("fence_ms", "0 to 604800000")
	case s.At < 0:
		return switchboard.Invalid("at", "Unix milliseconds")
	case s.Standing && (len(s.Networks) == 0 || len(s.Operators)+len(s.Teams) > 0 || s.All || s.At != 0):
		return switchboard.Invalid("standing", "only for networks, any connection inside, from now on")
	case s.All && len(s.Networks) == 0:
		return switchboard.Invalid("all", "only with networks")
	}
	_, err := s.parse()
	return err
}

// nets are an order's networks, ready to match.
type nets struct{ in, except Networks }

func (s OrderSpec) parse() (n nets, err error) {
	if n.in, err = parseNetworks("networks", s.Networks, s.Everybody); err != nil {
		return n, err
	}
	n.except, err = parseNetworks("except.networks", s.Except.Networks, s.Everybody)
	return n, err
}

// scans reports whether nodes must look through their addresses for the order.
func (s OrderSpec) scans() bool { return len(s.Networks)+len(s.Except.Networks) > 0 }

// holds reports whether nobody may be worked on before everybody has looked: one
// who looks last may say that a person is spared.
func (s OrderSpec) holds() bool { return s.All || len(s.Except.Networks) > 0 }

// inside reports whether the order means only people inside its networks.
func (s OrderSpec) inside() bool { return s.Intersect && len(s.Networks) > 0 }

// spares reports whether ids and teams except an operator.
func (s OrderSpec) spares(op Operator) bool {
	return op.Account == switchboard.AccountDeleted || slices.Contains(s.Except.Operators, op.ID) || memberOf(op, s.Except.Teams)
}

func memberOf(op Operator, teams []switchboard.TeamID) bool {
	return slices.ContainsFunc(op.Teams, func(t switchboard.TeamID) bool { return slices.Contains(teams, t) })
}

// byName returns why the order means an operator by id or team, "" when it does not.
func (s OrderSpec) byName(op Operator) string {
	if s.spares(op) {
		return ""
	}
	named, member := slices.Contains(s.Operators, op.ID), op.Status != switchboard.StatusOffline && memberOf(op, s.Teams)
	if s.Intersect && len(s.Operators) > 0 && len(s.Teams) > 0 {
		named = named && member
		member = named
	}
	switch {
	case named && member:
		return "named, and of a team"
	case named:
		return "named"
	case member:
		return "of a team"
	}
	return ""
}

// covers reports whether the order means an operator who is inside its networks.
func (s OrderSpec) covers(op Operator) bool {
	if s.spares(op) {
		return false
	}
	return !s.Intersect || (len(s.Operators) == 0 || slices.Contains(s.Operators, op.ID)) && (len(s.Teams) == 0 || memberOf(op, s.Teams))
}

// What an address is to an order; bits of OpenOrder.Look.
const (
	Inside   uint8 = 1 << iota // in its networks
	Outside                    // not in them, where that spares (OrderSpec.All)
	Excepted                   // in the networks that it excepts
)

// OpenOrder is an order that looks for people by their addresses. Any number of
// goroutines may use it.
type OpenOrder struct {
	Spec OrderSpec
	nets nets
}

// Look says what an address is to the order: 0 for nothing. An unknown address
// (the zero Addr) is in no network.
func (o OpenOrder) Look(a netip.Addr) (what uint8) {
	if len(o.nets.except) > 0 && o.nets.except.Contains(a) {
		what |= Excepted
	}
	if o.nets.in.Contains(a) {
		what |= Inside
	} else if o.Spec.All {
		what |= Outside
	}
	return what
}

// Found is what a node found at the addresses of one operator's connections.
type Found struct {
	Operator switchboard.OperatorID
	What     uint8  // Inside, Outside and Excepted, of all connections together
	Why      string // of Inside: the address and how it is known
}

// mark is one entry for scripts/ordermore.lua.
type mark struct {
	op   switchboard.OperatorID
	text string
}

func (f Found) marks() (out []mark) {
	for bit, text := range map[uint8]string{Outside: "o", Excepted: "x"} {
		if f.What&bit != 0 {
			out = append(out, mark{f.Operator, text})
		}
	}
	if f.What&Inside != 0 {
		out = append(out, mark{f.Operator, fmt.Sprintf("i at %s", f.Why)})
	}
	return out
}
