package inference

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/internal/config"
)

// The memory of models, by device: the weights of every session, and the tensors of the batches. The arenas that runs take intermediate
// tensors from are no part of it: runs on the CPU share them, and a session on a GPU is bounded by inference.cuda.mem_limit.

// deviceBytes are bytes on each device.
type deviceBytes map[string]int64

// weightBytes is the memory that the sessions of a version take for weights. The parallel sessions of the CPU have their own.
func (v *version) weightBytes(specs []groupSpec) deviceBytes {
	need := deviceBytes{}
	for _, s := range specs {
		copies := int64(1)
		if s.device.Kind == onnx.CPU && v.shared.cfg.parallelThreads(v.weights.Size) > v.shared.cfg.Threads {
			copies = 2
		}
		if s.device.TensorRT { // an engine for each batch size
			copies += int64(len(v.shared.batchSizes(s.device, v.definition.Batching.MaxSize, 0)))
		}
		need[s.device.Memory()] += copies * v.weights.Size
	}
	return need
}

// batchBytes is the memory of the tensors of a batch.
func batchBytes(r batcher.Runner, inputs, rows int) (n int64) {
	for i := range inputs {
		n += int64(rows * len(r.Input(i, 0)))
	}
	for _, t := range r.Outputs(0) {
		n += int64(rows * len(t.Data)) // without those whose size varies
	}
	return n
}

// newBatch allocates a batch of a version and counts its memory.
func (v *version) newBatch(ctx context.Context, s *onnx.Session, spec onnx.BatchSpec) (batcher.Runner, error) {
	r, err := v.shared.newRunner(ctx, s, spec)
	if err == nil {
		v.shared.grow(v, s.Device().Memory(), batchBytes(r, len(v.inputs), slices.Max(spec.Buckets)))
	}
	return r, err
}

// reserve waits until the memory budget has room for a version. For that it evicts the models that were used least recently. It is an
// error if there can be no room.
func (e *Engine) reserve(ctx context.Context, v *version, need deviceBytes) error {
	if err := e.room.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer e.room.Release(1)
	for {
		changed, err := e.tryReserve(v, need)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("there was no room in inference.memory_budget: %w", context.Cause(ctx))
		}
	}
}

// tryReserve reserves memory for a version, or starts to make room and returns what is closed when there may be more.
func (e *Engine) tryReserve(v *version, need deviceBytes) (changed <-chan struct{}, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if budget := int64(e.cfg.MemoryBudget); budget > 0 {
		fits := true
		for device, bytes := range need {
			room, err := e.makeRoom(v.model, device, bytes, budget)
			if err != nil {
				return nil, err
			}
			fits = fits && room
		}
		if !fits {
			return e.memoryChange, nil
		}
	}
	v.memory = need
	return nil, nil
}

// makeRoom reports whether a device has room for a model, and evicts others if that will give it.
func (e *Engine) makeRoom(name, device string, bytes, budget int64) (bool, error) {
	var held, leaving, stays int64
	var candidates []*model
	for _, m := range e.models {
		isCandidate := m.name != name && e.evictable(m)
		for _, v := range m.versions {
			n := v.memory[device]
			held += n
			switch {
			case v.is(Unloading):
				leaving += n
			case m.name == name || e.pinned(m):
				stays += n
			}
		}
		if isCandidate {
			candidates = append(candidates, m)
		}
	}
	switch over := held + bytes - budget; {
	case over <= 0:
		return true, nil
	case bytes+stays > budget:
		return false, fmt.Errorf("the model needs %s on %s, and inference.memory_budget is %s, of which other models that are kept, and versions of this one, hold %s",
			config.Size(bytes), device, config.Size(budget), config.Size(stays))
	default:
		e.evictLeastRecent(candidates, name, device, over-leaving)
		return false, nil
	}
}

// evictLeastRecent evicts models of a list until they give some bytes of a device, if all together can: those that no request uses now
// first, and of these the one that was used least recently.
func (e *Engine) evictLeastRecent(list []*model, name, device string, bytes int64) {
	var sum int64
	for _, m := range list {
		sum += m.memoryOn(device)
	}
	if bytes <= 0 || sum < bytes {
		return
	}
	type use struct {
		last time.Time
		now  int
	}
	uses := map[*model]use{}
	for _, m := range list {
		last, now := m.lastUse()
		uses[m] = use{last: last}
		if now {
			uses[m] = use{last, 1}
		}
	}
	slices.SortFunc(list, func(a, b *model) int {
		return cmp.Or(cmp.Compare(uses[a].now, uses[b].now), uses[a].last.Compare(uses[b].last))
	})
	for _, m := range list {
		n := m.memoryOn(device)
		if bytes <= 0 || n == 0 {
			continue
		}
		bytes -= n
		e.evict(m, EvictedForRoom, fmt.Sprintf("model %s needed its memory (inference.memory_budget)", name))
	}
}

// memoryOn is what the versions of a model that are not being unloaded hold on a device.
func (m *model) memoryOn(device string) (n int64) {
	for _, v := range m.versions {
		if !v.is(Unloading) {
			n += v.memory[device]
		}
	}
	return n
}

// grow counts more memory of a version that is being loaded. It is not known before, and may exceed the budget until the next load.
func (e *Engine) grow(v *version, device string, bytes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v.memory[device] += bytes
}

// freed has a version hold no memory.
func (e *Engine) freed(v *version) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v.memory = nil
	e.memoryChanged()
}

// memoryChanged wakes loads that wait for room. The caller holds mu.
func (e *Engine) memoryChanged() {
	close(e.memoryChange)
	e.memoryChange = make(chan struct{})
}
