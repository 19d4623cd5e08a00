package presence

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// This file compares what two organizations have come to: twins, to whom the same
// was done in two ways.

// twin is a further organization on the same nodes, in a partition of its own.
func (s *site) twin() *site {
	s.t.Helper()
	two := &site{t: s.t, ctx: s.ctx, rdb: s.rdb, reg: s.reg, nodes: s.nodes}
	for two.org = s.org; s.reg.Partition(two.org) == s.reg.Partition(s.org); {
		two.org = switchboard.OrgID(lastOrg.Add(1))
	}
	s.must(s.reg.EnsureOrg(s.ctx, two.org))
	return two
}

// image is all that the store holds of the site's organization and of its partition,
// by key and field, in words that twins share: no tag, no number of the organization
// or of the generation, the fields of JSON in order, times by the half hour from now,
// and streams without ids, each operator's entries by themselves. without are fields
// of JSON to be left out.
func (s *site) image(without ...string) map[string]string {
	s.t.Helper()
	p := s.reg.Partition(s.org)
	now, err := s.reg.Now(s.ctx)
	s.must(err)
	gen, err := s.rdb.HGet(s.ctx, p.Meta(), "gen").Result()
	s.must(err)
	im := &imager{org: fmt.Sprint(s.org), gen: gen, now: float64(now), without: without, of: map[string]string{}}
	keys, err := s.rdb.Keys(s.ctx, p.key("*")).Result()
	s.must(err)
	for _, key := range keys {
		s.must(im.read(s, key, strings.NewReplacer("{"+p.Tag+"}", "", "o:"+im.org+":", "o:").Replace(key)))
	}
	return im.of
}

type imager struct {
	org, gen string
	now      float64
	without  []string
	of       map[string]string
}

func (im *imager) read(s *site, key, name string) error {
	kind, err := s.rdb.Type(s.ctx, key).Result()
	if err != nil {
		return err
	}
	set := func(field, value string) { im.of[name+" "+field] = value }
	switch kind {
	case "hash":
		all, err := s.rdb.HGetAll(s.ctx, key).Result()
		for field, value := range all {
			set(field, im.text(value))
		}
		return err
	case "set":
		all, err := s.rdb.SMembers(s.ctx, key).Result()
		for _, member := range all {
			if strings.HasSuffix(name, ":orgs") && member == im.org {
				member = "ORG"
			}
			set(im.text(member), "in")
		}
		return err
	case "zset":
		all, err := s.rdb.ZRangeWithScores(s.ctx, key, 0, -1).Result()
		for _, z := range all {
			set(im.text(z.Member.(string)), im.text(strconv.FormatFloat(z.Score, 'f', -1, 64)))
		}
		return err
	case "stream":
		all, err := s.rdb.XRange(s.ctx, key, "-", "+").Result()
		im.stream(all, set)
		return err
	}
	value, err := s.rdb.Get(s.ctx, key).Result()
	set("", im.text(value))
	return err
}

func (im *imager) stream(all []redis.XMessage, set func(field, value string)) {
	seen := map[string]int{}
	for _, e := range all {
		of := cmp.Or(e.Values["op"], e.Values["who"], any("")).(string)
		var fields []string
		for _, field := range slices.Sorted(maps.Keys(e.Values)) {
			fields = append(fields, field+"="+im.text(e.Values[field].(string)))
		}
		seen[of]++
		set(fmt.Sprintf("of %s, %d", of, seen[of]), strings.Join(fields, " "))
	}
}

var orgIn = regexp.MustCompile(`(^|/)\d+/`)

// text is a value in words that twins share.
func (im *imager) text(value string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	if d.Decode(&v) == nil && !d.More() {
		raw, _ := json.Marshal(im.plain(v))
		return string(raw)
	}
	return orgIn.ReplaceAllStringFunc(value, func(m string) string {
		if strings.Trim(m, "/") == im.org {
			return strings.Replace(m, im.org, "ORG", 1)
		}
		return m
	})
}

func (im *imager) plain(v any) any {
	const halfHour, day = float64(30 * time.Minute / time.Millisecond), float64(48 * time.Hour / time.Millisecond)
	switch v := v.(type) {
	case map[string]any:
		for field, value := range v {
			if slices.Contains(im.without, field) {
				delete(v, field)
			} else {
				v[field] = im.plain(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = im.plain(v[i])
		}
	case string:
		if v == im.gen {
			return "GEN"
		}
	case json.Number:
		if v.String() == im.gen {
			return "GEN"
		}
		if f, err := v.Float64(); err == nil && math.Abs(f-im.now) < day {
			return fmt.Sprintf("now%+dm", 30*int(math.Round((f-im.now)/halfHour)))
		}
	}
	return v
}

// alike fails the test where two images differ.
func alike(t *testing.T, what string, a, b map[string]string) {
	t.Helper()
	if len(a) == 0 {
		t.Errorf("%s: nothing is compared", what)
	}
	both := maps.Clone(a)
	maps.Copy(both, b)
	for _, key := range slices.Sorted(maps.Keys(both)) {
		if x, y := a[key], b[key]; x != y {
			t.Errorf("%s: %s\n is %q\nand %q", what, key, x, y)
		}
	}
}

// patch changes an operator's record by hand.
func (s *site) patch(op switchboard.OperatorID, field string, value any) {
	s.t.Helper()
	s.patchJSON("op", fmt.Sprint(int64(op)), field, value)
}

func (s *site) patchJSON(key, of, field string, value any) {
	s.t.Helper()
	raw, err := s.rdb.HGet(s.ctx, s.key(key), of).Result()
	s.must(err)
	rec := map[string]json.RawMessage{}
	s.must(json.Unmarshal([]byte(raw), &rec))
	if delete(rec, field); value != nil {
		rec[field], err = json.Marshal(value)
		s.must(err)
	}
	out, err := json.Marshal(rec)
	s.must(err)
	s.must(s.rdb.HSet(s.ctx, s.key(key), of, out).Err())
}
