package gateway

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
)

// knock asks a node for a socket from one of the loopback's addresses. A refusal is
// returned as a client reads it.
func knock(t *testing.T, n *node, from string) (ws *websocket.Conn, status int, wait time.Duration) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	one := &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}
	ws, res, err := websocket.Dial(t.Context(), "ws://"+n.Addr()+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: one}})
	if err == nil {
		t.Cleanup(func() { ws.CloseNow() })
		return ws, http.StatusSwitchingProtocols, 0
	}
	if res == nil {
		t.Fatal(err)
	}
	var body struct {
		Code    switchboard.Code
		RetryMS int64 `json:"retry_ms"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	want := map[int]switchboard.Code{http.StatusTooManyRequests: switchboard.CodeTooFast, http.StatusServiceUnavailable: switchboard.CodeUnavailable}[res.StatusCode]
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || body.Code != want || body.RetryMS <= 0 || int64(seconds) != (body.RetryMS+999)/1000 {
		t.Errorf("status %d, Retry-After %q, %+v", res.StatusCode, res.Header.Get("Retry-After"), body)
	}
	return nil, res.StatusCode, time.Duration(body.RetryMS) * time.Millisecond
}

// Who is over a limit is refused before the upgrade, with 429 and when to come, and
// let in then; other addresses are let in meanwhile. Seen red with one bucket for all
// addresses, with serveSocket asking
// no limit, with writeError setting no Retry-After, and with connect's wait a tenth of
// what it is (the promise was not kept).
func TestAnAddressOverItsLimitIsToldWhenToCome(t *testing.T) {
	cl := newDesk(t, 0)
	n := cl.addNode(func(c *Config) { c.Limits.ConnectsPerAddr = 2 }) // 8 at once
	in, began := 0, time.Now()
	var wait time.Duration
	for status := http.StatusSwitchingProtocols; status == http.StatusSwitchingProtocols && in < 100; in++ {
		_, status, wait = knock(t, n, "127.0.0.1")
		if status != http.StatusSwitchingProtocols && status != http.StatusTooManyRequests {
			t.Fatalf("status %d", status)
		}
	}
	if in--; in < 8 || float64(in) > 9+2*time.Since(began).Seconds() || wait <= 0 || wait > 500*time.Millisecond {
		t.Errorf("%d came in, the next is to wait %v; want 8 and half a second at most", in, wait)
	}
	if _, status, _ := knock(t, n, "127.0.0.2"); status != http.StatusSwitchingProtocols {
		t.Errorf("another address is refused with %d", status)
	}
	time.Sleep(wait) // as the client is told
	if _, status, _ := knock(t, n, "127.0.0.1"); status != http.StatusSwitchingProtocols {
		t.Errorf("after the time that was promised: %d", status)
	}
}

// The node's own bucket refuses whoever comes, whatever the address, also with 429;
// a node that is going, with 503. Seen red with connect asking the addresses only, and
// with serveSocket not looking whether it drains.
func TestANodeThatIsFullOrGoingRefusesBeforeTheUpgrade(t *testing.T) {
	cl := newDesk(t, 0)
	n := cl.addNode(func(c *Config) { c.Limits.ConnectsPerSecond = 1 }) // 1 at once
	refused := 0
	for i := 0; refused == 0 && i < 100; i++ {
		if _, status, wait := knock(t, n, "127.0.0."+strconv.Itoa(1+i)); status == http.StatusTooManyRequests {
			refused++
			if wait > time.Second {
				t.Errorf("to wait %v for one a second", wait)
			}
		} else if status != http.StatusSwitchingProtocols {
			t.Errorf("status %d", status)
		}
	}
	if refused == 0 {
		t.Error("a hundred addresses came in at once, where one a second may")
	}
	n.draining.Store(true)
	defer n.draining.Store(false)
	if _, status, wait := knock(t, n, "127.0.0.1"); status != http.StatusServiceUnavailable || wait != time.Second {
		t.Errorf("a node that is going: status %d, to wait %v", status, wait)
	}
}

// What is known after hello only is refused in the socket: a person's sockets, and
// those of an organization (their rate has TestAnOrganizationsStormDoesNotStopAnother).
// A node with all the sockets that it may have closes a new one with 1013. Seen red with
// each of the three bounds of the hub never reached.
func TestSocketsOverABoundAreToldInTheSocket(t *testing.T) {
	cl := newDesk(t, 0)
	n := cl.addNode(func(c *Config) { c.Hub.MaxPerPerson, c.Hub.MaxPerOrg = 2, 3 })
	ann, bob := cl.token(cl.operator("Ann", "", 1)), cl.token(cl.operator("Bob", "", 1))
	over := func(who, token string) {
		t.Helper()
		p := cl.dial(n, nil)
		p.send(`{"t":"hello","v":1,"token":%q}`, token)
		if e := p.kind("error"); e["code"] != "too_fast" || e["retry_ms"] != nil { // nobody knows when one ends
			t.Errorf("%s is refused as %v", who, e)
		}
		if code := p.ended(); code != switchboard.CloseTooFast {
			t.Errorf("%s: closed with %d", who, code)
		}
	}
	cl.hello(n, ann)
	cl.hello(n, ann)
	over("a third tab", ann)
	cl.hello(n, bob)
	over("a fourth of the organization", bob)
	full := cl.addNode(func(c *Config) { c.Hub.MaxConns = 1 })
	cl.hello(full, ann)
	if code := cl.dial(full, nil).ended(); code != closeTryLater {
		t.Errorf("a full node closes a new socket with %d", code)
	}
}

// The node's bucket gives its rate, and a tenth of a second's worth at once, to all
// addresses together; without a setting that is 150 a second for each processor. Seen
// red with a burst of a second's worth, with the rate halved, and with refusals that
// take a token.
func TestTheNodesBucketGivesItsRateToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, set := range []float64{0, 40, 1000} {
			want := set
			if set == 0 {
				want = 150 * float64(runtime.GOMAXPROCS(0))
			}
			l := newLimiters(Limits{ConnectsPerSecond: set}.withDefaults(), prometheus.NewRegistry())
			next := netip.MustParseAddr("10.0.0.0")
			ask := func() (time.Duration, bool) {
				next = next.Next() // each address comes once
				return l.connect(next)
			}
			in := 0
			for _, ok := ask(); ok && in < 100_000; _, ok = ask() {
				in++
			}
			if float64(in) != want/10 {
				t.Errorf("%g a second: %d at once, want a tenth", want, in)
			}
			in = 0
			for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond / 2) {
				if wait, ok := ask(); ok {
					in++
				} else if wait <= 0 || wait > time.Duration(float64(time.Second)/want) {
					t.Fatalf("%g a second: to wait %v", want, wait)
				}
			}
			if got := float64(in) / 10; got < want*.98 || got > want*1.001 {
				t.Errorf("%g a second came in, want %g", got, want)
			}
		}
	})
}
