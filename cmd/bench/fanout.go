package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// fanout: one event of 200 bytes for 1,000 watchers of one node, from a PUBLISH
// to the last reader: first 20 a second, then as many as go. The node is the hub
// with a subscription (hubnode.go), because every road of the gateway to so many
// people is thinned out on purpose.
func fanout(ctx context.Context, b *bench) error {
	watchers, short := 1000, 10*time.Second
	if b.small {
		watchers, short = 100, time.Second
	}
	s, err := newSite(ctx, b)
	if err != nil {
		return err
	}
	floor, floor99, err := floorOfWrites(ctx, b, watchers, short)
	if err != nil {
		return err
	}
	node, err := b.spawn("hubnode", "-socket", s.server.Socket())
	if err != nil {
		return err
	}
	if err := node.hears(&struct{ Addr, Ops *string }{&node.addr, &node.ops}); err != nil {
		return err
	}
	a := &audience{size: watchers}
	if err := a.enter(b, node.addr); err != nil {
		return err
	}
	for at := time.Now(); time.Since(at) < short && ctx.Err() == nil; {
		if err := publish(ctx, s.rdb); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	a.quiet()
	took := a.reset()
	b.find("20 events/s to every watcher: p50", quantile(took, .5), "ms")
	b.most("20 events/s to every watcher: p99", quantile(took, .99), "ms", 15)
	b.find("20 events/s to every watcher: p99 against the bare loop", quantile(took, .99)/floor99, "times")

	objects, err := metric(ctx, node.ops, "switchboard_hub_objects_out_total")
	if err != nil {
		return err
	}
	frames, err := metric(ctx, node.ops, "switchboard_hub_frames_out_total")
	if err != nil {
		return err
	}
	used, seen, began := cpu(node.cmd.Process.Pid), a.seen.Load(), time.Now()
	for sent := int64(0); time.Since(began) < short && ctx.Err() == nil; {
		if sent*int64(watchers)-(a.seen.Load()-seen) > int64(64*watchers) { // 64 events under way
			time.Sleep(100 * time.Microsecond)
			continue
		}
		if err := publish(ctx, s.rdb); err != nil {
			return err
		}
		sent++
	}
	n := float64(a.seen.Load() - seen)
	rate := n / time.Since(began).Seconds()
	spent := cpu(node.cmd.Process.Pid) - used
	a.quiet()
	took = a.reset()
	b.least("flat out: deliveries a second", rate, "/s", 150_000)
	b.find("flat out: ratio to the floor of bare writes", rate/floor, "")
	b.find("flat out: processor a delivery", spent/n*1e6, "µs")
	b.find("flat out: p50", quantile(took, .5), "ms")
	b.find("flat out: p99", quantile(took, .99), "ms")
	objects2, err := metric(ctx, node.ops, "switchboard_hub_objects_out_total")
	if err != nil {
		return err
	}
	frames2, err := metric(ctx, node.ops, "switchboard_hub_frames_out_total")
	if err != nil {
		return err
	}
	b.find("flat out: objects a frame", (objects2-objects)/(frames2-frames), "")
	b.must("watchers who lost their socket", float64(a.ended.Load()), 0)
	return nil
}

func publish(ctx context.Context, rdb *redis.Client) error {
	event := fmt.Sprintf(`{"t":"event","at":%d,"pad":"`, time.Now().UnixNano())
	return rdb.Publish(ctx, benchChannel, event+strings.Repeat("x", max(0, 198-len(event)))+`"}`).Err()
}

// audience are the watchers, in this process.
type audience struct {
	size        int
	seen, ended atomic.Int64
	mu          sync.Mutex
	took        []float64
}

func (a *audience) enter(b *bench, addr string) error {
	for i := range a.size {
		ws, err := dial(addr, i)
		if err != nil {
			return err
		}
		b.ends = append(b.ends, func() { ws.nc.Close() })
		if err := ws.send([]byte(`{"t":"hello"}`)); err != nil {
			return err
		}
		if _, err := ws.read(make([]byte, 256)); err != nil { // ready
			return err
		}
		go a.read(ws)
	}
	return nil
}

func (a *audience) read(ws *client) {
	buf := make([]byte, 16<<10)
	for n := 0; ; n++ {
		frame, err := ws.read(buf)
		if err != nil {
			a.ended.Add(1)
			return
		}
		now := time.Now().UnixNano()
		for line := range bytes.SplitSeq(frame, []byte{'\n'}) {
			_, rest, ok := bytes.Cut(line, []byte(`"at":`))
			if !ok {
				continue // a ping needs no answer for so short a time
			}
			a.seen.Add(1)
			if n%4 == 0 {
				digits, _, _ := bytes.Cut(rest, []byte{','})
				at, _ := strconv.ParseInt(string(digits), 10, 64)
				a.mu.Lock()
				a.took = append(a.took, float64(now-at)/1e6)
				a.mu.Unlock()
			}
		}
	}
}

// quiet waits until nothing comes any more.
func (a *audience) quiet() {
	for last := int64(-1); a.seen.Load() != last; {
		last = a.seen.Load()
		time.Sleep(200 * time.Millisecond)
	}
}

func (a *audience) reset() []float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	took := a.took
	a.took = nil
	return took
}

// floorOfWrites is a loop of the library's Write over as many sockets, in a
// process of its own, and what these readers take of it: deliveries a second, and the
// p99 (ms) of 20 events a second.
func floorOfWrites(ctx context.Context, b *bench, watchers int, d time.Duration) (float64, float64, error) {
	p, err := b.spawn("barewrites", "-sockets", strconv.Itoa(watchers), "-slow", (d / 2).String())
	if err != nil {
		return 0, 0, err
	}
	if err := p.hears(&struct{ Addr *string }{&p.addr}); err != nil {
		return 0, 0, err
	}
	a := &audience{size: watchers}
	if err := a.enter(b, p.addr); err != nil {
		return 0, 0, err
	}
	wait(ctx, d/2-100*time.Millisecond) // the last of the slow part
	took := a.reset()
	b.find("floor: 20 events/s by a bare write loop: p50", quantile(took, .5), "ms")
	b.find("floor: 20 events/s by a bare write loop: p99", quantile(took, .99), "ms")
	wait(ctx, 600*time.Millisecond)
	seen, began := a.seen.Load(), time.Now()
	wait(ctx, d/2)
	rate := float64(a.seen.Load()-seen) / time.Since(began).Seconds()
	p.end()
	b.find("floor: deliveries a second of a bare write loop", rate, "/s")
	return rate, quantile(took, .99), nil
}
