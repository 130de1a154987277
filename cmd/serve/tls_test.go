package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/exitcode"
	"fovea/internal/testenv"
)

// secure has all further requests to the process use TLS.
func (p *process) secure(cfg *tls.Config, http2 bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{TLSClientConfig: cfg, Protocols: protocols, MaxIdleConnsPerHost: 8}
	p.client = &http.Client{Timeout: time.Minute, Transport: transport}
	p.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func TestTLS(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "server")
	p := start(t, newRepository(t), "--http.tls.certificate="+certificate, "--http.tls.key="+key)
	for _, http2 := range []bool{false, true} {
		p.secure(&tls.Config{RootCAs: ca.Pool()}, http2)
		p.waitReady().good()
	}
	probe := command(t, "/", "probe", "--ready", "--http.address="+p.address, "--http.tls.certificate="+certificate, "--http.tls.key="+key)
	if out, err := probe.CombinedOutput(); err != nil {
		t.Errorf("probe: %v: %s", err, out)
	}
	if out, err := command(t, "/", "probe", "--http.address="+p.address).CombinedOutput(); err == nil {
		t.Errorf("a probe without TLS succeeds: %s", out)
	}
	if !strings.Contains(p.logged(), "https://"+p.address) || strings.Contains(p.logged(), "anyone who can reach this address") {
		t.Errorf("the log: %s", p.logged())
	}
	if curl, err := exec.LookPath("curl"); err == nil {
		image := filepath.Join(dir, "image.jpg")
		if err := os.WriteFile(image, testenv.Image(t, "coffee.jpg"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(curl, "--silent", "--show-error", "--fail", "--cacert", ca.File(dir), "--data-binary", "@"+image,
			"--header", "Content-Type: image/jpeg", "https://"+p.address+predictPath).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "espresso") {
			t.Errorf("curl: %v: %s", err, out)
		}
	}
}

func TestMutualTLS(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	certificate, key := ca.Files(dir, "server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	args := []string{"--http.tls.certificate=" + certificate, "--http.tls.key=" + key, "--http.tls.client_ca=" + ca.File(dir), "--http.tls.client_names=camera"}
	p := start(t, newRepository(t), args...)
	p.secure(&tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Pair("camera")}}, true)
	p.waitReady().good()
	if out, err := command(t, "/", append(args, "probe", "--ready", "--http.address="+p.address)...).CombinedOutput(); err != nil {
		t.Errorf("probe: %v: %s", err, out)
	}
	for name, denied := range map[string][]tls.Certificate{
		"no certificate": nil, "another name": {ca.Pair("printer")}, "another CA": {testenv.NewCA(t).Pair("camera")},
	} {
		p.secure(&tls.Config{RootCAs: ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if denied == nil {
				return new(tls.Certificate), nil
			}
			return &denied[0], nil
		}}, true)
		for _, path := range []string{"/health", "/v1/models"} {
			if got, err := p.do("GET", path, nil, nil); err == nil {
				t.Errorf("%s: GET %s gets %d", name, path, got.status)
			}
		}
	}
}

// The files of a Kubernetes secret are replaced by switching a link, while requests run on kept and on new connections. One
// version has a key of another certificate.
func TestCertificateRotationFailsNoRequest(t *testing.T) {
	ca, dir := testenv.NewCA(t), t.TempDir()
	version := func(name string, broken bool) {
		t.Helper()
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		_, key := ca.Files(folder, name)
		if broken {
			if _, other := ca.Issue("other"); os.WriteFile(key, other, 0o600) != nil {
				t.Fatal("the key cannot be written")
			}
		}
		next := filepath.Join(dir, "next")
		if err := os.Symlink(name, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("first", false)
	for _, file := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, newRepository(t), "--http.tls.certificate="+filepath.Join(dir, "tls.crt"), "--http.tls.key="+filepath.Join(dir, "tls.key"))
	trust := &tls.Config{RootCAs: ca.Pool()}
	p.secure(trust, false)
	p.waitReady()

	var clients [4]*http.Client
	for i := range clients {
		transport := &http.Transport{TLSClientConfig: trust.Clone(), DisableKeepAlives: i%2 == 0, ForceAttemptHTTP2: i < 2}
		t.Cleanup(transport.CloseIdleConnections)
		clients[i] = &http.Client{Transport: transport, Timeout: time.Minute}
	}
	coffee := testenv.Image(t, "coffee.jpg")
	stop := load(t, len(clients), func(i int) error {
		response, err := clients[i].Post("https://"+p.address+predictPath, "image/jpeg", bytes.NewReader(coffee))
		if err != nil {
			return fmt.Errorf("a request fails: %w", err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("a request gets %d", response.StatusCode)
		}
		return nil
	})
	version("broken", true)
	p.wait("the broken pair is logged", func() bool { return strings.Contains(p.logged(), "cannot be used") })
	if got := presented(t, p.address, trust); got != "first" {
		t.Errorf("with a broken pair, %s is in use", got)
	}
	for i := range 3 {
		name := fmt.Sprint("version ", i)
		version(name, false)
		p.wait(name+" is in use", func() bool { return presented(t, p.address, trust) == name })
	}
	requests := stop()
	if n := strings.Count(p.logged(), "cannot be used"); n != 1 || requests == 0 {
		t.Errorf("%d requests; the broken pair is logged %d times", requests, n)
	}
}

// presented is the common name of the certificate that a new connection gets.
func presented(t *testing.T, address string, cfg *tls.Config) string {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificatesThatCannotBeRead(t *testing.T) {
	out, err := command(t, "/none", "--http.address=127.0.0.1:0", "--http.tls.certificate=/none.crt", "--http.tls.key=/none.key").CombinedOutput()
	if exitStatus(err) != exitcode.Configuration || !strings.Contains(string(out), "http.tls: open /none.crt: no such file") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestUnprotectedListenerIsReportedOnce(t *testing.T) {
	const warning = "can be read on the network"
	dir := newRepository(t)
	if log := start(t, dir).logged(); strings.Contains(log, warning) {
		t.Errorf("on loopback: %s", log)
	}
	all := start(t, dir, "--http.address=0.0.0.0:0")
	all.wait("the warning", func() bool { return strings.Contains(all.logged(), warning) })
	if n := strings.Count(all.logged(), warning); n != 1 {
		t.Errorf("on all addresses the warning appears %d times", n)
	}
}
