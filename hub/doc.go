// Package hub holds the sockets that are live on this node and hands them
// objects without ever waiting for one of them. It knows WebSocket; it knows
// neither HTTP routes nor Redis.
//
// # A connection's life
//
//	Open ──► reading ──► Identify ──► End ──► closing ──► Closed
//	          │ no hello in time, silence, overflow, Drain │
//	          └──────────────► End ◄───────────────────────┘
//
// Open takes an upgraded socket over and starts its one standing goroutine, the
// reader. The reader hands each frame to Handlers.Frame, in order. Identify
// puts the connection under its person; from then on Deliver and Publish find
// it. It ends exactly once, by End, by a rule of the hub or by the peer, and
// the first reason wins. Ending takes it out of every table at once, so that
// nobody finds it any more, while the queue is still flushed and the close
// frame sent by one of a bounded number of closers. Handlers.Closed comes last.
//
// # Who owns what
//
// Every connection has one reader, which stays until the end and waits for the
// connection's other goroutines; at most one writer, started by the first
// object of an empty queue and gone when the queue is empty again; and at most
// one closer. Run owns the timer wheel and waits for all of them.
//
// Locks, in the order in which they may be taken: a shard's lock or the
// interest lock, then a connection's outbox lock. The wheel's, the door's and
// the pools' locks are leaves. None is held over I/O, a channel send or a
// handler.
//
// # What is dropped, and why
//
// A queue is bounded in bytes and in age (Config). Above a quarter of its bytes
// typing is dropped, above a half presence is: the watcher gets Handlers.Refresh
// when its queue has drained, and needs a new snapshot. Messages and events are
// never dropped: a queue that would be over its limit, or whose oldest object
// is too old, ends its connection with 4008 and the client resumes from the
// log. Everything that a connection did not get is counted under one of the
// reasons in metrics.go.
package hub
