// Package redisd runs a private redis-server as a child process: the store
// that Switchboard uses when no address is given, and the real Redis that the
// tests of presence, routing and gateway talk to.
//
// # What it promises
//
// The child listens on a unix socket in a folder that only its owner may enter,
// and on no port, so there is no password to keep. It answers before Start
// returns (about 0.1 s with little data). It is started again, with a growing
// pause, when it dies by itself. It does not outlive this process for long: on
// Linux the kernel kills it with its parent, elsewhere the next Start on the
// same folder shuts it down before it opens the data.
//
// With Options.Append every write is in an append-only file that reaches the
// disk each second. A child that is killed loses nothing that was
// acknowledged, because Redis hands the bytes to the kernel before it answers;
// a machine that loses power may lose the last second.
//
// # The folder
//
//	lock           held while a Server owns the folder; a second Start is refused
//	redis.socket   where the socket is, for Find; removed by Stop
//	redis.sock     the socket itself, when the path is short enough for one
//	redis/         what Redis writes
//
// The socket moves to a temporary folder when the path would be longer than a
// unix socket may have. The package needs flock and unix sockets: Linux, macOS
// and the BSDs have them.
package redisd
