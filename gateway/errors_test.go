package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
)

// codesOfTheRoot reads the codes out of error.go, so that a new one cannot be
// forgotten here.
func codesOfTheRoot(t *testing.T) []switchboard.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []switchboard.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, switchboard.Code(text))
		return true
	})
	return codes
}

func TestEveryCodeHasAnAnswer(t *testing.T) {
	codes := codesOfTheRoot(t)
	if len(codes) < 10 || len(codes) != len(answers) {
		t.Errorf("%d codes, %d answers", len(codes), len(answers))
	}
	for _, code := range codes {
		a, ok := answers[code]
		if !ok || a.status < 400 || a.close < 1000 {
			t.Errorf("%s: %+v", code, a)
		}
		// What clients rely on (docs/protocol.md, "Closing").
		want := map[switchboard.Code]int{
			switchboard.CodeExpired: 4001, switchboard.CodeUnauthorized: 4001, switchboard.CodeLoggedOut: 4003,
			switchboard.CodeTooFast: 4029, switchboard.CodeUnavailable: 1013, switchboard.CodeTooLarge: 1009, switchboard.CodeInvalid: 4000,
		}[code]
		if got := closeCode(switchboard.Errorc(code, "x")); want != 0 && got != want {
			t.Errorf("%s closes a socket with %d, want %d", code, got, want)
		}
	}
}

func TestAnErrorIsShownInItsShape(t *testing.T) {
	secret := errors.New("dial tcp 10.1.2.3:6379: password hunter2")
	for _, c := range []struct {
		name       string
		err        error
		status     int
		body       string
		retryAfter string
		level      string
	}{
		{"field", switchboard.Invalid("operators[2].id", "a positive integer"), 400,
			`{"code":"invalid","message":"a positive integer","field":"operators[2].id"}`, "", "DEBUG"},
		{"wrapped", fmt.Errorf("reading: %w", switchboard.Errorc(switchboard.CodeNotFound, "no such order")), 404,
			`{"code":"not_found","message":"no such order"}`, "", "DEBUG"},
		{"limit", tooFast(1500 * time.Millisecond), 429,
			`{"code":"too_fast","message":"too many requests; slow down","retry_ms":1500}`, "2", "DEBUG"},
		{"a limit of microseconds", tooFast(time.Microsecond), 429,
			`{"code":"too_fast","message":"too many requests; slow down","retry_ms":1}`, "1", "DEBUG"},
		{"limit without a time", switchboard.Errorc(switchboard.CodeTooFast, "slow down"), 429,
			`{"code":"too_fast","message":"slow down","retry_ms":1000}`, "1", "DEBUG"},
		{"the cause stays inside", switchboard.Wrap(switchboard.CodeUnavailable, "try again", secret), 503,
			`{"code":"unavailable","message":"try again","retry_ms":1000}`, "1", "WARN"},
		{"not ours", secret, 500, `{"code":"internal","message":"` + internalMessage + `"}`, "", "ERROR"},
		{"internal, with a text", switchboard.Wrap(switchboard.CodeInternal, "key 7 of partition 3", secret), 500,
			`{"code":"internal","message":"` + internalMessage + `"}`, "", "ERROR"},
		{"a code of a newer package", switchboard.Errorc("shiny", "x"), 500, `{"code":"internal","message":"` + internalMessage + `"}`, "", "ERROR"},
		{"too slow", fmt.Errorf("hgetall: %w", context.DeadlineExceeded), 503,
			`{"code":"unavailable","message":"the answer took too long; try again","retry_ms":1000}`, "1", "WARN"},
	} {
		var logged bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		mux := chi.NewRouter()
		mux.Get("/orders/{id}", func(w http.ResponseWriter, r *http.Request) { writeError(log, w, r, c.err) })
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/orders/77?token=abc", nil))
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("Retry-After") != c.retryAfter {
			t.Errorf("%s: got %d %s, Retry-After %q", c.name, w.Code, w.Body, w.Header().Get("Retry-After"))
		}
		if w.Header().Get("Content-Type") != "application/json; charset=utf-8" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", c.name, w.Header())
		}
		line := logged.String()
		if !strings.Contains(line, "level="+c.level+" ") || !strings.Contains(line, "route=/orders/{id}") || strings.Contains(line, "abc") {
			t.Errorf("%s: logged %q", c.name, line)
		}
		if errors.Is(c.err, secret) && !strings.Contains(line, secret.Error()) {
			t.Errorf("%s: the cause is not in the log: %q", c.name, line)
		}
	}
}

func TestAClientThatWentAwayIsNobodysError(t *testing.T) {
	var logged bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	writeError(slog.New(slog.NewTextHandler(&logged, nil)), httptest.NewRecorder(), r, fmt.Errorf("hget: %w", context.Canceled))
	if logged.Len() > 0 {
		t.Fatal(logged.String())
	}
	r = httptest.NewRequest("GET", "/", nil)
	writeError(slog.New(slog.NewTextHandler(&logged, nil)), httptest.NewRecorder(), r, fmt.Errorf("hget: %w", context.Canceled))
	if logged.Len() == 0 {
		t.Fatal("a call of our own that was cancelled left no trace")
	}
}

func TestABodyIsReadOrRefusedWithItsField(t *testing.T) {
	type shape struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
		In   struct {
			N []int `json:"n"`
		} `json:"in"`
	}
	for _, c := range []struct {
		body, field string
		code        switchboard.Code
	}{
		{`{"id":1,"name":"a","unknown":[{}]}`, "", ""},
		{"\n {\"id\":1} \n", "", ""},
		{``, "body", switchboard.CodeInvalid},
		{`{`, "body", switchboard.CodeInvalid},
		{`{} {}`, "body", switchboard.CodeInvalid},
		{`[]`, "body", switchboard.CodeInvalid},
		{`"x"`, "body", switchboard.CodeInvalid},
		{`{"id":"1"}`, "id", switchboard.CodeInvalid},
		{`{"id":1.5}`, "id", switchboard.CodeInvalid},
		{`{"id":1e3}`, "id", switchboard.CodeInvalid},
		{`{"id":9223372036854775808}`, "id", switchboard.CodeInvalid},
		{`{"name":{}}`, "name", switchboard.CodeInvalid},
		{`{"in":{"n":["x"]}}`, "in.n", switchboard.CodeInvalid},
		{"{\"name\":\"\xff\"}", "body", switchboard.CodeInvalid},
		{`{"name":"` + strings.Repeat("x", 200) + `"}`, "body", switchboard.CodeTooLarge},
	} {
		w := httptest.NewRecorder()
		err := readJSON(w, httptest.NewRequest("POST", "/", strings.NewReader(c.body)), 100, new(shape))
		var e *switchboard.Error
		if c.code == "" {
			if err != nil {
				t.Errorf("%q: %v", c.body, err)
			}
		} else if !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%q: got %v", c.body, err)
		}
	}
}
