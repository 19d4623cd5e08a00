package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// Times of the lease and of grace (ARCHITECTURE.md, "Presence costs nothing at
// rest"). They are variables of Config so that tests can shorten them together.
const (
	defaultBeat       = 2 * time.Second
	defaultBuryAfter  = 6 * time.Second
	defaultSweep      = time.Second
	defaultGrace      = 15 * time.Second
	defaultCrashGrace = 30 * time.Second
	retryAfter        = time.Second
	// adoptHold is for how long nobody is matched after a server has changed, at
	// most: nodes assert what they hold within it (scripts/adopt.lua).
	adoptHold = 3 * time.Second
)

// Config of a Registry. The zero value of each duration is its default.
type Config struct {
	// Name is shown to people who look at the nodes: usually the listen address.
	Name string
	// Admin opens the registry for single commands: no incarnation, no beat. An
	// administrator holds no sockets and therefore needs no lease.
	Admin bool
	// Wake is called when a waiting chat and a free operator may have become a
	// pair in an organization. It must not block.
	Wake func(switchboard.OrgID)
	// Rejoined is called after this node was taken for dead and has a new
	// incarnation: subscribe to its inboxes, assert the people who are here. The node
	// beats on meanwhile; ctx ends when it is taken for dead once more, or with Run.
	Rejoined func(ctx context.Context, inc string)
	// Rolled is called when a partition has a new generation: its server has
	// changed and writes may be lost. Assert what this node holds (rollback.go).
	// It must not block.
	Rolled func(p Partition, gen int64)
	// Away is called when the store of some partitions stops or begins to answer.
	// It must not block.
	Away func(parts []Partition, away bool)

	Beat, BuryAfter, Sweep, Grace, CrashGrace time.Duration

	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Registry is what the cluster knows of each person: link, intent and work, and
// the orders that sign people out. All methods may be called concurrently.
type Registry struct {
	rdb     redis.UniversalClient
	cluster bool
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	parts   []Partition

	ids     identities
	lanes   map[string]*lane
	inc     atomic.Pointer[string] // this node's incarnation
	refence chan struct{}          // one slot: this incarnation was fenced

	mu      sync.Mutex
	entered map[string]bool // "inc/tag": partitions this incarnation has joined
	doubted string          // an incarnation of this node's that was fenced: it may be buried
	turns   map[string]*turn
}

// Open connects a registry to its store and, unless it is an administrator's,
// takes an incarnation. Errors: CodeUnavailable when Redis does not answer;
// CodeConflict when the store was made with another number of partitions.
func Open(ctx context.Context, rdb redis.UniversalClient, cfg Config) (*Registry, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Beat, defaultBeat)
	def(&cfg.BuryAfter, defaultBuryAfter)
	def(&cfg.Sweep, defaultSweep)
	def(&cfg.Grace, defaultGrace)
	def(&cfg.CrashGrace, defaultCrashGrace)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	_, cluster := rdb.(*redis.ClusterClient)
	r := &Registry{
		rdb: rdb, cluster: cluster, cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Registerer),
		ids: newIdentities(), refence: make(chan struct{}, 1), entered: map[string]bool{}, turns: map[string]*turn{},
	}
	for i, tag := range tags(Partitions) {
		r.parts = append(r.parts, Partition{Index: i, Tag: tag})
	}
	r.lanes = r.newLanes()
	if err := r.checkTags(ctx); err != nil {
		return nil, err
	}
	inc := "0"
	if !cfg.Admin {
		var err error
		if inc, err = r.register(ctx); err != nil {
			return nil, err
		}
	}
	r.inc.Store(&inc)
	return r, nil
}

// checkTags makes sure that every node looks for an organization under the same
// hash tag: the first writes the table, all others compare.
func (r *Registry) checkTags(ctx context.Context) error {
	table := strings.Join(tags(Partitions), ",")
	set, err := r.rdb.SetNX(ctx, keyTags, table, 0).Result()
	if err != nil {
		return r.storeError("tags", err)
	}
	if set {
		return nil
	}
	have, err := r.rdb.Get(ctx, keyTags).Result()
	if err != nil {
		return r.storeError("tags", err)
	}
	if have != table {
		return switchboard.Errorc(switchboard.CodeConflict, "this store was made with another partition table; people would be looked for under other keys")
	}
	return nil
}

// register takes a new incarnation: a number that was never used before.
func (r *Registry) register(ctx context.Context) (string, error) {
	raw, err := r.eval(ctx, scriptNumber, []string{keyInc})
	if err != nil {
		return "", err
	}
	inc := fmt.Sprint(raw)
	// The registry first, partitions after: an incarnation on a live list that is
	// not in the registry is dead, always.
	pipe := r.rdb.TxPipeline()
	pipe.HSet(ctx, keyNode(inc), "name", r.cfg.Name, "since", time.Now().UTC().Format(time.RFC3339))
	pipe.HSet(ctx, keyNodes, inc, 0)
	if _, err := pipe.Exec(ctx); err != nil {
		return "", r.storeError("register", err)
	}
	return inc, nil
}

// Incarnation returns this node's present number, "0" for an administrator.
func (r *Registry) Incarnation() string { return *r.inc.Load() }

// Sharded reports whether nudges go through sharded channels (Redis Cluster).
func (r *Registry) Sharded() bool { return r.cluster }

// Partition returns where an organization lives.
func (r *Registry) Partition(org switchboard.OrgID) Partition {
	return r.parts[partitionOf(org, len(r.parts))]
}

// Partitions returns all partitions, in order.
func (r *Registry) Partitions() []Partition { return r.parts }

// enterPartition puts the incarnation on the partition's live list before its
// first write there.
func (r *Registry) enterPartition(ctx context.Context, p Partition, inc string) error {
	if inc == "0" {
		return nil
	}
	id := inc + "/" + p.Tag
	r.mu.Lock()
	done, doubted := r.entered[id], r.doubted == inc
	r.mu.Unlock()
	if done {
		return nil
	}
	if doubted { // fenced: of the buried, nobody comes back under the same number
		known, err := r.rdb.HExists(ctx, keyNodes, inc).Result()
		if err != nil {
			return r.storeError("nodes", err)
		}
		if !known {
			return errFenced
		}
	}
	if err := r.rdb.SAdd(ctx, keyParts, p.Tag).Err(); err != nil {
		return r.storeError("parts", err)
	}
	raw, err := r.eval(ctx, scriptJoin, []string{p.key("meta"), p.key("live"), p.key("iq")}, inc, r.Generation(p), adoptHold.Milliseconds())
	if err != nil {
		return err
	}
	if list := texts(raw); len(list) == 2 && list[0] == "OK" {
		gen, err := strconv.ParseInt(list[1], 10, 64)
		if err != nil {
			return fmt.Errorf("join: generation %q: %w", list[1], err)
		}
		r.sawGeneration(p.Tag, gen)
	}
	r.mu.Lock()
	r.entered[id] = true
	r.mu.Unlock()
	return nil
}

// Vanished says that this incarnation is not known any more in a partition it had
// joined: the data is gone, or we were buried. It joins again, or learns of it.
func (r *Registry) Vanished(ctx context.Context, p Partition) error {
	inc := r.Incarnation()
	known, err := r.rdb.HExists(ctx, keyNodes, inc).Result()
	if err != nil {
		return r.storeError("nodes", err)
	}
	if !known { // the beat finds out, and comes at once
		r.fenced(inc)
		return nil
	}
	r.mu.Lock()
	delete(r.entered, inc+"/"+p.Tag)
	r.mu.Unlock()
	return r.enterPartition(ctx, p, inc)
}

// Now returns the time of an organization's Redis server in Unix ms.
func (r *Registry) Now(ctx context.Context) (int64, error) {
	t, err := r.rdb.Time(ctx).Result()
	if err != nil {
		return 0, r.storeError("time", err)
	}
	return t.UnixMilli(), nil
}

// Run keeps this node alive in the cluster until ctx ends: it renews the lease,
// buries silent peers, reaps what they held and answers due deadlines. ring
// answers the kinds that routing owns; a deadline that it fails to answer rings
// again. On return the lease is given back, so that peers need not wait.
func (r *Registry) Run(ctx context.Context, ring func(ctx context.Context, kind string, org switchboard.OrgID, id string) error) error {
	if r.cfg.Admin {
		return errors.New("presence: an administrator's registry does not run")
	}
	l := &lease{r: r, seen: map[string]sighting{}}
	var wg sync.WaitGroup
	wg.Go(func() { l.run(ctx) })
	wg.Go(func() { r.sweepLoop(ctx, l, ring) })
	wg.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), retireWithin)
	defer cancel()
	for {
		err := r.retire(end)
		if switchboard.CodeOf(err) != switchboard.CodeUnavailable {
			return err
		}
		select { // the store is just coming back: what is given back now nobody must reap
		case <-end.Done():
			return err
		case <-time.After(probeFirst):
		}
	}
}

// retireWithin is for how long a node that stops tries to give its lease back, enough
// for a store that has come back to be asked again (breaker.go).
const retireWithin = 3 * time.Second

// retire gives the lease back: off the live lists of partitions where nothing is
// held any more, then out of the registry. What is still held is reaped by
// others, as after a death.
func (r *Registry) retire(ctx context.Context) error {
	inc := r.Incarnation()
	for _, p := range r.parts {
		if !r.Entered(p) {
			continue
		}
		if _, err := r.eval(ctx, scriptRetire, r.deadKeys(p, inc), inc); err != nil {
			return fmt.Errorf("give the lease back: %w", err)
		}
	}
	if err := r.rdb.HDel(ctx, keyNodes, inc).Err(); err != nil {
		return fmt.Errorf("give the lease back: %w", r.storeError("leave", err))
	}
	if err := r.rdb.Del(ctx, keyNode(inc)).Err(); err != nil {
		return fmt.Errorf("give the lease back: %w", r.storeError("leave", err))
	}
	return nil
}
