package loadtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// plan is what happens in one chat: n messages, one each gap, in turns: the odd
// ones are the visitor's. The visitor's first message carries it, so that
// whoever answers knows it from the wire alone.
type plan struct {
	n      int           // messages in all, the first included; 2 to maxPlanned
	gap    time.Duration // between two messages on average
	seed   uint64        // of the jitter
	closer byte          // 'o' or 'v': who closes once all n are there
}

const maxPlanned = 1000

// offset says when message k (from 1) is due after the chat became active. The
// jitter is over half a gap to either side, so that now and then both sides
// write at once; two messages of one side keep their order.
func (p plan) offset(k int) time.Duration {
	rnd := rand.New(rand.NewPCG(p.seed, uint64(k)))
	jitter := (rnd.Float64() - 0.5) * 1.2
	return max(0, time.Duration((float64(k-1)+jitter)*float64(p.gap)))
}

// end is when the last message has been sent, by a little.
func (p plan) end() time.Duration { return time.Duration(p.n) * p.gap }

// text is what message k says.
func (p plan) text(k int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "k=%d ", k)
	if k == 1 {
		fmt.Fprintf(&b, "plan=%d,%d,%c,%d ", p.n, p.gap.Milliseconds(), p.closer, p.seed)
	}
	// Sizes of typed chat: a few words up to three lines.
	rnd := rand.New(rand.NewPCG(p.seed, 1000+uint64(k)))
	for range 4 + rnd.IntN(30) {
		b.WriteString(words[rnd.IntN(len(words))])
		b.WriteByte(' ')
	}
	return strings.TrimSuffix(b.String(), " ")
}

var words = strings.Fields("the parcel was due on Tuesday but nothing came could you look it up please " +
	"thank you one moment I see it here your invoice is paid and café Zürich 東京 😀 is next")

// numberOf reads k from a text; 0 when it carries none.
func numberOf(text string) int {
	rest, ok := strings.CutPrefix(text, "k=")
	if !ok {
		return 0
	}
	head, _, _ := strings.Cut(rest, " ")
	k, err := strconv.Atoi(head)
	if err != nil || k < 1 || k > maxPlanned {
		return 0
	}
	return k
}

// planOf reads the plan from the first message of a chat.
func planOf(text string) (plan, bool) {
	var p plan
	rest, ok := strings.CutPrefix(text, "k=1 plan=")
	if !ok {
		return p, false
	}
	head, _, _ := strings.Cut(rest, " ")
	parts := strings.Split(head, ",")
	if len(parts) != 4 {
		return p, false
	}
	n, err1 := strconv.Atoi(parts[0])
	gap, err2 := strconv.ParseInt(parts[1], 10, 32)
	seed, err3 := strconv.ParseUint(parts[3], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || n < 2 || n > maxPlanned || gap < 1 {
		return p, false
	}
	if parts[2] != "o" && parts[2] != "v" {
		return p, false
	}
	return plan{n: n, gap: time.Duration(gap) * time.Millisecond, seed: seed, closer: parts[2][0]}, true
}

// newPlan draws a plan: from minN to maxN messages spread over a time between
// minLong and maxLong.
func newPlan(rnd *rand.Rand, s *Scenario) plan {
	n := s.MessagesMin + rnd.IntN(s.MessagesMax-s.MessagesMin+1)
	long := s.ChatMin + time.Duration(rnd.Int64N(int64(s.ChatMax-s.ChatMin)+1))
	closer := byte('v')
	if rnd.IntN(2) == 0 {
		closer = 'o'
	}
	// Whole milliseconds: that is what the text carries.
	gap := (long / time.Duration(n)).Truncate(time.Millisecond)
	return plan{n: n, gap: max(gap, time.Millisecond), seed: rnd.Uint64(), closer: closer}
}
