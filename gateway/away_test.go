package gateway

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// F5, F6: Redis hangs, or is killed and comes back from its file. Sockets stay,
// refusals are clear and quick, a status that was chosen meanwhile is carried
// out, nobody is flipped (20 idle operators and one in grace on a board), and what is
// sent after the return is stored within a second (a breaker rests for half of one before
// it lets a call probe), and 1.5 s more for a busy machine. 3 s by default; AWAY=3s,30s,3m
// runs the longer ones (make away).
//
// Seen red with awayChanged giving no spare (people in grace went offline on the
// return), with latchStatus refusing, with the breaker never opening, and with one of the
// idle operators signed out after the return.
func TestRedisAway(t *testing.T) {
	lengths := os.Getenv("AWAY")
	if lengths == "" {
		lengths = "3s"
	}
	for text := range strings.SplitSeq(lengths, ",") {
		away, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("AWAY: %v", err)
		}
		t.Run("frozen for "+text, func(t *testing.T) {
			redisAway(t, away, func(s stoppable) (back func()) { return redistest.Freeze(t, s.Pid()) })
		})
		t.Run("killed for "+text, func(t *testing.T) {
			redisAway(t, away, func(s stoppable) (back func()) {
				if err := s.Kill(t.Context()); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := s.Restart(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

type stoppable interface {
	Pid() int
	Kill(context.Context) error
	Restart(context.Context) error
}

func redisAway(t *testing.T, away time.Duration, stop func(stoppable) (back func())) {
	server := redistest.Start(t, true)
	cl := newClusterOn(t, func() redis.UniversalClient { return redis.NewClient(server.Options()) }, 2)
	const idle = 200                   // people who do nothing, as most do
	var still []switchboard.OperatorID // those of them who are on a board
	for i := range idle {
		if i%10 > 0 {
			cl.hello(cl.nodes[i%2], cl.visitor(cl.nodes[i%2], "Idle"))
			continue
		}
		still = append(still, cl.operator(fmt.Sprint("Idle", i), switchboard.RoleOperator, 1))
		p := cl.hello(cl.nodes[i/10%2], cl.token(still[len(still)-1]))
		if m := p.request(`{"t":"status","status":"Meal"}`); m["t"] != "ok" {
			t.Fatal(m)
		}
	}
	rdb := redis.NewClient(server.Options())
	defer rdb.Close()
	meter := &load{rdb: rdb}
	usual := meter.most(t, 2*time.Second)
	supervisor := cl.hello(cl.nodes[0], cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1)), `,"watch":["operators"]`)
	mina := cl.operator("Mina", switchboard.RoleOperator, 1)
	operator, visitor, chat := cl.talk(cl.token(mina), cl.visitor(cl.nodes[0], "Bo"))
	operator.say(chat, "before")
	visitor.heard("before")
	inGrace := cl.operator("Grace", switchboard.RoleOperator, 1)
	graceToken := cl.token(inGrace)
	lost := cl.available(cl.nodes[1], graceToken)
	supervisor.until("Available", func(m map[string]any) bool { return m["t"] == "presence" && shows(m, inGrace, "Available") })
	lost.ws.CloseNow() // in grace, and cannot come back while the store is away

	back := stop(server)
	began := time.Now()
	n := operator.count()
	operator.after(0, "degraded", func(m map[string]any) bool { return m["t"] == "degraded" && m["on"] == true })
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("people were told after %v", took)
	}
	quick := time.Now()
	if m := operator.request(`{"t":"message","chat":%d,"cmid":"while","text":"x"}`, chat); m["code"] != "unavailable" || m["retry_ms"] == nil || m["cmid"] != "while" {
		t.Errorf("a message while away: %v", m)
	}
	if took := time.Since(quick); took > 1500*time.Millisecond {
		t.Errorf("refused after %v", took)
	}
	operator.send(`{"t":"status","status":"Meal"}`) // the last choice counts
	if m := operator.request(`{"t":"status","status":"Break"}`); m["t"] != "ok" || m["latched"] != true {
		t.Errorf("a status while away: %v", m)
	}
	marks := supervisor.count()
	for time.Since(began) < away {
		time.Sleep(50 * time.Millisecond) // the outage itself
	}
	back()
	returned := time.Now()
	storm := make(chan float64, 1)
	go func() { storm <- meter.most(t, 5*time.Second) }()
	poll(t, "a message to be stored again", 10*time.Second, func() bool {
		return operator.request(`{"t":"message","chat":%d,"cmid":"while","text":"x"}`, chat)["t"] == "ack"
	})
	took := time.Since(returned)
	t.Logf("the first message was stored %v after the return", took.Round(time.Millisecond))
	if took > 2500*time.Millisecond {
		t.Errorf("the first message was stored %v after the return", took)
	}
	visitor.learns(chat, "while")
	operator.after(n, "the latched status", func(m map[string]any) bool { return m["t"] == "self" && m["intent"] == "Break" })
	operator.after(n, "the end of degraded", func(m map[string]any) bool { return m["t"] == "degraded" && m["on"] == false })
	cl.returns(cl.nodes[0], graceToken) // within the spare time
	if m := operator.request(`{"t":"status","status":"Unavailable"}`); m["t"] != "ok" {
		t.Error(m)
	}
	supervisor.after(marks, "news of after the return", func(m map[string]any) bool {
		return m["t"] == "presence" && shows(m, mina, "In-chat") && strings.Contains(fmt.Sprint(m), "intent:Unavailable")
	})
	for _, m := range supervisor.all()[marks:] {
		for _, op := range append(still, inGrace) {
			if m["t"] == "presence" && shows(m, op, "Offline") {
				t.Errorf("operator %d was flipped", op)
			}
		}
	}
	for i, p := range []*peer{operator, visitor, supervisor} {
		p.mu.Lock()
		if p.closed != nil {
			t.Errorf("socket %d ended: %v", i, p.closed)
		}
		p.mu.Unlock()
	}
	// No storm: everybody here is asserted once when the server is another one (about
	// 25 commands each, inner ones included), and nobody asks for more than that.
	if most := <-storm; most > 3*usual+idle*60 {
		t.Errorf("%v commands in a second after the return; %v is usual", most, usual)
	} else {
		t.Logf("at most %v commands in a second after the return; %v are usual at rest", most, usual)
	}
	cl.check()
}

// returns is hello as a client does it: what is refused for now is tried again, for
// 5 s (adopt.lua holds new operators up to 3 s after a server has changed).
func (cl *cluster) returns(n *node, token string) *peer {
	cl.t.Helper()
	for began := time.Now(); ; {
		p := cl.dial(n, nil)
		p.send(`{"t":"hello","v":1,"token":%q}`, token)
		m := p.until("an answer", func(m map[string]any) bool { return m["t"] == "ready" || m["t"] == "error" })
		if m["t"] == "ready" {
			return p
		}
		if m["code"] != "unavailable" || time.Since(began) > 5*time.Second {
			cl.t.Fatalf("hello: %v after %v", m, time.Since(began))
		}
		time.Sleep(100 * time.Millisecond) // far less than retry_ms asks for
	}
}

// load samples how many commands a server carries out in each half second.
type load struct {
	rdb *redis.Client
}

func (l *load) commands(t *testing.T) float64 {
	t.Helper()
	info, err := l.rdb.Info(t.Context(), "stats").Result()
	if err != nil {
		return 0 // it is away
	}
	_, rest, _ := strings.Cut(info, "total_commands_processed:")
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// most returns the largest number of commands of one second, over d.
func (l *load) most(t *testing.T, d time.Duration) (most float64) {
	t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); {
		before := l.commands(t)
		time.Sleep(time.Second) // the window
		most = max(most, l.commands(t)-before)
	}
	return most
}

// learns waits until a message has come, live or, after a gap that was told, by
// the resume that a client then sends.
func (p *peer) learns(chat int64, cmid string) {
	p.t.Helper()
	asked := 0
	p.until(cmid, func(map[string]any) bool { // called with the lock held
		gaps := 0
		for _, m := range p.got {
			switch m["t"] {
			case "message":
				if m["cmid"] == cmid {
					return true
				}
			case "resumed":
				if strings.Contains(fmt.Sprint(m["messages"]), "cmid:"+cmid+" ") {
					return true
				}
			case "gap":
				gaps++
			}
		}
		if gaps > asked {
			asked = gaps
			p.send(`{"t":"resume","chats":[{"chat":%d}]}`, chat)
		}
		return false
	})
}
