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

// MaxNotes is the most notes that a chat may have.
const MaxNotes = 1_000

// Note stores what an operator says in a chat to its other operators: a consulted
// one's advice, a monitoring supervisor's whisper. Visitors never get one: notes have
// a key of their own, which nothing that answers a visitor reads. A repeat of a client
// message id answers what the first one got. Errors: CodeInvalid (field), CodeNotFound,
// CodeForbidden, CodeConflict for a chat with MaxNotes, CodeUnavailable.
func (r *Router) Note(ctx context.Context, org switchboard.OrgID, from switchboard.OperatorID, name string, chat switchboard.ChatID, cmid, text string) (Stored, error) {
	switch {
	case cmid == "":
		return Stored{}, switchboard.Invalid("cmid", "a client message id is needed")
	case strings.TrimSpace(text) == "":
		return Stored{}, switchboard.Invalid("text", "the note is empty")
	case !utf8.ValidString(text) || !utf8.ValidString(cmid):
		return Stored{}, switchboard.Invalid("text", "not valid UTF-8")
	case chat <= 0:
		return Stored{}, switchboard.Invalid("chat", "a positive integer")
	}
	person := switchboard.OperatorPerson(from)
	fragment, err := messageFragment(person, name, cmid, text)
	if err != nil {
		return Stored{}, err
	}
	p := r.reg.Partition(org)
	b := p.Block(org)
	reply, err := r.reg.CallBare(ctx, org, scriptNote, []string{b.Meta, b.Live, b.Inboxes, b.Link, b.Chat, keysOf(p, org, chat).notes},
		string(person), int64(chat), cmid, fragment, MaxNotes, r.cfg.Retention.Milliseconds())
	if err != nil {
		return Stored{}, err
	}
	switch reply.Status {
	case "NOTFOUND":
		return Stored{}, &switchboard.Error{Code: switchboard.CodeNotFound, Field: "chat", Message: "no such chat"}
	case "FORBIDDEN":
		return Stored{}, switchboard.Errorc(switchboard.CodeForbidden, "you take no part in this chat any more")
	case "FULL":
		return Stored{}, switchboard.Errorc(switchboard.CodeConflict, "the chat has 1,000 notes")
	}
	return Stored{Seq: reply.Int(0), At: reply.Int(1), Repeat: reply.Status == "DUP"}, nil
}

// Notes returns up to n (at most 200) notes of a chat before a sequence number (0:
// the newest), oldest first. Who may read is the caller's matter: operators only.
// Errors: CodeUnavailable.
func (r *Router) Notes(ctx context.Context, org switchboard.OrgID, chat switchboard.ChatID, before int64, n int) ([]switchboard.Note, error) {
	key := keysOf(r.reg.Partition(org), org, chat).notes
	out := []switchboard.Note{}
	last, err := r.rdb.HGet(ctx, key, "#").Int64()
	if errors.Is(err, redis.Nil) {
		return out, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	if before <= 0 || before > last {
		before = last + 1
	}
	var fields []string
	for seq := max(before-int64(min(max(n, 1), 200)), 1); seq < before; seq++ {
		fields = append(fields, strconv.FormatInt(seq, 10))
	}
	if len(fields) == 0 {
		return out, nil
	}
	list, err := r.rdb.HMGet(ctx, key, fields...).Result()
	if err != nil {
		return nil, storeError(err)
	}
	for i, v := range list {
		text, _ := v.(string)
		var note switchboard.Note
		if err := json.Unmarshal([]byte(text), &note); err != nil {
			return nil, fmt.Errorf("note %s of chat %d: %w", fields[i], chat, err)
		}
		out = append(out, note)
	}
	return out, nil
}
