package main

import (
	"context"
	"fmt"
	"time"

	"fovea/internal/exitcode"
)

// broken brings, once, the fault that only a restart mends, a grace after it was latched. It brings nothing when the server
// is configured to stay.
func (s *service) broken(ctx context.Context) <-chan error {
	grace := s.cfg.Shutdown.BrokenAfter
	if grace == 0 {
		return nil
	}
	end := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-s.monitor.Broken():
		}
		fault := s.monitor.Fault()
		s.log.Error("the server ends itself: only a restart mends this", "in", grace, "key", "shutdown.broken_after", "error", fault)
		select {
		case <-ctx.Done():
		case <-time.After(grace):
			end <- exitcode.ForRestart(fmt.Errorf("only a restart mends this: %w", fault))
		}
	}()
	return end
}
