package routing

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// listed is one line of the tables in keys.go: a name and the type of the key.
type listed struct {
	name *regexp.Regexp
	kind string
	seen bool
}

var keyLine = regexp.MustCompile(`^//\t(\S.*?)\s{2,}(\w+)\s{2,}`)

// readTables reads what the two keys.go promise.
func readTables(t *testing.T) (out []*listed) {
	t.Helper()
	for _, file := range []string{"keys.go", "../presence/keys.go"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(raw), "\n") {
			m := keyLine.FindStringSubmatch(line)
			if m == nil || m[1] == "key" {
				continue
			}
			for name := range strings.SplitSeq(m[1], ", ") {
				name = regexp.QuoteMeta(name)
				name = regexp.MustCompile(`<\w+>`).ReplaceAllString(name, `[0-9a-f]+`)
				name = strings.NewReplacer(`\{reg\}`, `sb:\{reg\}`, `\{T\}`, `sb:\{TAG\}`).Replace(name)
				name = regexp.MustCompile(`^o:`).ReplaceAllString(name, `sb:\{TAG\}:o:ORG:`)
				out = append(out, &listed{name: regexp.MustCompile("^" + name + "$"), kind: m[2]})
			}
		}
	}
	if len(out) < 25 {
		t.Fatalf("the tables have %d names only", len(out))
	}
	return out
}

// Every key that a full story makes is listed in a keys.go with its type, stands
// under the tag of its organization's partition, and has a lifetime where the
// table says so. Unlisted keys would be forgotten by whoever moves or bounds them.
func TestKeysOfAFullStoryAreListedAndShareOneTag(t *testing.T) {
	d := newDesk(t)
	if err := d.rdb.FlushAll(d.ctx).Err(); err != nil {
		t.Fatal(err)
	}
	d = newDesk(t)
	tables := readTables(t)
	tag := d.reg.Partition(d.org).Tag
	look := func(when string) {
		t.Helper()
		keys, err := d.rdb.Keys(d.ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			kind, err := d.rdb.Type(d.ctx, key).Result()
			if err != nil {
				t.Fatal(err)
			}
			plain := strings.Replace(strings.Replace(key, "{"+tag+"}", "{TAG}", 1), fmt.Sprintf(":o:%d:", d.org), ":o:ORG:", 1)
			found := false
			for _, l := range tables {
				if l.name.MatchString(plain) && l.kind == kind {
					found, l.seen = true, true
				}
			}
			if !found {
				t.Errorf("%s: key %s (%s) is in no table", when, key, kind)
			}
		}
	}
	// lives checks that a key goes away by itself.
	lives := func(name string, atMost time.Duration) {
		t.Helper()
		ttl, err := d.rdb.PTTL(d.ctx, d.reg.Partition(d.org).Key(d.org, name)).Result()
		if err != nil || ttl <= 0 || ttl > atMost {
			t.Errorf("%s lives for %v (%v), want at most %v", name, ttl, err, atMost)
		}
	}
	tellStory(d, look, lives)
	for _, l := range tables {
		if !l.seen {
			t.Errorf("the story made no key like %v", l.name)
		}
	}
}

// tellStory has everything happen that leaves a key.
func tellStory(d *desk, look func(when string), lives func(name string, atMost time.Duration)) {
	t, ctx, org := d.t, d.ctx, d.org
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.reg.PutTeam(ctx, org, presence.Team{ID: 4, Name: "Billing", Strategy: presence.RoundRobin}))
	d.operators(1, 2, 1)
	must(d.reg.SetDeaf(ctx, d.reg.Partition(org), true))
	must(d.reg.SetDeaf(ctx, d.reg.Partition(org), false))
	must(d.reg.SetDeaf(ctx, d.reg.Partition(org), true))
	look("a deaf node")
	must(d.reg.SetDeaf(ctx, d.reg.Partition(org), false))

	a, b, waits := d.start("a"), d.start("b"), d.start("c")
	_, err := d.rt.Leave(ctx, org, left(1))
	must(err)
	look("offered and waiting")
	if waits.State != switchboard.ChatWaiting {
		t.Fatalf("chat c is %s", waits.State)
	}
	_, err = d.rt.Accept(ctx, org, a.Operator, a.ID, a.Token)
	must(err)
	must(d.rt.Decline(ctx, org, b.Operator, b.ID, b.Token))
	op := switchboard.OperatorPerson(a.Operator)
	_, err = d.rt.Append(ctx, org, Draft{From: op, Name: "O", Chat: a.ID, Cmid: "m1", Text: "hello"})
	must(err)
	for _, kind := range []switchboard.Kind{switchboard.KindTyping, switchboard.KindViewing} {
		must(d.rt.Mark(ctx, org, op, Mark{Kind: kind, Chat: a.ID, On: true}))
	}
	_, err = d.rt.Note(ctx, org, a.Operator, "O", a.ID, "n1", "for colleagues")
	must(err)
	lives("notes:1", Retention)
	look("in a chat")
	lives("typing:1", 2*TypingFor)
	lives("viewing:1", 2*ViewingFor)

	must(d.reg.StartCall(ctx, org, a.Operator, "call", time.Minute))
	must(d.reg.Leave(ctx, org, b.Visitor, time.Minute, func() bool { return false }))
	must(d.reg.NewOrder(ctx, org, presence.OrderSpec{ID: 9, Operators: []switchboard.OperatorID{1, 2}, Networks: []string{"192.0.2.1"}, By: "test"}))
	look("an order is at work")
	_, _, err = d.reg.WorkOrder(ctx, org, 9, 100)
	must(err)
	look("an order waits for nodes")
	o, err := d.reg.OpenOrder(ctx, org, 9)
	must(err)
	must(d.reg.OrderFound(ctx, org, o, nil, true))
	_, _, err = d.reg.WorkOrder(ctx, org, 9, 100)
	must(err)
	lives("order:9:res", 30*24*time.Hour)
	lives("order:9:marks", 30*24*time.Hour)
	_, err = d.reg.Once(ctx, org, "key", nil, 9)
	must(err)
	_, err = d.reg.NewRate(0.01).Take(ctx, org)
	must(err)
	lives("rate", 100*time.Second)
	_, err = d.rt.Close(ctx, org, op, false, a.ID, "done")
	must(err)
	must(d.reg.EndCall(ctx, org, a.Operator, "call"))
	look("all is over")
	for _, name := range []string{"log:1", "cmid:1", "closed:1"} {
		lives(name, Retention)
	}
	d.check()
}
