package switchboard

import (
	"errors"
	"time"
)

// Code is a stable word for a class of errors; clients branch on it.
type Code string

// The codes. gateway/errors.go maps each to an HTTP status and a close code.
const (
	CodeInvalid      Code = "invalid"      // the input is wrong; Field names where
	CodeUnauthorized Code = "unauthorized" // no token, or one that does not verify
	CodeExpired      Code = "expired"      // the token's time is over; get a new one
	CodeLoggedOut    Code = "logged_out"   // the token is older than a logout of its person
	CodeForbidden    Code = "forbidden"    // known, but may not do this
	CodeNotFound     Code = "not_found"    // no such thing, or not of this organization
	CodeConflict     Code = "conflict"     // the thing has moved on (late accept, stale version)
	CodeLeaving      Code = "leaving"      // a logout order waits for this operator: no new work
	CodeClosed       Code = "closed"       // the chat is over; start a new one
	CodeOffline      Code = "offline"      // nobody answers now; leave a message. RetryAfter: until it opens
	CodeTooLarge     Code = "too_large"
	CodeTooFast      Code = "too_fast"    // a limit; RetryAfter says when
	CodeUnavailable  Code = "unavailable" // Redis does not answer; retry unchanged
	CodeInternal     Code = "internal"    // a bug; details are in the log only
)

// Error is the one error shape of Switchboard. Message is for people and never
// carries secrets or message bodies.
type Error struct {
	Code       Code
	Message    string
	Field      string        // the input field at fault, "" when none
	RetryAfter time.Duration // 0 when retrying at once is fine or pointless
	Problems   []Problem     // all that is wrong, where an input was looked through; the first is Field and Message
	cause      error
}

// Problem is one thing that is wrong with an input of many fields.
type Problem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns what caused the error, for the log.
func (e *Error) Unwrap() error { return e.cause }

// Errorf would hide the field; these constructors keep it in sight.

// Errorc returns an error of a code.
func Errorc(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// Invalid returns a CodeInvalid error that names the field at fault.
func Invalid(field, message string) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: message}
}

// InvalidAll returns a CodeInvalid error that names every problem of an input, nil
// when there is none.
func InvalidAll(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	e := Invalid(problems[0].Field, problems[0].Message)
	e.Problems = problems
	return e
}

// Wrap returns an error of a code with its cause kept for the log.
func Wrap(code Code, message string, cause error) *Error {
	return &Error{Code: code, Message: message, cause: cause}
}

// CodeOf returns the code of an error: CodeInternal for any that has none,
// "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Codes returns every code, for whoever counts by them.
func Codes() []Code {
	return []Code{CodeInvalid, CodeUnauthorized, CodeExpired, CodeLoggedOut, CodeForbidden, CodeNotFound, CodeConflict,
		CodeLeaving, CodeClosed, CodeOffline, CodeTooLarge, CodeTooFast, CodeUnavailable, CodeInternal}
}
