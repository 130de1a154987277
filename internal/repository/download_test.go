package repository

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDownloadTriesAgainAndGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		failures int
		ok       bool
	}{"a server that recovers": {2, true}, "a server that does not": {1000, false}} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked <= c.failures {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				serveWeights(w, r)
			})
			d := testDownload(t, s)
			err := d.run(t.Context(), s.URL)
			if c.ok && (err != nil || asked != 3) {
				t.Errorf("asked %d times, error %v", asked, err)
			}
			if !c.ok && (err == nil || asked != maxTries || !strings.Contains(err.Error(), "gave up after 5 tries")) {
				t.Errorf("asked %d times, error %v", asked, err)
			}
		})
	}
}

func testDownload(t *testing.T, s *httptest.Server) *download {
	d := newDownload(s.Client().Transport, Source{Size: int64(len(weights))}, filepath.Join(t.TempDir(), "part"),
		&progress{say: func(string, ...any) {}})
	d.backoff = time.Millisecond
	return d
}

func TestDownloadLeavesAServerThatFallsSilent(t *testing.T) {
	for name, answer := range map[string]bool{"before it answers": false, "after the first bytes": true} {
		t.Run(name, func(t *testing.T) {
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				if answer {
					w.Header().Set("Content-Length", fmt.Sprint(len(weights)))
					_, _ = w.Write(weights[:10])
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			})
			d := testDownload(t, s)
			d.idle = 20 * time.Millisecond
			err := d.try(t.Context(), s.URL, 0)
			if err == nil || !strings.Contains(err.Error(), "no byte came for 20ms") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestDownloadBearsAServerThatIsSlowButSteady(t *testing.T) {
	const pieces = 12
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range pieces {
			_, _ = w.Write(weights[i*len(weights)/pieces : (i+1)*len(weights)/pieces])
			w.(http.Flusher).Flush()
			time.Sleep(200 * time.Millisecond) // 2.4 s in all
		}
	})
	d := testDownload(t, s)
	d.idle = 2 * time.Second
	if err := d.try(t.Context(), s.URL, 0); err != nil {
		t.Error(err)
	}
}

func TestDownloadOverALongerPartLeavesNothingOfIt(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(weights) })
	d := testDownload(t, s)
	d.size = 0 // the definition does not say
	if err := os.WriteFile(d.part, make([]byte, len(weights)+10), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.run(t.Context(), s.URL); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(d.part); err != nil || !bytes.Equal(got, weights) {
		t.Errorf("%d bytes, error %v; want the %d served", len(got), err, len(weights))
	}
}

func TestProgressSaysHowFar(t *testing.T) {
	var said string
	p := &progress{say: func(format string, args ...any) { said = fmt.Sprintf(format, args...) }, total: 4_000_000}
	if _, err := p.Write(make([]byte, 1_000_000)); err != nil || said != "1.0 of 4.0 MB, 25%" {
		t.Errorf("said %q, error %v", said, err)
	}
	said = ""
	p.last = time.Now().Add(time.Hour) // so that however slow the machine is, a second has not passed
	if _, err := p.Write(make([]byte, 1)); err != nil || said != "" {
		t.Errorf("said %q within a second of the last time", said)
	}
}
