package gateway

import (
	"bytes"
	"io/fs"
	"mime"
	"net/http"
	gopath "path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/web"
)

// plainHost is a Host header that may be repeated in a policy.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]+$`)

// policy lets a page load what we serve and talk to us, and nothing else. Some
// browsers do not count a socket to the same host as 'self', so it is named.
func policy(r *http.Request) string {
	sockets := ""
	if plainHost.MatchString(r.Host) {
		sockets = " ws://" + r.Host + " wss://" + r.Host
	}
	return "default-src 'self'; connect-src 'self'" + sockets + "; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'"
}

// pages serves the browser side. Only the widget may stand in a frame, and only
// on the sites of its organization.
func (s *Server) pages(r chi.Router) {
	r.Get("/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/console/", http.StatusFound) })
	for _, page := range []string{"console", "supervisor", "demo"} {
		r.Get("/"+page+"/", s.page(page+"/index.html", "frame-ancestors 'none'"))
	}
	r.Get("/widget/", s.widgetPage)
	r.Get("/widget.js", s.page("widget.js", ""))
	r.Get("/assets/*", func(w http.ResponseWriter, r *http.Request) {
		s.page(gopath.Join("assets", gopath.Clean("/"+chi.URLParam(r, "*"))), "")(w, r)
	})
}

// page serves one file of the browser side.
func (s *Server) page(name, frames string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := fs.ReadFile(web.FS(), strings.TrimPrefix(name, "/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", contentType(name))
		allow := policy(r)
		if frames != "" {
			allow += "; " + frames
		}
		h.Set("Content-Security-Policy", allow)
		h.Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}
}

func contentType(name string) string {
	if t := mime.TypeByExtension(gopath.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// widgetPage is the page in the widget's frame; whose sites may frame it depends
// on the organization that it is asked for.
func (s *Server) widgetPage(w http.ResponseWriter, r *http.Request) {
	frames := "frame-ancestors 'self'"
	if id, err := strconv.ParseInt(r.URL.Query().Get("org"), 10, 64); err == nil && id > 0 {
		org, err := s.accounts.Organization(r.Context(), switchboard.OrgID(id))
		switch {
		case err == nil:
			frames = strings.Join(append([]string{frames}, org.Sites...), " ")
		case switchboard.CodeOf(err) != switchboard.CodeNotFound:
			s.writeError(w, r, err)
			return
		}
	}
	s.page("widget/index.html", frames)(w, r)
}
