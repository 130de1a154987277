package gateway

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
)

var (
	// errKiller ends a body that took replicas with it before, ahead of its last bytes, so that no replica has it whole.
	errKiller = errors.New("the body is refused")
	// errAbandoned is what a read gets on behalf of an attempt that is over.
	errAbandoned = errors.New("the attempt to send this body is over")
	// errNotKept ends an attempt whose body was read in part for an earlier one and is not kept.
	errNotKept = errors.New("the beginning of the body is not kept")
)

// body is a request's body on its way from the client to a replica. What is read of it is kept, within the gateway's
// budget, until a replica's answer is taken, so that a further attempt can begin anew.
type body struct {
	killers *killers // nil: bodies are not hashed
	length  int64    // -1: not known

	reading sync.Mutex // held while the client's connection is read
	src     io.Reader
	total   int64 // bytes that src gave
	hash    maphash.Hash

	mu     sync.Mutex // never held while anything is waited for
	kept   replay
	read   int64 // bytes that attempts were or can be given
	sealed bool  // no more is read
	err    error // why there is no more, once there isn't

	whole   atomic.Bool   // all of it was read
	sum     atomic.Uint64 // the hash of a whole body
	refused atomic.Bool   // ended with errKiller
	broken  atomic.Bool   // the client did not send all of it
}

func newBody(src io.Reader, length int64, k *killers, memory *budget) *body {
	b := &body{src: src, length: length, killers: k, kept: replay{budget: memory}}
	if k != nil {
		b.hash.SetSeed(k.seed)
	}
	return b
}

// stream is the body as one attempt reads it.
type stream struct {
	body   *body
	at     int64
	closed atomic.Bool
}

// Read implements io.Reader. A read for an attempt that failed meanwhile loses nothing: what came is kept for the
// next attempt.
func (s *stream) Read(p []byte) (int, error) {
	if n, err := s.again(p); n > 0 || err != nil {
		return n, err
	}
	b := s.body
	b.reading.Lock()
	defer b.reading.Unlock()
	if n, err := s.again(p); n > 0 || err != nil { // of what was read meanwhile for the attempt before
		return n, err
	}
	n, err := b.fill(p)
	s.at += int64(n)
	return n, err
}

// again gives what was read before. It gives nothing, and no error, when the client's connection is to be read.
func (s *stream) again(p []byte) (int, error) {
	b := s.body
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.closed.Load() || b.sealed:
		return 0, errAbandoned
	case s.at == b.read:
		return 0, b.err
	case b.kept.dropped:
		return 0, errNotKept
	}
	n := b.kept.copy(p, s.at)
	s.at += int64(n)
	return n, nil
}

// Close implements io.Closer. The client's body stays open: an attempt to come may read it.
func (s *stream) Close() error {
	s.closed.Store(true)
	return nil
}

// fill reads from the client. The lock for that is held.
func (b *body) fill(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.total += int64(n)
	if b.killers != nil {
		_, _ = b.hash.Write(p[:n])
	}
	ended := err == io.EOF || b.total == b.length
	if ended && !b.whole.Load() {
		if b.killers != nil {
			b.sum.Store(b.hash.Sum64())
			if b.killers.refuse(b.sum.Load()) {
				b.refused.Store(true)
				n, err = 0, errKiller
			}
		}
		b.whole.Store(true)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept.add(p[:n])
	b.read += int64(n)
	if err != nil {
		b.broken.Store(err != io.EOF && !b.refused.Load())
		b.err = err
	}
	return n, err
}

// replayable tells whether a further attempt can be given the body from its first byte on.
func (b *body) replayable() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.kept.dropped
}

// forget keeps the body no longer: no attempt follows.
func (b *body) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept.drop()
}

// fence ends all reading of the client's body: when it returns, no read is under way and none follows. A handler that returns
// while its request's body is read makes net/http panic, or take a part of the body for the next request. Interrupt ends a
// read that is under way.
func (b *body) fence(interrupt func() error) {
	b.mu.Lock()
	b.sealed = true
	b.kept.drop()
	b.mu.Unlock()
	if !b.reading.TryLock() {
		if interrupt() != nil {
			return // The connection is no longer net/http's.
		}
		b.reading.Lock()
	}
	b.reading.Unlock()
}

// cause returns why the client's body ended early, or nil. When net/http has said already that the client is gone,
// the read that found this out is about to return, and is waited for: it alone knows whether time was up.
func (b *body) cause(gone bool) error {
	if b == nil || !gone && !b.broken.Load() {
		return nil
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.broken.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
