package gateway

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

// heardLog is a log that a test reads while others write.
type heardLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *heardLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *heardLog) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// W-4: who could not be read after a gap is read again: the nudge that was lost told
// them of a chat, perhaps, and nothing else will. Seen red with repairTries at 1.
func TestWhoCannotBeReadAfterAGapIsReadAgain(t *testing.T) {
	heard := &heardLog{}
	cl := newDesk(t, 1, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(heard, nil)) })
	op := cl.operator("Mina", "", 2)
	mina := cl.hello(cl.nodes[0], cl.token(op))
	rdb, part := redistest.Client(t, redisOptions), cl.admin.Partition(cl.org.ID)
	key, field := part.Key(cl.org.ID, "op"), fmt.Sprint(op)
	rec, err := rdb.HGet(t.Context(), key, field).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := rdb.HSet(t.Context(), key, field, "no record").Err(); err != nil {
		t.Fatal(err)
	}
	n := mina.count()
	cl.nodes[0].missed(part)
	poll(t, "the first try has failed", 15*time.Second, func() bool { return heard.has("could not be read after a gap") })
	if err := rdb.HSet(t.Context(), key, field, rec).Err(); err != nil {
		t.Fatal(err)
	}
	mina.after(n, "her own state, read again", func(m map[string]any) bool { return m["t"] == "self" })
	mina.after(n, "the gap", func(m map[string]any) bool { return m["t"] == "gap" })
}
