package gateway

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/switchboard/switchboard"
)

// What a token is for: its "aud". One token has one audience, and nothing that
// is signed for one is good for another.
const (
	AudienceCompany  = "company"  // organizations and operators of a company
	AudienceOperator = "operator" // the socket and the calls of one operator
	AudienceVisitor  = "visitor"  // the socket of one visitor

	// audienceGuest is a page that looks whether anybody is there. It needs no
	// token, and none can be made or verified for it.
	audienceGuest = "guest"
)

const (
	issuer      = "switchboard"
	maxToken    = 4 << 10 // bytes of a presented token
	minKey      = 32      // bytes; RFC 7518 3.2 wants the size of the hash
	visitorLife = 30 * 24 * time.Hour

	// clockLeeway forgives the difference of two nodes' clocks for "issued at"
	// and "not before" only. An expiry is not forgiven: the client holds it and
	// renews well ahead, and a minute more would be a minute after "no".
	clockLeeway = 60 * time.Second
)

// Claims are what a token says. Which fields count depends on Audience; the
// others are zero.
type Claims struct {
	Audience string

	Company    switchboard.CompanyID // company; operator where known
	Credential int64                 // company: which credential it was made from

	Org      switchboard.OrgID // operator, visitor
	Operator switchboard.OperatorID
	Role     switchboard.Role // operator, supervisor or admin
	Name     string           // for display

	Visitor string // the visitor's id: 1 to 64 of [a-z0-9]
	Email   string // visitor: for display, proves nothing

	// Minted is the Redis time in ms at which the token was made; a logout
	// refuses everything minted before it. Operators always have it.
	Minted  int64
	Expires time.Time // zero only for a company
}

// Person returns whose token it is, "" for a company's.
func (c Claims) Person() switchboard.PersonID {
	switch c.Audience {
	case AudienceOperator:
		return switchboard.OperatorPerson(c.Operator)
	case AudienceVisitor:
		return switchboard.VisitorPerson(c.Visitor)
	case audienceGuest:
		return guestPrefix + switchboard.PersonID(c.Visitor)
	}
	return ""
}

// Tokens signs and verifies. All methods may be called concurrently.
type Tokens struct {
	sign   func(ctx context.Context) (kid string, key []byte, err error)
	verify func(ctx context.Context, kid string) ([]byte, error)
}

// NewTokens returns Tokens over two look-ups of HMAC keys of at least 32 bytes:
// the key to sign with now, and the key of an id (CodeNotFound when there is
// none). verify is asked for ids of [A-Za-z0-9_-]{1,64} only.
func NewTokens(sign func(ctx context.Context) (kid string, key []byte, err error), verify func(ctx context.Context, kid string) ([]byte, error)) *Tokens {
	return &Tokens{sign: sign, verify: verify}
}

// MintCompany makes a company token from Company and Credential. It has no
// expiry unless Expires is set: it lives as long as its credential, which the
// caller looks up at each use.
func (t *Tokens) MintCompany(ctx context.Context, c Claims) (string, error) {
	c.Audience = AudienceCompany
	return t.mint(ctx, c)
}

// MintOperator makes an operator's token; Operator, Org, Role, Minted and
// Expires must be set.
func (t *Tokens) MintOperator(ctx context.Context, c Claims) (string, error) {
	c.Audience = AudienceOperator
	return t.mint(ctx, c)
}

// MintVisitor makes a visitor's token; Visitor and Org must be set. Expires is
// 30 days from now when it is zero.
func (t *Tokens) MintVisitor(ctx context.Context, c Claims) (string, error) {
	c.Audience = AudienceVisitor
	if c.Expires.IsZero() {
		c.Expires = time.Now().Add(visitorLife)
	}
	return t.mint(ctx, c)
}

// mint checks claims by the rules of Verify, so that no token leaves that would
// not be taken back. Errors: CodeInvalid names the claim; what sign returned.
func (t *Tokens) mint(ctx context.Context, c Claims) (string, error) {
	w := payloadOf(c, time.Now())
	if claim := w.missing(); claim != "" {
		return "", switchboard.Invalid(claim, "a token needs it")
	}
	kid, key, err := t.sign(ctx)
	if err != nil {
		return "", err
	}
	if !keyID.MatchString(kid) || len(key) < minKey {
		return "", errKey
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, &w)
	token.Header["kid"] = kid
	raw, err := token.SignedString(key)
	if err != nil {
		return "", switchboard.Wrap(switchboard.CodeInternal, "sign a token", err)
	}
	if len(raw) > maxToken {
		return "", switchboard.Invalid("name", "name and email are too long for a token")
	}
	return raw, nil
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

var errKey = switchboard.Errorc(switchboard.CodeInternal, "a signing key must have an id and at least 32 bytes")

// Verify returns the claims of a token at a time. Surrounding quotes are
// allowed, since some clients keep the quotes of the JSON string that they got.
//
// Errors: CodeUnauthorized, with one message whatever is wrong, so that a forger
// learns nothing; CodeExpired for a token that is right in all else. When the
// key cannot be looked up, that error is passed on: a client must not throw a
// good token away because Redis is out.
func (t *Tokens) Verify(ctx context.Context, raw string, now time.Time) (Claims, error) {
	if n := len(raw); n >= 2 && raw[0] == '"' && raw[n-1] == '"' {
		raw = raw[1 : n-1]
	}
	// Go's base64 passes over line breaks, so the alphabet is checked here: one
	// token has one spelling.
	if len(raw) > maxToken || strings.ContainsAny(raw, "\r\n") {
		return Claims{}, forged()
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(issuer), jwt.WithAudience(AudienceCompany, AudienceOperator, AudienceVisitor),
		jwt.WithIssuedAt(), jwt.WithLeeway(clockLeeway), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var w payload
	var lookup error
	_, err := parser.ParseWithClaims(raw, &w, func(token *jwt.Token) (any, error) {
		key, err := t.key(ctx, token.Header)
		if switchboard.CodeOf(err) != switchboard.CodeUnauthorized {
			lookup = err
		}
		return key, err
	})
	switch {
	case lookup != nil:
		return Claims{}, lookup
	case err != nil, w.missing() != "":
		return Claims{}, forged()
	case w.Expires != 0 && now.Unix() >= w.Expires:
		return Claims{}, switchboard.Errorc(switchboard.CodeExpired, "the token has expired")
	}
	return w.claims(), nil
}

func forged() error {
	return switchboard.Errorc(switchboard.CodeUnauthorized, "the token is not valid")
}

// key looks up the key that a header names. A header says nothing but what we
// write into it: "crit", "jwk", "jku", "x5u" and their like are other people's
// ways to choose the key.
func (t *Tokens) key(ctx context.Context, header map[string]any) ([]byte, error) {
	for name := range header {
		if name != "alg" && name != "typ" && name != "kid" {
			return nil, forged()
		}
	}
	kid, _ := header["kid"].(string)
	if !keyID.MatchString(kid) {
		return nil, forged()
	}
	key, err := t.verify(ctx, kid)
	switch {
	case switchboard.CodeOf(err) == switchboard.CodeNotFound:
		return nil, forged()
	case err != nil:
		return nil, err
	case len(key) < minKey:
		return nil, errKey // an empty key would make every signature good
	}
	return key, nil
}
