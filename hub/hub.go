package hub

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// Handlers are what the hub calls. None is called with a lock held, so each may
// call back into the hub. A nil field does nothing.
type Handlers struct {
	// Frame gets each text frame of a connection, in order, on the connection's
	// reading goroutine. The bytes are valid UTF-8 of at most
	// switchboard.MaxFrame bytes and only valid during the call. No further
	// frame is handed out after End. A panic is logged and ends the connection
	// with 1011.
	Frame func(c *Conn, frame []byte)

	// Closed is called once for each opened connection, on its goroutine, after
	// it has left all tables. last says that no other identified connection of
	// that person was live at that moment; false for one never identified.
	// Another Identify of the same person may overtake this call, so who writes
	// the edge to a store looks at Conns again under a lock of their own.
	Closed func(c *Conn, last bool)

	// Expired is called once per identity when its Expires has passed. The
	// connection stays open until somebody ends it.
	Expired func(c *Conn)

	// Refresh says that presence of a topic was dropped for c and that the queue
	// has drained since: send a snapshot. topic is the family of
	// Publish, "" when the dropped object came by Send or Deliver. Called on the connection's writer, so what it
	// sends goes out next.
	Refresh func(c *Conn, topic string)
}

// Identity is who holds a connection.
type Identity struct {
	Org     switchboard.OrgID
	Person  switchboard.PersonID
	Role    switchboard.Role
	Name    string
	Minted  int64     // when the token was made, Unix milliseconds of the Redis clock
	Expires time.Time // when the token ends; zero: never
}

// Stats are counts of one moment.
type Stats struct {
	Sockets    int   // opened and not yet gone, closing ones too
	Identified int   // live and identified
	Queued     int64 // bytes in all queues; see Config.QueueBytes for how they count
}

const shardCount = 64

// Hub holds the connections that are live on this node. All methods may be
// called concurrently.
type Hub struct {
	cfg   Config
	on    Handlers
	log   *slog.Logger
	met   *metrics
	start time.Time // the hub's clock counts from here

	shards   [shardCount]shard
	interest interest
	wheel    wheel
	closers  pool // sends close frames
	refusers pool // the same to sockets that are not let in, which must not hold up the others
	tasks    pool // calls Handlers.Expired
	openers  pool // calls Handlers.Frame for those who are not identified yet
	door     door

	pings pings // owned by the wheel's goroutine

	ids        atomic.Uint64
	identified atomic.Int64
	queued     atomic.Int64
}

// New returns a hub; Run must be running for its timers to work. The metrics
// are registered with reg, which must be a new one for each hub.
func New(cfg Config, on Handlers, reg prometheus.Registerer, log *slog.Logger) *Hub {
	h := &Hub{cfg: cfg.withDefaults(), on: on.withDefaults(), log: log, start: time.Now()}
	for i := range h.shards {
		h.shards[i].people = make(map[person]*Conn)
	}
	h.interest.topics = make(map[topic]*audience)
	h.closers.limit, h.closers.backlog = h.cfg.Closers, h.cfg.MaxConns
	h.refusers.limit, h.refusers.backlog = h.cfg.Closers, 8*h.cfg.Closers
	h.tasks.limit, h.tasks.backlog = 16, h.cfg.MaxConns
	h.openers.limit, h.openers.backlog = h.cfg.MaxUnidentified, h.cfg.MaxConns
	h.door.strangers = make(map[*Conn]struct{})
	h.door.orgs = make(map[switchboard.OrgID]int)
	h.door.gone = make(chan struct{})
	h.met = newMetrics(reg, h)
	return h
}

func (on Handlers) withDefaults() Handlers {
	if on.Frame == nil {
		on.Frame = func(*Conn, []byte) {}
	}
	if on.Closed == nil {
		on.Closed = func(*Conn, bool) {}
	}
	if on.Expired == nil {
		on.Expired = func(*Conn) {}
	}
	if on.Refresh == nil {
		on.Refresh = func(*Conn, string) {}
	}
	return on
}

// Run turns the timer wheel until ctx ends, then closes every socket with 1001
// and returns nil when all goroutines of the hub have ended. It is called once.
func (h *Hub) Run(ctx context.Context) error {
	h.turn(ctx)
	h.shut(doorEnded)
	for _, c := range h.everyone() {
		c.End(int(websocket.StatusGoingAway), "server going away")
	}
	h.door.readers.Wait()
	h.closers.wait()
	h.refusers.wait()
	h.tasks.wait()
	h.openers.wait()
	return nil
}

// Open takes an upgraded socket over: it starts reading and returns at once.
// nc is the connection below ws and is used for deadlines; with the one of a
// Hijacked, protocol-level pings and pongs prove life too and a frame goes out
// in one write. addr is the peer's address, for Match.
//
// The error is an *Error of CodeUnavailable when the hub is full, drains or has
// ended; ws is then being closed, with 1013 or 4012.
func (h *Hub) Open(ws *websocket.Conn, nc net.Conn, addr netip.Addr) error {
	return h.OpenWith(ws, nc, addr, nil)
}

// OpenWith is Open with a value that Conn.State returns from the first frame on.
func (h *Hub) OpenWith(ws *websocket.Conn, nc net.Conn, addr netip.Addr, state any) error {
	c := &Conn{hub: h, ws: ws, nc: nc, addr: addr.Unmap(), id: h.ids.Add(1), opened: h.now()}
	c.heard.Store(c.opened)
	if state != nil {
		c.SetState(state)
	}
	if why := h.admit(c); why != "" {
		h.met.refused[why].Inc()
		return h.refuse(c, why)
	}
	h.met.opened.Inc()
	ws.SetReadLimit(switchboard.MaxFrame)
	if w, ok := nc.(*wire); ok {
		w.owner = c
	}
	h.wheel.add(c, c.opened+int64(h.cfg.HelloWithin))
	go c.read()
	return nil
}

// everyone returns all live connections. Once the door is shut none is missed:
// a stranger becomes a person's connection before it leaves the strangers, and
// strangers are copied first.
func (h *Hub) everyone() []*Conn {
	h.door.mu.Lock()
	all := make([]*Conn, 0, h.door.open)
	seen := make(map[*Conn]struct{}, len(h.door.strangers))
	for c := range h.door.strangers {
		all = append(all, c)
		seen[c] = struct{}{}
	}
	h.door.mu.Unlock()
	h.Each(func(c *Conn) bool {
		if _, twice := seen[c]; !twice {
			all = append(all, c)
		}
		return true
	})
	return all
}

// Stats counts what is here now.
func (h *Hub) Stats() Stats {
	h.door.mu.Lock()
	open := h.door.open
	h.door.mu.Unlock()
	return Stats{Sockets: open, Identified: int(h.identified.Load()), Queued: h.queued.Load()}
}

// Moved counts sockets that were opened, from the first on; a caller sees by it
// whether many come and go.
func (h *Hub) Moved() uint64 { return h.ids.Load() }

// now is the hub's clock: nanoseconds, never going back. It starts at 1, so that
// 0 can mean never.
func (h *Hub) now() int64 { return h.at(time.Now()) }

func (h *Hub) at(t time.Time) int64 { return 1 + int64(t.Sub(h.start)) }
