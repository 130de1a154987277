package health

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Engine is the part that serves models.
type Engine interface {
	Ready() []string // reasons why not ready
	Broken() error   // an error that requires a restart; nil while there is none
}

// Finding is the result of a check.
type Finding struct {
	Reasons []string // why the part is not ready
	GPULost bool     // this process can no longer reach its GPU
}

// Check checks a part of the server. It must be fast; Cached wraps slow ones.
type Check func() Finding

// Monitor determines the state of the server. Draining and Broken are latched. It is safe for concurrent use.
type Monitor struct {
	engine Engine
	checks []Check
	log    *slog.Logger

	mu       sync.Mutex
	state    State
	gpuLost  bool
	loaded   bool
	draining bool
	broken   error
	latched  chan struct{} // closed once broken is set
}

// New returns a monitor in state Starting, which it leaves after Loaded.
func New(engine Engine, log *slog.Logger, checks ...Check) *Monitor {
	return &Monitor{engine: engine, checks: checks, log: log, state: Starting, latched: make(chan struct{})}
}

// Loaded notes that the first load of models has ended, successfully or not.
func (m *Monitor) Loaded() {
	m.mu.Lock()
	m.loaded = true
	m.mu.Unlock()
	m.Report()
}

// Drain notes that the server is shutting down.
func (m *Monitor) Drain() {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	m.Report()
}

// latch keeps the first error that requires a restart. The caller holds mu.
func (m *Monitor) latch(err error) {
	if m.broken == nil && err != nil {
		m.broken = err
		close(m.latched)
	}
}

// Broken returns a channel that is closed once an error requires a restart.
func (m *Monitor) Broken() <-chan struct{} { return m.latched }

// Err returns the error that requires a restart, nil while there is none.
func (m *Monitor) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken
}

// Report checks every part and returns the current state. A change of state is logged once, with the old state.
func (m *Monitor) Report() Report {
	broken := m.engine.Broken()
	reasons, gpuLost := append([]string{}, m.engine.Ready()...), false
	for _, check := range m.checks {
		found := check()
		reasons, gpuLost = append(reasons, found.Reasons...), gpuLost || found.GPULost
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latch(broken)
	report := m.evaluate(reasons)
	report.GPULost = gpuLost
	m.enter(report)
	return report
}

func (m *Monitor) evaluate(reasons []string) Report {
	switch {
	case m.broken != nil:
		return Report{Status: Broken, Reasons: []string{m.broken.Error()}}
	case m.draining:
		return Report{Status: Draining, Reasons: []string{"the server is shutting down"}}
	case !m.loaded:
		return Report{Status: Starting, Reasons: append([]string{"models are being loaded"}, reasons...)}
	case len(reasons) > 0:
		return Report{Status: Unready, Reasons: reasons}
	}
	return Report{Status: Ready, Reasons: reasons}
}

func (m *Monitor) enter(r Report) {
	if r.GPULost && !m.gpuLost {
		m.log.Error("GPU not reachable; the container has to be replaced", "state", r.Status.String())
	}
	m.gpuLost = r.GPULost
	if r.Status == m.state {
		return
	}
	level := slog.LevelInfo
	switch r.Status {
	case Broken:
		level = slog.LevelError
	case Unready:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("state", r.Status.String()), slog.String("was", m.state.String())}
	if len(r.Reasons) > 0 {
		attrs = append(attrs, slog.String("reasons", strings.Join(r.Reasons, "; ")))
	}
	m.log.LogAttrs(context.Background(), level, "server is "+r.Status.String(), attrs...)
	m.state = r.Status
}

// Watch reports every interval until ctx ends, so that changes are logged without requests to /health or /ready.
func (m *Monitor) Watch(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.Report()
		}
	}
}
