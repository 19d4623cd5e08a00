package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// desks is an organization whose operators and visitors are all connected to
// this process, as to a node.
type desks struct {
	s      *site
	reg    *presence.Registry
	rt     *routing.Router
	people people
	chats  []switchboard.ChatID // started for the queue, in order
}

func (s *site) desks(ctx context.Context, name string, operators int) (*desks, error) {
	d := &desks{s: s}
	var err error
	if d.people, err = s.organization(ctx, name, operators, desksLimit); err != nil {
		return nil, err
	}
	if d.reg, err = presence.Open(ctx, s.rdb, presence.Config{Name: "bench"}); err != nil {
		return nil, err
	}
	d.rt = routing.New(d.reg, s.rdb, routing.Config{})
	return d, atOnce(operators, 64, func(i int) error {
		op := d.people.ids[i]
		minted, err := d.reg.Minted(ctx, d.people.org, op)
		if err != nil {
			return err
		}
		if _, err := d.reg.Enter(ctx, d.people.org, switchboard.OperatorPerson(op), minted); err != nil {
			return err
		}
		_, err = d.reg.SetStatus(ctx, d.people.org, op, presence.StatusChange{Status: switchboard.StatusAvailable, Source: "operator"})
		return err
	})
}

// atOnce calls f for 0 to n-1, width at a time, and returns one of the errors.
func atOnce(n, width int, f func(i int) error) (err error) {
	var crew sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, width)
	for i := range n {
		slots <- struct{}{}
		crew.Go(func() {
			defer func() { <-slots }()
			if e := f(i); e != nil {
				mu.Lock()
				err = e
				mu.Unlock()
			}
		})
	}
	crew.Wait()
	return err
}

func (d *desks) start(ctx context.Context, v switchboard.PersonID) (routing.Chat, error) {
	if _, err := d.reg.Enter(ctx, d.people.org, v, 0); err != nil {
		return routing.Chat{}, err
	}
	c, _, err := d.rt.Start(ctx, d.people.org, routing.Opening{Visitor: v, Team: d.people.team, Info: routing.Info{Name: "Visitor"}})
	return c, err
}

// startAndEnd has each visitor start a chat among free operators, and end it.
func (d *desks) startAndEnd(ctx context.Context, visitors []switchboard.PersonID) error {
	return atOnce(len(visitors), 8, func(i int) error {
		c, err := d.start(ctx, visitors[i])
		if err == nil && c.State != switchboard.ChatActive {
			err = fmt.Errorf("a chat among free operators is %s", c.State)
		}
		if err == nil {
			_, err = d.rt.Close(ctx, d.people.org, c.Visitor, false, c.ID, "done")
		}
		return err
	})
}

// queue makes n chats wait: the team's operators choose for themselves meanwhile.
func (d *desks) queue(ctx context.Context, n int) error {
	if err := d.strategy(ctx, presence.Pick); err != nil {
		return err
	}
	d.chats = make([]switchboard.ChatID, n)
	if err := atOnce(n, 64, func(i int) error {
		c, err := d.start(ctx, switchboard.VisitorPerson("queue"+strconv.Itoa(i)))
		d.chats[i] = c.ID
		if err == nil && c.State != switchboard.ChatWaiting {
			err = fmt.Errorf("a chat that is to wait is %s", c.State)
		}
		return err
	}); err != nil {
		return err
	}
	return d.strategy(ctx, presence.LeastLoaded)
}

func (d *desks) strategy(ctx context.Context, name string) error {
	return d.reg.PutTeam(ctx, d.people.org, presence.Team{ID: d.people.team, Name: "Bench", AutoAccept: true, Strategy: name})
}

// assign gives waiting chats to operators until all operators are full.
func (d *desks) assign(ctx context.Context, out *routedOrg) error {
	before, err := d.rt.Waiting(ctx, d.people.org)
	if err != nil {
		return err
	}
	if err := d.s.rdb.ConfigResetStat(ctx).Err(); err != nil {
		return err
	}
	used, began := cpu(d.s.server.Pid()), time.Now()
	if err := atOnce(2, 2, func(int) error { return d.rt.Match(ctx, d.people.org) }); err != nil { // as two nodes would
		return err
	}
	out.took, out.processor = time.Since(began), cpu(d.s.server.Pid())-used
	if out.runs, out.micros, out.batch, err = d.s.scripts(ctx, "fcall"); err != nil {
		return err
	}
	after, err := d.rt.Waiting(ctx, d.people.org)
	out.given = int(before - after)
	return err
}

// endOne ends n chats that are held, each in turn the oldest there is: every time
// one of those that wait is given to the operator who is free then.
func (d *desks) endOne(ctx context.Context, n int) error {
	return atOnce(n, 8, func(i int) error {
		_, err := d.rt.Close(ctx, d.people.org, switchboard.VisitorPerson("queue"+strconv.Itoa(i)), false, d.chats[i], "done")
		return err
	})
}

// check counts broken invariants.
func (d *desks) check(ctx context.Context) (int, error) {
	broken, err := d.rt.Check(ctx, d.people.org)
	for _, b := range broken[:min(len(broken), 5)] {
		fmt.Println("  invariant", b)
	}
	return len(broken), err
}

// Scripts are told apart in the SLOWLOG by how many keys they have.
const (
	keysOfStart = "22"
	keysOfClose = "25"
)

// logged does something and returns how many ms Redis took for each call of a
// script, by its number of keys.
func (s *site) logged(ctx context.Context, keys string, do func() error) (ms []float64, err error) {
	for name, value := range map[string]string{"slowlog-log-slower-than": "0", "slowlog-max-len": "1000000"} {
		if err := s.rdb.ConfigSet(ctx, name, value).Err(); err != nil {
			return nil, err
		}
	}
	if err := do(); err != nil {
		return nil, err
	}
	if err := s.rdb.ConfigSet(ctx, "slowlog-log-slower-than", "-1").Err(); err != nil {
		return nil, err
	}
	entries, err := s.rdb.SlowLogGet(ctx, -1).Result()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if len(e.Args) > 2 && strings.EqualFold(e.Args[0], "fcall") && e.Args[2] == keys {
			ms = append(ms, float64(e.Duration.Microseconds())/1000)
		}
	}
	return ms, s.rdb.Do(ctx, "slowlog", "reset").Err()
}

// scripts returns how often a command that runs a script was called since the
// statistics were reset, for how many µs, and how many ms the 99th of a hundred took.
func (s *site) scripts(ctx context.Context, command string) (runs, micros, p99 float64, err error) {
	p99 = math.NaN()
	for _, section := range []string{"commandstats", "latencystats"} {
		info, err := s.rdb.Info(ctx, section).Result()
		if err != nil {
			return 0, 0, 0, err
		}
		for line := range strings.Lines(info) {
			if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
				if _, err := fmt.Sscanf(rest, "%g,usec=%g", &runs, &micros); err != nil {
					return 0, 0, 0, fmt.Errorf("commandstats: %q: %w", line, err)
				}
			}
			if _, rest, ok := strings.Cut(line, "latency_percentiles_usec_"+command+":"); ok {
				_, rest, _ = strings.Cut(rest, "p99=")
				if _, err := fmt.Sscanf(rest, "%g", &p99); err != nil {
					return 0, 0, 0, fmt.Errorf("latencystats: %q: %w", line, err)
				}
			}
		}
	}
	return runs, micros, p99 / 1000, nil
}

// routingFloor is what the least that could be an assignment costs.
type routingFloor struct{ rate, micros, processor float64 } // µs a run: Redis's time, and its processor's

// routingFloors are that of the commands, and that of the records on top.
type routingFloors struct{ bare, records routingFloor }

// Records as an assignment finds them.
const (
	recordOfOperator = `{"id":12345,"name":"Operator 12345","role":"operator","account":0,"intent":"Available","source":"operator","version":2,"shown":"In-chat",` +
		`"since":1764098204123,"teams":[100001],"limit":2,"email":"operator12345@example.test","last":123456,"able":1,"told":1,"rev":4,"g":"28000000","work":{"chat:60001":1}}`
	recordOfChat = `{"id":60001,"visitor":"vqueue12345","team":100001,"since":1764098204123,"info":{"name":"Visitor"},"rank":17000015,"group":1,"score":"17592203186431",` +
		`"state":"active","op":12345,"opname":"Operator 12345","token":"abcdef012345.1zz.1","taken":1764098204999,"ops":{"12345":1},"tries":1,"rev":2}`
)

const floorPipe = 30

// assignmentFloors are what Redis does of scripts that are sent as ours are, some in
// a pipeline and two pipelines at a time: an empty one, the one of the commands that
// no assignment can be without, on as many waiting chats, and that with the records.
func (s *site) assignmentFloors(ctx context.Context, waiting int) (out routingFloors, err error) {
	keys := []string{"sb:{bench}:queue", "sb:{bench}:chat", "sb:{bench}:log"}
	for _, f := range []struct{ what, text string }{
		{"floor: EVALSHA of an empty script", "return 1"},
		{"floor: EVALSHA of ZPOPMIN, HSET, XADD, PUBLISH", `local c = redis.call('ZPOPMIN', KEYS[1])
redis.call('HSET', KEYS[2], c[1], ARGV[1])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*', 'chat', c[1])
return redis.call('PUBLISH', 'bench', ARGV[1])`},
		// What the records add: an assignment reads and writes two, and sends both.
		{"floor: the same, two records of JSON read and written", `local c = redis.call('ZPOPMIN', KEYS[1])
local op, chat = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
local a, b = cjson.encode(op), cjson.encode(chat)
redis.call('HSET', KEYS[2], c[1], a, 'op', b)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*', 'chat', c[1])
return redis.call('PUBLISH', 'bench', a .. b)`},
	} {
		sha, err := s.rdb.ScriptLoad(ctx, f.text).Result()
		if err != nil {
			return out, err
		}
		list := make([]redis.Z, waiting)
		for i := range list {
			list[i] = redis.Z{Score: float64(i), Member: i}
		}
		if err := s.rdb.ZAdd(ctx, keys[0], list...).Err(); err != nil {
			return out, err
		}
		if err := s.rdb.ConfigResetStat(ctx).Err(); err != nil {
			return out, err
		}
		used, began := cpu(s.server.Pid()), time.Now()
		if err := atOnce(waiting/floorPipe, 2, func(int) error {
			pipe := s.rdb.Pipeline()
			for range floorPipe {
				pipe.EvalSha(ctx, sha, keys, text, recordOfOperator, recordOfChat)
			}
			_, err := pipe.Exec(ctx)
			return err
		}); err != nil {
			return out, err
		}
		took := time.Since(began)
		runs, micros, _, err := s.scripts(ctx, "evalsha")
		if err != nil {
			return out, err
		}
		out.bare, out.records = out.records, routingFloor{runs / took.Seconds(), micros / runs, max(cpu(s.server.Pid())-used, tick) / runs * 1e6}
		s.b.find(f.what, out.records.rate, "/s")
		s.b.find(f.what+": in Redis", out.records.micros, "µs")
		s.b.find(f.what+": processor of Redis", out.records.processor, "µs")
		if err := s.rdb.Del(ctx, keys...).Err(); err != nil {
			return out, err
		}
	}
	return out, nil
}
