package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/config"
	"fovea/internal/httpserver"
	"fovea/internal/testenv"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers with the protocol and whether the request has a state of TLS.
func serve(t *testing.T, f *Files) (address string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.TLS.HandshakeComplete {
			_, _ = io.WriteString(w, r.Proto)
		}
	}), time.Minute, time.Minute, log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- httpserver.Serve(s, httpserver.TLS(l, f.Server(), log)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// get sends a request on a new connection and returns the body and the connection's state.
func get(t *testing.T, address string, cfg *tls.Config, http2 bool) (string, *tls.ConnectionState, error) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{TLSClientConfig: cfg, Protocols: protocols}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("https://" + address)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), response.TLS, err
}

func open(t *testing.T, c Config) *Files {
	t.Helper()
	if err := config.Check(c); err != nil {
		t.Fatal(err)
	}
	f, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestProtocols(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "server")
	f := open(t, Config{Certificate: certificate, Key: key})
	address := serve(t, f)
	for _, test := range []struct {
		name  string
		cfg   *tls.Config
		http2 bool
		want  string // of the body; "": refused
	}{
		{"HTTP/1.1 with TLS 1.3", &tls.Config{RootCAs: ca.Pool()}, false, "HTTP/1.1"},
		{"HTTP/2 with TLS 1.3", &tls.Config{RootCAs: ca.Pool()}, true, "HTTP/2.0"},
		{"HTTP/1.1 with TLS 1.2", &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS12}, false, "HTTP/1.1"},
		{"HTTP/2 with TLS 1.2", &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS12}, true, "HTTP/2.0"},
		{"TLS 1.1", &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false, ""},
		{"a cipher suite without authenticated encryption", &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false, ""},
		{"a client that does not know the CA", &tls.Config{}, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			body, _, err := get(t, address, test.cfg, test.http2)
			if body != test.want || (err != nil) != (test.want == "") {
				t.Errorf("%q, %v; want %q", body, err, test.want)
			}
		})
	}
	if left := time.Until(f.NotAfter()); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("the certificate is valid for another %s", left)
	}
}

func TestRequestWithoutTLS(t *testing.T) {
	certificate, key := testenv.NewCA(t).Files(t.TempDir(), "server")
	address := serve(t, open(t, Config{Certificate: certificate, Key: key}))
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != 400 || !strings.Contains(string(body), "HTTPS") {
		t.Errorf("%s %q", response.Status, body)
	}
}

func TestClientCertificates(t *testing.T) {
	ca, other, dir := testenv.NewCA(t), testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	cfg := Config{Certificate: certificate, Key: key, ClientCA: ca.File(dir)}
	named := cfg
	named.ClientNames = []string{"camera", "camera.example", "spiffe://example/camera", "camera@example.org"}
	spiffe, err := url.Parse("spiffe://example/camera")
	if err != nil {
		t.Fatal(err)
	}
	anyName, someNames := serve(t, open(t, cfg)), serve(t, open(t, named))
	for _, test := range []struct {
		name    string
		pair    *tls.Certificate
		any     bool // allowed without client_names
		allowed bool // with
	}{
		{"none", nil, false, false},
		{"one of the CA, without a listed name", pair(ca, "printer"), true, false},
		{"one with a listed common name", pair(ca, "camera"), true, true},
		{"one with a listed DNS name", pair(ca, "x", func(c *x509.Certificate) { c.DNSNames = []string{"y", "camera.example"} }), true, true},
		{"one with a listed URI", pair(ca, "x", func(c *x509.Certificate) { c.URIs = []*url.URL{spiffe} }), true, true},
		{"one with a listed email address", pair(ca, "x", func(c *x509.Certificate) { c.EmailAddresses = []string{"camera@example.org"} }), true, true},
		{"one with a listed common name next to another DNS name", pair(ca, "camera", func(c *x509.Certificate) { c.DNSNames = []string{"printer"} }), true, false},
		{"one of another CA", pair(other, "camera"), false, false},
		{"one for servers only", pair(ca, "camera", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), false, false},
		{"an expired one", pair(ca, "camera", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), false, false},
	} {
		for address, want := range map[string]bool{anyName: test.any, someNames: test.allowed} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				client := &tls.Config{RootCAs: ca.Pool(), MaxVersion: version}
				if test.pair != nil {
					client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return test.pair, nil }
				}
				if _, _, err := get(t, address, client, false); (err == nil) != want {
					t.Errorf("%s, names listed: %v, %s: %v; want allowed: %v", test.name, address == someNames, tls.VersionName(version), err, want)
				}
			}
		}
	}
	probe, err := named.Probe()
	if err != nil {
		t.Fatal(err)
	}
	if err := httpserver.Probe(t.Context(), someNames, "/", 20*time.Second, probe); err != nil {
		t.Errorf("the probe with the server's own certificate: %v", err)
	}
}

func pair(ca *testenv.CA, name string, change ...func(*x509.Certificate)) *tls.Certificate {
	p := ca.Pair(name, change...)
	return &p
}

// A session that was begun with an allowed certificate must not be resumed once its name is no longer allowed.
func TestResumedSessionIsVerifiedAgain(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "server")
	cfg := Config{Certificate: certificate, Key: key, ClientCA: ca.File(dir), ClientNames: []string{"camera"}}
	f := open(t, cfg)
	address := serve(t, f)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{RootCAs: ca.Pool(), MaxVersion: version, Certificates: []tls.Certificate{ca.Pair("camera")}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		var resumed bool
		for range 3 {
			_, state, err := get(t, address, client, false)
			if err != nil {
				t.Fatal(err)
			}
			resumed = state.DidResume
		}
		if !resumed {
			t.Fatalf("%s: the session is not resumed, so that this test checks nothing", tls.VersionName(version))
		}
		stricter := cfg
		stricter.ClientNames = []string{"printer"}
		keep := f.value
		f.value = open(t, stricter).value
		if _, _, err := get(t, address, client, false); err == nil {
			t.Errorf("%s: a session of a client that is no longer allowed is resumed", tls.VersionName(version))
		}
		f.value = keep
	}
}

// Certificates that change while requests run: none fails, and each handshake gets the old or the new one.
func TestRotation(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "first")
	log := &testenv.Buffer{}
	f := open(t, Config{Certificate: certificate, Key: key})
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() { f.Watch(ctx, slog.New(slog.NewTextHandler(log, nil))); close(watched) }()
	defer func() { cancel(); <-watched }()
	address := serve(t, f)
	served := func(name string) {
		t.Helper()
		for range 2000 {
			_, state, err := get(t, address, &tls.Config{RootCAs: ca.Pool()}, true)
			if err != nil {
				t.Fatal(err)
			}
			if state.PeerCertificates[0].Subject.CommonName == name {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s is never in use; the log: %s", name, log)
	}
	served("first")
	if err := os.WriteFile(key, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(log.String(), "cannot be used") {
		served("first")
	}
	ca.Files(dir, "second")
	served("second")
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("the broken key is logged %d times:\n%s", n, log)
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "server")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cfg  Config
		says string
	}{
		"a missing certificate": {Config{Certificate: filepath.Join(dir, "none"), Key: key}, "no such file"},
		"a key as certificate":  {Config{Certificate: key, Key: key}, "tls.key"},
		"a text as key":         {Config{Certificate: certificate, Key: text}, "text"},
		"a text as CA":          {Config{Certificate: certificate, Key: key, ClientCA: text}, "no certificate in PEM form"},
		"a key of another certificate": {Config{Certificate: certificate, Key: func() string {
			_, other := ca.Files(t.TempDir(), "other")
			return other
		}()}, "private key does not match"},
	} {
		if _, err := Open(test.cfg); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  Config
		keys string
	}{
		"nothing":                     {Config{}, ""},
		"all":                         {Config{"a", "b", "c", []string{"d"}}, ""},
		"no key":                      {Config{Certificate: "a"}, "key: is required with certificate"},
		"no certificate":              {Config{Key: "a"}, "certificate: is required with key"},
		"a client CA without TLS":     {Config{ClientCA: "a"}, "client_ca: has no effect without certificate"},
		"names without client CA":     {Config{Certificate: "a", Key: "b", ClientNames: []string{"c"}}, "client_names: has no effect without client_ca"},
		"an empty name":               {Config{"a", "b", "c", []string{""}}, "client_names: contains an empty name"},
		"two errors at the same time": {Config{Key: "a", ClientCA: "b"}, "certificate: is required with key\nclient_ca: has no effect without certificate"},
	} {
		got := ""
		if err := config.Check(test.cfg); err != nil {
			got = err.Error()
		}
		if got != test.keys {
			t.Errorf("%s: %q, want %q", name, got, test.keys)
		}
	}
}

func TestProbeWithoutTLS(t *testing.T) {
	if cfg, err := (Config{}).Probe(); cfg != nil || err != nil {
		t.Errorf("%v, %v", cfg, err)
	}
}
