package switchboard_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/switchboard/switchboard"

// arrows says which of our packages a package may import. A package that is not
// listed fails the test: an addition must earn its place.
var arrows = map[string][]string{
	"":                          nil,
	"hub":                       {""},
	"presence":                  {""},
	"presence/accounts":         {""},
	"presence/redisd":           {""},
	"presence/redisd/redistest": {"", "presence/redisd"},
	"routing":                   {"", "presence"},
	"web":                       nil,
	"web/build":                 nil,
	"gateway":                   {"", "hub", "presence", "presence/accounts", "routing", "web"},
	"loadtest":                  {""},
	"cmd/loadtest":              {"", "loadtest"},
	"cmd/bench":                 {"", "gateway", "hub", "presence", "presence/accounts", "presence/redisd", "routing"},
	"cmd/switchboard":           {"", "gateway", "presence", "presence/accounts", "presence/redisd", "routing"},
}

// outside says who may import what else of weight; everyone else may not.
var outside = map[string][]string{
	"github.com/coder/websocket":       {"hub", "gateway", "loadtest", "cmd/bench"},
	"github.com/go-chi/chi/v5":         {"gateway"},
	"github.com/golang-jwt/jwt/v5":     {"gateway"},
	"github.com/evanw/esbuild/pkg/api": {"web/build"},
}

func TestImportsGoOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		allowed, known := arrows[name]
		if !known {
			t.Errorf("package %s is not in the table", p.ImportPath)
			continue
		}
		seen++
		for _, imp := range p.Imports {
			if rest, ours := strings.CutPrefix(imp, module); ours {
				if dep := strings.TrimPrefix(rest, "/"); !slices.Contains(allowed, dep) {
					t.Errorf("%s imports %s", p.ImportPath, imp)
				}
			}
			if users, weighty := outside[imp]; weighty && !slices.Contains(users, name) {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	}
	if seen < 8 {
		t.Errorf("go list named %d packages only", seen)
	}
}
