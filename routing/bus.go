package routing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Nudge is one inbox message: a frame for persons whose sockets this node holds.
type Nudge struct {
	Org     switchboard.OrgID
	Persons []switchboard.PersonID
	Class   byte               // 'm' message, 'e' event, 't' typing and viewing, 'c' control
	Chat    switchboard.ChatID // of a message
	Seq     int64              // of a message
	Frame   []byte             // one JSON object
}

// Event is one broadcast: something changed that a watcher of the organization
// may want to see.
type Event struct {
	Org   switchboard.OrgID
	Topic string // operators, queue, order
	Ctr   int64  // counts the partition's events
	Body  []byte
}

// Listener hears what the bus brings. Its functions are called from the receive
// loop, one at a time for each partition and in order; they must not block.
type Listener struct {
	Nudge func(Nudge)
	Event func(Event)
	// Gap: something may have been missed in a partition; read again what is
	// served there.
	Gap func(presence.Partition)
}

// Times of the probe. go-redis alone does not notice a subscription that has
// gone silent (a hung master, a black hole, a moved slot), so the bus proves the
// path with an echo of its own (reliability.md 0, findings 2 and 3).
const (
	quietFor  = 2 * time.Second
	echoIn    = 1500 * time.Millisecond
	headEvery = 5 * time.Second
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
	again  chan struct{}                 // one slot: subscribe anew
	ready  chan struct{}                 // closed after the first subscription
	once   sync.Once

	// Read and written by the lane's goroutine only.
	inc    string
	last   map[string]int64 // tag -> last inbox number; missing: unknown
	behind map[string]int64 // tag -> last inbox number when the head was ahead of it
	gen    map[string]string
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
	l.byName, l.gen = map[string]presence.Partition{}, map[string]string{}
	first := l.last == nil
	l.last, l.behind = map[string]int64{}, map[string]int64{}
	var names []string
	for _, p := range l.parts {
		l.byName[p.Inbox(l.inc)] = p
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
	l.b.hears(ctx, l.parts)
	for _, p := range l.parts {
		if first {
			l.last[p.Tag] = 0 // a new incarnation's inbox starts at 1
		} else {
			l.b.m.gaps.Inc()
			l.b.to.Gap(p)
		}
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
				l.take(m)
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
		if now.Sub(headed) > headEvery {
			headed = now
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

// lookAtHeads finds a lost tail: the store has numbered more than was heard, and
// had done so at the last look too.
func (l *lane) lookAtHeads(ctx context.Context) {
	pipe := l.b.rdb.Pipeline()
	cmds := map[string]*redis.StringCmd{}
	for _, p := range l.parts {
		if l.b.reg.Entered(p) {
			cmds[p.Tag] = pipe.HGet(ctx, p.InboxHeads(), l.inc)
		}
	}
	if len(cmds) == 0 {
		return
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return // Redis is away: the next look comes
	}
	for _, p := range l.parts {
		cmd, ok := cmds[p.Tag]
		if !ok {
			continue
		}
		head, err := cmd.Int64()
		last, known := l.last[p.Tag]
		if err != nil || !known || head <= last {
			delete(l.behind, p.Tag)
			continue
		}
		if was, ok := l.behind[p.Tag]; ok && was == last {
			l.b.m.gaps.Inc()
			l.b.to.Gap(p)
			l.last[p.Tag] = head
			delete(l.behind, p.Tag)
			continue
		}
		l.behind[p.Tag] = last
	}
}

// take reads one message of the bus and hands it on.
func (l *lane) take(m *redis.Message) {
	if m.Payload == "echo" {
		return
	}
	l.b.m.nudges.Inc()
	if p, ok := l.byName[m.Channel]; ok {
		l.takeNudge(p, m.Payload)
		return
	}
	f := strings.SplitN(m.Payload, "\t", 5) // gen ctr org topic body
	if len(f) != 5 {
		l.b.log.Error("a broadcast could not be read", "channel", m.Channel)
		return
	}
	org, e1 := strconv.ParseInt(f[2], 10, 64)
	ctr, e2 := strconv.ParseInt(f[1], 10, 64)
	if e1 != nil || e2 != nil {
		l.b.log.Error("a broadcast could not be read", "channel", m.Channel)
		return
	}
	l.b.to.Event(Event{Org: switchboard.OrgID(org), Topic: f[3], Ctr: ctr, Body: []byte(f[4])})
}

func (l *lane) takeNudge(p presence.Partition, payload string) {
	f := strings.SplitN(payload, "\t", 6) // gen seq org persons class frame
	if len(f) != 6 {
		l.b.log.Error("a nudge could not be read", "partition", p.Tag)
		return
	}
	seq, e1 := strconv.ParseInt(f[1], 10, 64)
	org, e2 := strconv.ParseInt(f[2], 10, 64)
	if e1 != nil || e2 != nil || f[4] == "" {
		l.b.log.Error("a nudge could not be read", "partition", p.Tag)
		return
	}
	last, known := l.last[p.Tag]
	gen, seen := l.gen[p.Tag]
	if (known && seq != last+1) || (seen && gen != f[0]) {
		l.b.m.gaps.Inc()
		l.b.to.Gap(p)
	}
	l.last[p.Tag], l.gen[p.Tag] = seq, f[0]
	n := Nudge{Org: switchboard.OrgID(org), Class: f[4][0], Frame: []byte(f[5])}
	for who := range strings.SplitSeq(f[3], ",") {
		n.Persons = append(n.Persons, switchboard.PersonID(who))
	}
	if n.Class == 'm' {
		chat, at, _ := strings.Cut(f[4][1:], ":")
		id, e1 := strconv.ParseInt(chat, 10, 64)
		s, e2 := strconv.ParseInt(at, 10, 64)
		if e1 != nil || e2 != nil {
			l.b.log.Error("a nudge could not be read", "partition", p.Tag)
			return
		}
		n.Chat, n.Seq = switchboard.ChatID(id), s
	}
	l.b.to.Nudge(n)
}

// hears takes this node off the deaf lists of partitions it hears again.
func (b *Bus) hears(ctx context.Context, parts []presence.Partition) {
	for _, p := range parts {
		if b.reg.Entered(p) {
			if err := b.reg.SetDeaf(ctx, p, false); err != nil {
				b.log.Warn("could not leave the deaf list", "partition", p.Tag, "err", err)
			}
		}
	}
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
