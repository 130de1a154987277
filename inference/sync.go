package inference

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fovea/models"
)

// retryFailed is how long a version whose files did not change is left alone after it failed to load.
const retryFailed = time.Minute

// wanted is one version that the repository says should be served.
type wanted struct {
	version models.Version
	look    string // see fingerprint
}

// LoadError is a model that could not be brought to what the repository says.
type LoadError struct {
	Model    string // empty: folders of the repository that are no models
	Version  int    // 0: no version could be tried
	Required bool
	Err      error
}

// Error names the model, the version and the cause.
func (l *LoadError) Error() string {
	switch {
	case l.Model == "":
		return l.Err.Error()
	case l.Version == 0:
		return fmt.Sprintf("model %s: %v", l.Model, l.Err)
	}
	return fmt.Sprintf("model %s version %d: %v", l.Model, l.Version, l.Err)
}

// Unwrap returns the cause.
func (l *LoadError) Unwrap() error { return l.Err }

// SyncError is all that Sync could not do.
type SyncError struct{ Failures []*LoadError }

// Error lists the failures, one a line.
func (s *SyncError) Error() string { return errors.Join(s.Unwrap()...).Error() }

// Unwrap returns the failures.
func (s *SyncError) Unwrap() []error {
	errs := make([]error, len(s.Failures))
	for i, f := range s.Failures {
		errs[i] = f
	}
	return errs
}

// Required are the failures of models without which the server must not run.
func (s *SyncError) Required() []*LoadError {
	return slices.DeleteFunc(slices.Clone(s.Failures), func(l *LoadError) bool { return !l.Required })
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
	if len(failures) == 0 {
		return nil
	}
	return &SyncError{failures}
}

// names are the models to be served: those that are configured, or all that have weights or are wrong.
func (e *Engine) names() (names []string, err error) {
	if len(e.cfg.Models) > 0 {
		for _, m := range e.cfg.Models {
			names = append(names, m.Name)
		}
		return names, nil
	}
	names, err = e.repo.Names()
	return slices.DeleteFunc(names, func(name string) bool {
		entry, err := e.repo.Load(name)
		return err == nil && len(entry.Versions) == 0
	}), err
}

// list takes over the names and unloads models that are not among them.
func (e *Engine) list(names []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("the engine is closed")
	}
	e.order = names
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
	if err != nil {
		return nil, nil, errors.Is(err, models.ErrNotFound), err
	}
	served := entry.Serve()
	if len(served) == 0 {
		return nil, nil, true, fmt.Errorf("there are no weights in %s", filepath.Join(entry.Dir, "<version>", "model.onnx"))
	}
	for _, n := range served {
		look, err := fingerprint(entry, n)
		if err != nil {
			return nil, nil, false, err
		}
		list = append(list, wanted{n, look})
	}
	return entry, list, false, nil
}

// fingerprint tells whether a version must be loaded again: its definition and the sizes and times of its files.
func fingerprint(entry *models.Entry, n models.Version) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v", entry.Definition)
	files := []string{n.Path}
	if image := entry.Definition.SelfTest.Image; image != "" {
		files = append(files, filepath.Join(entry.Dir, image))
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " %s %d %d", file, info.Size(), info.ModTime().UnixNano())
	}
	return b.String(), nil
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
	}
	say := v.become(state, err)
	say()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(m)
}

// settle decides what is served: every wanted version that is ready; and while one of them is not, also what was
// served before. The rest is unloaded. The mutex is held.
func (e *Engine) settle(m *model) {
	complete := true
	for _, w := range m.wanted {
		complete = complete && m.ready(w) != nil
	}
	var served, keep []*version
	for _, v := range m.versions {
		asked := slices.ContainsFunc(m.wanted, v.of)
		superseded := v.is(Ready) && !asked && (complete || m.replaced(v))
		switch {
		case superseded:
			e.retire(m, v)
			keep = append(keep, v)
		case v.is(Ready):
			served = append(served, v)
			keep = append(keep, v)
		case v.is(Failed) && !asked: // an old failure
		default:
			keep = append(keep, v)
		}
	}
	slices.SortStableFunc(served, func(a, b *version) int { return a.number - b.number })
	m.served, m.versions = served, keep
	e.forget(m)
}

// ready is the version made from what is wanted, once it is ready.
func (m *model) ready(w wanted) *version {
	for _, v := range m.versions {
		if v.of(w) && v.is(Ready) {
			return v
		}
	}
	return nil
}

// replaced says whether another version of the same number, made from what is wanted now, is ready.
func (m *model) replaced(v *version) bool {
	return slices.ContainsFunc(m.wanted, func(w wanted) bool {
		return w.version.Number == v.number && m.ready(w) != nil
	})
}

// retire unloads a version as soon as its requests are answered. The mutex is held.
func (e *Engine) retire(m *model, v *version) {
	say := v.become(Unloading, nil)
	e.work.Go(func() {
		say()
		v.refs.Wait()
		if err := v.close(); err != nil {
			e.log.Error("unload", "model", v.model, "version", v.name, "error", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		m.versions = slices.DeleteFunc(m.versions, func(o *version) bool { return o == v })
		e.forget(m)
	})
}

// forget drops a model that nobody lists any more and nothing is left of.
func (e *Engine) forget(m *model) {
	if len(m.versions) == 0 && !slices.Contains(e.order, m.name) && e.models[m.name] == m {
		delete(e.models, m.name)
	}
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
