package routing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// What a chat that is started now meets (scripts/open.lua has the table).
const (
	DoorServe = "serve" // it goes to an operator or into the queue
	DoorHold  = "hold"  // it waits until the team opens
	DoorForm  = "form"  // it is refused: the visitor may leave a message
)

// hoursRenew is how old compiled hours may be; presence compiles eight days.
const hoursRenew = 4 * 24 * time.Hour

// Hours compiles a team's opening hours anew and, when it is open, serves its
// queue. It answers the deadline that stands at each opening and closing.
func (r *Router) Hours(ctx context.Context, org switchboard.OrgID, team switchboard.TeamID) error {
	for range 10 {
		rules, open, until, err := r.reg.CompiledHours(ctx, org, team)
		if err != nil {
			return err
		}
		reply, err := r.call(ctx, org, scriptHours, nil, int64(team), rules, open, until, hoursRenew.Milliseconds())
		if err != nil || reply.Status == "OK" {
			return err
		}
	}
	return errors.New("routing: a team's hours change all the time")
}

// fresh repeats a call as long as it answers OUTDATED, after compiling the hours
// that it names: the first call after all nodes were away for days.
func (r *Router) fresh(ctx context.Context, org switchboard.OrgID, call func() (presence.Reply, error)) (reply presence.Reply, err error) {
	for range 10 {
		if reply, err = call(); err != nil || reply.Status != "OUTDATED" {
			return reply, err
		}
		team, err := strconv.ParseInt(reply.Text(0), 10, 64)
		if err != nil {
			return reply, fmt.Errorf("no team: %q", reply.Text(0))
		}
		if err := r.Hours(ctx, org, switchboard.TeamID(team)); err != nil {
			return reply, err
		}
	}
	return reply, errors.New("routing: a team's hours are outdated as soon as they are compiled")
}

// Door is what a chat of a team meets now.
type Door struct {
	Answer string // DoorServe, DoorHold or DoorForm; "" for an unknown team
	Opens  int64  // Redis ms of the next opening; 0 while open, and where it is not known
}

// Doors returns what a chat that was started now would meet, for each of at most
// 257 teams, by the same decision as Start.
func (r *Router) Doors(ctx context.Context, org switchboard.OrgID, teams []switchboard.TeamID) ([]Door, error) {
	args := []any{}
	for _, t := range teams {
		args = append(args, int64(t))
	}
	reply, err := r.fresh(ctx, org, func() (presence.Reply, error) { return r.call(ctx, org, scriptDoors, nil, args...) })
	if err != nil {
		return nil, err
	}
	out := make([]Door, len(teams))
	for i := range out {
		out[i] = Door{reply.Text(1 + 2*i), reply.Int(2 + 2*i)}
	}
	return out, nil
}
