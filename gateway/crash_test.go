package gateway

import (
	"context"
	"net"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// cuttable holds every connection of a node, to people and to the store, so that all
// can be cut at once.
type cuttable struct {
	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]struct{}
	room  int // closed ones are let go of at this size
}

func newCuttable() *cuttable { return &cuttable{conns: map[net.Conn]struct{}{}, room: 256} }

// keep takes a connection in, and closes it when the node is dead already.
func (c *cuttable) keep(conn net.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		conn.Close()
		return net.ErrClosed
	}
	if len(c.conns) >= c.room {
		for old := range c.conns {
			if s, ok := old.(syscall.Conn); ok {
				if raw, err := s.SyscallConn(); err != nil || raw.Control(func(uintptr) {}) != nil {
					delete(c.conns, old)
				}
			}
		}
		c.room = 2*len(c.conns) + 256
	}
	c.conns[conn] = struct{}{}
	return nil
}

// cut closes all, as the kernel does for a dead process: what was written is sent, and
// nothing more.
func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for conn := range c.conns {
		conn.Close()
	}
	clear(c.conns)
}

// cuttableListener keeps what it accepts.
type cuttableListener struct {
	net.Listener
	keep *cuttable
}

func (l cuttableListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = l.keep.keep(conn)
	}
	return conn, err
}

// cuttableStore keeps the connections of a client: commands' and subscriptions'.
func cuttableStore(rdb redis.UniversalClient, keep *cuttable) {
	hook := func(c *redis.Client) { c.AddHook(dialKept{keep}) }
	switch c := rdb.(type) {
	case *redis.Client:
		hook(c)
	case *redis.ClusterClient:
		c.OnNewNode(hook)
	}
}

type dialKept struct{ keep *cuttable }

func (d dialKept) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err == nil {
			err = d.keep.keep(conn)
		}
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
}

func (d dialKept) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (d dialKept) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// crash makes a node die as by kill -9: its connections to the store are cut, and
// right behind them all of people; neither edges nor the lease nor `moving` nor a close
// frame is written any more, and nobody can connect. What differs from kill -9
// (TestChatsOutliveAProcessThatIsKilled) is that the node's goroutines go on until Run
// has returned, with nobody to talk to: a webhook's call that is under way ends by itself;
// and that a frame of the moment between the two cuts may still go out.
func (n *node) crash() {
	n.store.cut()
	n.people.cut()
	n.listener.Close()
	n.rdb.Close()
	go n.stop() // which takes seconds; the end of the test waits for it
}

// broke waits for the end of a socket whose node died: without a close frame and
// without a word before it. Seen red with crash as a stop (4012 after `moving`).
func (p *peer) broke() {
	p.t.Helper()
	if code := p.ended(); code != -1 {
		p.t.Errorf("a dead node closed a socket with %d", code)
	}
	if n := p.times(is("moving")); n > 0 {
		p.t.Error("a dead node said goodbye")
	}
}
