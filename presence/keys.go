package presence

import (
	"strconv"

	"github.com/switchboard/switchboard"
)

// This file lists every key that presence owns. Keys of one organization share
// the hash tag of its partition, so that a script may touch them together in a
// Redis Cluster. No script computes a key: every one is declared.
//
// Why one key holds all operators (and one all waiting chats, one all free
// operators) of an organization, and not one key each: a claim learns only
// inside the script which operator gets which chat. With a key per operator the
// caller would have to guess it, and the script to answer "try again" when the
// guess was wrong; with one key per organization every transition is one step
// and one round trip. Free operators and waiting chats of different teams stand
// in score bands of 2^44 of one sorted set (prelude.lua, BAND): a band is a group,
// one distinct requirement. A team's own (no requirement but the team) is 0 to 255;
// 256 to 511 are for skills with levels, made when a chat first needs them. So a
// decision reads the head of a band, whatever the number of operators or chats.
// Who would take work but is full stands below zero, for estimates.
//
//	key                   type    holds                                    bound or lifetime
//	{reg}:inc             string  last incarnation given out               one
//	{reg}:meta            hash    gen, srv of the registry; lib:<name>     four fields, one a library
//	{reg}:nodes           hash    incarnation -> renewal counter           living nodes
//	{reg}:node:<inc>      hash    address, version, start of a node        deleted at burial
//	{reg}:parts           set     tags of partitions in use                P
//	{reg}:tags            string  the tag table; a start with another is refused   one
//	{T}:meta              hash    gen, ctr, srv, hold, risen, awaited, rest, safe; lib:<name>   eight fields, one a library
//	{T}:live, {T}:deaf    set     incarnations that may write / do not hear     living nodes
//	{T}:iq                hash    incarnation -> last inbox number         living nodes; the dead until reaped
//	{T}:due               zset    every deadline -> Redis ms               work in progress
//	{T}:own:<inc>         set     org/person edges of an incarnation       its sockets; reaped
//	{T}:orgs              set     organizations of the partition           organizations
//	o:org                 hash    counters, floor, hours, turns, groups, scan       1,000 fields
//	o:op                  hash    operator id -> record (JSON)             operators
//	o:link                hash    person -> incarnations, "-" in grace     people here
//	o:free                zset    group:operator -> strategy's score; < 0: at work, not free   operators at work x groups
//	o:queue               zset    waiting chat -> place                    waiting chats
//	o:chat                hash    open chat -> record (JSON)               open chats
//	o:team                hash    team id -> settings, groups (JSON)       256; 256 groups for an hour after use
//	o:vis                 hash    visitor -> open chat                     open chats
//	o:order               hash    logout orders and their counters         orders of 30 days, and few more
//	o:orders              zset    logout orders by id                      the same
//	o:once:<hash>         string  the order of an idempotency key          24 hours
//	o:rate                string  when the bucket of its API requests is full  as long as it takes to fill
//	o:order:<id>:todo     set     people an order has yet to work on       30 days once it is done
//	o:order:<id>:wait     set     nodes that have yet to scan for it       30 days once it is done
//	o:order:<id>:marks    hash    operator id -> how it was found          30 days once it is done
//	o:order:<id>:res      hash    operator id -> outcome (JSON)            30 days once it is done
//	o:audit               stream  who, what, why, when                     about 100,000 entries
//	o:history             stream  changes of intents and outward statuses  about 200,000 entries (20 MB)
//
// Channels: {T}:in:<inc> is a node's inbox, {T}:bc the partition's broadcast.
const prefix = "sb:"

// Deadlines in {T}:due are named kind/org/id.
const (
	alarmGrace  = "grace"  // person: a lost socket's grace is over
	alarmWrap   = "wrap"   // operator: wrap-up is over
	alarmCall   = "call"   // operator/call: a call's lease is over
	alarmTask   = "task"   // operator/id: the lease of a piece of outside work is over
	alarmUntil  = "until"  // operator: a temporary status ends
	alarmIdle   = "idle"   // operator: idle, and was busy or put back to work
	alarmFlap   = "flap"   // operator: automatic changes of the status were stopped
	alarmOrder  = "order"  // order: a logout order is not finished, or is to begin
	alarmCut    = "cut"    // operator: the time that a logout leaves for work is over
	alarmSettle = "settle" // 0: settings changed, operators have yet to be recomputed

	// Those below are answered by routing.

	AlarmOffer  = "offer"  // chat: an offer got no answer
	AlarmAgain  = "again"  // chat: those who declined, or others than the last operator, may be asked
	AlarmRelax  = "relax"  // chat: the next requirement counts
	AlarmFlow   = "flow"   // chat: has waited for as long as its team lets it
	AlarmGroup  = "group"  // team/key: is a group of skills still used
	AlarmQueue  = "queue"  // 0: chats wait; look again
	AlarmLost   = "lost"   // operator: offline with chats left
	AlarmDrop   = "drop"   // chat: its operator is lost and its team closes it
	AlarmReply  = "reply"  // chat: its operator has said nothing yet
	AlarmQuiet  = "quiet"  // chat: nobody has written for long
	AlarmDoze   = "doze"   // chat: its visitor has written nothing for long
	AlarmWake   = "wake"   // chat: its silent visitor has written
	AlarmStill  = "still"  // chat: its visitor was asked whether they are there
	AlarmGone   = "gone"   // visitor: offline with an open chat
	AlarmSilent = "silent" // chat: its visitor has been gone for too long
	AlarmAsk    = "ask"    // chat: its team's webhook was asked and did not answer
	AlarmPart   = "part"   // chat/operator: an invite to a chat got no answer
	AlarmHours  = "hours"  // team: it opens or closes, or its hours must be compiled anew
)

const (
	keyInc   = prefix + "{reg}:inc"
	keyNodes = prefix + "{reg}:nodes"
	keyParts = prefix + "{reg}:parts"
	keyTags  = prefix + "{reg}:tags"
)

func keyNode(inc string) string { return prefix + "{reg}:node:" + inc }

// Partition is one hash tag; its keys live together on one Redis server.
type Partition struct {
	Index int
	Tag   string
}

func (p Partition) key(name string) string { return prefix + "{" + p.Tag + "}:" + name }

// Inbox returns the channel that reaches one incarnation in this partition.
func (p Partition) Inbox(inc string) string { return p.key("in:" + inc) }

// Broadcast returns the channel that reaches every node that serves the partition.
func (p Partition) Broadcast() string { return p.key("bc") }

// Meta returns the key of a partition's generation and counters.
func (p Partition) Meta() string { return p.key("meta") }

// Key returns the name of an organization's key in its partition.
func (p Partition) Key(org switchboard.OrgID, name string) string {
	return p.key("o:" + strconv.FormatInt(int64(org), 10) + ":" + name)
}

// block returns KEYS 1..16 of every script behind the operator prelude; own is
// the incarnation whose crash index the script may change. The history is the
// last of KEYS, behind those that a script adds.
func (p Partition) block(org switchboard.OrgID, own string) []string {
	return []string{
		p.key("meta"), p.key("live"), p.key("deaf"), p.key("iq"), p.key("due"), p.key("own:" + own),
		p.Key(org, "org"), p.Key(org, "op"), p.Key(org, "link"), p.Key(org, "free"), p.Key(org, "queue"),
		p.Key(org, "chat"), p.Key(org, "team"), p.Key(org, "vis"), p.Key(org, "order"), p.Key(org, "audit"),
	}
}

func (p Partition) orderKeys(org switchboard.OrgID, id switchboard.OrderID) []string {
	base := "order:" + strconv.FormatInt(int64(id), 10)
	return []string{p.Key(org, base+":todo"), p.Key(org, base+":wait"), p.Key(org, base+":res"), p.Key(org, base+":marks")}
}

// Block names the keys of the block that scripts outside the prelude declare by
// themselves.
type Block struct{ Meta, Live, Deaf, Inboxes, Due, Link, Chat, Free, Queue, Op, Team, Visitors string }

// Block returns the names of an organization's shared keys.
func (p Partition) Block(org switchboard.OrgID) Block {
	return Block{Meta: p.key("meta"), Live: p.key("live"), Deaf: p.key("deaf"), Inboxes: p.key("iq"), Due: p.key("due"),
		Link: p.Key(org, "link"), Chat: p.Key(org, "chat"), Free: p.Key(org, "free"), Queue: p.Key(org, "queue"),
		Op: p.Key(org, "op"), Team: p.Key(org, "team"), Visitors: p.Key(org, "vis")}
}

// InboxHeads returns the key that holds the last number of every inbox.
func (p Partition) InboxHeads() string { return p.key("iq") }

// Own returns the key of an incarnation's crash index in this partition.
func (p Partition) Own(inc string) string { return p.key("own:" + inc) }
