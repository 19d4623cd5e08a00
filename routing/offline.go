package routing

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
)

const (
	// MaxOffline is the most offline messages an organization keeps; when so many are
	// not dealt with, further ones are refused.
	MaxOffline = 10_000
	// MaxOfflineVisitor is the most that are kept of one visitor.
	MaxOfflineVisitor = 20
)

// OfflineMessage is what a visitor left for a team that did not answer then.
type OfflineMessage struct {
	ID      int64                `json:"id"` // 1, 2, 3 ... within the organization
	At      int64                `json:"at"` // Redis ms
	Visitor switchboard.PersonID `json:"visitor"`
	Team    switchboard.TeamID   `json:"team"`
	Info                         // the visitor's own words; they prove nothing
	Cmid    string               `json:"cmid"` // client message id: a repeat leaves nothing more
	Text    string               `json:"text"`
	Done    *OfflineDone         `json:"done,omitempty"` // nil: nobody has dealt with it
}

// OfflineDone says who dealt with an offline message, and when.
type OfflineDone struct {
	By switchboard.PersonID `json:"by"`
	At int64                `json:"at"` // Redis ms
}

func (m OfflineMessage) problems() (list []switchboard.Problem) {
	check := func(ok bool, field, message string) {
		if !ok {
			list = append(list, switchboard.Problem{Field: field, Message: message})
		}
	}
	address, err := mail.ParseAddress(m.Email)
	check(m.Cmid != "" && len(m.Cmid) <= 64 && utf8.ValidString(m.Cmid), "cmid", "1 to 64 bytes")
	check(m.Team >= 0, "team", "0 or a team's id")
	check(utf8.RuneCountInString(m.Name) <= 100, "name", "at most 100 characters")
	check(err == nil && address.Address == m.Email && len(m.Email) <= 254, "email", "an e-mail address: there is no other way to answer")
	check(len(m.Page) <= 2048, "page", "at most 2048 bytes")
	check(strings.TrimSpace(m.Text) != "", "text", "the message is empty")
	check(len(m.Text) <= switchboard.MaxText, "text", "at most 8192 bytes")
	return list
}

// Leave stores an offline message and returns its id and time; of the message
// only the fields of a visitor count. Errors: CodeInvalid with every problem,
// CodeTooFast when this visitor has left MaxOfflineVisitor, CodeConflict when the
// organization has MaxOffline that nobody dealt with.
func (r *Router) Leave(ctx context.Context, org switchboard.OrgID, m OfflineMessage) (OfflineMessage, error) {
	if err := switchboard.InvalidAll(m.problems()); err != nil {
		return m, err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	fragment := strings.TrimPrefix(string(raw), `{"id":0,"at":0,`)
	reply, err := r.reg.Call(ctx, org, scriptOffline, []string{r.reg.Partition(org).Key(org, "offline")},
		string(m.Visitor), m.Cmid, int64(m.Team), fragment, r.cfg.Retention.Milliseconds(), MaxOffline, MaxOfflineVisitor)
	if err != nil {
		return m, err
	}
	switch reply.Status {
	case "NOTEAM":
		return m, switchboard.Invalid("team", "the organization has no such team")
	case "FULL":
		return m, switchboard.Errorc(switchboard.CodeConflict, "no more messages can be taken at the moment")
	case "TOOMANY":
		return m, switchboard.Errorc(switchboard.CodeTooFast, "you have left many messages already; they will be answered")
	}
	m.ID, m.At = reply.Int(0), reply.Int(1)
	return m, nil
}

// OfflineMessages returns up to n (1 to 200) messages with ids below before (0:
// the newest), newest first.
func (r *Router) OfflineMessages(ctx context.Context, org switchboard.OrgID, before int64, n int) ([]OfflineMessage, error) {
	key := r.reg.Partition(org).Key(org, "offline")
	ends, err := r.rdb.HMGet(ctx, key, "#", "<").Result()
	if err != nil {
		return nil, storeError(err)
	}
	last, low := number(ends[0]), number(ends[1])
	if before > 0 {
		last = min(last, before-1)
	}
	out := []OfflineMessage{}
	var fields []string
	for id := last; id >= max(low, 1) && len(fields) < 2*n; id-- {
		text := strconv.FormatInt(id, 10)
		fields = append(fields, text, "d:"+text)
	}
	if len(fields) == 0 {
		return out, nil
	}
	raw, err := r.rdb.HMGet(ctx, key, fields...).Result()
	if err != nil {
		return nil, storeError(err)
	}
	for i := 0; i < len(raw); i += 2 {
		if raw[i] == nil {
			continue // dropped between the two reads
		}
		var m OfflineMessage
		if err := json.Unmarshal([]byte(fmt.Sprint(raw[i])), &m); err != nil {
			return nil, fmt.Errorf("offline message %s: %w", fields[i], err)
		}
		if raw[i+1] != nil {
			if err := json.Unmarshal([]byte(fmt.Sprint(raw[i+1])), &m.Done); err != nil {
				return nil, fmt.Errorf("offline message %s: %w", fields[i], err)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

func number(v any) int64 {
	n, _ := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	return n
}

// OfflineDone notes that somebody has dealt with a message; who was first stays.
// Errors: CodeNotFound.
func (r *Router) OfflineDone(ctx context.Context, org switchboard.OrgID, id int64, by switchboard.PersonID) error {
	reply, err := r.reg.Call(ctx, org, scriptOfflineDone, []string{r.reg.Partition(org).Key(org, "offline")}, id, string(by))
	if err == nil && reply.Status == "NOTFOUND" {
		err = &switchboard.Error{Code: switchboard.CodeNotFound, Field: "id", Message: "no such message"}
	}
	return err
}
