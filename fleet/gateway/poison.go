package gateway

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// minLossInterval separates two losses that both count: when all backends are lost at once, such as by a restart of the
	// Docker engine, no body is to blame.
	minLossInterval = time.Second

	// maxPoisonEntries bounds the table; the entry that expires first makes room.
	maxPoisonEntries = 1024
)

// poisonTable counts, by the hash of a body, the backends that were lost during its requests. Without it a client that repeats
// such a request would take down one backend after the other. A response from a backend that examined the body clears its
// entry.
type poisonTable struct {
	seed      maphash.Seed // random, so that a client cannot construct a body with another's hash
	threshold int
	memory    time.Duration
	now       func() time.Time

	size    atomic.Int64 // len(entries): without losses no request takes the lock
	mu      sync.Mutex
	entries map[uint64]poisonEntry
}

type poisonEntry struct {
	losses int
	last   time.Time
}

// newPoisonTable returns nil if no body is ever rejected.
func newPoisonTable(c Config, now func() time.Time) *poisonTable {
	if c.PoisonThreshold == 0 {
		return nil
	}
	return &poisonTable{
		seed: maphash.MakeSeed(), threshold: c.PoisonThreshold, memory: c.PoisonMemory, now: now,
		entries: map[uint64]poisonEntry{},
	}
}

// recordLoss counts the loss of a backend with this body. retried means that it was sent there after an earlier loss.
func (t *poisonTable) recordLoss(sum uint64, retried bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	maps.DeleteFunc(t.entries, func(_ uint64, e poisonEntry) bool { return now.Sub(e.last) >= t.memory })
	e, ok := t.entries[sum]
	if ok && !retried && now.Sub(e.last) < minLossInterval {
		return
	}
	if !ok && len(t.entries) >= maxPoisonEntries {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(t.entries)), func(a, b uint64) int {
			return t.entries[a].last.Compare(t.entries[b].last)
		})
		delete(t.entries, oldest)
	}
	t.entries[sum] = poisonEntry{e.losses + 1, now}
	t.size.Store(int64(len(t.entries)))
}

// clear forgets the losses of a body that a backend survived.
func (t *poisonTable) clear(sum uint64) {
	if t.size.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.entries, sum)
	t.size.Store(int64(len(t.entries)))
}

// rejects reports whether the threshold of losses was reached with this body.
func (t *poisonTable) rejects(sum uint64) bool {
	if t.size.Load() == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[sum]
	return ok && e.losses >= t.threshold && t.now().Sub(e.last) < t.memory
}
