package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"fovea/internal/access"
	"fovea/internal/exitcode"
	"fovea/internal/httpserver"
	"fovea/internal/tlsfiles"
)

// openProtection reads certificates and API keys. All errors are returned together.
func (s *service) openProtection() error {
	var errs []error
	if cfg := s.cfg.HTTP.TLS; cfg.Enabled() {
		files, err := tlsfiles.Open(cfg)
		if s.tls = files; err != nil {
			errs = append(errs, fmt.Errorf("http.tls: %w", err))
		}
	}
	guard, err := access.Open(s.cfg.HTTP.Access, s.log)
	if s.guard = guard; err != nil {
		errs = append(errs, fmt.Errorf("http.keys: %w", err))
	}
	return exitcode.ForConfiguration(errors.Join(errs...))
}

// watchFiles re-reads certificates and keys until ctx ends.
func (s *service) watchFiles(ctx context.Context) {
	if s.tls != nil {
		go s.tls.Watch(ctx, s.log)
	}
	go s.guard.Watch(ctx)
}

// listen opens the listener for HTTP, with TLS if it is configured.
func (s *service) listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.HTTP.Address)
	if err != nil {
		return nil, fmt.Errorf("http.address: %w", err)
	}
	s.address = l.Addr().String()
	s.log.Info("listening", "address", s.address, "version", build().Version, "tls", s.tls != nil, "keys", s.guard.NeedsKeys())
	if risk := access.Risk(s.address, s.cfg.HTTP.Access, s.cfg.HTTP.TLS); risk != "" {
		s.log.Warn(risk, "address", s.address)
	}
	return s.withTLS(l), nil
}

// withTLS is the listener with TLS if it is configured.
func (s *service) withTLS(l net.Listener) net.Listener {
	if s.tls == nil {
		return l
	}
	return httpserver.TLS(l, s.tls.Server(), s.log)
}

// listenGRPC starts to serve gRPC, if it is configured, with the certificates and keys of HTTP.
func (s *service) listenGRPC(ctx context.Context) error {
	if s.grpc == nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.GRPC.Address)
	if err != nil {
		s.grpc = nil
		return fmt.Errorf("grpc.address: %w", err)
	}
	address := l.Addr().String()
	s.log.Info("listening for gRPC", "address", address, "tls", s.tls != nil, "keys", s.guard.NeedsKeys())
	if risk := access.Risk(address, s.cfg.HTTP.Access, s.cfg.HTTP.TLS); risk != "" {
		s.log.Warn(risk, "address", address)
	}
	go func() { s.servedGRPC <- s.grpc.Serve(s.withTLS(l)) }()
	return nil
}
