package postprocess

import "slices"

// ranked is a score with the index of its owner.
type ranked struct {
	score float32
	index int32
}

// above orders by score, then by index, so that results are deterministic.
func (r ranked) above(other ranked) bool {
	return r.score > other.score || r.score == other.score && r.index < other.index
}

// ranking returns scores best first. It is a binary heap, which finds a few of many without sorting all: n steps to set up,
// log n for each.
type ranking []ranked

func (r ranking) init() {
	for i := len(r)/2 - 1; i >= 0; i-- {
		r.down(i)
	}
}

// pop removes and returns the best; the ranking must not be empty.
func (r *ranking) pop() ranked {
	h := *r
	best := h[0]
	last := len(h) - 1
	h[0] = h[last]
	*r = h[:last]
	r.down(0)
	return best
}

func (r ranking) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(r) {
			return
		}
		if child+1 < len(r) && r[child+1].above(r[child]) {
			child++
		}
		if !r[child].above(r[i]) {
			return
		}
		r[i], r[child] = r[child], r[i]
		i = child
	}
}

// fewBest is up to how many of the highest are kept in order while scanning, instead of a heap of all.
const fewBest = 32

// best returns the k highest values, best first; of equal ones, those of lower index first. It uses the memory of into. k must not
// exceed the number of values, of which none may be NaN.
func best(values []float32, k int, into ranking) ranking {
	if k > fewBest {
		return bestOfHeap(values, k, into)
	}
	top := into[:0]
	for i, v := range values {
		if len(top) == k {
			if k == 0 || v <= top[k-1].score {
				continue
			}
			top = top[:k-1]
		}
		at := len(top)
		for at > 0 && v > top[at-1].score {
			at--
		}
		top = slices.Insert(top, at, ranked{v, int32(i)})
	}
	return top
}

// bestOfHeap is best for many.
func bestOfHeap(values []float32, k int, into ranking) ranking {
	heap := into[:0]
	for i, v := range values {
		heap = append(heap, ranked{v, int32(i)})
	}
	heap.init()
	all := heap
	for n := len(all); n > len(all)-k; n-- {
		all[n-1] = heap.pop() // the place that the heap has just left
	}
	top := all[len(all)-k:]
	slices.Reverse(top)
	return top
}
