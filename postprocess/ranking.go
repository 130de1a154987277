package postprocess

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
