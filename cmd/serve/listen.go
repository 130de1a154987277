package main

import (
	"context"
	"fmt"
	"net"

	"fovea/internal/access"
)

// listen opens the listener for HTTP, with TLS if it is configured.
func (s *service) listen(ctx context.Context) (l net.Listener, err error) {
	l, s.address, err = s.listenAt(ctx, "http", s.cfg.HTTP.Address, "listening", "version", build().Version)
	return l, err
}

// listenGRPC starts to serve gRPC, if it is configured, with the certificates and keys of HTTP.
func (s *service) listenGRPC(ctx context.Context) error {
	if s.grpc == nil {
		return nil
	}
	l, _, err := s.listenAt(ctx, "grpc", s.cfg.GRPC.Address, "listening for gRPC")
	if err != nil {
		s.grpc = nil
		return err
	}
	go func() { s.servedGRPC <- s.grpc.Serve(l) }()
	return nil
}

// listenAt opens a listener for a section of the configuration, with TLS if it is configured, and returns the address that it has. It
// logs that, and what others can do there.
func (s *service) listenAt(ctx context.Context, section, address, message string, attrs ...any) (l net.Listener, at string, err error) {
	l, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("%s.address: %w", section, err)
	}
	at = l.Addr().String()
	s.log.With("address", at).With(attrs...).Info(message, "tls", s.protection.TLS != nil, "keys", s.protection.Guard.NeedsKeys())
	if risk := access.Risk(at, s.cfg.HTTP.Access, s.cfg.HTTP.TLS); risk != "" {
		s.log.Warn(risk, "address", at)
	}
	return s.protection.Listener(l), at, nil
}
