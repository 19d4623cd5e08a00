package gateway

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// getAudit exports who signed out whom, why, from where, when it was asked for
// and when it was done: GET /v1/audit?from=&to=&format=ndjson|csv, times in Unix
// ms, the last 30 days by default. It is streamed; an answer that broke off ends
// without its last line: "# end" of CSV, {"end":true} of NDJSON.
func (s *Server) getAudit(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	from, err := number(r, "from", now-30*24*3600*1000, 1<<53)
	if err != nil {
		return err
	}
	to, err := number(r, "to", now+60_000, 1<<53) // the store's clock may be ahead
	if err != nil {
		return err
	}
	if from > to {
		return switchboard.Invalid("from", "a time before to")
	}
	w.Header().Set("Cache-Control", "no-store")
	var write func(presence.Audited) error
	var end func() error
	switch r.URL.Query().Get("format") {
	case "", "ndjson":
		w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
		out := json.NewEncoder(w)
		write = func(a presence.Audited) error { return out.Encode(a) }
		end = func() error { return out.Encode(map[string]bool{"end": true}) }
	case "csv":
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="audit.csv"`)
		out := csv.NewWriter(w)
		head := []string{"id", "done", "what", "whom", "by", "order", "why", "from", "asked", "spec", "chat"}
		if err := out.Write(head); err != nil {
			return err
		}
		write = func(a presence.Audited) error {
			return out.Write([]string{a.ID, when(a.Done), a.What, some(int64(a.Whom)), cell(a.By), some(int64(a.Order)), cell(a.Why), cell(a.From), when(a.Asked), cell(string(a.Spec)), some(int64(a.Chat))})
		}
		end = func() error {
			out.Flush()
			if err := out.Error(); err != nil {
				return err
			}
			_, err := fmt.Fprintln(w, "# end")
			return err
		}
	default:
		return switchboard.Invalid("format", "ndjson or csv")
	}
	var broken error
	err = s.reg.Audit(r.Context(), claims.Org, from, to, func(a presence.Audited) bool {
		broken = write(a)
		return broken == nil
	})
	if err == nil && broken == nil {
		broken = end()
	}
	if err != nil || broken != nil { // the head is out: it ends without its last line
		s.log.Warn("an audit export broke off", "org", claims.Org, "err", err, "write", broken)
	}
	return nil
}

func when(ms int64) string {
	if ms == 0 {
		return ""
	}
	return isoTime(ms)
}

func some(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// cell keeps a text that people wrote from being a formula where it is opened.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
