package inference

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"fovea/models"
)

// retryFailed is how long a version whose files did not change is left alone after it failed to load.
const retryFailed = time.Minute

// wanted is one version that the repository says should be served.
type wanted struct {
	version models.Version
	look    string // see models.Entry.Fingerprint
}

// Sync brings what is loaded to what the repository says now: new versions are loaded beside the old and take
// their place when they are ready; what went away is unloaded once its requests are answered. A version that
// fails never takes the place of one that works. Models are loaded at the same time and none waits for another.
//
// The error is a *SyncError. When ctx ends first it tells of the models that still load; they go on, and are
// served when they are ready, because the runtime cannot stop a load.
func (e *Engine) Sync(ctx context.Context) error {
	if err := e.syncing.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.syncing.Release(1)
	names, unreadable := e.names()
	if len(names) == 0 && unreadable != nil {
		return unreadable
	}
	if err := e.list(names); err != nil {
		return err
	}
	var loads []*version
	for _, name := range names {
		loads = append(loads, e.want(name)...)
	}
	for _, v := range loads {
		select {
		case <-v.done:
		case <-ctx.Done():
		}
	}
	failures := e.failures(ctx)
	if unreadable != nil {
		failures = append(failures, &LoadError{Err: unreadable})
	}
	for _, err := range e.misplaced() {
		failures = append(failures, &LoadError{Err: err})
	}
	if len(failures) == 0 {
		return nil
	}
	return &SyncError{failures}
}

// names are the models to be served: those that are configured, or all that have weights or are wrong, and the
// default one, so that it is missed when it is not there.
func (e *Engine) names() (names []string, err error) {
	if len(e.cfg.Models) > 0 {
		for _, m := range e.cfg.Models {
			names = append(names, m.Name)
		}
		return names, nil
	}
	names, err = e.repo.Names()
	names = slices.DeleteFunc(names, func(name string) bool {
		entry, err := e.repo.Load(name)
		return err == nil && len(entry.Versions) == 0 && entry.Misplaced() == ""
	})
	if e.cfg.Default != "" && !slices.Contains(names, e.cfg.Default) && (err == nil || len(names) > 0) {
		names = append(names, e.cfg.Default) // so that its absence is told, where anything is known of what is there
	}
	return names, err
}

// misplaced keeps, for Ready, and returns what looks like a model and lies where none is looked for. Where models are
// named by the configuration, what else is there is nobody's concern: see read.
func (e *Engine) misplaced() []error {
	if len(e.cfg.Models) > 0 {
		return nil
	}
	found := e.repo.Misplaced()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.strays = found
	return found
}

// list takes over the names and unloads models that are not among them.
func (e *Engine) list(names []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("the engine is closed")
	}
	e.order, e.listed = names, true
	for _, name := range names {
		if e.models[name] == nil {
			e.models[name] = &model{name: name}
		}
	}
	for name, m := range e.models {
		if !slices.Contains(names, name) {
			m.wanted, m.err = nil, nil
			e.settle(m)
		}
	}
	return nil
}

// want reads what the repository says of a model and starts to load what is new. It returns the versions to wait
// for.
func (e *Engine) want(name string) (loads []*version) {
	entry, list, gone, err := e.read(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.models[name]
	m.err = err
	if e.closed || err != nil && !gone {
		return nil // what is loaded goes on
	}
	m.wanted = list
	for _, w := range list {
		v := m.tried(w)
		if v == nil {
			v = newVersion(e.shared, entry, w.version, w.look)
			m.versions = append(m.versions, v)
			e.work.Go(func() { e.load(m, v) })
		}
		loads = append(loads, v)
	}
	e.settle(m)
	return loads
}

// read loads a model's definition and the look of its files. gone says that the model is no longer there, rather
// than being there and wrong.
func (e *Engine) read(name string) (entry *models.Entry, list []wanted, gone bool, err error) {
	entry, err = e.repo.Load(name)
	if errors.Is(err, models.ErrNotFound) {
		return nil, nil, true, errors.Join(append([]error{err}, e.repo.MisplacedModel(name)...)...)
	}
	if err != nil {
		return nil, nil, false, err
	}
	served := entry.Serve()
	if len(served) == 0 {
		err := fmt.Errorf("there are no weights in %s", filepath.Join(entry.Dir, "<version>", "model.onnx"))
		if found := entry.Misplaced(); found != "" {
			err = fmt.Errorf("%w, but there is %s", err, found)
		}
		return nil, nil, true, err
	}
	for _, n := range served {
		look, err := entry.Fingerprint(n)
		if err != nil {
			return nil, nil, false, err
		}
		list = append(list, wanted{n, look})
	}
	return entry, list, false, nil
}

// tried is the version that loads, is ready, or failed so lately that it is not tried again; nil when there is
// none.
func (m *model) tried(w wanted) *version {
	for i, v := range m.versions {
		if !v.of(w) {
			continue
		}
		state, since, _ := v.now()
		switch {
		case state == Loading, state == Ready, state == Failed && time.Since(since) < retryFailed:
			return v
		case state == Failed:
			m.versions = slices.Delete(m.versions, i, i+1)
			return nil
		}
	}
	return nil
}

// of says whether the version was made from what is wanted.
func (v *version) of(w wanted) bool { return v.number == w.version.Number && v.look == w.look }

// load loads one version and settles its model.
func (e *Engine) load(m *model, v *version) {
	defer close(v.done)
	state, err := Ready, v.load()
	if err != nil {
		state = Failed
		e.ranInto(err)
	} else {
		v.widening.Go(v.widen)
	}
	say := v.become(state, err)
	say()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(m)
}

// failures lists what is wrong with the models that are listed.
func (e *Engine) failures(ctx context.Context) (failures []*LoadError) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, name := range e.order {
		m := e.models[name]
		add := func(version int, err error) {
			failures = append(failures, &LoadError{name, version, e.cfg.required(name), err})
		}
		if m.err != nil {
			add(0, m.err)
		}
		for _, v := range m.versions {
			switch state, _, err := v.now(); state {
			case Failed:
				add(v.number, err)
			case Loading:
				add(v.number, fmt.Errorf("still loading: %w", ctx.Err()))
			default: // Ready and Unloading are no failures
			}
		}
	}
	return failures
}
