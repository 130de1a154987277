package docker

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout bounds every wait of a test; no test passes because of it.
const testTimeout = 30 * time.Second

// quick are the timeouts of tests that wait for one. Open uses the defaults.
var quick = Timeouts{Call: 100 * time.Millisecond, Start: 100 * time.Millisecond, Stop: 100 * time.Millisecond, Watch: 50 * time.Millisecond}

// script is a fake engine: one of another version, or one that fails.
type script struct {
	apiVersion string
	refuse     bool // every version, as an engine that is too new
	routes     map[string]http.HandlerFunc
}

// serve listens on a socket and returns it as a host.
func (s script) serve(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", s.apiVersion) })
	mux.HandleFunc("/{version}/version", func(w http.ResponseWriter, _ *http.Request) {
		if s.refuse {
			fail(w, http.StatusBadRequest, "client version is too old")
			return
		}
		reply(w, map[string]string{"Version": "1.2.3", "ApiVersion": s.apiVersion})
	})
	for pattern, handler := range s.routes {
		mux.HandleFunc(pattern, handler)
	}
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return "unix://" + path
}

func (s script) open(t *testing.T) *Client {
	t.Helper()
	if s.apiVersion == "" {
		s.apiVersion = "1.45"
	}
	return open(t, s.serve(t))
}

func open(t *testing.T, host string, options ...Option) *Client {
	t.Helper()
	c, err := Open(context.Background(), host, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // clients that do not read it have their own test
}

func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// never blocks a request until its client disconnects.
func never(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// valid is a valid specification.
func valid() Spec {
	s := Defaults()
	s.Name, s.Image, s.Memory = "fovea-0", "fovea:test", 1<<30
	s.Labels = map[string]string{LabelOwner: "test", LabelReplica: "0"}
	return s
}

const (
	gpu0 = "GPU-00000000-0000-4000-8000-000000000000"
	gpu3 = "GPU-00000000-0000-4000-8000-000000000003"
)
