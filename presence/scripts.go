package presence

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

//go:embed scripts/*.lua
var files embed.FS

func source(name string) string {
	b, err := files.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // the file is embedded: only a typing error gets here
	}
	return string(b)
}

// Script is one transition in Redis. It is called as a function of a library
// (library.go), or by its hash where there are no functions. Either holds for one server
// only: identity.go says why and loads the text where it is unknown.
type Script struct {
	name      string
	scopes    []string // preludes, and the script's own text
	inLibrary bool
	sheddable bool

	mu sync.Mutex
	by map[string]signed // identity, and whether sharded -> what is sent
}

// allScripts are all that were made; packages make theirs before main runs.
var allScripts []*Script

// NewScript returns the script of one or more Lua texts, in order; each sees what
// those before it declare. Texts that begin with Prelude() belong to a ledger call
// (Registry.Call).
func NewScript(name string, texts ...string) *Script {
	s := &Script{name: name, scopes: strings.Split(strings.Join(texts, scope), scope), by: map[string]signed{}}
	allScripts = append(allScripts, s)
	return s
}

// Sheddable marks a script whose calls are refused with CodeUnavailable while the
// calls of this node wait too long for the store: the sender keeps what it wanted and
// tries again, or does without. It returns the script.
func (s *Script) Sheddable() *Script {
	s.sheddable = true
	return s
}

// sent is how a script is called on one server: by its hash, or, with the server's
// identity behind the arguments, as a function.
type sent struct{ name, identity string }

func (s sent) on(ctx context.Context, c redis.Cmdable, keys []string, args []any) *redis.Cmd {
	if s.identity == "" {
		return c.EvalSha(ctx, s.name, keys, args...)
	}
	return c.FCall(ctx, s.name, keys, append(args, s.identity)...)
}

// sent returns how a script is called on the server of an identity.
func (r *Registry) sent(s *Script, identity string, functions bool) sent {
	if functions && s.inLibrary {
		return sent{s.function(libraryOf(r.cluster).name), identity}
	}
	return sent{name: s.signed(r.cluster, identity).sha}
}

// Prelude returns the Lua text in front of every script that touches an
// operator: five files, of which each sees those before it.
func Prelude() string {
	var texts []string
	for _, name := range []string{"prelude", "operator", "settle", "intent", "parts"} {
		texts = append(texts, source(name))
	}
	return strings.Join(texts, scope)
}

func ledger(name string) *Script { return NewScript(name, Prelude(), source(name)) }
func bare(name string) *Script   { return NewScript(name, source(name)) }

var (
	scriptEnter      = ledger("enter")
	scriptLeave      = ledger("leave")
	scriptGrace      = ledger("grace")
	scriptStatus     = ledger("status")
	scriptLapse      = ledger("lapse")
	scriptIdle       = ledger("idle")
	scriptFlap       = ledger("flap")
	scriptWrap       = ledger("wrap")
	scriptCall       = ledger("call")
	scriptTask       = ledger("task")
	scriptSignOut    = ledger("signout")
	scriptOperators  = ledger("operators")
	scriptTeam       = ledger("team")
	scriptAnnounce   = ledger("announce")
	scriptResettle   = ledger("resettle")
	scriptOrder      = ledger("order")
	scriptOrderMore  = ledger("ordermore")
	scriptOrderApply = ledger("orderapply")
	scriptOrderStop  = ledger("ordercancel")
	scriptCut        = ledger("cut")

	scriptRestore   = ledger("restore")
	scriptAsserted  = bare("asserted")
	scriptAsserting = bare("asserting")

	scriptRate   = bare("rate")
	scriptToken  = bare("token")
	scriptNumber = bare("number")
	scriptJoin   = bare("join")
	scriptSweep  = bare("sweep")
	scriptDead   = bare("dead")
	scriptRetire = bare("retire")
	scriptBeat   = bare("beat")
	scriptBury   = bare("bury")
)

// Reply is what a script answered: a status word, the partition's generation
// and event counter, and what the script's header lists after them.
type Reply struct {
	Status   string
	Gen, Ctr int64
	rest     []any
}

// Len returns the number of values after the standard four.
func (r Reply) Len() int { return len(r.rest) }

// Text returns value i as text; "" when the script sent none.
func (r Reply) Text(i int) string {
	if i >= len(r.rest) || r.rest[i] == nil {
		return ""
	}
	return fmt.Sprint(r.rest[i])
}

// Int returns value i as a number; 0 when it is none.
func (r Reply) Int(i int) int64 {
	n, _ := strconv.ParseInt(r.Text(i), 10, 64)
	return n
}

var errFenced = &switchboard.Error{Code: switchboard.CodeUnavailable,
	Message: "this node was taken for dead and is coming back", RetryAfter: retryAfter}

// Call runs a script behind the prelude on an organization: KEYS are the block,
// then extra, then the history; ARGV the organization, the incarnation and then args. It may
// be called concurrently. Errors: CodeUnavailable when Redis does not answer or
// this incarnation was fenced; nothing is known then of what was written, and
// the call may be repeated unchanged.
func (r *Registry) Call(ctx context.Context, org switchboard.OrgID, s *Script, extra []string, args ...any) (Reply, error) {
	return r.call(ctx, org, s, "", extra, args...)
}

// call is Call with the crash index of another incarnation (own) when it reaps.
func (r *Registry) call(ctx context.Context, org switchboard.OrgID, s *Script, own string, extra []string, args ...any) (Reply, error) {
	inc := r.Incarnation()
	if own == "" {
		own = inc
	}
	p := r.Partition(org)
	return r.run(ctx, org, p, inc, s, append(append(p.block(org, own), extra...), p.Key(org, "history")), args)
}

// CallBare runs a script that stands alone: KEYS are keys, ARGV the
// organization, the incarnation and then args. Errors as in Call.
func (r *Registry) CallBare(ctx context.Context, org switchboard.OrgID, s *Script, keys []string, args ...any) (Reply, error) {
	return r.run(ctx, org, r.Partition(org), r.Incarnation(), s, keys, args)
}

func (r *Registry) run(ctx context.Context, org switchboard.OrgID, p Partition, inc string, s *Script, keys []string, args []any) (Reply, error) {
	if err := r.enterPartition(ctx, p, inc); err != nil {
		return Reply{}, err
	}
	argv := make([]any, 0, 3+len(args)) // one for the server's identity
	argv = append(argv, int64(org), inc)
	argv = append(argv, args...)
	raw, err := r.eval(ctx, s, keys, argv...)
	if err != nil {
		return Reply{}, err
	}
	list, ok := raw.([]any)
	if !ok || len(list) < 4 {
		return Reply{}, fmt.Errorf("script %s: unexpected reply %T", s.name, raw)
	}
	reply := Reply{Status: fmt.Sprint(list[0]), rest: list[4:]}
	reply.Gen, _ = strconv.ParseInt(fmt.Sprint(list[1]), 10, 64)
	reply.Ctr, _ = strconv.ParseInt(fmt.Sprint(list[2]), 10, 64)
	if reply.Status == "FENCED" {
		r.fenced(inc)
		return Reply{}, errFenced
	}
	r.sawGeneration(p.Tag, reply.Gen)
	if fmt.Sprint(list[3]) == "1" && r.cfg.Wake != nil {
		r.cfg.Wake(org)
	}
	return reply, nil
}

// eval runs a script and turns what go-redis says into our errors. A server that
// does not know the script is looked at first (identity.go); nothing was written
// on it then, so the call is made again.
func (r *Registry) eval(ctx context.Context, s *Script, keys []string, args ...any) (any, error) {
	r.metrics.calls.Inc()
	tag := tagOf(keys[0])
	for attempt := 0; ; attempt++ {
		identity, functions, looks := r.ids.server(tag)
		if identity == "" {
			if err := r.look(ctx, tag, looks); err != nil {
				return nil, err
			}
			continue
		}
		raw, err := r.lane(tag).call(ctx, r.sent(s, identity, functions), keys, args, s.sheddable)
		if err == nil || errors.Is(err, redis.Nil) {
			return raw, nil
		}
		if attempt > 3 || !unknown(err) {
			return nil, r.storeError(s.name, err)
		}
		if err := r.look(ctx, tag, looks); err != nil {
			return nil, err
		}
	}
}

// unknown: the server does not know the script, or is not the one that we mean or that
// the partition was last written on.
// Nothing was written.
func unknown(err error) bool {
	text := err.Error()
	return redis.HasErrorPrefix(err, "NOSCRIPT") || strings.Contains(text, "STRANGER") || strings.Contains(text, "Function not found")
}

// storeError: a script that fails by itself is a bug; all else is a store that
// cannot be reached and may be asked again.
func (r *Registry) storeError(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var ours *switchboard.Error
	if errors.As(err, &ours) {
		return err
	}
	text := err.Error()
	if strings.Contains(text, "user_script") || strings.Contains(text, "user_function") || strings.Contains(text, "ERR Error") {
		return switchboard.Wrap(switchboard.CodeInternal, "a script failed", fmt.Errorf("%s: %w", what, err))
	}
	e := switchboard.Wrap(switchboard.CodeUnavailable, "the store does not answer; try again", fmt.Errorf("%s: %w", what, err))
	e.RetryAfter = retryAfter
	return e
}
