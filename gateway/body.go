package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/switchboard/switchboard"
)

// readBody returns a request's body of at most limit bytes of UTF-8. Errors:
// CodeTooLarge, CodeInvalid with Field "body".
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return nil, &switchboard.Error{Code: switchboard.CodeTooLarge, Field: "body", Message: "the body is too large"}
	case err != nil:
		return nil, switchboard.Invalid("body", "the body ended early")
	case !utf8.Valid(raw):
		return nil, switchboard.Invalid("body", "must be valid UTF-8")
	}
	return raw, nil
}

// readJSON decodes a request's body of at most limit bytes into dst. The media
// type is not looked at: curl and many samples leave it out. Unknown fields are
// passed over. Errors: CodeTooLarge, CodeInvalid whose Field is the one of a
// wrong type, or "body".
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, dst any) error {
	raw, err := readBody(w, r, limit)
	if err != nil {
		return err
	}
	return decodeJSON(raw, dst)
}

func decodeJSON(raw []byte, dst any) error {
	err := json.Unmarshal(raw, dst)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return switchboard.Invalid(wrong.Field, "wrong type: got "+wrong.Value)
	case errors.As(err, &wrong):
		return switchboard.Invalid("body", "wrong type: got "+wrong.Value)
	case err != nil:
		return switchboard.Invalid("body", "not valid JSON")
	}
	return nil
}
