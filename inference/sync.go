package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"fovea/internal/repository"
)

// A version that failed to load is retried when its files change, else after the longer of minRetry and retryRatio times
// the duration of the load: one that fails at the time limit uses a tenth of a core at most.
const (
	minRetry   = time.Minute
	retryRatio = 10
)

// wantedVersion is one version that should be served according to the repository.
type wantedVersion struct {
	repository.Version
	fingerprint string // see repository.Entry.Fingerprint
	gate        string // see repository.Entry.GateIdentity
}

func byNumber(a, b *version) int { return a.Number - b.Number }

// Sync loads, replaces and unloads models to match the repository, by StartSync and Await. The error is that of StartSync
// when the repository cannot be read, else a *SyncError.
func (e *Engine) Sync(ctx context.Context) error {
	if err := e.StartSync(ctx); err != nil && !errors.As(err, new(*SyncError)) {
		return err
	}
	return e.Await(ctx, false)
}

// StartSync reads the repository and starts to load what has changed: new versions are loaded next to the old ones and
// replace them when ready; versions known to be removed are unloaded once their requests are answered. A version that
// fails never replaces one that works, and what cannot be read at the moment changes nothing. Models are loaded
// concurrently; StartSync does not wait for them.
//
// A *SyncError lists models without a version that could be tried; any other error means that the repository cannot be
// read.
func (e *Engine) StartSync(ctx context.Context) error {
	if err := e.syncing.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.syncing.Release(1)
	models, repoErr := e.read()
	refuseViews(models)
	if err := e.setModels(models, repoErr); err != nil {
		return err
	}
	e.findPiped(models)
	for _, read := range models {
		e.syncModel(read)
	}
	// When the configuration names the models, folders in the wrong place matter only for these: see readModel.
	if len(e.cfg.Models) == 0 {
		if misplaced, err := readInTime(&e.slow, "misplaced", e.repo.Misplaced); err == nil {
			e.mu.Lock()
			e.misplaced = misplaced
			e.mu.Unlock()
		}
	}
	return syncError(slices.DeleteFunc(e.failures(ctx), func(f *LoadError) bool { return f.Version != 0 }))
}

func syncError(failures []*LoadError) error {
	if len(failures) == 0 {
		return nil
	}
	return &SyncError{failures}
}

// read reads the models to serve: those in the configuration, or all in the repository that have weights or errors. The
// default model is included, so that it is reported when it is missing.
func (e *Engine) read() (models []repoModel, err error) {
	if len(e.cfg.Models) > 0 {
		for _, m := range e.cfg.Models {
			models = append(models, e.readModelInTime(m.Name))
		}
		return models, nil
	}
	names, err := e.names()
	if e.cfg.Default != "" && !slices.Contains(names, e.cfg.Default) && (err == nil || len(names) > 0) {
		names = append(names, e.cfg.Default)
	}
	for _, name := range names {
		if m := e.readModelInTime(name); !m.empty || name == e.cfg.Default {
			models = append(models, m)
		}
	}
	return models, err
}

// names lists the models of the repository.
func (e *Engine) names() ([]string, error) {
	type result struct {
		names []string
		err   error
	}
	r, err := readInTime(&e.slow, "names", func() result {
		names, err := e.repo.Names()
		return result{names, err}
	})
	return r.names, cmp.Or(err, r.err)
}

// readModelInTime is readModel, or an unreadable model if the file system does not respond.
func (e *Engine) readModelInTime(name string) repoModel {
	m, err := readInTime(&e.slow, "model "+name, func() repoModel { return e.readModel(name) })
	if err != nil {
		return repoModel{name: name, unreadable: err}
	}
	return m
}

// setModels sets which models are served and unloads others, unless the repository cannot be read at all.
func (e *Engine) setModels(models []repoModel, repoErr error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.repoErr = repoErr
	if len(models) == 0 && repoErr != nil {
		return repoErr
	}
	if e.closed {
		return errors.New("the engine is closed")
	}
	e.order, e.listed = nil, true
	for _, m := range models {
		e.order = append(e.order, m.name)
		if e.models[m.name] == nil {
			e.models[m.name] = &model{name: m.name}
		}
	}
	for name, m := range e.models {
		if !slices.Contains(e.order, name) {
			m.wanted, m.err, m.unreadable = nil, nil, nil
			e.setPipeline(m, nil)
			e.updateServed(m)
		}
	}
	return nil
}

// syncModel starts to load a model's new versions.
func (e *Engine) syncModel(read repoModel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.models[read.name]
	m.err, m.unreadable = read.err, read.unreadable
	if e.unloaded[read.name] && !e.closed {
		m.unload()
		e.setPipeline(m, nil)
		e.updateServed(m)
		return
	}
	if e.closed || read.err != nil && !read.gone || read.entry == nil && read.unreadable != nil {
		return // loaded versions are kept
	}
	m.wanted, m.entry = read.wanted, read.entry
	e.setPipeline(m, read.pipeline())
	if e.startsResident(m) {
		m.resident = true
		e.startLoads(m)
	}
	e.updateServed(m)
}

// repoModel is a model in the repository.
type repoModel struct {
	name       string
	entry      *repository.Entry // nil if it cannot be read or is invalid
	wanted     []wantedVersion
	empty      bool  // it has a definition and nothing that may be weights
	gone       bool  // it is known not to exist, rather than to be invalid
	err        error // why no version of it can be served
	unreadable error // see model
}

// pipeline is the definition of a pipeline; nil of other models.
func (m *repoModel) pipeline() *repository.Definition {
	if m.entry == nil || m.entry.Definition.Task != repository.Pipeline {
		return nil
	}
	return &m.entry.Definition
}

// readModel loads a model's definition and the fingerprints of its versions.
func (e *Engine) readModel(name string) (m repoModel) {
	m.name = name
	m.entry, m.err = e.repo.LoadAny(name)
	if errors.Is(m.err, repository.ErrUnreadable) {
		return repoModel{name: name, unreadable: m.err}
	}
	if m.err != nil {
		if m.gone = errors.Is(m.err, repository.ErrNotFound); m.gone {
			m.err = errors.Join(append([]error{m.err}, e.repo.MisplacedModel(name)...)...)
		}
		return m
	}
	if m.pipeline() != nil {
		return m
	}
	if all := m.entry.Serve(func(int) bool { return true }); len(all) == 0 {
		m.gone = true
		m.err = fmt.Errorf("there are no weights in %s", filepath.Join(m.entry.Dir, "<version>", "model.onnx"))
		misplaced := m.entry.Misplaced()
		m.empty = misplaced == "" && len(m.entry.Versions)+len(m.entry.Unreadable) == 0
		if misplaced != "" {
			m.err = fmt.Errorf("%w, but there is %s", m.err, misplaced)
		}
	} else {
		m.wanted, m.unreadable = e.fingerprints(m.entry, all)
	}
	return m
}

// fingerprints are those of the versions that should be served, without the versions that cannot be read at the moment. all
// are the versions that would be served if each could be read.
func (e *Engine) fingerprints(entry *repository.Entry, all []repository.Version) (list []wantedVersion, unreadable error) {
	var errs []error
	for _, v := range all {
		if v.Err != nil {
			errs = append(errs, v.Err)
		}
	}
	for _, v := range entry.Serve(func(n int) bool { return e.serves(entry.Definition.Name, n) }) {
		fingerprint, err := "", v.Err
		if err == nil {
			if fingerprint, err = entry.Fingerprint(v); err != nil {
				errs = append(errs, fmt.Errorf("version %d: %w", v.Number, repository.Unreadable(err)))
			}
		}
		if err == nil {
			list = append(list, wantedVersion{v, fingerprint, entry.GateIdentity()})
		}
	}
	return list, errors.Join(errs...)
}

// serves reports whether a version of a model is served.
func (e *Engine) serves(name string, number int) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	m := e.models[name]
	return m != nil && slices.ContainsFunc(m.served, func(v *version) bool { return v.Number == number })
}

// attempted reports whether a version is loading or ready for what is wanted, or failed too recently to be retried. It
// removes one that is to be retried.
func (m *model) attempted(w wantedVersion) bool {
	i := slices.IndexFunc(m.versions, func(v *version) bool { return v.matches(w) && !v.is(Unloading) })
	if i < 0 {
		return false
	}
	if m.versions[i].mayRetry(w) {
		m.versions = slices.Delete(m.versions, i, i+1)
		return false
	}
	return true
}

// matches reports whether the version was made from what is wanted.
func (v *version) matches(w wantedVersion) bool {
	return v.Number == w.Number && v.fingerprint == w.fingerprint
}

// mayRetry reports whether the version failed, its load no longer computes, and its gate has changed or it was long enough ago. A
// version that was refused is the same until its files or the gate change.
func (v *version) mayRetry(w wantedVersion) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.state != Failed || !v.stopped():
		return false
	case v.gate != w.gate:
		return true
	}
	return v.gateResult == nil && !time.Now().Before(v.retry)
}

// updateServed decides what is served: every wanted version that is ready, and the versions served before for as long as a
// wanted one is not ready or cannot be read. It unloads the others. The caller holds mu.
func (e *Engine) updateServed(m *model) {
	complete := !m.resident || m.unreadable == nil && m.complete()
	var served, keep []*version
	for _, v := range m.versions {
		isWanted := m.wants(v)
		switch state, _ := v.current(); {
		case state == Ready && !isWanted && (complete || m.replaced(v)):
			e.unload(m, v)
		case state == Ready:
			served = append(served, v)
		case state == Loading && !isWanted && m.unreadable == nil && !(v.base && len(m.wanted) > 0):
			v.cancelLoad(errUnlisted)
		case state == Failed && !isWanted && v.stopped(): // an old failure
			continue
		}
		keep = append(keep, v)
	}
	slices.SortStableFunc(served, byNumber)
	m.served, m.versions = served, keep
	e.removeEmpty(m)
	e.updatePipelines()
}

// ready reports whether a version made from what is wanted is ready.
func (m *model) ready(w wantedVersion) bool {
	return slices.ContainsFunc(m.versions, func(v *version) bool { return v.matches(w) && v.is(Ready) })
}

// complete reports whether all that is wanted is ready.
func (m *model) complete() bool {
	return !slices.ContainsFunc(m.wanted, func(w wantedVersion) bool { return !m.ready(w) })
}

// replaced reports whether another version with the same number, made from what is wanted now, is ready.
func (m *model) replaced(v *version) bool {
	return slices.ContainsFunc(m.wanted, func(w wantedVersion) bool {
		return w.Number == v.Number && m.ready(w)
	})
}

// unload closes a version as soon as its requests are answered. The caller holds mu.
func (e *Engine) unload(m *model, v *version) {
	v.setState(Unloading, nil)
	start := time.Now()
	e.work.Go(func() {
		v.refs.Wait()
		log := e.log.With("model", v.model, "version", v.name)
		if err := v.close(); err != nil {
			log.Error("model failed to unload", "error", err)
		} else {
			log.Info("model unloaded", "after", time.Since(start).Round(time.Millisecond))
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		m.versions = slices.DeleteFunc(m.versions, func(o *version) bool { return o == v })
		e.memoryChanged()
		e.removeEmpty(m)
	})
}

// removeEmpty removes a model that is not listed and has no version left.
func (e *Engine) removeEmpty(m *model) {
	if len(m.versions) == 0 && m.pipeline == nil && !slices.Contains(e.order, m.name) && e.models[m.name] == m {
		delete(e.models, m.name)
	}
}
