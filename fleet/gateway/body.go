package gateway

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
)

var (
	// errPoison ends a poison request's body before its last bytes, so that no backend receives all of it.
	errPoison = errors.New("the body is rejected")
	// errAbandoned ends a read by an attempt that is over.
	errAbandoned = errors.New("the attempt to send this body is over")
	// errNotKept ends an attempt that would need bytes which an earlier one read and which are not kept.
	errNotKept = errors.New("the beginning of the body is not kept")
)

// body is a request's body on its way from the client to a backend. What is read is kept, within the gateway's budget, until
// a response begins, so that another attempt can start from the first byte.
type body struct {
	poison *poisonTable // nil: bodies are not hashed
	length int64        // -1: unknown

	reading sync.Mutex // held while the client's connection is read
	src     io.Reader
	total   int64 // bytes read from src
	hash    maphash.Hash

	mu     sync.Mutex // never held during I/O
	kept   replayBuffer
	read   int64 // bytes available to attempts so far
	sealed bool  // nothing more is read
	err    error // why src ended

	complete   atomic.Bool   // all of it was read
	sum        atomic.Uint64 // the hash of a complete body
	poisoned   atomic.Bool   // ended with errPoison
	incomplete atomic.Bool   // the client did not send all of it
}

func newBody(src io.Reader, length int64, poison *poisonTable, memory *budget) *body {
	b := &body{src: src, length: length, poison: poison, kept: replayBuffer{budget: memory}}
	if poison != nil {
		b.hash.SetSeed(poison.seed)
	}
	return b
}

// stream reads the body for one attempt.
type stream struct {
	body   *body
	at     int64
	closed atomic.Bool
}

// Read implements io.Reader. If the attempt ends during a read, nothing is lost: the bytes are kept for the next one.
func (s *stream) Read(p []byte) (int, error) {
	if n, err := s.replay(p); n > 0 || err != nil {
		return n, err
	}
	b := s.body
	b.reading.Lock()
	defer b.reading.Unlock()
	if n, err := s.replay(p); n > 0 || err != nil { // what the previous attempt was reading meanwhile
		return n, err
	}
	n, err := b.fill(p)
	s.at += int64(n)
	return n, err
}

// replay returns bytes that were read before. It returns 0 and no error if the client's connection is to be read.
func (s *stream) replay(p []byte) (int, error) {
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

// Close implements io.Closer. The client's body stays open for further attempts.
func (s *stream) Close() error {
	s.closed.Store(true)
	return nil
}

// fill reads from the client. The caller holds b.reading.
func (b *body) fill(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.total += int64(n)
	if b.poison != nil {
		_, _ = b.hash.Write(p[:n])
	}
	ended := err == io.EOF || b.total == b.length
	if ended && !b.complete.Load() {
		if b.poison != nil {
			b.sum.Store(b.hash.Sum64())
			if b.poison.rejects(b.sum.Load()) {
				b.poisoned.Store(true)
				n, err = 0, errPoison
			}
		}
		b.complete.Store(true)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept.add(p[:n])
	b.read += int64(n)
	if err != nil {
		b.incomplete.Store(err != io.EOF && !b.poisoned.Load())
		b.err = err
	}
	return n, err
}

// replayable reports whether another attempt can read the body from its first byte. A nil body is.
func (b *body) replayable() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.kept.dropped
}

// dropReplay frees the bytes kept for further attempts.
func (b *body) dropReplay() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept.drop()
}

// seal stops all reading of the client's body: when it returns, no read is in progress and none follows. If a handler returns
// while its request's body is read, net/http panics or takes part of the body for the next request. interrupt ends a read in
// progress.
func (b *body) seal(interrupt func() error) {
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

// readError returns why the client's body ended early, or nil. gone means that net/http has already reported the client as
// gone: then the read that found out is about to return and is waited for, since only it knows whether it timed out.
func (b *body) readError(gone bool) error {
	if b == nil || !gone && !b.incomplete.Load() {
		return nil
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.incomplete.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
