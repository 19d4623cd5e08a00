package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// expired is an operator's token that is right in all but its time.
func (d *badDesk) expired() string {
	d.t.Helper()
	raw, err := NewTokens(d.accounts.SigningKey, d.accounts.VerificationKey).MintOperator(d.t.Context(),
		Claims{Org: d.org.ID, Operator: d.op, Role: switchboard.RoleOperator, Minted: time.Now().UnixMilli(), Expires: time.Now().Add(-time.Second)})
	if err != nil {
		d.t.Fatal(err)
	}
	return raw
}

// forgedTokens are tokens that somebody made who has no key.
func (d *badDesk) forgedTokens() map[string]string {
	head, body, _ := strings.Cut(d.opToken, ".")
	body, sig, _ := strings.Cut(body, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	plain, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		d.t.Fatal(err)
	}
	admin := b64([]byte(strings.Replace(string(plain), `"role":"operator"`, `"role":"admin"`, 1)))
	mac := hmac.New(sha256.New, []byte("a key that is not ours, 32 bytes."))
	mac.Write([]byte(head + "." + body))
	none := b64([]byte(`{"alg":"none","typ":"JWT","kid":"x"}`))
	return map[string]string{
		"none": none + "." + body + ".", "another's key": head + "." + body + "." + b64(mac.Sum(nil)), "another role": head + "." + admin + "." + sig,
		"no signature": head + "." + body + ".", "half": d.opToken[:len(d.opToken)/2], "empty": "", "garbage": "Bearer me in", "of a company": d.companyToken(),
	}
}

// companyToken is a company's token: good, and no person's.
func (d *badDesk) companyToken() string {
	d.t.Helper()
	raw, err := NewTokens(d.accounts.SigningKey, d.accounts.VerificationKey).MintCompany(d.t.Context(), Claims{Company: d.company.ID, Credential: 1})
	if err != nil {
		d.t.Fatal(err)
	}
	return raw
}

// A hello that is missing, late, wrong or forged: an error object, then the close
// code of the table; no edge was written.
func TestBadHellosAreClosedAndLeaveNothing(t *testing.T) {
	d := newBadDesk(t, func(c *Config) { c.Hub.HelloWithin = 700 * time.Millisecond })
	gone := d.operator("Gone", switchboard.RoleOperator, 0)
	goneToken := d.token(gone)
	if err := d.admin.SetAccount(t.Context(), d.org.ID, gone, switchboard.AccountDeleted); err != nil {
		t.Fatal(err)
	}
	out := d.operator("Out", switchboard.RoleOperator, 0)
	outToken := d.token(out)
	if _, err := d.admin.SignOut(t.Context(), d.org.ID, out, presence.SignOutNow); err != nil {
		t.Fatal(err)
	}
	was := d.dump()
	try := func(what string, header http.Header, kind websocket.MessageType, frame string, code switchboard.Code, field string, closed int) {
		t.Helper()
		p := d.dial(d.node, header)
		if frame != "" {
			// The server may close while a large frame is still on its way.
			_ = p.ws.Write(t.Context(), kind, []byte(frame))
		}
		if got := int(p.ended()); got != closed {
			t.Errorf("%s: closed with %d, want %d", what, got, closed)
		}
		got := p.all()
		switch {
		case code == "" && len(got) != 0:
			t.Errorf("%s: got %v", what, got)
		case code != "" && len(got) != 1:
			t.Errorf("%s: got %v, want one error", what, got)
		case code != "":
			refusal(t, what, got[0], code, field)
		}
		d.unchanged(what, was)
	}
	hello := func(token string) string { return fmt.Sprintf(`{"t":"hello","v":1,"token":%q}`, token) }
	text := websocket.MessageText
	for name, token := range d.forgedTokens() {
		try("forged, "+name, nil, text, hello(token), "unauthorized", "", switchboard.CloseExpired)
	}
	try("expired", nil, text, hello(d.expired()), "expired", "", switchboard.CloseExpired)
	try("a deleted operator's", nil, text, hello(goneToken), "unauthorized", "", switchboard.CloseExpired)
	try("older than a logout", nil, text, hello(outToken), "logged_out", "", switchboard.CloseLoggedOut)
	foreign := http.Header{"Origin": {"https://evil.example"}}
	try("a foreign page, operator", foreign, text, hello(d.opToken), "forbidden", "", switchboard.CloseProtocol)
	try("a foreign page, visitor", foreign, text, hello(d.visToken), "forbidden", "", switchboard.CloseProtocol)
	try("a page that looks alike", http.Header{"Origin": {"https://shop.example.evil.example"}}, text, hello(d.visToken), "forbidden", "", switchboard.CloseProtocol)
	try("another scheme", http.Header{"Origin": {"http://shop.example"}}, text, hello(d.visToken), "forbidden", "", switchboard.CloseProtocol)
	try("no origin at all", http.Header{"Origin": {"null"}}, text, hello(d.visToken), "forbidden", "", switchboard.CloseProtocol)

	try("never", nil, text, "", "", "", switchboard.CloseProtocol)
	try("another kind first", nil, text, `{"t":"status","status":"Available"}`, "invalid", "t", switchboard.CloseProtocol)
	try("a pong first", nil, text, `{"t":"pong"}`, "invalid", "t", switchboard.CloseProtocol)
	try("no JSON", nil, text, `hello`, "invalid", "frame", switchboard.CloseProtocol)
	try("a list", nil, text, `[`+hello(d.opToken)+`]`, "invalid", "frame", switchboard.CloseProtocol)
	try("a token of another type", nil, text, `{"t":"hello","v":1,"token":5}`, "invalid", "token", switchboard.CloseProtocol)
	try("chats of another type", nil, text, `{"t":"hello","v":1,"token":"`+d.opToken+`","chats":7}`, "invalid", "chats", switchboard.CloseProtocol)
	try("too many chats", nil, text, `{"t":"hello","v":1,"token":"`+d.opToken+`","chats":[`+strings.TrimSuffix(strings.Repeat(`{"chat":1},`, 101), ",")+`]}`, "invalid", "chats", switchboard.CloseProtocol)
	try("too many objects", nil, text, strings.Repeat(`{"t":"pong"}`+"\n", switchboard.MaxObjects+1), "too_large", "", switchboard.CloseProtocol)
	try("a binary frame", nil, websocket.MessageBinary, hello(d.opToken), "", "", switchboard.CloseProtocol)
	try("bad UTF-8", nil, text, "{\"t\":\"hello\",\"token\":\"\xff\"}", "", "", 1007)
	try("too big", nil, text, hello(strings.Repeat("x", switchboard.MaxFrame)), "", "", 1009)
}

// What breaks the protocol on an open socket ends that socket, by its code, and
// not the person's presence or work: another socket of theirs goes on.
func TestBrokenProtocolEndsThatSocketOnly(t *testing.T) {
	d := newBadDesk(t)
	was := d.dump()
	for _, row := range []struct {
		what   string
		kind   websocket.MessageType
		frame  string
		code   switchboard.Code
		closed int
	}{
		{"a binary frame", websocket.MessageBinary, `{"t":"pong"}`, "", switchboard.CloseProtocol},
		{"bad UTF-8", websocket.MessageText, "{\"t\":\"message\",\"chat\":1,\"cmid\":\"x\",\"text\":\"\xc3\x28\"}", "", 1007},
		{"a frame that is too big", websocket.MessageText, `{"t":"pong","x":"` + strings.Repeat("x", switchboard.MaxFrame) + `"}`, "", 1009},
		{"too many objects", websocket.MessageText, strings.Repeat(`{"t":"pong"}`+"\n", switchboard.MaxObjects+1), "too_large", switchboard.CloseProtocol},
	} {
		p := d.join(d.opToken)
		from := len(p.all())
		_ = p.ws.Write(context.Background(), row.kind, []byte(row.frame)) // may be cut short by the close
		if got := int(p.ended()); got != row.closed {
			t.Errorf("%s: closed with %d, want %d", row.what, got, row.closed)
		}
		if got := p.all()[from:]; row.code != "" && len(got) != 1 {
			t.Errorf("%s: got %v", row.what, got)
		} else if row.code != "" {
			refusal(t, row.what, got[0], row.code, "")
		}
		if got := d.watching.provoke(`{"t":"pong"}`); len(got) != 0 {
			t.Errorf("%s: the other socket heard %v", row.what, got)
		}
		d.unchanged(row.what, was)
	}
}
