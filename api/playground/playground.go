// Package playground is a page on which people try the models of a server in a browser: files that are embedded in the program,
// and headers that keep the page to them and to the server. It is plain JavaScript without a build step; its types are in JSDoc, and
// scripts/playground-types checks them.
package playground

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// Prefix is the path of all files but the page itself, which is at /.
const Prefix = "/playground/"

// contentTypes are not those of the operating system, which some images lack.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// policy allows the page nothing but its own files, its server, and images that it makes itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// file is a part of the page.
type file struct {
	data        []byte
	contentType string
	tag         string // ETag
}

// Page serves the page. It is safe for concurrent use.
type Page struct{ files map[string]file } // by path

// New returns the page.
func New() *Page {
	p := &Page{files: map[string]file{}}
	entries, err := fs.ReadDir(web, "web")
	if err != nil {
		panic(err) // not reached: it is embedded
	}
	for _, entry := range entries {
		name := entry.Name()
		data, err := fs.ReadFile(web, path.Join("web", name))
		if err != nil {
			panic(err) // not reached
		}
		sum := sha256.Sum256(data)
		at := Prefix + name
		if name == "index.html" {
			at = "/"
		}
		p.files[at] = file{data, contentTypes[path.Ext(name)], `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	return p
}

// Has reports whether a path is that of the page or one of its files.
func (p *Page) Has(path string) bool { return p.files[path].data != nil }

// Files returns how many files there are, the page itself included.
func (p *Page) Files() int { return len(p.files) }

// ServeHTTP serves a file, for which Has is true.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.files[r.URL.Path]
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-cache") // asked for again each time, and answered with 304: a new program has a new page
	h.Set("ETag", f.tag)
	http.ServeContent(w, r, strings.TrimPrefix(r.URL.Path, Prefix), time.Time{}, bytes.NewReader(f.data))
}
