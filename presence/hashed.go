package presence

import (
	"crypto/sha1"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// This file makes the texts of scripts that are sent by their hash: where a store has no
// functions for us (library.go).

// signed is a script's text for one server.
type signed struct{ text, sha string }

// signed returns the script as it is sent to the server of an identity.
func (s *Script) signed(sharded bool, identity string) signed {
	key := identity
	if sharded {
		key += "/s"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.by[key]
	if !ok {
		src := nest(s.scopes)
		if sharded {
			src = strings.ReplaceAll(src, "'PUBLISH'", "'SPUBLISH'")
		}
		if len(s.by) >= 64 { // servers of long ago, or of other tests in this process
			clear(s.by)
		}
		if slices.ContainsFunc(s.scopes, func(text string) bool { return words(text)["elsewhere"] }) {
			src = "local me = '" + identity + "'\n" + elsewhere + src
		}
		one.text = "-- for " + key + "\n" + src
		sum := sha1.Sum([]byte(one.text)) // the hash that EVALSHA is defined by
		one.sha = hex.EncodeToString(sum[:])
		s.by[key] = one
	}
	return one
}

// scope is the line between two scopes of a script: what follows is a function
// inside the function of what came before.
const scope = "\n-- scope: what follows sees what stands above\n"

// mostCaptured is how many locals of outer functions a scope may use: Redis refuses
// a function with more than 60.
const mostCaptured = 55

var (
	topLocal = regexp.MustCompile(`(?m)^local (?:function (\w+)|([\w, ]+?)(?: =|$))`)
	wordInIt = regexp.MustCompile(`\w+`)
)

// nest puts each scope inside that of the one before, but where too many names
// would be used across: there the two stay one. Nothing depends on it but speed: Lua
// finds a captured local of the running function by walking the list of all that are
// captured, for each function that is made, and a run makes some 150; a captured
// local of an outer function it just copies. In one scope that took 60 µs of every run.
func nest(scopes []string) string {
	out, declared, depth := scopes[0], maps.Clone(names(scopes[0])), 0
	for i, text := range scopes[1:] {
		captured := 0
		for name := range declared {
			if slices.ContainsFunc(scopes[i+1:], func(inner string) bool { return words(inner)[name] }) {
				captured++
			}
		}
		if captured <= mostCaptured {
			out += "\nreturn (function()"
			depth++
		}
		out += "\n" + text
		maps.Copy(declared, names(text))
	}
	return out + strings.Repeat("\nend)()", depth)
}

// What is known of texts: a prelude is in many scripts, and none changes.
var wordsOf, namesOf sync.Map

func known(of *sync.Map, text string, find func(out map[string]bool)) map[string]bool {
	if got, ok := of.Load(text); ok {
		return got.(map[string]bool)
	}
	out := map[string]bool{}
	find(out)
	of.Store(text, out)
	return out
}

// words are all words of a text.
func words(text string) map[string]bool {
	return known(&wordsOf, text, func(out map[string]bool) {
		for _, word := range wordInIt.FindAllString(text, -1) {
			out[word] = true
		}
	})
}

// names are the locals that a text declares outside its functions.
func names(text string) map[string]bool {
	return known(&namesOf, text, func(out map[string]bool) {
		for _, m := range topLocal.FindAllStringSubmatch(text, -1) {
			for _, name := range wordInIt.FindAllString(m[1]+" "+m[2], -1) {
				out[name] = true
			}
		}
	})
}
