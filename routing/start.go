package routing

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Opening is a visitor's wish to start a chat.
type Opening struct {
	Visitor switchboard.PersonID
	Team    switchboard.TeamID
	Info    Info
	Cmid    string // client message id of the first message
	Text    string // first message, may be empty

	Skills   []Need
	Language string // a code such as fr: a preferred skill, LanguageSkill
	Priority int    // 1 to 9, higher is earlier; 0: the team's
}

// Start opens a chat: it is given to an operator or queued in the same step. A
// visitor who has an open chat gets that one (opened is false): one open chat a
// visitor, however many tabs start at once (V-2). A first message is stored in
// the same step as seq 1 of a new chat; for an open one nothing is stored.
//
// A visitor who has no connection yet (a customer's server opens the chat) has
// Config.SilentAfter to come; until then the chat is parked unless the team
// offers chats of visitors who are gone (V-1).
//
// The queue goes by rank, given here: arrival, and for each level of priority as
// if PriorityStep chats had come later. So a waiting chat is overtaken by at most
// PriorityStep chats for each level that they are higher, however long it waits.
// Errors: CodeInvalid (field), CodeConflict (field team) when the team's queue
// has its length, CodeOffline when the team does not answer now (open.lua has the
// table; RetryAfter is the time until it opens, where that is known),
// CodeUnavailable.
func (r *Router) Start(ctx context.Context, org switchboard.OrgID, o Opening) (chat Chat, opened bool, err error) {
	required, err := r.required(ctx, org, o)
	if err != nil {
		return chat, false, err
	}
	p := r.reg.Partition(org)
	// The id first, in a call of its own: the keys of the chat's log must be known
	// to the caller. An id that is then not used is no harm.
	number, err := r.reg.CallBare(ctx, org, scriptNumber, []string{p.Block(org).Meta, p.Key(org, "org")})
	if err != nil {
		return chat, false, err
	}
	id := number.Int(0)
	info, err := json.Marshal(o.Info)
	if err != nil {
		return chat, false, err
	}
	fragment := ""
	if o.Text != "" {
		if fragment, err = messageFragment(o.Visitor, o.Info.Name, o.Cmid, o.Text); err != nil {
			return chat, false, err
		}
	}
	priority := ""
	if o.Priority > 0 {
		priority = strconv.Itoa(o.Priority)
	}
	k := keysOf(p, org, switchboard.ChatID(id))
	reply, err := r.fresh(ctx, org, func() (presence.Reply, error) {
		return r.call(ctx, org, scriptStart, []string{k.log, k.cmid},
			string(o.Visitor), id, int64(o.Team), string(info), o.Cmid, fragment, required, priority,
			r.cfg.SilentAfter.Milliseconds())
	})
	if err != nil {
		return chat, false, err
	}
	switch reply.Status {
	case "NOTEAM":
		return chat, false, switchboard.Invalid("team", "the organization has no such team")
	case "FORM":
		e := switchboard.Errorc(switchboard.CodeOffline, "nobody can answer now; you may leave a message")
		e.RetryAfter = time.Duration(reply.Int(0)) * time.Millisecond
		return chat, false, e
	case "FULL":
		return chat, false, &switchboard.Error{Code: switchboard.CodeConflict, Field: "team", Message: "too many are waiting; try again later"}
	}
	chat, err = decodeChat(reply.Text(0))
	chat.Place, chat.Opens = reply.Int(1), reply.Int(2)
	if reply.Status == "OK" {
		r.metrics.started.Inc()
	}
	return chat, reply.Status == "OK", err
}

// required returns the steps of an opening as JSON, "" when it asks for nothing.
func (r *Router) required(ctx context.Context, org switchboard.OrgID, o Opening) (string, error) {
	if o.Priority < 0 || o.Priority > 9 {
		return "", switchboard.Invalid("priority", "0 to 9")
	}
	needs := o.Skills
	if o.Language != "" {
		skill := presence.LanguageSkill(o.Language)
		if !presence.ValidSkill(skill) {
			return "", switchboard.Invalid("language", "a language code such as en or pt-br, in lower case")
		}
		needs = append([]Need{{Skill: skill, Preferred: true}}, needs...)
	}
	if err := checkNeeds(needs); err != nil || len(needs) == 0 {
		return "", err
	}
	team, err := r.reg.Team(ctx, org, o.Team)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return "", switchboard.Invalid("team", "the organization has no such team")
	}
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(steps(needs, team))
	return string(raw), err
}
