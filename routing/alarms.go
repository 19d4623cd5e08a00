package routing

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// Ring answers the deadlines that routing owns (presence.Alarm...).
func (r *Router) Ring(ctx context.Context, kind string, org switchboard.OrgID, id string) error {
	switch kind {
	case presence.AlarmOffer:
		reply, err := r.call(ctx, org, scriptDecline, nil, "", id, "", switchboard.OfferTimeout)
		if err == nil && reply.Status == "OK" {
			r.metrics.offers.WithLabelValues(switchboard.OfferTimeout).Add(float64(reply.Int(0)))
		}
		return err
	case presence.AlarmPart:
		return r.unansweredInvite(ctx, org, id)
	case presence.AlarmAgain:
		_, err := r.call(ctx, org, scriptAgain, nil, id)
		return err
	case presence.AlarmRelax:
		_, err := r.call(ctx, org, scriptRelax, nil, id)
		return err
	case presence.AlarmFlow:
		_, err := r.call(ctx, org, scriptFlow, nil, id)
		return err
	case presence.AlarmGroup:
		team, key, _ := strings.Cut(id, "/")
		_, err := r.call(ctx, org, scriptGroup, nil, team, key)
		return err
	case presence.AlarmQueue:
		return r.Match(ctx, org)
	case presence.AlarmHours:
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return fmt.Errorf("no team: %q", id)
		}
		return r.Hours(ctx, org, switchboard.TeamID(n))
	case presence.AlarmAsk:
		return r.unanswered(ctx, org, id)
	case presence.AlarmLost:
		_, err := r.call(ctx, org, scriptLost, nil, id)
		return err
	case presence.AlarmDrop:
		return r.timed(ctx, org, scriptDrop, id, lossText)
	case presence.AlarmQuiet:
		return r.timed(ctx, org, scriptQuiet, id, quietText)
	case presence.AlarmReply:
		return r.withLog(ctx, org, scriptReply, id)
	case presence.AlarmDoze:
		return r.withLog(ctx, org, scriptDoze, id)
	case presence.AlarmWake:
		_, err := r.call(ctx, org, scriptWake, nil, id)
		return err
	case presence.AlarmStill:
		_, err := r.call(ctx, org, scriptStill, nil, id, "", r.cfg.SilentAfter.Milliseconds())
		return err
	case presence.AlarmGone:
		return r.visitor(ctx, org, switchboard.PersonID(id), "rings")
	case presence.AlarmSilent:
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return fmt.Errorf("no chat: %q", id)
		}
		alarm := presence.AlarmSilent + "/" + strconv.FormatInt(int64(org), 10) + "/" + id
		_, err = r.close(ctx, org, "", false, switchboard.ChatID(n), "visitor_left", alarm)
		if switchboard.CodeOf(err) == switchboard.CodeNotFound {
			return nil
		}
		return err
	}
	return fmt.Errorf("routing: unknown alarm %q", kind)
}

// VisitorBack tells the operator of a visitor's open chat that the visitor is
// connected again, and puts a parked chat back to its place.
func (r *Router) VisitorBack(ctx context.Context, org switchboard.OrgID, visitor switchboard.PersonID) error {
	return r.visitor(ctx, org, visitor, "back")
}

func (r *Router) visitor(ctx context.Context, org switchboard.OrgID, visitor switchboard.PersonID, what string) error {
	_, err := r.call(ctx, org, scriptVisitor, nil, string(visitor), what, r.cfg.SilentAfter.Milliseconds())
	return err
}
