package fetch

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// start runs a server that `make test` builds, on a free port, until the test ends. args gets its address.
func start(t *testing.T, program string, args func(address string) []string) (address string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "fovea", "bin", program+"-[0-9]*"))
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not built; make test builds it", program)
		}
		t.Skipf("%s is not built; make test builds it", program)
	}
	for range 3 { // another program may take the port in between
		address = free(t)
		if serve(t, address, exec.Command(found[len(found)-1], args(address)...)) {
			return address
		}
	}
	t.Fatalf("%s does not start", program)
	return ""
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve runs a program and reports whether it accepts connections.
func serve(t *testing.T, address string, c *exec.Cmd) bool {
	t.Helper()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ended:
			t.Logf("%s", out.String())
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// interrupter is a transport that ends the first response to a GET of a path early and records the requests for it.
type interrupter struct {
	base   http.RoundTripper
	suffix string // of the path
	after  int64  // bytes
	cut    func() // is called at the interruption

	mu       sync.Mutex
	requests []http.Header
}

// RoundTrip sends a request.
func (i *interrupter) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := i.base.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, i.suffix) {
		return res, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.requests = append(i.requests, r.Header.Clone()); len(i.requests) == 1 {
		res.Body = &cutBody{res.Body, i.after, i.cut}
	}
	return res, nil
}

type cutBody struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	left int64
	cut  func()
}

func (c *cutBody) Read(b []byte) (int, error) {
	if c.left <= 0 {
		if c.cut != nil {
			c.cut()
		}
		return 0, fmt.Errorf("connection reset")
	}
	n, err := c.body.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c *cutBody) Close() error { return c.body.Close() }
