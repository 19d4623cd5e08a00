package routing

import (
	"strconv"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// This file lists every key that routing owns. Queues and open chats stand in
// presence's block (presence/keys.go), because logout and loss withdraw offers
// in their own step.
//
//	key                 type    holds                                         bound or lifetime
//	o:log:<chat>        stream  messages; the entry id is <seq>-<gen>         10,000; retention after close
//	o:cmid:<chat>       hash    person/client message id -> answer; '#' -> seq    as the log
//	o:typing:<chat>     zset    person (with '!' when private) -> expiry      12 s after the last mark
//	o:viewing:<chat>    zset    operator -> expiry                            60 s after the last mark
//	o:closed:<chat>     string  record of a finished chat (JSON)              retention
//	o:notes:<chat>      hash    seq -> note; person/client message id -> answer; '#' -> seq    1,000; retention after the last
//	o:offline           hash    offline messages by id, who left and dealt with them   10,000; retention
//	o:decided           stream  decisions, with what they were made of        about 10,000 entries
//	o:last:<n>          hash    visitor -> last operator, in turns of 30 days    0 and 1; each goes 60 days after its beginning
type chatKeys struct{ log, cmid, typing, viewing, closed, notes string }

func keysOf(p presence.Partition, org switchboard.OrgID, chat switchboard.ChatID) chatKeys {
	id := strconv.FormatInt(int64(chat), 10)
	return chatKeys{
		log: p.Key(org, "log:"+id), cmid: p.Key(org, "cmid:"+id), typing: p.Key(org, "typing:"+id),
		viewing: p.Key(org, "viewing:"+id), closed: p.Key(org, "closed:"+id), notes: p.Key(org, "notes:"+id),
	}
}

// ledgerKeys are KEYS 17..19 of every script behind match.lua.
func ledgerKeys(p presence.Partition, org switchboard.OrgID) []string {
	return []string{p.Key(org, "decided"), p.Key(org, "last:0"), p.Key(org, "last:1")}
}
