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

// call runs a script behind match.lua: its keys and then own ones, its nonce and
// then args.
func (r *Router) call(ctx context.Context, org switchboard.OrgID, s *presence.Script, own []string, args ...any) (presence.Reply, error) {
	keys := append(ledgerKeys(r.reg.Partition(org), org), own...)
	return r.reg.Call(ctx, org, s, keys, append([]any{r.once()}, args...)...)
}

// once returns a nonce that no other call in the cluster uses: offer tokens are
// made of it.
func (r *Router) once() string {
	return r.nonce + "." + strconv.FormatUint(r.turn.Add(1), 36)
}

// Chat is the record of a chat as the store holds it; what is only in snapshots
// and answers stands last. It is as wide as the record is.
type Chat struct {
	ID       switchboard.ChatID     `json:"id"`
	State    string                 `json:"state"`
	Visitor  switchboard.PersonID   `json:"visitor"`
	Info     Info                   `json:"info"`
	Team     switchboard.TeamID     `json:"team"`
	Group    int                    `json:"group"` // of what it requires now; team's own below 256
	Rank     int64                  `json:"rank"`  // lower is earlier
	Priority int                    `json:"prio"`
	Steps    []Step                 `json:"steps"`
	Since    int64                  `json:"since"`  // Redis ms of the start
	Operator switchboard.OperatorID `json:"op"`     // holds it; while it is offered one of those asked
	Name     string                 `json:"opname"` // of who holds it
	Token    string                 `json:"token"`  // of the offer that was taken, or of Operator's
	Offers   map[string]string      `json:"offers"` // operators who are asked -> offer token
	Declined map[string]int64       `json:"declined"`
	With     map[string]Part        `json:"with"`    // operators who take part and do not hold it
	Invites  map[string]Invite      `json:"invites"` // operators who are asked to
	Over     int                    `json:"over"`    // 1: its holder got it over their limit, by permission
	Tries    int                    `json:"tries"`   // operators it was given to so far
	Past     map[string]int         `json:"ops"`     // operators who hold or held it
	Reason   string                 `json:"reason"`
	Closed   int64                  `json:"closed"`
	Lost     int                    `json:"lost"`    // 1: its operator is gone for longer than the grace
	Decided  string                 `json:"decided"` // the last decision on it, an id of o:decided
	Dozes    int                    `json:"dozes"`   // 1: its visitor is silent, it takes no units
	Back     int                    `json:"back"`    // 1: it came back over its operator's limit
	Still    int64                  `json:"still"`   // Redis ms until which its visitor may say that they are there; 0: not asked
	Warned   int64                  `json:"warned"`  // Redis ms: its visitor was told that it will be closed

	Place  int64  `json:"place"`  // only in a snapshot
	Wait   *int64 `json:"-"`      // ms until its turn, -1 unknown; nil where it was not asked
	Opens  int64  `json:"opens"`  // Redis ms; the team is closed and the chat waits for it; only in a snapshot
	Left   int64  `json:"left"`   // ms until an offer is over; only in a snapshot
	Waited int64  `json:"waited"` // only in a snapshot of an offer
	Here   *bool  `json:"-"`      // the visitor is connected; nil where it was not asked
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
	if c.State == switchboard.ChatOffered && c.Operator == 0 {
		for id, token := range c.Offers {
			n, err := strconv.ParseInt(id, 10, 64)
			if err != nil {
				return c, fmt.Errorf("chat record: offer of %q", id)
			}
			if op := switchboard.OperatorID(n); c.Operator == 0 || op < c.Operator {
				c.Operator, c.Token = op, token
			}
		}
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
	reply, err := r.call(ctx, org, scriptClose, []string{k.log, k.cmid, k.typing, k.viewing, k.closed},
		string(person), int64(chat), reason, r.cfg.Retention.Milliseconds(), may, alarm)
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
	if reply.Text(1) == "" { // else it was counted before
		r.metrics.closed.Inc()
	}
	return decodeChat(reply.Text(0))
}

func storeError(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	e := switchboard.Wrap(switchboard.CodeUnavailable, "the store does not answer; try again", err)
	e.RetryAfter = time.Second
	return e
}
