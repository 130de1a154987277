package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"fovea/internal/cores"
)

const (
	// slowAfter is how long a body that is arriving counts. While nothing of it arrives, it counts for stalledAfter, or for
	// contendedAfter if other bodies wait: what it has to send should be there by then.
	slowAfter      = 100 * time.Millisecond
	stalledAfter   = 10 * time.Millisecond
	contendedAfter = 3 * time.Millisecond
	// firstBlock is the part of every body, in bytes, that is read without a read permit.
	firstBlock = 64 << 10
	// readPermitsPerCore is how many bodies a core reads beyond their first blocks at once. Their bytes may exceed the limit.
	readPermitsPerCore = 4
)

// readAhead bounds the bytes of bodies that have been received and whose images are not decoded yet. Further bodies wait in
// the network, first come first served, where TCP holds their senders back: more bytes in memory would not decode an image
// sooner. A body that is slow to arrive stops counting, so that it does not block others; admission still counts it.
type readAhead struct {
	limit int64 // bytes

	mu          sync.Mutex
	held        int64 // bytes
	readPermits int   // free ones
	waiting     []chan struct{}
}

func newReadAhead(limit int64) *readAhead {
	return &readAhead{limit: limit, readPermits: readPermitsPerCore * cores.Count()}
}

// reserve starts to count a body. The reservation must be released.
func (r *readAhead) reserve() *reservation {
	v := &reservation{readAhead: r}
	v.expiry = time.AfterFunc(slowAfter, v.expire)
	return v
}

// reservation is one body's part of the read-ahead. readAhead.mu guards it.
type reservation struct {
	readAhead     *readAhead
	expiry        *time.Timer
	bytes         int64
	hasReadPermit bool      // to read beyond the first block
	until         time.Time // when the read permit expires
	over          bool      // it no longer counts
}

// acquire waits for a read permit until ctx ends. A slow body needs none. Meanwhile the first block does not count: otherwise
// the bodies that wait could hold the whole limit, and none would continue.
func (v *reservation) acquire(ctx context.Context) error {
	r := v.readAhead
	if !v.expiry.Stop() {
		v.expire() // the timer has fired, and its function may run only later
	}
	r.mu.Lock()
	if v.over {
		r.mu.Unlock()
		return nil
	}
	r.held -= v.bytes
	permit := make(chan struct{})
	r.waiting = append(r.waiting, permit)
	r.grant()
	r.mu.Unlock()
	var err error
	select {
	case <-permit:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held += v.bytes
	if at := slices.Index(r.waiting, permit); at >= 0 {
		r.waiting = slices.Delete(r.waiting, at, at+1)
		return err
	}
	v.hasReadPermit, v.until = true, time.Now().Add(slowAfter)
	v.expiry.Reset(contendedAfter)
	return nil // even if ctx has ended too: the next wait for the client returns that
}

// tryAcquire is acquire if that need not wait.
func (v *reservation) tryAcquire() bool {
	r := v.readAhead
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.over {
		return true
	}
	if len(r.waiting) > 0 || r.readPermits == 0 || r.held-v.bytes >= r.limit {
		return false
	}
	r.readPermits--
	v.hasReadPermit, v.until = true, time.Now().Add(slowAfter)
	v.expiry.Reset(stalledAfter)
	return true
}

// received counts n bytes that have arrived.
func (v *reservation) received(n int) {
	r := v.readAhead
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.over {
		return
	}
	v.bytes += int64(n)
	r.held += int64(n)
	if v.hasReadPermit {
		stalled := stalledAfter
		if len(r.waiting) > 0 {
			stalled = contendedAfter
		}
		v.expiry.Reset(min(stalled, time.Until(v.until)))
	}
}

// arrived notes that the whole body is there: it counts until it is decoded.
func (v *reservation) arrived() {
	v.expiry.Stop()
	v.readAhead.mu.Lock()
	defer v.readAhead.mu.Unlock()
	v.returnReadPermit()
	v.readAhead.grant()
}

// release ends the reservation: the body is decoded or refused. Further calls do nothing.
func (v *reservation) release() {
	v.expiry.Stop()
	v.expire()
}

// expire ends the reservation of a body that is slow.
func (v *reservation) expire() {
	r := v.readAhead
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.over {
		return
	}
	v.over = true
	r.held -= v.bytes
	v.returnReadPermit()
	r.grant()
}

func (v *reservation) returnReadPermit() {
	if v.hasReadPermit {
		v.hasReadPermit = false
		v.readAhead.readPermits++
	}
}

// grant gives read permits to the bodies that wait. The caller holds mu.
func (r *readAhead) grant() {
	for len(r.waiting) > 0 && r.readPermits > 0 && r.held < r.limit {
		r.readPermits--
		close(r.waiting[0])
		r.waiting = r.waiting[1:]
	}
}
