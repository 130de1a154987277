package inference

import "slices"

// settle decides what is served: every wanted version that is ready; and while one of them is not, or cannot be looked at,
// also what was served before. The rest is unloaded. The mutex is held.
func (e *Engine) settle(m *model) {
	complete := m.blocked == nil
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
		case v.is(Failed) && !asked && v.over(): // an old failure
		case v.is(Loading) && !asked && m.blocked == nil:
			v.stop(errUnwanted)
			keep = append(keep, v)
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
