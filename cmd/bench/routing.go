package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// routed: how many chats a second are given to operators out of a long queue, and
// how long Redis takes for one decision among few operators and among many.
//
// Times are Redis's own: of a round, what its SLOWLOG has of each FCALL; of the
// queue, its latency statistics. Both count all that a script calls and nothing of
// the network. All visitors and operators are connected to this process, so every
// assignment is told to both; nobody subscribes, in the floor neither.
func routed(ctx context.Context, b *bench) error {
	few, many, waiting, rounds := 100, 20_000, 60_000, 5_000
	if b.small {
		few, many, waiting, rounds = 10, 40, 90, 60
	}
	s, err := newSite(ctx, b)
	if err != nil {
		return err
	}
	// Answers are long here, and Redis has one thread: what is asked beside the
	// measured calls may take its time.
	patient := s.server.Options()
	patient.ReadTimeout, patient.WriteTimeout = time.Minute, time.Minute
	s.rdb = redis.NewClient(patient)
	b.ends = append(b.ends, func() { s.rdb.Close() })
	floor, err := s.assignmentFloors(ctx, waiting)
	if err != nil {
		return err
	}
	// Redis rewrites its file in another process when it has doubled: not while it is
	// measured on a machine of two processors.
	if err := s.rdb.ConfigSet(ctx, "auto-aof-rewrite-percentage", "0").Err(); err != nil {
		return err
	}
	fewest, err := s.play(ctx, "few", few, max(few*desksLimit+rounds, waiting/20), rounds)
	if err != nil {
		return err
	}
	most, err := s.play(ctx, "many", many, waiting, rounds)
	if err != nil {
		return err
	}
	rate := float64(most.given) / most.took.Seconds()
	b.find(fmt.Sprintf("%d operators, %d waiting: assignments", many, waiting), rate, "/s")
	b.find("Redis's time for an assignment", most.micros/float64(most.given), "µs")
	b.find("processor of Redis for an assignment", most.processor/float64(most.given)*1e6, "µs")
	b.find("the same to that of the floor with two records", most.processor/float64(most.given)*1e6/floor.records.processor, "times")
	b.find("assignments of one run of the script", float64(most.given)/most.runs, "")
	b.most("a run that assigns many: p99 in Redis", most.batch, "ms", 2)
	b.least("assignments to the floor of ZPOPMIN, HSET, XADD, PUBLISH", 100*rate/floor.bare.rate, "%", 40)
	b.find("assignments to the floor with two records of JSON", 100*rate/floor.records.rate, "%")
	b.find("Redis's time for an assignment to that floor's", most.micros/float64(most.given)/floor.bare.micros, "times")
	for _, d := range []struct {
		what      string
		few, many []float64
	}{{"a chat starts, operators are free", fewest.starts, most.starts}, {"a chat ends, others wait", fewest.ends, most.ends}} {
		b.find(fmt.Sprintf("%s: p50 in Redis, %d operators", d.what, few), quantile(d.few, .5), "ms")
		b.find(fmt.Sprintf("%s: p50, %d operators", d.what, many), quantile(d.many, .5), "ms")
		b.find(fmt.Sprintf("%s: p99, %d operators", d.what, few), quantile(d.few, .99), "ms")
		b.most(fmt.Sprintf("%s: p99, %d operators", d.what, many), quantile(d.many, .99), "ms", 20)
		b.most(d.what+": p99 of many to that of few", quantile(d.many, .99)/quantile(d.few, .99), "times", 1.5)
	}
	b.must("operators over their limit, chats lost or held twice", float64(fewest.broken+most.broken), 0)
	b.must("rounds that were not measured", float64(4*rounds-len(fewest.starts)-len(fewest.ends)-len(most.starts)-len(most.ends)), 0)
	return nil
}

// desksLimit is how many chats each operator takes.
const desksLimit = 2

// routedOrg is what was measured of one organization.
type routedOrg struct {
	given        int           // chats assigned out of the queue
	took         time.Duration // for them
	micros, runs float64       // Redis's µs for them, and runs of scripts
	processor    float64       // seconds of it that Redis used for them
	batch        float64       // ms in Redis of such a run, p99
	starts, ends []float64     // ms in Redis of each round
	broken       int
}

// play takes an organization through rounds of a chat that starts among free
// operators, then its queue, assigned at once, then rounds of a chat that ends and
// makes room for one that waits.
func (s *site) play(ctx context.Context, name string, operators, waiting, rounds int) (out routedOrg, err error) {
	d, err := s.desks(ctx, name, operators)
	if err != nil {
		return out, err
	}
	each := make([]switchboard.PersonID, rounds)
	for i := range each {
		each[i] = switchboard.VisitorPerson(fmt.Sprintf("round%d", i))
	}
	if out.starts, err = s.logged(ctx, keysOfStart, func() error { return d.startAndEnd(ctx, each) }); err != nil {
		return out, err
	}
	if err := d.queue(ctx, waiting); err != nil {
		return out, err
	}
	if err := d.assign(ctx, &out); err != nil {
		return out, err
	}
	if out.ends, err = s.logged(ctx, keysOfClose, func() error { return d.endOne(ctx, rounds) }); err != nil {
		return out, err
	}
	out.broken, err = d.check(ctx)
	return out, err
}
