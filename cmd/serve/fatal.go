package main

import (
	"context"
	"fmt"
	"time"

	"fovea/internal/exitcode"
)

// watchFatal delivers, once, a fault that requires a restart, shutdown.broken_after after it was latched; nothing if that
// is 0.
func (s *service) watchFatal(ctx context.Context) <-chan error {
	grace := s.cfg.Shutdown.BrokenAfter
	if grace == 0 {
		return nil
	}
	fatal := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-s.monitor.Broken():
		}
		fault := s.monitor.Err()
		s.log.Error("exiting: this fault requires a restart", "in", grace, "key", "shutdown.broken_after", "error", fault)
		select {
		case <-ctx.Done():
		case <-time.After(grace):
			fatal <- exitcode.ForRestart(fmt.Errorf("a restart is required: %w", fault))
		}
	}()
	return fatal
}
