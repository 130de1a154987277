package testenv

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The element types of onnx.proto that tests use.
const (
	ONNXFloat = 1
	ONNXUint8 = 2
	ONNXInt8  = 3
	ONNXInt16 = 5
)

// ONNXModel is a small ONNX model for tests, which Bytes writes as a file in the order of onnx.proto's fields, as
// exporters do. Field numbers are those of onnx.proto (onnx 1.23).
type ONNXModel struct {
	IR      int64            // 8 where it is 0
	Opset   int64            // of the standard domain; 17 where it is 0, none where it is below
	Domains map[string]int64 // further operator sets
	Nodes   []ONNXNode
	Weights []ONNXTensor
	Inputs  []ONNXTensor // names, types and sizes; -1 is an open size
	Outputs []ONNXTensor
}

// ONNXNode is one operator.
type ONNXNode struct {
	Op, Domain string
	In, Out    []string
	Ints       []ONNXInt
	Constant   *ONNXTensor // the attribute value, of Constant
}

// ONNXInt is an attribute that is a whole number.
type ONNXInt struct {
	Name  string
	Value int64
}

// ONNXTensor is a weight, an input or an output.
type ONNXTensor struct {
	Name     string
	Type     int
	Dims     []int64
	Raw      []byte
	External []string // keys and values of external data, in turns
}

type message []byte

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }

// Bytes is the file.
func (o ONNXModel) Bytes() []byte {
	var graph message
	for _, n := range o.Nodes {
		graph.bytes(1, n.message())
	}
	graph.text(2, "test")
	for _, w := range o.Weights {
		graph.bytes(5, w.message())
	}
	for _, in := range o.Inputs {
		graph.bytes(11, in.value())
	}
	for _, out := range o.Outputs {
		graph.bytes(12, out.value())
	}
	var model message
	model.number(1, orElse(o.IR, 8))
	model.text(2, "fovea")
	model.bytes(7, graph)
	if opset := orElse(o.Opset, 17); opset > 0 {
		model.bytes(8, operatorSet("", opset))
	}
	for _, domain := range slices.Sorted(maps.Keys(o.Domains)) {
		model.bytes(8, operatorSet(domain, o.Domains[domain]))
	}
	return model
}

func orElse(v, otherwise int64) int64 {
	if v == 0 {
		return otherwise
	}
	return v
}

func operatorSet(domain string, version int64) (m message) {
	m.text(1, domain)
	m.number(2, version)
	return m
}

func (n ONNXNode) message() (m message) {
	for _, in := range n.In {
		m.text(1, in)
	}
	for _, out := range n.Out {
		m.text(2, out)
	}
	m.text(4, n.Op)
	for _, a := range n.Ints {
		var value message
		value.text(1, a.Name)
		value.number(3, a.Value)
		value.number(20, 2) // the attribute is a whole number
		m.bytes(5, value)
	}
	if n.Constant != nil {
		var value message
		value.text(1, "value")
		value.bytes(5, n.Constant.message())
		value.number(20, 4) // the attribute is a tensor
		m.bytes(5, value)
	}
	if n.Domain != "" {
		m.text(7, n.Domain)
	}
	return m
}

func (t ONNXTensor) message() (m message) {
	for _, d := range t.Dims {
		m.number(1, d)
	}
	m.number(2, int64(t.Type))
	m.text(8, t.Name)
	if t.External == nil {
		m.bytes(9, t.Raw)
		return m
	}
	for pair := range slices.Chunk(t.External, 2) {
		var entry message
		entry.text(1, pair[0])
		entry.text(2, pair[1])
		m.bytes(13, entry)
	}
	m.number(14, 1) // data_location EXTERNAL
	return m
}

// value is the tensor's ValueInfoProto.
func (t ONNXTensor) value() (m message) {
	var shape message
	for _, d := range t.Dims {
		var dim message
		if d < 0 {
			dim.text(2, "n")
		} else {
			dim.number(1, d)
		}
		shape.bytes(1, dim)
	}
	var tensor, kind message
	tensor.number(1, int64(t.Type))
	tensor.bytes(2, shape)
	kind.bytes(1, tensor)
	m.text(1, t.Name)
	m.bytes(2, kind)
	return m
}
