// Package loadtest is a crowd of virtual people and the verdict on what they
// saw. Operators and visitors speak docs/protocol.md over real sockets; nothing
// here knows the inside of a node, so a report says what a person would notice.
//
// # Who does what
//
// A Client is one person's socket: hello, resume, re-send, reconnect. It keeps
// a Log per chat, which applies messages by sequence. The operator and visitor
// behaviours sit on top; they act on a plan that the visitor's first message
// carries, so that both sides know it from the wire alone. The Ledger is the
// referee: it is told of everything sent and seen, believes nobody, and counts
// what is lost, repeated or out of order without using the clients' own
// bookkeeping. Judge turns a Ledger into a Report and names each broken bound.
// All that the Ledger was told can be written to a file (Report.WriteHistory) and
// judged again from there (JudgeAgain).
//
// The load is open loop: a message is sent when its time has come, whether or
// not the earlier one arrived. A slow node therefore shows as latency and not
// as a smaller load.
//
// # What it costs
//
// One goroutine per person reads; one Scheduler with a few workers does all
// timing. The standing 2,200 people take about a sixth of a core and 115 MB.
package loadtest
