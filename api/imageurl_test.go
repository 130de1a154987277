package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/imageurl"
)

// everywhere resolves every host to one public address.
type everywhere struct{}

func (everywhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// withSite is a server that may fetch images from http://images.example.com, which is the handler.
func withSite(t *testing.T, handler http.HandlerFunc, change ...func(*Config, *engine)) *testServer {
	t.Helper()
	site := httptest.NewServer(handler)
	t.Cleanup(site.Close)
	s := open(t, append([]func(*Config, *engine){func(c *Config, _ *engine) {
		c.MaxImageBytes, c.MaxBodyBytes, c.MaxImages = 1<<20, 4<<20, 8
		c.ImageURLs = imageurl.Config{Hosts: []string{"images.example.com"}, Timeout: 5 * time.Second, Redirects: 1, HTTP: true}
	}}, change...)...)
	s.server.fetcher = imageurl.NewWith(s.server.cfg.ImageURLs, everywhere{}, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, site.Listener.Addr().String())
	})
	t.Cleanup(s.server.fetcher.Close)
	return s
}

// byPath sends the path as an image's bytes, or misbehaves.
func byPath(w http.ResponseWriter, r *http.Request) {
	switch path := strings.TrimPrefix(r.URL.Path, "/"); path {
	case "endless":
		block := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	case "announced":
		w.Header().Set("Content-Length", "2000000")
	case "gzip":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, bomb())
	case "slow":
		_, _ = io.WriteString(w, "pix")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case "home":
		http.Redirect(w, r, "http://127.0.0.1/", http.StatusFound)
	case "empty":
	case "missing":
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, path)
	}
}

const site = "http://images.example.com/"

func TestImagesByURL(t *testing.T) {
	s := withSite(t, byPath)
	form, formBody := parts("url="+site+"one", "top_k=3", "image=two", "url= "+site+"three ")
	for name, test := range map[string]struct {
		contentType, body string
		want              []string
	}{
		"JSON of one":     {"application/json", `{"url":"` + site + `one"}`, []string{"one"}},
		"JSON of several": {"application/json", `{"images":[{"url":"` + site + `one"},{"b64":"dHdv"},{"url":"http:\/\/images.example.com\/three"}],"parameters":{"top_k":2}}`, []string{"one", "two", "three"}},
		"parts":           {form, formBody, []string{"one", "two", "three"}},
		"several, with bad ones": {"application/json", `{"images":[{"url":"` + site + `one"},{"url":"` + site + `missing"},{"url":"http://127.0.0.1/"},{"url":"` + site + `home"},{"url":"` + site + `endless"},{"url":"` + site + `truncated"},{"b64":"dHdv"}]}`,
			[]string{"one", "error:url_failed", "error:url_refused", "error:url_refused", "error:body_too_large", "error:undecodable", "two"}},
	} {
		got := s.post("/predict", test.contentType, test.body)
		if got.Status != http.StatusOK || !slices.Equal(labels(got), test.want) {
			t.Errorf("%s: %d %.500s", name, got.Status, got.Body)
		}
	}
	s.nothingIsHeld()
}

// nothingIsHeld checks that requests have returned their bytes.
func (s *testServer) nothingIsHeld() {
	s.t.Helper()
	if bytes, requests := s.server.admission.Bytes(), s.server.admission.Requests(); bytes != 0 || requests != 0 {
		s.t.Errorf("%d bytes and %d requests are still held", bytes, requests)
	}
	s.server.readAhead.mu.Lock()
	defer s.server.readAhead.mu.Unlock()
	if held := s.server.readAhead.held; held != 0 {
		s.t.Errorf("the read-ahead still holds %d bytes", held)
	}
}

func TestBadImagesByURL(t *testing.T) {
	s := withSite(t, byPath)
	json := func(address string) string { return `{"url":"` + address + `"}` }
	several := `{"images":[` + strings.Repeat(`{"url":"`+site+`x"},`, 8) + `{"url":"` + site + `x"}]}`
	for name, test := range map[string]struct {
		body string
		want int
		code apierror.Code
		says string
	}{
		"another host":           {json("http://127.0.0.1/"), 400, apierror.URLRefused, `"127.0.0.1" is not one that images may be fetched from`},
		"a redirect home":        {json(site + "home"), 400, apierror.URLRefused, `"127.0.0.1" is not one`},
		"another scheme":         {json("file:///etc/passwd"), 400, apierror.URLRefused, "allowed: https and http"},
		"not there":              {json(site + "missing"), 422, apierror.URLFailed, "answered 404"},
		"endless":                {json(site + "endless"), 413, apierror.BodyTooLarge, "larger than the limit of 1048576 bytes"},
		"announced as too large": {json(site + "announced"), 413, apierror.BodyTooLarge, "larger than the limit of 1048576 bytes"},
		"a gzip bomb":            {json(site + "gzip"), 422, apierror.URLFailed, `content encoding "gzip"`},
		"empty":                  {json(site + "empty"), 422, apierror.URLFailed, "is empty"},
		"no image":               {json(site + "x"), 415, apierror.UnsupportedFormat, "allowed are"},
		"a number":               {`{"url":5}`, 400, apierror.Malformed, "url of the body is not a string"},
		"a number of images":     {`{"images":[{"url":5}]}`, 400, apierror.Malformed, "url of images[0] is not a string"},
		"two of one":             {`{"images":[{"url":"` + site + `x","b64":"dHdv"}]}`, 400, apierror.Malformed, "images[0] has both b64 and url"},
		"neither":                {`{"images":[{}]}`, 400, apierror.Malformed, "images[0] has neither b64 nor url"},
		"too many":               {several, 400, apierror.Malformed, "more than 8 images"},
		"all bad":                {`{"images":[{"url":"` + site + `missing"},{"url":"` + site + `empty"}]}`, 422, apierror.AllFailed, "none of the 2 images"},
	} {
		got := s.post("/predict", "application/json", test.body)
		if got.Status != test.want || got.Code != test.code || !strings.Contains(got.Error, test.says) {
			t.Errorf("%s: %d %.500s", name, got.Status, got.Body)
		}
	}
	if got := s.post("/predict?annotate=png", "application/json", json(site+"missing")); got.Code != apierror.URLFailed {
		t.Errorf("annotated: %d %s", got.Status, got.Body)
	}
	s.nothingIsHeld()
	s.good()
}

func TestImagesByURLAreOffByDefault(t *testing.T) {
	s := open(t)
	got := s.post("/predict", "application/json", `{"url":"https://images.example.com/a.jpg"}`)
	if got.Status != 400 || got.Code != apierror.URLRefused || !strings.Contains(got.Error, "send the image itself") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// TestSlowImagesByURLEnd stalls a fetch until its time is over, and one until its client leaves.
func TestSlowImagesByURLEnd(t *testing.T) {
	s := withSite(t, byPath, func(c *Config, _ *engine) { c.ImageURLs.Timeout = 150 * time.Millisecond })
	got := s.post("/predict", "application/json", `{"images":[{"url":"`+site+`slow"},{"b64":"dHdv"}]}`)
	if got.Status != 200 || !slices.Equal(labels(got), []string{"error:url_failed", "two"}) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	arrived := make(chan struct{})
	s = withSite(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	r := s.request("POST", "/predict", "application/json", strings.NewReader(`{"url":"`+site+`slow"}`))
	if response, err := s.client.Do(r.WithContext(ctx)); err == nil {
		_ = response.Body.Close()
		t.Errorf("%d after the client had left", response.StatusCode)
	}
}

// TestFetchedBytesCount fetches more than all bodies together may have.
func TestFetchedBytesCount(t *testing.T) {
	block := strings.Repeat("x", 1<<20)
	held := make(chan int64, 1)
	var s *testServer
	s = withSite(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, block) }, func(c *Config, e *engine) {
		c.MaxImages, c.MaxBodyBytes, c.BodyBudget = 64, 4<<20, 4<<20
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			held <- s.server.admission.Bytes()
			return echo(ctx, r)
		}
	})
	address := `{"url":"` + site + `x"}`
	if got := s.post("/predict", "application/json", `{"images":[`+address+`]}`); got.Status != 200 {
		t.Errorf("%d %.200s", got.Status, got.Body)
	}
	if n := <-held; n < 1<<20 {
		t.Errorf("%d bytes are counted", n)
	}
	got := s.post("/predict", "application/json", `{"images":[`+strings.Repeat(address+",", 7)+address+`]}`)
	if got.Status != 429 || got.Code != apierror.QueueFull {
		t.Errorf("8 MB within a budget of 4: %d %.200s", got.Status, got.Body)
	}
	s.nothingIsHeld()
}
