package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// Settings over HTTP: supervisors read, admins write. A write carries the version
// that the writer has seen, in If-Match or in the body's "version" ("*" in
// If-Match: whatever it is), and is refused when it has moved on. What is wrong
// with it is told all at once.

// adminOf is operatorOf for those who may set.
func (s *Server) adminOf(r *http.Request) (Claims, error) {
	claims, err := s.operatorOf(r)
	if err == nil && claims.Role != switchboard.RoleAdmin {
		err = switchboard.Errorc(switchboard.CodeForbidden, "this needs an admin")
	}
	return claims, err
}

// teamBody is a team's settings on the wire.
type teamBody struct {
	ID switchboard.TeamID `json:"id"`
	presence.Team
}

func bodyOf(t presence.Team) teamBody {
	if t.Version == 0 {
		t.Version = 1 // written before versions were counted
	}
	return teamBody{t.ID, t}
}

// getTeams lists teams: with all settings for supervisors, by name for operators.
func (s *Server) getTeams(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.operatorOf(r)
	if err != nil {
		return err
	}
	if !claims.Role.Supervises() {
		rows, err := s.teamRows(r.Context(), claims.Org)
		if err == nil {
			s.writeJSON(w, http.StatusOK, rows)
		}
		return err
	}
	teams, err := s.reg.Teams(r.Context(), claims.Org)
	if err != nil {
		return err
	}
	list := []teamBody{}
	for _, t := range teams {
		if t.ID != 0 { // the organization's own: /v1/teams/0
			list = append(list, bodyOf(t))
		}
	}
	s.writeJSON(w, http.StatusOK, list)
	return nil
}

func teamID(r *http.Request) (switchboard.TeamID, error) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id < 0 {
		return 0, switchboard.Invalid("id", "a team's id")
	}
	return switchboard.TeamID(id), nil
}

func (s *Server) getTeam(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	id, err := teamID(r)
	if err != nil {
		return err
	}
	return s.writeTeam(w, r, claims, id, http.StatusOK)
}

func (s *Server) writeTeam(w http.ResponseWriter, r *http.Request, claims Claims, id switchboard.TeamID, status int) error {
	t, err := s.reg.Team(r.Context(), claims.Org, id)
	if err != nil {
		return err
	}
	b := bodyOf(t)
	w.Header().Set("ETag", etag(b.Version))
	s.writeJSON(w, status, b)
	return nil
}

// postTeam creates a team.
func (s *Server) postTeam(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.adminOf(r)
	if err != nil {
		return err
	}
	raw, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	var b teamBody
	if err := decodeAll(raw, "", &b); err != nil {
		return err
	}
	if b.ID, err = s.accounts.NextTeam(r.Context()); err != nil {
		return err
	}
	b.Team.ID = b.ID
	if err := s.changeTeams(r, claims, []presence.TeamChange{{Team: b.Team}}); err != nil {
		return err
	}
	w.Header().Set("Location", fmt.Sprintf("/v1/teams/%d", b.ID))
	return s.writeTeam(w, r, claims, b.ID, http.StatusCreated)
}

// putTeam replaces a team's settings; what is left out gets its default.
func (s *Server) putTeam(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.adminOf(r)
	if err != nil {
		return err
	}
	id, err := teamID(r)
	if err != nil {
		return err
	}
	var b teamBody
	known, err := readChange(w, r, &b, &b.Version)
	if err != nil {
		return err
	}
	if b.ID != 0 && b.ID != id {
		return switchboard.Invalid("id", "another team than the address names")
	}
	b.Team.ID = id
	if err := s.changeTeams(r, claims, []presence.TeamChange{{Team: b.Team, Known: known}}); err != nil {
		return err
	}
	return s.writeTeam(w, r, claims, id, http.StatusOK)
}

// putTeams replaces the settings of several teams, all or none; each has its id
// and the version that the writer has seen.
func (s *Server) putTeams(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.adminOf(r)
	if err != nil {
		return err
	}
	raw, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	var list []json.RawMessage
	if err := decodeJSON(raw, &list); err != nil {
		return err
	}
	if len(list) == 0 || len(list) > 256 {
		return switchboard.Invalid("body", "1 to 256 teams")
	}
	changes := make([]presence.TeamChange, len(list))
	seen := map[switchboard.TeamID]bool{}
	for i, one := range list {
		at := fmt.Sprintf("teams[%d].", i)
		var b teamBody
		if e := decodeAll(one, at, &b); e != nil {
			err = errors.Join(err, e)
			continue
		}
		if b.Version <= 0 {
			err = errors.Join(err, switchboard.Invalid(at+"version", "the version that was read is needed"))
		}
		if b.ID < 0 || seen[b.ID] {
			err = errors.Join(err, switchboard.Invalid(at+"id", "a team's id, each once"))
		}
		seen[b.ID] = true
		b.Team.ID = b.ID
		changes[i] = presence.TeamChange{Team: b.Team, Known: b.Version}
	}
	if err != nil {
		return joined(err)
	}
	if err := s.changeTeams(r, claims, changes); err != nil {
		return err
	}
	return s.getTeams(w, r)
}

// changeTeams writes settings; they are answered only when a replica has them.
func (s *Server) changeTeams(r *http.Request, claims Claims, changes []presence.TeamChange) error {
	if _, err := s.reg.ChangeTeams(r.Context(), claims.Org, string(claims.Person()), changes); err != nil {
		return err
	}
	return s.reg.Safe(r.Context(), claims.Org)
}

// settingsBody is an organization's settings on the wire. Which site it is (id,
// company, slug) is not a setting: it may be sent back, and does not count.
type settingsBody struct {
	accounts.Organization
}

func (s *Server) getSettings(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	s.accounts.Forget(claims.Org) // who is about to write must not see an old version
	o, err := s.accounts.Organization(r.Context(), claims.Org)
	if err != nil {
		return err
	}
	o.Version = max(o.Version, 1)
	w.Header().Set("ETag", etag(o.Version))
	s.writeJSON(w, http.StatusOK, settingsBody{o})
	return nil
}

// putSettings replaces an organization's settings; every node hears of it.
func (s *Server) putSettings(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.adminOf(r)
	if err != nil {
		return err
	}
	var b settingsBody
	known, err := readChange(w, r, &b, &b.Version)
	if err != nil {
		return err
	}
	b.ID = claims.Org
	if b.WebhookAllow != nil { // what was read may come back; inner networks are not a tenant's to open
		now, err := s.accounts.Organization(r.Context(), claims.Org)
		if err != nil {
			return err
		}
		if !slices.Equal(b.WebhookAllow, now.WebhookAllow) {
			return switchboard.Invalid("webhook_allow", "only whoever runs the installation may change this")
		}
		b.WebhookAllow = nil
	}
	o, err := s.accounts.ChangeOrganization(r.Context(), b.Organization, known, string(claims.Person()))
	if err != nil {
		return err
	}
	if err := s.reg.Announce(r.Context(), claims.Org, topicSettings); err != nil {
		s.log.Warn("nodes hear of changed settings within 5 s only", "org", claims.Org, "err", err)
	}
	w.Header().Set("ETag", etag(o.Version))
	s.writeJSON(w, http.StatusOK, settingsBody{o})
	return nil
}

// topicSettings is the broadcast that an organization's settings have changed.
const topicSettings = "settings"
