package presence

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// This file makes one library of Redis functions of all scripts (Redis 7 or later).
//
// A script that is sent by its hash is a program of its own: each run makes the
// prelude's some 150 functions anew, and Redis keeps a copy of the prelude for each
// script, some 9 MB in all, which the collector of its Lua walks through again and
// again. In a library the functions are made once, when it is loaded: a call that does
// nothing but the prelude takes a fifth of the time (go test ./presence -bench Script),
// and what is left is what a transition is about.
//
// Both forms come of the same texts. Where a server has no functions (the demo's store,
// Redis 6, a user without the right to load them) the scripts are sent by their hash.
//
// A prelude marks what is new in every run: from a line "-- each run:" to a line
// "-- once:". All else of it is made once and must not be changed by a run.

const (
	eachRun = "-- each run:\n"
	once    = "-- once:\n"
)

// room is a prelude with the scripts and preludes that stand behind it.
type room struct {
	text    string
	rooms   []*room
	scripts []*Script
}

// library is the text that FUNCTION LOAD takes, and its name.
type library struct{ name, text string }

// libraries are made of the scripts that there are when the first is needed: of
// packages, which make theirs before main runs.
var libraries = struct {
	sync.Once
	plain, sharded library
}{}

// libraryOf returns the library for one kind of server.
func libraryOf(sharded bool) library {
	libraries.Do(func() {
		top, taken := &room{}, map[string]bool{}
		for _, s := range allScripts {
			if taken[s.function("")] {
				panic("presence: two scripts have the name " + s.name)
			}
			taken[s.function("")] = true
			top.place(s, s.scopes)
			s.inLibrary = true
		}
		libraries.plain = top.library(false)
		libraries.sharded = top.library(true)
	})
	if sharded {
		return libraries.sharded
	}
	return libraries.plain
}

// place puts a script into the room of its preludes.
func (m *room) place(s *Script, scopes []string) {
	if len(scopes) == 1 {
		m.scripts = append(m.scripts, s)
		return
	}
	i := slices.IndexFunc(m.rooms, func(in *room) bool { return in.text == scopes[0] })
	if i < 0 {
		i = len(m.rooms)
		m.rooms = append(m.rooms, &room{text: scopes[0]})
	}
	m.rooms[i].place(s, scopes[1:])
}

// library writes the text. Its name, and that of each function, has a hash of it: nodes
// of two versions can be on one server, each with its own.
func (m *room) library(sharded bool) library {
	var b strings.Builder
	b.WriteString("local KEYS, ARGV, me\n" + elsewhere +
		"local function known(args)\n" +
		"  if args[#args] ~= me then return false end\n" +
		"  args[#args] = nil\n" +
		"  return true\n" +
		"end\n" +
		"redis.register_function('" + hashMark + "_is', function(_, args) me = args[1] return 'OK' end)\n")
	m.write(&b, 0, nil)
	text := b.String()
	if sharded {
		text = strings.ReplaceAll(text, "'PUBLISH'", "'SPUBLISH'")
	}
	sum := sha1.Sum([]byte(text))
	name := libraryPrefix + hex.EncodeToString(sum[:6])
	return library{name, "#!lua name=" + name + "\n" + strings.ReplaceAll(text, hashMark, name)}
}

// elsewhere is in front of all scripts, behind a local me: the identity of the server that
// they run on. Each that reads a partition's meta answers with it where srv is another one
// (identity.go).
const elsewhere = "local function elsewhere()\n" +
	"  return redis.error_reply('STRANGER this partition was last written on another server')\n" +
	"end\n"

const (
	libraryPrefix = "switchboard_"
	hashMark      = "\x00" // stands for the name while the hash is not known
)

var (
	topFunction = regexp.MustCompile(`(?m)^local function (\w+)`)
	topAssigned = regexp.MustCompile(`(?m)^local ([\w, ]+? =)`)
	topDeclared = regexp.MustCompile(`(?m)^local [\w, ]+$`)
)

// write writes a room: its names that are used further in stand outside of a block
// that holds all others, since Lua has 200 local names at a place at most. begins are
// the functions that make anew what each run has of the rooms around.
func (m *room) write(b *strings.Builder, depth int, begins []string) {
	if m.text != "" {
		used := map[string]bool{}
		for _, word := range wordInIt.FindAllString(m.inner(), -1) {
			used[word] = true
		}
		var out, own []string
		for name := range names(m.text) {
			if used[name] {
				out = append(out, name)
			} else {
				own = append(own, name)
			}
		}
		begin := "begin" + strconv.Itoa(depth)
		runs, kept := apart(m.text)
		declare(b, append(out, begin))
		b.WriteString("do\n")
		declare(b, own)
		b.WriteString(assigned(kept))
		if runs != "" {
			b.WriteString(begin + " = function()\n" + assigned(runs) + "end\n")
			begins = append(slices.Clone(begins), begin)
		}
		b.WriteString("end\n")
	}
	for _, s := range m.scripts {
		fmt.Fprintf(b, "redis.register_function('%s', function(keys_, args_)\n", s.function(hashMark))
		b.WriteString("if not known(args_) then return redis.error_reply('STRANGER nobody has told this library which server it is on') end\n")
		b.WriteString("KEYS, ARGV = keys_, args_\n")
		for _, begin := range begins {
			fmt.Fprintf(b, "do local refused = %s() if refused then return refused end end\n", begin)
		}
		b.WriteString(s.scopes[len(s.scopes)-1] + "\nend)\n")
	}
	for _, in := range m.rooms {
		b.WriteString("do\n")
		in.write(b, depth+1, begins)
		b.WriteString("end\n")
	}
}

// inner is all text that stands behind a room's own.
func (m *room) inner() string {
	var b strings.Builder
	for _, s := range m.scripts {
		b.WriteString(s.scopes[len(s.scopes)-1])
	}
	for _, in := range m.rooms {
		b.WriteString(in.text)
		b.WriteString(in.inner())
	}
	return b.String()
}

func declare(b *strings.Builder, names []string) {
	if len(names) > 0 {
		slices.Sort(names) // the text must come out the same on every node
		b.WriteString("local " + strings.Join(names, ", ") + "\n")
	}
}

// apart parts a prelude's text into what is new in every run and what is kept.
func apart(text string) (runs, kept string) {
	for i, part := range strings.Split(text, eachRun) {
		if i == 0 {
			kept += part
			continue
		}
		run, rest, ended := strings.Cut(part, once)
		if !ended {
			panic("presence: a prelude has \"each run\" without \"once\"")
		}
		runs, kept = runs+run, kept+rest
	}
	return runs, kept
}

// assigned turns declarations at the top of a text into assignments.
func assigned(text string) string {
	text = topFunction.ReplaceAllString(text, "function $1")
	text = topAssigned.ReplaceAllString(text, "$1")
	return topDeclared.ReplaceAllString(text, "") + "\n"
}

// function is the name of a script's function in a library.
func (s *Script) function(library string) string {
	return library + "_" + strings.ReplaceAll(s.name, " ", "_")
}

// loadLibrary puts the library on the server of an identity and tells it who it is.
// What it was told is kept in its memory only: a replica has the library, but must be
// told itself when it is promoted, and so must a server that was restarted. false, and
// no error: the server has no functions for us.
func (r *Registry) loadLibrary(ctx context.Context, conn *redis.Conn, tag, identity string) (bool, error) {
	lib := libraryOf(r.cluster)
	err := conn.FunctionLoad(ctx, lib.text).Err()
	switch {
	case err == nil || strings.HasPrefix(err.Error(), "ERR Library") && strings.Contains(err.Error(), "already exists"):
	case strings.Contains(err.Error(), "unknown command") || redis.HasErrorPrefix(err, "NOPERM"):
		r.log.Info("the store has no functions for us; every call costs it more", "err", err)
		return false, nil
	default:
		return false, err
	}
	if err := conn.FCall(ctx, lib.name+"_is", nil, identity).Err(); err != nil && !unknown(err) {
		return false, err // unknown: somebody took it away just now; the call that follows finds that out
	}
	return true, dropLibraries(ctx, conn, prefix+"{"+tag+"}:meta", lib.name)
}

// libraryKept is for how long a library of another version is kept after one of its
// nodes last said that it uses it (adopt.lua, and each libraryUsed). A node that still
// needs one that was dropped loads it again.
const (
	libraryKept = 24 * time.Hour
	libraryUsed = time.Hour
)

// usesLibrary says in each partition that this node serves that its library is used.
func (r *Registry) usesLibrary(ctx context.Context) error {
	now, err := r.rdb.Time(ctx).Result()
	if err != nil {
		return r.storeError("time", err)
	}
	for _, p := range r.parts {
		if _, functions, _ := r.ids.server(p.Tag); !functions || !r.Entered(p) {
			continue
		}
		if err := r.rdb.HSet(ctx, p.key("meta"), "lib:"+libraryOf(r.cluster).name, now.UnixMilli()).Err(); err != nil {
			return r.storeError("library in use", err)
		}
	}
	return nil
}

func dropLibraries(ctx context.Context, conn *redis.Conn, meta, own string) error {
	now, err := conn.Time(ctx).Result()
	if err != nil {
		return err
	}
	all, err := conn.FunctionList(ctx, redis.FunctionListQuery{LibraryNamePattern: libraryPrefix + "*"}).Result()
	if err != nil {
		return err
	}
	for _, lib := range all {
		if lib.Name == own {
			continue
		}
		at, err := conn.HGet(ctx, meta, "lib:"+lib.Name).Int64()
		if err == redis.Nil { // used for other partitions of this server, perhaps: its day begins here
			if err := conn.HSetNX(ctx, meta, "lib:"+lib.Name, now.UnixMilli()).Err(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if now.Sub(time.UnixMilli(at)) < libraryKept {
			continue
		}
		if err := conn.FunctionDelete(ctx, lib.Name).Err(); err != nil && !strings.Contains(err.Error(), "not found") {
			return err
		}
		if err := conn.HDel(ctx, meta, "lib:"+lib.Name).Err(); err != nil {
			return err
		}
	}
	return nil
}
