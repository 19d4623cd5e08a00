package redistest

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between one client and a server and can misbehave as networks do.
// It knows which connections have subscribed: a black hole for those alone is
// what go-redis does not notice by itself (and what toxiproxy, which treats all
// connections of a proxy alike, cannot play). All methods may be called
// concurrently; each change holds until Heal.
type Proxy struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	conns    sync.WaitGroup

	mu    sync.Mutex
	pairs map[*pair]struct{}
	cut   bool
	hole  bool          // nothing passes, in no direction
	deaf  bool          // nothing passes to those who subscribed
	delay time.Duration // of each answer
	moved chan struct{} // closed at each change
}

type pair struct {
	client, server net.Conn
	subscribed     bool // under Proxy.mu
}

// NewProxy returns a proxy to a server, network and address as for net.Dial; it
// ends with the test.
func NewProxy(t testing.TB, network, address string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, pairs: map[*pair]struct{}{}, moved: make(chan struct{}),
		dial: func() (net.Conn, error) { return net.DialTimeout(network, address, time.Second) }}
	p.conns.Go(p.accept)
	t.Cleanup(func() {
		p.set(func() { p.cut, p.hole, p.deaf, p.delay = true, false, false, 0 })
		l.Close()
		p.Reset()
		p.conns.Wait()
	})
	return p
}

// Addr returns the address to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Hole lets nothing pass any more; connections stay open and new ones are
// accepted: a peer that hangs.
func (p *Proxy) Hole() { p.set(func() { p.hole = true }) }

// Deafen lets nothing pass on connections that have subscribed.
func (p *Proxy) Deafen() { p.set(func() { p.deaf = true }) }

// Cut breaks all connections and refuses new ones.
func (p *Proxy) Cut() { p.set(func() { p.cut = true }); p.Reset() }

// Delay holds each answer back.
func (p *Proxy) Delay(d time.Duration) { p.set(func() { p.delay = d }) }

// Heal ends whatever was set; connections that were open go on.
func (p *Proxy) Heal() { p.set(func() { p.cut, p.hole, p.deaf, p.delay = false, false, false, 0 }) }

// Reset breaks all connections, in the middle of whatever they do.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		if tcp, ok := c.client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		c.client.Close()
		c.server.Close()
	}
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	change()
	close(p.moved)
	p.moved = make(chan struct{})
	p.mu.Unlock()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		cut := p.cut
		p.mu.Unlock()
		if cut {
			client.Close()
			continue
		}
		p.conns.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := p.dial()
	if err != nil {
		client.Close()
		return
	}
	c := &pair{client: client, server: server}
	p.mu.Lock()
	p.pairs[c] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(c, server, client, true) })
	both.Go(func() { p.pass(c, client, server, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// pass copies one direction until either side ends.
func (p *Proxy) pass(c *pair, to, from net.Conn, asks bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if asks && bytes.Contains(bytes.ToLower(buf[:min(n, 64)]), []byte("subscribe")) {
				p.mu.Lock()
				c.subscribed = true
				p.mu.Unlock()
			}
			p.wait(c, !asks)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns when bytes may pass.
func (p *Proxy) wait(c *pair, answer bool) {
	if answer {
		p.mu.Lock()
		d := p.delay
		p.mu.Unlock()
		if d > 0 {
			time.Sleep(d)
		}
	}
	for {
		p.mu.Lock()
		held, moved := p.hole || (p.deaf && c.subscribed), p.moved
		p.mu.Unlock()
		if !held {
			return
		}
		<-moved
	}
}
