package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"fovea/internal/exitcode"
	"fovea/internal/httpserver"
	"fovea/internal/tlsfiles"
)

// openTLS reads the certificates; nil without TLS.
func openTLS(cfg tlsfiles.Config) (*tlsfiles.Files, error) {
	if !cfg.Enabled() {
		return nil, nil
	}
	files, err := tlsfiles.Open(cfg)
	if err != nil {
		return nil, exitcode.ForConfiguration(fmt.Errorf("http.tls: %w", err))
	}
	return files, nil
}

// listen opens the listener for HTTP, with TLS if it is configured.
func (s *service) listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.HTTP.Address)
	if err != nil {
		return nil, fmt.Errorf("http.address: %w", err)
	}
	s.address = l.Addr().String()
	s.log.Info("listening", "address", s.address, "version", build().Version, "tls", s.tls != nil)
	warnUnprotected(s.log, s.address, s.tls != nil)
	if s.tls == nil {
		return l, nil
	}
	return httpserver.TLS(l, s.tls.Server(), s.log), nil
}

// watchFiles re-reads certificates until ctx ends.
func (s *service) watchFiles(ctx context.Context) {
	if s.tls != nil {
		go s.tls.Watch(ctx, s.log)
	}
}

// warnUnprotected warns of a listener that other machines can reach and that has no protection.
func warnUnprotected(log *slog.Logger, address string, encrypted bool) {
	if a, err := netip.ParseAddrPort(address); err != nil || a.Addr().IsLoopback() || encrypted {
		return
	}
	log.Warn("anyone who can reach this address can use the server, and read what others send; docs/security.md says how to set up TLS and API keys", "address", address)
}
