package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"fovea/inference"
)

// Of the time for the shutdown, an eighth, and no more than lastPart, is for ending what still computes when the rest is over.
const (
	lastPart  = 3 * time.Second
	lastShare = 8
)

// drain ends the server: it says that it isn't ready, goes on for the delay, then closes the listener and waits
// for what was accepted. A second signal, or the end of the time, cuts it short with an error.
func (s *service) drain() error {
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
				s.log.Info("all is answered")
			}
			return err
		case sig := <-s.signals:
			if sig != syscall.SIGHUP {
				return errSecondSignal
			}
		}
	}
}

// finish waits for what was accepted, and ends what still computes before the time is over.
func (s *service) finish(ctx context.Context) error {
	timeout := s.cfg.Shutdown.Timeout
	drain, cancel := context.WithTimeout(ctx, timeout-min(lastPart, timeout/lastShare))
	defer cancel()
	select {
	case <-time.After(s.cfg.Shutdown.Delay):
	case <-drain.Done():
	}
	err := s.server.Shutdown(drain)
	if served := <-s.served; served != nil {
		err = errors.Join(err, served)
	}
	if err == nil {
		err = s.engine.Close(drain)
	}
	if errors.Is(err, inference.ErrComputing) {
		s.log.Warn("the process ends while something computes", "error", err)
		return nil
	}
	if err == nil {
		return nil
	}
	s.engine.Terminate()
	if left := s.engine.Close(ctx); left != nil {
		err = errors.Join(err, errors.New("what still computes is left to the end of the process"))
	}
	return fmt.Errorf("shutdown.timeout of %s: %w", timeout, err)
}

// closeEngine is for a server that never listened.
func (s *service) closeEngine(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return s.engine.Close(ctx)
}
