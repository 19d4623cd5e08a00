package routing

import (
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Nudge is one inbox message: a frame for persons whose sockets this node holds.
type Nudge struct {
	Org     switchboard.OrgID
	Persons []switchboard.PersonID
	Class   byte               // 'm' message, 'e' event, 's' self, 'k' chat, 't' typing and viewing, 'c' control
	Chat    switchboard.ChatID // of a message
	Seq     int64              // of a message
	Frame   []byte             // one JSON object
	Record  string             // of an 's' or 'k': the operator or chat as the store holds it
	Gen     int64              // the partition's generation
}

// Event is one broadcast: something changed that a watcher of the organization
// may want to see.
type Event struct {
	Org   switchboard.OrgID
	Topic string // operators, queue, order
	Ctr   int64  // counts the partition's events
	Body  []byte
}

// separator stands between what one step of the store tells a node; no JSON has it
// (prelude.lua, publish).
const separator = "\x1e"

// take reads one message of the bus and hands on what is in it, in order; false: it
// was our own echo.
func (l *lane) take(m *redis.Message) bool {
	if m.Payload == "echo" {
		return false
	}
	p, nudge := l.byName[m.Channel]
	for line := range strings.SplitSeq(m.Payload, separator) {
		l.b.m.nudges.Inc()
		if nudge {
			l.takeNudge(p, line)
		} else {
			l.takeEvent(m.Channel, line)
		}
	}
	return true
}

func (l *lane) takeEvent(channel, payload string) {
	f := strings.SplitN(payload, "\t", 5) // gen ctr org topic body
	if len(f) != 5 {
		l.b.log.Error("a broadcast could not be read", "channel", channel)
		return
	}
	org, e1 := strconv.ParseInt(f[2], 10, 64)
	ctr, e2 := strconv.ParseInt(f[1], 10, 64)
	if e1 != nil || e2 != nil {
		l.b.log.Error("a broadcast could not be read", "channel", channel)
		return
	}
	if f[3] == "gen" { // a server has changed: nobody's event
		l.b.reg.Noticed(channel, f[0])
		return
	}
	l.counted(channel, told{f[0], ctr})
	l.b.to.Event(Event{Org: switchboard.OrgID(org), Topic: f[3], Ctr: ctr, Body: []byte(f[4])})
}

// told is the number of a partition's broadcast, within a generation.
type told struct {
	gen string
	ctr int64
}

// counted notices a hole in the numbers of a partition's broadcasts.
func (l *lane) counted(channel string, now told) {
	p := l.casts[channel]
	last, known := l.told[p.Tag]
	l.told[p.Tag] = now
	if known && now != (told{last.gen, last.ctr + 1}) && l.b.to.Lost != nil {
		l.b.m.gaps.Inc()
		l.b.to.Lost(p)
	}
}

func (l *lane) takeNudge(p presence.Partition, payload string) {
	f := strings.SplitN(payload, "\t", 6) // gen seq org persons class frame
	if len(f) != 6 {
		l.b.log.Error("a nudge could not be read", "partition", p.Tag)
		return
	}
	seq, e1 := strconv.ParseInt(f[1], 10, 64)
	org, e2 := strconv.ParseInt(f[2], 10, 64)
	if e1 != nil || e2 != nil || f[4] == "" {
		l.b.log.Error("a nudge could not be read", "partition", p.Tag)
		return
	}
	last, known := l.last[p.Tag]
	gen, seen := l.gen[p.Tag]
	if (known && seq != last+1) || (seen && gen != f[0]) {
		l.b.m.gaps.Inc()
		l.b.to.Gap(p)
	}
	if !seen || gen != f[0] {
		l.b.reg.Noticed(p.Inbox(l.inc), f[0])
	}
	l.last[p.Tag], l.gen[p.Tag] = seq, f[0]
	n := Nudge{Org: switchboard.OrgID(org), Class: f[4][0], Frame: []byte(f[5])}
	for who := range strings.SplitSeq(f[3], ",") {
		n.Persons = append(n.Persons, switchboard.PersonID(who))
	}
	n.Gen, _ = strconv.ParseInt(f[0], 10, 64) // our own digits
	if n.Class == 's' || n.Class == 'k' {
		frame, record, _ := strings.Cut(f[5], "\t")
		// A copy: the record is kept, and would keep the whole message.
		n.Frame, n.Record = []byte(frame), strings.Clone(record)
	}
	if n.Class == 'm' {
		chat, at, _ := strings.Cut(f[4][1:], ":")
		id, e1 := strconv.ParseInt(chat, 10, 64)
		s, e2 := strconv.ParseInt(at, 10, 64)
		if e1 != nil || e2 != nil {
			l.b.log.Error("a nudge could not be read", "partition", p.Tag)
			return
		}
		n.Chat, n.Seq = switchboard.ChatID(id), s
	}
	l.b.to.Nudge(n)
}
