// Package gateway is the edge and the process: HTTP, sockets, sign-in, and the
// wiring of hub, presence and routing into one node.
//
// The five flows, as files:
//
//	an operator connects    routes → socket (hello, identify) → hub → presence Enter → logout (meetOrders) → ready
//	a visitor starts a chat dispatch → chats (onStart) → routing Start ⇒ inbound (nudged) → hub
//	a message crosses nodes dispatch → chats (onMessage) → routing Append → ack ⇒ inbound → hub
//	a supervisor's logout   routes → orders or ccai → logout (signOut) → presence ⇒ inbound (control, heard, scan) → hub End
//	a node dies             presence (lease, alarms) → routing Ring; the client comes back through socket (hello, resume)
//
// → is this node, ⇒ the bus. Compatible surfaces (chathub, ccai) translate words
// and have no rules of their own. HTTP is known in this package only.
//
// A socket's objects are handled one after the other on its reading goroutine;
// what the bus brings is handled on the bus's receive loop and never waits. Work
// that would wait goes to tasks, whose workers Run owns.
package gateway
