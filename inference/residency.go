package inference

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// Which models are in memory. A model is resident while its versions are loaded or being loaded. With inference.memory_budget
// a model becomes resident when a request first uses it, and stops being so when another needs its room; with memory.ttl, when no
// request has used it for that long. Engine.mu guards all of it.

// Reasons for Observer.Evicted.
const (
	EvictedForRoom = "room" // another model needed the memory
	EvictedUnused  = "ttl"  // no request has used it for memory.ttl
)

// notUsedYet is why a model is not resident before its first request.
const notUsedYet = "not used yet"

// expireInterval is how often models with memory.ttl are checked.
const expireInterval = time.Second

// pinned reports whether a model is always resident. One with a gate is, since judging takes long, and one that a pipeline uses, which is
// built of versions that are served.
func (e *Engine) pinned(m *model) bool {
	if e.cfg.required(m.name) || e.piped[m.name] || m.entry == nil {
		return true
	}
	d := &m.entry.Definition
	return d.Memory.Keep || d.Versions.Gate.Defined() || e.cfg.MemoryBudget == 0 && d.Memory.TTL == 0
}

// startsResident reports whether a model that was listed is to be loaded before a request uses it.
func (e *Engine) startsResident(m *model) bool {
	switch {
	case m.resident, e.pinned(m):
		return true
	case m.absent == "" && e.cfg.MemoryBudget > 0:
		m.absent = notUsedYet
	}
	return m.absent == ""
}

// onDemand reports whether requests can use a model that is not resident.
func (m *model) onDemand() bool {
	return !m.resident && len(m.wanted) > 0 && m.failure() == nil
}

// Unloaded reports whether a version of a model, or any without one, is not in memory and is loaded when a request uses it, and the task of
// that model.
func (e *Engine) Unloaded(name, number string) (task repository.Task, unloaded bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	m := e.models[name]
	if m == nil || !m.onDemand() {
		return "", false
	}
	isWanted := func(w wantedVersion) bool { return number == "" || strconv.Itoa(w.Number) == number }
	return m.entry.Definition.Task, slices.ContainsFunc(m.wanted, isWanted)
}

// wants reports whether a version is wanted in memory.
func (m *model) wants(v *version) bool {
	return m.resident && slices.ContainsFunc(m.wanted, v.matches)
}

// startLoads starts to load the wanted versions that are not loaded and have not failed too recently.
func (e *Engine) startLoads(m *model) {
	for _, w := range m.wanted {
		if m.attempted(w) {
			continue
		}
		v := newVersion(e.loads, e.shared, m.entry, w)
		m.versions = append(m.versions, v)
		e.work.Go(func() { e.load(m, v) })
	}
}

// acquireLoaded makes a model resident if it is not, waits for its loads, and finds a version like acquire.
func (e *Engine) acquireLoaded(ctx context.Context, m *model, number string) (*version, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !m.resident && !e.closed {
		e.makeResident(m)
	}
	if loads := m.loads; loads != nil {
		m.waiting++
		e.mu.Unlock()
		select {
		case <-loads:
		case <-ctx.Done():
		}
		e.mu.Lock()
		if m.waiting--; m.waiting == 0 {
			e.memoryChanged()
		}
	}
	if ctx.Err() != nil {
		return nil, apierror.Wrap(apierror.From(ctx.Err()).Code, ctx.Err(), "model %q was still being loaded", m.name)
	}
	v, err := m.find(number)
	if err != nil {
		return nil, err
	}
	v.use()
	return v, nil
}

// makeResident starts to load a model for a request.
func (e *Engine) makeResident(m *model) {
	m.resident, m.absent = true, ""
	e.startLoads(m)
	e.updateServed(m)
	loading := slices.DeleteFunc(slices.Clone(m.versions), func(v *version) bool { return !v.is(Loading) })
	if len(loading) == 0 {
		return
	}
	loads := make(chan struct{})
	m.loads = loads
	e.work.Go(func() {
		for _, v := range loading {
			<-v.loadReturned
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		m.loads = nil
		close(loads)
		e.memoryChanged()
	})
}

// evict unloads a model as soon as its requests are answered.
func (e *Engine) evict(m *model, reason, text string) {
	m.resident, m.absent = false, text
	e.log.Info("model evicted", "model", m.name, "reason", text)
	e.obs.Evicted(m.name, reason)
	e.updateServed(m)
}

// evictable reports whether a model may be evicted: it is loaded, nothing of it is being loaded, and no request that waited for its loads
// is still to get it.
func (e *Engine) evictable(m *model) bool {
	return m.resident && !e.pinned(m) && m.waiting == 0 && m.loads == nil && len(m.served) > 0 &&
		!slices.ContainsFunc(m.versions, func(v *version) bool { return v.is(Loading) })
}

// lastUse is when a request last used the model, and whether one does now.
func (m *model) lastUse() (last time.Time, now bool) {
	for _, v := range m.versions {
		now = now || v.inUse.Load() > 0
		if at := time.Unix(0, v.used.Load()); at.After(last) {
			last = at
		}
	}
	return last, now
}

// expire evicts models that no request has used for memory.ttl, until the engine is closed.
func (e *Engine) expire() {
	ticker := time.NewTicker(expireInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.loads.Done():
			return
		}
		e.mu.Lock()
		for _, m := range e.models {
			if m.entry == nil || m.entry.Definition.Memory.TTL == 0 || !e.evictable(m) {
				continue
			}
			ttl := m.entry.Definition.Memory.TTL
			if last, now := m.lastUse(); !now && time.Since(last) > ttl {
				e.evict(m, EvictedUnused, fmt.Sprintf("not used for %s (memory.ttl)", ttl))
			}
		}
		e.mu.Unlock()
	}
}

// use counts a request that uses the version; the caller holds Engine.mu, for reading at least, and calls done.
func (v *version) use() {
	v.refs.Add(1)
	v.inUse.Add(1)
}

func (v *version) done() {
	v.used.Store(time.Now().UnixNano())
	v.inUse.Add(-1)
	v.refs.Done()
}

// absentStatus is the status of the versions of a model that is not resident, which requests can use.
func (m *model) absentStatus(base Status) (list []Status) {
	if !m.onDemand() {
		return nil
	}
	for _, w := range m.wanted {
		if slices.ContainsFunc(m.versions, func(v *version) bool { return v.matches(w) && !v.is(Unloading) }) {
			continue
		}
		s := describeEntry(base, m.entry)
		s.Version, s.State, s.Reason = fmt.Sprint(w.Number), Unloaded, m.absent
		list = append(list, s)
	}
	return list
}

// describeEntry adds what a definition says to a status.
func describeEntry(s Status, entry *repository.Entry) Status {
	d := &entry.Definition
	s.Task, s.Labels, s.Input, s.Output = d.Task, d.Labels, d.Input, d.Output
	s.Inferred, s.Undefined = entry.Inferred, entry.Undefined != nil
	s.Dir, s.Source = entry.Dir, d.Source.URL
	return s
}
