package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fovea/health"
	"fovea/internal/exitcode"
)

// lostGPU is an engine with a fault that requires a restart, once one is stored.
type lostGPU struct{ fault atomic.Pointer[error] }

func (*lostGPU) Ready() []string { return nil }

func (l *lostGPU) Broken() error {
	if fault := l.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

func TestFatalFaultEndsTheServerWhereConfigured(t *testing.T) {
	for name, grace := range map[string]time.Duration{"after its grace": 15 * time.Second, "never by default": defaults().Shutdown.BrokenAfter} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := &lostGPU{}
				var logged strings.Builder
				log := slog.New(slog.NewTextHandler(&logged, nil))
				s := &service{cfg: defaults(), log: log, monitor: health.New(engine, log)}
				s.cfg.Shutdown.BrokenAfter = grace
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				go s.monitor.Watch(ctx, watchEvery)
				time.Sleep(time.Minute + watchEvery/2)
				lost := errors.New("cuda:0 is lost")
				engine.fault.Store(&lost)
				begin := time.Now()
				err := s.loop(ctx)
				took := time.Since(begin)
				if grace == 0 {
					if err != nil || took != time.Hour-time.Minute-watchEvery/2 {
						t.Errorf("it ended with %v after %s", err, took)
					}
					return
				}
				if exitcode.Of(errors.Join(err, errors.New("and of the drain"))) != exitcode.Restart || took != grace+watchEvery/2 {
					t.Errorf("it ended with %v after %s", err, took)
				}
				cancel()
				synctest.Wait()
				if text := logged.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "this fault requires a restart") || !strings.Contains(text, "cuda:0 is lost") {
					t.Errorf("logged %s", text)
				}
			})
		})
	}
}

// TestLostGPUEndsTheServerWhereConfigured: CUDA reports no fault, but the driver no longer has the GPU. It may come back before.
func TestLostGPUEndsTheServerWhereConfigured(t *testing.T) {
	for name, grace := range map[string]time.Duration{"after its grace": 15 * time.Second, "never by default": defaults().Shutdown.BrokenAfter} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lost atomic.Bool
				log := slog.New(slog.DiscardHandler)
				check := func() health.Finding {
					if lost.Load() {
						return health.Finding{Reasons: []string{"cuda:0: lost"}, GPULost: true}
					}
					return health.Finding{}
				}
				s := &service{cfg: defaults(), log: log, monitor: health.New(&lostGPU{}, log, check)}
				s.monitor.Loaded()
				s.cfg.Shutdown.BrokenAfter = grace
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				go s.monitor.Watch(ctx, watchEvery)
				go func() {
					for _, state := range []bool{true, false, true} { // for ten seconds, not for ten, for good
						time.Sleep(10*time.Second + watchEvery/2)
						lost.Store(state)
					}
				}()
				begin := time.Now()
				err := s.loop(ctx)
				took := time.Since(begin)
				if grace == 0 {
					if err != nil || took != time.Hour {
						t.Errorf("it ended with %v after %s", err, took)
					}
					return
				}
				if earliest := 30*time.Second + grace; exitcode.Of(err) != exitcode.Restart || took < earliest || took > earliest+5*time.Second {
					t.Errorf("it ended with %v after %s", err, took)
				}
			})
		})
	}
}
