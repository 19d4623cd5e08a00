// Command build makes web/dist from the TypeScript, CSS and HTML sources with
// esbuild's Go API, so that a fresh machine needs Go only. It is run by
//
//	go generate ./web
//
// in which case the current folder is web.
package main

import (
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// pages are the folders that hold an index.html to copy.
var pages = []string{"widget", "console", "supervisor", "demo"}

// entries are the bundles. The names carry no hash of the content: nodes of two
// versions serve side by side during an upgrade, and a page of one must find
// its script on the other. The gateway revalidates by ETag instead.
var entries = []api.EntryPoint{
	{InputPath: "embed/embed.ts", OutputPath: "widget"}, // /widget.js, the script that customers embed
	{InputPath: "widget/main.ts", OutputPath: "assets/widget"},
	{InputPath: "widget/style.css", OutputPath: "assets/widget"},
	{InputPath: "console/main.ts", OutputPath: "assets/console"},
	{InputPath: "supervisor/main.ts", OutputPath: "assets/supervisor"},
	{InputPath: "ui/staff.css", OutputPath: "assets/staff"},
	{InputPath: "demo/main.ts", OutputPath: "assets/demo"},
	{InputPath: "demo/style.css", OutputPath: "assets/demo"},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("web/build: ")
	files, err := build(".")
	if err != nil {
		log.Fatal(err)
	}
	if err := write("dist", files); err != nil {
		log.Fatal(err)
	}
}

// build returns the content of dist by slash-separated path, from the sources
// in folder web. The same sources give the same bytes on every machine.
func build(web string) (map[string][]byte, error) {
	root, err := filepath.Abs(web)
	if err != nil {
		return nil, err
	}
	dist := filepath.Join(root, "dist")
	result := api.Build(api.BuildOptions{
		EntryPointsAdvanced: entries,
		AbsWorkingDir:       root,
		Outdir:              dist,
		Bundle:              true,
		Format:              api.FormatIIFE, // nothing of ours becomes a global
		Target:              api.ES2022,
		Charset:             api.CharsetUTF8,
		MinifyWhitespace:    true,
		MinifyIdentifiers:   true,
		MinifySyntax:        true,
		LegalComments:       api.LegalCommentsNone,
		TsconfigRaw:         `{}`, // only tsc reads tsconfig.json
	})
	if len(result.Errors) > 0 {
		text := api.FormatMessages(result.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage})
		return nil, fmt.Errorf("esbuild: %s", strings.Join(text, ""))
	}
	files := make(map[string][]byte)
	for _, f := range result.OutputFiles {
		name, err := filepath.Rel(dist, f.Path)
		if err != nil {
			return nil, err
		}
		files[filepath.ToSlash(name)] = f.Contents
	}
	for _, page := range pages {
		html, err := os.ReadFile(filepath.Join(root, page, "index.html"))
		if err != nil {
			return nil, err
		}
		files[page+"/index.html"] = html
	}
	icon, err := os.ReadFile(filepath.Join(root, "ui", "icon.svg"))
	if err != nil {
		return nil, err
	}
	files["assets/icon.svg"] = icon
	return files, nil
}

// write makes folder dist hold exactly these files. It never empties the
// folder: somebody may be compiling the package that embeds it.
func write(dist string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(dist, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dist, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dist, path)
		if err != nil {
			return err
		}
		if _, ok := files[filepath.ToSlash(name)]; ok {
			return nil
		}
		return os.Remove(path)
	})
}
