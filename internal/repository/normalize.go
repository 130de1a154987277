package repository

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"fovea/internal/config"
)

// The values of Input.Normalize: where the values of pixels become those of the model's input. NormalizePacking does it while images are
// packed. NormalizeGraph does it in the model's graph, which takes the pixels as uint8: a quarter of the bytes of float32.
const (
	NormalizePacking = "packing"
	NormalizeGraph   = "graph"
)

// Packed returns the input as images are packed for it: with NormalizeGraph it takes the pixels unchanged as uint8, otherwise it is
// the same.
func (in Input) Packed() Input {
	if in.Normalize == NormalizeGraph {
		in.Normalize, in.DType, in.Scale, in.Mean, in.Std = NormalizePacking, Uint8, 1, []float64{0}, []float64{1}
	}
	return in
}

// SameGraph reports whether both inputs leave the same to the graph.
func (in Input) SameGraph(other Input) bool {
	if in.Normalize != NormalizeGraph || other.Normalize != NormalizeGraph {
		return in.Normalize != NormalizeGraph && other.Normalize != NormalizeGraph
	}
	a, b := in.normalization(), other.normalization()
	return slices.Equal(a.offset, b.offset) && slices.Equal(a.factor, b.factor)
}

// normalization is what a graph computes in float32 of the value v of a pixel in channel c: (v − offset[c]) · factor[c].
type normalization struct{ offset, factor []float32 } // one value, or one per channel

// normalization returns the input's own, (v·Scale − Mean) / Std, as a graph computes it: of the usual forms it has the smallest error, since v
// is a whole number.
func (in *Input) normalization() (n normalization) {
	for _, mean := range in.Mean {
		n.offset = append(n.offset, float32(mean/in.Scale))
	}
	for _, std := range in.Std {
		n.factor = append(n.factor, float32(in.Scale/std))
	}
	return n
}

// maxNormalizeError is by how much a value that the graph computes may differ from that of packing: in units, or of a value above 1 as a
// part of it.
const maxNormalizeError = 1e-5

// checkNormalize reports what a graph cannot compute of an input. All else about it must be valid.
func (in *Input) checkNormalize(errs *config.Errors) {
	const key = "input.normalize"
	errs.OneOf(key, in.Normalize, NormalizePacking, NormalizeGraph)
	if in.Normalize != NormalizeGraph {
		return
	}
	if in.DType == Uint8 {
		notApplicable(errs, key, "graph only applies to inputs of float32 and float16; uint8 takes pixel values unchanged")
	}
	if slices.ContainsFunc(in.Fill, func(v float64) bool { return v != math.Trunc(v) }) {
		errs.Add("input.fill", "has values that are not whole; with normalize: graph padding has pixel values")
	}
	n := in.normalization()
	for c := range max(len(in.Mean), len(in.Std)) {
		at := func(list int) int { return min(c, list-1) }
		mean, std := in.Mean[at(len(in.Mean))], in.Std[at(len(in.Std))]
		offset, factor := n.offset[at(len(n.offset))], n.factor[at(len(n.factor))]
		for v := range 256 {
			want := (float64(v)*in.Scale - mean) / std
			have := float64(float32(float32(v)-offset) * factor)
			if !(math.Abs(have-want) <= maxNormalizeError*max(1, math.Abs(want))) { // nor NaN
				errs.Add(key, "graph computes %g instead of %g of a pixel's value %d in channel %d with this scale, mean and std; use packing", have, want, v, c)
				return
			}
		}
	}
}

// The element types in TensorProto.DataType, and the numbers of fields of onnx.proto that a normalization consists of.
const (
	floatElement, uint8Element, float16Element = 1, 2, 10

	graphNode                                         = 1
	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttr = 1, 2, 3, 4, 5
	attributeName, attributeInt                       = 1, 3
	attributeTensor, attributeType                    = 5, 20
	attributeIsInt, attributeIsTensor                 = 2, 4 // AttributeProto.AttributeType
	tensorDims, tensorElement, tensorRaw              = 1, 2, 9
)

// minNormalizeOpset is the first operator set whose Sub and Mul broadcast as NumPy does.
const minNormalizeOpset = 7

// PixelInput is the name of the graph input that takes the pixels of an input of an ONNX file.
func PixelInput(name string) string { return "fovea:pixels:" + name }

// normalizeNodes are fields of a GraphProto: nodes that compute the image input of a definition from its pixels.
func normalizeNodes(in Input) (fields []byte) {
	n, value := in.normalization(), PixelInput(in.Name)
	add := func(op, output string, attribute []byte, inputs ...string) {
		var node []byte
		for _, input := range inputs {
			node = appendBytes(node, nodeInput, []byte(input))
		}
		node = appendBytes(node, nodeOutput, []byte(output))
		node = appendBytes(node, nodeName, []byte(output+":"+op))
		node = appendBytes(node, nodeOp, []byte(op))
		if attribute != nil {
			node = appendBytes(node, nodeAttr, attribute)
		}
		fields = appendBytes(fields, graphNode, node)
	}
	type step struct {
		op       string
		element  uint64    // of a Cast
		constant []float32 // of others
	}
	steps := []step{{op: "Cast", element: floatElement}}
	if slices.ContainsFunc(n.offset, func(v float32) bool { return v != 0 }) {
		steps = append(steps, step{op: "Sub", constant: n.offset})
	}
	if slices.ContainsFunc(n.factor, func(v float32) bool { return v != 1 }) {
		steps = append(steps, step{op: "Mul", constant: n.factor})
	}
	if in.DType == Float16 {
		steps = append(steps, step{op: "Cast", element: float16Element})
	}
	for i, s := range steps {
		output := fmt.Sprintf("fovea:normalized:%d:%s", i, in.Name)
		if i == len(steps)-1 {
			output = in.Name
		}
		if s.op == "Cast" {
			add("Cast", output, intAttribute("to", s.element), value)
		} else {
			constant := output + ":constant"
			add("Constant", constant, tensorAttribute("value", in.channelTensor(s.constant)))
			add(s.op, output, nil, value, constant)
		}
		value = output
	}
	return fields
}

// channelTensor is a TensorProto with one value, or with one for each channel of a row of the input.
func (in *Input) channelTensor(values []float32) (tensor []byte) {
	if len(values) > 1 {
		tensor = appendNumber(tensor, tensorDims, uint64(len(values)))
		if in.Layout != "nhwc" { // then height and width are after it
			tensor = appendNumber(appendNumber(tensor, tensorDims, 1), tensorDims, 1)
		}
	}
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return appendBytes(appendNumber(tensor, tensorElement, floatElement), tensorRaw, raw)
}

func intAttribute(name string, value uint64) []byte {
	a := appendNumber(appendBytes(nil, attributeName, []byte(name)), attributeInt, value)
	return appendNumber(a, attributeType, attributeIsInt)
}

func tensorAttribute(name string, tensor []byte) []byte {
	a := appendBytes(appendBytes(nil, attributeName, []byte(name)), attributeTensor, tensor)
	return appendNumber(a, attributeType, attributeIsTensor)
}
