package gateway

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/switchboard/switchboard/presence"
)

// T17: who signed out whom, why, from where, when it was asked for and when it was
// done, as NDJSON and as CSV; what people wrote breaks neither.
func TestAuditIsExported(t *testing.T) {
	d := newLogoutDesk(t)
	mina, idle := d.operator("Mina", "", 2), d.operator("Idle", "", 2)
	d.at(0, mina, "198.51.100.1")
	d.at(1, idle, "198.51.100.2")
	if err := d.admin.StartCall(t.Context(), d.org.ID, mina, "c", presence.CallLease); err != nil {
		t.Fatal(err)
	}
	const reason = "=cmd()\n\"quoted\", and a comma"
	o := d.order(fmt.Sprintf(`{"confirm":true,"networks":["198.51.100.0/24"],"reason":%q}`, reason))
	if err := d.admin.EndCall(t.Context(), d.org.ID, mina, "c"); err != nil {
		t.Fatal(err)
	}
	status, body := d.api("GET", "/v1/audit", "")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if status != 200 || lines[len(lines)-1] != `{"end":true}` {
		t.Fatalf("got %d %s", status, body)
	}
	var story []string
	for _, line := range lines[:len(lines)-1] {
		var a presence.Audited
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if a.What == "team settings" { // of the desk, when it was made
			continue
		}
		if int64(a.Order) != o.ID || a.By != fmt.Sprint("o", d.boss) || a.From != "203.0.113.250 (x-forwarded-for)" || a.Why != reason && a.What != "logout order" || a.Asked == 0 || a.Done < a.Asked {
			t.Errorf("%+v", a)
		}
		story = append(story, fmt.Sprint(a.What, " ", a.Whom))
	}
	for _, want := range []string{"logout order 0", fmt.Sprint("signed out ", idle), fmt.Sprint("leaving ", mina), fmt.Sprint("signed out ", mina)} {
		if n := strings.Count(strings.Join(story, "|")+"|", want+"|"); n != 1 {
			t.Errorf("%q is there %d times in %v", want, n, story)
		}
	}
	_, body = d.api("GET", "/v1/audit?format=csv", "")
	body, ended := strings.CutSuffix(body, "# end\n")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || !ended || len(rows) != len(lines) {
		t.Errorf("CSV: %v, %d rows, %v", err, len(rows), ended)
	}
	for _, row := range rows[1:] {
		if row[2] == "signed out" && row[6] != "'"+reason {
			t.Errorf("the reason in CSV: %q", row[6])
		}
	}
	for query, field := range map[string]string{"?format=xml": "format", "?from=x": "from", "?from=5&to=4": "from"} {
		if status, body := d.api("GET", "/v1/audit"+query, ""); status != 400 || !strings.Contains(body, fmt.Sprintf(`"field":%q`, field)) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	if status, _ := call(t, "GET", "http://"+d.nodes[0].Addr()+"/v1/audit", bearerOf(d.token(mina)), ""); status != 403 {
		t.Errorf("an operator reads the audit: %d", status)
	}
}
