package inference

import (
	"context"
	"errors"
	"slices"

	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// errUnloaded is why a model that a request unloaded has no versions.
var errUnloaded = errors.New("unloaded by request")

// Load serves a model of the repository again that Unload has unloaded, or reads its files again, and waits until it is ready.
// The error is an *apierror.Error.
func (e *Engine) Load(ctx context.Context, name string) error {
	e.mu.Lock()
	delete(e.unloaded, name)
	e.mu.Unlock()
	err := e.StartSync(ctx)
	if ctx.Err() != nil {
		return apierror.From(ctx.Err())
	}
	if failures := (*SyncError)(nil); err != nil && !errors.As(err, &failures) {
		return apierror.Wrap(apierror.NotReady, err, "the model repository cannot be read")
	}
	e.mu.Lock()
	if m := e.models[name]; m != nil && m.onDemand() && !e.closed {
		e.makeResident(m)
	}
	e.mu.Unlock()
	for _, v := range e.loadingOf(name) {
		select {
		case <-v.loadReturned:
		case <-ctx.Done():
			return apierror.From(ctx.Err())
		}
	}
	return e.loaded(name)
}

// loadingOf are the versions of a model that may still be loading.
func (e *Engine) loadingOf(name string) []*version {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if m := e.models[name]; m != nil {
		return slices.Clone(m.versions)
	}
	return nil
}

// loaded returns an error unless a model has a version that is ready, and all that the repository has.
func (e *Engine) loaded(name string) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	m := e.models[name]
	if m == nil || errors.Is(m.err, repository.ErrNotFound) {
		return apierror.New(apierror.ModelNotFound, "the model repository has no such model")
	}
	if !m.complete() || !m.isReady() || m.failure() != nil {
		return apierror.New(apierror.NotReady, "%s", m.reason())
	}
	return nil
}

// Unload unloads a model, once its requests are answered, until Load. An unknown model is no error.
func (e *Engine) Unload(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.models[name]
	if m == nil {
		return nil
	}
	e.unloaded[name] = true
	m.unload()
	e.setPipeline(m, nil)
	e.updateServed(m)
	return nil
}

// unload has nothing of the model wanted. The caller holds Engine.mu.
func (m *model) unload() {
	m.wanted, m.err, m.unreadable = nil, errUnloaded, nil
}
