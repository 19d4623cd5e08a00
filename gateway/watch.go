package gateway

import (
	"context"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
)

// onWatch sets the whole set of topics a socket watches.
func (s *Server) onWatch(_ context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	for _, t := range in.Watch {
		if t != topicOperators && t != topicQueue {
			return nil, switchboard.Invalid("watch", "operators or queue")
		}
	}
	s.watch(c, ss, in)
	return nil, nil
}

func (s *Server) watch(c *hub.Conn, ss *session, in switchboard.In) {
	if ss.claims.Audience != AudienceOperator {
		s.fail(c, in, switchboard.Errorc(switchboard.CodeForbidden, "watching is for operators"))
		return
	}
	s.hub.Watch(c, in.Watch)
	if len(in.Watch) > 0 {
		s.board.want(ss.claims.Org, c, in.Watch)
	}
}

// refresh: presence was dropped for a slow reader who has caught up since.
func (s *Server) refresh(c *hub.Conn, topic string) {
	topics := []string{topic}
	if topic == "" { // a snapshot itself was dropped
		topics = []string{topicOperators, topicQueue}
	}
	if id, ok := c.Identity(); ok {
		s.board.want(id.Org, c, topics)
	}
}
