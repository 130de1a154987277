package dockertest

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Rule allows calls of a method and a path, without the query. The pattern must be anchored at both ends.
type Rule struct {
	Method string
	Path   *regexp.Regexp
}

// Filter is a proxy for an engine's socket that forwards allowed calls and refuses all others, like Docker socket proxies. The
// caller calls Close.
type Filter struct {
	Host string // unix:///path

	rules  []Rule
	server *http.Server
	ended  chan struct{}

	mu      sync.Mutex
	used    map[int]bool // rules, by index
	refused []string
}

// NewFilter listens on a socket in a folder and forwards to the engine's socket.
func NewFilter(dir, target string, rules []Rule) (*Filter, error) {
	path := filepath.Join(dir, "filtered.sock")
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	f := &Filter{Host: "unix://" + path, rules: rules, ended: make(chan struct{}), used: map[int]bool{}}
	engine := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", target)
		}},
		FlushInterval: -1, // events and logs are streams
	}
	f.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.passes(r) {
			engine.ServeHTTP(w, r)
		} else {
			http.Error(w, "refused by the filter", http.StatusForbidden)
		}
	})}
	go func() {
		defer close(f.ended)
		_ = f.server.Serve(listener) // ends with Close
	}()
	return f, nil
}

func (f *Filter) passes(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	passes := false
	for i, rule := range f.rules {
		if rule.Method == r.Method && rule.Path.MatchString(r.URL.Path) {
			f.used[i], passes = true, true
		}
	}
	if !passes {
		f.refused = append(f.refused, r.Method+" "+r.URL.Path)
	}
	return passes
}

// Refused lists the refused calls in order.
func (f *Filter) Refused() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.refused)
}

// Unused lists the rules that no call matched.
func (f *Filter) Unused() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var unused []string
	for i, rule := range f.rules {
		if !f.used[i] {
			unused = append(unused, rule.Method+" "+rule.Path.String())
		}
	}
	return unused
}

// Close closes the filter and all its connections.
func (f *Filter) Close() error {
	err := f.server.Close()
	<-f.ended
	return err
}
