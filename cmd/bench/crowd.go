package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
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
	took    []float64 // ms from dial to ready
	away    int
	lost    time.Time
	retries atomic.Int64
}

// entered is what a crowd says when it is in, or back.
type entered struct {
	People  int
	Seconds float64
	Rate    float64
	P50     float64
	P99     float64
	Failed  int
	Retries int64
}

func (c *throng) enter(at int) {
	began := time.Now()
	slots := make(chan struct{}, at)
	var crew sync.WaitGroup
	var failed atomic.Int64
	for i := range c.tokens {
		slots <- struct{}{}
		crew.Go(func() {
			defer func() { <-slots }()
			start := time.Now()
			ws, err := c.hello(i, c.nodes[0])
			if err != nil {
				failed.Add(1)
				c.gone()
				go c.comeBack(i)
				return
			}
			c.mu.Lock()
			c.took = append(c.took, float64(time.Since(start).Microseconds())/1000)
			c.mu.Unlock()
			go c.stay(i, ws)
		})
	}
	crew.Wait()
	took := time.Since(began).Seconds()
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(entered{len(c.took), took, float64(len(c.took)) / took, quantile(c.took, .5), quantile(c.took, .99), int(failed.Load()), 0})
	c.took = nil
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

// stay answers pings until the socket ends, and then comes back.
func (c *throng) stay(i int, ws *client) {
	defer ws.nc.Close()
	buf := make([]byte, 512)
	for {
		frame, err := ws.read(buf)
		if err != nil {
			break
		}
		if bytes.Contains(frame, []byte(`"t":"ping"`)) && ws.send([]byte(`{"t":"pong"}`)) != nil {
			break
		}
	}
	c.gone()
	c.comeBack(i)
}

// gone counts one who has no socket now.
func (c *throng) gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away == 0 {
		c.lost = time.Now()
	}
	c.away++
}

// comeBack reconnects with full jitter (docs/protocol.md, Closing).
func (c *throng) comeBack(i int) {
	start := time.Now()
	for try := 0; ; try++ {
		wait := min(30*time.Second, 500*time.Millisecond<<min(try, 10))
		time.Sleep(time.Duration(rand.Int64N(int64(wait))))
		node := c.nodes[0]
		if len(c.nodes) > 1 {
			node = c.nodes[1+(i+try)%(len(c.nodes)-1)]
		}
		ws, err := c.hello(i, node)
		if err != nil {
			c.retries.Add(1)
			continue
		}
		c.mu.Lock()
		c.took = append(c.took, float64(time.Since(start).Milliseconds()))
		if c.away--; c.away == 0 {
			took := time.Since(c.lost).Seconds()
			_ = c.out.Encode(entered{len(c.took), took, float64(len(c.took)) / took, quantile(c.took, .5), quantile(c.took, .99), 0, c.retries.Swap(0)})
			c.took = nil
		}
		c.mu.Unlock()
		c.stay(i, ws)
		return
	}
}
