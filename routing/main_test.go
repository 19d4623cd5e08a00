package routing

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var (
	redisOptions *redis.Options
	lastOrg      atomic.Int64
)

func TestMain(m *testing.M) { redistest.Main(m, &redisOptions) }

// desk is one organization on the package's Redis, with a node of its own.
type desk struct {
	t   testing.TB
	ctx context.Context
	org switchboard.OrgID
	reg *presence.Registry
	rt  *Router
	rdb redis.UniversalClient
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	rdb := redis.NewClient(redisOptions)
	t.Cleanup(func() { rdb.Close() })
	d := &desk{t: t, ctx: t.Context(), org: switchboard.OrgID(lastOrg.Add(1)), rdb: rdb}
	var err error
	if d.reg, err = presence.Open(d.ctx, rdb, presence.Config{Name: t.Name()}); err != nil {
		t.Fatal(err)
	}
	d.rt = New(d.reg, rdb, Config{})
	if err := d.reg.EnsureOrg(d.ctx, d.org); err != nil {
		t.Fatal(err)
	}
	return d
}

// operators makes n operators who are here and Available; ids begin at first.
func (d *desk) operators(first, n, limit int) {
	d.t.Helper()
	var list []presence.NewOperator
	for i := range n {
		list = append(list, presence.NewOperator{ID: switchboard.OperatorID(first + i), Name: fmt.Sprintf("Operator %d", first+i), Limit: limit})
	}
	if err := d.reg.AddOperators(d.ctx, d.org, list); err != nil {
		d.t.Fatal(err)
	}
	for _, op := range list {
		d.online(op.ID)
	}
}

func (d *desk) online(op switchboard.OperatorID) {
	d.t.Helper()
	minted, err := d.reg.Minted(d.ctx, d.org, op)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.reg.Enter(d.ctx, d.org, switchboard.OperatorPerson(op), minted); err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.reg.SetStatus(d.ctx, d.org, op, presence.StatusChange{Status: switchboard.StatusAvailable, Source: "operator"}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) start(visitor string) Chat {
	d.t.Helper()
	c, _, err := d.rt.Start(d.ctx, d.org, Opening{Visitor: switchboard.VisitorPerson(visitor), Cmid: "first", Text: "hello"})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *desk) chat(id switchboard.ChatID) Chat {
	d.t.Helper()
	c, err := d.rt.Find(d.ctx, d.org, id)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *desk) operator(id switchboard.OperatorID) presence.Operator {
	d.t.Helper()
	op, err := d.reg.Operator(d.ctx, d.org, id)
	if err != nil {
		d.t.Fatal(err)
	}
	return op
}

// check fails the test when an invariant is broken.
func (d *desk) check() {
	d.t.Helper()
	broken, err := d.rt.Check(d.ctx, d.org)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, b := range broken {
		d.t.Error("invariant", b)
	}
}
