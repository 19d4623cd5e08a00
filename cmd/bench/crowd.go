package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is a process of clients that connect, say hello and stay. It prints one
// line when everybody is in, and one when everybody who lost their node is back.
func crowd(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("crowd", flag.ContinueOnError)
	addrs := f.String("addrs", "", "nodes, comma separated: the first is everybody's, the others for those who lose it")
	tokens := f.String("tokens", "", "file with a token a line")
	at := f.Int("at-once", 128, "connects under way")
	if err := f.Parse(args); err != nil {
		return err
	}
	raw, err := os.ReadFile(*tokens)
	if err != nil {
		return err
	}
	c := &throng{nodes: strings.Split(*addrs, ","), out: json.NewEncoder(os.Stdout)}
	c.tokens = strings.Fields(string(raw))
	ctx, cancel := untilInputEnds(ctx)
	defer cancel()
	c.enter(*at)
	<-ctx.Done()
	return nil
}

type throng struct {
	nodes  []string
	tokens []string
	out    *json.Encoder

	mu      sync.Mutex
	began   time.Time // when the first was lost, or when entering began
	took    []float64 // ms from dial, or loss, to ready
	here    int
	lost    int // times that one was lost since everybody was in
	retries int
	entered atomic.Bool // everybody was in once
}

// entered is what a crowd says each time everybody is in.
type entered struct {
	People  int
	Lost    int // how many sockets were lost since everybody was in before
	Seconds float64
	P50     float64 // ms
	P99     float64
	Retries int // connects that were refused or failed
}

func (c *throng) enter(at int) {
	c.began = time.Now()
	slots := make(chan struct{}, at)
	var crew sync.WaitGroup
	for i := range c.tokens {
		slots <- struct{}{}
		crew.Go(func() {
			defer func() { <-slots }()
			start := time.Now()
			ws, err := c.hello(i, c.nodes[0])
			if err != nil {
				c.mu.Lock()
				c.retries++
				c.mu.Unlock()
				go c.comeBack(i, 0)
				return
			}
			c.came(start)
			go c.stay(i, ws)
		})
	}
	crew.Wait()
}

// came counts one who is in, and says so when it was the last.
func (c *throng) came(start time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, float64(time.Since(start).Microseconds())/1000)
	if c.here++; c.here < len(c.tokens) {
		return
	}
	_ = c.out.Encode(entered{c.here, c.lost, time.Since(c.began).Seconds(), quantile(c.took, .5), quantile(c.took, .99), c.retries})
	c.took, c.lost, c.retries = nil, 0, 0
	c.entered.Store(true)
}

var ready = []byte(`"t":"ready"`)

func (c *throng) hello(i int, addr string) (*client, error) {
	ws, err := dial(addr, i)
	if err != nil {
		return nil, err
	}
	if err := ws.send([]byte(`{"t":"hello","v":1,"token":"` + c.tokens[i] + `"}`)); err != nil {
		ws.nc.Close()
		return nil, err
	}
	_ = ws.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, 512); ; {
		frame, err := ws.read(buf)
		if err != nil {
			ws.nc.Close()
			return nil, err
		}
		if bytes.Contains(frame, ready) {
			_ = ws.nc.SetReadDeadline(time.Time{})
			return ws, nil
		}
	}
}

// admitted is hello by somebody who has time, at a node that lets in so many a
// second.
func (c *throng) admitted(i int, addr string) (ws *client, err error) {
	for range 200 {
		if ws, err = c.hello(i, addr); !errors.Is(err, errRefused) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return ws, err
}

// stay answers pings until the socket ends, and then comes back.
func (c *throng) stay(i int, ws *client) {
	defer ws.nc.Close()
	buf, spread := make([]byte, 512), time.Duration(0)
	for {
		frame, err := ws.read(buf)
		if err != nil {
			break
		}
		if !bytes.Contains(frame, []byte(`"t":"ping"`)) {
			continue
		}
		spread = 0
		if _, rest, ok := bytes.Cut(frame, []byte(`"spread_ms":`)); ok {
			digits, _, _ := bytes.Cut(rest, []byte{'}'})
			ms, _ := strconv.Atoi(string(digits)) // 0: none
			spread = time.Duration(ms) * time.Millisecond
		}
		if ws.send([]byte(`{"t":"pong"}`)) != nil {
			break
		}
	}
	c.mu.Lock()
	if c.here == len(c.tokens) {
		c.began = time.Now()
	}
	c.here--
	c.lost++
	c.mu.Unlock()
	c.comeBack(i, spread)
}

// comeBack reconnects with full jitter (docs/protocol.md, Closing).
func (c *throng) comeBack(i int, spread time.Duration) {
	start := time.Now()
	for try := 0; ; try++ {
		wait := min(30*time.Second, time.Second<<min(try, 5))
		if try == 0 {
			wait = max(wait, spread)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(wait))))
		node := c.nodes[0]
		if len(c.nodes) > 1 && c.entered.Load() { // the first is gone
			node = c.nodes[1+(i+try)%(len(c.nodes)-1)]
		}
		ws, err := c.hello(i, node)
		if err != nil {
			c.mu.Lock()
			c.retries++
			c.mu.Unlock()
			continue
		}
		c.came(start)
		c.stay(i, ws)
		return
	}
}
