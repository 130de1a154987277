package inference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/header"
)

// Engine holds the models that answer. Its methods may be called at the same time.
type Engine struct {
	cfg    Config
	repo   *repository.Repository
	obs    Observer
	log    *slog.Logger
	shared *shared
	why    string // the device was chosen
	touch  func(onnx.Device) error

	syncing   *semaphore.Weighted     // one look at the repository at a time
	work      sync.WaitGroup          // loads and unloads under way
	computing atomic.Int64            // tries to load, and widenings, those among them that were given up
	stop      context.CancelCauseFunc // ends all loads and runs

	loads     context.Context         // of all loads: its end ends them
	stopLoads context.CancelCauseFunc // ends it

	mu     sync.RWMutex
	models map[string]*model
	order  []string // names as they are listed
	listed bool     // the repository has been read
	strays []error  // see models.Repository.Misplaced
	unread error    // why the repository, or a part of it, could not be read at the last look
	broken error
	closed bool

	closing  sync.Once
	closeErr error
}

// model is all that is known of one name. The engine's mutex guards it.
type model struct {
	name     string
	served   []*version // ready, ascending: what requests may ask for
	versions []*version // all that are not gone
	wanted   []wanted   // what the repository said last
	err      error      // why it said nothing
	// blocked says why a version that should be served, or the whole model, cannot be looked at now: a models.ErrUnreadable.
	// What is served goes on meanwhile.
	blocked error
}

// New opens the runtime's library and chooses the device; it loads nothing. obs and log may be nil.
func New(cfg Config, repo *repository.Repository, obs Observer, log *slog.Logger) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if obs == nil {
		obs = noObserver{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := onnx.Open(cfg.Library); err != nil {
		return nil, err
	}
	device, why, err := onnx.Pick(cfg.Device)
	if err != nil {
		return nil, errors.Join(err, onnx.Close())
	}
	log.Info("device", "device", device.String(), "why", why, "runtime", onnx.Version())
	ctx, stop := context.WithCancelCause(context.Background())
	e := &Engine{cfg: cfg, repo: repo, obs: obs, log: log, why: why, touch: onnx.CheckDevice, models: map[string]*model{},
		syncing: semaphore.NewWeighted(1), stop: stop}
	e.loads, e.stopLoads = context.WithCancelCause(ctx)
	e.shared = &shared{ctx: ctx, cfg: cfg, device: device, limits: header.Limits{MaxPixels: cfg.MaxPixels},
		cores: newCores(cfg.workers()), obs: obs, log: log, lost: e.ranInto}
	return e, nil
}

// Default is the name of the model that requests without one ask for; empty when there is none.
func (e *Engine) Default() string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.defaultName()
}

func (e *Engine) defaultName() string {
	if e.cfg.Default != "" {
		return e.cfg.Default
	}
	if len(e.order) == 0 {
		return ""
	}
	return e.order[0]
}

// known is the name for metrics: that of a model there is, so that strangers cannot make up labels.
func (e *Engine) known(name string) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if name == "" {
		name = e.defaultName()
	}
	if e.models[name] == nil {
		return ""
	}
	return name
}

// acquire finds a version and counts the request as in flight on it; the caller calls refs.Done.
func (e *Engine) acquire(name, number string) (*version, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch {
	case e.broken != nil:
		return nil, apierror.Wrap(apierror.DeviceLost, e.broken, "the device has failed; the server must be restarted")
	case e.closed:
		return nil, apierror.New(apierror.Draining, "the server is shutting down")
	}
	if name == "" {
		name = e.defaultName()
	}
	m := e.models[name]
	switch {
	case m == nil && !e.listed, name == "":
		return nil, apierror.New(apierror.NotReady, "no model is loaded yet")
	case m == nil:
		return nil, apierror.New(apierror.ModelNotFound, "there is no model %q; there are: %s", name,
			orNone(slices.Sorted(maps.Keys(e.models))))
	}
	v, err := m.find(number)
	if err != nil {
		return nil, err
	}
	v.refs.Add(1)
	return v, nil
}

// find is the version of that number, or the highest for none.
func (m *model) find(number string) (*version, error) {
	if number == "" {
		if len(m.served) == 0 {
			return nil, apierror.New(apierror.NotReady, "model %q is not ready", m.name)
		}
		return m.served[len(m.served)-1], nil
	}
	for _, v := range m.served {
		if v.name == number {
			return v, nil
		}
	}
	for _, w := range m.wanted {
		if strconv.Itoa(w.version.Number) == number {
			return nil, apierror.New(apierror.NotReady, "version %s of model %q is not ready", number, m.name)
		}
	}
	names := make([]string, len(m.served))
	for i, v := range m.served {
		names[i] = v.name
	}
	return nil, apierror.New(apierror.ModelNotFound, "model %q has no version %q; it has: %s", m.name, number, orNone(names))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// errClosed is why loads, and at last runs, are ended.
var errClosed = errors.New("the server is shutting down")

// ErrComputing is what Close says when nothing is left but loads that failed and cannot be stopped.
var ErrComputing = errors.New("a load that was given up still computes")

// Close refuses further requests, ends the loads, waits until requests in flight are answered and frees everything. When
// ctx ends first it says what is left; it can be called again to wait longer. ONNX Runtime is closed only once nothing
// computes any more: until then the error is ErrComputing.
func (e *Engine) Close(ctx context.Context) error {
	e.refuse()
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		if e.computing.Load() > 0 {
			return ErrComputing
		}
		e.closing.Do(func() {
			e.stop(errClosed)
			e.closeErr = onnx.Close()
		})
		return e.closeErr
	case <-ctx.Done():
		return fmt.Errorf("models are still in use: %s: %w", orNone(e.unfinished()), ctx.Err())
	}
}

// Terminate ends every load and run as soon as the models allow; requests that wait for them fail. It is for the end of a
// shutdown's time, before Close.
func (e *Engine) Terminate() {
	e.refuse()
	e.stop(apierror.Wrap(apierror.Draining, errClosed, "the server is shutting down"))
}

// refuse ends the intake and the loads, and begins to unload everything.
func (e *Engine) refuse() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.stopLoads(errClosed)
	for _, m := range e.models {
		m.wanted, m.blocked = nil, nil
		e.settle(m)
	}
}

func (e *Engine) unfinished() (names []string) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(e.models)) {
		for _, v := range e.models[name].versions {
			if !v.is(Failed) || !v.over() {
				names = append(names, name+" version "+v.name)
			}
		}
	}
	return names
}
