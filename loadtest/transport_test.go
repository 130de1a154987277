package loadtest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestTransportFailuresAreClassified(t *testing.T) {
	hijack := func(what string, reset bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			if reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			_, _ = io.WriteString(c, what)
			_ = c.Close()
		}
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		timeout time.Duration
		want    string
	}{
		{"no answer in time", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, 50 * time.Millisecond, kindTimeout},
		{"half an answer in time", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 50 * time.Millisecond, kindTimeout},
		{"the connection is reset", hijack("", true), time.Minute, kindReset},
		{"the connection is closed", hijack("", false), time.Minute, kindTruncated},
		{"the answer is truncated", hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", false), time.Minute, kindTruncated},
		{"what comes is no HTTP", hijack("hello\r\n\r\n", false), time.Minute, kindNetwork},
		{"an answer without end", func(w http.ResponseWriter, _ *http.Request) {
			for part := make([]byte, 1<<20); ; {
				if _, err := w.Write(part); err != nil {
					return
				}
			}
		}, time.Minute, kindTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.handler)
			defer server.Close()
			if got := status(t, server.URL, test.timeout); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("connection refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		url := "http://" + l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := status(t, url, time.Minute); got != kindRefused {
			t.Errorf("got %q", got)
		}
	})
	t.Run("no such host", func(t *testing.T) {
		if got := kindOf(&net.DNSError{Err: "no such host", IsNotFound: true}); got != kindHost {
			t.Errorf("got %q", got)
		}
	})
	if got := kindOf(errors.New("something else")); got != kindNetwork {
		t.Errorf("something else: %q", got)
	}
}

// status sends a request that fails and returns the kind of failure.
func status(t *testing.T, url string, timeout time.Duration) string {
	t.Helper()
	client, closeIdle := newClient(t.Context(), 1, timeout, link{}, false)
	defer closeIdle()
	response, err := client.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 0 {
		t.Fatalf("status %d", response.StatusCode)
	}
	return response.Status
}
