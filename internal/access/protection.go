package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"fovea/internal/httpserver"
	"fovea/internal/tlsfiles"
)

// Protection is what protects a server: its guard, and TLS if it is configured.
type Protection struct {
	Guard *Guard
	TLS   *tlsfiles.Files // nil: none
	log   *slog.Logger
}

// OpenProtection reads API keys and certificates. The configurations must be valid. All errors are returned together, with the keys of
// a section of the configuration.
func OpenProtection(section string, c Config, t tlsfiles.Config, log *slog.Logger) (*Protection, error) {
	p := &Protection{log: log}
	var errs []error
	var err error
	if t.Enabled() {
		if p.TLS, err = tlsfiles.Open(t); err != nil {
			errs = append(errs, fmt.Errorf("%s.tls: %w", section, err))
		}
	}
	if p.Guard, err = Open(c, log); err != nil {
		errs = append(errs, fmt.Errorf("%s.keys: %w", section, err))
	}
	return p, errors.Join(errs...)
}

// Watch re-reads the files when they change, until ctx ends.
func (p *Protection) Watch(ctx context.Context) {
	var both sync.WaitGroup
	defer both.Wait()
	if p.TLS != nil {
		both.Go(func() { p.TLS.Watch(ctx, p.log) })
	}
	p.Guard.Watch(ctx)
}

// Listener returns a listener with TLS if it is configured.
func (p *Protection) Listener(l net.Listener) net.Listener {
	if p.TLS == nil {
		return l
	}
	return httpserver.TLS(l, p.TLS.Server(), p.log)
}
