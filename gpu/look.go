package gpu

import (
	"context"
	"errors"
	"sync"
	"time"
)

// look asks every GPU whether it answers, also one that never said its UUID, and tells what changed.
func (w *watcher) look(ctx context.Context) {
	w.looked = time.Now()
	count := w.count
	w.n.mu.Lock()
	for index := range w.n.known {
		count = max(count, index+1) // NVML's indices have no gaps.
	}
	w.n.mu.Unlock()
	errs := make([]error, count)
	var probes sync.WaitGroup
	for i := range errs {
		probes.Go(func() { errs[i] = w.n.probe(ctx, i, "") })
	}
	probes.Wait()
	if ctx.Err() != nil {
		return // The errors say only that the watch ends.
	}
	for i, err := range errs {
		w.compare(i, w.n.uuid(i), err)
	}
}

// compare tells a change of a GPU's state.
func (w *watcher) compare(index int, uuid string, err error) {
	state, class := stateOf(err)
	before, unwell := w.states[index]
	if err == nil && (unwell || w.events.missing[index]) {
		w.rejoin(index)
	}
	if (!unwell && err == nil) || (unwell && before == state) {
		return
	}
	w.states[index] = state
	if err == nil {
		delete(w.states, index)
	}
	w.out.send(Event{Time: time.Now(), Kind: state, Index: index, UUID: uuid, Class: class, Err: err})
}

// rejoin starts a new registration if the GPU that is back is not in the present one.
func (w *watcher) rejoin(index int) {
	for _, d := range w.events.devices {
		if d.index == index {
			return
		}
	}
	w.unregister()
	w.backoff = minBackoff
}

// stateOf sorts a probe's result. A GPU that does not answer may come back by itself when it was only busy, so nothing
// is said of what it needs.
func stateOf(err error) (Kind, Class) {
	switch {
	case err == nil:
		return KindBack, ClassInformation
	case errors.Is(err, ErrLost):
		return KindLost, ClassOut
	case errors.Is(err, ErrNeedsRepair):
		return KindNeedsRepair, ClassReset
	case errors.Is(err, ErrNotAnswering):
		return KindNotAnswering, ClassUnknown
	}
	return KindFailed, ClassUnknown
}
