package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/routing"
)

// Server is one node. Several may live in one process, as tests do.
type Server struct {
	cfg      Config
	log      *slog.Logger
	hub      *hub.Hub
	reg      *presence.Registry
	router   *routing.Router
	bus      *routing.Bus
	accounts *accounts.Store
	tokens   *Tokens
	limits   *limiters
	metrics  *metrics

	board    *board
	marks    *marks
	wakes    *wakes
	tasks    *tasks
	leaves   *leaves
	mirror   *mirror
	places   *places
	degraded *degraded
	resyncs  *resyncs
	repairs  *repairs
	idles    *idles
	webhooks *webhooks

	orderBoard *orderBoard
	openOrders *openOrders

	listener, ops net.Listener
	draining      atomic.Bool
}

// Open connects a node to its store and takes its addresses; Run serves. Errors
// say what could not be had; nothing is left open then.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Drain == 0 {
		cfg.Drain = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Registerer == nil {
		reg := prometheus.NewRegistry()
		cfg.Registerer, cfg.Gatherer = reg, reg
	}
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Server{cfg: cfg, log: cfg.Log, accounts: cfg.Accounts, metrics: newMetrics(cfg.Registerer)}
	s.tokens = NewTokens(cfg.Accounts.SigningKey, cfg.Accounts.VerificationKey)
	s.limits = newLimiters(cfg.Limits, cfg.Registerer)
	s.wakes, s.tasks, s.leaves = newWakes(), newTasks(), newLeaves()
	s.resyncs, s.repairs, s.degraded = newResyncs(), newRepairs(), newDegraded()
	s.idles = newIdles()
	if err := s.listen(); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(err, s.closeListeners())
	}
	return s, nil
}

func (s *Server) listen() (err error) {
	if s.listener, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Listen, err)
	}
	if s.cfg.ProxyProtocol {
		s.listener = proxyListener{s.listener, s.trust()}
	}
	if s.cfg.Metrics != "" {
		if s.ops, err = net.Listen("tcp", s.cfg.Metrics); err != nil {
			return errors.Join(fmt.Errorf("listen for metrics on %s: %w", s.cfg.Metrics, err), s.closeListeners())
		}
	}
	return nil
}

func (s *Server) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{s.listener, s.ops} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// connect wires the packages; what one needs of another goes as a function.
func (s *Server) connect(ctx context.Context) (err error) {
	p := s.cfg.Presence
	p.Name, p.Log, p.Registerer = s.Addr(), s.log, s.cfg.Registerer
	p.Wake = s.wakes.add
	p.Rejoined = s.rejoined
	p.Rolled = s.resyncs.add
	p.Away = s.degraded.set
	if s.reg, err = presence.Open(ctx, s.cfg.Redis, p); err != nil {
		return err
	}
	r := s.cfg.Routing
	r.Log, r.Registerer = s.log, s.cfg.Registerer
	s.webhooks = newWebhooks(s.accounts, s.cfg.Resolver, s.cfg.Registerer, s.log)
	r.Ask = s.webhooks.add
	s.router = routing.New(s.reg, s.cfg.Redis, r)
	s.webhooks.router = s.router
	if s.cfg.Hub.Spread == nil {
		s.cfg.Hub.Spread = spreadOf(s.cfg.Limits.ConnectsPerSecond)
	}
	s.hub = hub.New(s.cfg.Hub, hub.Handlers{Frame: s.frame, Closed: s.closed, Expired: s.expired, Refresh: s.refresh}, s.cfg.Registerer, s.log)
	s.board = newBoard(s.hub, s.reg, s.router, s.degraded.age, s.log)
	s.orderBoard, s.openOrders = newOrderBoard(s.hub, s.reg, s.log), newOpenOrders(s.reg)
	s.bus = s.router.NewBus(routing.Listener{Nudge: s.nudged, Event: s.heard, Gap: s.missed, Lost: s.board.reload, Watched: s.board.watches})
	s.marks = newMarks(s.hub)
	s.mirror = newMirror(s.hub, s.reg)
	s.places = newPlaces(s.hub, s.router, s.log)
	return nil
}

// Addr returns the address that people reach, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// MetricsAddr returns the address of the operations listener, "" for none.
func (s *Server) MetricsAddr() string {
	if s.ops == nil {
		return ""
	}
	return s.ops.Addr().String()
}

// Run serves until ctx ends, then sends clients elsewhere over the drain time and
// returns when everything this node started has ended. Parts end in the order
// in which they use each other: sockets first, the lease last.
func (s *Server) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	lease, endLease := context.WithCancel(base)
	bus, endBus := context.WithCancel(base)
	work, endWork := context.WithCancel(base)
	sockets, endSockets := context.WithCancel(base)
	defer func() { endSockets(); endWork(); endBus(); endLease() }()

	var leaseWG, busWG, workWG, socketWG, httpWG sync.WaitGroup
	var leaseErr error
	busWG.Go(func() { s.bus.Run(bus) }) // returns nil only
	ready, cancel := context.WithTimeout(ctx, 10*time.Second)
	err := s.bus.Ready(ready)
	cancel()
	if err != nil {
		endBus()
		busWG.Wait()
		return errors.Join(fmt.Errorf("subscribe to the node's inboxes: %w", err), s.closeListeners())
	}
	leaseWG.Go(func() { leaseErr = s.reg.Run(lease, s.router.Ring) })
	for _, run := range []func(context.Context){s.match, s.tasks.run, s.board.run, s.orderBoard.run, s.marks.run, s.mirror.run, s.places.run, s.tidy, s.resync, s.repair, s.watchStore, s.reconcile, s.webhooks.run} {
		workWG.Go(func() { run(work) })
	}
	socketWG.Go(func() { s.hub.Run(sockets) }) // returns nil only

	people := s.httpServer(s.routes())
	ops := s.httpServer(s.opsRoutes())
	failed := make(chan error, 2)
	serve := func(srv *http.Server, l net.Listener) {
		if l == nil {
			return
		}
		httpWG.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	serve(people, s.listener)
	serve(ops, s.ops)
	s.log.Info("node serves", "addr", s.Addr(), "node", s.reg.Incarnation(), "store", s.cfg.Store)

	var runErr error
	select {
	case <-ctx.Done():
	case runErr = <-failed:
	}
	s.draining.Store(true)
	stop, cancel := context.WithTimeout(base, s.cfg.Drain+5*time.Second)
	defer cancel()
	runErr = errors.Join(runErr, people.Shutdown(stop)) // sockets are not its own any more
	s.hub.Drain(stop, s.cfg.Drain)
	endSockets()
	socketWG.Wait()
	endWork()
	workWG.Wait()
	runErr = errors.Join(runErr, ops.Shutdown(stop))
	httpWG.Wait()
	endLease()
	leaseWG.Wait()
	endBus()
	busWG.Wait()
	s.log.Info("node stopped", "addr", s.Addr())
	return errors.Join(runErr, leaseErr)
}

// httpServer bounds what a slow or large request may hold. Sockets leave it at
// the upgrade and bring deadlines of their own.
func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ConnContext: proxiedContext, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
}

// callContext bounds one frame's or task's calls to the store. It does not hang
// on the request or the node's run: what was begun is finished.
func callContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callWithin)
}

// callWithin is how long people wait for the store before they are told to try
// again (ARCHITECTURE.md, "Redis away").
const callWithin = 1200 * time.Millisecond

// wakes collects the organizations in which a pair may have become possible.
type wakes struct {
	mu   sync.Mutex
	orgs map[switchboard.OrgID]struct{}
	some chan struct{} // one slot
}

func newWakes() *wakes {
	return &wakes{orgs: map[switchboard.OrgID]struct{}{}, some: make(chan struct{}, 1)}
}

func (w *wakes) add(org switchboard.OrgID) {
	w.mu.Lock()
	w.orgs[org] = struct{}{}
	w.mu.Unlock()
	select {
	case w.some <- struct{}{}:
	default:
	}
}

func (w *wakes) take() map[switchboard.OrgID]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	orgs := w.orgs
	w.orgs = map[switchboard.OrgID]struct{}{}
	return orgs
}

// match pairs chats and operators whenever presence saw that a pair may be
// possible. A wake that is lost with the node is made up for by the queue's own
// deadline within a second.
func (s *Server) match(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakes.some:
		}
		for org := range s.wakes.take() {
			call, cancel := callContext()
			if err := s.router.Match(call, org); err != nil {
				s.log.Warn("matching failed; the queue's deadline tries again", "org", org, "err", err)
			}
			cancel()
		}
	}
}
