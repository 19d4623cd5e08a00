package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
)

// maxBody is the largest JSON body of a request to our own API.
const maxBody = 256 << 10

// bearer returns the token of a request's Authorization header.
func bearer(r *http.Request) (string, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(token) == "" {
		return "", switchboard.Errorc(switchboard.CodeUnauthorized, "an Authorization header with a bearer token is needed")
	}
	return strings.TrimSpace(token), nil
}

// trust says whose word on a client's address counts here.
func (s *Server) trust() Trust {
	return Trust{Proxies: s.cfg.TrustedProxies, Header: s.cfg.ProxyHeader}
}

// operatorOf returns whose token a request carries. Every request reads the
// operator's logout floor: a token older than a logout is refused everywhere.
func (s *Server) operatorOf(r *http.Request) (Claims, error) {
	raw, err := bearer(r)
	if err != nil {
		return Claims{}, err
	}
	claims, err := s.tokens.Verify(r.Context(), raw, time.Now())
	if err != nil {
		return claims, err
	}
	if claims.Audience != AudienceOperator {
		return claims, switchboard.Errorc(switchboard.CodeForbidden, "this needs an operator's token")
	}
	_, err = s.reg.CheckToken(r.Context(), claims.Org, claims.Operator, claims.Minted)
	return claims, err
}

// supervisorOf is operatorOf for those who may order others.
func (s *Server) supervisorOf(r *http.Request) (Claims, error) {
	claims, err := s.operatorOf(r)
	if err == nil && !claims.Role.Supervises() {
		err = switchboard.Errorc(switchboard.CodeForbidden, "this needs a supervisor")
	}
	return claims, err
}

// writeJSON answers a request with what must not be stored on the way.
func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, v)
}

func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	writeError(s.log, w, r, err)
}

// handler is an HTTP handler that may fail; answer turns it into a plain one.
type handler func(w http.ResponseWriter, r *http.Request) error

func (s *Server) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		if err := h(w, r.WithContext(ctx)); err != nil {
			s.writeError(w, r, err)
		}
	}
}

// introduced is what a hello says of its person and wants to watch, once it may be
// let in.
func (s *Server) introduced(ctx context.Context, ss *session, in switchboard.In) (claims Claims, watched scope, err error) {
	if claims, err = s.identify(ctx, ss, in.Token); err != nil {
		return claims, watched, err
	}
	if len(in.Chats) > maxResume {
		return claims, watched, switchboard.Invalid("chats", "at most 100")
	}
	if !claims.Role.Supervises() { // a page may ask for it before it knows who it is
		in.Watch = slices.DeleteFunc(slices.Clone(in.Watch), func(t string) bool { return t == topicLogouts || t == topicLosses })
	}
	if watched, err = scopeOf(in, claims); err != nil {
		return claims, watched, err
	}
	return claims, watched, s.limits.enter(claims.Org)
}
