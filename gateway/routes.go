package gateway

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/switchboard/switchboard"
)

// routes is the whole of what people and programs reach.
func (s *Server) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer, s.secure)

	r.Get("/ws", s.serveSocket)

	// Our own API.
	r.Post("/v1/session", s.answer(s.postSession))
	r.Post("/v1/visitor", s.answer(s.postVisitor))
	r.Get("/v1/widget", s.answer(s.getWidget))
	r.Get("/v1/teams", s.answer(s.getTeams))
	r.Post("/v1/teams", s.answer(s.postTeam))
	r.Put("/v1/teams", s.answer(s.putTeams))
	r.Get("/v1/teams/{id}", s.answer(s.getTeam))
	r.Put("/v1/teams/{id}", s.answer(s.putTeam))
	r.Get("/v1/settings", s.answer(s.getSettings))
	r.Put("/v1/settings", s.answer(s.putSettings))
	r.Get("/v1/settings/webhook-secret", s.answer(s.getWebhookSecret))
	r.Post("/v1/offline", s.answer(s.postOffline))
	r.Get("/v1/offline", s.answer(s.getOffline))
	r.Post("/v1/offline/{id}/done", s.answer(s.postOfflineDone))
	r.Get("/v1/chats/{id}/messages", s.answer(s.getMessages))
	r.Get("/v1/chats/{id}/notes", s.answer(s.getNotes))
	r.Get("/v1/operators/{id}/chats", s.answer(s.getChats))
	r.Post("/v1/chats", s.answer(s.postChat))
	r.Put("/v1/chats/{id}/priority", s.answer(s.putPriority))
	r.Get("/v1/chats/{id}/why", s.answer(s.getChatWhy))
	r.Get("/v1/decisions", s.answer(s.getDecisions))
	r.Get("/v1/operators/{id}/why", s.answer(s.getOperatorWhy))
	r.Get("/v1/operators", s.answer(s.getOperators))
	r.Put("/v1/operators/{id}/status", s.answer(s.putStatus))
	r.Put("/v1/operators/{id}/skills", s.answer(s.putSkills))
	r.Get("/v1/operators/{id}/history", s.answer(s.getHistory))
	r.Get("/v1/queue", s.answer(s.getQueue))
	r.Post("/v1/logouts", s.answer(s.postLogouts))
	r.Get("/v1/logouts", s.answer(s.getLogouts))
	r.Get("/v1/logouts/{id}", s.answer(s.getLogout))
	r.Delete("/v1/logouts/{id}", s.answer(s.deleteLogout))
	r.Get("/v1/audit", s.answer(s.getAudit))
	r.Post("/v1/calls", s.answer(s.postCall))
	r.Delete("/v1/calls/{operator}/{call}", s.answer(s.deleteCall))
	r.Post("/v1/work", s.answer(s.postWork))
	r.Delete("/v1/work/{operator}/{id}", s.answer(s.deleteWork))

	// Surfaces that keep other systems' contracts.
	(&chatHub{accounts: s.accounts, reg: s.reg, tokens: s.tokens, log: s.log, admit: s.limitSessions}).routes(r)
	(&ccai{accounts: s.accounts, reg: s.reg, log: s.log, limit: s.reg.NewRate(s.cfg.Limits.APIPerTenant), refused: s.limits.refused, from: s.from, signOut: s.signOut}).routes(r)

	// For the balancer.
	r.Get("/healthz", s.getHealth)
	r.Get("/readyz", s.getReady)

	s.pages(r)
	r.NotFound(s.answer(func(http.ResponseWriter, *http.Request) error {
		return switchboard.Errorc(switchboard.CodeNotFound, "there is nothing at this address")
	}))
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		s.writeJSON(w, http.StatusMethodNotAllowed, errorBody{Code: switchboard.CodeInvalid, Field: "method", Message: "this method is not allowed here"})
	})
	return r
}

// secure sets what every answer carries.
func (s *Server) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}
