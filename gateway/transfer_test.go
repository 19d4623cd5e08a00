package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// named waits for a chat frame behind the first n objects that f accepts.
func (p *peer) told(n int, chat int64, what string, f func(m map[string]any) bool) map[string]any {
	p.t.Helper()
	return p.after(n, what, func(m map[string]any) bool { return m["t"] == "chat" && m["chat"] == float64(chat) && f(m) })
}

func operatorIs(name string) func(map[string]any) bool {
	return func(m map[string]any) bool {
		op, _ := m["operator"].(map[string]any)
		return m["state"] == "active" && op["name"] == name
	}
}

// has reports whether a list of people in a chat frame has this person in this role.
func has(m map[string]any, field, name, role string) bool {
	list, _ := m[field].([]any)
	for _, one := range list {
		if p, _ := one.(map[string]any); p["name"] == name && (role == "" || p["role"] == role) {
			return true
		}
	}
	return false
}

// over sockets on two nodes. The colleague is asked in every tab, the sender
// keeps the chat and sees who is asked; accepted, it moves in one step: the visitor is
// told, whoever typed does so no more (T-1), and a reconnect has the whole history.
func TestTransferIsToldToEverybody(t *testing.T) {
	cl := newDesk(t, 2)
	mina, bo := cl.operator("Mina", "", 2), cl.operator("Bo", "", 2)
	visToken := cl.visitor(cl.nodes[1], "Vi")
	a, v, chat := cl.talk(cl.token(mina), visToken)
	b := cl.available(cl.nodes[1], cl.token(bo))
	a.say(chat, "before")
	v.heard("before")
	a.send(`{"t":"typing","chat":%d,"on":true}`, chat)
	v.until("typing", func(m map[string]any) bool { return m["t"] == "typing" && m["on"] == true })
	n, nv := a.count(), v.count()
	if m := a.request(`{"t":"chat.transfer","chat":%d,"operator":%d,"text":"likes tea"}`, chat, bo); m["t"] != "ok" || m["outcome"] != "asked" {
		t.Fatalf("transfer: %v", m)
	}
	token := b.offered(0, chat)
	offer := b.until("the offer", is("offer"))
	if from, _ := offer["from"].(map[string]any); from["name"] != "Mina" || offer["text"] != "likes tea" || offer["role"] != "hold" || offer["ttl_ms"] != 15000.0 {
		t.Errorf("the offer says %v", offer)
	}
	a.told(n, chat, "who is asked", func(m map[string]any) bool { return has(m, "invites", "Bo", "hold") && operatorIs("Mina")(m) })
	late := cl.hello(cl.nodes[0], cl.token(bo))
	offers, _ := late.kind("ready")["offers"].([]any)
	if len(offers) != 1 || offers[0].(map[string]any)["token"] != token || offers[0].(map[string]any)["text"] != "likes tea" {
		t.Errorf("ready has offers %v", offers)
	}
	a.say(chat, "still mine")
	v.heard("still mine")
	if m := late.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, token); m["state"] != "active" || !operatorIs("Bo")(m) {
		t.Errorf("accept: %v", m)
	}
	if m := a.after(n, "the chat's going", is("chat.gone")); m["reason"] != "transfer" {
		t.Errorf("the sender is told %v", m)
	}
	m := v.told(nv, chat, "the new operator", operatorIs("Bo"))
	if m["invites"] != nil || m["visitor"] != nil || m["role"] != nil {
		t.Errorf("the visitor is told %v", m)
	}
	v.after(nv, "the end of typing", func(m map[string]any) bool {
		return m["t"] == "typing" && m["from"] == fmt.Sprint("o", mina) && m["on"] != true
	})
	b.say(chat, "after")
	again := cl.hello(cl.nodes[0], visToken, fmt.Sprintf(`,"chats":[{"chat":%d}]`, chat))
	again.until("the history", func(m map[string]any) bool {
		list, _ := m["messages"].([]any)
		return m["t"] == "resumed" && m["ok"] == true && len(list) == 4
	})
	// Who lost the nudge resumes what they think theirs, and hears that it is not; who holds
	// it does not. (Red without parted.)
	n, nb := a.count(), b.count()
	for _, p := range []*peer{a, b} {
		p.send(`{"t":"resume","chats":[{"chat":%d}]}`, chat)
		p.request(`{"t":"status","status":"Available"}`) // what the resume says has come then
	}
	if m := a.after(n, "the chat's going, again", is("chat.gone")); m["reason"] != "moved" || m["state"] != "active" || m["chat"] != float64(chat) {
		t.Errorf("the sender who resumes is told %v", m)
	}
	b.after(nb, "the resumed chat", is("resumed"))
	if b.times(is("chat.gone")) != 0 {
		t.Error("who holds the chat is told that it is gone")
	}
	refusal(t, "the sender's message", a.request(`{"t":"message","chat":%d,"cmid":"x","text":"x"}`, chat), switchboard.CodeNotFound, "chat")
	refusal(t, "another's transfer", a.request(`{"t":"chat.transfer","chat":%d,"operator":%d}`, chat, mina), switchboard.CodeNotFound, "chat")

	// Declined: the sender is told by whom, and keeps it.
	n = b.count()
	if m := b.request(`{"t":"chat.transfer","chat":%d,"operator":%d}`, chat, mina); m["outcome"] != "asked" {
		t.Fatalf("transfer back: %v", m)
	}
	a.request(`{"t":"offer.decline","chat":%d,"token":%q}`, chat, a.offered(n, chat))
	gone := b.after(n, "the end of the invite", is("invite.gone"))
	if who, _ := gone["operator"].(map[string]any); who["name"] != "Mina" || gone["reason"] != "declined" {
		t.Errorf("the sender is told %v", gone)
	}
	// To a team nobody answers for, and into its queue all the same; the place is kept.
	empty := cl.team("Empty")
	refusal(t, "an empty team", b.request(`{"t":"chat.transfer","chat":%d,"to_team":%d}`, chat, empty), switchboard.CodeOffline, "to_team")
	nv = v.count()
	if m := b.request(`{"t":"chat.transfer","chat":%d,"to_team":%d,"queue":true}`, chat, empty); m["outcome"] != "queued" || m["place"] != 1.0 {
		t.Errorf("into the queue: %v", m)
	}
	if m := v.chat(nv, chat, "waiting"); m["place"] != 1.0 || m["team"] != float64(empty) {
		t.Errorf("the visitor is told %v", m)
	}
	cl.check()
}

// L-9 and the warm transfer over sockets: notes reach the chat's operators live, by
// HTTP and nobody else; a logout of who is consulted waits for it.
func TestConsultNotesAndTheirReaders(t *testing.T) {
	cl := newDesk(t, 2)
	mina, bo, out := cl.operator("Mina", "", 1), cl.operator("Bo", "", 1), cl.operator("Out", "", 1)
	sue := cl.operator("Sue", switchboard.RoleSupervisor, 1)
	visToken, sueToken, boToken := cl.visitor(cl.nodes[1], "Vi"), cl.token(sue), cl.token(bo)
	a, v, chat := cl.talk(cl.token(mina), visToken)
	b, s := cl.hello(cl.nodes[1], boToken), cl.hello(cl.nodes[0], sueToken)
	if m := a.request(`{"t":"chat.invite","chat":%d,"operator":%d,"role":"consult"}`, chat, bo); m["t"] != "ok" {
		t.Fatalf("invite: %v", m)
	}
	nv := v.count()
	if m := b.request(`{"t":"offer.accept","chat":%d,"token":%q}`, chat, b.offered(0, chat)); m["role"] != "consult" {
		t.Errorf("accept: %v", m)
	}
	a.told(0, chat, "who consults", func(m map[string]any) bool { return has(m, "with", "Bo", "consult") })
	if m := b.request(`{"t":"note","chat":%d,"cmid":"n1","text":"give a refund"}`, chat); m["t"] != "ok" || m["seq"] != 1.0 {
		t.Errorf("note: %v", m)
	}
	for _, p := range []*peer{a, b} {
		if m := p.until("the note", is("note")); m["text"] != "give a refund" || m["from"] != fmt.Sprint("o", bo) {
			t.Errorf("note %v", m)
		}
	}
	refusal(t, "the consulted one's message", b.request(`{"t":"message","chat":%d,"cmid":"m","text":"hi"}`, chat), switchboard.CodeForbidden, "")
	refusal(t, "the visitor's note", v.request(`{"t":"note","chat":%d,"cmid":"m","text":"hi"}`, chat), switchboard.CodeForbidden, "")
	refusal(t, "a stranger's note", s.request(`{"t":"note","chat":%d,"cmid":"m","text":"hi"}`, chat), switchboard.CodeNotFound, "chat")

	// Asked for more, they take part still: after a reconnect and a repair they have the
	// chat, once, and the offer. (Red with either left out, and with two works two chats.)
	if m := a.request(`{"t":"chat.invite","chat":%d,"operator":%d,"role":"join"}`, chat, bo); m["t"] != "ok" {
		t.Fatalf("invite: %v", m)
	}
	late := cl.hello(cl.nodes[0], boToken)
	ready := late.kind("ready")
	chats, _ := ready["chats"].([]any)
	if offers, _ := ready["offers"].([]any); len(offers) != 1 || len(chats) != 1 || chats[0].(map[string]any)["role"] != "consult" {
		t.Errorf("ready has offers %v, chats %v", ready["offers"], chats)
	}
	late.until("the history", is("resumed"))
	nl := late.count()
	if err := cl.nodes[0].repairOne(t.Context(), edge{cl.org.ID, switchboard.OperatorPerson(bo)}); err != nil {
		t.Fatal(err)
	}
	late.after(nl, "the end of the repair", is("gap"))
	late.told(nl, chat, "their part", func(m map[string]any) bool { return m["role"] == "consult" })
	token := late.offered(nl, chat)
	if m := late.request(`{"t":"offer.decline","chat":%d,"token":%q}`, chat, token); m["t"] != "ok" {
		t.Errorf("decline: %v", m)
	}

	// Unseen: the supervisor hears what is said and types nothing to anybody.
	na := a.count()
	if m := s.request(`{"t":"chat.join","chat":%d,"role":"monitor"}`, chat); m["role"] != "monitor" {
		t.Errorf("monitor: %v", m)
	}
	refusal(t, "an operator's monitoring", b.request(`{"t":"chat.join","chat":%d,"role":"monitor"}`, chat), switchboard.CodeForbidden, "")
	s.send(`{"t":"viewing","chat":%d,"on":true}`, chat)
	s.send(`{"t":"typing","chat":%d,"on":true}`, chat)
	a.say(chat, "hello Vi")
	s.heard("hello Vi")
	for _, m := range a.all()[na:] {
		if raw, _ := json.Marshal(m); strings.Contains(string(raw), "Sue") || m["from"] == fmt.Sprint("o", sue) {
			t.Errorf("the operator learns of who monitors: %s", raw)
		}
	}
	s.request(`{"t":"note","chat":%d,"cmid":"w1","text":"be nice"}`, chat)
	a.until("the whisper", func(m map[string]any) bool { return m["t"] == "note" && m["text"] == "be nice" })

	// By HTTP: those who were in it, and supervisors.
	path := fmt.Sprintf("/v1/chats/%d/notes", chat)
	for _, token := range []string{sueToken, boToken} {
		status, body := cl.api("GET", path, token, "")
		if notes := decode[[]switchboard.Note](t, status, body); len(notes) != 2 || notes[1].Text != "be nice" {
			t.Errorf("notes %s", body)
		}
	}
	if notes := func() []switchboard.Note {
		status, body := cl.api("GET", path+"?before=2&n=1", sueToken, "")
		return decode[[]switchboard.Note](t, status, body)
	}(); len(notes) != 1 || notes[0].Seq != 1 {
		t.Errorf("a page of notes: %v", notes)
	}
	for token, want := range map[string]int{visToken: http.StatusForbidden, cl.token(out): http.StatusNotFound} {
		if status, body := cl.api("GET", path, token, ""); status != want || strings.Contains(body, "refund") {
			t.Errorf("got %d %s, want %d", status, body, want)
		}
	}
	status, body := cl.api("GET", fmt.Sprintf("/v1/operators/%d/chats", mina), sueToken, "")
	if list := decode[[]switchboard.Chat](t, status, body); len(list) != 1 || list[0].Chat != switchboard.ChatID(chat) || strings.Contains(body, "Sue") {
		t.Errorf("the operator's chats: %s", body)
	}
	if status, _ := cl.api("GET", fmt.Sprintf("/v1/operators/%d/chats", mina), boToken, ""); status != http.StatusForbidden {
		t.Errorf("an operator who asks for another's chats gets %d", status)
	}

	_, body = cl.api("GET", "/v1/audit?format=csv", sueToken, "")
	if want := fmt.Sprintf(",%d", chat); !slices.ContainsFunc(strings.Split(body, "\n"), func(row string) bool {
		return strings.Contains(row, ",monitoring,") && strings.HasSuffix(row, want)
	}) {
		t.Errorf("the audit does not say which chat is monitored: %s", body)
	}

	// Barge in, and take over, are seen.
	s.request(`{"t":"chat.join","chat":%d,"role":"join"}`, chat)
	v.told(nv, chat, "who joined", func(m map[string]any) bool { return has(m, "with", "Sue", "") && operatorIs("Mina")(m) })
	s.say(chat, "I am Sue")
	v.heard("I am Sue")
	if m := s.request(`{"t":"chat.join","chat":%d,"role":"hold"}`, chat); !operatorIs("Sue")(m) || m["role"] != nil {
		t.Errorf("take over: %v", m)
	}
	a.after(na, "the chat's going", is("chat.gone"))
	v.told(nv, chat, "the new operator", operatorIs("Sue"))

	// A logout of who is consulted waits, and comes with the end of the consult.
	if _, err := cl.admin.SignOut(t.Context(), cl.org.ID, bo, presence.SignOutDrain); err != nil {
		t.Fatal(err)
	}
	refusal(t, "an invite to who leaves", s.request(`{"t":"chat.transfer","chat":%d,"operator":%d}`, chat, bo), switchboard.CodeLeaving, "operator")
	s.send(`{"t":"chat.part","chat":%d,"operator":%d}`, chat, bo)
	b.signedOut()
	for _, m := range v.all() {
		if raw, _ := json.Marshal(m); m["t"] == "note" || strings.Contains(string(raw), "refund") || strings.Contains(string(raw), "be nice") || strings.Contains(string(raw), "consult") {
			t.Errorf("the visitor got %s", raw)
		}
	}
	cl.check()
}

// Bad frames of chats with several people name the field at fault.
func TestTransferFramesThatAreWrong(t *testing.T) {
	cl := newDesk(t, 1)
	a, v, chat := cl.talk(cl.token(cl.operator("Mina", "", 2)), cl.visitor(cl.nodes[0], "Vi"))
	for _, tc := range []struct {
		frame string
		code  switchboard.Code
		field string
	}{
		{`{"t":"chat.transfer","operator":1}`, switchboard.CodeInvalid, "chat"},
		{`{"t":"chat.transfer","chat":%d,"operator":-1}`, switchboard.CodeInvalid, "operator"},
		{`{"t":"chat.transfer","chat":%d,"operator":1,"queue":true}`, switchboard.CodeInvalid, "queue"},
		{`{"t":"chat.transfer","chat":%d,"to_team":-1}`, switchboard.CodeInvalid, "to_team"},
		{`{"t":"chat.transfer","chat":%d,"to_team":999}`, switchboard.CodeInvalid, "to_team"},
		{`{"t":"chat.transfer","chat":%d,"operator":999999}`, switchboard.CodeInvalid, "operator"},
		{`{"t":"chat.transfer","chat":999,"to_team":0}`, switchboard.CodeNotFound, "chat"},
		{`{"t":"chat.invite","chat":%d,"role":"consult"}`, switchboard.CodeInvalid, "operator"},
		{`{"t":"chat.invite","chat":%d,"operator":1,"role":"monitor"}`, switchboard.CodeInvalid, "role"},
		{`{"t":"chat.join","chat":%d,"role":"consult"}`, switchboard.CodeInvalid, "role"},
		{`{"t":"chat.part","chat":%d}`, switchboard.CodeConflict, "chat"},
		{`{"t":"chat.part","chat":%d,"operator":-5}`, switchboard.CodeInvalid, "operator"},
		{`{"t":"note","chat":%d,"text":"x"}`, switchboard.CodeInvalid, "cmid"},
		{`{"t":"note","chat":%d,"cmid":"c","text":" "}`, switchboard.CodeInvalid, "text"},
		{`{"t":"note","chat":0,"cmid":"c","text":"x"}`, switchboard.CodeInvalid, "chat"},
	} {
		frame := tc.frame
		if strings.Contains(frame, "%d") {
			frame = fmt.Sprintf(frame, chat)
		}
		refusal(t, frame, a.request("%s", frame), tc.code, tc.field)
	}
	for _, kind := range []string{"chat.transfer", "chat.invite", "chat.join", "chat.part", "note"} {
		refusal(t, kind+" by a visitor", v.request(`{"t":%q,"chat":%d,"cmid":"c","text":"x","role":"hold"}`, kind, chat), switchboard.CodeForbidden, "")
	}
	cl.check()
}
