package health

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Engine is what the monitor asks of the part that serves models.
type Engine interface {
	Ready() []string // reasons why not ready
	Broken() error   // a fault that only a restart mends
}

// Check returns the reasons why a part is not ready. It must be quick: slow ones are wrapped by Cached.
type Check func() []string

// Monitor answers what state the server is in. Draining and Broken are latches. It is safe for concurrent use.
type Monitor struct {
	engine Engine
	checks []Check
	log    *slog.Logger

	mu       sync.Mutex
	state    State
	loaded   bool
	draining bool
	broken   error
}

// New makes a monitor in state Starting, which it leaves after Loaded.
func New(engine Engine, log *slog.Logger, checks ...Check) *Monitor {
	return &Monitor{engine: engine, checks: checks, log: log, state: Starting}
}

// Loaded says that the first load of models is over, however it went.
func (m *Monitor) Loaded() {
	m.mu.Lock()
	m.loaded = true
	m.mu.Unlock()
	m.Report()
}

// Drain says that the server is shutting down.
func (m *Monitor) Drain() {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	m.Report()
}

// Break latches a fault that only a restart mends; the first one stays.
func (m *Monitor) Break(err error) {
	m.mu.Lock()
	if m.broken == nil {
		m.broken = err
	}
	m.mu.Unlock()
	m.Report()
}

// Report asks every part and returns the state of now. A change of state is logged, once, with the old state.
func (m *Monitor) Report() Report {
	fault := m.engine.Broken()
	reasons := append([]string{}, m.engine.Ready()...)
	for _, check := range m.checks {
		reasons = append(reasons, check()...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		m.broken = fault
	}
	report := m.judge(reasons)
	m.enter(report)
	return report
}

func (m *Monitor) judge(reasons []string) Report {
	switch {
	case m.broken != nil:
		return Report{Broken, []string{m.broken.Error()}}
	case m.draining:
		return Report{Draining, []string{"the server is shutting down"}}
	case !m.loaded:
		return Report{Starting, append([]string{"models are being loaded"}, reasons...)}
	case len(reasons) > 0:
		return Report{Unready, reasons}
	}
	return Report{Ready, reasons}
}

func (m *Monitor) enter(r Report) {
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

// Watch reports every interval until ctx ends, so that changes are logged when nobody asks.
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
