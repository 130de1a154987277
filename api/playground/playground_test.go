package playground

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The page is small, since it is a part of every program.
const maxBytes = 150_000

func get(t *testing.T, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New().ServeHTTP(w, r)
	return w
}

func TestFiles(t *testing.T) {
	total := 0
	for path, f := range New().files {
		total += len(f.data)
		w := get(t, path)
		if w.Code != 200 || w.Body.Len() != len(f.data) || f.contentType == "" || w.Header().Get("Content-Type") != f.contentType {
			t.Errorf("%s: %d, %d bytes of %q", path, w.Code, w.Body.Len(), w.Header().Get("Content-Type"))
		}
		if again := get(t, path, "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s, which the browser has: %d", path, again.Code)
		}
	}
	if total > maxBytes {
		t.Errorf("the page has %d bytes; at most %d are allowed", total, maxBytes)
	}
	if p := New(); p.Has("/playground/index.html") || p.Has("/playground/") || p.Has("/playground/../x") || !p.Has("/") {
		t.Error("other paths are served")
	}
}

// TestPolicy: nothing in the files is what the policy forbids.
func TestPolicy(t *testing.T) {
	for _, directive := range strings.Split(get(t, "/").Header().Get("Content-Security-Policy"), "; ") {
		if strings.Contains(directive, "unsafe") || strings.Contains(directive, "*") || strings.Contains(directive, "http") {
			t.Errorf("the policy has an exception: %s", directive)
		}
	}
	forbidden := regexp.MustCompile(`(?i)\sstyle=|\son\w+=|<script(?: [^>]*)?>\s*\S|<style|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?:[^w]|w[^w])`)
	for path, f := range New().files {
		text := strings.ReplaceAll(string(f.data), `></script>`, ">")
		if found := forbidden.FindString(text); found != "" && !strings.Contains(found, "<script") {
			t.Errorf("%s has %q", path, found)
		}
	}
}

// TestLinks: each file is used, and each that is used is there.
func TestLinks(t *testing.T) {
	p := New()
	used := map[string]bool{"/": true}
	links := regexp.MustCompile(`(?:href|src)="([\w./-]+)"|(?:from|import\() ?'(\./[\w-]+\.js)'`)
	for path, f := range p.files {
		for _, match := range links.FindAllStringSubmatch(string(f.data), -1) {
			target := "/" + match[1]
			if match[2] != "" {
				target = Prefix + strings.TrimPrefix(match[2], "./")
			}
			if used[target] = true; !p.Has(target) {
				t.Errorf("%s uses %s, which is not there", path, target)
			}
		}
	}
	for path := range p.files {
		if !used[path] {
			t.Errorf("nothing uses %s", path)
		}
	}
}
