package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/switchboard/switchboard"
)

// payload is the middle part of a token. Clients of ChatHub read operator_id
// and exp in it. It has more fields than a struct should: each is a claim.
type payload struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"` // one text: a list would be one token for several uses
	Expires  int64  `json:"exp,omitempty"`
	Issued   int64  `json:"iat,omitempty"`
	Before   int64  `json:"nbf,omitempty"`

	Company    switchboard.CompanyID  `json:"company_id,omitempty"`
	Credential int64                  `json:"credential,omitempty"`
	Org        switchboard.OrgID      `json:"org,omitempty"`
	Operator   switchboard.OperatorID `json:"operator_id,omitempty"`
	Role       switchboard.Role       `json:"role,omitempty"`
	Name       string                 `json:"name,omitempty"`
	Visitor    string                 `json:"visitor,omitempty"`
	Email      string                 `json:"email,omitempty"`
	Minted     int64                  `json:"minted,omitempty"`
}

func payloadOf(c Claims, now time.Time) payload {
	p := payload{
		Issuer: issuer, Audience: c.Audience, Issued: now.Unix(), Company: c.Company, Credential: c.Credential, Org: c.Org,
		Operator: c.Operator, Role: c.Role, Name: c.Name, Visitor: c.Visitor, Email: c.Email, Minted: c.Minted,
	}
	if !c.Expires.IsZero() {
		p.Expires = c.Expires.Unix()
	}
	return p
}

func (p *payload) claims() Claims {
	c := Claims{
		Audience: p.Audience, Company: p.Company, Credential: p.Credential, Org: p.Org,
		Operator: p.Operator, Role: p.Role, Name: p.Name, Visitor: p.Visitor, Email: p.Email, Minted: p.Minted,
	}
	if p.Expires != 0 {
		c.Expires = time.Unix(p.Expires, 0)
	}
	return c
}

var visitorID = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// missing returns the first claim that the audience needs and that is absent or
// impossible, "" when all is there.
func (p *payload) missing() string {
	type need struct {
		claim string
		ok    bool
	}
	var needs []need
	switch p.Audience {
	case AudienceCompany:
		needs = []need{{"company_id", p.Company > 0}, {"credential", p.Credential > 0}, {"exp", p.Expires >= 0}}
	case AudienceOperator:
		role := p.Role == switchboard.RoleOperator || p.Role.Supervises()
		needs = []need{{"operator_id", p.Operator > 0}, {"org", p.Org > 0}, {"role", role}, {"minted", p.Minted > 0}, {"exp", p.Expires > 0}}
	case AudienceVisitor:
		needs = []need{{"visitor", visitorID.MatchString(p.Visitor)}, {"org", p.Org > 0}, {"minted", p.Minted >= 0}, {"exp", p.Expires > 0}}
	default:
		return "aud"
	}
	for _, n := range needs {
		if !n.ok {
			return n.claim
		}
	}
	return ""
}

// UnmarshalJSON refuses what encoding/json lets pass and two readers may read
// differently: a claim that comes twice, or once more in other letters ("EXP").
func (p *payload) UnmarshalJSON(raw []byte) error {
	type plain payload // without this method
	if err := json.Unmarshal(raw, (*plain)(p)); err != nil {
		return err
	}
	if !plainNames(raw) {
		return errNames
	}
	return nil
}

var errNames = errors.New("a claim is repeated or oddly named")

const maxClaims = 32

// plainNames reports whether the names of a valid JSON object are different and
// of [a-z_]. It reads by hand because a decoder's tokens cost more than the
// rest of the verification.
func plainNames(raw []byte) bool {
	var names [maxClaims][]byte
	n, depth, next := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			depth++
			next = depth == 1
		case '}', ']':
			depth--
		case ',':
			next = depth == 1
		case '"':
			start := i + 1
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			if !next {
				continue // a value, or a name further inside
			}
			name := raw[start:i]
			if n == maxClaims || len(name) == 0 || len(bytes.Trim(name, "abcdefghijklmnopqrstuvwxyz_")) > 0 {
				return false
			}
			for _, other := range names[:n] {
				if bytes.Equal(name, other) {
					return false
				}
			}
			names[n], next = name, false
			n++
		}
	}
	return true
}

// The methods below are how the JWT library reads claims. It gets no expiry,
// because its leeway would be given to that too; Verify looks at it itself.

// GetExpirationTime implements jwt.Claims; see above.
func (p *payload) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuedAt implements jwt.Claims.
func (p *payload) GetIssuedAt() (*jwt.NumericDate, error) { return date(p.Issued), nil }

// GetNotBefore implements jwt.Claims.
func (p *payload) GetNotBefore() (*jwt.NumericDate, error) { return date(p.Before), nil }

// GetIssuer implements jwt.Claims.
func (p *payload) GetIssuer() (string, error) { return p.Issuer, nil }

// GetSubject implements jwt.Claims; we use no subject.
func (p *payload) GetSubject() (string, error) { return "", nil }

// GetAudience implements jwt.Claims.
func (p *payload) GetAudience() (jwt.ClaimStrings, error) { return jwt.ClaimStrings{p.Audience}, nil }

func date(unix int64) *jwt.NumericDate {
	if unix == 0 {
		return nil
	}
	return jwt.NewNumericDate(time.Unix(unix, 0))
}
