// Package tlsfiles is TLS with certificates from files, which are re-read when they change. Connections that are open, and
// handshakes in progress, continue with what they began with.
package tlsfiles

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fovea/internal/reload"
)

// Files are the files of a Config, as last read. They are safe for concurrent use.
type Files struct{ value *reload.Value[tls.Config] }

// suites are the cipher suites of TLS 1.2: those with forward secrecy and authenticated encryption, which HTTP/2 requires
// (RFC 9113, appendix A). TLS 1.3 has only such suites.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Open reads the files. The configuration must be valid, and TLS enabled.
func Open(c Config) (*Files, error) {
	paths := []string{c.Certificate, c.Key}
	if c.Mutual() {
		paths = append(paths, c.ClientCA)
	}
	value, err := reload.Open(func(contents [][]byte) (*tls.Config, error) { return c.parse(contents) }, paths...)
	if err != nil {
		return nil, err
	}
	return &Files{value}, nil
}

// Watch re-reads the files when they change, until ctx ends. A pair that cannot be used is logged once, and the previous one
// stays in use.
func (f *Files) Watch(ctx context.Context, log *slog.Logger) { f.value.Watch(ctx, log) }

// NotAfter is when the certificate in use expires.
func (f *Files) NotAfter() time.Time { return f.value.Get().Certificates[0].Leaf.NotAfter }

// Server is the configuration of a server for HTTP/1 and HTTP/2, and so also for gRPC.
func (f *Files) Server() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.value.Get(), nil },
	}
}

var protocols = []string{"h2", "http/1.1"}

// parse makes the configuration of new connections.
func (c Config) parse(contents [][]byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", c.Certificate, c.Key, err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: protocols, Certificates: []tls.Certificate{pair}}
	if !c.Mutual() {
		return cfg, nil
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(contents[2]) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", c.ClientCA)
	}
	// The certificate is verified here, also where a session is resumed: crypto/tls would trust what it verified then.
	cfg.ClientAuth = tls.RequireAnyClientCert
	own := pair.Certificate[0]
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if bytes.Equal(s.PeerCertificates[0].Raw, own) {
			return nil // the probe on this machine: only the server itself has the private key
		}
		return c.verify(s.PeerCertificates, cfg.ClientCAs)
	}
	return cfg, nil
}

var errClientName = errors.New("the client certificate has none of the names in tls.client_names")

// verify checks a client's certificates, the leaf first.
func (c Config) verify(certificates []*x509.Certificate, roots *x509.CertPool) error {
	leaf := certificates[0]
	chain := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, other := range certificates[1:] {
		chain.Intermediates.AddCert(other)
	}
	if _, err := leaf.Verify(chain); err != nil {
		return fmt.Errorf("client certificate: %w", err)
	}
	if len(c.ClientNames) > 0 && !slices.ContainsFunc(names(leaf), func(name string) bool { return slices.Contains(c.ClientNames, name) }) {
		return errClientName
	}
	return nil
}

// names are the subject's alternative names, or its common name if there are none (RFC 6125, section 6.4.4).
func names(c *x509.Certificate) []string {
	list := append(slices.Clone(c.DNSNames), c.EmailAddresses...)
	for _, u := range c.URIs {
		list = append(list, u.String())
	}
	if len(list) == 0 && c.Subject.CommonName != "" {
		list = append(list, c.Subject.CommonName)
	}
	return list
}

// Probe is the configuration of a client on the same machine that only checks whether the server responds; nil without TLS.
// It presents the server's own certificate, which the server accepts instead of a client's.
func (c Config) Probe() (*tls.Config, error) {
	if !c.Enabled() {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", c.Certificate, c.Key, err)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // G402: a probe sends nothing secret, and the certificate may not be for a loopback address
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil // whatever CAs the server names
		},
	}, nil
}
