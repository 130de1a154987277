package loadtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestHeadersGoWithEveryRequestToTheServer(t *testing.T) {
	s := newFakeServer(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer x" || r.Host != "images.example" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.handler.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	c := quick(t, s)
	c.Server, c.Header = proxy.URL, http.Header{"Authorization": {"Bearer x"}, "Host": {"images.example"}}
	r := ran(t, s, c)
	if l := r.Levels[0]; l.AllFailed() > 0 || l.Server == nil || len(r.Notes) > 0 {
		t.Errorf("failed: %v; the server's figures: %+v; notes %q", l.Failures, l.Server, r.Notes)
	}
}

func TestHeadersGoToNoOtherHost(t *testing.T) {
	var asked, leaked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("X-Key") != "" {
			leaked.Add(1)
		}
		_, _ = io.WriteString(w, "process_cpu_seconds_total 7\n")
	}))
	defer other.Close()
	away := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer away.Close()
	for _, test := range []struct {
		name   string
		change func(*Config)
		asked  bool
		want   string // of the error
	}{
		{"metrics of another", func(c *Config) { c.Metrics = other.URL + "/metrics" }, true, ""},
		{"a server that sends elsewhere", func(c *Config) { c.Server = away.URL }, false, "GET /ready returned HTTP 307"},
		{"metrics that send elsewhere", func(c *Config) { c.Metrics = away.URL + "/metrics" }, false, "/metrics: HTTP 307"},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked.Store(0)
			s := newFakeServer(t)
			c := quick(t, s)
			c.Header = http.Header{"X-Key": {"secret"}}
			test.change(&c)
			_, err := prepare(t.Context(), c, s.dial)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			if leaked.Load() > 0 || (asked.Load() > 0) != test.asked {
				t.Errorf("the other host was asked %d times, and got the secret %d times", asked.Load(), leaked.Load())
			}
		})
	}
}
