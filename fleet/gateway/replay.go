package gateway

import "sync/atomic"

const (
	// headSize is the part of a body that is always kept: what net/http buffers before its first write, which may be when it
	// learns that a kept connection was closed.
	headSize = 4 << 10

	// maxBodyFraction: one body may take up to 1/4 of the budget.
	maxBodyFraction = 4
)

// budget bounds the memory, in bytes, of bodies kept for further attempts.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// replayBuffer holds everything read of a body so far, until it is dropped. A zero value with a budget is empty. It is not safe
// for concurrent use.
type replayBuffer struct {
	budget  *budget
	head    []byte
	chunks  [][]byte // of bufferSize, from the pool of buffers
	length  int64
	dropped bool
}

// add appends p, or drops everything if the budget is exhausted.
func (r *replayBuffer) add(p []byte) {
	for len(p) > 0 && !r.dropped {
		var n int
		if r.length < headSize {
			n = min(len(p), headSize-len(r.head))
			r.head = append(r.head, p[:n]...)
		} else {
			at := int(r.length-headSize) % bufferSize
			if at == 0 && !r.grow() {
				r.drop()
				return
			}
			n = copy(r.chunks[len(r.chunks)-1][at:], p)
		}
		r.length += int64(n)
		p = p[n:]
	}
}

func (r *replayBuffer) grow() bool {
	if int64(len(r.chunks)+1)*bufferSize > r.budget.limit/maxBodyFraction || !r.budget.take(bufferSize) {
		return false
	}
	r.chunks = append(r.chunks, buffers.Get())
	return true
}

// copy copies bytes from offset at, which must be less than the length.
func (r *replayBuffer) copy(p []byte, at int64) int {
	if at < headSize {
		return copy(p, r.head[at:])
	}
	chunk := (at - headSize) / bufferSize
	from := (at - headSize) % bufferSize
	to := min(bufferSize, r.length-headSize-chunk*bufferSize)
	return copy(p, r.chunks[chunk][from:to])
}

// drop frees the memory.
func (r *replayBuffer) drop() {
	for _, chunk := range r.chunks {
		buffers.Put(chunk)
	}
	if len(r.chunks) > 0 {
		r.budget.used.Add(-int64(len(r.chunks)) * bufferSize)
	}
	r.head, r.chunks, r.dropped = nil, nil, true
}
