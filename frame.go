package switchboard

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Limits of the socket protocol (docs/protocol.md). Sizes are bytes.
const (
	// MaxFrame is the largest WebSocket message a client may send; a larger one
	// closes the socket with 1009.
	MaxFrame = 32 << 10
	// MaxText is the largest text of one chat message.
	MaxText = 8 << 10
	// MaxObjects is the largest number of objects in one client frame.
	MaxObjects = 64
)

// Close codes of the socket (ARCHITECTURE.md, "The socket"). Codes below 4000
// are RFC 6455's own.
const (
	CloseProtocol     = 4000 // fix the client; do not loop
	CloseExpired      = 4001 // get a new token, reconnect
	CloseLoggedOut    = 4003 // do not reconnect
	CloseSlow         = 4008 // reconnect and resume
	ClosePositionLost = 4010 // reserved, sent by nobody: resumed says ok false instead; reconnect without resume
	CloseMoving       = 4012 // reconnect elsewhere after the given time
	CloseTooFast      = 4029 // back off
)

// Kind is the "t" of a frame object.
type Kind string

// Kinds that a client sends.
const (
	KindHello     Kind = "hello"
	KindAuth      Kind = "auth"
	KindPong      Kind = "pong"
	KindSignOut   Kind = "signout"
	KindStatus    Kind = "status"
	KindIdle      Kind = "idle"
	KindStart     Kind = "chat.start"
	KindAccept    Kind = "offer.accept"
	KindDecline   Kind = "offer.decline"
	KindClose     Kind = "chat.close"
	KindCallStart Kind = "call.start"
	KindCallRenew Kind = "call.renew"
	KindCallEnd   Kind = "call.end"
	KindWatch     Kind = "watch"
	KindResume    Kind = "resume"
	KindClaim     Kind = "chat.claim"
	KindHere      Kind = "chat.here"
	KindTransfer  Kind = "chat.transfer"
	KindInvite    Kind = "chat.invite"
	KindJoin      Kind = "chat.join"
	KindPart      Kind = "chat.part"
)

// Kinds that both sides send.
const (
	KindMessage Kind = "message"
	KindTyping  Kind = "typing"
	KindViewing Kind = "viewing"
	KindNote    Kind = "note"
)

// Kinds that the server sends.
const (
	KindReady     Kind = "ready"
	KindPing      Kind = "ping"
	KindOK        Kind = "ok"
	KindError     Kind = "error"
	KindAck       Kind = "ack"
	KindResumed   Kind = "resumed"
	KindChat      Kind = "chat"
	KindOffer     Kind = "offer"
	KindOfferGone Kind = "offer.gone"
	KindSelf      Kind = "self"
	KindPending   Kind = "pending"
	KindPresence  Kind = "presence"
	KindQueue     Kind = "queue"
	KindLeaving   Kind = "leaving"
	KindLogout    Kind = "logout"
	KindMoving    Kind = "moving"
	KindGap       Kind = "gap"
	KindDegraded  Kind = "degraded"
	KindLogouts   Kind = "logouts"
	KindLost      Kind = "lost"

	KindChatGone   Kind = "chat.gone"
	KindInviteGone Kind = "invite.gone"

	KindAvailability Kind = "availability"
)

// Position is where a reader stands in a chat's log: "<seq>-<gen>", the id of
// the last message it has; "" is the beginning.
type Position = string

// ChatPosition is one chat's position in a hello or resume.
type ChatPosition struct {
	Chat ChatID   `json:"chat"`
	Pos  Position `json:"pos"`
}

// In is one object from a client. Which fields count depends on T
// (docs/protocol.md has the table); unknown fields are ignored so that older
// nodes accept newer clients.
type In struct {
	T        Kind           `json:"t"`
	Re       string         `json:"re,omitempty"` // request id, echoed in the answer; at most 64 bytes
	V        int            `json:"v,omitempty"`
	Org      OrgID          `json:"org,omitempty"`   // of a hello without a token: a guest of the organization
	Token    string         `json:"token,omitempty"` // person's token (hello, auth) or offer token (offer.*)
	Chats    []ChatPosition `json:"chats,omitempty"`
	Watch    []string       `json:"watch,omitempty"`
	Status   string         `json:"status,omitempty"`
	Version  int64          `json:"version,omitempty"`
	ForMS    int64          `json:"for_ms,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Idle     bool           `json:"idle,omitempty"`
	Chat     ChatID         `json:"chat,omitempty"`
	Team     TeamID         `json:"team,omitempty"`
	Cmid     string         `json:"cmid,omitempty"`
	Text     string         `json:"text,omitempty"`
	Page     string         `json:"page,omitempty"`
	On       bool           `json:"on,omitempty"`
	Private  bool           `json:"private,omitempty"`
	Away     bool           `json:"away,omitempty"` // of viewing: open, but not looked at now
	Call     string         `json:"call,omitempty"`
	When     string         `json:"when,omitempty"`
	Operator OperatorID     `json:"operator,omitempty"`
	Seen     *int64         `json:"seen,omitempty"` // of a message: the last seq that its author has seen
	// Operators on the screen, of a watch; nil: all.
	Operators []OperatorID    `json:"operators,omitempty"`
	Over      bool            `json:"over,omitempty"`
	Language  string          `json:"language,omitempty"`
	Skills    []Need          `json:"skills,omitempty"`
	Role      string          `json:"role,omitempty"`    // in a chat
	ToTeam    *TeamID         `json:"to_team,omitempty"` // of a transfer; nil: the chat's own
	Queue     bool            `json:"queue,omitempty"`
	Extra     json.RawMessage `json:"extra,omitempty"`
}

// Need is one skill that a chat asks for; a language is the skill lang:<code>.
type Need struct {
	Skill     string `json:"skill"`
	Level     int    `json:"level,omitempty"`     // at least, 1 to 10; 0 is 1
	Preferred bool   `json:"preferred,omitempty"` // counts for a while only
}

// SplitFrame returns the objects of a client frame: JSON objects separated by
// newlines; empty lines are skipped. The error is an *Error that names what is
// wrong: CodeTooLarge for too many objects, CodeInvalid for bad UTF-8.
func SplitFrame(frame []byte) ([][]byte, error) {
	if !utf8.Valid(frame) {
		return nil, Invalid("frame", "a frame must be valid UTF-8")
	}
	var out [][]byte
	for len(frame) > 0 {
		line, rest, _ := bytes.Cut(frame, []byte{'\n'})
		frame = rest
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if len(out) == MaxObjects {
			return nil, Errorc(CodeTooLarge, "too many objects in one frame")
		}
		out = append(out, line)
	}
	return out, nil
}

// DecodeIn reads one object. The error is an *Error of CodeInvalid whose Field
// is the JSON field at fault, or "frame" when the text is not a JSON object.
func DecodeIn(line []byte) (In, error) {
	var in In
	if len(line) == 0 || line[0] != '{' {
		return in, Invalid("frame", "each line of a frame must be a JSON object")
	}
	if err := json.Unmarshal(line, &in); err != nil {
		if te, ok := err.(*json.UnmarshalTypeError); ok && te.Field != "" {
			return in, Invalid(te.Field, "wrong type: expected "+te.Type.String()+", got "+te.Value)
		}
		return in, Invalid("frame", "not valid JSON")
	}
	switch {
	case in.T == "":
		return in, Invalid("t", "the kind of the frame is missing")
	case len(in.Re) > 64:
		return in, Invalid("re", "at most 64 bytes")
	case len(in.Cmid) > 64:
		return in, Invalid("cmid", "at most 64 bytes")
	case len(in.Text) > MaxText:
		return in, &Error{Code: CodeTooLarge, Field: "text", Message: "at most 8192 bytes"}
	}
	return in, nil
}

// Message is one stored message of a chat, as the wire carries it.
type Message struct {
	T    Kind     `json:"t"` // KindMessage; empty inside resumed
	Chat ChatID   `json:"chat"`
	Pos  Position `json:"pos"`
	Seq  int64    `json:"seq"` // 1, 2, 3 ... without gaps within the chat
	At   int64    `json:"at"`  // Redis time, Unix milliseconds
	From PersonID `json:"from"`
	Name string   `json:"name,omitempty"`
	Cmid string   `json:"cmid"`
	Text string   `json:"text"`
}

// Chat tells a party where a chat stands now.
type Chat struct {
	T        Kind       `json:"t"`
	Chat     ChatID     `json:"chat"`
	State    string     `json:"state"`
	Team     TeamID     `json:"team,omitempty"`
	Visitor  *Visitor   `json:"visitor,omitempty"`  // to operators only
	Operator *Colleague `json:"operator,omitempty"` // once somebody holds it
	Place    int64      `json:"place,omitempty"`    // 1 is next; only while waiting
	Opens    int64      `json:"opens,omitempty"`    // Unix ms: it waits for its team to open; only where that is known
	Wait     *int64     `json:"wait_ms,omitempty"`  // only while waiting: perhaps so long until its turn; -1: unknown
	Since    int64      `json:"since,omitempty"`    // when the chat was started, Unix ms
	Pos      Position   `json:"pos,omitempty"`      // position of the last message
	Here     *bool      `json:"here,omitempty"`     // to operators: is the visitor connected
	Reason   string     `json:"reason,omitempty"`   // why it was closed
	Silent   bool       `json:"silent,omitempty"`   // to operators: its visitor is silent, it takes no units
	Still    int64      `json:"still,omitempty"`    // Unix ms: say chat.here until then, or nobody is asked
	// Who takes part besides Operator; to a visitor those only whom they see.
	With    []Colleague `json:"with,omitempty"`
	Invites []Colleague `json:"invites,omitempty"` // to operators: who is asked to come in, or (hold) to take it over
	Role    string      `json:"role,omitempty"`    // to an operator who does not hold it: what they are in it
}

// Visitor is what an operator sees of a visitor; the texts are the visitor's
// own words and prove nothing.
type Visitor struct {
	ID    PersonID `json:"id"`
	Name  string   `json:"name,omitempty"`
	Email string   `json:"email,omitempty"`
	Page  string   `json:"page,omitempty"`
}

// Colleague is what others see of an operator in a chat.
type Colleague struct {
	ID   OperatorID `json:"id"`
	Name string     `json:"name"`
	Role string     `json:"role,omitempty"` // to operators
	Away bool       `json:"away,omitempty"` // has lost the connection and is waited for
}

// Lost tells supervisors of an operator who is gone for longer than the grace, and
// what became of the chats that they held.
type Lost struct {
	T        Kind       `json:"t"`
	Operator Colleague  `json:"operator"`
	At       int64      `json:"at"` // Unix ms
	Chats    []LostChat `json:"chats"`
}

// LostChat is one chat of an operator who was lost.
type LostChat struct {
	Chat ChatID `json:"chat"`
	Team TeamID `json:"team"`
	Then string `json:"then"`         // return, hold, forward or close
	To   TeamID `json:"to,omitempty"` // of forward, when it went there
}

// Note is what one operator of a chat says to the others; no visitor gets one.
type Note struct {
	T    Kind     `json:"t"` // KindNote
	Chat ChatID   `json:"chat"`
	Seq  int64    `json:"seq"` // 1, 2, 3 ... of the chat's notes
	At   int64    `json:"at"`  // Redis time, Unix milliseconds
	From PersonID `json:"from"`
	Name string   `json:"name,omitempty"`
	Cmid string   `json:"cmid"`
	Text string   `json:"text"`
}

// Offer reserves a chat for one operator until TTL is over, or (with From) asks them
// to come into a colleague's.
type Offer struct {
	T       Kind     `json:"t"`
	Chat    ChatID   `json:"chat"`
	Token   string   `json:"token"` // accept and decline must carry it
	TTL     int64    `json:"ttl_ms"`
	Team    TeamID   `json:"team"`
	Waited  int64    `json:"waited_ms"`
	Visitor *Visitor `json:"visitor"`
	// Of an invite: what they would be, who asks, and what that one says.
	Role string     `json:"role,omitempty"`
	From *Colleague `json:"from,omitempty"`
	Text string     `json:"text,omitempty"`
}

// OperatorView is the public state of an operator: what a board shows. It has
// more fields than most structs here because one frame must say all of it.
type OperatorView struct {
	ID      OperatorID `json:"id"`
	Name    string     `json:"name"`
	Role    Role       `json:"role"`
	Account Account    `json:"account"`
	Teams   []TeamID   `json:"teams,omitempty"`
	Status  string     `json:"status"` // outward: computed from link, intent and work
	Intent  string     `json:"intent"` // what the operator chose
	Since   int64      `json:"since"`  // when Status became what it is, Unix ms
	Version int64      `json:"version"`
	Chats   int        `json:"chats"`
	Calls   int        `json:"calls"`
	Offers  int        `json:"offers"`
	Others  int        `json:"others,omitempty"` // pieces of outside work
	Takes   bool       `json:"takes,omitempty"`  // is here and takes chats, now or after those held
	Here    bool       `json:"here"`             // holds a socket, or lost it less than the grace ago
	Leaving bool       `json:"leaving,omitempty"`
	Source  string     `json:"source,omitempty"` // who set Intent: operator, supervisor or system
	Reason  string     `json:"reason,omitempty"` // of Intent
	Until   int64      `json:"until,omitempty"`  // when Intent ends by itself, Unix ms
	Next    string     `json:"next,omitempty"`   // pending: the intent after the last chat or call
}

// Presence carries operators to a watcher: Full replaces everything known,
// otherwise each entry replaces the one of the same id. More: further objects
// belong to the same snapshot. Gone ones are watched no more, or deleted.
type Presence struct {
	T         Kind           `json:"t"`
	Full      bool           `json:"full,omitempty"`
	More      bool           `json:"more,omitempty"`
	Operators []OperatorView `json:"operators"`
	Gone      []OperatorID   `json:"gone,omitempty"`
}
