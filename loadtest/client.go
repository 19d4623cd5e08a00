package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

const (
	dialWithin  = 10 * time.Second
	writeWithin = 5 * time.Second
	// ackWithin is how long a message may be in flight on a live socket. A
	// refusal comes sooner; silence for this long is a fault of the server.
	ackWithin = 10 * time.Second
	// resumeWithin and resumeTries bound the asking for a resume.
	resumeWithin = 5 * time.Second
	resumeTries  = 5
	// behindFor is how long a chat may say "my last message is n" before a
	// client that does not have n asks for it: usually n is on its way.
	behindFor = time.Second
	// maxServerFrame bounds what a client reads: a resumed of a long chat.
	maxServerFrame = 16 << 20
	// maxUnsent bounds the messages a client keeps until they are acked.
	maxUnsent = 1024
)

// Handlers tell what a client saw. All but Down are called on the client's
// reading goroutine, one at a time, in wire order, with no lock held; a handler
// may call the client's methods. Nil ones are skipped.
type Handlers struct {
	Up        func(node int, took time.Duration) // ready came; took is from the start of the dial
	Down      func(node int, code int)           // a socket that was ready ended; code 1006 when no close frame came
	Failed    func(node int, err error)          // a connect did not get as far as ready
	Ready     func(Ready)
	Chat      func(c switchboard.Chat, re string)
	Message   func(m switchboard.Message) // applied: in order, each once
	Reset     func(chat switchboard.ChatID)
	Resumed   func(Resumed) // after its messages were applied
	Acked     func(Ack)
	Offer     func(switchboard.Offer)
	OfferGone func(OfferGone)
	Self      func(switchboard.OperatorView)
	Refused   func(Refusal)
	Other     func(kind switchboard.Kind, object []byte) // every other kind; the bytes are only valid during the call
}

// Config is what a client needs to know.
type Config struct {
	Nodes    []string // base addresses, http://host:port; reconnects go round
	Start    int      // index of the first node
	Token    string
	Watch    []string // of hello
	Seed     uint64   // of the reconnect jitter
	HTTP     *http.Client
	Handlers Handlers
	// Renew gets a new token after close code 4001; nil makes 4001 final.
	Renew func(context.Context) (string, error)
}

// Counts is what a client noticed on the wire. Repeats, gaps and re-sends are
// legal there; Malformed and AcksMissing are faults of the server.
type Counts struct {
	Connects    int `json:"connects"`
	Failures    int `json:"connect_failures"`
	Reconnects  int `json:"reconnects"`
	Moved       int `json:"moved"`
	Silent      int `json:"silent_sockets"`
	Repeats     int `json:"wire_repeats"`
	Gaps        int `json:"wire_gaps"`
	Resumes     int `json:"resumes"`
	Resets      int `json:"positions_lost"`
	Resent      int `json:"messages_resent"`
	AcksMissing int `json:"acks_missing"`
	Malformed   int `json:"malformed_objects"`
	Refused     int `json:"refused_requests"`
	Objects     int `json:"objects_received"`
}

// Client is one person's connection: one socket at a time, reconnected as
// docs/protocol.md asks. All methods may be called from any goroutine.
type Client struct {
	cfg Config

	mu      sync.Mutex
	link    *link // the socket of now; nil while there is none
	node    int   // index of link's node, or of the next one to try
	token   string
	person  switchboard.PersonID // of the last ready
	threads map[switchboard.ChatID]*thread
	spread  time.Duration // over how long to spread the return should the node die; by its last ping
	moving  time.Time     // when the moving object of this socket allows to reconnect; zero: none came
	rnd     *rand.Rand
	counts  Counts
}

// New returns a client that connects when Run is called.
func New(cfg Config) *Client {
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	return &Client{
		cfg:     cfg,
		node:    cfg.Start,
		token:   cfg.Token,
		threads: make(map[switchboard.ChatID]*thread),
		rnd:     rand.New(rand.NewPCG(cfg.Seed, 0x5b)),
	}
}

// Closed is why a client gave up or a socket ended.
type Closed struct {
	Code   int // close code; 1006 when none came
	Reason string
}

// Error implements error.
func (c *Closed) Error() string {
	return "closed " + websocket.StatusCode(c.Code).String() + " " + c.Reason
}

// Run connects and reconnects until ctx ends (nil) or the server says that
// this person must not come back (*Closed). It blocks; call it once.
func (c *Client) Run(ctx context.Context) error {
	tries := 0
	for ctx.Err() == nil {
		began := time.Now()
		l, err := c.dial(ctx)
		if err == nil {
			err = c.read(ctx, l, began)
			// The peer is gone or being left: there is nothing to wait for.
			l.ws.CloseNow()
		}
		if ctx.Err() != nil {
			break
		}
		wasReady := c.drop(l, err)
		if wasReady {
			tries = 0
		}
		next, err := c.next(ctx, err, tries)
		if err != nil {
			return err
		}
		tries++
		if !sleep(ctx, next) {
			break
		}
	}
	c.drop(nil, nil)
	return nil
}

func (c *Client) dial(ctx context.Context) (*link, error) {
	c.mu.Lock()
	node := c.node
	c.moving = time.Time{}
	c.mu.Unlock()
	dctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	base := strings.TrimSuffix(c.cfg.Nodes[node%len(c.cfg.Nodes)], "/")
	ws, _, err := websocket.Dial(dctx, base+"/ws", &websocket.DialOptions{HTTPClient: c.cfg.HTTP})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(maxServerFrame)
	l := &link{ws: ws, node: node % len(c.cfg.Nodes), heard: time.Now(), timeout: dialWithin}
	c.mu.Lock()
	c.link = l
	hello := switchboard.In{T: switchboard.KindHello, V: 1, Token: c.token, Watch: c.cfg.Watch, Chats: c.positions()}
	c.mu.Unlock()
	c.put(l, hello)
	return l, nil
}

// read handles what comes until the socket ends and returns why.
func (c *Client) read(ctx context.Context, l *link, began time.Time) error {
	for {
		kind, frame, err := l.ws.Read(ctx)
		if err != nil {
			return closedBy(err)
		}
		c.mu.Lock()
		l.heard = time.Now()
		c.mu.Unlock()
		if kind != websocket.MessageText {
			c.count(func(n *Counts) { n.Malformed++ })
			continue
		}
		for _, line := range splitServer(frame) {
			if err := c.object(l, line, began); err != nil {
				c.count(func(n *Counts) { n.Malformed++ })
			}
		}
	}
}

func closedBy(err error) error {
	var ce websocket.CloseError
	if errors.As(err, &ce) {
		return &Closed{Code: int(ce.Code), Reason: ce.Reason}
	}
	return &Closed{Code: 1006, Reason: err.Error()}
}

// drop forgets the socket; what was in flight is sent again after the next
// ready. It reports whether the socket had been ready.
func (c *Client) drop(l *link, err error) bool {
	c.mu.Lock()
	c.link = nil
	for _, th := range c.threads {
		th.inflight, th.asked, th.asks = time.Time{}, time.Time{}, 0
	}
	ready := l != nil && l.ready
	node := c.node % len(c.cfg.Nodes)
	if err != nil && !ready {
		c.counts.Failures++
	}
	c.mu.Unlock()
	var closed *Closed
	switch h := c.cfg.Handlers; {
	case err == nil:
	case ready && h.Down != nil && errors.As(err, &closed):
		h.Down(node, closed.Code)
	case !ready && h.Failed != nil:
		h.Failed(node, err)
	}
	return ready
}

// next chooses where to and how long to wait, by the table of close codes; an
// error means: do not come back.
func (c *Client) next(ctx context.Context, why error, tries int) (time.Duration, error) {
	code := 1006
	var closed *Closed
	if errors.As(why, &closed) {
		code = closed.Code
	}
	switch code {
	case switchboard.CloseLoggedOut, switchboard.CloseProtocol, 1007, 1009:
		return 0, why
	case switchboard.CloseExpired:
		if c.cfg.Renew == nil {
			return 0, why
		}
		token, err := c.cfg.Renew(ctx)
		if err != nil {
			return 0, errors.Join(why, err)
		}
		c.mu.Lock()
		c.token = token
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Reconnects++
	if code == switchboard.ClosePositionLost {
		clear(c.threads)
	}
	if code == switchboard.CloseSlow {
		// This node is well; it was the socket that could not keep up.
		return c.jitter(tries), nil
	}
	c.node = (c.node + 1) % len(c.cfg.Nodes)
	if code == switchboard.CloseMoving && !c.moving.IsZero() {
		c.counts.Moved++
		return max(0, time.Until(c.moving)), nil
	}
	return c.jitter(tries), nil
}

// jitter is full jitter between 0 and min(30 s, 1 s * 2^tries), the first time over at
// least what the node's last ping asked for.
func (c *Client) jitter(tries int) time.Duration {
	limit := time.Second << min(tries, 5)
	if tries == 0 {
		limit = max(limit, c.spread)
		c.spread = 0
	}
	limit = min(30*time.Second, limit)
	return time.Duration(c.rnd.Int64N(int64(limit)))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func encode(in switchboard.In) []byte {
	b, err := json.Marshal(in)
	if err != nil {
		// In holds plain fields and Extra, which this package never sets.
		panic("loadtest: an In cannot be encoded: " + err.Error())
	}
	return b
}
