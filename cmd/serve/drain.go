package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
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

func (s *service) finish(ctx context.Context) error {
	select {
	case <-time.After(s.cfg.Shutdown.Delay):
	case <-ctx.Done():
	}
	err := s.server.Shutdown(ctx)
	if served := <-s.served; served != nil {
		err = errors.Join(err, served)
	}
	if err != nil {
		err = fmt.Errorf("shutdown.timeout of %s: %w", s.cfg.Shutdown.Timeout, err)
		return errors.Join(err, s.closeEngine(time.Second)) // what was cut off ends soon
	}
	if err := s.engine.Close(ctx); err != nil {
		return fmt.Errorf("close the engine: %w", err)
	}
	return nil
}

func (s *service) closeEngine(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return s.engine.Close(ctx)
}
