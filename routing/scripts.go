package routing

import (
	"embed"

	"github.com/switchboard/switchboard/presence"
)

//go:embed scripts/*.lua
var files embed.FS

func source(name string) string {
	b, err := files.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // the file is embedded: only a typing error gets here
	}
	return string(b)
}

// matching returns a script behind the preludes: presence's, open.lua, webhook.lua, chats.lua and match.lua.
func matching(names ...string) *presence.Script {
	texts := []string{presence.Prelude(), source("open"), source("webhook"), source("chats"), source("match")}
	for _, name := range names {
		texts = append(texts, source(name))
	}
	return presence.NewScript("chat "+names[len(names)-1], texts...)
}

var (
	scriptPair       = matching("pair")
	scriptStart      = matching("start")
	scriptAccept     = matching("accept")
	scriptDecline    = matching("decline")
	scriptClaim      = matching("claim")
	scriptAgain      = matching("again")
	scriptRelax      = matching("relax")
	scriptFlow       = matching("flow")
	scriptGroup      = matching("group")
	scriptClose      = matching("closing", "close")
	scriptRestore    = matching("closing", "restore")
	scriptLost       = matching("move", "lost")
	scriptDrop       = matching("say", "closing", "drop")
	scriptReply      = matching("say", "move", "firstreply")
	scriptDoze       = matching("say", "doze")
	scriptWake       = matching("wake")
	scriptStill      = matching("still")
	scriptQuiet      = matching("say", "closing", "quiet")
	scriptVisitor    = matching("visitor")
	scriptPrioritize = matching("prioritize")
	scriptWhy        = matching("why")
	scriptWhyNot     = matching("whynot")
	scriptSnapshot   = matching("snapshot")
	scriptQueue      = matching("queue")
	scriptPlaces     = matching("places")
	scriptHours      = matching("hours")
	scriptDoors      = matching("doors")
	scriptAdvise     = matching("advise")

	scriptTransfer = matching("people", "transfer")
	scriptInvite   = matching("people", "invite")
	scriptCome     = matching("people", "come")
	scriptStay     = matching("people", "stay")
	scriptJoin     = matching("people", "join")
	scriptPart     = matching("people", "part")
	scriptNote     = presence.NewScript("chat note", source("note"))

	scriptOffline     = presence.NewScript("chat offline", presence.Prelude(), source("offline"))
	scriptOfflineDone = presence.NewScript("chat offline done", presence.Prelude(), source("offlinedone"))

	scriptNumber = presence.NewScript("chat number", source("number"))
	scriptAppend = presence.NewScript("chat append", source("append")).Sheddable()
	scriptMark   = presence.NewScript("chat mark", source("mark")).Sheddable()
)
