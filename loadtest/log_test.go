package loadtest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
)

func numbered(seq int64) switchboard.Message {
	return switchboard.Message{Chat: 7, Seq: seq, Pos: fmt.Sprintf("%d-1", seq), Cmid: fmt.Sprint("c", seq)}
}

func seqs(messages []switchboard.Message) []int64 {
	var out []int64
	for _, m := range messages {
		out = append(out, m.Seq)
	}
	return out
}

func TestLogHoldsBackWhatSkipsASequence(t *testing.T) {
	var l Log
	l.Live(numbered(1))
	if apply, gap := l.Live(numbered(3)); apply != nil || !gap || !l.Waiting() {
		t.Fatalf("message 3 after 1: applied %v, gap %v", seqs(apply), gap)
	}
	apply, reset, gap := l.Resume(Resumed{Chat: 7, OK: true, Messages: []switchboard.Message{numbered(2)}})
	if !slices.Equal(seqs(apply), []int64{2, 3}) || reset || gap || l.Waiting() {
		t.Errorf("after the resume: applied %v, reset %v, gap %v", seqs(apply), reset, gap)
	}
	if l.Last() != 3 || l.Pos() != "3-1" {
		t.Errorf("stands at %d, %q", l.Last(), l.Pos())
	}
}

func TestLogDropsWhatItHas(t *testing.T) {
	var l Log
	l.Live(numbered(1))
	l.Live(numbered(2))
	if apply, gap := l.Live(numbered(1)); apply != nil || gap {
		t.Errorf("a repeat: applied %v, gap %v", seqs(apply), gap)
	}
	apply, _, _ := l.Resume(Resumed{Chat: 7, OK: true, Messages: []switchboard.Message{numbered(2), numbered(3)}})
	if !slices.Equal(seqs(apply), []int64{3}) || l.Repeats != 2 {
		t.Errorf("applied %v with %d repeats", seqs(apply), l.Repeats)
	}
}

func TestLogBeginsAgainWhenItsPositionIsUnknown(t *testing.T) {
	var l Log
	l.Live(numbered(1))
	l.Live(numbered(2))
	l.Live(numbered(9)) // of the log that is no more
	apply, reset, gap := l.Resume(Resumed{Chat: 7, OK: false, Messages: []switchboard.Message{numbered(1)}})
	if !slices.Equal(seqs(apply), []int64{1}) || !reset || gap {
		t.Errorf("applied %v, reset %v, gap %v", seqs(apply), reset, gap)
	}
}

func TestLogSaysWhenAResumeLeavesOneOut(t *testing.T) {
	var l Log
	apply, _, gap := l.Resume(Resumed{Chat: 7, OK: true, Messages: []switchboard.Message{numbered(1), numbered(3)}})
	if !slices.Equal(seqs(apply), []int64{1}) || !gap {
		t.Errorf("applied %v, gap %v", seqs(apply), gap)
	}
}

func TestLogBoundsWhatItHolds(t *testing.T) {
	var l Log
	for seq := int64(2); seq < 2+2*maxHeld; seq++ {
		l.Live(numbered(seq))
	}
	if len(l.held) != maxHeld {
		t.Errorf("holds %d messages, the bound is %d", len(l.held), maxHeld)
	}
}

// However a log of n messages arrives, repeated, mixed up and with resumes in
// between, a reader applies 1 to n, each once and in order.
func TestLogAppliesEachOnceInOrderWhateverComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 20).Draw(t, "n")
		var l Log
		var applied []int64
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "kind") > 0 {
				apply, _ := l.Live(numbered(rapid.Int64Range(1, n).Draw(t, "seq")))
				applied = append(applied, seqs(apply)...)
				continue
			}
			// A resume may have been asked for earlier than now.
			from := rapid.Int64Range(0, l.Last()).Draw(t, "from")
			to := rapid.Int64Range(l.Last(), n).Draw(t, "to")
			r := Resumed{Chat: 7, OK: true}
			for seq := from + 1; seq <= to; seq++ {
				r.Messages = append(r.Messages, numbered(seq))
			}
			apply, _, _ := l.Resume(r)
			applied = append(applied, seqs(apply)...)
		}
		r := Resumed{Chat: 7, OK: true}
		for seq := l.Last() + 1; seq <= n; seq++ {
			r.Messages = append(r.Messages, numbered(seq))
		}
		apply, _, gap := l.Resume(r)
		applied = append(applied, seqs(apply)...)
		if gap || l.Waiting() {
			t.Fatalf("still waits after a full resume")
		}
		for i, seq := range applied {
			if seq != int64(i)+1 {
				t.Fatalf("applied %v", applied)
			}
		}
		if int64(len(applied)) != n {
			t.Fatalf("applied %d of %d", len(applied), n)
		}
	})
}
