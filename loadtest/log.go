package loadtest

import "github.com/switchboard/switchboard"

// maxHeld bounds the live messages that a Log keeps while it waits for the ones
// before them. What does not fit comes again with the resume.
const maxHeld = 256

// Log is one reader's copy of a chat. It applies messages by sequence, each
// once and without gaps; what it returns is what a person gets to see. The zero
// value is an empty log. Not for concurrent use.
type Log struct {
	last int64
	pos  switchboard.Position
	held map[int64]switchboard.Message
	// Repeats counts messages that came again although they were applied: legal
	// on the wire, dropped here.
	Repeats int
}

// Last returns the sequence of the last applied message, 0 when there is none.
func (l *Log) Last() int64 { return l.last }

// Pos returns the position to resume from.
func (l *Log) Pos() switchboard.Position { return l.pos }

// Waiting reports whether messages are held back behind a gap.
func (l *Log) Waiting() bool { return len(l.held) > 0 }

// Live takes a message as it came and returns those that can be applied now,
// in order. gap says that one before it is missing: ask for a resume.
func (l *Log) Live(m switchboard.Message) (apply []switchboard.Message, gap bool) {
	switch {
	case m.Seq <= l.last:
		l.Repeats++
		return nil, false
	case m.Seq > l.last+1:
		l.hold(m)
		return nil, true
	}
	apply = l.take(apply, m)
	return l.release(apply), len(l.held) > 0
}

// Resume takes the answer to a resume. reset says that what was applied before
// is void: the position was unknown and the log starts again. gap says that the
// answer itself leaves one out, which a correct server never does.
func (l *Log) Resume(r Resumed) (apply []switchboard.Message, reset, gap bool) {
	if !r.OK {
		reset = l.last > 0
		l.last, l.pos = 0, ""
		// Held messages carry positions of a log that is no more.
		clear(l.held)
	}
	for _, m := range r.Messages {
		m.Chat = r.Chat
		switch {
		case m.Seq <= l.last:
			l.Repeats++
		case m.Seq == l.last+1:
			apply = l.take(apply, m)
		default:
			l.hold(m)
		}
	}
	return l.release(apply), reset, len(l.held) > 0
}

func (l *Log) take(apply []switchboard.Message, m switchboard.Message) []switchboard.Message {
	l.last, l.pos = m.Seq, m.Pos
	return append(apply, m)
}

func (l *Log) hold(m switchboard.Message) {
	if l.held == nil {
		l.held = make(map[int64]switchboard.Message)
	}
	if _, again := l.held[m.Seq]; again {
		l.Repeats++
		return
	}
	if len(l.held) < maxHeld {
		l.held[m.Seq] = m
	}
}

// release applies what follows the last message without a gap and drops held
// ones that a resume has brought meanwhile.
func (l *Log) release(apply []switchboard.Message) []switchboard.Message {
	for {
		m, ok := l.held[l.last+1]
		if !ok {
			break
		}
		delete(l.held, m.Seq)
		apply = l.take(apply, m)
	}
	for seq := range l.held {
		if seq <= l.last {
			delete(l.held, seq)
		}
	}
	return apply
}
