package routing

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

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

// begin starts a chat of a visitor who is here.
func begin(ctx context.Context, reg *presence.Registry, rt *Router, org switchboard.OrgID, o Opening) (Chat, bool, error) {
	if _, err := reg.Enter(ctx, org, o.Visitor, 0); err != nil {
		return Chat{}, false, err
	}
	return rt.Start(ctx, org, o)
}

func (d *desk) begin(o Opening) (Chat, bool, error) { return begin(d.ctx, d.reg, d.rt, d.org, o) }

func (d *desk) start(visitor string) Chat {
	d.t.Helper()
	c, _, err := d.begin(Opening{Visitor: switchboard.VisitorPerson(visitor), Cmid: "first", Text: "hello"})
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

// warp lets time pass: every time that the store holds for the organization goes
// back by d, and then what is due is answered, as sweeps do.
func (d *desk) warp(by time.Duration) {
	d.t.Helper()
	b := d.reg.Partition(d.org).Block(d.org)
	if err := warp.Run(d.ctx, d.rdb, []string{b.Due, b.Chat, b.Op, b.Team}, int64(d.org), by.Milliseconds()).Err(); err != nil {
		d.t.Fatal(err)
	}
	d.ring()
}

// ring answers what is due, and matches where a pair may have become possible.
func (d *desk) ring() {
	d.t.Helper()
	for range 2 { // what an answer makes due at once is answered too
		if err := d.reg.Sweep(d.ctx, d.rt.Ring); err != nil {
			d.t.Fatal(err)
		}
	}
	d.match()
}

func (d *desk) match() {
	d.t.Helper()
	if err := d.rt.Match(d.ctx, d.org); err != nil {
		d.t.Fatal(err)
	}
}

var warp = redis.NewScript(`
local org, by = ARGV[1], tonumber(ARGV[2])
local function int(n) return string.format('%.0f', n) end
local due = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for k = 1, #due, 2 do
  if string.match(due[k], '^%a+/(%d+)/') == org then redis.call('ZADD', KEYS[1], int(due[k + 1] - by), due[k]) end
end
local function back(key, change)
  local all = redis.call('HGETALL', key)
  for k = 1, #all, 2 do
    local rec = cjson.decode(all[k + 1])
    change(rec)
    redis.call('HSET', key, all[k], cjson.encode(rec))
  end
end
local function fields(...)
  local names = {...}
  return function(rec)
    for _, f in ipairs(names) do if rec[f] then rec[f] = rec[f] - by end end
  end
end
local chat = fields('since', 'taken', 'lastuntil', 'warned', 'seen', 'still')
back(KEYS[2], function(c)
  chat(c)
  for op, at in pairs(c.declined or {}) do c.declined[op] = at - by end
  local log = string.sub(KEYS[2], 1, -5) .. 'log:' .. int(c.id)
  local all = redis.call('XRANGE', log, '-', '+')
  redis.call('DEL', log)
  for _, e in ipairs(all) do redis.call('XADD', log, e[1], 'at', int(e[2][2] - by), 'm', e[2][4]) end
end)
local op = fields('since', 'wrap', 'lost')
back(KEYS[3], function(rec)
  op(rec)
  for id, at in pairs(rec.leaving and rec.leaving.cuts or {}) do rec.leaving.cuts[id] = at - by end
end)
back(KEYS[4], function(tm)
  for _, g in pairs(tm.groups or {}) do g.u = g.u - by end
end)
return 1`)

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
