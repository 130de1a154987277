package resample

import "math"

// pillowBits is Pillow's precision of weights in bits (PRECISION_BITS in src/libImaging/Resample.c).
const pillowBits = 32 - 8 - 2

// side is one side of a resampling: the span from low to high of length pixels becomes size results, of which those from begin
// to end are computed.
type side struct {
	length     int
	low, high  float64
	size       int
	begin, end int
}

// flip returns the side as it is when its pixels are counted from the other end.
func (s side) flip() side {
	s.low, s.high = float64(s.length)-s.high, float64(s.length)-s.low
	s.begin, s.end = s.size-s.end, s.size-s.begin
	return s
}

func (s side) scale() float64 { return (s.high - s.low) / float64(s.size) }

// span is the pixels that a result is made of.
type span struct{ first, count int }

// spans returns those of every result from begin to end. They never go back.
func (f *Filter) spans(s side) []span {
	list := make([]span, s.end-s.begin)
	scale := s.scale()
	switch {
	case scale == 1 && s.low == math.Trunc(s.low): // no library resamples a side that keeps its size
		for i := range list {
			list[i] = span{int(s.low) + s.begin + i, 1}
		}
	case f.nearest != nil:
		for i, at := range f.nearest(s) {
			list[i] = span{max(0, min(int(at), s.length-1)), 1}
		}
	default:
		for i := range list {
			list[i] = f.span(s, s.begin+i)
		}
	}
	return list
}

// span and weigh compute the pixels of result i and their weights, which add up to 1 (precompute_coeffs in Pillow,
// _compute_indices_min_size_weights_aa in PyTorch).
func (f *Filter) span(s side, i int) span {
	scale := s.scale()
	support := f.support * max(scale, 1)
	center := s.low + (float64(i)+0.5)*scale
	first := max(0, int(center-support+0.5))
	return span{first, min(s.length, int(center+support+0.5)) - first}
}

func (f *Filter) weigh(s side, i int, from span, weights []float64) {
	if from.count == 1 {
		weights[0] = 1
		return
	}
	scale := s.scale()
	center := s.low + (float64(i)+0.5)*scale
	inverse := 1 / max(scale, 1)
	sum := 0.0
	for j := range from.count {
		weights[j] = f.weight((float64(from.first+j) - center + 0.5) * inverse)
		sum += weights[j]
	}
	for j := range from.count {
		weights[j] /= sum
	}
}

// bits returns the precision of weights: with int16 as many as the largest weight of all results allows (PyTorch,
// _compute_index_ranges_int16_weights), which are 14 for a weight of 1.
func (f *Filter) bits(s side) int {
	bits := pillowBits
	if !f.int16 {
		return bits
	}
	weights := make([]float64, 2*int(math.Ceil(f.support*max(s.scale(), 1)))+1)
	for i := 0; i < s.size && bits > 14; i++ {
		from := f.span(s, i)
		f.weigh(s, i, from, weights)
		for _, w := range weights[:from.count] {
			for int(0.5+w*float64(int(1)<<bits)) >= 1<<15 {
				bits--
			}
		}
	}
	return bits
}

func most(list []span) int {
	n := 0
	for _, from := range list {
		n = max(n, from.count)
	}
	return n
}

// axis is a side's fovea_resample_axis.
type axis struct {
	first, count []int32
	weights      []int16
	groups, bits int
}

// The layout of weights: see resample.h.
const (
	groupTaps = 4
	lowBits   = 12
)

// axis computes a side. Flipped says that its pixels are stored from high to low; the order of the axis is that in which they are
// stored. Libraries know no flipped images, so that everything is computed as if they had been turned first.
func (f *Filter) axis(s side, flipped bool) axis {
	if flipped {
		s = s.flip()
	}
	list := f.spans(s)
	n, longest := len(list), most(list)
	a := axis{first: make([]int32, n), count: make([]int32, n), groups: (longest + groupTaps - 1) / groupTaps, bits: f.bits(s)}
	a.weights = make([]int16, 2*groupTaps*a.groups*n)
	weights := make([]float64, longest)
	for i, from := range list {
		f.weigh(s, s.begin+i, from, weights)
		at, first := i, from.first
		if flipped {
			at, first = n-1-i, s.length-from.first-from.count
		}
		a.first[at], a.count[at] = int32(first), int32(from.count) // #nosec G115 -- pixels of an image's side
		row := a.weights[2*groupTaps*a.groups*at:]
		for j, w := range weights[:from.count] {
			if flipped {
				j = from.count - 1 - j
			}
			put(row, j, int(math.Round(w*float64(int(1)<<a.bits)))) // halves away from 0, as all libraries do
		}
	}
	return a
}

// put sets the weight of a tap.
func put(row []int16, tap, weight int) {
	at := tap/groupTaps*2*groupTaps + tap%groupTaps
	row[at] = int16(weight & (1<<lowBits - 1))
	row[at+groupTaps] = int16(weight >> lowBits) // #nosec G115 -- weights have few more than 22 bits
}

// reach returns the pixels that an axis reads.
func (f *Filter) reach(s side, flipped bool) (from, to int) {
	if flipped {
		s = s.flip()
	}
	list := f.spans(s)
	last := list[len(list)-1]
	from, to = list[0].first, last.first+last.count
	if flipped {
		return s.length - to, s.length - from
	}
	return from, to
}
