package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/routing"
)

// accessLife is how long a person's access token lives; it is renewed with the
// refresh token, in band by "auth" on an open socket.
const accessLife = 15 * time.Minute

type signedIn struct {
	Access  string               `json:"access"`
	Expires int64                `json:"expires"` // Unix ms
	Refresh string               `json:"refresh"`
	Person  switchboard.PersonID `json:"person"`
	Role    switchboard.Role     `json:"role"`
	Org     switchboard.OrgID    `json:"org"`
	Name    string               `json:"name"`
}

// postSession signs a person in by login and password, by a one-time ticket, or
// anew by a refresh token (which is spent and replaced).
func (s *Server) postSession(w http.ResponseWriter, r *http.Request) error {
	if err := s.limitSessions(r); err != nil {
		return err
	}
	var in struct {
		Login    string `json:"login"`
		Password string `json:"password"`
		Ticket   string `json:"ticket"`
		Refresh  string `json:"refresh"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	ctx := r.Context()
	var who accounts.Login
	var refresh string
	var err error
	switch {
	case in.Refresh != "":
		who, refresh, err = s.accounts.Rotate(ctx, in.Refresh)
	case in.Ticket != "":
		who, err = s.accounts.SpendTicket(ctx, in.Ticket)
	case in.Login != "":
		who, err = s.accounts.VerifyLogin(ctx, in.Login, in.Password)
	default:
		err = switchboard.Invalid("login", "login and password, ticket or refresh is needed")
	}
	if err != nil {
		return err
	}
	minted, err := s.reg.Minted(ctx, who.Org, who.Operator)
	if err != nil {
		return signInError(err)
	}
	if in.Refresh != "" {
		if _, err := s.reg.CheckToken(ctx, who.Org, who.Operator, who.Since); err != nil {
			return err
		}
	} else {
		who.Since = minted
		if refresh, err = s.accounts.NewRefresh(ctx, who); err != nil {
			return err
		}
	}
	rec, err := s.reg.Operator(ctx, who.Org, who.Operator)
	if err != nil {
		return signInError(err)
	}
	expires := time.Now().Add(accessLife)
	access, err := s.tokens.MintOperator(ctx, Claims{Org: who.Org, Operator: who.Operator, Role: rec.Role, Name: rec.Name, Minted: minted, Expires: expires})
	if err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, signedIn{Access: access, Expires: expires.UnixMilli(), Refresh: refresh,
		Person: switchboard.OperatorPerson(who.Operator), Role: rec.Role, Org: who.Org, Name: rec.Name})
	return nil
}

// signInError: whoever may not sign in hears the same, whatever the reason.
func signInError(err error) error {
	switch switchboard.CodeOf(err) {
	case switchboard.CodeNotFound, switchboard.CodeForbidden:
		return switchboard.Errorc(switchboard.CodeUnauthorized, "the sign-in is not valid")
	}
	return err
}

func (s *Server) limitSessions(r *http.Request) error {
	addr, _ := s.trust().Addr(r)
	if wait, ok := s.limits.session(addr); !ok {
		return &switchboard.Error{Code: switchboard.CodeTooFast, Message: "too many sign-ins from this address", RetryAfter: wait}
	}
	return nil
}

type visitorSession struct {
	Token   string               `json:"token"`
	Expires int64                `json:"expires"` // Unix ms
	Visitor switchboard.PersonID `json:"visitor"`
}

// postVisitor gives a visitor a signed session, new or renewed by the token of
// an earlier one. Name and e-mail are the visitor's own words: they are shown
// and prove nothing.
func (s *Server) postVisitor(w http.ResponseWriter, r *http.Request) error {
	if err := s.limitSessions(r); err != nil {
		return err
	}
	var in struct {
		Org   switchboard.OrgID `json:"org"`
		Name  string            `json:"name"`
		Email string            `json:"email"`
		Token string            `json:"token"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	switch {
	case in.Org <= 0:
		return switchboard.Invalid("org", "an organization's id")
	case !fits(in.Name, 100):
		return switchboard.Invalid("name", "at most 100 characters")
	case !fits(in.Email, 254):
		return switchboard.Invalid("email", "at most 254 characters")
	}
	org, err := s.accounts.Organization(r.Context(), in.Org)
	if switchboard.CodeOf(err) == switchboard.CodeNotFound {
		return switchboard.Invalid("org", "no such organization")
	}
	if err != nil {
		return err
	}
	if !originAllowed(r.Header.Get("Origin"), r.Host, org.Sites) {
		return &switchboard.Error{Code: switchboard.CodeForbidden, Message: "pages of this origin may not open sessions here"}
	}
	if wait, ok := s.limits.visitors(in.Org); !ok {
		return &switchboard.Error{Code: switchboard.CodeTooFast, Message: "too many new visitors", RetryAfter: wait}
	}
	claims := Claims{Org: in.Org, Visitor: newVisitorID(), Name: in.Name, Email: in.Email}
	if in.Token != "" {
		old, err := s.tokens.Verify(r.Context(), in.Token, time.Now())
		if err != nil {
			return err
		}
		if old.Audience != AudienceVisitor || old.Org != in.Org {
			return &switchboard.Error{Code: switchboard.CodeUnauthorized, Field: "token", Message: "the token is not valid"}
		}
		claims.Visitor = old.Visitor
		if in.Name == "" && in.Email == "" {
			claims.Name, claims.Email = old.Name, old.Email
		}
	}
	claims.Expires = time.Now().Add(visitorLife)
	token, err := s.tokens.MintVisitor(r.Context(), claims)
	if err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, visitorSession{Token: token, Expires: claims.Expires.UnixMilli(), Visitor: switchboard.VisitorPerson(claims.Visitor)})
	return nil
}

func fits(s string, max int) bool { return utf8.ValidString(s) && utf8.RuneCountInString(s) <= max }

// newVisitorID returns 80 random bits as 16 letters and digits: short, because
// every visitor here costs it several times in memory, and not to be guessed
// within a token's life.
func newVisitorID() string {
	var b [10]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

type teamRow struct {
	ID   switchboard.TeamID `json:"id"`
	Name string             `json:"name"`
}

func (s *Server) teamRows(ctx context.Context, org switchboard.OrgID) ([]teamRow, error) {
	teams, err := s.reg.Teams(ctx, org)
	if err != nil {
		return nil, err
	}
	rows := []teamRow{}
	for _, t := range teams {
		if t.ID != 0 {
			rows = append(rows, teamRow{t.ID, t.Name})
		}
	}
	return rows, nil
}

// getWidget tells a widget what it may offer, and whether anybody answers now. It
// needs no token: it is what the customer's page shows to everybody.
func (s *Server) getWidget(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(r.URL.Query().Get("org"), 10, 64)
	if err != nil || id <= 0 {
		return switchboard.Invalid("org", "an organization's id")
	}
	org, err := s.accounts.Organization(r.Context(), switchboard.OrgID(id))
	if err != nil {
		return err
	}
	rows, err := s.teamRows(r.Context(), org.ID)
	if err != nil {
		return err
	}
	ids := []switchboard.TeamID{0}
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	doors, err := s.router.Doors(r.Context(), org.ID, ids)
	if err != nil {
		return err
	}
	teams := []widgetTeam{}
	for i, row := range rows {
		teams = append(teams, widgetTeam{row, doorOf(doors[i+1])})
	}
	s.writeJSON(w, http.StatusOK, struct {
		Org   switchboard.OrgID `json:"org"`
		Name  string            `json:"name"`
		Teams []widgetTeam      `json:"teams"`
		door                    // of everyone, for a chat without a team
	}{org.ID, org.Name, teams, doorOf(doors[0])})
	return nil
}

// door is what a chat that was started now would meet.
type door struct {
	Answer string `json:"answer"`          // serve, hold (waits for the opening) or form (leave a message)
	Opens  int64  `json:"opens,omitempty"` // Unix ms of the next opening, while closed and where it is known
}

func doorOf(d routing.Door) door { return door{d.Answer, d.Opens} }

type widgetTeam struct {
	teamRow
	door
}
