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

	fault context.Context // canceled by latch, with the error that requires a restart as its cause
	latch context.CancelCauseFunc

	mu       sync.Mutex
	state    State
	gpuLost  bool
	lost     time.Time // since when the server is unready as it has lost its GPU; zero: it is not
	loaded   bool
	draining bool
}

// New returns a monitor in state Starting, which it leaves after Loaded.
func New(engine Engine, log *slog.Logger, checks ...Check) *Monitor {
	m := &Monitor{engine: engine, checks: checks, log: log, state: Starting}
	m.fault, m.latch = context.WithCancelCause(context.Background())
	return m
}

// Loaded notes that the first load of models has ended, successfully or not.
func (m *Monitor) Loaded() { m.note(&m.loaded) }

// Drain notes that the server is shutting down.
func (m *Monitor) Drain() { m.note(&m.draining) }

func (m *Monitor) note(event *bool) {
	m.mu.Lock()
	*event = true
	m.mu.Unlock()
	m.Report()
}

// Broken returns a channel that is closed once an error requires a restart.
func (m *Monitor) Broken() <-chan struct{} { return m.fault.Done() }

// Err returns the error that requires a restart, nil while there is none.
func (m *Monitor) Err() error { return context.Cause(m.fault) }

// LostFor returns for how long, as of the last report, the server has been unready because it lost its GPU; 0: it is not.
func (m *Monitor) LostFor() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lost.IsZero() {
		return 0
	}
	return time.Since(m.lost)
}

// Report checks every part and returns the current state. A change of state is logged once, with the old state.
func (m *Monitor) Report() Report {
	if err := m.engine.Broken(); err != nil {
		m.latch(err) // further errors have no effect
	}
	reasons, gpuLost := append([]string{}, m.engine.Ready()...), false
	for _, check := range m.checks {
		found := check()
		reasons, gpuLost = append(reasons, found.Reasons...), gpuLost || found.GPULost
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	report := m.evaluate(reasons)
	report.GPULost = gpuLost
	m.enter(report)
	return report
}

func (m *Monitor) evaluate(reasons []string) Report {
	switch err := m.Err(); {
	case err != nil:
		return Report{Status: Broken, Reasons: []string{err.Error()}}
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
		m.log.Error("GPU not reachable; replace or restart this process", "state", r.Status)
	}
	m.gpuLost = r.GPULost
	switch {
	case !r.GPULost || r.Status != Unready:
		m.lost = time.Time{}
	case m.lost.IsZero():
		m.lost = time.Now()
	}
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
	attrs := []slog.Attr{slog.String("state", string(r.Status)), slog.String("was", string(m.state))}
	if len(r.Reasons) > 0 {
		attrs = append(attrs, slog.String("reasons", strings.Join(r.Reasons, "; ")))
	}
	m.log.LogAttrs(context.Background(), level, "server is "+string(r.Status), attrs...)
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
