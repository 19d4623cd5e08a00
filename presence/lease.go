package presence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchboard/switchboard"
)

// lease keeps this incarnation alive and notices peers that are not. A peer's
// life is a counter that moves: no wall clock of any machine takes part, so
// skew, time steps and a new Redis master cannot kill a living node.
type lease struct {
	r *Registry

	mu      sync.Mutex
	alive   []string            // incarnations in the registry at the last beat
	parts   map[string]bool     // tags of partitions in use
	lost    int                 // sweeps yet to look for what the dead hold
	seen    map[string]sighting // only the beat loop writes
	beaten  time.Time           // last beat that reached Redis
	doubted time.Time           // when half of the nodes looked dead and the second look began

	unsay  context.CancelFunc // ends what says who is here after a rejoin
	saying sync.WaitGroup
}

// sighting is the counter a peer showed, and when (monotonic) it first did.
type sighting struct {
	counter string
	at      time.Time
}

func (l *lease) run(ctx context.Context) {
	defer l.hush()
	tick := time.NewTicker(l.r.cfg.Beat)
	defer tick.Stop()
	used := time.NewTicker(libraryUsed)
	defer used.Stop()
	for {
		if err := l.beat(ctx); err != nil && ctx.Err() == nil {
			l.r.log.Warn("beat failed", "node", l.r.Incarnation(), "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-l.r.refence:
		case <-used.C:
			if err := l.r.usesLibrary(ctx); err != nil && ctx.Err() == nil {
				l.r.log.Warn("the library in use could not be noted", "err", err)
			}
		}
	}
}

func (l *lease) beat(ctx context.Context) error {
	inc := l.r.Incarnation()
	raw, err := l.r.eval(ctx, scriptBeat, []string{keyNodes, keyParts}, inc)
	if err != nil {
		return err
	}
	list, ok := raw.([]any)
	if !ok || len(list) != 3 {
		return fmt.Errorf("beat: unexpected reply %T", raw)
	}
	if list[0] == int64(0) {
		return l.rejoin(ctx)
	}
	now := time.Now()
	late := !l.beaten.IsZero() && now.Sub(l.beaten) > l.r.cfg.BuryAfter
	nodes, parts := texts(list[1]), map[string]bool{}
	for _, tag := range texts(list[2]) {
		parts[tag] = true
	}
	var alive, silent []string
	seen := make(map[string]sighting, len(nodes)/2)
	for i := 0; i+1 < len(nodes); i += 2 {
		peer, counter := nodes[i], nodes[i+1]
		s, known := l.seen[peer]
		if !known || s.counter != counter || late {
			// Late: we were away ourselves, so what we saw before says nothing.
			s = sighting{counter, now}
		}
		seen[peer] = s
		alive = append(alive, peer)
		if peer != inc && now.Sub(s.at) >= l.r.cfg.BuryAfter {
			silent = append(silent, peer)
		}
	}
	slices.Sort(alive)
	l.mu.Lock()
	for _, was := range l.alive {
		if !slices.Contains(alive, was) {
			l.lost = 3 // sweeps: one that is under way has asked before
		}
	}
	l.alive, l.parts = alive, parts
	l.mu.Unlock()
	l.seen, l.beaten = seen, now
	return l.bury(ctx, silent, len(alive))
}

// bury takes silent peers out of the registry. When half of all nodes look dead
// at once the fault is more likely ours or the network's: look a second time,
// for as long as the first. The doubt counts for that second look only.
// An only peer gets none, although it is half of two nodes: that we reach the store
// is known (the beat did), and that we were not away ourselves (late), so one silent
// counter says as much as it does among many. A second look would double the time in
// which people of a node that really died look routable, for a mistake that costs
// one rejoin.
func (l *lease) bury(ctx context.Context, silent []string, nodes int) error {
	now := time.Now()
	if len(silent)*2 >= nodes && len(silent) > 1 && now.Sub(l.doubted) > 2*l.r.cfg.BuryAfter {
		l.doubted = now
		for _, peer := range silent {
			l.seen[peer] = sighting{l.seen[peer].counter, now}
		}
		l.r.log.Warn("half of the nodes look dead; looking again", "silent", len(silent), "nodes", nodes)
		return nil
	}
	for _, peer := range silent {
		raw, err := l.r.eval(ctx, scriptBury, []string{keyNodes, keyNode(peer)}, peer, l.seen[peer].counter)
		if err != nil {
			return err
		}
		if raw == int64(1) {
			l.r.metrics.buried.Inc()
			l.r.log.Info("buried a silent node", "node", l.r.Incarnation(), "peer", peer)
		}
	}
	return nil
}

// hush ends what an earlier rejoin began, and waits for it.
func (l *lease) hush() {
	if l.unsay != nil {
		l.unsay()
	}
	l.saying.Wait()
}

// rejoin: this incarnation was buried. What it held is being reaped; it may
// never write again. Take a new number and say who is here: beside the beats, since
// with many people it takes longer than a silent node is waited for.
func (l *lease) rejoin(ctx context.Context) error {
	old := l.r.Incarnation()
	inc, err := l.r.register(ctx)
	if err != nil {
		return err
	}
	l.r.inc.Store(&inc)
	l.beaten = time.Time{}
	l.r.metrics.rejoins.Inc()
	l.r.log.Warn("taken for dead; back under a new number", "was", old, "node", inc)
	if l.r.cfg.Rejoined != nil {
		l.hush()
		ctx, l.unsay = context.WithCancel(ctx)
		l.saying.Go(func() { l.r.cfg.Rejoined(ctx, inc) })
	}
	return nil
}

// fenced is called when a script refused this incarnation; the next beat comes
// at once and finds out. A call that raced a rejoin is no news.
func (r *Registry) fenced(inc string) {
	if inc != r.Incarnation() {
		return
	}
	r.mu.Lock()
	for id := range r.entered { // a partition may have lost its live list: enter again
		if strings.HasPrefix(id, inc+"/") {
			delete(r.entered, id)
		}
	}
	r.doubted = inc
	r.mu.Unlock()
	select {
	case r.refence <- struct{}{}:
	default:
	}
}

// lostSome reports whether somebody was buried lately.
func (l *lease) lostSome() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == 0 {
		return false
	}
	l.lost--
	return true
}

// mine reports the partitions in use whose chores fall to this node, with all
// incarnations known to be alive.
func (l *lease) mine() []Partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	inc := l.r.Incarnation()
	var out []Partition
	for _, p := range l.r.parts {
		if l.parts[p.Tag] && keeper(p.Tag, l.alive) == inc {
			out = append(out, p)
		}
	}
	return out
}

// reapStep is small because a step holds up everybody's messages: an operator
// takes some 50 µs.
const reapStep = 50

// reap ends everything a dead incarnation held in a partition, reapStep edges a step.
// It may be stopped at any point and done again by anyone: the incarnation's
// inbox number, which a sweep looks at, is removed last.
func (r *Registry) reap(ctx context.Context, p Partition, dead string) error {
	for {
		raw, err := r.eval(ctx, scriptDead, r.deadKeys(p, dead), dead, reapStep)
		if err != nil {
			return err
		}
		held := texts(raw)
		if len(held) == 0 {
			return nil
		}
		byOrg := map[switchboard.OrgID][]any{}
		for _, edge := range held {
			org, person, ok := splitEdge(edge)
			if !ok {
				return fmt.Errorf("own:%s holds %q, which is no edge", dead, edge)
			}
			byOrg[org] = append(byOrg[org], person)
		}
		for org, people := range byOrg {
			args := append([]any{dead, r.cfg.CrashGrace.Milliseconds()}, people...)
			if _, err := r.call(ctx, org, scriptLeave, dead, nil, args...); err != nil {
				return err
			}
			r.metrics.reaped.Add(float64(len(people)))
		}
	}
}

func (r *Registry) deadKeys(p Partition, dead string) []string {
	return []string{p.key("live"), p.Own(dead), p.key("iq"), p.key("deaf")}
}

// Entered reports whether this incarnation writes in a partition.
func (r *Registry) Entered(p Partition) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entered[r.Incarnation()+"/"+p.Tag]
}

// SetDeaf says whether this node hears a partition now. Operators whose only
// sockets are on deaf nodes get no offers.
func (r *Registry) SetDeaf(ctx context.Context, p Partition, deaf bool) error {
	var err error
	if deaf {
		err = r.rdb.SAdd(ctx, p.key("deaf"), r.Incarnation()).Err()
	} else {
		err = r.rdb.SRem(ctx, p.key("deaf"), r.Incarnation()).Err()
	}
	if err != nil {
		return r.storeError("deaf", err)
	}
	return nil
}
