package gateway

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// sink is a customer's address that webhooks ask.
func sink(t *testing.T, answer http.HandlerFunc) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/route", asked
}

// allowLoopback lets the organization's webhooks reach this machine.
func (cl *cluster) allowLoopback() {
	cl.t.Helper()
	o := cl.org
	o.WebhookAllow = []string{"127.0.0.0/8"}
	if _, err := cl.accounts.SetOrganization(cl.t.Context(), o); err != nil {
		cl.t.Fatal(err)
	}
	for _, n := range cl.nodes {
		n.accounts.Forget(o.ID)
	}
}

// asks makes a team of two operators whose webhook is at url; the fallback would
// take the first.
func (cl *cluster) asks(admin, url string, ms int) (team switchboard.TeamID, ops [2]switchboard.OperatorID, peers [2]*peer) {
	cl.t.Helper()
	status, body := cl.api("POST", "/v1/teams", admin, fmt.Sprintf(`{"name":"Asks","strategy":"webhook","fallback":"round_robin","webhook":%q,"webhook_ms":%d}`, url, ms))
	var made teamBody
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != 201 || made.Strategy != presence.Webhook || made.Fallback != presence.RoundRobin {
		cl.t.Fatalf("%d %s", status, body)
	}
	for i := range ops {
		ops[i] = cl.operator(fmt.Sprint("Op", i), switchboard.RoleOperator, 5, made.ID)
		peers[i] = cl.available(cl.nodes[i%len(cl.nodes)], cl.token(ops[i]))
	}
	return made.ID, ops, peers
}

// offeredOf starts a chat of a team and returns which peer got it, and the chat.
func (cl *cluster) offeredOf(team switchboard.TeamID, peers [2]*peer) (int, int64) {
	cl.t.Helper()
	v := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Bo"))
	m := v.request(`{"t":"chat.start","cmid":"c0","team":%d,"text":"hello"}`, team)
	if m["t"] != "chat" {
		cl.t.Fatalf("%v", m)
	}
	got := -1
	poll(cl.t.(*testing.T), "an offer", 20*time.Second, func() bool {
		for i, p := range peers {
			if p.times(func(o map[string]any) bool { return o["t"] == "offer" && o["chat"] == m["chat"] }) > 0 {
				got = i
			}
		}
		return got >= 0
	})
	return got, int64(m["chat"].(float64))
}

// The webhook decides, over two nodes; it sees the chat and who could take it, and
// the request carries the signature of the organization's secret (T13).
func TestWebhookDecidesWhoGetsAChat(t *testing.T) {
	cl := newDesk(t, 2)
	admin := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1))
	cl.hello(cl.nodes[0], admin)
	cl.allowLoopback()
	type seen struct {
		ask    routing.Ask
		header http.Header
		body   []byte
	}
	questions := make(chan seen, 10)
	url, _ := sink(t, func(w http.ResponseWriter, r *http.Request) {
		var q seen
		q.header = r.Header
		q.body, _ = io.ReadAll(r.Body)
		if err := json.Unmarshal(q.body, &q.ask); err != nil {
			t.Error(err)
		}
		questions <- q
		last := q.ask.Candidates[len(q.ask.Candidates)-1].ID
		fmt.Fprintf(w, `{"operators":[987654,%d],"why":"later versions may say more"}`, last)
	})
	team, ops, peers := cl.asks(admin, url, 10_000)
	for range 2 { // the fallback would go round
		if got, chat := cl.offeredOf(team, peers); got != 1 {
			t.Errorf("chat %d went to operator %d, the webhook said %d", chat, ops[got], ops[1])
		}
		q := <-questions
		if len(q.ask.Candidates) != 2 || q.ask.Team != team || q.ask.Left <= 0 || q.ask.Candidates[0].Name != "Op0" || !strings.Contains(string(q.ask.Visitor), "Bo") {
			t.Errorf("it was asked %s", q.body)
		}
		secret := reads[struct{ Secret string }](cl, "GET", "/v1/settings/webhook-secret", admin, "")
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Secret, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		want := "v1," + webhookSignature(key, q.header.Get("Webhook-Id"), q.header.Get("Webhook-Timestamp"), q.body)
		if !hmac.Equal([]byte(want), []byte(q.header.Get("Webhook-Signature"))) || q.header.Get("Webhook-Id") != q.ask.ID {
			t.Errorf("signature %q, want %q", q.header.Get("Webhook-Signature"), want)
		}
	}
	cl.check()
}

// Whatever a webhook does wrong, the fallback decides when its time is over, and
// what it says after that changes nothing.
func TestWebhookThatFailsLeavesItToTheFallback(t *testing.T) {
	cl := newDesk(t, 1)
	admin := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1))
	cl.hello(cl.nodes[0], admin)
	cl.allowLoopback()
	elsewhere, followed := sink(t, func(http.ResponseWriter, *http.Request) {})
	release := make(chan struct{})
	defer close(release)
	for _, c := range []struct {
		name   string
		ms     int
		answer http.HandlerFunc
	}{
		{"slow", 300, func(http.ResponseWriter, *http.Request) { <-release }},
		{"500", 5000, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
		{"garbage", 5000, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>hello</html>") }},
		{"another shape", 5000, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"operators":"everybody"}`) }},
		{"redirect", 5000, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
		}},
		{"too large", 5000, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"operators":[],"x":%q}`, strings.Repeat("x", maxWebhookAnswer))
		}},
		{"cut off", 5000, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"operators":[`)
		}},
		{"names nobody", 5000, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"operators":[]}`) }},
		{"names strangers", 5000, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"operators":[987654,-1,0]}`) }},
	} {
		url, asked := sink(t, c.answer)
		team, ops, peers := cl.asks(admin, url, c.ms)
		if got, chat := cl.offeredOf(team, peers); got != 0 || asked.Load() != 1 {
			t.Errorf("%s: chat %d went to operator %d (asked %d times), the fallback would take %d", c.name, chat, ops[got], asked.Load(), ops[0])
		}
	}
	if followed.Load() != 0 {
		t.Error("a redirect was followed")
	}
	cl.check()
}

// Who is preferred is checked by the claim like anybody: an operator on a break, or
// of another team, does not get the chat.
func TestWebhookPreferenceIsOnlyAPreference(t *testing.T) {
	cl := newDesk(t, 1)
	admin := cl.token(cl.operator("Ada", switchboard.RoleAdmin, 1))
	cl.hello(cl.nodes[0], admin)
	cl.allowLoopback()
	stranger := cl.operator("Stranger", switchboard.RoleOperator, 5)
	cl.available(cl.nodes[0], cl.token(stranger))
	var second atomic.Int64
	var pause func()
	url, _ := sink(t, func(w http.ResponseWriter, _ *http.Request) {
		pause() // between the question and its answer
		fmt.Fprintf(w, `{"operators":[%d,%d]}`, stranger, second.Load())
	})
	team, ops, peers := cl.asks(admin, url, 10_000)
	second.Store(int64(ops[1]))
	pause = func() {
		if m := peers[1].request(`{"t":"status","status":"Break"}`); m["t"] != "ok" {
			t.Errorf("%v", m)
		}
	}
	if got, _ := cl.offeredOf(team, peers); got != 0 {
		t.Errorf("operator %d got it, who is on a break", ops[got])
	}
	cl.check()
}

// T12: no address of an inner network is reached, however it is written, whatever
// a name resolves to. The stub of a name server says for every name that it is
// this machine, as the most helpful resolver would.
func TestWebhookReachesNoInnerAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var reached atomic.Int64
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler(), ConnState: func(net.Conn, http.ConnState) { reached.Add(1) }}}
	srv.Start()
	defer srv.Close()
	port := l.Addr().(*net.TCPAddr).Port
	hostile := []string{
		"http://127.0.0.1:PORT/", "http://127.1:PORT/", "http://127.0.1:PORT/", "http://0x7f.1:PORT/", "http://0x7f000001:PORT/", "http://2130706433:PORT/",
		"http://017700000001:PORT/", "http://0177.0.0.1:PORT/", "http://0:PORT/", "http://0.0.0.0:PORT/", "http://localhost:PORT/", "http://LOCALHOST.:PORT/",
		"http://sub.localhost:PORT/", "http://[::1]:PORT/", "http://[::]:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/", "http://[::127.0.0.1]:PORT/",
		"http://[64:ff9b::7f00:1]:PORT/", "http://[2002:7f00:1::]:PORT/", "http://[2001:0:7f00:1::]:PORT/", "http://[fe80::1]:PORT/", "http://[fe80::1%25lo]:PORT/", "http://[fc00::1]:PORT/",
		"http://[fd12:3456::1]/", "http://[ff02::1]/", "http://[fec0::1]/", "http://[2001:db8::1]/", "http://[100::1]/", "http://169.254.169.254/latest/meta-data/",
		"http://[fd00:ec2::254]/", "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://100.64.0.1/",
		"http://198.18.0.1/", "http://192.0.0.192/", "http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/", "http://rebind.example:PORT/",
		"http://127.0.0.1.nip.example:PORT/", "http://ⓛocalhost:PORT/", "http://１２７.０.０.１:PORT/", "http://例え.example:PORT/", "http://user@127.0.0.1:PORT/", "http://169.254.169.254.:PORT/",
		"https://127.0.0.1:PORT/", "http://93.184.216.34:22/", "http://[::ffff:10.0.0.1]/", "gopher://127.0.0.1:PORT/", "file:///etc/passwd", "http://127.0.0.1:PORT\t/",
	}
	if len(hostile) < 40 {
		t.Fatal("the list has shrunk")
	}
	client := egress(nil, stubResolver(t, func() netip.Addr { return netip.MustParseAddr("127.0.0.1") }))
	for _, raw := range hostile {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, "POST", strings.ReplaceAll(raw, "PORT", fmt.Sprint(port)), nil)
		if err == nil {
			var res *http.Response
			if res, err = client.Do(req); err == nil {
				res.Body.Close()
				t.Errorf("%s answered %d", raw, res.StatusCode)
			} else if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s was tried: %v", raw, err)
			}
		}
		cancel()
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached this machine", n)
	}
	for _, fine := range []string{"93.184.216.34:443", "[2606:2800:220:1::1]:443", "8.8.8.8:80"} {
		if err := mayDial(fine, nil); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

// T12: a name that changes its answer. One address is allowed and one is not; the
// name leads to them by turns, and the forbidden one is never reached.
func TestWebhookNameThatFlipsReachesTheAllowedAddressOnly(t *testing.T) {
	good, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("127.0.0.2 is not on this machine") // macOS has 127.0.0.1 only
	}
	port := good.Addr().(*net.TCPAddr).Port
	bad, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	serve := func(l net.Listener) *atomic.Int64 {
		n := new(atomic.Int64)
		srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }),
			ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					n.Add(1)
				}
			}}}
		srv.Start()
		t.Cleanup(srv.Close)
		return n
	}
	allowed, forbidden := serve(good), serve(bad)
	var turn atomic.Int64
	resolver := stubResolver(t, func() netip.Addr {
		return netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + turn.Add(1)%2)})
	})
	client := egress([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, resolver)
	answers := 0
	for range 40 {
		req, err := http.NewRequestWithContext(t.Context(), "POST", fmt.Sprintf("http://rebind.example.:%d/", port), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := client.Do(req); err == nil {
			answers++
			res.Body.Close()
		} else if !errors.Is(err, errForbiddenAddress) {
			t.Fatal(err)
		}
	}
	if forbidden.Load() != 0 || answers == 0 || answers == 40 || allowed.Load() != int64(answers) {
		t.Errorf("%d answers, %d connections to the allowed address, %d to the forbidden one", answers, allowed.Load(), forbidden.Load())
	}
}

// stubResolver asks a name server that says the same address of every name.
func stubResolver(t *testing.T, say func() netip.Addr) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if n < 17 {
				continue
			}
			end := 12
			for end < n && buf[end] != 0 {
				end += 1 + int(buf[end])
			}
			end += 5 // the root, type and class
			if end > n {
				continue
			}
			kind := binary.BigEndian.Uint16(buf[end-4:])
			out := append([]byte{buf[0], buf[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, buf[12:end]...)
			if kind == 1 { // A; of anything else there is none
				a := say().As4()
				out[7] = 1
				out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				out = append(out, a[:]...)
			}
			pc.WriteTo(out, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}
