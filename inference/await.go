package inference

import (
	"context"
	"errors"
	"fmt"
)

// Await waits until no model, or no required one, is loading, or until ctx ends. A version of a required model that must pass a gate
// is not waited for, and its failure not one of a required model, while another version is served. The error is a *SyncError, in which
// an unfinished load counts as a failure.
func (e *Engine) Await(ctx context.Context, required bool) error {
	for _, v := range e.loadingVersions(required) {
		if required && e.replacesServed(ctx, v) {
			continue
		}
		select {
		case <-v.loadReturned:
		case <-ctx.Done():
		}
	}
	return syncError(e.failures(ctx))
}

// loadingVersions are the versions that may still be loading. It does not use the state, since a version becomes ready a
// moment before it is served.
func (e *Engine) loadingVersions(required bool) (list []*version) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for name, m := range e.models {
		for _, v := range m.versions {
			if !required || e.cfg.required(name) {
				list = append(list, v)
			}
		}
	}
	return list
}

// failures lists the errors of the listed models.
func (e *Engine) failures(ctx context.Context) (failures []*LoadError) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	loading := errors.New("still loading")
	if err := ctx.Err(); err != nil {
		loading = fmt.Errorf("still loading: %w", err)
	}
	if e.repoErr != nil {
		failures = append(failures, &LoadError{Err: e.repoErr})
	}
	for _, name := range e.order {
		m := e.models[name]
		required := e.cfg.required(name)
		add := func(version int, err error) {
			if err != nil {
				failures = append(failures, &LoadError{name, version, required, err})
			}
		}
		add(0, m.err)
		add(0, m.unreadable)
		if m.pipeline != nil {
			add(1, m.pipeline.failure(loading))
		}
		for _, v := range m.versions {
			state, err := v.current()
			if state == Loading {
				err = loading
			}
			required = e.cfg.required(name) && (v.gate == "" || len(m.served) == 0)
			add(v.Number, err)
		}
	}
	for _, err := range e.misplaced {
		failures = append(failures, &LoadError{Err: err})
	}
	return failures
}
