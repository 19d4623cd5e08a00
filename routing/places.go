package routing

import (
	"context"

	"github.com/switchboard/switchboard"
)

// Place is where a waiting chat stands in its team.
type Place struct {
	Place int64 // 1 is next; 0: it does not wait there
	// Wait is ms until its turn: the place times what chats of the team took of
	// late, over the slots of operators who take work now and meet what the chat
	// requires. -1 is unknown: there is no such operator, or no chat has ended yet.
	Wait int64
}

// Places returns where chats of a team stand, at most 200.
func (r *Router) Places(ctx context.Context, org switchboard.OrgID, team switchboard.TeamID, chats []switchboard.ChatID) ([]Place, error) {
	args := make([]any, 0, len(chats)+1)
	args = append(args, int64(team))
	for _, id := range chats {
		args = append(args, int64(id))
	}
	reply, err := r.call(ctx, org, scriptPlaces, nil, args...)
	if err != nil || reply.Len() != 2*len(chats) { // an unknown team has none
		return nil, err
	}
	out := make([]Place, len(chats))
	for i := range out {
		out[i] = Place{reply.Int(2 * i), reply.Int(2*i + 1)}
	}
	return out, nil
}
