package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// A pipeline of the size of all our scripts, and a subscriber who does not read:
// neither holds up the store in memory.
func TestStoreInMemoryIsHeldUpByNobody(t *testing.T) {
	st, _, err := openMemory()
	if err != nil {
		t.Fatal(err)
	}
	rdb, deaf := st.client(), st.client()
	defer func() {
		rdb.Close()
		deaf.Close()
		if err := st.close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	pipe := rdb.Pipeline()
	for i := range 200 {
		pipe.Set(ctx, fmt.Sprint("k", i), strings.Repeat("x", 10_000), 0)
		pipe.Get(ctx, fmt.Sprint("k", i))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	sub := deaf.Subscribe(ctx, "news")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2000 { // nobody receives these
		if err := rdb.Publish(ctx, "news", strings.Repeat("x", 1000)).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEagerEndsOnTime(t *testing.T) {
	ours, theirs := net.Pipe()
	e := newEager(ours)
	if err := e.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("late: %v", err)
	}
	if err := e.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if all, err := io.ReadAll(e); string(all) != "last words" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := e.Read(make([]byte, 1)); err == nil {
		t.Error("read after the end")
	}
}
