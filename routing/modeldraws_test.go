package routing

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/switchboard/switchboard"
)

// What the walk draws, so that most steps change something.

// walkSteps are drawn from, so often that many chats are held and asked for, and as many
// people come as go.
var walkSteps = strings.Split("start,start,start,start,accept,accept,accept,accept,accept,decline,close,claim,claim,connect,connect,connect,"+
	"available,available,available,lose,go,break,call,hang up,sign out,stay,time,time,settings,"+
	"transfer,transfer,transfer,to the queue,consult,consult,join,join,come,come,come,stay away,end part", ",")

// even draws from a list, each as often as any: rapid alone prefers the first.
func even[T any](rt *rapid.T, list []T, label string) T {
	return rapid.Custom(func(t *rapid.T) T {
		n := 0
		for range 8 {
			n *= 2
			if rapid.Bool().Draw(t, "bit") {
				n++
			}
		}
		return list[n*len(list)/256]
	}).Draw(rt, label)
}

// suited are for whom a step does something, or more than for others; mostly one of them
// is drawn.
var suited = map[string]func(*modelOp) bool{
	"accept":    func(o *modelOp) bool { return len(o.offers) > 0 },
	"decline":   func(o *modelOp) bool { return len(o.offers) > 0 },
	"come":      func(o *modelOp) bool { return len(o.invites) > 0 },
	"stay away": func(o *modelOp) bool { return len(o.invites) > 0 },
	"connect":   func(o *modelOp) bool { return o.link != "here" || o.out },
	"available": func(o *modelOp) bool { return o.intent != switchboard.StatusAvailable },
	"hang up":   func(o *modelOp) bool { return o.called },
	"stay":      func(o *modelOp) bool { return o.leaving },
	"lose":      (*modelOp).aside, "go": (*modelOp).aside, "break": (*modelOp).aside, "sign out": (*modelOp).aside,
}

// aside: is an operator in a chat that another holds, or asked to?
func (o *modelOp) aside() bool { return len(o.parts)+len(o.invites) > 0 }

// one draws one of some operators, nil where there is none.
func (w *modelWalk) one(of func(*modelOp) bool) *modelOp {
	list := slices.DeleteFunc(slices.Clone(w.m.ops), func(o *modelOp) bool { return !of(o) })
	if len(list) == 0 {
		return nil
	}
	return even(w.rt, list, "one of them")
}

// held draws a chat that somebody holds, any where there is none, nil without one.
func (w *modelWalk) held() *modelChat {
	var held, all []*modelChat
	for _, id := range keys(w.m.chats) {
		c := w.m.chats[id]
		all = append(all, c)
		if c.holder != nil {
			held = append(held, c)
		}
	}
	switch {
	case len(held) > 0:
		return even(w.rt, held, "held chat")
	case len(all) > 0:
		return even(w.rt, all, "chat")
	}
	return nil
}
