package loadtest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

func TestKindOfReadsEveryGoldenFrame(t *testing.T) {
	files, err := filepath.Glob("../testdata/frames/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden frames, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want struct{ T switchboard.Kind }
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		// The short way and the long way must agree.
		for _, line := range [][]byte{bytes.TrimSpace(raw), append([]byte(` { "x":1,`), bytes.TrimSpace(raw)[1:]...)} {
			if kind, err := kindOf(line); err != nil || kind != want.T {
				t.Errorf("%s: kind %q, %v; want %q", filepath.Base(file), kind, err, want.T)
			}
		}
	}
}

func TestSplitServerSkipsEmptyLines(t *testing.T) {
	got := splitServer([]byte("\n{\"t\":\"ping\"}\n\r\n  {\"t\":\"ok\"}\n"))
	if len(got) != 2 || string(got[0]) != `{"t":"ping"}` || string(got[1]) != `{"t":"ok"}` {
		t.Errorf("%q", got)
	}
}

func TestSeqOfReadsPositions(t *testing.T) {
	for pos, want := range map[string]int64{"": 0, "12-1": 12, "7": 7, "x-1": 0, "-3-1": 0, "99999999999999999999-1": 0} {
		if got := seqOf(pos); got != want {
			t.Errorf("seqOf(%q) = %d, want %d", pos, got, want)
		}
	}
}

func TestPlanTravelsInTheFirstMessage(t *testing.T) {
	s := Default()
	rnd := rand.New(rand.NewPCG(3, 3))
	closers := map[byte]int{}
	for range 1000 {
		p := newPlan(rnd, &s)
		got, ok := planOf(p.text(1))
		if !ok || got != p {
			t.Fatalf("sent %+v, read %+v, %v", p, got, ok)
		}
		closers[p.closer]++
		if p.n < s.MessagesMin || p.n > s.MessagesMax {
			t.Fatalf("%d messages", p.n)
		}
		if long := p.end(); long < s.ChatMin-time.Second || long > s.ChatMax {
			t.Fatalf("lasts %s", long)
		}
		for k := 1; k <= p.n; k++ {
			if got := numberOf(p.text(k)); got != k {
				t.Fatalf("message %d says it is %d", k, got)
			}
			if len(p.text(k)) > switchboard.MaxText {
				t.Fatalf("message %d is too long", k)
			}
			// Of one side each comes after the one before.
			if k > 2 && p.offset(k) <= p.offset(k-2) {
				t.Fatalf("message %d is due %s, the one before %s", k, p.offset(k), p.offset(k-2))
			}
		}
	}
	if closers['o'] < 400 || closers['v'] < 400 {
		t.Errorf("closers: %v; each side should close about half", closers)
	}
}

// Texts come from other people; nothing in them may break a reader.
func FuzzTexts(f *testing.F) {
	f.Add("k=1 plan=8,2900,o,77 hello")
	f.Add("k=1 plan=8,2900,o")
	f.Add("k=-1 ")
	f.Add("k=1 plan=99999999999999999999,1,v,1 x")
	f.Fuzz(func(t *testing.T, text string) {
		if k := numberOf(text); k < 0 || k > maxPlanned {
			t.Errorf("number %d", k)
		}
		if p, ok := planOf(text); ok {
			if p.n < 2 || p.n > maxPlanned || p.gap <= 0 {
				t.Errorf("plan %+v", p)
			}
			for _, k := range []int{1, 2, p.n} {
				if p.offset(k) < 0 {
					t.Fatalf("message %d is due %s", k, p.offset(k))
				}
			}
		}
	})
}

// A node may send anything; the client may only count it.
func FuzzObject(f *testing.F) {
	for _, s := range []string{
		`{"t":"ready","timeout_ms":-5,"chats":[{"chat":1,"pos":"9-1"}]}`, `{"t":"message","chat":1,"seq":3}`,
		`{"t":"message","chat":1,"seq":-3}`, `{"t":"resumed","chat":1,"messages":[{"seq":1},{"seq":1},{"seq":9}]}`,
		`{"t":"ack"}`, `{"t":"error","chat":1,"cmid":"","retry_ms":-1}`, `{"t":"gap"}`, `{"t":7}`, `nonsense`,
		`{"t":"moving","in_ms":99999999999999999}`, `{"t":"offer","visitor":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		last := make(map[switchboard.ChatID]int64)
		c := New(Config{Nodes: []string{"http://127.0.0.1:0"}, Handlers: Handlers{
			Message: func(m switchboard.Message) {
				if m.Seq != last[m.Chat]+1 {
					t.Errorf("chat %d: message %d applied after %d", m.Chat, m.Seq, last[m.Chat])
				}
				last[m.Chat] = m.Seq
			},
			Reset: func(chat switchboard.ChatID) { delete(last, chat) },
		}})
		// No socket: what the client would send goes nowhere.
		l := &link{writing: true}
		for _, line := range splitServer(frame) {
			// Malformed objects are the server's fault and counted by the reader.
			_ = c.object(l, line, time.Now())
		}
		for chat, th := range c.threads {
			if th.log.Last() < 0 || len(th.log.held) > maxHeld {
				t.Errorf("chat %d: last %d, %d held", chat, th.log.Last(), len(th.log.held))
			}
		}
	})
}
