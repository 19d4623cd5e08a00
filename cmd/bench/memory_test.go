package main

import (
	"math"
	"strings"
	"testing"
)

// Whatever key appears or grows is in the sum, whosever it is: none is left out by
// its name. Seen red with memory passing over kinds other than op, link, free and
// own (as it was), and with SCAN asking for sb:{reg}* only.
func TestMemoryIsOverAllKeys(t *testing.T) {
	b := &bench{}
	t.Cleanup(b.stop)
	s, err := newSite(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"sb:{p17}:o:100001:link", "sb:{p17}:own:12", "sb:{reg}:op:390", "sb:{p17}:o:100001:nobody-knows:7", "sb:{p17}:due", "another"}
	want := 0.0
	for _, key := range keys {
		if err := s.rdb.Set(t.Context(), key, strings.Repeat("x", 1000), 0).Err(); err != nil {
			t.Fatal(err)
		}
		size, err := s.rdb.MemoryUsage(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		want += float64(size)
	}
	if err := s.grown(t.Context(), "one of two", 2, before, want/2-1); err != nil {
		t.Fatal(err)
	}
	if f := b.figures[len(b.figures)-1]; math.Abs(f.Value-want/2) > .01 || f.Held {
		t.Errorf("%+v, want %g B, which is too much", f, want/2)
	}
	after, err := s.memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"{T}:o:link", "{T}:own", "{reg}:op", "{T}:o:nobody-knows", "{T}:due", "another"} {
		if after[kind] == 0 {
			t.Errorf("no kind of key is %s: %v", kind, after)
		}
	}
	if err := s.grown(t.Context(), "nobody", 2, after, 700); err != nil {
		t.Fatal(err)
	}
	if f := b.figures[len(b.figures)-1]; f.Held {
		t.Errorf("nothing has grown, and the bound holds: %+v", f)
	}
}
