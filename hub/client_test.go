package hub

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dialPipe runs an upgrade over an in-memory pipe and returns the client's end.
func dialPipe(t testing.TB, upgrade http.HandlerFunc) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(context.Background(), "ws://hub.test", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: pipeTransport{upgrade}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ws.CloseNow(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Log(err)
		}
	})
	return ws
}

type pipeTransport struct{ upgrade http.HandlerFunc }

func (p pipeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	clientEnd, serverEnd := net.Pipe()
	hj := pipeHijacker{httptest.NewRecorder(), serverEnd}
	p.upgrade(hj, req)
	resp := hj.Result()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = clientEnd
	}
	return resp, nil
}

type pipeHijacker struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (hj pipeHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return hj.conn, bufio.NewReadWriter(bufio.NewReader(hj.conn), bufio.NewWriter(hj.conn)), nil
}

// client is the other end of a socket.
type client struct {
	t  testing.TB
	ws *websocket.Conn

	mu      sync.Mutex
	frames  [][]string // objects by frame
	times   []time.Time
	err     error
	done    chan struct{} // closed when reading has ended
	answers bool          // answers pings
}

func newClient(t testing.TB, ws *websocket.Conn) *client {
	ws.SetReadLimit(-1)
	return &client{t: t, ws: ws, done: make(chan struct{})}
}

// listen reads everything from now on, until the socket is closed.
func (cl *client) listen() *client {
	started := make(chan struct{})
	go func() {
		defer close(cl.done)
		close(started)
		for cl.readOne() {
		}
	}()
	<-started
	cl.t.Cleanup(func() {
		_ = cl.ws.CloseNow() // whatever the test left open
		<-cl.done
	})
	return cl
}

// answering is listen that answers every ping.
func (cl *client) answering() *client {
	cl.answers = true
	return cl.listen()
}

// readOne reads one frame.
func (cl *client) readOne() bool {
	_, frame, err := cl.ws.Read(context.Background())
	cl.mu.Lock()
	if err != nil {
		cl.err = err
		cl.mu.Unlock()
		return false
	}
	objects := strings.Split(string(frame), "\n")
	cl.frames = append(cl.frames, objects)
	cl.times = append(cl.times, time.Now())
	cl.mu.Unlock()
	if cl.answers && bytes.Contains(frame, []byte(`{"t":"ping"`)) {
		if err := cl.ws.Write(context.Background(), websocket.MessageText, []byte(`{"t":"pong"}`)); err != nil {
			return true // the read says why
		}
	}
	return true
}

// objects returns what came, without pings.
func (cl *client) objects() []string {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	var all []string
	for _, f := range cl.frames {
		for _, o := range f {
			if o != string([]byte(`{"t":"ping"}`)) {
				all = append(all, o)
			}
		}
	}
	return all
}

// want waits for n objects and returns them.
func (cl *client) want(n int) []string {
	cl.t.Helper()
	eventually(cl.t, "all objects arrive", func() bool { return len(cl.objects()) >= n })
	return cl.objects()
}

// code waits for the end of the socket and returns the close code, -1 when it
// ended without a close frame.
func (cl *client) code() int {
	cl.t.Helper()
	<-cl.done
	return int(websocket.CloseStatus(cl.err))
}

func (cl *client) send(frame string) {
	cl.t.Helper()
	if err := cl.ws.Write(context.Background(), websocket.MessageText, []byte(frame)); err != nil {
		cl.t.Fatal(err)
	}
}
