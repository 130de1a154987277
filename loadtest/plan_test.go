package loadtest

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/config"
)

func TestPrepareReportsErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testing.T, *fakeServer, *Config)
		want   []string
		probes int64 // predictions that are asked to find it
	}{
		{"no server", func(_ *testing.T, s *fakeServer, _ *Config) { _ = s.Close() }, []string{"the server does not respond", "connection refused"}, 0},
		{"another server", func(_ *testing.T, s *fakeServer, c *Config) { c.Server = s.URL + "/else" }, []string{"is not a Fovea server", "HTTP 404", "url"}, 0},
		{"a server that is not ready", func(_ *testing.T, s *fakeServer, _ *Config) { s.ready = "m is being loaded" }, []string{"not ready", "m is being loaded"}, 0},
		{"an unknown model", func(_ *testing.T, _ *fakeServer, c *Config) { c.Model = "x" }, []string{`no model "x"`, "available: m, d"}, 0},
		{"no such folder", func(_ *testing.T, _ *fakeServer, c *Config) { c.Images = "/no/such" }, []string{"/no/such does not exist"}, 0},
		{"a folder without images", func(t *testing.T, _ *fakeServer, c *Config) { c.Images = folder(t, map[string]string{"x.txt": "x"}) }, []string{"none in", ".jpg"}, 0},
		{"files that cannot be read, all of them", func(t *testing.T, _ *fakeServer, c *Config) {
			c.Images = folder(t, map[string]string{"good.jpg": "x", "empty.jpg": ""})
			if err := os.Symlink("nowhere", filepath.Join(c.Images, "gone.jpg")); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(c.Images, "folder.jpg"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"empty.jpg is empty", "gone.jpg", "folder.jpg"}, 0},
		{"an image that the server refuses", func(_ *testing.T, s *fakeServer, _ *Config) {
			s.answer = func(_ int64, w http.ResponseWriter, body []byte) {
				if string(body) == "bbb" {
					w.WriteHeader(http.StatusUnprocessableEntity)
					_, _ = io.WriteString(w, `{"error":"the image is truncated","code":"undecodable"}`)
					return
				}
				_, _ = io.WriteString(w, goodAnswer)
			}
		}, []string{"b.png:", "422 undecodable", "the image is truncated"}, 2},
		{"a long error", func(_ *testing.T, s *fakeServer, _ *Config) {
			s.answer = func(_ int64, w http.ResponseWriter, _ []byte) {
				w.WriteHeader(http.StatusBadGateway)
				_, _ = io.WriteString(w, strings.Repeat("x", 300)+"y")
			}
		}, []string{"HTTP 502: " + strings.Repeat("x", 300) + "…"}, 2},
		{"an unknown route", func(_ *testing.T, s *fakeServer, c *Config) { c.URL, c.Model = s.URL+"/nowhere", "" }, []string{"a.jpg:", "HTTP 404"}, 0},
		{"another server that is not there", func(_ *testing.T, s *fakeServer, c *Config) { c.URL = s.URL + "/foreign"; _ = s.Close() }, []string{"connection refused"}, 0},
		{"an expectation of another server without its place", func(_ *testing.T, s *fakeServer, c *Config) {
			c.URL, c.Expect.Classes = s.URL+"/foreign", map[string]string{"a.jpg": "1"}
		}, []string{"expect-at"}, 0},
		{"an expectation of an image that is not sent", func(_ *testing.T, _ *fakeServer, c *Config) {
			c.Expect.Classes = map[string]string{"z.jpg": "1"}
		}, []string{"z.jpg is not among the images"}, 0},
		{"a place where answers hold nothing", func(_ *testing.T, _ *fakeServer, c *Config) {
			c.Expect = Expectation{Classes: map[string]string{"a.jpg": "967"}, At: "predictions.{i}.best"}
		}, []string{"a.jpg:", kindNoClass}, 2},
		{"a template that fails", func(_ *testing.T, _ *fakeServer, c *Config) {
			c.Body = BodyConfig{Kind: Templated, Template: "{{.Nope}}", Images: 1}
		}, []string{"template", "Nope"}, 0},
		{"metrics that are not there", func(_ *testing.T, s *fakeServer, c *Config) { c.Metrics = s.URL + "/nowhere" }, []string{"/nowhere: HTTP 404"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newFakeServer(t)
			c := quick(t, s)
			test.change(t, s, &c)
			_, err := prepare(t.Context(), c, s.dial)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
			if got := s.posts.Load(); got != test.probes {
				t.Errorf("%d predictions were asked", got)
			}
		})
	}
}

func TestConfigurationErrorsAreReportedTogether(t *testing.T) {
	c := Config{
		Server: "127.0.0.1:8000", URL: "ftp://x", Metrics: "x#y", Model: "m", Body: BodyConfig{Kind: "xml", Images: 0, ContentType: "/"},
		Concurrency: []int{0}, Rates: []float64{-1}, Arrivals: "bursts", P99Below: time.Hour, Timeout: time.Minute, Warmup: -1, MaxErrors: 2,
		GPU: true, Header: http.Header{"Content-Type": {""}},
	}
	err := config.Check(c)
	for _, key := range []string{
		"url", "metrics", "model", "header", "body", "images-per-request", "content-type", "images", "concurrency[0]", "rate[0]", "arrivals", "p99-below", "precision",
		"warmup", "window", "window-count", "max-windows", "tolerance", "max-in-flight", "max-error-rate", "gpu-interval",
	} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key+": ") {
			t.Errorf("%s is not in:\n%v", key, err)
		}
	}
	if err := config.Check(Default()); err != nil {
		t.Errorf("the default: %v", err)
	}
}

func TestPrepareTriesEachImageOnce(t *testing.T) {
	s := newFakeServer(t)
	p := prepared(t, s, quick(t, s))
	if s.bodies["aaaa"] != 1 || s.bodies["bbb"] != 1 || len(s.bodies) != 2 {
		t.Errorf("sent %v", s.bodies)
	}
	if want := (Target{URL: s.URL + "/v1/models/m/predict", Model: "m", Version: "3", Device: "cpu"}); p.target != want {
		t.Errorf("got %+v", p.target)
	}
}
