// Package routing decides who talks to whom, stores what they say, and brings
// nudges of other nodes.
//
// A chat is waiting, offered, active, parked (its visitor is gone) or closed. It leaves "waiting" only in
// match(), the Lua prelude scripts/match.lua, which takes an operator for whom
// fit() holds in that same step; it comes back to its old place when an offer
// ends or its operator is lost. A claim, its limit and its deadline are one step,
// so no number of nodes can pass a limit.
//
// # Groups, ranks, candidates
//
// A group is one distinct requirement: a team, or a team and skills with levels.
// Who takes work stands in the free set of each group they meet, a chat in the
// queue of the group that it requires now, both in a band of scores of one sorted
// set. So a decision takes the head of a queue and the head of a free set,
// whatever their length; who does not meet a requirement is never looked at. A new
// group is filled in batches (pair.lua), and goes an hour after its last use. With
// 256 groups in use a chat waits with its team, and up to 250 candidates are looked
// through. What a chat requires relaxes in steps (needs.go): it moves to the next
// step's group and keeps its rank.
//
// The rank is given once (Start says how) and compared over all groups: of two
// chats that one operator could take, the one of lower rank is given, and it is
// overtaken by a stated number of later ones only.
//
// Match is called by whatever may have made a pair possible: start, close and
// decline do it inside their own step; presence asks for it (Config.Wake) when an
// operator became routable; and while any chat waits, an alarm asks once a
// second, in case the node that should have done it died.
//
// A message is stored by one script that checks the party, recognizes a repeat
// by its client message id, numbers it, and nudges exactly the nodes that hold
// the parties. Its log id is <seq>-<gen>; seq has no holes.
//
// The Bus may lose or repeat nudges. It numbers them per node and partition and
// calls Gap when one is missing, when a subscription was made anew, or when the
// store is ahead of what was heard; whoever serves the partition then reads
// again.
//
// # Several people in a chat
//
// A chat has one holder; others take part in it (Part), and are asked to (Invite).
// They stand in the chat's record and in their own work, and both end with the time in
// which somebody holds the chat. A hand-over (Transfer, or Join to hold) is one step
// from holder to holder; a transfer to a person is an invite until it is accepted.
// Notes have a key of their own, which nothing that answers a visitor reads.
package routing
