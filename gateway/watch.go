package gateway

import (
	"context"
	"slices"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/hub"
)

// onWatch sets the whole set of topics a socket watches.
func (s *Server) onWatch(_ context.Context, c *hub.Conn, ss *session, in switchboard.In) (any, error) {
	for _, t := range in.Watch {
		if t != topicOperators && t != topicQueue && t != topicLogouts {
			return nil, switchboard.Invalid("watch", "operators, queue or logouts")
		}
	}
	if slices.Contains(in.Watch, topicLogouts) && !ss.claims.Role.Supervises() {
		return nil, switchboard.Errorc(switchboard.CodeForbidden, "watching logouts is for supervisors")
	}
	s.watch(c, ss, in)
	return nil, nil
}

func (s *Server) watch(c *hub.Conn, ss *session, in switchboard.In) {
	if ss.claims.Audience != AudienceOperator {
		s.fail(c, in, switchboard.Errorc(switchboard.CodeForbidden, "watching is for operators"))
		return
	}
	if !ss.claims.Role.Supervises() { // hello asks without an answer
		in.Watch = slices.DeleteFunc(slices.Clone(in.Watch), func(t string) bool { return t == topicLogouts })
	}
	s.hub.Watch(c, in.Watch)
	s.wanted(ss.claims.Org, c, in.Watch)
}

// wanted gives a socket the snapshots of topics with the next rounds.
func (s *Server) wanted(org switchboard.OrgID, c *hub.Conn, topics []string) {
	if slices.Contains(topics, topicLogouts) {
		s.orderBoard.want(org, c)
	}
	if slices.ContainsFunc(topics, func(t string) bool { return t != topicLogouts }) {
		s.board.want(org, c, topics)
	}
}

// refresh: presence was dropped for a slow reader who has caught up since.
func (s *Server) refresh(c *hub.Conn, topic string) {
	topics := []string{topic}
	if topic == "" { // a snapshot itself was dropped
		topics = []string{topicOperators, topicQueue}
	}
	if id, ok := c.Identity(); ok {
		if topic == "" && id.Role.Supervises() {
			topics = append(topics, topicLogouts)
		}
		s.wanted(id.Org, c, topics)
	}
}
