package gateway

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
)

func testLimiter[K comparable](every time.Duration, burst, keys int) *limiter[K] {
	return newLimiter[K](newLimitMetrics(prometheus.NewRegistry()), "test", every, burst, keys)
}

// counted reads one counter.
func counted(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestALimiterGivesItsRateAndSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testLimiter[switchboard.OrgID](100*time.Millisecond, 10, 100) // the API's 10 requests a second
		for i := range 10 {
			if ok, _ := l.Allow(1); !ok {
				t.Fatalf("request %d of the burst was refused", i+1)
			}
		}
		ok, wait := l.Allow(1)
		if ok || wait != 100*time.Millisecond {
			t.Fatalf("request 11: got %v, %v", ok, wait)
		}
		if ok, _ := l.Allow(2); !ok {
			t.Fatal("one organization's requests count against another")
		}
		time.Sleep(wait - time.Nanosecond)
		if ok, wait := l.Allow(1); ok || wait != 1 {
			t.Fatalf("just before: got %v, %v", ok, wait)
		}
		time.Sleep(time.Nanosecond)
		if ok, _ := l.Allow(1); !ok {
			t.Fatal("the time that was promised was not kept")
		}
		time.Sleep(time.Hour)
		n := 0
		for ok, _ := l.Allow(1); ok; ok, _ = l.Allow(1) {
			n++
		}
		if n != 10 {
			t.Fatalf("a bucket holds %d after an hour of rest", n)
		}
		if got := counted(t, l.refused); got != 3 {
			t.Fatalf("%v refusals were counted", got)
		}
	})
}

// The model is a bucket in its plainest form, with no map to turn.
func TestALimiterAgreesWithPlainBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// rapid asks for the test's deadline, which virtual time does not have.
		rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) {
			every := time.Duration(rapid.IntRange(1, 2000).Draw(t, "every ms")) * time.Millisecond
			burst := rapid.IntRange(1, 5).Draw(t, "burst")
			l := testLimiter[int](every, burst, 100)
			level, last := map[int]time.Duration{}, time.Now() // time that was used, per key
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				time.Sleep(time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause ms")) * time.Millisecond)
				key := rapid.IntRange(0, 3).Draw(t, "key")
				for k := range level {
					level[k] = max(0, level[k]-time.Since(last))
				}
				last = time.Now()
				wait := level[key] + every - every*time.Duration(burst)
				if wait <= 0 {
					level[key] += every
				}
				if ok, got := l.Allow(key); ok != (wait <= 0) || got != max(0, wait) {
					t.Fatalf("key %d: got %v, %v, want %v", key, ok, got, wait)
				}
			}
		})
	})
}

func TestALimitersMemoryIsBoundedAndLossIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 100
		l := testLimiter[string](time.Minute, 2, keys)
		for i := range 10 * keys {
			if ok, _ := l.Allow(strconv.Itoa(i)); !ok {
				t.Fatal("a new key was refused")
			}
			if n := len(l.fresh) + len(l.stale); n > keys {
				t.Fatalf("%d keys are remembered", n)
			}
		}
		if got := counted(t, l.forgotten); got != 9*keys {
			t.Fatalf("%v keys were counted as forgotten", got)
		}
	})
}

func TestALimiterForgetsIdleKeysWithoutLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testLimiter[string](time.Second, 5, 1000)
		for range 4 {
			for i := range 100 {
				l.Allow(strconv.Itoa(i))
			}
			time.Sleep(5 * time.Second)
		}
		time.Sleep(5 * time.Second)
		l.Allow("x")
		time.Sleep(5 * time.Second)
		l.Allow("x")
		if n := len(l.fresh) + len(l.stale); n != 1 && n != 2 {
			t.Fatalf("%d keys are remembered", n)
		}
		if got := counted(t, l.forgotten); got != 0 {
			t.Fatalf("%v keys lost something", got)
		}
	})
}

func TestALimiterGivesNoTokenTwice(t *testing.T) {
	l := testLimiter[int](time.Hour, 100, 10)
	var wg sync.WaitGroup
	var got atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if ok, _ := l.Allow(7); ok {
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got.Load() != 100 {
		t.Fatalf("%d of 100 tokens were given", got.Load())
	}
}

func TestAddressesOfOneHouseholdShareAKey(t *testing.T) {
	key := func(s string) netip.Prefix { return addrKey(netip.MustParseAddr(s)) }
	for _, same := range [][2]string{
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"}, {"192.0.2.1", "::ffff:192.0.2.1"}, {"fe80::1%eth0", "fe80::2%eth1"},
	} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%s and %s have keys of their own", same[0], same[1])
		}
	}
	for _, other := range [][2]string{
		{"2001:db8:1:2::1", "2001:db8:1:3::1"}, {"192.0.2.1", "192.0.2.2"}, {"::ffff:192.0.2.1", "::ffff:192.0.2.2"}, {"::192.0.2.1", "192.0.2.1"},
	} {
		if key(other[0]) == key(other[1]) {
			t.Errorf("%s and %s share a key", other[0], other[1])
		}
	}
	if addrKey(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("the unknown address has a key of its own")
	}
}

func BenchmarkAllow(b *testing.B) {
	l := testLimiter[netip.Prefix](time.Microsecond, 10, 100_000)
	addrs := make([]netip.Prefix, 10_000)
	for i := range addrs {
		addrs[i] = addrKey(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	i := 0
	for b.Loop() {
		l.Allow(addrs[i%len(addrs)])
		i++
	}
}

// V-6: who is over one limit leaves the others theirs: of addresses, of organizations,
// and of everybody. Seen red with connect asking the bucket of all first.
func TestLimitsOfAddressesAndOrganizationsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiters(Limits{ConnectsPerSecond: 100, ConnectsPerAddr: 1, ConnectsPerOrg: 1, SessionsPerAddr: 1, SessionsPerOrg: 1}, prometheus.NewRegistry())
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		drained := func(what string, ask func() bool) {
			t.Helper()
			for n := 0; ask(); n++ {
				if n == 1000 {
					t.Fatalf("%s: no limit", what)
				}
			}
		}
		drained("connects of an address", func() bool { _, ok := l.connect(a); return ok })
		for range 100 { // refused ones take nothing from the others
			l.connect(a)
		}
		if _, ok := l.connect(b); !ok {
			t.Error("another address is refused")
		}
		drained("connects of an organization", func() bool { return l.enter(1) == nil })
		if err := l.enter(2); err != nil {
			t.Errorf("another organization: %v", err)
		}
		drained("sessions of an address", func() bool { _, ok := l.session(a); return ok })
		if _, ok := l.session(b); !ok {
			t.Error("another address gets no session")
		}
		drained("visitors of an organization", func() bool { _, ok := l.visitors(1); return ok })
		if _, ok := l.visitors(2); !ok {
			t.Error("another organization gets no visitor")
		}
	})
}
