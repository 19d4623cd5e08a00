package routing

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence"
)

// lookAtHeads finds a lost tail: the store has numbered more than was heard, and
// had done so at the last look too.
func (l *lane) lookAtHeads(ctx context.Context) {
	pipe := l.b.rdb.Pipeline()
	cmds, casts := map[string]*redis.StringCmd{}, map[string]*redis.SliceCmd{}
	for _, p := range l.parts {
		if l.b.reg.Entered(p) {
			cmds[p.Tag] = pipe.HGet(ctx, p.InboxHeads(), l.inc)
		}
		if l.b.to.Lost != nil && l.b.to.Watched != nil && l.b.to.Watched(p) {
			casts[p.Tag] = pipe.HMGet(ctx, p.Meta(), "gen", "ctr")
		}
	}
	gens := map[string]*redis.StringCmd{}
	for _, p := range l.parts {
		if !l.b.reg.Proven(p) {
			gens[p.Tag] = pipe.HGet(ctx, p.Meta(), "gen")
		}
	}
	if len(cmds)+len(casts)+len(gens) == 0 {
		return
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return // Redis is away: the next look comes
	}
	l.lookAtGenerations(gens)
	l.lookAtCasts(casts)
	for _, p := range l.parts {
		cmd, ok := cmds[p.Tag]
		if !ok {
			continue
		}
		head, err := cmd.Int64()
		if errors.Is(err, redis.Nil) {
			if err := l.b.reg.Vanished(ctx, p); err != nil {
				l.b.log.Warn("a partition that has lost us could not be joined", "partition", p.Tag, "err", err)
			}
		}
		last, known := l.last[p.Tag]
		if l.behind.lost(p.Tag, last, err == nil && known && head > last) {
			l.b.m.gaps.Inc()
			l.b.to.Gap(p)
			l.last[p.Tag] = head
		}
	}
}

// tails remembers, of each partition where the store had numbered more than was
// heard, what was heard last.
type tails[T comparable] map[string]T

// lost takes one look: it reports that the store was ahead at the look before, still
// is, and nothing came in between. What is merely on its way comes in between.
func (t tails[T]) lost(tag string, last T, ahead bool) bool {
	was, before := t[tag]
	switch {
	case ahead && before && was == last:
		delete(t, tag)
		return true
	case ahead:
		t[tag] = last
	default:
		delete(t, tag)
	}
	return false
}

// lookAtGenerations finds a change of server that was told while this node did
// not hear. Whoever has something to ask there learns of it from the answer; this
// is for those who ask nothing and hold something to assert all the same.
func (l *lane) lookAtGenerations(gens map[string]*redis.StringCmd) {
	for _, p := range l.parts {
		if cmd, ok := gens[p.Tag]; ok && cmd.Err() == nil {
			l.b.reg.Noticed(p.Broadcast(), cmd.Val())
		}
	}
}

// lookAtCasts is the same for broadcasts, where somebody watches.
func (l *lane) lookAtCasts(cmds map[string]*redis.SliceCmd) {
	for _, p := range l.parts {
		cmd, ok := cmds[p.Tag]
		if !ok || cmd.Err() != nil || len(cmd.Val()) != 2 {
			continue
		}
		gen, ok := cmd.Val()[0].(string)
		if !ok {
			gen = "1" // as scripts say it
		}
		ctr, _ := cmd.Val()[1].(string)
		n, err := strconv.ParseInt(ctr, 10, 64)
		if err != nil { // nothing was told yet
			continue
		}
		head, last := told{gen, n}, l.told[p.Tag]
		if l.missing.lost(p.Tag, last, head.gen != last.gen || head.ctr > last.ctr) {
			l.b.m.gaps.Inc()
			l.b.to.Lost(p)
			l.told[p.Tag] = head
		}
	}
}

// hearAgain takes this node off the deaf lists of partitions it hears again; it
// is tried again with the next look at the heads when the store does not answer.
func (l *lane) hearAgain(ctx context.Context) {
	if !l.deaf {
		return
	}
	for _, p := range l.parts {
		if !l.b.reg.Entered(p) {
			continue
		}
		if err := l.b.reg.SetDeaf(ctx, p, false); err != nil {
			l.b.log.Warn("could not leave the deaf list", "partition", p.Tag, "err", err)
			return
		}
	}
	l.deaf = false
}

// deaf puts this node on the deaf lists of partitions it does not hear now, so
// that no offer goes to people whom it could not tell. When Redis is away as a
// whole this fails too, and nothing is offered anyway.
func (b *Bus) deaf(ctx context.Context, parts []presence.Partition) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, p := range parts {
		if b.reg.Entered(p) {
			if err := b.reg.SetDeaf(ctx, p, true); err != nil {
				b.log.Warn("could not join the deaf list", "partition", p.Tag, "err", err)
				return
			}
		}
	}
}
