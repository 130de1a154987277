package gateway

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
)

// errKiller ends a body that took replicas with it before, ahead of its last bytes, so that no replica has it whole.
var errKiller = errors.New("the body is refused")

// errAbandoned is what a read gets on behalf of an attempt that is over.
var errAbandoned = errors.New("the attempt to send this body is over")

// body is a request's body on its way from the client to a replica. While an attempt has written nothing, what it
// read is kept, so that a second attempt can begin anew; this is at most what net/http collects before its first
// write, 4 KiB.
type body struct {
	killers *killers // nil: bodies are not hashed

	mu     sync.Mutex // held while the client's connection is read
	src    io.Reader
	length int64 // of the body; -1: not known
	read   int64
	kept   []byte
	hash   maphash.Hash
	err    error // why src gave no more, once it hasn't

	whole   atomic.Bool   // all of it was read
	sum     atomic.Uint64 // the hash of a whole body
	refused atomic.Bool   // ended with errKiller
	broken  atomic.Bool   // the client did not send all of it
}

func newBody(src io.Reader, length int64, k *killers) *body {
	b := &body{src: src, length: length, killers: k}
	if k != nil {
		b.hash.SetSeed(k.seed)
	}
	return b
}

// stream is the body as one attempt reads it.
type stream struct {
	*attempt
	body   *body
	at     int // in body.kept
	closed atomic.Bool
}

// Read implements io.Reader. A read for an attempt that failed meanwhile loses nothing: what came is kept for the
// next attempt.
func (s *stream) Read(p []byte) (int, error) {
	b := s.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.closed.Load() {
		return 0, errAbandoned
	}
	if s.at < len(b.kept) {
		n := copy(p, b.kept[s.at:])
		s.at += n
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.fill(p)
	if s.untouched() {
		b.kept = append(b.kept, p[:n]...)
		s.at = len(b.kept)
	} else {
		b.kept, s.at = nil, 0
	}
	return n, err
}

// Close implements io.Closer. The client's body stays open: an attempt to come may read it.
func (s *stream) Close() error {
	s.closed.Store(true)
	return nil
}

// fill reads from the client. The lock is held.
func (b *body) fill(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.read += int64(n)
	if b.killers != nil {
		_, _ = b.hash.Write(p[:n])
	}
	ended := err == io.EOF || b.read == b.length
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
	if err != nil {
		b.broken.Store(err != io.EOF && !b.refused.Load())
		b.err = err
	}
	return n, err
}

// cause returns why the client's body ended early, or nil. When net/http has said already that the client is gone,
// the read that found this out is about to return, and is waited for: it alone knows whether time was up.
func (b *body) cause(gone bool) error {
	if b == nil || !gone && !b.broken.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.broken.Load() {
		return nil
	}
	return b.err
}
