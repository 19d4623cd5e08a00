package gateway

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
)

func badOurs() []badRequest {
	rows := []badRequest{
		{"POST", "/v1/session", "", `{}`, 400, "invalid", "login"},
		{"POST", "/v1/session", "", `{"login":"nobody","password":"x"}`, 401, "unauthorized", ""},
		{"POST", "/v1/session", "", `{"ticket":"garbage"}`, 401, "unauthorized", ""},
		{"POST", "/v1/session", "", `{"refresh":"garbage"}`, 401, "unauthorized", ""},
		{"POST", "/v1/session", "", `{"refresh":"1.2.3"}`, 401, "unauthorized", ""},
		{"POST", "/v1/session", "", `{"login":5}`, 400, "invalid", "login"},
		{"POST", "/v1/session", "", `{"login":"a","password":["x"]}`, 400, "invalid", "password"},
		{"POST", "/v1/session", "", `{"ticket":{}}`, 400, "invalid", "ticket"},
		{"POST", "/v1/session", "", `{"refresh":true}`, 400, "invalid", "refresh"},

		{"POST", "/v1/visitor", "", `{}`, 400, "invalid", "org"},
		{"POST", "/v1/visitor", "", `{"org":0}`, 400, "invalid", "org"},
		{"POST", "/v1/visitor", "", `{"org":-1}`, 400, "invalid", "org"},
		{"POST", "/v1/visitor", "", `{"org":"1"}`, 400, "invalid", "org"},
		{"POST", "/v1/visitor", "", `{"org":987654321}`, 400, "invalid", "org"},
		{"POST", "/v1/visitor", "", `{"org":ORG,"name":5}`, 400, "invalid", "name"},
		{"POST", "/v1/visitor", "", `{"org":ORG,"name":"` + strings.Repeat("n", 101) + `"}`, 400, "invalid", "name"},
		{"POST", "/v1/visitor", "", `{"org":ORG,"email":"` + strings.Repeat("e", 255) + `"}`, 400, "invalid", "email"},
		{"POST", "/v1/visitor", "", `{"org":ORG,"token":"garbage"}`, 401, "unauthorized", ""},
		{"POST", "/v1/visitor", "", `{"org":ORG,"token":"OPTOKEN"}`, 401, "unauthorized", "token"},
		{"POST", "/v1/visitor", "Origin: https://evil.example", `{"org":ORG}`, 403, "forbidden", ""},

		{"GET", "/v1/widget", "", "", 400, "invalid", "org"},
		{"GET", "/v1/widget?org=x", "", "", 400, "invalid", "org"},
		{"GET", "/v1/widget?org=987654321", "", "", 404, "not_found", ""},

		{"GET", "/v1/chats/x/messages", "op", "", 400, "invalid", "id"},
		{"GET", "/v1/chats/0/messages", "op", "", 400, "invalid", "id"},
		{"GET", "/v1/chats/99999999999999999999/messages", "op", "", 400, "invalid", "id"},
		{"GET", "/v1/chats/987654321/messages", "op", "", 404, "not_found", "chat"},
		{"GET", "/v1/chats/CHAT/messages?before=0", "op", "", 400, "invalid", "before"},
		{"GET", "/v1/chats/CHAT/messages?before=x", "op", "", 400, "invalid", "before"},
		{"GET", "/v1/chats/CHAT/messages?n=0", "op", "", 400, "invalid", "n"},
		{"GET", "/v1/chats/CHAT/messages?n=201", "op", "", 400, "invalid", "n"},
		{"GET", "/v1/chats/CHAT/messages", "company", "", 403, "forbidden", ""},

		{"POST", "/v1/chats", "op", `{}`, 401, "unauthorized", ""},
		{"POST", "/v1/chats", "api", `{}`, 400, "invalid", "token"},
		{"POST", "/v1/chats", "api", `{"token":"OPTOKEN"}`, 400, "invalid", "token"},
		{"POST", "/v1/chats", "api", `{"priority":"high"}`, 400, "invalid", "priority"},
		{"PUT", "/v1/chats/x/priority", "boss", `{}`, 400, "invalid", "id"},
		{"PUT", "/v1/chats/CHAT/priority", "op", `{"priority":1}`, 403, "forbidden", ""},
		{"PUT", "/v1/chats/CHAT/priority", "boss", `{}`, 400, "invalid", "priority"},
		{"PUT", "/v1/chats/CHAT/priority", "api", `{"priority":10}`, 400, "invalid", "priority"},
		{"PUT", "/v1/chats/987654321/priority", "api", `{"priority":1}`, 404, "not_found", "chat"},
		{"GET", "/v1/chats/CHAT/why?after=z", "boss", "", 400, "invalid", "after"},
		{"GET", "/v1/chats/CHAT/why?n=201", "boss", "", 400, "invalid", "n"},
		{"GET", "/v1/chats/987654321/why", "boss", "", 404, "not_found", "chat"},
		{"GET", "/v1/operators/987654321/why", "boss", "", 404, "not_found", "operator"},
		{"GET", "/v1/decisions?before=z", "boss", "", 400, "invalid", "before"},

		{"GET", "/v1/teams/x", "boss", "", 400, "invalid", "id"},
		{"GET", "/v1/teams/-1", "boss", "", 400, "invalid", "id"},
		{"PUT", "/v1/teams/0", "boss", `{"name":"A"}`, 403, "forbidden", ""},
		{"POST", "/v1/teams", "boss", `{"name":"A"}`, 403, "forbidden", ""},
		{"POST", "/v1/offline", "op", `{}`, 403, "forbidden", ""},
		{"POST", "/v1/offline", "visitor", `{"cmid":5}`, 400, "invalid", "cmid"},
		{"POST", "/v1/offline", "visitor", `{"cmid":"a","email":"none","text":"x"}`, 400, "invalid", "email"},
		{"POST", "/v1/offline", "visitor", `{"cmid":"a","email":"a@b.example","text":"x","team":987654}`, 400, "invalid", "team"},
		{"GET", "/v1/offline?before=0", "boss", "", 400, "invalid", "before"},
		{"GET", "/v1/offline?n=201", "boss", "", 400, "invalid", "n"},
		{"POST", "/v1/offline/x/done", "boss", "", 400, "invalid", "id"},
		{"POST", "/v1/offline/1/done", "boss", "", 404, "not_found", "id"},

		{"POST", "/v1/logouts", "op", `{"agents":[OP]}`, 403, "forbidden", ""},
		{"POST", "/v1/logouts", "boss", `{}`, 400, "invalid", "agents"},
		{"POST", "/v1/logouts", "boss", `{"agents":[],"teams":[],"networks":[]}`, 400, "invalid", "agents"},
		{"POST", "/v1/logouts", "boss", `{"agents":OP}`, 400, "invalid", "agents"},
		{"POST", "/v1/logouts", "boss", `{"agents":["OP"]}`, 400, "invalid", "agents"},
		{"POST", "/v1/logouts", "boss", `{"agents":[OP],"teams":"all"}`, 400, "invalid", "teams"},
		{"POST", "/v1/logouts", "boss", `{"agents":[OP],"networks":"192.0.2.1"}`, 400, "invalid", "networks"},
		{"POST", "/v1/logouts", "boss", `{"agents":[OP],"networks":[5]}`, 400, "invalid", "networks"},
		{"POST", "/v1/logouts", "boss", `{"agents":[OP],"reason":5}`, 400, "invalid", "reason"},
		{"POST", "/v1/logouts", "boss", `{"agents":[OP],"reason":"` + strings.Repeat("r", 501) + `"}`, 400, "invalid", "reason"},
		{"GET", "/v1/logouts/x", "boss", "", 400, "invalid", "id"},
		{"GET", "/v1/logouts/-1", "boss", "", 400, "invalid", "id"},
		{"GET", "/v1/logouts/987654321", "boss", "", 404, "not_found", ""},
		{"GET", "/v1/logouts/1", "op", "", 403, "forbidden", ""},

		{"POST", "/v1/calls", "op", `{"operator":OP,"call":"x"}`, 401, "unauthorized", ""},
		{"POST", "/v1/calls", "api", `{}`, 400, "invalid", "call"},
		{"POST", "/v1/calls", "api", `{"operator":"OP","call":"x"}`, 400, "invalid", "operator"},
		{"POST", "/v1/calls", "api", `{"operator":OP,"call":5}`, 400, "invalid", "call"},
		{"POST", "/v1/calls", "api", `{"operator":OP,"call":"a b"}`, 400, "invalid", "call"},
		{"POST", "/v1/calls", "api", `{"operator":OP,"call":"x","lease_ms":999}`, 400, "invalid", "lease_ms"},
		{"POST", "/v1/calls", "api", `{"operator":OP,"call":"x","lease_ms":3600001}`, 400, "invalid", "lease_ms"},
		{"POST", "/v1/calls", "api", `{"operator":OP,"call":"x","lease_ms":"1s"}`, 400, "invalid", "lease_ms"},
		{"POST", "/v1/calls", "api", `{"operator":987654321,"call":"x"}`, 404, "not_found", ""},
		{"POST", "/v1/calls", "api", `{"operator":0,"call":"x"}`, 404, "not_found", ""},
		{"POST", "/v1/work", "op", `{"operator":OP,"id":"x"}`, 401, "unauthorized", ""},
		{"POST", "/v1/work", "api", `{}`, 400, "invalid", "id"},
		{"POST", "/v1/work", "api", `{"operator":OP,"id":"x","units":251}`, 400, "invalid", "units"},
		{"POST", "/v1/work", "api", `{"operator":OP,"id":"x","lease_ms":999}`, 400, "invalid", "lease_ms"},
		{"POST", "/v1/work", "api", `{"operator":987654321,"id":"x"}`, 404, "not_found", ""},
		{"DELETE", "/v1/work/x/m1", "api", "", 400, "invalid", "operator"},
		{"DELETE", "/v1/work/OP/a%20b", "api", "", 400, "invalid", "id"},
		{"DELETE", "/v1/calls/x/pbx", "api", "", 400, "invalid", "operator"},
		{"DELETE", "/v1/calls/OP/a%20b", "api", "", 400, "invalid", "call"},
		{"DELETE", "/v1/calls/987654321/pbx", "api", "", 404, "not_found", ""},
		{"DELETE", "/v1/calls/OP/pbx", "op", "", 401, "unauthorized", ""},
	}
	for _, item := range garbageNetworks {
		rows = append(rows, badRequest{"POST", "/v1/logouts", "boss", fmt.Sprintf(`{"agents":[OP],"networks":["192.0.2.1",%s]}`, mustJSON(item)), 400, "invalid", "networks[1]"})
	}
	// All networks together may not be everybody either.
	rows = append(rows, badRequest{"POST", "/v1/logouts", "boss", `{"networks":["0.0.0.0/1","128.0.0.0/1"]}`, 400, "invalid", "networks"},
		badRequest{"POST", "/v1/logouts", "boss", `{"networks":[` + strings.TrimSuffix(strings.Repeat(`"192.0.2.1",`, 1001), ",") + `]}`, 400, "invalid", "networks"})
	// Everything that needs a person's token, without a good one.
	for _, path := range []string{"GET /v1/teams", "GET /v1/chats/CHAT/messages", "POST /v1/logouts", "GET /v1/logouts/1", "GET /v1/teams/0", "PUT /v1/teams/0", "POST /v1/teams", "GET /v1/offline", "POST /v1/offline/1/done", "GET /v1/decisions", "GET /v1/chats/CHAT/why", "GET /v1/operators/1/why", "PUT /v1/chats/CHAT/priority"} {
		method, path, _ := strings.Cut(path, " ")
		for auth, code := range map[string]switchboard.Code{
			"": "unauthorized", "Authorization: Bearer": "unauthorized", "Authorization: Bearer garbage": "unauthorized", "Authorization: Basic eDp5": "unauthorized",
			"Authorization: Bearer EXPIRED": "expired", "Authorization: Bearer FORGED": "unauthorized", "Authorization: Bearer OUT": "logged_out",
		} {
			rows = append(rows, badRequest{method, path, auth, `{"agents":[OP]}`, 401, code, ""})
		}
		if !strings.Contains(path, "messages") { // visitors may read theirs
			rows = append(rows, badRequest{method, path, "visitor", `{"agents":[OP]}`, 403, "forbidden", ""}, badRequest{method, path, "company", `{"agents":[OP]}`, 403, "forbidden", ""})
		}
	}
	for path, auth := range map[string]string{"/v1/session": "", "/v1/visitor": "", "/v1/logouts": "boss", "/v1/calls": "api", "/v1/chats": "api"} {
		rows = append(rows, brokenBodies(path, auth, maxBody)...)
	}
	return rows
}

// brokenBodies are no JSON objects, for any route that wants one.
func brokenBodies(path, auth string, limit int) []badRequest {
	var rows []badRequest
	for _, body := range []string{"", " ", "{", `{"agents":[1]`, `{"a":1}}`, `{"a":1,}`, `{'a':1}`, "[]", `[{"agents":[1]}]`, `"text"`, "5", "true", "agents=1", "\xff\xfe", "{\"name\":\"\xff\"}"} {
		rows = append(rows, badRequest{"POST", path, auth, body, 400, "invalid", "body"})
	}
	return append(rows, badRequest{"POST", path, auth, `{"x":"` + strings.Repeat("x", limit) + `"}`, 413, "too_large", "body"})
}

// garbageNetworks are no networks; none may sign anybody out.
var garbageNetworks = []string{
	"", " ", "nonsense", "192.0.2", "192.0.2.256", "192.0.2.1.5", "0192.0.2.1", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/", "192.0.2.0/24/24",
	"192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "192.0.2.1-", "-192.0.2.1", "192.0.2.1,192.0.2.2", "*", "192.0.2.*", "0.0.0.0/0", "::/0", "0.0.0.0-255.255.255.255",
	"2001:db8::/129", "2001:db8:::1", "fe80::1%eth0", "localhost", "http://192.0.2.1", "0x7f000001", "2130706433", "192.0.2.1\u0000",
}

func badCCAI() []badRequest {
	rows := brokenBodies(ccaiLogout, "api", maxCCAIBody)
	for _, item := range garbageNetworks {
		rows = append(rows, badRequest{"POST", ccaiLogout, "api", fmt.Sprintf(`{"agent_ids":[OP],"ip_addrs":["192.0.2.1",%s]}`, mustJSON(item)), 400, "", "ip_addrs[1]"})
	}
	return append(rows,
		badRequest{"POST", ccaiLogout, "api", `{"agent_ids":["OP"]}`, 400, "", "agent_ids"},
		badRequest{"POST", ccaiLogout, "api", `{"agent_ids":[OP],"team_ids":"7"}`, 400, "", "team_ids"},
		badRequest{"POST", ccaiLogout, "api", `{"agent_ids":[OP],"ip_addrs":[7]}`, 400, "", "ip_addrs"},
		badRequest{"POST", ccaiLogout, "api", `{"agent_ids":[OP],"ip_addrs":["0.0.0.0/1","128.0.0.0/1"]}`, 400, "", "ip_addrs"},
		badRequest{"POST", ccaiLogout, "", `{"agent_ids":[OP]}`, 401, "", ""},
		badRequest{"POST", ccaiLogout, "op", `{"agent_ids":[OP]}`, 401, "", ""},
		badRequest{"POST", ccaiLogout, "boss", `{"agent_ids":[OP]}`, 401, "", ""},
		badRequest{"POST", ccaiLogout, "Authorization: Basic %%%", `{"agent_ids":[OP]}`, 401, "", ""},
		badRequest{"POST", ccaiLogout, "Authorization: Basic eDp5", `{"agent_ids":[OP]}`, 401, "", ""},
		badRequest{"GET", ccaiLogout + "/jobs/x", "api", "", 404, "", ""},
		badRequest{"GET", ccaiLogout + "/jobs/987654321", "api", "", 404, "", ""},
		badRequest{"GET", ccaiLogout + "/jobs/1", "op", "", 401, "", ""},
	)
}

func badChatHub() []badRequest {
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	rows := []badRequest{
		{"POST", "/api/company/get-token", "", `{"login":"nobody","password":"x"}`, 401, "unauthorized", ""},
		{"POST", "/api/company/get-token", "", `{"login":5,"password":"x"}`, 400, "invalid", "login"},
		{"POST", "/api/operator/synchronize", "company", `[{"organizationId":"ORG","name":"A"}]`, 400, "invalid", "organizationId"},
		{"POST", "/api/operator/synchronize", "company", `[{"organizationId":ORG,"name":"A"},{"organizationId":ORG}]`, 400, "invalid", "name"},
		{"POST", "/api/operator/synchronize", "company", `[{"organizationId":ORG,"name":"A"},5]`, 400, "invalid", "body"},
		{"POST", "/api/operator/status", "company", `{"id":OP,"status":3}`, 400, "invalid", "status"},
		{"POST", "/api/operator/status", "company", `{"id":OP,"status":"2"}`, 400, "invalid", "status"},
		{"POST", "/api/operator/status", "company", `{"id":987654321,"status":2}`, 404, "not_found", "id"},
		{"POST", "/api/operator/get-token", "company", `{"id":OP,"expiresAt":"tomorrow"}`, 400, "invalid", "expiresAt"},
		{"POST", "/api/operator/get-token", "company", `{"id":987654321,"expiresAt":"` + soon + `"}`, 404, "not_found", "id"},
		{"POST", "/api/operator/validate-token", "company", `{"token":5}`, 400, "invalid", "token"},
		{"GET", "/api/operator?organizationId=x", "company", "", 400, "invalid", "organizationId"},
	}
	for _, route := range []string{"GET /api/company/organization", "GET /api/operator", "POST /api/operator/synchronize", "POST /api/operator/status", "POST /api/operator/get-token", "POST /api/operator/validate-token"} {
		method, path, _ := strings.Cut(route, " ")
		for _, auth := range []string{"", "api", "Authorization: Bearer garbage", "Authorization: Bearer FORGED", "X-Authorization-Key: garbage"} {
			rows = append(rows, badRequest{method, path, auth, `{}`, 401, "unauthorized", ""})
		}
		rows = append(rows, badRequest{method, path, "visitor", `{}`, 403, "forbidden", ""})
		if path != "/api/operator" { // an operator may read the own organization
			rows = append(rows, badRequest{method, path, "op", `{}`, 403, "forbidden", ""}, badRequest{method, path, "boss", `{}`, 403, "forbidden", ""})
		}
		if method == "POST" && path != "/api/operator/synchronize" { // which wants a list
			rows = append(rows, brokenBodies(path, "company", maxBody)...)
		}
	}
	return rows
}
