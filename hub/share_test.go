package hub

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/switchboard/switchboard"
)

// One event for a thousand sockets is encoded once: each of the three ways to many
// queues the caller's own bytes for every connection, and copies none. What waits is
// looked at where it waits, behind a cork and behind a writer that is stuck. Seen
// red with push cloning the bytes of what it queues and of what it corks, with deliver
// making an object with a copy for each person, and with Publish doing so for each
// watcher.
func TestAFanOutQueuesTheSameBytesForEverybody(t *testing.T) {
	for name, send := range map[string]func(r *rig, all []switchboard.PersonID, obj []byte){
		"Publish":        func(r *rig, _ []switchboard.PersonID, obj []byte) { r.Publish(1, "operators", ClassPresence, obj) },
		"Deliver":        func(r *rig, all []switchboard.PersonID, obj []byte) { r.Deliver(1, all, ClassEvent, obj) },
		"DeliverMessage": func(r *rig, all []switchboard.PersonID, obj []byte) { r.DeliverMessage(1, all, 7, 1, obj) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Config{}, Handlers{})
				var conns []*Conn
				var clients []*client
				var all []switchboard.PersonID
				for i := range 50 {
					c, cl := r.pipe()
					r.Cork(c)
					p := switchboard.PersonID(fmt.Sprint("o", i/2)) // each has two tabs
					if _, err := r.Identify(c, Identity{Org: 1, Person: p}); err != nil {
						t.Fatal(err)
					}
					r.Watch(c, []string{"operators"})
					conns, clients = append(conns, c), append(clients, cl.answering())
					if i%2 == 0 {
						all = append(all, p)
					}
				}
				obj := []byte(`{"t":"presence","operators":[]}`)
				send(r, all, obj)
				same := func(where string, c *Conn, got []byte) {
					t.Helper()
					if &got[0] != &obj[0] || len(got) != len(obj) {
						t.Errorf("%s: connection %d has bytes of its own: %q", where, c.id, got)
					}
				}
				for _, c := range conns {
					c.out.mu.Lock()
					if len(c.out.corked) != 1 {
						t.Fatalf("connection %d has %d objects", c.id, len(c.out.corked))
					}
					same("kept back", c, c.out.corked[0].json)
					c.out.mu.Unlock()
				}
				for _, c := range conns {
					r.Uncork(c)
				}
				synctest.Wait()
				for i, cl := range clients {
					if got := strings.Join(cl.objects(), "\n"); got != string(obj) {
						t.Errorf("connection %d got %q", i, got)
					}
				}
				// And behind no cork, where a writer that is stuck leaves it in the queue.
				c, _ := r.pipe() // nobody reads
				if _, err := r.Identify(c, Identity{Org: 1, Person: "o0"}); err != nil {
					t.Fatal(err)
				}
				r.Watch(c, []string{"operators"})
				c.Send(ClassEvent, []byte(`{"t":"first"}`))
				synctest.Wait() // the writer holds the first, and is stuck
				send(r, all, obj)
				c.out.mu.Lock()
				if len(c.out.items) != 1 {
					t.Fatalf("%d objects wait", len(c.out.items))
				}
				same("queued", c, c.out.items[0].json)
				c.out.mu.Unlock()
			})
		})
	}
}
