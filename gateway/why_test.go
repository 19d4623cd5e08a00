package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/routing"
)

// over HTTP a supervisor sees why a chat waits and why an operator gets none,
// what was decided and that it comes out the same again; an operator sees their own
// facts only, a visitor nothing. What a person moved is in the list and is not made
// again. (Red with any of the three routes without its check, with Same never computed,
// with an empty got read as an id, and with Replay of a transfer.)
func TestWhyOverHTTP(t *testing.T) {
	cl := newDesk(t, 1)
	base := "http://" + cl.nodes[0].Addr()
	boss := cl.token(cl.operator("Boss", switchboard.RoleSupervisor, 1))
	mina := cl.operator("Mina", "", 1)
	minaToken := cl.token(mina)
	operator, _, moves := cl.talk(minaToken, cl.visitor(cl.nodes[0], "Bo"))
	second := cl.hello(cl.nodes[0], cl.visitor(cl.nodes[0], "Di"))
	waits := second.start()
	get := func(path, token string) (int, string) {
		return call(t, "GET", base+path, bearerOf(token), "")
	}
	status, body := get(fmt.Sprintf("/v1/chats/%d/why", waits), boss)
	e := decode[routing.Explained](t, status, body)
	rules := map[string]string{}
	for _, c := range e.Candidates {
		rules[c.Name] = c.Rule
	}
	if e.State != "waiting" || e.Place != 1 || rules["Mina"] != "full" || rules["Boss"] != "offline" {
		t.Errorf("why: %s", body)
	}
	status, body = get(fmt.Sprintf("/v1/operators/%d/why", mina), minaToken)
	if own := decode[routing.Routability](t, status, body); own.Routable || len(own.Facts) != 1 || own.Facts[0].Rule != "full" {
		t.Errorf("the operator's own: %s", body)
	}
	status, body = get("/v1/decisions?n=1", boss)
	made := decode[[]replayed](t, status, body)
	if len(made) != 1 || made[0].Same == nil || !*made[0].Same || fmt.Sprint(made[0].Got) != fmt.Sprintf("[%d]", mina) {
		t.Errorf("decisions: %s", body)
	}
	operator.request(`{"t":"status","status":"Break"}`)
	cl.everyone(presence.Team{Limit: 9})
	status, body = get(fmt.Sprintf("/v1/operators/%d/why", mina), boss)
	if own := decode[routing.Routability](t, status, body); len(own.Facts) != 2 || own.Facts[0].Detail != "Break" {
		t.Errorf("on a break, and full: %s", body)
	}
	for path, want := range map[string]int{fmt.Sprintf("/v1/chats/%d/why", waits): 403, fmt.Sprintf("/v1/operators/%d/why", mina+1000): 403, "/v1/decisions": 403} {
		if status, body := get(path, minaToken); status != want {
			t.Errorf("an operator at %s: %d %s", path, status, body)
		}
		if status, _ := get(path, cl.visitor(cl.nodes[0], "Ev")); status != 403 {
			t.Errorf("a visitor at %s: %d", path, status)
		}
	}
	for path, field := range map[string]string{"/v1/chats/x/why": "id", "/v1/chats/1/why?n=0": "n", fmt.Sprintf("/v1/chats/%d/why?after=z", waits): "after", "/v1/decisions?before=z": "before"} {
		if status, body := get(path, boss); status != 400 || !strings.Contains(body, fmt.Sprintf(`"field":%q`, field)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if m := operator.request(`{"t":"chat.transfer","chat":%d,"to_team":0,"queue":true}`, moves); m["t"] != "ok" {
		t.Fatalf("into the queue: %v", m)
	}
	status, body = get("/v1/decisions", boss)
	hands := 0
	for _, d := range decode[[]replayed](t, status, body) {
		if byHand := d.By != ""; byHand != (d.Same == nil) || byHand != (d.Replay == nil) || !byHand && !*d.Same {
			t.Errorf("%+v in %s", d.Decision, body)
		} else if byHand {
			hands++
			if d.By != switchboard.OperatorPerson(mina) || d.Strategy != "transfer" || d.Got == nil || len(d.Got) != 0 || d.Chat != switchboard.ChatID(moves) {
				t.Errorf("the transfer: %+v", d.Decision)
			}
		}
	}
	if hands != 1 {
		t.Errorf("%d were moved by hand: %s", hands, body)
	}
	cl.check()
}
