// Package web holds the browser side of Switchboard, built and ready to be
// served: the chat widget and the script that embeds it, the operator console,
// the supervisor board, and a demo shop.
//
// The sources are TypeScript in this folder; client is the library that all
// pages share. dist is built by web/build and committed, so that building the
// gateway needs no node; a test there fails when dist is stale.
package web

import (
	"embed"
	"io/fs"
)

//go:generate go run ./build

//go:embed dist
var dist embed.FS

// FS returns the built files: widget.js, widget/index.html, console/index.html,
// supervisor/index.html, demo/index.html and assets/. It is read-only and safe
// for concurrent use.
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is constant and valid
	}
	return sub
}
