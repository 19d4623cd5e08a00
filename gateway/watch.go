package gateway

import (
	"context"
	"slices"
	"strconv"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
)

// Topics that a socket may watch. What is narrower than a whole topic has a name
// behind a slash, which the hub counts to the same family.
const (
	topicOperators    = "operators"    // operators: all, a team's, or those on the screen
	topicQueue        = "queue"        // operators: how many chats wait
	topicLogouts      = "logouts"      // supervisors: how logout orders stand; orderboard.go
	topicLosses       = "losses"       // supervisors: operators who are gone, and their chats
	topicAvailability = "availability" // everybody: does anybody of a team answer now
)

func teamTopic(t switchboard.TeamID) string { return topicOperators + "/t" + text(int64(t)) }

func operatorTopic(id switchboard.OperatorID) string { return topicOperators + "/o" + text(int64(id)) }

func availabilityOf(t switchboard.TeamID) string { return topicAvailability + "/" + text(int64(t)) }

func text(n int64) string { return strconv.FormatInt(n, 10) }

// maxOnScreen is how many operators one socket may watch by their ids.
const maxOnScreen = 500

// scope is what one socket watches.
type scope struct {
	operators, queue, logouts, losses, available bool

	team switchboard.TeamID       // of operators and of available; 0: all
	ids  []switchboard.OperatorID // of operators, ascending; nil: all
}

// scopeOf reads what a frame wants to watch. Errors: CodeInvalid, CodeForbidden.
func scopeOf(in switchboard.In, who Claims) (sc scope, err error) {
	for _, t := range in.Watch {
		switch t {
		case topicOperators:
			sc.operators = true
		case topicQueue:
			sc.queue = true
		case topicLogouts:
			sc.logouts = true
		case topicLosses:
			sc.losses = true
		case topicAvailability:
			sc.available = true
		default:
			return sc, switchboard.Invalid("watch", "operators, queue, logouts, losses or availability")
		}
	}
	switch {
	case (sc.operators || sc.queue || sc.logouts || sc.losses) && who.Audience != AudienceOperator:
		return sc, switchboard.Errorc(switchboard.CodeForbidden, "watching operators, the queue, logouts and losses is for operators")
	case (sc.logouts || sc.losses) && !who.Role.Supervises():
		return sc, switchboard.Errorc(switchboard.CodeForbidden, "watching logouts and losses is for supervisors")
	case in.Team < 0:
		return sc, switchboard.Invalid("team", "0 or a team's id")
	case in.Operators == nil:
	case !sc.operators:
		return sc, switchboard.Invalid("operators", "only with operators in watch")
	case in.Team != 0:
		return sc, switchboard.Invalid("operators", "either a team or operators")
	case len(in.Operators) > maxOnScreen:
		return sc, switchboard.Invalid("operators", "at most 500; watch a team or all")
	}
	sc.team = in.Team
	if in.Operators != nil {
		sc.ids = append([]switchboard.OperatorID{}, in.Operators...)
		slices.Sort(sc.ids)
		sc.ids = slices.Compact(sc.ids)
	}
	return sc, nil
}

// topics are the hub's names of what is in a scope.
func (sc scope) topics() (out []string) {
	switch {
	case !sc.operators:
	case sc.ids != nil:
		for _, id := range sc.ids {
			out = append(out, operatorTopic(id))
		}
	case sc.team != 0:
		out = append(out, teamTopic(sc.team))
	default:
		out = append(out, topicOperators)
	}
	if sc.queue {
		out = append(out, topicQueue)
	}
	if sc.logouts {
		out = append(out, topicLogouts)
	}
	if sc.losses {
		out = append(out, topicLosses)
	}
	if sc.available {
		out = append(out, availabilityOf(sc.team))
	}
	return out
}

// onWatch sets the whole set of what a socket watches.
func (s *Server) onWatch(_ context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	sc, err := scopeOf(in, ss.claims)
	if err == nil {
		s.watch(c, ss, sc)
	}
	return nil, err
}

func (s *Server) watch(c *hub.Conn, ss *session, sc scope) {
	s.hub.Watch(c, sc.topics())
	if sc.logouts {
		s.orderBoard.want(ss.claims.Org, c)
	}
	if sc.operators || sc.queue || sc.available {
		s.board.want(ss.claims.Org, c, sc)
	} else {
		s.board.forget(c)
	}
}

// refresh: presence was dropped for a slow reader who has caught up since. topic is
// "" when it was part of a snapshot.
func (s *Server) refresh(c *hub.Conn, topic string) {
	id, ok := c.Identity()
	switch {
	case !ok:
	case topic == topicLogouts:
		s.orderBoard.want(id.Org, c)
	default:
		s.board.again(id.Org, c)
		if topic == "" && id.Role.Supervises() {
			s.orderBoard.want(id.Org, c)
		}
	}
}
