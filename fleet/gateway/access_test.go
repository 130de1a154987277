package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fovea/internal/access"
	"fovea/internal/apikey"
	"fovea/internal/httpserver"
	"fovea/internal/testenv"
)

// replicaThatShows answers with the headers that it gets.
func replicaThatShows(t *testing.T) Replica {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for _, name := range []string{"Authorization", "X-Api-Key", "X-Forwarded-For", "X-Forwarded-Proto"} {
			_, _ = io.WriteString(w, name+"="+r.Header.Get(name)+";")
		}
	}))
	t.Cleanup(s.Close)
	return Replica{ID: "shows", URL: s.URL}
}

func TestKeys(t *testing.T) {
	path, keys := testenv.KeyFile(t, apikey.Key{Name: "all", Scopes: []string{"predict", "models"}},
		apikey.Key{Name: "camera", Scopes: []string{"predict", "models"}, Models: []string{"cats"}, Rate: 0.01, Burst: 1})
	secret, camera := keys["all"], keys["camera"]
	f := start(t, func(c *Config) { c.Access.Keys, c.Access.TrustedProxies = path, []string{"127.0.0.1"} }, replicaThatShows(t))
	send := func(method, path string, header http.Header) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader("an image"))
		if err != nil {
			t.Fatal(err)
		}
		if header != nil {
			r.Header = header
		}
		response, err := f.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	for _, test := range []struct {
		name, method, path, secret string
		want                       int
	}{
		{"health without a key", "GET", "/health", "", 200},
		{"readiness without a key", "GET", "/ready", "", 200},
		{"metrics without a key", "GET", "/metrics", "", 401},
		{"metrics by another spelling", "GET", "/%6Detrics", "", 401},
		{"metrics", "GET", "/metrics", secret, 200},
		{"no key", "POST", "/predict", "", 401},
		{"a wrong key", "POST", "/predict", apikey.New(), 401},
		{"a key", "POST", "/predict", secret, 200},
		{"a key of some models, with the default model", "POST", "/predict", camera, 403},
		{"a key of some models, with the list of all", "GET", "/v1/models", camera, 403},
		{"a key of some models, with another", "POST", "/v1/models/dogs/predict", camera, 403},
		{"a key of some models, with one of them", "POST", "/v1/models/cats/predict", camera, 200},
		{"a key above its rate", "POST", "/v1/models/cats/predict", camera, 429},
	} {
		if status, body := send(test.method, test.path, http.Header{"X-Api-Key": {test.secret}}); status != test.want {
			t.Errorf("%s: %d %s", test.name, status, body)
		}
	}
	_, seen := send("POST", "/predict", http.Header{"Authorization": {"Bearer " + secret}, "X-Forwarded-For": {"198.51.100.1"}})
	if seen != "Authorization=;X-Api-Key=;X-Forwarded-For=198.51.100.1;X-Forwarded-Proto=http;" {
		t.Errorf("the replica sees %s", seen)
	}
	_, metrics := send("GET", "/metrics", http.Header{"X-Api-Key": {secret}})
	for _, line := range []string{`fovea_key_requests_total{key="camera",status="200"} 1`, `fovea_key_requests_total{key="camera",status="403"} 3`, `fovea_access_refused_total{reason="wrong_key"}`, `fovea_access_refused_total{reason="model"} 3`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics have no %s", line)
		}
	}
	if log := f.log.String(); strings.Contains(log, secret[6:]) || strings.Contains(log, camera[6:]) || !strings.Contains(log, `"key":"camera"`) || !strings.Contains(log, `"client":"198.51.100.1"`) {
		t.Errorf("the log: %s", log)
	}
}

// Without keys of the gateway's, what clients send as such is the replicas' business.
func TestCredentialsAreForwardedWithoutKeys(t *testing.T) {
	f := start(t, nil, replicaThatShows(t))
	r, err := http.NewRequestWithContext(t.Context(), "GET", f.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Basic x")
	response, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); !strings.HasPrefix(string(body), "Authorization=Basic x;") {
		t.Errorf("the replica sees %s", body)
	}
}

func TestTLS(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "gateway")
	f := start(t, func(c *Config) {
		c.TLS.Certificate, c.TLS.Key, c.TLS.ClientCA, c.TLS.ClientNames = certificate, key, ca.File(dir), []string{"camera"}
	}, replicaThatShows(t))
	address := strings.TrimPrefix(f.url, "http://")
	send := func(client tls.Certificate) (string, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{client}}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport, Timeout: testTimeout}).Post("https://"+address+"/predict", "image/jpeg", strings.NewReader("an image"))
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.Proto + " " + string(body), err
	}
	if got, err := send(ca.Pair("camera")); err != nil || !strings.HasPrefix(got, "HTTP/2.0 ") || !strings.Contains(got, "X-Forwarded-Proto=https") {
		t.Errorf("an allowed client: %s, %v", got, err)
	}
	if got, err := send(ca.Pair("printer")); err == nil {
		t.Errorf("another client: %s", got)
	}
	probe, err := f.cfg.TLS.Probe()
	if err != nil {
		t.Fatal(err)
	}
	if err := httpserver.Probe(context.Background(), address, "/ready", testTimeout, probe); err != nil {
		t.Errorf("the probe: %v", err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	cfg := Defaults()
	cfg.TLS.Certificate, cfg.TLS.Key, cfg.Access = "/none.crt", "/none.key", access.Config{Keys: "/none.yaml"}
	if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "gateway.tls: open /none.crt") || !strings.Contains(err.Error(), "gateway.keys: open /none.yaml") {
		t.Error(err)
	}
}
