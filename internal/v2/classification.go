package v2

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"fovea/internal/apierror"
	"fovea/internal/float16"
	"fovea/internal/repository"
)

// classifies reports whether elements of a datatype can be ranked.
func classifies(datatype string) bool { return datatype != Bytes && datatype != "BOOL" }

// maxRanked bounds the elements that a classification returns, of all rows: each is a text, and ranking does not stop with its request.
const maxRanked = 1 << 18

// classify replaces each row by its n highest elements, best first, as BYTES "value:class:label". Equal ones come in the order of
// their classes, and what is not a number last. A tensor that is no batch is one row, and loses its dimensions. The error is an
// *apierror.Error of more than maxRanked elements.
func (m *opened) classify(out Output, n int) (Output, error) {
	total, _ := elements(out.Shape)
	rows := int64(1)
	isBatch := m.view != nil || m.info.Batched
	if isBatch && len(out.Shape) > 0 {
		rows = out.Shape[0]
	}
	if total == 0 || rows == 0 {
		return Output{out.Name, Bytes, []int64{rows, 0}, nil}, nil
	}
	perRow := int(total / rows)
	if n = min(n, perRow); int64(n) > maxRanked/rows {
		return Output{}, apierror.New(apierror.InvalidParameter, "output '%s': the parameter classification asks for %d elements in each of %d rows; allowed: %d together", out.Name, n, rows, maxRanked)
	}
	labels, first := m.labels(perRow)
	var data []byte
	for row := range int(rows) {
		for _, i := range best(out, row*perRow, perRow, n) {
			text := valueText(out, row*perRow+i) + ":" + strconv.Itoa(i)
			if at := i - first; at >= 0 && at < len(labels) {
				text += ":" + labels[at]
			}
			data = AppendBytes(data, text)
		}
	}
	shape := []int64{int64(n)}
	if isBatch {
		shape = []int64{rows, int64(n)}
	}
	return Output{out.Name, Bytes, shape, data}, nil
}

// labels are those of a row of n elements, and the class of the first. They fit if there are as many.
func (m *opened) labels(n int) (labels []string, first int) {
	d := &m.info.Definition
	if m.view == nil {
		first = d.Output.ClassFirst
	}
	if len(d.Labels) == 0 || len(d.Labels)+first != n || d.Task.FindsObjects() || d.Task == repository.TextRecognition {
		return nil, 0
	}
	return d.Labels, first
}

// candidate is an element that is ranked.
type candidate struct {
	value float64
	index int
}

// compare orders candidates, the worst first.
func compare(a, b candidate) int {
	return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(b.index, a.index)) // NaN is below all numbers
}

// candidates is a heap with the worst on top.
type candidates []candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return compare(c[i], c[j]) < 0 }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)        { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// best are the indices of the n highest of count elements from start.
func best(out Output, start, count, n int) []int {
	list := make(candidates, 0, n)
	for i := range count {
		c := candidate{valueOf(out, start+i), i}
		switch {
		case len(list) < n:
			heap.Push(&list, c)
		case compare(c, list[0]) > 0:
			list[0] = c
			heap.Fix(&list, 0)
		}
	}
	slices.SortFunc(list, func(a, b candidate) int { return compare(b, a) })
	indices := make([]int, len(list))
	for i, c := range list {
		indices[i] = c.index
	}
	return indices
}

// valueOf is element i. Whole numbers beyond 2^53 are rounded.
func valueOf(out Output, i int) float64 {
	switch out.Datatype {
	case "FP32":
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(out.Data[4*i:])))
	case "FP64":
		return math.Float64frombits(binary.LittleEndian.Uint64(out.Data[8*i:]))
	case "FP16":
		return float64(float16.Value(binary.LittleEndian.Uint16(out.Data[2*i:])))
	case "BF16":
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(out.Data[2*i:])) << 16))
	case "UINT64":
		return float64(binary.LittleEndian.Uint64(out.Data[8*i:]))
	}
	return float64(whole(out, i))
}

// whole is element i of an integer type.
func whole(out Output, i int) int64 {
	switch out.Datatype {
	case "INT64":
		return int64(binary.LittleEndian.Uint64(out.Data[8*i:]))
	case "INT32":
		return int64(int32(binary.LittleEndian.Uint32(out.Data[4*i:])))
	case "UINT32":
		return int64(binary.LittleEndian.Uint32(out.Data[4*i:]))
	case "INT16":
		return int64(int16(binary.LittleEndian.Uint16(out.Data[2*i:])))
	case "UINT16":
		return int64(binary.LittleEndian.Uint16(out.Data[2*i:]))
	case "INT8":
		return int64(int8(out.Data[i]))
	}
	return int64(out.Data[i])
}

// valueText is element i as Triton writes it: a float with six decimals.
func valueText(out Output, i int) string {
	switch out.Datatype {
	case "FP16", "BF16", "FP32", "FP64":
		return strconv.FormatFloat(valueOf(out, i), 'f', 6, 64)
	case "UINT64":
		return strconv.FormatUint(binary.LittleEndian.Uint64(out.Data[8*i:]), 10)
	}
	return strconv.FormatInt(whole(out, i), 10)
}
