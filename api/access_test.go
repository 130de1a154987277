package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fovea/inference"
	"fovea/internal/access"
	"fovea/internal/apierror"
	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

// as sends a request with a key.
func (s *testServer) as(secret, method, path, body string) result {
	s.t.Helper()
	r := s.request(method, path, "image/jpeg", strings.NewReader(body))
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	return s.do(r)
}

func TestKeys(t *testing.T) {
	path, keys := testenv.KeyFile(t,
		apikey.Key{Name: "all", Scopes: []string{"predict", "models"}},
		apikey.Key{Name: "cats", Scopes: []string{"predict", "models"}, Models: []string{"cats"}},
		apikey.Key{Name: "boxes", Scopes: []string{"predict", "models"}, Models: []string{"boxes"}},
		apikey.Key{Name: "monitor", Scopes: []string{"models"}})
	s := open(t, func(cfg *Config, _ *engine) { cfg.Access.Keys = path })
	for _, test := range []struct {
		key, method, path string
		status            int
		code              apierror.Code
	}{
		{"", "POST", "/v1/models/cats/predict", 401, apierror.Unauthenticated},
		{"", "POST", "/predict", 401, apierror.Unauthenticated},
		{"", "GET", "/v1/models", 401, apierror.Unauthenticated},
		{"", "GET", "/v1/models/cats", 401, apierror.Unauthenticated},
		{"", "GET", "/metrics", 401, apierror.Unauthenticated},
		{"", "GET", "/health", 200, ""},
		{"", "GET", "/ready", 200, ""},
		{"", "GET", "/openapi.json", 200, ""},
		{"all", "POST", "/predict", 200, ""},
		{"all", "POST", "/v1/models/boxes/predict", 200, ""},
		{"all", "POST", "/v1/models/none/predict", 404, apierror.ModelNotFound},
		{"all", "GET", "/metrics", 200, ""},
		{"cats", "POST", "/predict", 200, ""}, // the default model
		{"cats", "POST", "/v1/models/cats/predict", 200, ""},
		{"cats", "POST", "/v1/models/cats/versions/1/predict", 200, ""},
		{"cats", "POST", "/v1/models/boxes/predict", 403, apierror.PermissionDenied},
		{"cats", "POST", "/v1/models/none/predict", 403, apierror.PermissionDenied}, // the same as for a model that exists
		{"cats", "GET", "/v1/models/boxes", 403, apierror.PermissionDenied},
		{"boxes", "POST", "/predict", 403, apierror.PermissionDenied}, // the default model is another
		{"boxes", "POST", "/v1/models/boxes/predict", 200, ""},
		{"monitor", "POST", "/predict", 403, apierror.PermissionDenied},
		{"monitor", "GET", "/v1/models/cats", 200, ""},
		{"monitor", "GET", "/metrics", 200, ""},
	} {
		got := s.as(keys[test.key], test.method, test.path, "an image")
		if got.Status != test.status || got.Code != test.code {
			t.Errorf("%s %s with key %q: %d %s", test.method, test.path, test.key, got.Status, got.Body)
		}
		if challenge := got.Header.Get("WWW-Authenticate"); (challenge == `Bearer realm="fovea"`) != (test.status == 401) {
			t.Errorf("%s %s with key %q: WWW-Authenticate %q", test.method, test.path, test.key, challenge)
		}
	}
	if got := s.as("", "GET", "/no/such/route", ""); got.Status != 401 { // checked does not know it
		t.Errorf("an unknown route without a key: %d", got.Status)
	}
	log := s.log.String()
	for name, secret := range keys {
		if strings.Contains(log, secret[6:]) {
			t.Errorf("the log has the key of %s", name)
		}
	}
	if !strings.Contains(log, `"key":"cats"`) {
		t.Error("the log does not have the name of a key")
	}
	text := string(s.as(keys["monitor"], "GET", "/metrics", "").Body)
	for _, line := range []string{
		`fovea_key_requests_total{key="cats",status="200"} 3`, `fovea_key_requests_total{key="cats",status="403"} 3`,
		`fovea_access_refused_total{reason="no_key"} 6`, `fovea_access_refused_total{reason="model"} 3`, `fovea_access_refused_total{reason="scope"} 1`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("metrics have no %s", line)
		}
	}
}

func TestKeysSeeTheirModels(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "boxes", Scopes: []string{"models", "predict"}, Models: []string{"boxes", "none"}})
	s := open(t, func(cfg *Config, e *engine) {
		cfg.Access.Keys = path
		for i := range e.statuses {
			e.statuses[i].Default = false
		}
	})
	var list struct {
		Default string
		Models  []struct{ Name string }
	}
	if err := json.Unmarshal(s.as(keys["boxes"], "GET", "/v1/models", "").Body, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Models) != 1 || list.Models[0].Name != "boxes" {
		t.Errorf("models: %+v", list)
	}
	if got := s.as(keys["boxes"], "POST", "/v1/models/none/predict", "an image"); got.Status != 404 || strings.Contains(got.Error, "cats") {
		t.Errorf("a model that does not exist: %d %s", got.Status, got.Error)
	}
}

// The body of a request without a valid key must not be read into memory, whatever its length.
func TestWrongKeyIsRefusedBeforeTheBody(t *testing.T) {
	path, _ := testenv.KeyFile(t, apikey.Key{Name: "all", Scopes: []string{"predict"}})
	s := open(t, func(cfg *Config, e *engine) {
		cfg.Access.Keys = path
		e.predict = func(context.Context, inference.Request) (*inference.Response, error) {
			t.Error("a prediction is made")
			return nil, apierror.New(apierror.Internal, "not reached")
		}
	})
	r := s.request("POST", "/predict", "image/jpeg", bytes.NewReader(make([]byte, 1<<20)))
	r.Header.Set("X-API-Key", apikey.New())
	r.Header.Set("Expect", "100-continue")
	if got := s.do(r); got.Status != 401 || got.Code != apierror.Unauthenticated {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	const long = 60 // requests with a long body, and as many with a short one after them
	closed, short := 0, 0
	start := time.Now()
	for i := range 2 * long {
		size := 32 << 10
		if i >= long {
			size = 1 << 10
		}
		r := s.request("POST", "/predict", "image/jpeg", bytes.NewReader(make([]byte, size)))
		r.Header.Set("X-API-Key", apikey.New())
		response, err := s.client.Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != 401 {
			t.Fatal(response.Status)
		}
		switch {
		case response.Close && size > 1<<10:
			closed++
		case response.Close:
			short++
		}
	}
	const burst, perSecond, interval = 20, 5, 10 // see package access
	seconds := time.Since(start).Seconds()
	flood := long - burst - perSecond*seconds // at least
	if float64(closed) < flood || closed == long || short > 0 {
		t.Errorf("of %d connections with wrong keys and a long body %d are closed, want %.0f; with a short one %d", long, closed, flood, short)
	}
	if n := strings.Count(s.log.String(), `"level":"WARN"`); n < 1 || float64(n) > 1+seconds/interval {
		t.Errorf("%d warnings in the log:\n%s", n, s.log)
	}
	if strings.Contains(s.log.String(), `"level":"INFO","msg":"request"`) {
		t.Errorf("requests with wrong keys fill the log:\n%s", s.log)
	}
}

func TestRateLimit(t *testing.T) {
	s := open(t, func(cfg *Config, _ *engine) { cfg.Access.Rate = access.Rate{Limit: 0.01, Burst: 3} })
	for i := range 5 {
		got := s.post("/predict", "image/jpeg", "an image")
		if i < 3 && got.Status != 200 || i >= 3 && (got.Status != 429 || got.Code != apierror.RateLimited || got.Header.Get("Retry-After") != "100") {
			t.Errorf("request %d: %d %s, Retry-After %s", i, got.Status, got.Body, got.Header.Get("Retry-After"))
		}
	}
	if got := s.get("/ready"); got.Status != 200 {
		t.Errorf("readiness is limited: %d", got.Status)
	}
}

// A request counts for its key's concurrency until its response is complete.
func TestConcurrentRequestsOfAKey(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "one", Scopes: []string{"predict"}, Concurrent: 1}, apikey.Key{Name: "other", Scopes: []string{"predict"}})
	entered, proceed := make(chan inference.Request, 1), make(chan struct{})
	var blocked atomic.Bool
	s := open(t, func(cfg *Config, e *engine) {
		cfg.Access.Keys = path
		e.predict = func(ctx context.Context, r inference.Request) (*inference.Response, error) {
			if blocked.CompareAndSwap(false, true) {
				entered <- r
				<-proceed
			}
			return echo(ctx, r)
		}
	})
	first := make(chan result, 1)
	go func() { first <- s.as(keys["one"], "POST", "/predict", "an image") }()
	if r := <-entered; r.Client != "key one" || r.ClientShare != s.server.cfg.ClientShare {
		t.Errorf("the engine counts the image for %q with a share of %g", r.Client, r.ClientShare)
	}
	if got := s.as(keys["one"], "POST", "/predict", "an image"); got.Status != 429 || got.Code != apierror.RateLimited {
		t.Errorf("a second request: %d %s", got.Status, got.Body)
	}
	if got := s.as(keys["other"], "POST", "/predict", "an image"); got.Status != 200 {
		t.Errorf("another key: %d %s", got.Status, got.Body)
	}
	close(proceed)
	if got := <-first; got.Status != 200 {
		t.Errorf("the first request: %d %s", got.Status, got.Body)
	}
	for range 1000 { // the first is over a moment after its response has arrived
		if got := s.as(keys["one"], "POST", "/predict", "an image"); got.Status == 200 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("after the first, no request is admitted")
}

func TestDocumentRequiresKeysWhereTheServerDoes(t *testing.T) {
	cfg := Defaults()
	if bytes.Contains(documentFor(cfg), []byte(`"security": [{`)) {
		t.Error("without keys the document requires them")
	}
	cfg.Access.Keys = "keys.yaml"
	var document struct {
		Security []map[string][]string
		Paths    map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.Unmarshal(documentFor(cfg), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Security) != 2 {
		t.Errorf("security: %v", document.Security)
	}
	for path, item := range document.Paths {
		for method, operation := range item {
			r, err := http.NewRequest(strings.ToUpper(method), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			open := access.RouteOf(r).Open
			if documented := operation.Security != nil && len(operation.Security) == 0; documented != open {
				t.Errorf("%s %s: open %v, in the document %v", method, path, open, documented)
			}
		}
	}
}

// Every route of the router is classified: one that access does not know needs a key of any scope, which is right for none.
func TestEveryRouteHasAScope(t *testing.T) {
	s := open(t)
	for _, route := range s.server.router.Routes() {
		r, err := http.NewRequest(route.Method, strings.NewReplacer(":model", "cats", ":version", "1").Replace(route.Path), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := access.RouteOf(r)
		if got == (access.Route{}) {
			t.Errorf("%s %s has no scope", route.Method, route.Path)
		}
		if strings.Contains(route.Path, ":model") != (got.Model == "cats") {
			t.Errorf("%s %s: model %q", route.Method, route.Path, got.Model)
		}
	}
}

// TestLimitedKeyWithoutModel asks for a model, of those that the key may use.
func TestLimitedKeyWithoutModel(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "cats", Scopes: []string{"predict"}, Models: []string{"cats"}})
	s := open(t, func(cfg *Config, e *engine) {
		cfg.Access.Keys = path
		for i := range e.statuses {
			e.statuses[i].Default = false
		}
	})
	got := s.as(keys["cats"], "POST", "/predict", "an image")
	if got.Status != 400 || got.Code != apierror.ModelRequired || !strings.Contains(got.Error, "with one of cats,") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
