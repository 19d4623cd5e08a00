package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
)

// answer is what a code means to a client: over HTTP, as the end of a socket,
// and after how long the same request may succeed (0: not by waiting).
type answer struct {
	status int
	close  int
	retry  time.Duration
}

// RFC 6455's own close codes that we send for errors.
const (
	closeTooBig     = 1009
	closeServerBug  = 1011
	closeTryLater   = 1013
	defaultRetry    = time.Second
	internalMessage = "something went wrong on our side; the log has it"
)

// answers is the one table from codes to what clients see (docs/protocol.md,
// "Closing"). An error with a RetryAfter of its own overrides retry.
var answers = map[switchboard.Code]answer{
	switchboard.CodeInvalid:      {http.StatusBadRequest, switchboard.CloseProtocol, 0},
	switchboard.CodeUnauthorized: {http.StatusUnauthorized, switchboard.CloseExpired, 0}, // get a new token, then again
	switchboard.CodeExpired:      {http.StatusUnauthorized, switchboard.CloseExpired, 0},
	switchboard.CodeLoggedOut:    {http.StatusUnauthorized, switchboard.CloseLoggedOut, 0},
	switchboard.CodeForbidden:    {http.StatusForbidden, switchboard.CloseProtocol, 0},
	switchboard.CodeNotFound:     {http.StatusNotFound, switchboard.CloseProtocol, 0},
	switchboard.CodeConflict:     {http.StatusConflict, switchboard.CloseProtocol, 0}, // read again, then decide
	switchboard.CodeLeaving:      {http.StatusConflict, switchboard.CloseLoggedOut, 0},
	switchboard.CodeClosed:       {http.StatusGone, switchboard.CloseProtocol, 0},
	switchboard.CodeOffline:      {http.StatusConflict, switchboard.CloseProtocol, 0},
	switchboard.CodeTooLarge:     {http.StatusRequestEntityTooLarge, closeTooBig, 0},
	switchboard.CodeTooFast:      {http.StatusTooManyRequests, switchboard.CloseTooFast, defaultRetry},
	switchboard.CodeUnavailable:  {http.StatusServiceUnavailable, closeTryLater, defaultRetry},
	switchboard.CodeInternal:     {http.StatusInternalServerError, closeServerBug, 0},
}

// errorBody is an error as our own API and the socket's error object show it.
type errorBody struct {
	Code    switchboard.Code `json:"code"`
	Message string           `json:"message"`
	Field   string           `json:"field,omitempty"`
	RetryMS int64            `json:"retry_ms,omitempty"`
	// Problems are all of them where a whole input was looked through.
	Problems []switchboard.Problem `json:"problems,omitempty"`
}

// outward returns what a client may know of an error, and its answer. What is
// not an *Error, and whatever is internal, shows one fixed sentence: its text
// was written for us.
func outward(err error) (errorBody, answer) {
	var e *switchboard.Error
	if !errors.As(err, &e) {
		e = switchboard.Errorc(switchboard.CodeInternal, internalMessage)
		if errors.Is(err, context.DeadlineExceeded) {
			e = switchboard.Errorc(switchboard.CodeUnavailable, "the answer took too long; try again")
		}
	}
	a, known := answers[e.Code]
	if !known || e.Code == switchboard.CodeInternal {
		return errorBody{Code: switchboard.CodeInternal, Message: internalMessage}, answers[switchboard.CodeInternal]
	}
	retry := a.retry
	if e.RetryAfter > 0 {
		retry = e.RetryAfter
	}
	return errorBody{Code: e.Code, Message: e.Message, Field: e.Field, RetryMS: ceil(retry, time.Millisecond), Problems: e.Problems}, a
}

// ceil rounds up: a client that comes back early is refused again.
func ceil(d, unit time.Duration) int64 {
	return int64(math.Ceil(float64(d) / float64(unit)))
}

// closeCode returns the close code of a socket that ends because of err.
func closeCode(err error) int {
	_, a := outward(err)
	return a.close
}

// writeError answers a request with an error in our own shape:
//
//	{"code":"invalid","message":"a positive integer","field":"operators[2].id","retry_ms":1000}
//
// where field and retry_ms are left out when there is none.
func writeError(log *slog.Logger, w http.ResponseWriter, r *http.Request, err error) {
	body, a := outward(err)
	logError(log, r, err, body.Code)
	writeJSON(w, prepareError(w, body, a), body)
}

// prepareError sets the headers that go with an error in any shape and returns
// its status.
func prepareError(w http.ResponseWriter, body errorBody, a answer) int {
	if body.RetryMS > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(ceil(time.Duration(body.RetryMS)*time.Millisecond, time.Second), 10))
	}
	w.Header().Set("Cache-Control", "no-store")
	return a.status
}

// logError writes what the client is not told. A request whose client has gone
// away is nobody's error.
func logError(log *slog.Logger, r *http.Request, err error, code switchboard.Code) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	level := slog.LevelDebug
	switch code {
	case switchboard.CodeInternal:
		level = slog.LevelError
	case switchboard.CodeUnavailable:
		level = slog.LevelWarn
	}
	// The route, not the path: paths may hold ids, and queries anything.
	route := ""
	if c := chi.RouteContext(r.Context()); c != nil {
		route = c.RoutePattern()
	}
	log.Log(r.Context(), level, "request failed", "method", r.Method, "route", route, "code", string(code), "err", err)
}

// writeJSON answers with a JSON body. A client that has gone away cannot be told
// so; the error of the write has no reader.
func writeJSON(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, `{"code":"internal","message":"`+internalMessage+`"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}
