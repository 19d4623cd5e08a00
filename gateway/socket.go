package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// session is what the gateway keeps for one socket beside the hub. It belongs
// to the socket's reading goroutine.
type session struct {
	origin, host string // of the upgrade request: checked when the organization is known
	source       string // how the socket's address is known (addr.go)
	claims       Claims
	open         bool        // hello was answered with ready
	goodbye      bool        // signed out by frame: no grace
	idle         atomic.Bool // the page is not used; others read it
	pace         *rate.Limiter
	refused      int                  // objects refused in a row for being too many
	marks        map[markKey]struct{} // what this socket shows of its person
	previewed    time.Time            // when what its visitor types was shown last
}

// maxRefused is how many objects in a row a socket may send too fast before it
// is closed: a client that does not listen to errors is not answered for ever.
const maxRefused = 100

type markKey struct {
	chat    switchboard.ChatID
	kind    switchboard.Kind
	private bool
}

// serveSocket upgrades a request and hands the socket to the hub. It returns at
// once: what the handler holds would triple the memory of an idle socket.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	addr, source := s.trust().Addr(r)
	if s.draining.Load() {
		w.Header().Set("Retry-After", "1")
		s.writeError(w, r, &switchboard.Error{Code: switchboard.CodeUnavailable, Message: "this node is going; try another", RetryAfter: time.Second})
		return
	}
	if wait, ok := s.limits.connect(addr); !ok {
		s.writeError(w, r, &switchboard.Error{Code: switchboard.CodeTooFast, Message: "too many connections at once", RetryAfter: wait})
		return
	}
	hijack := hub.SmallBuffers(w)
	ws, err := websocket.Accept(hijack, r, &websocket.AcceptOptions{
		// The origin is checked in hello, not here: which origins may open a socket
		// depends on the organization, and that is known from the token only. No
		// cookie takes part, so a foreign page gains nothing by the upgrade alone.
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		s.log.Debug("upgrade failed", "addr", addr, "err", err)
		return
	}
	ss := &session{origin: r.Header.Get("Origin"), host: r.Host, source: source,
		pace: rate.NewLimiter(rate.Limit(s.cfg.Limits.FramesPerSocket), int(5*s.cfg.Limits.FramesPerSocket))}
	if err := s.hub.OpenWith(ws, hijack.Conn(), addr, ss); err != nil {
		s.log.Debug("socket refused", "addr", addr, "source", source, "err", err)
	}
}

// originAllowed: no Origin means no browser; our own pages; the organization's sites.
func originAllowed(origin, host string, sites []string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	return strings.EqualFold(u.Host, host) || slices.ContainsFunc(sites, func(site string) bool { return strings.EqualFold(site, origin) })
}

// pongFrame is the answer to a ping as every client of ours writes it.
const pongFrame = `{"t":"pong"}`

// frame handles one frame of a socket: hello first, then whatever the table of
// dispatch.go knows.
func (s *Server) frame(c *hub.Conn, frame []byte) {
	ss, ok := c.State().(*session)
	if !ok {
		c.End(switchboard.CloseProtocol, "no session")
		return
	}
	if ss.open && string(frame) == pongFrame {
		return // most of what an idle node hears; the hub has noted that it came
	}
	lines, err := switchboard.SplitFrame(frame)
	if err != nil {
		s.fail(c, switchboard.In{}, err)
		c.End(switchboard.CloseProtocol, "bad frame")
		return
	}
	for _, line := range lines {
		in, err := switchboard.DecodeIn(line)
		if err != nil {
			s.fail(c, in, err)
			if !ss.open {
				c.End(switchboard.CloseProtocol, "hello expected")
				return
			}
			continue
		}
		if !ss.open {
			if in.T != switchboard.KindHello {
				s.fail(c, in, switchboard.Invalid("t", "the first object must be hello"))
				c.End(switchboard.CloseProtocol, "hello expected")
				return
			}
			if !s.hello(c, ss, in) {
				return
			}
			continue
		}
		if in.T == switchboard.KindPong {
			continue
		}
		if !ss.pace.Allow() {
			s.fail(c, in, &switchboard.Error{Code: switchboard.CodeTooFast, Message: "too many objects; slow down", RetryAfter: time.Second})
			if ss.refused++; ss.refused > maxRefused {
				c.End(switchboard.CloseTooFast, "too fast")
				return
			}
			continue
		}
		ss.refused = 0
		s.dispatch(c, ss, in)
	}
}

// hello opens a socket: token, origin, edge, orders, and then ready with all
// that the person holds. The connection is known to the hub before the store is
// asked, so nothing that is decided in between can pass it by.
func (s *Server) hello(c *hub.Conn, ss *session, in switchboard.In) bool {
	began := time.Now()
	ctx, cancel := callContext()
	defer cancel()
	refuse := func(err error) bool {
		s.metrics.hellos.WithLabelValues(string(switchboard.CodeOf(err))).Inc()
		s.fail(c, in, err)
		c.End(closeCode(err), string(switchboard.CodeOf(err)))
		return false
	}
	if in.Token == "" && in.Org != 0 {
		if err := s.helloGuest(ctx, c, ss, in); err != nil {
			return refuse(err)
		}
		return true
	}
	claims, watched, err := s.introduced(ctx, ss, in)
	if err != nil {
		return refuse(err)
	}
	ss.claims = claims
	org, person := claims.Org, claims.Person()
	s.hub.Cork(c)
	defer s.hub.Uncork(c)
	if _, err := s.hub.Identify(c, identity(claims)); err != nil {
		return refuse(err)
	}
	ss.idle.Store(in.Idle)
	idle := s.allIdle(edge{org, person})
	entered, err := s.reg.EnterIdle(ctx, org, person, claims.Minted, idle)
	if err != nil {
		s.doubt(edge{org, person}, err)
		return refuse(err)
	}
	if idle {
		s.idles.doubt(edge{org, person}) // the edge may have been there before
	}
	if s.idles.knows(edge{org, person}) {
		if err := s.tellIdle(edge{org, person}); err != nil {
			return refuse(err)
		}
	}
	if entered.Record != "" {
		s.mirror.operator(edge{org, person}, entered.Record, s.reg.Generation(s.reg.Partition(org)))
	}
	if err := s.meetOrders(ctx, c, claims, entered.Orders); err != nil {
		return refuse(err)
	}
	if entered.Back && person.Visitor() {
		if err := s.router.VisitorBack(ctx, org, person); err != nil {
			return refuse(err)
		}
	}
	snap, err := s.holdings(ctx, org, person, entered)
	if err != nil {
		return refuse(err)
	}
	if person.Visitor() {
		s.places.snapshot(ctx, org, &snap)
	}
	ready, err := s.ready(ctx, ss, snap, entered.IdleMS)
	if err != nil {
		return refuse(err)
	}
	ss.open = true
	c.Send(hub.ClassEvent, ready)
	if snap.Leaving != nil {
		c.Send(hub.ClassEvent, snap.Leaving)
	}
	wanted := slices.Clone(in.Chats)
	for _, chat := range snap.Chats {
		known := slices.ContainsFunc(wanted, func(p switchboard.ChatPosition) bool { return p.Chat == chat.ID })
		_, invited := chat.Invited(person)
		takes := !invited || chat.Role(claims.Operator) != "" // who takes part may be asked for more
		if !known && takes && (chat.State == switchboard.ChatActive || person.Visitor()) {
			wanted = append(wanted, switchboard.ChatPosition{Chat: chat.ID})
		}
	}
	if !s.resume(c, ss, wanted) {
		return false
	}
	if len(in.Watch) > 0 {
		s.watch(c, ss, watched)
	}
	s.metrics.hellos.WithLabelValues("ok").Inc()
	s.metrics.helloSeconds.Observe(time.Since(began).Seconds())
	return true
}

// holdings is what a person who has just entered holds. Most hold nothing, and
// the step in which they entered has said so; what comes after it comes as
// nudges, which wait in the queue behind ready.
func (s *Server) holdings(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID, e presence.Entered) (routing.Snapshot, error) {
	if !e.Holds {
		snap := routing.Snapshot{Now: e.Now}
		if e.Operator != nil {
			snap.Self = mustJSON(e.Operator.View(true))
		}
		return snap, nil
	}
	snap, err := s.router.Snapshot(ctx, org, person)
	if err == nil {
		s.mirror.snapshot(org, snap)
	}
	return snap, err
}

// identify verifies a person's token and where the page that uses it stands.
func (s *Server) identify(ctx context.Context, ss *session, raw string) (Claims, error) {
	claims, err := s.tokens.Verify(ctx, raw, time.Now())
	if err != nil {
		return claims, err
	}
	if claims.Audience != AudienceOperator && claims.Audience != AudienceVisitor {
		return claims, switchboard.Errorc(switchboard.CodeUnauthorized, "the token is not valid")
	}
	org, err := s.accounts.Organization(ctx, claims.Org)
	if err != nil {
		if switchboard.CodeOf(err) == switchboard.CodeNotFound {
			err = switchboard.Errorc(switchboard.CodeUnauthorized, "the token is not valid")
		}
		return claims, err
	}
	if !originAllowed(ss.origin, ss.host, org.Sites) {
		return claims, switchboard.Errorc(switchboard.CodeForbidden, "pages of this origin may not connect")
	}
	return claims, nil
}

func identity(c Claims) hub.Identity {
	return hub.Identity{Org: c.Org, Person: c.Person(), Role: c.Role, Name: c.Name, Minted: c.Minted, Expires: c.Expires}
}

// mustJSON encodes our own frame types, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
