package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener for in-memory connections, whose waits virtual time can skip, unlike those of sockets.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// pipedDownload is a download of the weights from a handler, within a synctest bubble.
func pipedDownload(t *testing.T, handler http.HandlerFunc) *download {
	t.Helper()
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: handler}
	go func() { _ = s.Serve(listener) }()
	transport := newTransport()
	transport.Dial = func(string, string) (net.Conn, error) { //nolint:staticcheck // takes no context, whose end is not of interest
		here, there := net.Pipe()
		listener.conns <- there
		return here, nil
	}
	transport.DialContext = nil
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = s.Close()
	})
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	x := newTransfer(root, transport, func(string, ...any) {})
	e := entry{url: pipedURL, open: webFile{do: x.client("", "").Do, address: pipedURL}.open}
	return x.download(e, "w", want{size: int64(len(weights)), sha256: hashOf(weights), says: "the definition"}, 1<<30)
}

// downloaded compares a part with what was served.
func downloaded(t *testing.T, d *download) {
	t.Helper()
	if got, err := d.root.ReadFile(d.part); err != nil || !bytes.Equal(got, weights) {
		t.Errorf("%d bytes, error %v; want the %d served", len(got), err, len(weights))
	}
}

const pipedURL = "http://weights.test/"

func TestDownloadRetries(t *testing.T) {
	for name, c := range map[string]struct {
		failures, requests int
		waited             time.Duration
		want               string
	}{
		"a server that recovers":          {2, 3, 1500 * time.Millisecond, ""},
		"a server that does not":          {1000, maxTries, 7500 * time.Millisecond, "gave up after 5 tries"},
		"a server that is fine at once":   {0, 1, 0, ""},
		"one that recovers at the last":   {4, 5, 7500 * time.Millisecond, ""},
		"one that recovers one too late.": {5, 5, 7500 * time.Millisecond, "gave up after 5 tries"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				d := pipedDownload(t, func(w http.ResponseWriter, r *http.Request) {
					if requests++; requests <= c.failures {
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					serveWeights(w, r)
				})
				start := time.Now()
				err := d.run(t.Context())
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("error is %v, want %q", err, c.want)
				}
				if waited := time.Since(start); requests != c.requests || waited != c.waited {
					t.Errorf("%d requests in %v, want %d in %v", requests, waited, c.requests, c.waited)
				}
			})
		})
	}
}

func TestDownloadTimesOutWithoutData(t *testing.T) {
	for name, afterData := range map[string]bool{"before the response": false, "after the first bytes": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := pipedDownload(t, func(w http.ResponseWriter, r *http.Request) {
					if afterData {
						w.Header().Set("Content-Length", fmt.Sprint(len(weights)))
						_, _ = w.Write(weights[:10])
						w.(http.Flusher).Flush()
					}
					<-r.Context().Done()
				})
				start := time.Now()
				err := d.try(t.Context(), 0)
				if err == nil || !strings.Contains(err.Error(), "no data for 30s") {
					t.Errorf("error is %v", err)
				}
				if waited := time.Since(start); waited != idleTimeout {
					t.Errorf("timed out after %v, want %v", waited, idleTimeout)
				}
			})
		})
	}
}

func TestDownloadFromASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 12
		d := pipedDownload(t, func(w http.ResponseWriter, _ *http.Request) {
			for i := range pieces {
				_, _ = w.Write(weights[i*len(weights)/pieces : (i+1)*len(weights)/pieces])
				w.(http.Flusher).Flush()
				time.Sleep(idleTimeout - time.Second)
			}
		})
		if err := d.try(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

// TestDownloadResumes interrupts the first response. A weak ETag does not guarantee the same bytes and must not be sent.
func TestDownloadResumes(t *testing.T) {
	for etag, want := range map[string]string{`"1"`: `"1"`, `W/"1"`: "", "": ""} {
		t.Run(etag, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ranges, conditions []string
				d := pipedDownload(t, cut(100_000, func() bool { return len(ranges) == 0 }, func(w http.ResponseWriter, r *http.Request) {
					ranges, conditions = append(ranges, r.Header.Get("Range")), append(conditions, r.Header.Get("If-Range"))
					if etag != "" {
						w.Header().Set("ETag", etag)
					}
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(weights))
				}))
				if err := d.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(ranges, []string{"", "bytes=100000-"}) || !slices.Equal(conditions, []string{"", want}) {
					t.Errorf("ranges %q, conditions %q", ranges, conditions)
				}
				downloaded(t, d)
			})
		})
	}
}

// TestDownloadRecovers interrupts a download in ways that allow it to continue.
func TestDownloadRecovers(t *testing.T) {
	fail := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	interrupt := cut(100_000, always, serveWeights)
	short := func(w http.ResponseWriter, _ *http.Request) { // as if it were complete
		_, _ = w.Write(weights[:100_000])
		w.(http.Flusher).Flush()
	}
	otherRange := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-%d/%d", len(weights)-1, len(weights)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(weights[7:])
	}
	for name, c := range map[string]struct {
		responses []http.HandlerFunc
		ranges    []string
		waited    time.Duration
	}{
		"a response that ends too early": {[]http.HandlerFunc{short, serveWeights}, []string{"", "bytes=100000-"}, 500 * time.Millisecond},
		"a response with another range":  {[]http.HandlerFunc{interrupt, otherRange, serveWeights}, []string{"", "bytes=100000-", ""}, 1500 * time.Millisecond},
		"failures before and after progress": {[]http.HandlerFunc{fail, fail, interrupt, serveWeights}, []string{"", "", "", "bytes=100000-"},
			2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ranges []string
				d := pipedDownload(t, func(w http.ResponseWriter, r *http.Request) {
					ranges = append(ranges, r.Header.Get("Range"))
					c.responses[min(len(ranges), len(c.responses))-1](w, r)
				})
				start := time.Now()
				if err := d.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(start); waited != c.waited || !slices.Equal(ranges, c.ranges) {
					t.Errorf("ranges %q in %v, want %q in %v", ranges, waited, c.ranges, c.waited)
				}
				downloaded(t, d)
			})
		})
	}
}

func TestDownloadReplacesALongerPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pipedDownload(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(weights) })
		d.want.size = 0 // the definition has none
		if err := d.root.WriteFile(d.part, make([]byte, len(weights)+10), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := d.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		downloaded(t, d)
	})
}

func TestProgressIsReportedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports []string
		p := &progress{report: func(format string, args ...any) { reports = append(reports, fmt.Sprintf(format, args...)) }, total: 4_000_000}
		for range 4 {
			if _, err := p.Write(make([]byte, 1_000_000)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if !slices.Equal(reports, []string{"1.0 of 4.0 MB, 25%", "3.0 of 4.0 MB, 75%"}) {
			t.Errorf("reports are %q", reports)
		}
	})
}

// TestProgressOfADownloadStartsAfterASecond saves a slow file, at a virtual second for each tenth, and an immediate one.
func TestProgressOfADownloadStartsAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		const size = 10 * 32 << 10
		var said []string
		d := &download{root: root, part: "x.part", limit: 1 << 20, want: want{size: size}}
		d.progress = &progress{report: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
		if err := d.save(&content{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", size))), size: size}); err != nil || len(said) > 0 {
			t.Errorf("at once: %v, %q", err, said)
		}
		slow := io.NopCloser(&slowReader{strings.NewReader(strings.Repeat("x", size))})
		if err := d.save(&content{ReadCloser: slow, size: size}); err != nil || len(said) != 10 || said[0] != "0.0 of 0.3 MB, 10%" || said[9] != "0.3 of 0.3 MB, 100%" {
			t.Errorf("slowly: %v, %q", err, said)
		}
	})
}

// slowReader takes a second for 32 KiB, which io.Copy reads at a time.
type slowReader struct{ io.Reader }

func (r *slowReader) Read(b []byte) (int, error) {
	time.Sleep(time.Second)
	return io.ReadFull(r.Reader, b[:min(len(b), 32<<10)])
}
