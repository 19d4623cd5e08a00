package routing

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// What became of a transfer; scripts/transfer.lua says when.
const (
	TransferAsked   = "asked"   // the person has an invite; the chat stays whose it is
	TransferMoved   = "moved"   // another holds it now
	TransferOffered = "offered" // it is offered
	TransferQueued  = "queued"  // it waits
)

// MaxWord is the most bytes of what a transfer or an invite says to who is asked.
const MaxWord = 500

// Transfer is a wish to move an open chat.
type Transfer struct {
	Chat     switchboard.ChatID
	By       switchboard.OperatorID // its operator, or a supervisor
	Operator switchboard.OperatorID // whom it is for; 0: for the team
	Team     *switchboard.TeamID    // where it goes; nil: its own team
	Over     bool                   // also over the limit: By's permission or Operator's
	Queue    bool                   // of a team: whether or not anybody answers there now
	Text     string                 // for Operator, at most MaxWord bytes
}

// Transferred says where a chat went.
type Transferred struct {
	Outcome string // TransferAsked, TransferMoved, TransferOffered or TransferQueued
	Place   int64  // in the queue, 1 is next; 0: it does not wait
	Chat    Chat
}

// Transfer moves a chat, or leaves it as it was and says why. A person is
// asked, and has the team's time for an offer to answer; until they accept the chat
// is whose it was, and stays so when they decline or are silent. Who takes part in
// the chat already was asked before: they hold it at once. In a team's queue it keeps
// its rank and its waiting time. Errors: CodeInvalid (field), CodeNotFound,
// CodeForbidden (field operator, over or ""), CodeConflict (field operator, to_team,
// over or chat), CodeOffline (field operator or to_team), CodeLeaving.
func (r *Router) Transfer(ctx context.Context, org switchboard.OrgID, t Transfer) (Transferred, error) {
	if err := checkWord(t.Text); err != nil {
		return Transferred{}, err
	}
	to, team := "", ""
	if t.Operator != 0 {
		to = strconv.FormatInt(int64(t.Operator), 10)
	}
	if t.Team != nil {
		team = strconv.FormatInt(int64(*t.Team), 10)
	}
	reply, err := r.fresh(ctx, org, func() (presence.Reply, error) {
		return r.call(ctx, org, scriptTransfer, nil, int64(t.By), int64(t.Chat), to, team, bit(t.Over), t.Text, bit(t.Queue))
	})
	if err != nil {
		return Transferred{}, err
	}
	if err := refusal(reply); err != nil {
		r.metrics.transfers.WithLabelValues("refused").Inc()
		return Transferred{}, err
	}
	r.metrics.transfers.WithLabelValues(reply.Text(0)).Inc()
	c, err := decodeChat(reply.Text(1))
	return Transferred{Outcome: reply.Text(0), Place: reply.Int(2), Chat: c}, err
}

func bit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func checkWord(text string) error {
	if len(text) > MaxWord || !utf8.ValidString(text) {
		return switchboard.Invalid("text", "at most 500 bytes of UTF-8")
	}
	return nil
}

// absent says why an operator cannot be given a chat, or asked to come into one
// (operator.lua, barrier; people.lua).
var absent = map[string]string{
	"account": "their account is not active", "offline": "they are not connected", "unreachable": "their connection is lost",
	"leaving": "they are being signed out and take no new work", "status": "they are not Available",
	"wrap_up": "they are in wrap-up", "call": "they are in a call", "parts": "they take part in 16 other chats",
}

// refusal is the error of a script behind people.lua that changed nothing.
func refusal(reply presence.Reply) error {
	no := func(code switchboard.Code, field, why string) error {
		return &switchboard.Error{Code: code, Field: field, Message: why}
	}
	switch reply.Status {
	case "OK":
		return nil
	case "NOTFOUND":
		return no(switchboard.CodeNotFound, "chat", "no such chat")
	case "FORBIDDEN":
		return no(switchboard.CodeForbidden, "", "this is for who holds the chat, and for supervisors")
	case "HOLDER":
		return no(switchboard.CodeConflict, "chat", "you hold this chat: transfer or close it")
	case "NOTACTIVE":
		return no(switchboard.CodeConflict, "chat", "nobody else holds this chat now")
	case "NOTEAM":
		return switchboard.Invalid("to_team", "the organization has no such team")
	case "NOBODY":
		return switchboard.Invalid("operator", "no such operator")
	case "NOTTEAM":
		return no(switchboard.CodeConflict, "operator", "they are not of this team; say which team the chat goes to")
	case "UNSKILLED":
		return no(switchboard.CodeConflict, "operator", "the chat requires a skill that they do not have")
	case "FULL":
		return no(switchboard.CodeConflict, "over", "they are at their limit")
	case "OVER":
		return no(switchboard.CodeForbidden, "over", "they are at their limit, and neither you nor they may go over it")
	case "SELF":
		return no(switchboard.CodeConflict, "operator", "they are in this chat already")
	case "PENDING":
		return no(switchboard.CodeConflict, "operator", reply.Text(0)+" is asked already; wait, or take that back")
	case "CROWDED":
		return no(switchboard.CodeConflict, "chat", "this chat has as many people as it may have")
	case "AWAY":
		return no(switchboard.CodeConflict, "chat", "its visitor is gone; move it to a team, or wait")
	case "SHUT":
		return no(switchboard.CodeOffline, "to_team", "nobody of this team answers now; it may be queued all the same")
	case "LONG":
		return no(switchboard.CodeConflict, "to_team", "too many wait there")
	case "BARRED":
		switch why := reply.Text(0); why {
		case "leaving":
			return no(switchboard.CodeLeaving, "operator", absent[why])
		case "offline", "unreachable":
			return no(switchboard.CodeOffline, "operator", absent[why])
		default:
			return no(switchboard.CodeConflict, "operator", absent[why])
		}
	}
	return no(switchboard.CodeInternal, "", "unexpected answer "+reply.Status)
}

// come accepts an invite. Errors as Accept.
func (r *Router) come(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, token string) (Chat, error) {
	reply, err := r.call(ctx, org, scriptCome, nil, int64(op), int64(chat), token)
	if err != nil {
		return Chat{}, err
	}
	switch reply.Status {
	case "STALE":
		return Chat{}, taken("token", "this invite is over", reply.Int(0), reply.Text(1))
	case "CLOSED":
		return Chat{}, switchboard.Errorc(switchboard.CodeClosed, "the chat is over")
	}
	r.metrics.invites.WithLabelValues(switchboard.OfferAccepted).Inc()
	return held(reply.Text(0), reply.Text(1))
}

// stay declines an invite. Errors as Decline.
func (r *Router) stay(ctx context.Context, org switchboard.OrgID, op switchboard.OperatorID, chat switchboard.ChatID, token string) error {
	reply, err := r.call(ctx, org, scriptStay, nil, int64(op), int64(chat), token, switchboard.OfferDeclined)
	if err != nil {
		return err
	}
	if reply.Status == "STALE" {
		return &switchboard.Error{Code: switchboard.CodeConflict, Field: "token", Message: "this invite is over"}
	}
	r.metrics.invites.WithLabelValues(switchboard.OfferDeclined).Inc()
	return nil
}

// unansweredInvite answers the deadline of an invite; id is chat/operator.
func (r *Router) unansweredInvite(ctx context.Context, org switchboard.OrgID, id string) error {
	chat, op, _ := strings.Cut(id, "/")
	reply, err := r.call(ctx, org, scriptStay, nil, op, chat, "", switchboard.OfferTimeout)
	if err == nil && reply.Status == "OK" && reply.Text(0) != "" {
		r.metrics.invites.WithLabelValues(switchboard.OfferTimeout).Inc()
	}
	return err
}
