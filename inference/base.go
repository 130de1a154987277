package inference

import "context"

// loadBase has a model with a gate serve the version before v while v is loaded and judged, if nothing is served, as after a
// start: what was served before the start is not known. If that version fails, it is the one before it, and so on.
func (e *Engine) loadBase(m *model, v *version) {
	if v.gate == "" || v.base {
		return
	}
	defer close(v.baseReturned)
	for below := v.Number; v.loadCtx.Err() == nil; {
		before, ok := v.entry.Before(below)
		if !ok {
			return
		}
		below = before.Number
		fingerprint, err := v.entry.Fingerprint(before)
		if err != nil {
			continue
		}
		b := e.startBase(m, v, wantedVersion{before, fingerprint, v.gate})
		if b == nil {
			return
		}
		select {
		case <-b.loadReturned:
		case <-v.loadCtx.Done():
		}
	}
}

// startBase starts to load a version that is served until a newer one has passed the gate, or returns one that is loading. It returns
// nil if something is served.
func (e *Engine) startBase(m *model, v *version, w wantedVersion) *version {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(m.served) > 0 || len(m.wanted) == 0 {
		return nil
	}
	for _, other := range m.versions {
		if other.base && other.is(Loading) {
			return other
		}
	}
	b := newVersion(e.loads, e.shared, v.entry, w)
	b.base = true
	m.versions = append(m.versions, b)
	e.work.Go(func() { e.load(m, b) })
	return b
}

// replacesServed reports whether a version is to replace another one that is served, once it has passed its gate. It waits until that
// is decided.
func (e *Engine) replacesServed(ctx context.Context, v *version) bool {
	if v.gate == "" || v.base {
		return false
	}
	select {
	case <-v.baseReturned:
	case <-ctx.Done():
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	m := e.models[v.model]
	return m != nil && len(m.served) > 0
}
