package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchboard/switchboard"
)

var (
	keyOne = bytes.Repeat([]byte("1"), 32)
	keyTwo = bytes.Repeat([]byte("2"), 32)
)

// testTokens signs with key "one" and knows "two", as after a rotation.
func testTokens() *Tokens {
	return NewTokens(
		func(context.Context) (string, []byte, error) { return "one", keyOne, nil },
		func(_ context.Context, kid string) ([]byte, error) {
			switch kid {
			case "one":
				return keyOne, nil
			case "two":
				return keyTwo, nil
			case "short":
				return nil, nil
			case "away":
				return nil, switchboard.Errorc(switchboard.CodeUnavailable, "Redis does not answer")
			}
			if len(kid) > 64 || strings.Trim(kid, "abcdefghijklmnopqrstuvwxyz") != "" {
				return nil, switchboard.Errorc(switchboard.CodeInternal, "a look-up of an id that nobody checked")
			}
			return nil, switchboard.Errorc(switchboard.CodeNotFound, "no such key")
		})
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// signed makes a token of any header and payload text.
func signed(header, payload string, key []byte) string {
	text := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + b64(string(mac.Sum(nil)))
}

const goodHeader = `{"alg":"HS256","typ":"JWT","kid":"one"}`

// operatorPayload is a right one, with claims replaced ("" removes one).
func operatorPayload(now time.Time, replace map[string]string) string {
	claims := map[string]string{
		"iss": `"switchboard"`, "aud": `"operator"`, "operator_id": "310", "org": "12", "role": `"operator"`, "name": `"Ines"`, "minted": "1795000000000",
		"iat": fmt.Sprint(now.Unix()), "exp": fmt.Sprint(now.Add(time.Hour).Unix()),
	}
	for k, v := range replace {
		claims[k] = v
	}
	var parts []string
	for k, v := range claims {
		if v != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", k, v))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestTokensComeBackAsTheyWereMinted(t *testing.T) {
	ctx, tokens := t.Context(), testTokens()
	now := time.Now().Truncate(time.Second)
	for _, c := range []struct {
		mint   func(context.Context, Claims) (string, error)
		in     Claims
		person switchboard.PersonID
	}{
		{tokens.MintCompany, Claims{Audience: AudienceCompany, Company: 3, Credential: 9}, ""},
		{tokens.MintCompany, Claims{Audience: AudienceCompany, Company: 3, Credential: 9, Expires: now.Add(time.Hour)}, ""},
		{tokens.MintOperator, Claims{Audience: AudienceOperator, Company: 3, Org: 12, Operator: 310, Role: switchboard.RoleSupervisor, Name: "Inês \"D\"", Minted: 5, Expires: now.Add(time.Hour)}, "o310"},
		{tokens.MintVisitor, Claims{Audience: AudienceVisitor, Org: 12, Visitor: "k3x", Name: "Ada", Email: "ada@example.test", Minted: 7, Expires: now.Add(time.Hour)}, "vk3x"},
	} {
		raw, err := c.mint(ctx, c.in)
		if err != nil {
			t.Fatalf("%+v: %v", c.in, err)
		}
		for _, presented := range []string{raw, `"` + raw + `"`} {
			got, err := tokens.Verify(ctx, presented, now)
			if err != nil || got != c.in || got.Person() != c.person {
				t.Errorf("%s: got %+v, %v, want %+v", presented, got, err, c.in)
			}
		}
	}
}

func TestAnOperatorTokenReadsAsChatHubDocumentsIt(t *testing.T) {
	exp := time.Now().Add(time.Hour)
	raw, err := testTokens().MintOperator(t.Context(), Claims{Org: 1, Operator: 310, Role: switchboard.RoleOperator, Minted: 1, Expires: exp})
	if err != nil {
		t.Fatal(err)
	}
	var parts [2]map[string]any
	for i, segment := range strings.Split(raw, ".")[:2] {
		text, err := base64.RawURLEncoding.DecodeString(segment)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if parts[0]["alg"] != "HS256" || parts[1]["operator_id"] != 310.0 || parts[1]["exp"] != float64(exp.Unix()) {
		t.Fatalf("got %v", parts)
	}
}

func TestAVisitorTokenLivesThirtyDaysUnlessSaid(t *testing.T) {
	tokens := testTokens()
	raw, err := tokens.MintVisitor(t.Context(), Claims{Org: 1, Visitor: "a"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := tokens.Verify(t.Context(), raw, time.Now())
	if life := time.Until(c.Expires); err != nil || life > 30*24*time.Hour || life < 30*24*time.Hour-time.Minute {
		t.Fatalf("got %+v, %v", c, err)
	}
}

func TestMintRefusesWhatVerifyWouldNotTake(t *testing.T) {
	tokens := testTokens()
	exp := time.Now().Add(time.Hour)
	op := Claims{Org: 1, Operator: 2, Role: switchboard.RoleOperator, Minted: 1, Expires: exp}
	with := func(c Claims, change func(*Claims)) Claims { change(&c); return c }
	for _, c := range []struct {
		field string
		mint  func(context.Context, Claims) (string, error)
		in    Claims
	}{
		{"company_id", tokens.MintCompany, Claims{Credential: 1}},
		{"credential", tokens.MintCompany, Claims{Company: 1}},
		{"operator_id", tokens.MintOperator, with(op, func(c *Claims) { c.Operator = 0 })},
		{"org", tokens.MintOperator, with(op, func(c *Claims) { c.Org = 0 })},
		{"role", tokens.MintOperator, with(op, func(c *Claims) { c.Role = switchboard.RoleVisitor })},
		{"minted", tokens.MintOperator, with(op, func(c *Claims) { c.Minted = 0 })},
		{"exp", tokens.MintOperator, with(op, func(c *Claims) { c.Expires = time.Time{} })},
		{"name", tokens.MintOperator, with(op, func(c *Claims) { c.Name = strings.Repeat("x", maxToken) })},
		{"visitor", tokens.MintVisitor, Claims{Org: 1, Visitor: "A:b"}},
		{"org", tokens.MintVisitor, Claims{Visitor: "a"}},
	} {
		raw, err := c.mint(t.Context(), c.in)
		var e *switchboard.Error
		if raw != "" || !errors.As(err, &e) || e.Code != switchboard.CodeInvalid || e.Field != c.field {
			t.Errorf("%s: got %q, %v", c.field, raw, err)
		}
	}
}

// forgeries are tokens of which none is ours. Those that are signed with our key
// stand for a mistake of ours elsewhere: they must not become somebody's rights.
func forgeries(t testing.TB, now time.Time) map[string]string {
	op := func(replace map[string]string) string { return operatorPayload(now, replace) }
	one := func(claim, value string) string {
		return signed(goodHeader, op(map[string]string{claim: value}), keyOne)
	}
	head := func(header string) string { return signed(header, op(nil), keyOne) }
	good := signed(goodHeader, op(nil), keyOne)
	parts := strings.Split(good, ".")

	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs512 := func() string {
		text := b64(`{"alg":"HS512","kid":"one"}`) + "." + b64(op(nil))
		mac := hmac.New(sha512.New, keyOne)
		mac.Write([]byte(text))
		return text + "." + b64(string(mac.Sum(nil)))
	}()
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	// The last of 43 characters holds 4 bits that mean nothing: the next letter
	// decodes to the same signature for a reader that is not strict.
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	same := good[:len(good)-1] + string(alphabet[strings.IndexByte(alphabet, good[len(good)-1])+1])
	padded := func() string {
		text := base64.URLEncoding.EncodeToString([]byte(goodHeader+" ")) + "." + parts[1]
		mac := hmac.New(sha256.New, keyOne)
		mac.Write([]byte(text))
		return text + "." + b64(string(mac.Sum(nil)))
	}()
	many := ""
	for i := range maxClaims {
		many += `,"` + strings.Repeat("x", i+1) + `":1`
	}
	later := fmt.Sprint(now.Add(time.Hour).Unix())

	return map[string]string{
		"empty": "", "dots": "..", "quotes": `""`, "one quote": `"`, "text": "hello", "quoted twice": `""` + good + `""`, "half quoted": `"` + good,
		"with scheme": "Bearer " + good, "line break behind": good + "\n", "space before": " " + good,
		"alg none": b64(`{"alg":"none","kid":"one"}`) + "." + parts[1] + ".", "alg nOnE": b64(`{"alg":"nOnE","kid":"one"}`) + "." + parts[1] + ".",
		"alg none, signed": head(`{"alg":"none","kid":"one"}`), "alg missing": head(`{"typ":"JWT","kid":"one"}`), "alg a number": head(`{"alg":256,"kid":"one"}`),
		"HS512 with the right key": hs512, "RS256 over the key": head(`{"alg":"RS256","kid":"one"}`),
		"public key as secret": signed(goodHeader, op(nil), public), "empty key": signed(goodHeader, op(nil), nil),
		"kid missing": head(`{"alg":"HS256"}`), "kid unknown": head(`{"alg":"HS256","kid":"three"}`), "kid empty": head(`{"alg":"HS256","kid":""}`),
		"kid a path": head(`{"alg":"HS256","kid":"../../../../dev/null"}`), "kid a URL": head(`{"alg":"HS256","kid":"https://evil.example/k"}`),
		"kid SQL": head(`{"alg":"HS256","kid":"one' or '1"}`), "kid a key name": head(`{"alg":"HS256","kid":"sb:{reg}:signing"}`),
		"kid a number": head(`{"alg":"HS256","kid":1}`), "kid a list": head(`{"alg":"HS256","kid":["one"]}`), "kid long": head(`{"alg":"HS256","kid":"` + strings.Repeat("k", 65) + `"}`),
		"kid of another key": head(`{"alg":"HS256","kid":"two"}`), "kid with a line break": head(`{"alg":"HS256","kid":"one\n"}`),
		"own key in header": head(`{"alg":"HS256","kid":"one","jwk":{"kty":"oct","k":"AA"}}`), "jku": head(`{"alg":"HS256","kid":"one","jku":"http://127.0.0.1/"}`),
		"crit": head(`{"alg":"HS256","kid":"one","crit":["exp"]}`), "zip": head(`{"alg":"HS256","kid":"one","zip":"DEF"}`), "header a list": head(`["HS256"]`),
		"aud missing": one("aud", ""), "aud empty": one("aud", `""`), "aud other": one("aud", `"admin"`), "aud in capitals": one("aud", `"Operator"`),
		"aud a list": one("aud", `["operator"]`), "aud two": one("aud", `["operator","company"]`),
		"aud company": one("aud", `"company"`), "aud visitor": one("aud", `"visitor"`),
		"iss missing": one("iss", ""), "iss other": one("iss", `"switchboard.evil"`), "iss a list": one("iss", `["switchboard"]`),
		"exp missing": one("exp", ""), "exp null": one("exp", "null"), "exp text": one("exp", `"`+later+`"`), "exp fraction": one("exp", later+".5"),
		"exp huge": one("exp", "1e30"), "exp negative": one("exp", "-1"), "exp twice": one("exp", later+`,"exp":`+later), "exp and EXP": one("exp", later+`,"EXP":`+later),
		"exp with a long s": one("iss", `"switchboard","iſs":"switchboard"`), "a claim with an empty name": one("iss", `"switchboard","":1`),
		"iat far ahead": one("iat", fmt.Sprint(now.Add(10*time.Minute).Unix())), "nbf far ahead": one("nbf", fmt.Sprint(now.Add(10*time.Minute).Unix())),
		"operator missing": one("operator_id", ""), "operator zero": one("operator_id", "0"), "operator negative": one("operator_id", "-310"),
		"operator text": one("operator_id", `"310"`), "operator too big": one("operator_id", "9223372036854775808"), "org missing": one("org", ""),
		"role visitor": one("role", `"visitor"`), "role unknown": one("role", `"root"`), "minted missing": one("minted", ""),
		"too many claims": one("iss", `"switchboard"`+many), "an escaped name": one("exp", later+`,"\u0065xp":`+later),
		"claims a list": signed(goodHeader, "["+op(nil)+"]", keyOne), "claims null": signed(goodHeader, "null", keyOne), "claims text": signed(goodHeader, `"x"`, keyOne),
		"claims twice": signed(goodHeader, op(nil)+op(nil), keyOne), "claims empty": signed(goodHeader, "{}", keyOne), "claims cut": signed(goodHeader, op(nil)[:20], keyOne),
		"huge": signed(goodHeader, op(map[string]string{"name": `"` + strings.Repeat("x", maxToken) + `"`}), keyOne), "dots without end": strings.Repeat(".", 4000),
		"truncated": good[:len(good)-5], "signature missing": parts[0] + "." + parts[1], "signature empty": parts[0] + "." + parts[1] + ".",
		"segment more": good + ".e30", "one bit": string(flipped), "signature of other claims": b64(goodHeader) + "." + b64(op(map[string]string{"org": "13"})) + "." + parts[2],
		"same signature, other letters": same, "padded": good + "=", "line break inside": good[:len(good)-9] + "\r\n" + good[len(good)-9:], "padded header": padded,
		"JSON form": `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
	}
}

func TestEveryForgeryGetsTheSameAnswer(t *testing.T) {
	tokens := testTokens()
	now := time.Now()
	if _, err := tokens.Verify(t.Context(), signed(goodHeader, operatorPayload(now, nil), keyOne), now); err != nil {
		t.Fatal("the pattern of the forgeries is not good itself:", err)
	}
	all := forgeries(t, now)
	if len(all) < 25 {
		t.Fatalf("only %d forgeries", len(all))
	}
	want := forged().Error()
	for name, raw := range all {
		c, err := tokens.Verify(t.Context(), raw, now)
		if switchboard.CodeOf(err) != switchboard.CodeUnauthorized || err.Error() != want || c != (Claims{}) {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
	}
}

func TestTimesOfATokenAreKept(t *testing.T) {
	tokens := testTokens()
	now := time.Unix(1_795_000_000, 0)
	at := func(claim string, d time.Duration) string {
		return signed(goodHeader, operatorPayload(now, map[string]string{claim: fmt.Sprint(now.Add(d).Unix())}), keyOne)
	}
	for _, c := range []struct {
		name, raw string
		want      switchboard.Code
	}{
		{"expires next second", at("exp", time.Second), ""},
		{"expires now", at("exp", 0), switchboard.CodeExpired},
		{"expired a second ago, inside the leeway", at("exp", -time.Second), switchboard.CodeExpired},
		{"issued by a clock a minute ahead", at("iat", clockLeeway), ""},
		{"issued further ahead", at("iat", clockLeeway+time.Second), switchboard.CodeUnauthorized},
		{"good from a minute ahead", at("nbf", clockLeeway), ""},
		{"good from later on", at("nbf", clockLeeway+time.Second), switchboard.CodeUnauthorized},
		{"expired and forged", at("exp", -time.Hour) + "x", switchboard.CodeUnauthorized},
		{"expired and not for us", signed(goodHeader, operatorPayload(now, map[string]string{"exp": "1", "aud": `"x"`}), keyOne), switchboard.CodeUnauthorized},
		{"company token from long ago", signed(goodHeader, `{"iss":"switchboard","aud":"company","company_id":1,"credential":2,"iat":1}`, keyOne), ""},
		{"company token with an end", signed(goodHeader, `{"iss":"switchboard","aud":"company","company_id":1,"credential":2,"exp":1}`, keyOne), switchboard.CodeExpired},
		{"signed before the key was rotated", signed(`{"alg":"HS256","kid":"two"}`, operatorPayload(now, nil), keyTwo), ""},
		{"with a claim of a newer node", signed(goodHeader, operatorPayload(now, map[string]string{"new": `{"iss":[{"EXP":1},2],"aud":"\\\"}"}`}), keyOne), ""},
	} {
		if _, err := tokens.Verify(t.Context(), c.raw, now); switchboard.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAKeyThatCannotBeUsedIsNotTheTokensFault(t *testing.T) {
	now := time.Now()
	for kid, want := range map[string]switchboard.Code{"away": switchboard.CodeUnavailable, "short": switchboard.CodeInternal} {
		_, err := testTokens().Verify(t.Context(), signed(`{"alg":"HS256","kid":"`+kid+`"}`, operatorPayload(now, nil), nil), now)
		if switchboard.CodeOf(err) != want {
			t.Errorf("%s: got %v", kid, err)
		}
	}
	for _, sign := range []func(context.Context) (string, []byte, error){
		func(context.Context) (string, []byte, error) { return "one", keyOne[:31], nil },
		func(context.Context) (string, []byte, error) { return "a/b", keyOne, nil },
		func(context.Context) (string, []byte, error) { return "", nil, errors.New("away") },
	} {
		if raw, err := NewTokens(sign, nil).MintCompany(t.Context(), Claims{Company: 1, Credential: 1}); err == nil {
			t.Errorf("minted %s", raw)
		}
	}
}

func FuzzVerify(f *testing.F) {
	now := time.Unix(1_795_000_000, 0)
	for _, raw := range forgeries(f, now) {
		f.Add(raw)
	}
	good := signed(goodHeader, operatorPayload(now, nil), keyOne)
	f.Add(good)
	tokens := testTokens()
	f.Fuzz(func(t *testing.T, raw string) {
		_, err := tokens.Verify(t.Context(), raw, now)
		switch code := switchboard.CodeOf(err); code {
		case switchboard.CodeUnauthorized, switchboard.CodeUnavailable, switchboard.CodeInternal:
			return
		default: // good or expired: only with a signature that a key of ours made
			parts := strings.Split(strings.Trim(raw, `"`), ".")
			header, _ := base64.RawURLEncoding.DecodeString(parts[0])
			for _, key := range [][]byte{keyOne, keyTwo} {
				payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
				if signed(string(header), string(payload), key) == strings.Join(parts, ".") {
					return
				}
			}
			t.Fatalf("%q was taken: %v", raw, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	tokens, now := testTokens(), time.Now()
	raw := signed(goodHeader, operatorPayload(now, nil), keyOne)
	for b.Loop() {
		if _, err := tokens.Verify(b.Context(), raw, now); err != nil {
			b.Fatal(err)
		}
	}
}
