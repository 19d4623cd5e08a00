package routing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// Stored says where a message stands in its chat's log.
type Stored struct {
	Pos    switchboard.Position
	Seq    int64
	At     int64 // Redis ms
	Repeat bool  // it was stored before, under the same client message id
}

// messageFragment is a message's JSON behind chat, pos, seq and at, which only
// the script knows: `"from":...}`. It is stored and sent as it is.
func messageFragment(from switchboard.PersonID, name, cmid, text string) (string, error) {
	raw, err := json.Marshal(struct {
		From switchboard.PersonID `json:"from"`
		Name string               `json:"name,omitempty"`
		Cmid string               `json:"cmid"`
		Text string               `json:"text"`
	}{from, name, cmid, text})
	return string(raw[1:]), err
}

// Draft is a message that is to be stored.
type Draft struct {
	From switchboard.PersonID
	Name string // as the other side sees it
	Chat switchboard.ChatID
	Cmid string // chosen by the client, the same in each repeat
	Text string
	// Seen is the last seq that an operator has seen of the chat: when a colleague
	// has written since, nothing is stored and the error is a CodeConflict of field
	// "seen" (W-3). What the visitor wrote meanwhile is no conflict. Nil: not asked.
	Seen *int64
	// Alone: the author has one socket on this node. If that is the only one of all
	// nodes, no copy comes back to it: Stored says what the copy would.
	Alone bool
}

func (d Draft) check() error {
	switch {
	case d.Cmid == "":
		return switchboard.Invalid("cmid", "a client message id is needed")
	case d.Text == "":
		return switchboard.Invalid("text", "the message is empty")
	case !utf8.ValidString(d.Text) || !utf8.ValidString(d.Cmid):
		return switchboard.Invalid("text", "not valid UTF-8")
	case d.Chat <= 0:
		return switchboard.Invalid("chat", "a positive integer")
	case d.Seen != nil && *d.Seen < 0:
		return switchboard.Invalid("seen", "the seq of the last message seen, 0 for none")
	}
	return nil
}

// Append stores one message of a party and nudges the nodes of both parties; it
// returns only after the store has it. A repeat of a client message id answers
// what the first one got. Errors: CodeInvalid (field), CodeClosed, CodeNotFound,
// CodeForbidden, CodeConflict for a chat with MaxMessages and for Draft.Seen,
// CodeUnavailable.
func (r *Router) Append(ctx context.Context, org switchboard.OrgID, d Draft) (Stored, error) {
	if err := d.check(); err != nil {
		return Stored{}, err
	}
	s, ring, err := r.store(ctx, org, d)
	if err == nil && !s.Repeat {
		r.metrics.messages.Inc()
		r.lively(ctx, org, d.From, d.Chat, ring)
	}
	return s, err
}

// store is the step of Append, and returns what it has brought (lively).
func (r *Router) store(ctx context.Context, org switchboard.OrgID, d Draft) (s Stored, ring string, err error) {
	seen, alone := "", ""
	if d.Seen != nil {
		seen = strconv.FormatInt(*d.Seen, 10)
	}
	if d.Alone {
		alone = "1"
	}
	fragment, err := messageFragment(d.From, d.Name, d.Cmid, d.Text)
	if err != nil {
		return s, "", err
	}
	p := r.reg.Partition(org)
	b := p.Block(org)
	k := keysOf(p, org, d.Chat)
	reply, err := r.reg.CallBare(ctx, org, scriptAppend,
		[]string{b.Meta, b.Live, b.Inboxes, b.Link, b.Chat, k.log, k.cmid, k.typing, k.closed, b.Due},
		string(d.From), int64(d.Chat), d.Cmid, fragment, MaxMessages, seen, alone)
	if err != nil {
		return s, "", err
	}
	switch reply.Status {
	case "CLOSED":
		return s, "", switchboard.Errorc(switchboard.CodeClosed, "the chat is over; start a new one")
	case "NOTFOUND":
		return s, "", &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	case "FORBIDDEN":
		// The same answer as for a chat that is not there: ids must not be probed.
		return s, "", &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	case "NOTES":
		return s, "", switchboard.Errorc(switchboard.CodeForbidden, "you are not seen in this chat; write a note, or join it")
	case "BEHIND":
		return s, "", &switchboard.Error{Code: switchboard.CodeConflict, Field: "seen", Message: "others wrote since; read what they said, then send again"}
	case "FULL":
		return s, "", switchboard.Errorc(switchboard.CodeConflict, "the chat has 10,000 messages; start a new one")
	}
	s = Stored{Seq: reply.Int(0), At: reply.Int(2), Repeat: reply.Status == "DUP"}
	s.Pos = reply.Text(0) + "-" + reply.Text(1)
	return s, reply.Text(3), nil
}

// Limits of one answer to a resume; what is older is read over HTTP.
const (
	resumeMessages = 200
	resumeBytes    = 96 << 10
)

// Missed is what a reader of a chat has not seen.
type Missed struct {
	// OK: Messages is exactly what follows the given position. Otherwise the
	// position is unknown (or too far back) and Messages is the newest part of
	// the log: drop what you had.
	OK       bool
	Messages []switchboard.Message
	Pos      switchboard.Position // of the last message, "" for an empty log
	Last     int64                // its seq
}

// Since returns what follows pos in a chat's log, all or nothing: a position
// counts only if exactly that id is in the log. Who may read is the caller's
// matter (Find). Errors: CodeUnavailable.
func (r *Router) Since(ctx context.Context, org switchboard.OrgID, chat switchboard.ChatID, pos switchboard.Position) (Missed, error) {
	key := keysOf(r.reg.Partition(org), org, chat).log
	if pos != "" && validPosition(pos) {
		list, err := r.rdb.XRangeN(ctx, key, pos, "+", resumeMessages+2).Result()
		if err != nil {
			return Missed{}, storeError(err)
		}
		if len(list) > 0 && list[0].ID == pos && len(list) <= resumeMessages+1 {
			m, err := messages(chat, list[1:])
			if err != nil {
				return Missed{}, err
			}
			if size(m) <= resumeBytes {
				out := Missed{OK: true, Messages: m, Pos: list[len(list)-1].ID}
				out.Last = seqOf(out.Pos)
				return out, nil
			}
		}
	}
	list, err := r.rdb.XRevRangeN(ctx, key, "+", "-", resumeMessages).Result()
	if err != nil {
		return Missed{}, storeError(err)
	}
	out := Missed{OK: pos == "" && len(list) < resumeMessages}
	bytes := 0
	for i, e := range list {
		m, err := messages(chat, []redis.XMessage{e})
		if err != nil {
			return Missed{}, err
		}
		if bytes += size(m); bytes > resumeBytes && i > 0 {
			out.OK = false
			break
		}
		out.Messages = append(m, out.Messages...)
	}
	if len(list) > 0 {
		out.Pos = list[0].ID
		out.Last = seqOf(out.Pos)
	}
	return out, nil
}

// History returns up to n (at most 200) messages before a sequence number (0:
// the newest), oldest first.
func (r *Router) History(ctx context.Context, org switchboard.OrgID, chat switchboard.ChatID, before int64, n int) ([]switchboard.Message, error) {
	end := "+"
	if before > 0 {
		end = "(" + strconv.FormatInt(before, 10) + "-0"
	}
	list, err := r.rdb.XRevRangeN(ctx, keysOf(r.reg.Partition(org), org, chat).log, end, "-", int64(min(max(n, 1), resumeMessages))).Result()
	if err != nil {
		return nil, storeError(err)
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return messages(chat, list)
}

func messages(chat switchboard.ChatID, list []redis.XMessage) ([]switchboard.Message, error) {
	out := make([]switchboard.Message, 0, len(list))
	for _, e := range list {
		m := switchboard.Message{}
		fragment, _ := e.Values["m"].(string)
		at, _ := e.Values["at"].(string)
		if err := json.Unmarshal([]byte("{"+fragment), &m); err != nil {
			return nil, fmt.Errorf("message %s of chat %d: %w", e.ID, chat, err)
		}
		m.Chat, m.Pos, m.Seq = chat, e.ID, seqOf(e.ID)
		m.At, _ = strconv.ParseInt(at, 10, 64) // written by append.lua: digits
		out = append(out, m)
	}
	return out, nil
}

func size(list []switchboard.Message) int {
	n := 0
	for _, m := range list {
		n += len(m.Text) + len(m.Name) + 160
	}
	return n
}

func seqOf(pos switchboard.Position) int64 {
	s, _, _ := strings.Cut(pos, "-")
	n, _ := strconv.ParseInt(s, 10, 64) // ids are ours: digits
	return n
}

// validPosition keeps texts that are no entry id away from Redis.
func validPosition(pos switchboard.Position) bool {
	a, b, ok := strings.Cut(pos, "-")
	_, e1 := strconv.ParseUint(a, 10, 63)
	_, e2 := strconv.ParseUint(b, 10, 63)
	return ok && e1 == nil && e2 == nil
}

// Find returns a chat, open or finished. Errors: CodeNotFound.
func (r *Router) Find(ctx context.Context, org switchboard.OrgID, chat switchboard.ChatID) (Chat, error) {
	p := r.reg.Partition(org)
	raw, err := r.rdb.HGet(ctx, p.Block(org).Chat, strconv.FormatInt(int64(chat), 10)).Result()
	if errors.Is(err, redis.Nil) {
		raw, err = r.rdb.Get(ctx, keysOf(p, org, chat).closed).Result()
	}
	if errors.Is(err, redis.Nil) {
		return Chat{}, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	}
	if err != nil {
		return Chat{}, storeError(err)
	}
	return decodeChat(raw)
}

// Snapshot is what a person holds now: their own state and their open chats.
type Snapshot struct {
	Self    json.RawMessage // an operator's view as JSON; nil for a visitor
	Leaving json.RawMessage // a "leaving" frame when a logout waits
	Now     int64           // Redis ms of the snapshot
	Chats   []Chat          // active, waiting and offered ones
	Records []string        // of the same chats, as the store holds them, for Restore
}

// Snapshot returns what a person holds now, in one step of the store.
func (r *Router) Snapshot(ctx context.Context, org switchboard.OrgID, person switchboard.PersonID) (Snapshot, error) {
	reply, err := r.call(ctx, org, scriptSnapshot, nil, string(person))
	if err != nil {
		return Snapshot{}, err
	}
	if reply.Status == "GONE" {
		return Snapshot{}, switchboard.Errorc(switchboard.CodeUnauthorized, "this account is no longer there")
	}
	var s Snapshot
	if t := reply.Text(0); t != "" {
		s.Self = json.RawMessage(t)
	}
	if t := reply.Text(1); t != "" {
		s.Leaving = json.RawMessage(t)
	}
	s.Now = reply.Int(2)
	for i := 3; i+1 < reply.Len(); i += 2 {
		c, err := decodeChat(reply.Text(i))
		if err != nil {
			return s, err
		}
		here := reply.Text(i+1) == "1"
		c.Here = &here
		s.Chats, s.Records = append(s.Chats, c), append(s.Records, reply.Text(i))
	}
	return s, nil
}
