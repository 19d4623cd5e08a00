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

// matching returns a script behind both preludes: presence's and match.lua.
func matching(name string) *presence.Script {
	return presence.NewScript(name, presence.Prelude(), source("match"), source(name))
}

var (
	scriptPair     = matching("pair")
	scriptStart    = matching("start")
	scriptAccept   = matching("accept")
	scriptDecline  = matching("decline")
	scriptAgain    = matching("again")
	scriptClose    = presence.NewScript("close", presence.Prelude(), source("match"), source("closing"), source("close"))
	scriptRestore  = presence.NewScript("restore chat", presence.Prelude(), source("match"), source("closing"), source("restore"))
	scriptLost     = matching("lost")
	scriptVisitor  = matching("visitor")
	scriptSnapshot = matching("snapshot")

	scriptNumber = presence.NewScript("chat number", source("number"))
	scriptAppend = presence.NewScript("append", source("append"))
	scriptMark   = presence.NewScript("mark", source("mark"))
)
