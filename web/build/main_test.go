package main

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/switchboard/switchboard/web"
)

// budgets are the largest gzipped sizes in bytes. The first two are paid by
// every visitor of a customer's site, on every page and at the first click.
var budgets = map[string]int{
	"widget.js":         3_000,
	"assets/widget.js":  25_000,
	"assets/widget.css": 6_000,
}

func TestDistIsWhatTheSourcesMake(t *testing.T) {
	want, err := build("..")
	if err != nil {
		t.Fatal(err)
	}
	got := embedded(t)
	for name, content := range want {
		if !bytes.Equal(got[name], content) {
			t.Errorf("dist/%s is stale; run go generate ./web", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("dist/%s has no source; run go generate ./web", name)
		}
	}
}

func TestScriptsStayWithinTheirBudgets(t *testing.T) {
	files := embedded(t)
	for name, most := range budgets {
		content, ok := files[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(content)
		z.Close()
		t.Logf("%s: %d bytes, %d gzipped, budget %d", name, len(content), packed.Len(), most)
		if packed.Len() > most {
			t.Errorf("%s is %d bytes gzipped, the budget is %d", name, packed.Len(), most)
		}
	}
}

// The gateway serves the pages under default-src 'self': anything inline, and
// anything from elsewhere, would silently not work.
func TestPagesKeepTheContentSecurityPolicy(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<script(?:[^>]*)>[^<]|<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:|(?:src|href)="(?:https?:)?//`)
	cssAway := regexp.MustCompile(`(?i)url\(|@import`)
	for name, content := range embedded(t) {
		switch {
		case strings.HasSuffix(name, ".html"):
			if found := inline.Find(content); found != nil {
				t.Errorf("%s: %q", name, found)
			}
		case strings.HasSuffix(name, ".css"):
			if found := cssAway.Find(content); found != nil {
				t.Errorf("%s: %q", name, found)
			}
		case strings.HasSuffix(name, ".js"):
			for _, risky := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
				if bytes.Contains(content, []byte(risky)) {
					t.Errorf("%s: %s", name, risky)
				}
			}
		}
	}
}

func TestEveryAssetThatAPageNamesExists(t *testing.T) {
	named := regexp.MustCompile(`(?:src|href)="/([^"#?]+)"`)
	files := embedded(t)
	for _, page := range pages {
		content, ok := files[page+"/index.html"]
		if !ok {
			t.Fatalf("%s has no page", page)
		}
		found := named.FindAllSubmatch(content, -1)
		if len(found) == 0 {
			t.Errorf("%s names no asset", page)
		}
		for _, m := range found {
			name := string(m[1])
			if _, ok := files[name]; !ok && !slices.Contains(pages, strings.Trim(name, "/")) {
				t.Errorf("%s/index.html names /%s, which is not in dist", page, name)
			}
		}
	}
}

func embedded(t *testing.T) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := fs.WalkDir(web.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(web.FS(), path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
