package presence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// withoutFunctions returns a client whose user may not load or call functions.
func withoutFunctions(t testing.TB, rdb *redis.Client) *redis.Client {
	t.Helper()
	if err := rdb.Do(t.Context(), "ACL", "SETUSER", "plain", "on", "nopass", "~*", "&*", "+@all", "-function", "-fcall").Err(); err != nil {
		t.Fatal(err)
	}
	opts := *redisOptions
	opts.Username, opts.Password = "plain", "any"
	return redistest.Client(t, &opts)
}

func TestAStoreWithoutFunctionsIsServedByHash(t *testing.T) {
	s := newSite(t)
	reg, err := Open(s.ctx, withoutFunctions(t, s.rdb), quick)
	s.must(err)
	s.must(reg.EnsureOrg(s.ctx, s.org))
	s.must(reg.AddOperators(s.ctx, s.org, []NewOperator{{ID: 1, Name: "Ada"}}))
	minted, err := reg.Minted(s.ctx, s.org, 1)
	s.must(err)
	_, err = reg.Enter(s.ctx, s.org, "o1", minted)
	s.must(err)
	_, err = reg.SetStatus(s.ctx, s.org, 1, StatusChange{Status: switchboard.StatusAvailable, Source: "operator"})
	s.must(err)
	_, functions, _ := reg.ids.server(reg.Partition(s.org).Tag)
	op, err := s.reg.Operator(s.ctx, s.org, 1) // read by a node that calls functions
	s.must(err)
	if functions || op.Intent != switchboard.StatusAvailable {
		t.Errorf("functions: %v, shown: %s", functions, op.Intent)
	}
}

// scriptBroken begins to tell everybody something and fails.
var scriptBroken = NewScript("broken", Prelude(), "cast('operators', '{}') tell({'o1'}, 'e', '{}') nextTurn() error('on purpose')")

func TestARunThatFailedLeavesNothingToTheNext(t *testing.T) {
	s := newSite(t)
	s.must(s.reg.Announce(s.ctx, s.org, "before"))
	counters := func() string {
		p := s.reg.Partition(s.org)
		ctr, err := s.rdb.HGet(s.ctx, p.Meta(), "ctr").Result()
		s.must(err)
		turn, err := s.rdb.HGet(s.ctx, p.Key(s.org, "org"), "turn").Result()
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		return ctr + " " + turn
	}
	before := counters()
	for range 3 {
		_, err := s.reg.Call(s.ctx, s.org, scriptBroken, nil)
		s.wants("a script that fails", err, switchboard.CodeInternal)
	}
	if now := counters(); now != before {
		t.Fatalf("counters were %q and are %q", before, now)
	}
	s.must(s.reg.Announce(s.ctx, s.org, "after"))
	var ctr int
	if _, err := fmt.Sscan(before, &ctr); err != nil {
		t.Fatal(err)
	}
	if now := counters(); !strings.HasPrefix(now, fmt.Sprint(ctr+1)+" ") {
		t.Errorf("one event after %q; now %q", before, now)
	}
}

// One that nobody has noted in this partition may be in use in another of the server: its
// day begins when it is found. (Dropped at once, two versions dropped each other's in turn.)
func TestLibrariesOfOtherVersionsAreDroppedADayAfterTheirLastUse(t *testing.T) {
	s := newSite(t)
	t.Cleanup(func() { s.rdb.FunctionFlush(t.Context()) })
	meta := Partition{Tag: "reg"}.Meta() // the first that a node looks at
	for _, name := range []string{"switchboard_fresh", "switchboard_old", "switchboard_unknown", "somebody_elses"} {
		s.must(s.rdb.FunctionLoadReplace(s.ctx, "#!lua name="+name+"\nredis.register_function('"+name+"_f', function() return 1 end)").Err())
	}
	now, err := s.rdb.Time(s.ctx).Result()
	s.must(err)
	s.must(s.rdb.HSet(s.ctx, meta, "lib:switchboard_fresh", now.UnixMilli(), "lib:switchboard_old", now.Add(-25*time.Hour).UnixMilli()).Err())
	s.must(s.node(quick).Announce(s.ctx, s.org, "x")) // a new node looks, and loads
	all, err := s.rdb.FunctionList(s.ctx, redis.FunctionListQuery{}).Result()
	s.must(err)
	var names []string
	for _, lib := range all {
		names = append(names, lib.Name)
	}
	slices.Sort(names)
	want := []string{"somebody_elses", libraryOf(false).name, "switchboard_fresh", "switchboard_unknown"}
	if !slices.Equal(names, want) {
		t.Errorf("libraries: %v, want %v", names, want)
	}
	if at, err := s.rdb.HGet(s.ctx, meta, "lib:switchboard_unknown").Int64(); err != nil || at < now.UnixMilli() {
		t.Errorf("the unknown one was found at %d, %v", at, err)
	}
	if left := s.rdb.HExists(s.ctx, meta, "lib:switchboard_old").Val(); left {
		t.Error("the time of a dropped library is kept")
	}
}

func TestANodeSaysThatItsLibraryIsUsed(t *testing.T) {
	s := newSite(t)
	s.must(s.reg.Announce(s.ctx, s.org, "x"))
	meta, field := s.reg.Partition(s.org).Meta(), "lib:"+libraryOf(false).name
	s.must(s.rdb.HSet(s.ctx, meta, field, 1).Err())
	s.must(s.reg.usesLibrary(s.ctx))
	if at, err := s.rdb.HGet(s.ctx, meta, field).Int64(); err != nil || at < 1_000_000 {
		t.Errorf("noted at %d, %v", at, err)
	}
}

func TestALibraryThatWasDroppedIsLoadedAgain(t *testing.T) {
	s := newSite(t)
	s.must(s.reg.Announce(s.ctx, s.org, "x"))
	s.must(s.rdb.FunctionDelete(s.ctx, libraryOf(false).name).Err())
	s.must(s.reg.Announce(s.ctx, s.org, "x"))
}

// BenchmarkScript is what the prelude costs Redis, with nearly nothing behind it, as
// a function and as a script that is sent by its hash: µs are Redis's own.
func BenchmarkScript(b *testing.B) {
	s := newSite(b)
	byHash, err := Open(s.ctx, withoutFunctions(b, s.rdb), quick)
	s.must(err)
	for _, form := range []struct {
		name, command string
		reg           *Registry
	}{{"function", "fcall", s.reg}, {"hash", "evalsha", byHash}} {
		b.Run(form.name, func(b *testing.B) {
			s.must(form.reg.Announce(s.ctx, s.org, "x"))
			s.must(s.rdb.ConfigResetStat(s.ctx).Err())
			for b.Loop() {
				s.must(form.reg.Announce(s.ctx, s.org, "x"))
			}
			info, err := s.rdb.Info(s.ctx, "commandstats").Result()
			s.must(err)
			_, rest, _ := strings.Cut(info, "cmdstat_"+form.command+":")
			_, rest, _ = strings.Cut(rest, "usec_per_call=")
			var us float64
			_, err = fmt.Sscanf(rest, "%g", &us)
			s.must(err)
			b.ReportMetric(us, "µs-in-Redis/op")
		})
	}
}
