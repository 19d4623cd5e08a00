package routing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence"
)

// Listener hears what the bus brings. Its functions are called from the receive
// loop, one at a time for each partition and in order; they must not block.
type Listener struct {
	Nudge func(Nudge)
	Event func(Event)
	// Gap: something may have been missed in a partition; read again what is
	// served there.
	Gap func(presence.Partition)
	// Lost: broadcasts of a partition were missed; boards are read again. Nil does
	// nothing. (A missed order asks again by its deadline.)
	Lost func(presence.Partition)
	// Watched says whether broadcasts of a partition matter to anybody here, so
	// that a lost tail of them is looked for. Nil: never.
	Watched func(presence.Partition) bool
}

// Times of the probe. go-redis alone does not notice a subscription that has
// gone silent (a hung master, a black hole, a moved slot), so the bus proves the
// path with an echo of its own (reliability.md 0, findings 2 and 3).
const (
	quietFor  = 2 * time.Second
	echoIn    = 1500 * time.Millisecond
	headEvery = 4 * time.Second // a lost tail is found within headEvery + headAgain,
	headBusy  = time.Second     // or this + headAgain where something came in the last busyFor:
	busyFor   = 5 * time.Second // what is lost is mostly lost among others, and idle nodes ask little
	headAgain = 500 * time.Millisecond
)

// Bus brings nudges of other nodes. It may lose or repeat them: the store
// decides, a nudge only says where to look, and a number per inbox shows a loss.
type Bus struct {
	reg   *presence.Registry
	rdb   redis.UniversalClient
	to    Listener
	log   *slog.Logger
	m     *metrics
	lanes []*lane
}

// lane is one subscription: all partitions of a single server, or one partition
// of a cluster (a PubSub that holds two slots does not survive a reconnect).
type lane struct {
	b      *Bus
	parts  []presence.Partition
	byName map[string]presence.Partition // inbox channel -> partition
	casts  map[string]presence.Partition // broadcast channel -> partition
	again  chan struct{}                 // one slot: subscribe anew
	ready  chan struct{}                 // closed after the first subscription
	once   sync.Once

	// Read and written by the lane's goroutine only.
	inc     string
	last    map[string]int64 // tag -> last inbox number; missing: unknown
	behind  tails[int64]     // of inboxes
	gen     map[string]string
	told    map[string]told // tag -> last broadcast
	missing tails[told]     // of broadcasts
	deaf    bool            // on the deaf lists, or perhaps so
}

// NewBus returns the bus of a router.
func (r *Router) NewBus(to Listener) *Bus {
	b := &Bus{reg: r.reg, rdb: r.rdb, to: to, log: r.log, m: r.metrics}
	groups := [][]presence.Partition{r.reg.Partitions()}
	if r.reg.Sharded() {
		groups = nil
		for _, p := range r.reg.Partitions() {
			groups = append(groups, []presence.Partition{p})
		}
	}
	for _, g := range groups {
		b.lanes = append(b.lanes, &lane{b: b, parts: g, again: make(chan struct{}, 1), ready: make(chan struct{})})
	}
	return b
}

// Run hears until ctx ends.
func (b *Bus) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, l := range b.lanes {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Ready waits until every subscription stands for the first time.
func (b *Bus) Ready(ctx context.Context) error {
	for _, l := range b.lanes {
		select {
		case <-l.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Resubscribe makes the bus listen to the inboxes of the present incarnation.
func (b *Bus) Resubscribe() {
	for _, l := range b.lanes {
		select {
		case l.again <- struct{}{}:
		default: // one is due already
		}
	}
}

// run subscribes, listens, and does it again with growing pauses (0 to 10 s).
func (l *lane) run(ctx context.Context) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		began := time.Now()
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		l.b.m.rebuilt.Inc()
		l.b.log.Warn("subscription made anew", "partitions", len(l.parts), "err", err)
		l.deaf = true
		l.b.deaf(ctx, l.parts)
		if time.Since(began) > 10*time.Second {
			pause = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(max(2*pause, 250*time.Millisecond), 10*time.Second)
	}
}

// listen holds one subscription until it breaks, falls silent or is outdated.
func (l *lane) listen(ctx context.Context) error {
	l.inc = l.b.reg.Incarnation()
	l.byName, l.casts = map[string]presence.Partition{}, map[string]presence.Partition{}
	l.gen, l.told, l.missing = map[string]string{}, map[string]told{}, tails[told]{}
	first := l.last == nil
	l.last, l.behind = map[string]int64{}, tails[int64]{}
	var names []string
	for _, p := range l.parts {
		l.byName[p.Inbox(l.inc)], l.casts[p.Broadcast()] = p, p
		names = append(names, p.Inbox(l.inc), p.Broadcast())
	}
	var ps *redis.PubSub
	if l.b.reg.Sharded() {
		ps = l.b.rdb.SSubscribe(ctx, names...)
	} else {
		ps = l.b.rdb.Subscribe(ctx, names...)
	}
	defer ps.Close()
	if err := l.confirm(ctx, ps, len(names)); err != nil {
		return err
	}
	l.hearAgain(ctx)
	for _, p := range l.parts {
		if first {
			l.last[p.Tag] = 0 // a new incarnation's inbox starts at 1
		} else {
			l.b.m.gaps.Inc()
			l.b.to.Gap(p)
		}
	}
	if !first { // a new generation may have been told meanwhile
		l.lookAtHeads(ctx)
	}
	l.once.Do(func() { close(l.ready) })
	return l.receive(ctx, ps)
}

func (l *lane) confirm(ctx context.Context, ps *redis.PubSub, n int) error {
	deadline := time.Now().Add(3 * time.Second)
	for n > 0 {
		msg, err := ps.ReceiveTimeout(ctx, time.Until(deadline))
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		switch m := msg.(type) {
		case *redis.Subscription:
			n--
		case *redis.Message:
			l.take(m)
		}
	}
	return nil
}

// receive takes messages until something is wrong with the subscription.
func (l *lane) receive(ctx context.Context, ps *redis.PubSub) error {
	heard, echoed, headed := time.Now(), time.Time{}, time.Now()
	var busy time.Time // when something other than an echo came last
	for {
		select {
		case <-ctx.Done(): // also while messages keep coming
			return ctx.Err()
		case <-l.again:
			return errors.New("a new incarnation listens")
		default:
		}
		msg, err := ps.ReceiveTimeout(ctx, 500*time.Millisecond)
		now := time.Now()
		var ne net.Error
		switch {
		case err == nil:
			heard, echoed = now, time.Time{}
			switch m := msg.(type) {
			case *redis.Message:
				if l.take(m) {
					busy = now
				}
			case *redis.Subscription:
				return fmt.Errorf("unasked %s of %s", m.Kind, m.Channel)
			}
		case !errors.As(err, &ne) || !ne.Timeout():
			return err
		case !echoed.IsZero() && now.Sub(echoed) > echoIn:
			return errors.New("no echo: the subscription is silent")
		case echoed.IsZero() && now.Sub(heard) > quietFor:
			// An echo that cannot be sent says nothing of the subscription.
			if l.b.echo(ctx, l.parts[0], l.inc) == nil {
				echoed = now
			}
		}
		every := headEvery
		switch {
		case len(l.behind)+len(l.missing) > 0: // on its way, or lost
			every = headAgain
		case now.Sub(busy) < busyFor:
			every = headBusy
		}
		if now.Sub(headed) >= every {
			headed = now
			l.hearAgain(ctx)
			l.lookAtHeads(ctx)
		}
	}
}

func (b *Bus) echo(ctx context.Context, p presence.Partition, inc string) error {
	if b.reg.Sharded() {
		return b.rdb.SPublish(ctx, p.Inbox(inc), "echo").Err()
	}
	return b.rdb.Publish(ctx, p.Inbox(inc), "echo").Err()
}
