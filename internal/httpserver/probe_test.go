package httpserver

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	address := serve(t, func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/unready" {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte("why not"))
			}
			if r.URL.Path == "/none" {
				w.WriteHeader(http.StatusNotFound)
			}
		})
	})
	for path, says := range map[string]string{"/ready": "", "/unready": "probe: /unready: status 503 Service Unavailable: why not", "/none": "404"} {
		err := Probe(t.Context(), address, path, 20*time.Second, nil)
		if (err != nil) != (says != "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		":8000": "127.0.0.1:8000", "0.0.0.0:8000": "127.0.0.1:8000", "[::]:8000": "[::1]:8000", "192.0.2.1:8000": "192.0.2.1:8000", "host:1": "host:1", "host": "",
	} {
		if got, err := Reachable(address); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %s, %v", address, got, err)
		}
	}
}
