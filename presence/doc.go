// Package presence knows, for the whole cluster, who is here and who can take
// work. It keeps three facts about a person apart and never mixes them:
//
//   - link: the sockets that nodes hold of the person now. Only edges are
//     written ("this node holds at least one"), so a further tab, a ping and an
//     idle hour cost nothing.
//   - intent: the status an operator chose, with a version; a stale write is
//     refused. "Who may set a status" below has the rules.
//   - work: the offers, chats and calls that an operator holds.
//
// Routable is computed from the three (and from the account and from logout
// orders) in one place, the Lua prelude (scripts/operator.lua, barrier); so is the outward
// status. Every script that changes one of them ends in its settle(), which also
// carries out a logout that waited for the last piece of work: "the last chat
// ended" and "signed out" are one step.
//
// # Who may set a status
//
// Only the server derives a status; a page asks. What holds, and what a later
// write does (A7, P-14; TestStatusSourcePriority):
//
//	holds \ writes                         operator   supervisor  system
//	operator's or supervisor's             replaces   replaces    covers a routable one only
//	supervisor's with a time, until then   refused    replaces    covers a routable one only
//	system's (Away, Unresponsive)          replaces   replaces    nothing
//
// A status with a time is temporary: it lies over what was, and goes back to it
// when the time is over, through any number of levels up to eight (S-2). A status
// without one ends all that. The system's is never a choice: it lies over what a
// person chose, and when its cause ends it gives that back, never more (P-15).
// Unresponsive ends by a person's hand only; Away when a connection is used.
//
// Away comes when every connection on every node is idle for team 0's idle_ms and
// there is no work (P-13). Which intents mean work is fixed: Available, and what
// team 0 maps in routable; the name of a custom status means nothing (P-10).
//
// A choice for after work is pending while there is a chat or call; the newest
// choice counts, of whichever kind (S-1). A sign-out cancels it and moves the
// version on, and an operator's own write carries the time of their token: what
// was written before a logout never applies after it. The system changes an
// operator's status at most six times in any minute; more is refused, with an
// audit entry, a log line and a metric (S-3). Each change goes into the
// organization's history in its own step (P-12, history.go).
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
//   - Redis loses writes in a failover: nodes assert what they hold (rollback.go).
package presence
