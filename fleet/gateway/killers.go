package gateway

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// apart is the least time between two losses that count as two: when all replicas are lost at once, by the
	// engine's restart, say, no body is to blame.
	apart = time.Second

	// maxKillers bounds the memory of bodies; the one that expires first makes room.
	maxKillers = 1024
)

// killers remembers, by hash, the bodies that were being answered when replicas were lost, without which a client
// that sends one again and again would take down one replica after the other. An answer of one that looked at the body
// clears it.
type killers struct {
	seed    maphash.Seed // new in each process: nobody can make a body with another's hash
	strikes int
	memory  time.Duration
	now     func() time.Time

	size atomic.Int64 // len(seen), so that a gateway that lost nothing takes no lock
	mu   sync.Mutex
	seen map[uint64]suspect
}

type suspect struct {
	losses int
	last   time.Time
}

// newKillers returns nil when no body is ever refused.
func newKillers(c Config, now func() time.Time) *killers {
	if c.PoisonThreshold == 0 {
		return nil
	}
	return &killers{
		seed: maphash.MakeSeed(), strikes: c.PoisonThreshold, memory: c.PoisonMemory, now: now,
		seen: map[uint64]suspect{},
	}
}

// lost notes that a replica was lost with this body. Again tells that it was sent there since another was lost with it.
func (k *killers) lost(sum uint64, again bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.expire(now)
	s, ok := k.seen[sum]
	if ok && !again && now.Sub(s.last) < apart {
		return
	}
	if !ok && len(k.seen) >= maxKillers {
		k.evict()
	}
	k.seen[sum] = suspect{s.losses + 1, now}
	k.size.Store(int64(len(k.seen)))
}

// answered notes that a replica survived this body.
func (k *killers) answered(sum uint64) {
	if k.size.Load() == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.seen, sum)
	k.size.Store(int64(len(k.seen)))
}

// refuse says whether this body was there when enough replicas were lost.
func (k *killers) refuse(sum uint64) bool {
	if k.size.Load() == 0 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.seen[sum]
	return ok && s.losses >= k.strikes && k.now().Sub(s.last) < k.memory
}

func (k *killers) expire(now time.Time) {
	for sum, s := range k.seen {
		if now.Sub(s.last) >= k.memory {
			delete(k.seen, sum)
		}
	}
}

func (k *killers) evict() {
	var oldest uint64
	var since time.Time
	for sum, s := range k.seen {
		if since.IsZero() || s.last.Before(since) {
			oldest, since = sum, s.last
		}
	}
	delete(k.seen, oldest)
}
