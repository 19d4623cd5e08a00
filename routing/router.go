package routing

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Limits and lifetimes.
const (
	// MaxMessages is the most messages an open chat may have.
	MaxMessages = 10_000
	// Retention is how long a finished chat and its messages are kept.
	Retention = 90 * 24 * time.Hour
	// SilentAfter is how long a chat whose visitor is gone stays open: neither a
	// queue nor an operator (nor a logout that waits for them) is held for ever.
	SilentAfter = 5 * time.Minute
)

// Config of a Router. The zero value of each field is its default.
type Config struct {
	Retention, SilentAfter time.Duration
	// Ask is called with a question for a team's webhook; it must not wait. Nil: none
	// is asked, and the fallback decides when the question's time is over.
	Ask        func(org switchboard.OrgID, q Ask)
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Router gives each waiting chat to one operator who can take it, and takes it
// back when that operator is gone; it stores the chats' messages. All methods
// may be called concurrently.
type Router struct {
	reg     *presence.Registry
	rdb     redis.UniversalClient
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	nonce   string        // of this process
	turn    atomic.Uint64 // counts nonces
}

// New returns the router of a registry; rdb is the registry's own store.
func New(reg *presence.Registry, rdb redis.UniversalClient, cfg Config) *Router {
	if cfg.Retention == 0 {
		cfg.Retention = Retention
	}
	if cfg.SilentAfter == 0 {
		cfg.SilentAfter = SilentAfter
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var b [6]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return &Router{reg: reg, rdb: rdb, cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Registerer), nonce: hex.EncodeToString(b[:])}
}

// once returns a nonce that no other call in the cluster uses: offer tokens are
// made of it.
func (r *Router) once() string {
	return r.nonce + "." + strconv.FormatUint(r.turn.Add(1), 36)
}

// Chat is the record of a chat as the store holds it.
type Chat struct {
	ID       switchboard.ChatID     `json:"id"`
	State    string                 `json:"state"`
	Visitor  switchboard.PersonID   `json:"visitor"`
	Info     Info                   `json:"info"`
	Team     switchboard.TeamID     `json:"team"`
	Since    int64                  `json:"since"` // Redis ms of the start
	Operator switchboard.OperatorID `json:"op"`    // holds it, or has the offer
	Name     string                 `json:"opname"`
	Token    string                 `json:"token"`
	Tries    int                    `json:"tries"` // operators it was given to so far
	Past     map[string]int         `json:"ops"`   // operators who hold or held it
	Reason   string                 `json:"reason"`
	Closed   int64                  `json:"closed"`
	Place    int64                  `json:"place"`  // only in a snapshot
	Opens    int64                  `json:"opens"`  // Redis ms; the team is closed and the chat waits for it; only in a snapshot
	Left     int64                  `json:"left"`   // ms until an offer is over; only in a snapshot
	Waited   int64                  `json:"waited"` // only in a snapshot of an offer
	Here     *bool                  `json:"-"`      // the visitor is connected; nil where it was not asked
}

// Info is what a visitor says of themselves; it proves nothing.
type Info struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	Page  string `json:"page,omitempty"`
}

func decodeChat(raw string) (Chat, error) {
	var c Chat
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		return c, fmt.Errorf("chat record: %w", err)
	}
	return c, nil
}

// Party reports whether a person takes or took part in the chat.
func (c Chat) Party(p switchboard.PersonID) bool {
	if p == c.Visitor {
		return true
	}
	op, ok := p.Operator()
	return ok && (op == c.Operator && c.State == switchboard.ChatActive || c.Past[strconv.FormatInt(int64(op), 10)] == 1)
}

// Opening is a visitor's wish to start a chat.
type Opening struct {
	Visitor switchboard.PersonID
	Team    switchboard.TeamID
	Info    Info
	Cmid    string // client message id of the first message
	Text    string // first message, may be empty
}

// Start opens a chat: it is given to an operator or queued in the same step. A
// visitor who has an open chat gets that one (opened is false): one open chat a
// visitor, however many tabs start at once (V-2). A first message is stored in
// the same step as seq 1 of a new chat; for an open one nothing is stored.
// Errors: CodeInvalid for an unknown team, CodeOffline when the team does not
// answer now (open.lua has the table; RetryAfter is the time until it opens, where
// that is known), CodeUnavailable.
func (r *Router) Start(ctx context.Context, org switchboard.OrgID, o Opening) (chat Chat, opened bool, err error) {
	p := r.reg.Partition(org)
	// The id first, in a call of its own: the keys of the chat's log must be known
	// to the caller. An id that is then not used is no harm.
	number, err := r.reg.CallBare(ctx, org, scriptNumber, []string{p.Block(org).Meta, p.Key(org, "org")})
	if err != nil {
		return chat, false, err
	}
	id := number.Int(0)
	info, err := json.Marshal(o.Info)
	if err != nil {
		return chat, false, err
	}
	fragment := ""
	if o.Text != "" {
		if fragment, err = messageFragment(o.Visitor, o.Info.Name, o.Cmid, o.Text); err != nil {
			return chat, false, err
		}
	}
	k := keysOf(p, org, switchboard.ChatID(id))
	reply, err := r.fresh(ctx, org, func() (presence.Reply, error) {
		return r.reg.Call(ctx, org, scriptStart, []string{k.log, k.cmid},
			r.once(), string(o.Visitor), id, int64(o.Team), string(info), o.Cmid, fragment)
	})
	if err != nil {
		return chat, false, err
	}
	switch reply.Status {
	case "NOTEAM":
		return chat, false, switchboard.Invalid("team", "the organization has no such team")
	case "FORM":
		e := switchboard.Errorc(switchboard.CodeOffline, "nobody can answer now; you may leave a message")
		e.RetryAfter = time.Duration(reply.Int(0)) * time.Millisecond
		return chat, false, e
	}
	chat, err = decodeChat(reply.Text(0))
	chat.Place, chat.Opens = reply.Int(1), reply.Int(2)
	if reply.Status == "OK" {
		r.metrics.started.Inc()
	}
	return chat, reply.Status == "OK", err
}

// Accept takes the chat of an offer. Errors: CodeConflict when the offer is over
// or was never this operator's, CodeClosed when the chat is.
func (r *Router) Accept(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, token string) (Chat, error) {
	reply, err := r.reg.Call(ctx, org, scriptAccept, nil, "", int64(op), int64(chat), token)
	if err != nil {
		return Chat{}, err
	}
	switch reply.Status {
	case "STALE":
		return Chat{}, &switchboard.Error{Code: switchboard.CodeConflict, Field: "token", Message: "this offer is over"}
	case "CLOSED":
		return Chat{}, switchboard.Errorc(switchboard.CodeClosed, "the chat is over")
	}
	r.metrics.offers.WithLabelValues(switchboard.OfferAccepted).Inc()
	c, err := decodeChat(reply.Text(0))
	here := reply.Text(1) == "1"
	c.Here = &here
	return c, err
}

// Decline refuses an offer; the chat goes on to somebody else from its old place.
// Errors: CodeConflict when the offer is over.
func (r *Router) Decline(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, token string) error {
	reply, err := r.reg.Call(ctx, org, scriptDecline, nil, r.once(), int64(op), int64(chat), token, switchboard.OfferDeclined)
	if err != nil {
		return err
	}
	if reply.Status == "STALE" {
		return &switchboard.Error{Code: switchboard.CodeConflict, Field: "token", Message: "this offer is over"}
	}
	r.metrics.offers.WithLabelValues(switchboard.OfferDeclined).Inc()
	return nil
}

// Close ends a chat. any: the person may close any chat of the organization (a
// supervisor, S-6). Closing a closed chat answers it again. Errors:
// CodeForbidden, CodeNotFound.
func (r *Router) Close(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, any bool, chat switchboard.ChatID, reason string) (Chat, error) {
	return r.close(ctx, org, person, any, chat, reason, "")
}

func (r *Router) close(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, any bool, chat switchboard.ChatID, reason, alarm string) (Chat, error) {
	k := keysOf(r.reg.Partition(org), org, chat)
	may := "0"
	if any {
		may = "1"
	}
	reply, err := r.reg.Call(ctx, org, scriptClose, []string{k.log, k.cmid, k.typing, k.viewing, k.closed},
		r.once(), string(person), int64(chat), reason, r.cfg.Retention.Milliseconds(), may, alarm)
	if err != nil {
		return Chat{}, err
	}
	switch reply.Status {
	case "FORBIDDEN":
		return Chat{}, switchboard.Errorc(switchboard.CodeForbidden, "this chat is not yours to close")
	case "NOTFOUND":
		return Chat{}, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	}
	if reply.Text(0) == "" {
		return Chat{}, nil
	}
	r.metrics.closed.Inc()
	return decodeChat(reply.Text(0))
}

// Match pairs waiting chats of an organization with free operators until no pair
// is left. It is called when presence says that a pair may have become possible.
func (r *Router) Match(ctx context.Context, org switchboard.OrgID) error {
	for range 1000 {
		reply, err := r.reg.Call(ctx, org, scriptPair, nil, r.once())
		if err != nil {
			return err
		}
		questions := make([]string, max(0, reply.Len()-1))
		for i := range questions {
			questions[i] = reply.Text(i + 1)
		}
		r.ask(org, questions)
		if reply.Int(0) == 0 {
			return nil
		}
	}
	return errors.New("routing: a queue did not settle in 1,000 steps")
}

func storeError(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	e := switchboard.Wrap(switchboard.CodeUnavailable, "the store does not answer; try again", err)
	e.RetryAfter = time.Second
	return e
}
