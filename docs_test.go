package switchboard_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// documents are read by newcomers: every path they name must be there.
var documents = []string{"README.md", "ARCHITECTURE.md", "docs/protocol.md", "CHANGELOG.md"}

var named = regexp.MustCompile("`((?:cmd|gateway|presence|routing|hub|loadtest|web|docs|testdata)/[A-Za-z0-9_./-]*[A-Za-z0-9_/])`")

func TestDocumentsNameOnlyPathsThatExist(t *testing.T) {
	found := 0
	for _, doc := range documents {
		raw, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range named.FindAllStringSubmatch(string(raw), -1) {
			path := strings.TrimSuffix(m[1], "/")
			if strings.Contains(path, "*") {
				continue
			}
			found++
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s names %s, which is not there", doc, path)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d paths are named; is the pattern still right?", found)
	}
}
