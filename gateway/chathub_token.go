package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/switchboard/switchboard"
)

const (
	// operatorTokenLife is the longest life of an operator's token; the skew
	// forgives a client whose clock is a little ahead.
	operatorTokenLife = 24 * time.Hour
	operatorTokenSkew = time.Minute
)

// operatorToken makes a token for one operator, for at most 24 hours. A longer
// time is refused, not shortened: the caller would not notice (quirk 4).
func (s *chatHub) operatorToken(w http.ResponseWriter, r *http.Request) error {
	company, err := s.company(r)
	if err != nil {
		return err
	}
	var in struct {
		ID        *switchboard.OperatorID `json:"id"`
		ExpiresAt *string                 `json:"expiresAt"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.ID == nil {
		return switchboard.Invalid("id", "an integer is needed")
	}
	if in.ExpiresAt == nil {
		return switchboard.Invalid("expiresAt", "an ISO 8601 time is needed")
	}
	expires, err := parseISO(*in.ExpiresAt)
	switch now := time.Now(); {
	case err != nil:
		return switchboard.Invalid("expiresAt", "an ISO 8601 time is needed")
	case expires.Unix() <= now.Unix():
		return switchboard.Invalid("expiresAt", "must be in the future")
	case expires.After(now.Add(operatorTokenLife + operatorTokenSkew)):
		return switchboard.Invalid("expiresAt", "at most 24 hours ahead")
	}
	org, err := s.orgOf(r.Context(), company, *in.ID)
	if err != nil {
		return err
	}
	minted, err := s.reg.Minted(r.Context(), org, *in.ID)
	if err != nil {
		return err
	}
	op, err := s.reg.Operator(r.Context(), org, *in.ID)
	if err != nil {
		return err
	}
	raw, err := s.tokens.MintOperator(r.Context(), Claims{Company: company, Org: org, Operator: op.ID, Role: op.Role, Name: op.Name, Minted: minted, Expires: expires})
	if err == nil {
		writeToken(w, r, raw)
	}
	return err
}

// parseISO reads the forms of ISO 8601 that clients send; a time without a zone
// is UTC.
func parseISO(text string) (time.Time, error) {
	var t time.Time
	var err error
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err = time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return t, err
}

// validation answers validate-token. Both names of the verdict are sent, since
// the contract has changed it (quirk 5).
type validation struct {
	IsValid    bool                    `json:"isValid"`
	Valid      bool                    `json:"valid"`
	OperatorID *switchboard.OperatorID `json:"operatorId,omitempty"`
	ClientID   *int64                  `json:"clientId,omitempty"` // always 0
	ExpiresAt  *string                 `json:"expiresAt,omitempty"`
	Error      *string                 `json:"error"`
}

// validateToken says whether an operator's token would be taken now: 200 for
// every well-formed question.
func (s *chatHub) validateToken(w http.ResponseWriter, r *http.Request) error {
	company, err := s.company(r)
	if err != nil {
		return err
	}
	var in struct {
		Token *string `json:"token"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if in.Token == nil {
		return switchboard.Invalid("token", "a text is needed")
	}
	claims, err := s.operatorClaims(r.Context(), company, *in.Token)
	var out validation
	switch code := switchboard.CodeOf(err); code {
	case "":
		expires := claims.Expires.UTC().Format(time.RFC3339)
		out = validation{IsValid: true, Valid: true, OperatorID: &claims.Operator, ClientID: new(int64), ExpiresAt: &expires}
	case switchboard.CodeUnauthorized, switchboard.CodeExpired, switchboard.CodeLoggedOut, switchboard.CodeNotFound:
		text := "Invalid token"
		if code == switchboard.CodeExpired {
			text = "Token expired"
		}
		out.Error = &text
	default:
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// operatorClaims verifies an operator's token as every other door does, and that
// the operator is the company's.
func (s *chatHub) operatorClaims(ctx context.Context, company switchboard.CompanyID, raw string) (Claims, error) {
	claims, err := s.tokens.Verify(ctx, raw, time.Now())
	if err != nil {
		return claims, err
	}
	if claims.Audience != AudienceOperator {
		return claims, forged()
	}
	if _, err := s.orgOf(ctx, company, claims.Operator); err != nil {
		return claims, err
	}
	_, err = s.reg.CheckToken(ctx, claims.Org, claims.Operator, claims.Minted)
	return claims, err
}
