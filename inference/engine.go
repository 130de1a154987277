package inference

import (
	"cmp"
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
	"fovea/internal/config"
	"fovea/internal/repository"
	"fovea/preprocess/header"
)

// Engine serves the models of a repository. Its methods may be called concurrently.
type Engine struct {
	*shared
	repo        *repository.Repository
	checkDevice func(onnx.Device) error

	syncing   *semaphore.Weighted     // one StartSync at a time
	room      *semaphore.Weighted     // one load at a time waits for memory
	building  *semaphore.Weighted     // one engine of TensorRT at a time is built
	slow      slowReads               // used while syncing
	work      sync.WaitGroup          // loads and unloads in progress
	computing atomic.Int64            // loads, of parallel sessions too, including those that were given up
	stop      context.CancelCauseFunc // terminates all loads and runs

	loads     context.Context         // of all loads: its end stops them
	stopLoads context.CancelCauseFunc // ends it

	mu        sync.RWMutex
	models    map[string]*model
	order     []string        // names as they are listed
	listed    bool            // the repository has been read
	misplaced []error         // see repository.Repository.Misplaced
	repoErr   error           // why the last StartSync could not read the repository or a part of it
	lost      error           // see Broken
	unloaded  map[string]bool // models that Unload has unloaded
	piped     map[string]bool // models of the steps of pipelines
	closed    bool

	memoryChange chan struct{} // closed when there may be more room in the memory budget

	closeOnce func() error // stops everything and closes ONNX Runtime
}

// model is the state of one model. Engine.mu guards it.
type model struct {
	name     string
	entry    *repository.Entry // of the last StartSync that could read it
	served   []*version        // ready, ascending: those that requests can use
	versions []*version        // all, until they are unloaded
	wanted   []wantedVersion   // the repository's versions at the last StartSync
	err      error             // why there are none
	// unreadable is why a version that should be served, or the whole model, cannot be read at the moment: a
	// repository.ErrUnreadable. Served versions are kept meanwhile.
	unreadable error
	pipeline   *pipelineModel // instead of versions; nil: it is none

	resident bool          // its versions are loaded or being loaded; see residency.go
	absent   string        // why it is not resident
	loads    chan struct{} // closed when the loads that a request has started have returned; nil without any
	waiting  int           // requests that wait for that
}

// New opens the runtime's library and chooses the device; it loads nothing. obs and log may be nil.
func New(cfg Config, repo *repository.Repository, obs Observer, log *slog.Logger) (*Engine, error) {
	if err := config.Check(cfg); err != nil {
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
	device, reason, err := onnx.Pick(cfg.Device)
	if err != nil {
		return nil, errors.Join(err, onnx.Close())
	}
	log.Info("device selected", "device", device.String(), "reason", reason, "runtime", onnx.Version())
	ctx, stop := context.WithCancelCause(context.Background())
	e := &Engine{repo: repo, checkDevice: onnx.CheckDevice, models: map[string]*model{}, unloaded: map[string]bool{}, syncing: semaphore.NewWeighted(1),
		room: semaphore.NewWeighted(1), building: semaphore.NewWeighted(1), memoryChange: make(chan struct{}),
		slow: slowReads{limit: readTimeout, pending: map[string]chan struct{}{}}, stop: stop}
	e.shared = &shared{ctx: ctx, cfg: cfg, device: device, limits: header.Limits{MaxPixels: cfg.MaxPixels},
		workers: newWorkers(cfg.workers()), obs: obs, log: log, onRunError: e.markDeviceLost, reserve: e.reserve, grow: e.grow, newRunner: newRunner, batchSizes: batchSizes,
		pixels: newPixelBudget(cfg.MaxPixels, cfg.workers())}
	e.loads, e.stopLoads = context.WithCancelCause(ctx)
	e.work.Go(e.expire)
	e.closeOnce = sync.OnceValue(func() error {
		stop(errClosed)
		return onnx.Close()
	})
	return e, nil
}

// Default is the name of the model for requests that name none: inference.default, else the only model. It is empty without
// either.
func (e *Engine) Default() string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.defaultName()
}

func (e *Engine) defaultName() string {
	if e.cfg.Default == "" && len(e.order) == 1 {
		return e.order[0]
	}
	return e.cfg.Default
}

// label is the model's name for metrics; empty if there is no such model, so that clients cannot create labels.
func (e *Engine) label(name string) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	name = cmp.Or(name, e.defaultName())
	if e.models[name] == nil {
		return ""
	}
	return name
}

// acquire finds a version and counts the request as in flight on it; the caller calls done. It waits for the loads of a model that is
// not resident, at most until ctx ends.
func (e *Engine) acquire(ctx context.Context, name, number string) (*version, error) {
	v, absent, err := e.acquireResident(name, number)
	if absent == nil {
		return v, err
	}
	return e.acquireLoaded(ctx, absent, number)
}

// acquireResident is acquire, or returns the model if its loads are to be waited for.
func (e *Engine) acquireResident(name, number string) (v *version, absent *model, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	m, err := e.find(name)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case m.pipeline != nil:
		return nil, nil, isPipeline(m.name)
	case m.loads != nil || m.onDemand():
		return nil, m, nil
	}
	if v, err = m.find(number); err != nil {
		return nil, nil, err
	}
	v.use()
	return v, nil, nil
}

// find is the model of that name, or the default for none, if it may be used. The caller holds mu.
func (e *Engine) find(name string) (*model, error) {
	switch {
	case e.lost != nil:
		return nil, deviceLost(e.lost)
	case e.closed:
		return nil, apierror.New(apierror.Draining, "the server is shutting down")
	}
	name = cmp.Or(name, e.defaultName())
	m := e.models[name]
	switch {
	case name == "" && len(e.order) > 1:
		return nil, ModelRequired(slices.Sorted(slices.Values(e.order)))
	case m == nil && !e.listed, name == "":
		return nil, apierror.New(apierror.NotReady, "no model is loaded yet")
	case m == nil:
		return nil, ModelNotFound(name, slices.Sorted(maps.Keys(e.models)))
	}
	return m, nil
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
		if strconv.Itoa(w.Number) == number {
			return nil, apierror.New(apierror.NotReady, "version %s of model %q is not ready", number, m.name)
		}
	}
	names := make([]string, len(m.served))
	for i, v := range m.served {
		names[i] = v.name
	}
	return nil, apierror.New(apierror.ModelNotFound, "model %q has no version %q; available: %s", m.name, number, orNone(names))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Close refuses new requests, stops the loads, waits until requests in flight are answered, and frees everything. When
// ctx ends first, the error lists what is left, and Close can be called again to wait longer. ONNX Runtime is closed only
// when nothing computes; until then the error is ErrComputing.
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
		return e.closeOnce()
	case <-ctx.Done():
		return fmt.Errorf("models are still in use: %s: %w", orNone(e.unfinished()), ctx.Err())
	}
}

// Terminate ends every load and run as soon as the models allow; requests that wait for them fail. It is used when
// shutdown.timeout is nearly over, before Close.
func (e *Engine) Terminate() {
	e.refuse()
	e.stop(apierror.Wrap(apierror.Draining, errClosed, "the server is shutting down"))
}

// refuse refuses new requests, stops the loads, and starts to unload everything.
func (e *Engine) refuse() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.stopLoads(errClosed)
	for _, m := range e.models {
		m.wanted, m.unreadable = nil, nil
		e.setPipeline(m, nil)
		e.updateServed(m)
	}
}

func (e *Engine) unfinished() (names []string) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(e.models)) {
		for _, v := range e.models[name].versions {
			if !v.is(Failed) || !v.stopped() {
				names = append(names, name+" version "+v.name)
			}
		}
	}
	return names
}
