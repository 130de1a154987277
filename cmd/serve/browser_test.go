package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// pageServer serves a page that runs an example, at an origin other than that of the server it calls.
type pageServer struct {
	*httptest.Server
	results chan string // that the page posts, as JSON

	mu      sync.Mutex
	example string
}

func newPageServer(t *testing.T) *pageServer {
	t.Helper()
	s := &pageServer{results: make(chan string, 1)}
	page, err := os.ReadFile(filepath.Join("testdata", "clients", "page.html"))
	if err != nil {
		t.Fatal(err)
	}
	image := testenv.Image(t, "coffee.jpg")
	serve := func(contentType string, body func() []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(body())
		}
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", serve("text/html", func() []byte { return page }))
	routes.HandleFunc("GET /IMAGE.jpg", serve("image/jpeg", func() []byte { return image }))
	routes.HandleFunc("GET /example.js", serve("text/javascript", func() []byte {
		s.mu.Lock()
		defer s.mu.Unlock()
		return []byte(s.example)
	}))
	routes.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // what is missing is no JSON
		s.results <- string(text)
	})
	s.Server = httptest.NewServer(routes)
	t.Cleanup(s.Close)
	return s
}

// chromium returns the path of Chromium or Chrome; FOVEA_CLIENTS_CHROMIUM names one.
func chromium(t *testing.T) string {
	t.Helper()
	if path, isSet := os.LookupEnv("FOVEA_CLIENTS_CHROMIUM"); isSet {
		return path
	}
	for _, name := range []string{"chromium", "google-chrome", "chromium-headless-shell", "chrome-headless-shell", "chromium-browser"} {
		if _, err := runIn(t, t.TempDir(), name, "--version"); err == nil { // Ubuntu's chromium-browser may only say how to install it
			return name
		}
	}
	t.Skip("neither Chromium nor Chrome is installed; FOVEA_CLIENTS_CHROMIUM names one")
	return ""
}

// run is a clientRunner: the example runs in a page that Chromium loads.
func (s *pageServer) run(t *testing.T, _, code string) (string, error) {
	t.Helper()
	name := chromium(t)
	s.mu.Lock()
	s.example = code
	s.mu.Unlock()
	var log testenv.Buffer
	cmd := exec.CommandContext(t.Context(), name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), s.URL)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &log, &log, 10*time.Second // for its other processes, which have these files open, to end
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
	}()
	select {
	case text := <-s.results:
		var result struct{ Output, Error string }
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			t.Fatalf("the page posted %q: %v", text, err)
		}
		if result.Error != "" {
			return result.Error, errors.New(result.Error)
		}
		return result.Output, nil
	case <-time.After(5 * time.Minute):
		t.Fatalf("the page posted nothing; Chromium wrote\n%s", log.String())
	}
	return "", nil // not reached
}
