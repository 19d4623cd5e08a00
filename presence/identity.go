package presence

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// This file makes sure that no transition runs on a server that may have lost
// writes before somebody has noticed.
//
// Replication is asynchronous: a failover may lose acknowledged writes, and
// what was lost must be asserted again by the nodes that hold it (rollback.go).
// A counter that goes back shows a loss only to who calls before others have
// raised it again. So the detector is the server itself: every call carries the
// identity of the server that this node has looked at, behind its arguments for a
// function (library.go), in the text and so in the hash of a script. A server knows
// its identity, or that text, from a node that looked: in its memory only, which no
// replica gets, no restart keeps and no full copy from another master spares. On any
// other server the call is refused, nothing was written, and the node looks before it
// loads. The check costs nothing at rest.
//
// A server that was demoted and promoted again, with only increments copied between,
// keeps what it was told. So a partition's meta has in srv the server that it was last
// written on, and a call on another than that is refused too: whoever wrote elsewhere
// meanwhile has looked there first.

// identities are the servers this registry has looked at.
type identities struct {
	mu        sync.Mutex
	byTag     map[string]string // partition tag -> identity of its server
	looks     map[string]int    // partition tag -> how often this registry has looked
	loaded    map[string]bool   // identities whose scripts were loaded by us
	functions map[string]bool   // those that have our library
	gens      map[string]int64  // partition tag -> generation last seen
	turn      map[string]chan struct{}
	copies    map[string]bool      // tags whose server has had replicas
	alone     map[string]time.Time // tags whose server confirms nothing, and since when
	spare     map[string]time.Time // tags whose server was away: nobody's grace ends before
	swept     map[string]time.Time // tags that this node has swept, and when it last did
}

func newIdentities() identities {
	return identities{byTag: map[string]string{}, looks: map[string]int{}, loaded: map[string]bool{}, functions: map[string]bool{}, gens: map[string]int64{}, turn: map[string]chan struct{}{}, copies: map[string]bool{}, alone: map[string]time.Time{}, spare: map[string]time.Time{}, swept: map[string]time.Time{}}
}

// tagOf returns the hash tag of a key of ours.
func tagOf(key string) string {
	_, rest, _ := strings.Cut(key, "{")
	tag, _, _ := strings.Cut(rest, "}")
	return tag
}

// server returns the identity of a tag's server, "" when nobody has looked yet,
// whether it has our functions, and how often this registry has looked at it.
func (ids *identities) server(tag string) (identity string, functions bool, looks int) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	identity = ids.byTag[tag]
	return identity, ids.functions[identity], ids.looks[tag]
}

// look finds out which server a partition is on, raises the partition's
// generation when that is another one than the partition was written on, and
// loads all scripts there. looks is how often it had looked when the call was made that
// was refused: of many callers who find the same, one looks and the others wait. Errors
// as in Call.
func (r *Registry) look(ctx context.Context, tag string, looks int) error {
	ids := &r.ids
	ids.mu.Lock()
	turn := ids.turn[tag]
	if turn == nil {
		turn = make(chan struct{}, 1)
		ids.turn[tag] = turn
	}
	ids.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return r.storeError("look", ctx.Err())
	}
	defer func() { <-turn }()
	was, _, now := ids.server(tag)
	if now != looks {
		return nil // somebody else has looked meanwhile
	}
	// One connection for all of it: what answers is one process, and it cannot be
	// another than the one the scripts are then loaded on.
	conn, err := r.connection(ctx, tag)
	if err != nil {
		return r.storeError("look", err)
	}
	defer conn.Close()
	meta := prefix + "{" + tag + "}:meta"
	list, err := conn.Eval(ctx, source("adopt"), []string{meta, prefix + "{" + tag + "}:live"}, r.publish(), adoptHold.Milliseconds(), r.known(tag), libraryOf(r.cluster).name).Slice()
	if err != nil {
		return r.storeError("look", err)
	}
	if len(list) != 4 {
		return fmt.Errorf("adopt: unexpected reply of %d", len(list))
	}
	identity, raised, copies := fmt.Sprint(list[0]), fmt.Sprint(list[2]) == "1", fmt.Sprint(list[3]) != "0"
	gen, err := strconv.ParseInt(fmt.Sprint(list[1]), 10, 64)
	if err != nil {
		return fmt.Errorf("adopt: generation %v: %w", list[1], err)
	}
	if err := r.loadScripts(ctx, conn, tag, identity, identity == was); err != nil {
		return err
	}
	ids.mu.Lock()
	ids.byTag[tag] = identity
	ids.looks[tag]++
	ids.copies[tag] = ids.copies[tag] || copies
	ids.mu.Unlock()
	if raised {
		r.metrics.raised.Inc()
		r.log.Warn("the store's server has changed; the partition has a new generation", "partition", tag, "gen", gen, "was", was)
	}
	r.sawGeneration(tag, gen)
	return nil
}

// loadScripts puts the library on the server, or else every script, signed for it.
// force does it although we have done so before (FUNCTION FLUSH, SCRIPT FLUSH).
func (r *Registry) loadScripts(ctx context.Context, conn *redis.Conn, tag, identity string, force bool) error {
	r.ids.mu.Lock()
	done := r.ids.loaded[identity]
	r.ids.mu.Unlock()
	if done && !force {
		return nil
	}
	functions := false
	if identity != "demo" {
		var err error
		if functions, err = r.loadLibrary(ctx, conn, tag, identity); err != nil {
			return r.storeError("load library", err)
		}
	}
	single := slices.DeleteFunc(slices.Clone(allScripts), func(s *Script) bool { return functions && s.inLibrary })
	for some := range slices.Chunk(single, 2) { // the demo store compiles slowly, and each write has a deadline
		pipe := conn.Pipeline()
		for _, s := range some {
			pipe.ScriptLoad(ctx, s.signed(r.cluster, identity).text)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return r.storeError("load scripts", err)
		}
	}
	r.ids.mu.Lock()
	r.ids.loaded[identity] = true
	r.ids.functions[identity] = functions
	r.ids.mu.Unlock()
	return nil
}

// connection returns one connection to the server that a tag is on.
func (r *Registry) connection(ctx context.Context, tag string) (*redis.Conn, error) {
	switch c := r.rdb.(type) {
	case *redis.Client:
		return c.Conn(), nil
	case *redis.ClusterClient:
		master, err := c.MasterForKey(ctx, "{"+tag+"}")
		if err != nil {
			return nil, err
		}
		return master.Conn(), nil
	}
	return nil, fmt.Errorf("presence: unknown kind of client %T", r.rdb)
}

// known returns the generation of a partition that this node has seen, 0 for none.
func (r *Registry) known(tag string) int64 {
	r.ids.mu.Lock()
	defer r.ids.mu.Unlock()
	return r.ids.gens[tag]
}

func (r *Registry) publish() string {
	if r.cluster {
		return "SPUBLISH"
	}
	return "PUBLISH"
}

// sawGeneration notes a partition's generation and says when it has risen: what
// this node holds there may be lost and must be asserted.
func (r *Registry) sawGeneration(tag string, gen int64) {
	if gen == 0 || tag == "reg" {
		return
	}
	r.ids.mu.Lock()
	was := r.ids.gens[tag]
	if gen <= was {
		r.ids.mu.Unlock()
		return
	}
	r.ids.gens[tag] = gen
	r.ids.mu.Unlock()
	if was == 0 || r.cfg.Rolled == nil {
		return
	}
	for _, p := range r.parts {
		if p.Tag == tag {
			r.cfg.Rolled(p, gen)
		}
	}
}

// Noticed tells the registry of a generation that the bus brought: gen as it
// stands in the message, channel for its hash tag.
func (r *Registry) Noticed(channel, gen string) {
	if n, err := strconv.ParseInt(gen, 10, 64); err == nil {
		r.sawGeneration(tagOf(channel), n)
	}
}

// provenFor is how long a sweep proves which server a partition is on.
const provenFor = 3 * time.Second

// Proven reports that a new generation of a partition would be known here: its
// chores fall to this node, whose calls would have told, or this node has never
// had to do with it. All others must look now and again (routing's bus does).
func (r *Registry) Proven(p Partition) bool {
	r.ids.mu.Lock()
	defer r.ids.mu.Unlock()
	return r.ids.gens[p.Tag] == 0 || time.Since(r.ids.swept[p.Tag]) < provenFor
}

// Generation returns the generation last seen in a partition, 0 before the
// first call there.
func (r *Registry) Generation(p Partition) int64 {
	return r.known(p.Tag)
}
