package inference

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"fovea/internal/repository"
)

// retryFailed is how long at least a version whose files did not change is left alone after it failed to load, and
// retryRatio how long in times that the try took: one that fails at the time limit takes a tenth of a core at most.
const (
	retryFailed = time.Minute
	retryRatio  = 10
)

// wanted is one version that the repository says should be served.
type wanted struct {
	version repository.Version
	look    string // see models.Entry.Fingerprint
}

// Sync brings what is loaded to what the repository says now, as Refresh and Await do. The error is that of Refresh where
// the repository cannot be read, else a *SyncError.
func (e *Engine) Sync(ctx context.Context) error {
	if err := e.Refresh(ctx); err != nil && !errors.As(err, new(*SyncError)) {
		return err
	}
	return e.Await(ctx, false)
}

// Refresh looks at the repository and begins what it says now: new versions are loaded beside the old and take their place
// when they are ready; what is known to have gone is unloaded once its requests are answered. A version that fails never
// takes the place of one that works, and what cannot be looked at now changes nothing. Models are loaded at the same time
// and none waits for another, nor does Refresh wait for them.
//
// A *SyncError tells of models without a version that could be tried; another error that the repository cannot be read.
func (e *Engine) Refresh(ctx context.Context) error {
	if err := e.syncing.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.syncing.Release(1)
	names, unread := e.names()
	e.mu.Lock()
	e.unread = unread
	e.mu.Unlock()
	if len(names) == 0 && unread != nil {
		return unread
	}
	if err := e.list(names); err != nil {
		return err
	}
	for _, name := range names {
		e.want(name)
	}
	e.misplaced()
	return syncError(slices.DeleteFunc(e.failures(ctx), func(f *LoadError) bool { return f.Version != 0 }))
}

// Await waits until no model loads any more (only of those that are required, where that is asked), or until ctx ends. The
// error is a *SyncError, in which a load that goes on counts as a failure.
func (e *Engine) Await(ctx context.Context, required bool) error {
	for _, v := range e.tries(required) {
		select {
		case <-v.done:
		case <-ctx.Done():
		}
	}
	return syncError(e.failures(ctx))
}

func syncError(failures []*LoadError) error {
	if len(failures) == 0 {
		return nil
	}
	return &SyncError{failures}
}

// tries are the versions whose loads may not be over. The state does not tell: one that is ready is served a moment later.
func (e *Engine) tries(required bool) (list []*version) {
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
		return err == nil && len(entry.Versions)+len(entry.Unreadable) == 0 && entry.Misplaced() == ""
	})
	if e.cfg.Default != "" && !slices.Contains(names, e.cfg.Default) && (err == nil || len(names) > 0) {
		names = append(names, e.cfg.Default) // so that its absence is told, where anything is known of what is there
	}
	return names, err
}

// misplaced keeps what looks like a model and lies where none is looked for. Where models are named by the configuration,
// what else is there is nobody's concern: see read.
func (e *Engine) misplaced() {
	if len(e.cfg.Models) > 0 {
		return
	}
	found := e.repo.Misplaced()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.strays = found
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
			m.wanted, m.err, m.blocked = nil, nil, nil
			e.settle(m)
		}
	}
	return nil
}

// want reads what the repository says of a model and starts to load what is new.
func (e *Engine) want(name string) {
	found := e.read(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.models[name]
	m.err, m.blocked = found.err, found.blocked
	if e.closed || found.err != nil && !found.gone || found.entry == nil && found.blocked != nil {
		return // what is loaded goes on
	}
	m.wanted = found.wanted
	for _, w := range found.wanted {
		if m.tried(w) != nil {
			continue
		}
		v := newVersion(e.loads, e.shared, found.entry, w.version, w.look)
		m.versions = append(m.versions, v)
		e.work.Go(func() { e.load(m, v) })
	}
	e.settle(m)
}

// found is what the repository says of a model.
type found struct {
	entry   *repository.Entry // nil where it cannot be read or is wrong
	wanted  []wanted
	gone    bool  // the model is known not to be there, rather than being there and wrong
	err     error // why nothing of it can be served
	blocked error // see model
}

// read loads a model's definition and the look of its files.
func (e *Engine) read(name string) (f found) {
	f.entry, f.err = e.repo.Load(name)
	if errors.Is(f.err, repository.ErrUnreadable) {
		return found{blocked: f.err}
	}
	if f.err != nil {
		if f.gone = errors.Is(f.err, repository.ErrNotFound); f.gone {
			f.err = errors.Join(append([]error{f.err}, e.repo.MisplacedModel(name)...)...)
		}
		return f
	}
	if all := f.entry.Serve(func(int) bool { return true }); len(all) == 0 {
		f.gone = true
		f.err = fmt.Errorf("there are no weights in %s", filepath.Join(f.entry.Dir, "<version>", "model.onnx"))
		if misplaced := f.entry.Misplaced(); misplaced != "" {
			f.err = fmt.Errorf("%w, but there is %s", f.err, misplaced)
		}
	} else {
		f.wanted, f.blocked = e.look(f.entry, all)
	}
	return f
}

// look takes the look of the versions that should be served, without those that cannot be looked at now. all are the versions
// that would be served if each could be looked at.
func (e *Engine) look(entry *repository.Entry, all []repository.Version) (list []wanted, blocked error) {
	var errs []error
	for _, v := range all {
		if v.Err != nil {
			errs = append(errs, v.Err)
		}
	}
	held := e.held(entry.Definition.Name)
	for _, v := range entry.Serve(func(n int) bool { return held[n] != nil }) {
		look, err := "", v.Err
		if err == nil {
			if look, err = entry.Fingerprint(v); err != nil {
				errs = append(errs, fmt.Errorf("version %d: %w", v.Number, repository.Unreadable(err)))
			}
		}
		if err == nil {
			list = append(list, wanted{v, look})
		}
	}
	return list, errors.Join(errs...)
}

// held are the versions of a model that are served, by number.
func (e *Engine) held(name string) map[int]*version {
	e.mu.RLock()
	defer e.mu.RUnlock()
	list := map[int]*version{}
	if m := e.models[name]; m != nil {
		for _, v := range m.served {
			list[v.number] = v
		}
	}
	return list
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
		case state == Loading, state == Ready, state == Failed && (!v.over() || time.Since(since) < v.pause()):
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

// failures lists what is wrong with the models that are listed.
func (e *Engine) failures(ctx context.Context) (failures []*LoadError) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.unread != nil {
		failures = append(failures, &LoadError{Err: e.unread})
	}
	for _, name := range e.order {
		m := e.models[name]
		add := func(version int, err error) {
			failures = append(failures, &LoadError{name, version, e.cfg.required(name), err})
		}
		for _, err := range []error{m.err, m.blocked} {
			if err != nil {
				add(0, err)
			}
		}
		for _, v := range m.versions {
			switch state, _, err := v.now(); state {
			case Failed:
				add(v.number, err)
			case Loading:
				add(v.number, stillLoading(ctx.Err()))
			default: // Ready and Unloading are no failures
			}
		}
	}
	for _, err := range e.strays {
		failures = append(failures, &LoadError{Err: err})
	}
	return failures
}

func stillLoading(err error) error {
	if err == nil {
		return errors.New("still loading")
	}
	return fmt.Errorf("still loading: %w", err)
}
