package gateway

import "sync/atomic"

const (
	// headSize is the part of a body that is kept in any case: what net/http collects before its first write, in which it
	// may learn that a kept connection was closed.
	headSize = 4 << 10

	// share is the part of the budget that one body may take.
	share = 4
)

// budget bounds the memory in which bodies are kept for further attempts.
type budget struct {
	most int64
	used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.most {
		return true
	}
	b.used.Add(-n)
	return false
}

// replay is the beginning of a body, and while it is not dropped all that was read of it. The zero value of all but the
// budget is empty. It is not safe for concurrent use.
type replay struct {
	budget  *budget
	head    []byte
	pieces  [][]byte // of bufferSize, from the pool of buffers
	length  int64
	dropped bool
}

// add keeps what follows, or drops everything where there is no room for it.
func (r *replay) add(p []byte) {
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
			n = copy(r.pieces[len(r.pieces)-1][at:], p)
		}
		r.length += int64(n)
		p = p[n:]
	}
}

func (r *replay) grow() bool {
	if int64(len(r.pieces)+1)*bufferSize > r.budget.most/share || !r.budget.take(bufferSize) {
		return false
	}
	r.pieces = append(r.pieces, buffers.Get())
	return true
}

// copy gives bytes from at on, which must be less than the length.
func (r *replay) copy(p []byte, at int64) int {
	if at < headSize {
		return copy(p, r.head[at:])
	}
	piece := (at - headSize) / bufferSize
	from := (at - headSize) % bufferSize
	to := min(bufferSize, r.length-headSize-piece*bufferSize)
	return copy(p, r.pieces[piece][from:to])
}

// drop gives the memory back. Nothing is kept any more.
func (r *replay) drop() {
	for _, piece := range r.pieces {
		buffers.Put(piece)
	}
	if len(r.pieces) > 0 {
		r.budget.used.Add(-int64(len(r.pieces)) * bufferSize)
	}
	r.head, r.pieces, r.dropped = nil, nil, true
}
