package main

import (
	"context"
	"fmt"
	"time"

	"fovea/internal/exitcode"
)

// broken sends, once, the error that requires a restart, shutdown.broken_after after it was latched; with 0, never.
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
		err := s.monitor.Err()
		s.log.Error("server is broken; exiting for a restart", "in", grace, "key", "shutdown.broken_after", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(grace):
			end <- exitcode.ForRestart(fmt.Errorf("requires a restart: %w", err))
		}
	}()
	return end
}
