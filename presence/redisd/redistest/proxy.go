package redistest

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strconv"
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
	slice int           // bytes that pass at a time, 0: all
	every int           // one of so many messages to those who subscribed is lost, 0: none
	lost  int           // messages that were
	rnd   *rand.Rand
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
	p := &Proxy{listener: l, rnd: rand.New(rand.NewPCG(1, 1)), pairs: map[*pair]struct{}{}, moved: make(chan struct{}),
		dial: func() (net.Conn, error) { return net.DialTimeout(network, address, time.Second) }}
	p.conns.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Close ends the proxy and all its connections, before the test does.
func (p *Proxy) Close() {
	p.set(func() { p.cut, p.hole, p.deaf, p.delay, p.slice = true, false, false, 0, 0 })
	p.listener.Close()
	p.Reset()
	p.conns.Wait()
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

// Slice lets at most n bytes pass at a time, in both directions, about a
// thousand times a second: everything comes in pieces.
func (p *Proxy) Slice(n int) { p.set(func() { p.slice = n }) }

// Lose drops one of every n messages to those who subscribed, at random by a
// seed, and leaves all else alone.
func (p *Proxy) Lose(n int, seed uint64) {
	p.set(func() { p.every, p.rnd = n, rand.New(rand.NewPCG(seed, 11)) })
}

// Lost returns how many messages were dropped so far.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Heal ends whatever was set; connections that were open go on.
func (p *Proxy) Heal() {
	p.set(func() { p.cut, p.hole, p.deaf, p.delay, p.slice, p.every = false, false, false, 0, 0, 0 })
}

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
	var held []byte // the beginning of a message that is not whole yet
	for {
		n, err := from.Read(buf)
		if n > 0 {
			part := buf[:n]
			if asks && bytes.Contains(bytes.ToLower(part[:min(n, 64)]), []byte("subscribe")) {
				p.mu.Lock()
				c.subscribed = true
				p.mu.Unlock()
			}
			if !asks {
				part, held = p.lose(c, append(held, part...))
			}
			p.wait(c, !asks)
			if err := p.write(to, part); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// lose returns what is to pass of a subscriber's answers, and what must wait for
// its end.
func (p *Proxy) lose(c *pair, all []byte) (pass, rest []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.subscribed {
		return all, nil
	}
	for {
		n := reply(all)
		if n == 0 {
			return pass, all
		}
		one := all[:n]
		all = all[n:]
		if p.every > 0 && bytes.Contains(one[:min(n, 24)], []byte("message\r\n")) && p.rnd.IntN(p.every) == 0 {
			p.lost++
			continue
		}
		pass = append(pass, one...)
	}
}

// reply returns the length of the first whole RESP2 value, 0 when it is not
// whole.
func reply(b []byte) int {
	line := bytes.Index(b, []byte("\r\n"))
	if line < 0 {
		return 0
	}
	n, at := 0, line+2
	switch b[0] {
	case '$':
		if n, _ = strconv.Atoi(string(b[1:line])); n >= 0 { // a server's own digits
			at += n + 2
		}
	case '*':
		n, _ = strconv.Atoi(string(b[1:line]))
		for range n {
			one := reply(b[min(at, len(b)):])
			if one == 0 {
				return 0
			}
			at += one
		}
	}
	if at > len(b) {
		return 0
	}
	return at
}

// write passes bytes on, in slices when that is asked for.
func (p *Proxy) write(to net.Conn, b []byte) error {
	for len(b) > 0 {
		p.mu.Lock()
		n := p.slice
		p.mu.Unlock()
		if n == 0 || n > len(b) {
			n = len(b)
		} else {
			time.Sleep(time.Millisecond) // the fault itself
		}
		if _, err := to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
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
