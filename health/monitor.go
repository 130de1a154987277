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

// Finding is what a check found.
type Finding struct {
	Reasons []string // why the part is not ready
	GPULost bool     // this process does not reach its GPU any more
}

// Check looks at a part. It must be quick: slow ones are wrapped by Cached.
type Check func() Finding

// Monitor answers what state the server is in. Draining and Broken are latches. It is safe for concurrent use.
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

// New makes a monitor in state Starting, which it leaves after Loaded.
func New(engine Engine, log *slog.Logger, checks ...Check) *Monitor {
	return &Monitor{engine: engine, checks: checks, log: log, state: Starting, latched: make(chan struct{})}
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
	m.latch(err)
	m.mu.Unlock()
	m.Report()
}

// latch keeps the first fault that only a restart mends. The caller holds mu.
func (m *Monitor) latch(err error) {
	if m.broken == nil && err != nil {
		m.broken = err
		close(m.latched)
	}
}

// Broken is closed once a fault is latched that only a restart mends.
func (m *Monitor) Broken() <-chan struct{} { return m.latched }

// Fault is the fault that only a restart mends, nil while there is none.
func (m *Monitor) Fault() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken
}

// Report asks every part and returns the state of now. A change of state is logged, once, with the old state.
func (m *Monitor) Report() Report {
	fault := m.engine.Broken()
	reasons, gpuLost := append([]string{}, m.engine.Ready()...), false
	for _, check := range m.checks {
		found := check()
		reasons, gpuLost = append(reasons, found.Reasons...), gpuLost || found.GPULost
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latch(fault)
	report := m.judge(reasons)
	report.GPULost = gpuLost
	m.enter(report)
	return report
}

func (m *Monitor) judge(reasons []string) Report {
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
		m.log.Error("this process has lost its GPU; only a new container brings it back", "state", r.Status.String())
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
