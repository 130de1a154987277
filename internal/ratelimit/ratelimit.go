// Package ratelimit limits the requests per second of clients with token buckets.
package ratelimit

import (
	"container/list"
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a number of requests per second, and how many may come at once.
type Rate struct {
	PerSecond float64 // 0: no limit
	Burst     int     // 0: those of a second, at least one
}

func (r Rate) limit() rate.Limit {
	if r.PerSecond <= 0 {
		return rate.Inf
	}
	return rate.Limit(r.PerSecond)
}

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return int(max(1, math.Ceil(min(r.PerSecond, math.MaxInt32))))
}

// Bucket is the token bucket of one client. It is safe for concurrent use.
type Bucket struct{ limiter *rate.Limiter }

// NewBucket returns a full bucket.
func NewBucket(r Rate) *Bucket { return &Bucket{rate.NewLimiter(r.limit(), r.burst())} }

// Set changes the rate. Tokens that were used stay used.
func (b *Bucket) Set(r Rate, now time.Time) {
	if b.limiter.Limit() != r.limit() || b.limiter.Burst() != r.burst() {
		b.limiter.SetLimitAt(now, r.limit())
		b.limiter.SetBurstAt(now, r.burst())
	}
}

// Take takes a token and returns 0, or returns after what time there will be one.
func (b *Bucket) Take(now time.Time) time.Duration {
	if b.limiter.Limit() == rate.Inf {
		return 0
	}
	reservation := b.limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// full reports whether the bucket is as a new one.
func (b *Bucket) full(now time.Time) bool {
	return b.limiter.Limit() == rate.Inf || b.limiter.TokensAt(now) >= float64(b.limiter.Burst())
}

const (
	maxClients  = 1 << 14 // buckets of clients in a table
	maxShared   = 1 << 8  // buckets for all others
	sweepBefore = 2       // buckets that are looked at before one is added, so that old ones leave faster than new ones come
)

// Table holds a bucket for each client address, of a bounded number. A bucket leaves the table once it is full, when a new one
// would be the same: so no one gains tokens by having their bucket displaced. While the table is full of others, further
// clients share the buckets that a random hash of their addresses selects. It is safe for concurrent use.
type Table struct {
	rate Rate
	max  int
	seed maphash.Seed

	mu      sync.Mutex
	clients map[netip.Prefix]*list.Element
	order   *list.List // of *entry, the least recently used first
	shared  [maxShared]*Bucket
}

type entry struct {
	client netip.Prefix
	bucket *Bucket
}

// NewTable returns an empty table whose buckets have a rate.
func NewTable(r Rate) *Table { return newTable(r, maxClients) }

func newTable(r Rate, size int) *Table {
	return &Table{rate: r, max: size, seed: maphash.MakeSeed(), clients: map[netip.Prefix]*list.Element{}, order: list.New()}
}

// Take takes a token of a client and returns 0, or returns after what time there will be one.
func (t *Table) Take(client netip.Prefix, now time.Time) time.Duration {
	if t.rate.PerSecond <= 0 {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bucket(client, now).Take(now)
}

func (t *Table) bucket(client netip.Prefix, now time.Time) *Bucket {
	if e, ok := t.clients[client]; ok {
		t.order.MoveToBack(e)
		return e.Value.(*entry).bucket
	}
	for range sweepBefore {
		if oldest := t.order.Front(); oldest != nil && oldest.Value.(*entry).bucket.full(now) {
			delete(t.clients, t.order.Remove(oldest).(*entry).client)
		}
	}
	if len(t.clients) >= t.max {
		i := maphash.Comparable(t.seed, client) % maxShared
		if t.shared[i] == nil {
			t.shared[i] = NewBucket(t.rate)
		}
		return t.shared[i]
	}
	added := &entry{client, NewBucket(t.rate)}
	t.clients[client] = t.order.PushBack(added)
	return added.bucket
}
