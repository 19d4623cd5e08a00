package gateway

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
)

// What every change of settings has in common on the wire: a version that its writer
// has seen, and a list of all that is wrong with it.

// readChange reads a change into the struct dst, whose version field is version, and
// returns the version that its writer has seen.
func readChange(w http.ResponseWriter, r *http.Request, dst any, version *int64) (known int64, err error) {
	raw, err := readBody(w, r, maxBody)
	if err != nil {
		return 0, err
	}
	err = decodeAll(raw, "", dst)
	known, vErr := knownVersion(r, *version)
	if err = errors.Join(err, vErr); err != nil {
		return 0, joined(err)
	}
	return known, nil
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// knownVersion is the version that a writer has seen: If-Match, else the body's.
func knownVersion(r *http.Request, body int64) (int64, error) {
	match := strings.TrimSpace(r.Header.Get("If-Match"))
	if match == "*" {
		return presence.AnyVersion, nil
	}
	if match != "" {
		n, err := strconv.ParseInt(strings.Trim(match, `"`), 10, 64)
		if err != nil || n <= 0 {
			return 0, switchboard.Invalid("If-Match", "the ETag that was read, or *")
		}
		return n, nil
	}
	if body <= 0 {
		return 0, switchboard.Invalid("version", "the version that was read is needed, here or in If-Match")
	}
	return body, nil
}

// joined makes one error of several that name fields.
func joined(err error) error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var problems []switchboard.Problem
	for _, one := range many.Unwrap() {
		if one = joined(one); one == nil {
			continue
		}
		var e *switchboard.Error
		switch {
		case !errors.As(one, &e) || e.Code != switchboard.CodeInvalid:
			return one
		case len(e.Problems) > 0:
			problems = append(problems, e.Problems...)
		default:
			problems = append(problems, switchboard.Problem{Field: e.Field, Message: e.Message})
		}
	}
	return switchboard.InvalidAll(problems)
}

// decodeAll reads a JSON object into the struct dst and lists every field that is
// unknown or of a wrong type: a setting with a typing error must not be passed
// over. Fields begin with at.
func decodeAll(raw []byte, at string, dst any) error {
	var fields map[string]json.RawMessage
	if err := decodeJSON(raw, &fields); err != nil {
		return err
	}
	if fields == nil {
		return switchboard.Invalid(at+"body", "a JSON object is needed")
	}
	known := names(reflect.TypeOf(dst).Elem())
	var problems []switchboard.Problem
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			problems = append(problems, switchboard.Problem{Field: at + name, Message: "there is no such setting"})
			continue
		}
		one := mustJSON(map[string]json.RawMessage{name: fields[name]})
		var e *switchboard.Error
		if err := decodeJSON(one, dst); errors.As(err, &e) {
			field := e.Field[max(0, strings.Index(e.Field, name)):] // without the names of embedded structs
			problems = append(problems, switchboard.Problem{Field: at + field, Message: e.Message})
		}
	}
	return switchboard.InvalidAll(problems)
}

// names returns the JSON names of a struct's fields.
func names(t reflect.Type) (list []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			list = append(list, names(f.Type)...)
		case name != "" && name != "-":
			list = append(list, name)
		}
	}
	return list
}
