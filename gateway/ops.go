package gateway

import (
	"net/http"
	"net/http/pprof"
	"strconv"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/switchboard/switchboard"
)

// opsRoutes are for those who run the node; they have a listener of their own.
func (s *Server) opsRoutes() http.Handler {
	r := chi.NewRouter()
	r.Handle("/metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{}))
	r.Get("/healthz", s.getHealth)
	r.Get("/readyz", s.getReady)
	r.Get("/check/{org}", s.answer(s.getCheck))
	r.HandleFunc("/debug/pprof/*", pprof.Index)
	r.HandleFunc("/debug/pprof/profile", pprof.Profile)
	r.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return r
}

// getHealth says that the process lives. It asks nobody: a store that is away
// must not have every node restarted.
func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) {
	s.writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// getReady says whether the balancer should send new people here. A store that
// is away does not count: all nodes would leave the balancer at once.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) {
	status, state := http.StatusOK, "serving"
	if s.draining.Load() {
		status, state = http.StatusServiceUnavailable, "draining"
	}
	st := s.hub.Stats()
	s.writeJSON(w, status, map[string]any{"state": state, "node": s.reg.Incarnation(), "store": s.cfg.Store, "sockets": st.Sockets})
}

// getCheck verifies the invariants of one organization (ARCHITECTURE.md).
func (s *Server) getCheck(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseInt(chi.URLParam(r, "org"), 10, 64)
	if err != nil || id <= 0 {
		return switchboard.Invalid("org", "an organization's id")
	}
	broken, err := s.router.Check(r.Context(), switchboard.OrgID(id))
	if err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, map[string]any{"org": id, "broken": append([]string{}, broken...)})
	return nil
}
