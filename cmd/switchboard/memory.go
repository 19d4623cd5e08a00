package main

import (
	"context"
	"crypto/rand"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence/accounts"
)

// memoryTick is how often the keys of the store in memory grow older. A key may
// end up to one tick early; what must not end early has its deadline in a
// sorted set, read with the store's own time.
const memoryTick = 100 * time.Millisecond

// openMemory returns a store in this process for machines without redis-server.
// Its clients speak to it through pipes: on a port, a stranger who stops reading
// would stop it for all.
func openMemory() (*store, []byte, error) {
	m := miniredis.NewMiniRedis()
	ctx, stop := context.WithCancel(context.Background())
	var ticker sync.WaitGroup
	ticker.Go(func() { growOlder(ctx, m) })
	master := make([]byte, accounts.MasterSize)
	rand.Read(master) // never fails: it ends the process instead
	st := &store{
		kind: kindDemo,
		client: func() redis.UniversalClient {
			return redis.NewClient(&redis.Options{
				Addr: "127.0.0.1:6379", Protocol: 2, ContextTimeoutEnabled: true, MaxRetries: noRetries,
				DialTimeout: dialTimeout, ReadTimeout: readTimeout, WriteTimeout: readTimeout, DialerRetries: dialAttempts,
				Dialer: func(context.Context, string, string) (net.Conn, error) {
					c, err := m.Dial()
					if err != nil {
						return nil, err
					}
					return newEager(c), nil
				},
			})
		},
		close: func() error {
			stop()
			ticker.Wait()
			m.Close()
			return nil
		},
	}
	return st, master, nil
}

// growOlder lets the lifetimes of keys pass: the store has no clock of its own.
func growOlder(ctx context.Context, m *miniredis.Miniredis) {
	tick := time.NewTicker(memoryTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			m.FastForward(now.Sub(last))
			last = now
		}
	}
}
