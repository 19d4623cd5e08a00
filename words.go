// Package switchboard holds the words that every other package of Switchboard
// shares: ids, roles, statuses, frames and error codes. It imports the standard
// library only, and every package may import it.
//
// One word has one meaning everywhere; ARCHITECTURE.md lists them.
package switchboard

import (
	"strconv"
	"strings"
)

// Ids are positive integers given out by Redis; 0 means "none". They are
// integers because the contracts that Switchboard keeps (ChatHub, CCAI) use
// integers on the wire.
type (
	// CompanyID names the account that owns organizations and credentials.
	CompanyID int64
	// OrgID names an organization: the unit of isolation and of routing.
	OrgID int64
	// TeamID names a team of one organization; 0 is the team of everyone.
	TeamID int64
	// OperatorID names a person who answers. It is unique over all organizations.
	OperatorID int64
	// ChatID names a conversation. It is unique within its organization only.
	ChatID int64
	// OrderID names a logout order. It is unique over all organizations.
	OrderID int64
)

// PersonID names a person who may hold sockets: "o" and the operator's id, or
// "v" and the visitor's id. It is safe in keys and nudges: [a-z0-9] only.
type PersonID string

// OperatorPerson returns the person that operator id is.
func OperatorPerson(id OperatorID) PersonID {
	return PersonID("o" + strconv.FormatInt(int64(id), 10))
}

// VisitorPerson returns the person that visitor id is.
func VisitorPerson(id string) PersonID { return PersonID("v" + id) }

// Operator returns the operator's id, and false when the person is a visitor
// or the text is not a person.
func (p PersonID) Operator() (OperatorID, bool) {
	rest, ok := strings.CutPrefix(string(p), "o")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	return OperatorID(n), err == nil && n > 0
}

// SystemPerson is the author of messages that the desk itself writes into a chat: a
// warning that it will be closed, the words of a team's loss policy. It holds no sockets.
const SystemPerson PersonID = "s"

// Visitor reports whether the person is a visitor.
func (p PersonID) Visitor() bool { return strings.HasPrefix(string(p), "v") && len(p) > 1 }

// Role is what a person may do. Operators, supervisors and admins are all
// operators to routing; a supervisor also sees and orders, an admin also sets.
type Role string

// The roles.
const (
	RoleOperator   Role = "operator"
	RoleSupervisor Role = "supervisor"
	RoleAdmin      Role = "admin"
	RoleVisitor    Role = "visitor"
	RoleGuest      Role = "guest" // nobody yet: a page that asks whether anybody is there
)

// Supervises reports whether the role may watch and order other operators.
func (r Role) Supervises() bool { return r == RoleSupervisor || r == RoleAdmin }

// Account is the state of an operator's account; it is a switch set by the
// company and says nothing of presence (contracts.md 2.3).
type Account int

// The account states, by their numbers on the ChatHub wire.
const (
	AccountActive   Account = 0
	AccountInactive Account = 1
	AccountDeleted  Account = 2
)

// Statuses that the system knows by name. The first four are intents that an
// operator may choose; the rest are computed from link, intent and work and
// cannot be chosen. An organization may add custom intents.
const (
	StatusAvailable   = "Available"
	StatusUnavailable = "Unavailable"
	StatusBreak       = "Break"
	StatusMeal        = "Meal"

	StatusInCall  = "In-call"
	StatusInChat  = "In-chat"
	StatusWrapUp  = "Wrap-up"
	StatusOffline = "Offline"

	StatusAway         = "Away"         // every connection is idle
	StatusUnresponsive = "Unresponsive" // offers got no answer
)

// Computed reports whether a status name is one that only the system derives.
func Computed(status string) bool {
	switch status {
	case StatusInCall, StatusInChat, StatusWrapUp, StatusOffline:
		return true
	}
	return false
}

// Automatic reports whether a status is one that only the system sets as an
// intent, over what a person chose.
func Automatic(status string) bool { return status == StatusAway || status == StatusUnresponsive }

// States of a chat.
const (
	ChatWaiting = "waiting" // in its queue
	ChatOffered = "offered" // reserved for one operator until a deadline
	ChatActive  = "active"  // an operator holds it
	ChatParked  = "parked"  // its visitor is gone: it keeps its place and nobody is asked
	ChatClosed  = "closed"  // over; its record is kept for the retention time
)

// What an operator is in a chat. A chat has one holder at a time.
const (
	RoleHold    = "hold"    // it is theirs: it takes their capacity
	RoleJoin    = "join"    // takes part, is seen by the visitor and writes to them
	RoleConsult = "consult" // reads, and writes notes; the visitor does not know
	RoleMonitor = "monitor" // as consult, by a supervisor; nobody is told
)

// Reasons why an offer ended; each outcome has its own word (requirement S-5).
const (
	OfferAccepted    = "accepted"
	OfferDeclined    = "declined"
	OfferTimeout     = "timeout"
	OfferWithdrawn   = "withdrawn"
	OfferVisitorLeft = "visitor_left"
	OfferLost        = "connection_lost"
	OfferSuperseded  = "superseded"
)
