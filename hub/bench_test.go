package hub

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const watchers = 1_000

// crowd is a thousand watchers on loopback whose clients only count bytes, so
// that what is measured is mostly the sending side.
type crowd struct {
	conns []*Conn
	got   atomic.Int64
	want  int64
}

func newCrowd(b *testing.B, r *rig) *crowd {
	addr, cr := serve(b, r.Hub).Listener.Addr().String(), &crowd{}
	for i := range watchers {
		nc := rawUpgrade(b, addr, nil)
		var c *Conn
		eventually(b, "the socket is let in", func() bool {
			if r.ids.Load() != uint64(i+1) {
				return false
			}
			r.door.mu.Lock()
			defer r.door.mu.Unlock()
			for c = range r.door.strangers {
			}
			return c != nil
		})
		r.identify(c, operator(i+1))
		r.Watch(c, []string{"operators"})
		cr.conns = append(cr.conns, c)
		go cr.count(nc)
	}
	b.Cleanup(r.stop) // before the listener is closed and the clients are
	return cr
}

// count ends when the hub closes the socket.
func (cr *crowd) count(nc net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := nc.Read(buf)
		cr.got.Add(int64(n))
		if err != nil {
			_ = nc.Close()
			return
		}
	}
}

// wait returns when everybody has got n more bytes.
func (cr *crowd) wait(n int) {
	cr.want += int64(n) * watchers
	for cr.got.Load() < cr.want {
		time.Sleep(50 * time.Microsecond)
	}
}

// BenchmarkFanOut delivers objects of 200 bytes to 1,000 watchers, against a
// bare loop of the library's Write over such sockets. The bare loop has no
// queue: one watcher who does not read stops it for all.
func BenchmarkFanOut(b *testing.B) {
	obj, silent := sized(200), Config{PingEvery: time.Hour, Timeout: time.Hour}
	size := len(frame(len(obj)))
	b.Run("write loop", func(b *testing.B) {
		cr := newCrowd(b, newRig(b, silent, Handlers{}))
		for b.Loop() {
			for _, c := range cr.conns {
				if err := c.ws.Write(context.Background(), websocket.MessageText, obj); err != nil {
					b.Fatal(err)
				}
			}
			cr.wait(size)
		}
		b.ReportMetric(float64(b.N*watchers)/b.Elapsed().Seconds(), "deliveries/s")
	})
	for _, burst := range []int{1, 8} {
		b.Run(fmt.Sprintf("publish %d at once", burst), func(b *testing.B) {
			r := newRig(b, silent, Handlers{})
			newCrowd(b, r)
			// A frame of several objects is smaller than as many frames, so the
			// bytes are not known before: wait for the queues instead.
			for b.Loop() {
				for range burst {
					r.Publish(1, "operators", ClassMessage, obj)
				}
				for r.Stats().Queued > 0 {
					time.Sleep(50 * time.Microsecond)
				}
			}
			b.ReportMetric(float64(b.N*burst*watchers)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64(r.metric("objects_out_total", ""))/float64(r.metric("frames_out_total", "")), "objects/frame")
		})
	}
}
