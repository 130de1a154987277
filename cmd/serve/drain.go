package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"fovea/inference"
	"fovea/internal/cli"
)

// The end of shutdown.timeout, an eighth and at most maxTerminate, is kept for terminating runs that did not finish.
const (
	maxTerminate   = 3 * time.Second
	terminateShare = 8
)

// drain ends the server: /ready turns to 503, and after shutdown.delay the listener is closed and accepted requests are
// finished. A second signal, unless it is the first one repeated, or shutdown.timeout aborts it with an error.
func (s *service) drain() error {
	start := time.Now()
	s.monitor.Drain()
	s.server.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Shutdown.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.finish(ctx) }()
	for {
		select {
		case err := <-done:
			if err == nil {
				s.log.Info("drained")
			}
			return err
		case sig := <-s.signals:
			if sig != syscall.SIGHUP && time.Since(start) >= cli.RepeatedSignal {
				return errSecondSignal
			}
		}
	}
}

// finish waits for accepted requests and terminates runs that still compute shortly before the time is over.
func (s *service) finish(ctx context.Context) error {
	timeout := s.cfg.Shutdown.Timeout
	drain, cancel := context.WithTimeout(ctx, timeout-min(maxTerminate, timeout/terminateShare))
	defer cancel()
	select {
	case <-time.After(s.cfg.Shutdown.Delay):
	case <-drain.Done():
	}
	err := s.server.Shutdown(drain)
	err = errors.Join(err, <-s.served)
	if s.grpc != nil {
		err = errors.Join(err, s.grpc.Shutdown(drain), <-s.servedGRPC)
	}
	if err == nil {
		err = s.engine.Close(drain)
	}
	if errors.Is(err, inference.ErrComputing) {
		s.log.Warn("exiting while a load still computes", "error", err)
		return nil
	}
	if err == nil {
		return nil
	}
	s.engine.Terminate()
	if left := s.engine.Close(ctx); left != nil {
		err = errors.Join(err, errors.New("some runs did not stop; they are killed on exit"))
	}
	return fmt.Errorf("shutdown.timeout of %s: %w", timeout, err)
}
