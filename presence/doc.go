// Package presence knows, for the whole cluster, who is here and who can take
// work. It keeps three facts about a person apart and never mixes them:
//
//   - link: the sockets that nodes hold of the person now. Only edges are
//     written ("this node holds at least one"), so a further tab, a ping and an
//     idle hour cost nothing.
//   - intent: the status an operator chose, with a version; a stale write is
//     refused.
//   - work: the offers, chats and calls that an operator holds.
//
// Routable is computed from the three (and from the account and from logout
// orders) in one place, the Lua prelude scripts/operator.lua; so is the outward
// status. Every script that changes one of them ends in its settle(), which also
// carries out a logout that waited for the last piece of work: "the last chat
// ended" and "signed out" are one step.
//
// # Who is believed
//
// Redis is. A script is one step, takes its time from Redis, and refuses an
// incarnation (a node's number) that is not on the partition's live list. A node
// is alive as long as its counter moves; peers watch it with their own clocks,
// and no two clocks are ever compared. A node that was buried finds out at its
// next call, takes a new number and asserts its people, who are in grace
// meanwhile.
//
// Deadlines stand in Redis. Run sweeps those of the partitions that fall to this
// node; whoever answers an alarm removes it in the same step, so an alarm that
// nobody finished rings again.
//
// # What fails how
//
//   - A node dies: buried after 6 s, reaped, its people in grace for 30 s.
//   - Redis does not answer: CodeUnavailable with a time to retry; nothing is
//     known of what was written, and every call may be repeated as it was.
//   - Redis loses writes in a failover: not repaired yet (ARCHITECTURE.md,
//     "Guaranteed, and not").
package presence
