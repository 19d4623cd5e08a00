package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
)

// bridge is one chat whose operator and visitor are at different nodes: it says whether
// messages cross, and after how long. It is of another organization than the crowd, whose
// referee counts every message, and of the same partition, so that a fault of a slot
// is its own. Its functions return errors: faults run on goroutines that may not end a
// test.
type bridge struct {
	operator, visitor *peer
	chat              int64
	n                 int
}

// busyMachine is what a bound of a few seconds may be missed by where two cores are
// shared with other work.
const busyMachine = 2 * time.Second

func (cl *cluster) bridge() *bridge {
	cl.t.Helper()
	own := *cl
	for own.org.ID == cl.org.ID || own.admin.Partition(own.org.ID).Tag != cl.admin.Partition(cl.org.ID).Tag {
		own.org = cl.addOrg("bridge") // one of 32
	}
	br := &bridge{}
	br.operator, br.visitor, br.chat = own.talk(own.token(own.operator("Bridge", switchboard.RoleOperator, 1)), own.visitor(own.nodes[0], "Bridge"))
	return br
}

// crosses sends one message each way, again and again while it is refused for now,
// as clients do, and returns when both are acknowledged and have come to the other
// end: live or, after a gap was told, with the resume that a client then asks for.
// live says that both came as the subscription brings them; what a look at the store
// finds is told as a gap.
func (br *bridge) crosses(ctx context.Context, within time.Duration) (took time.Duration, live bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	br.n++
	cmid := fmt.Sprint("cross", br.n)
	var both sync.WaitGroup
	var lives [2]bool
	var errs [2]error
	both.Go(func() { lives[0], errs[0] = br.one(ctx, br.operator, br.visitor, "o"+cmid) })
	both.Go(func() { lives[1], errs[1] = br.one(ctx, br.visitor, br.operator, "v"+cmid) })
	both.Wait()
	took = time.Since(began)
	if err := errors.Join(errs[:]...); err != nil {
		return took, false, fmt.Errorf("a message did not cross in %v: %w", within, err)
	}
	return took, lives[0] && lives[1], nil
}

// crossesLive sends messages until one crosses live each way.
func (br *bridge) crossesLive(ctx context.Context, within time.Duration) (took time.Duration, err error) {
	for began, live := time.Now(), false; ; pause(ctx, 20*time.Millisecond) { // the pace of the talk
		_, live, err = br.crosses(ctx, within-time.Since(began))
		if took = time.Since(began); err != nil || live {
			return took, err
		}
	}
}

// one brings one message from a to b.
func (br *bridge) one(ctx context.Context, a, b *peer, cmid string) (live bool, err error) {
	from := b.count()
	for tries := 1; ; tries++ {
		re := fmt.Sprint(cmid, "/", tries)
		if err := a.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"t":"message","re":%q,"chat":%d,"cmid":%q,"text":"x"}`, re, br.chat, cmid)); err != nil {
			return false, fmt.Errorf("send %s: %w", cmid, err)
		}
		m, err := a.finds(ctx, 0, "the answer to "+re, func(m map[string]any) bool { return m["re"] == re })
		if err != nil {
			return false, err
		}
		if m["t"] == "ack" {
			break
		}
		if m["code"] != "unavailable" {
			return false, fmt.Errorf("%s was refused: %v", cmid, m)
		}
		pause(ctx, 100*time.Millisecond) // what the client is asked to wait is more
	}
	for {
		m, err := b.finds(ctx, from, cmid+", which was acknowledged", func(m map[string]any) bool {
			switch m["t"] {
			case "message":
				return m["cmid"] == cmid
			case "resumed":
				return strings.Contains(fmt.Sprint(m["messages"]), "cmid:"+cmid+" ")
			case "gap":
				return b.unanswered()
			}
			return false
		})
		if err != nil || m["t"] != "gap" {
			return err == nil && m["t"] == "message", err
		}
		if err := b.resume(ctx, br.chat); err != nil {
			return false, err
		}
	}
}

// unanswered says whether a gap was told for which resume has not asked yet; called
// with the lock held.
func (p *peer) unanswered() bool {
	gaps := 0
	for _, m := range p.got {
		if m["t"] == "gap" {
			gaps++
		}
	}
	return gaps > p.asked
}

// resume answers every gap so far.
func (p *peer) resume(ctx context.Context, chat int64) error {
	p.mu.Lock()
	p.asked = 0
	for _, m := range p.got {
		if m["t"] == "gap" {
			p.asked++
		}
	}
	p.mu.Unlock()
	return p.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"t":"resume","chats":[{"chat":%d}]}`, chat))
}

// finds is after without the end of the test: it looks behind the first n objects
// until ctx ends or the socket does.
func (p *peer) finds(ctx context.Context, n int, what string, f func(m map[string]any) bool) (map[string]any, error) {
	for {
		p.mu.Lock()
		for _, m := range p.got[min(n, len(p.got)):] {
			if f(m) {
				p.mu.Unlock()
				return m, nil
			}
		}
		closed := p.closed
		p.mu.Unlock()
		if closed != nil {
			return nil, fmt.Errorf("the socket ended before %s: %w", what, closed)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no %s", what)
		case <-time.After(10 * time.Millisecond): // p.more has one reader only
		}
	}
}
