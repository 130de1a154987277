// Package onnxwriter writes small ONNX files without Python, for tests and for the benchmark's ResNet-50. A test can then
// state in its own lines what its model computes.
package onnxwriter

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Type is an element type of onnx.proto's TensorProto.DataType. Field numbers and types are those of onnx 1.23.
type Type int

// The element types.
const (
	Float   Type = 1
	Uint8   Type = 2
	Int8    Type = 3
	Uint16  Type = 4
	Int16   Type = 5
	Int32   Type = 6
	Int64   Type = 7
	String  Type = 8
	Bool    Type = 9
	Float16 Type = 10
	Double  Type = 11
	Uint32  Type = 12
	Uint64  Type = 13

	BFloat16 Type = 16
)

// Model is an ONNX model. Its fields may be set directly or through its methods.
type Model struct {
	IR      int64            // IR version; 0 means 8
	Opset   int64            // of the standard domain; 0 means 17, below 0 imports none
	Domains map[string]int64 // further operator sets
	Nodes   []Node
	Weights []Tensor
	Inputs  []Value
	Outputs []Value

	Producer string            // empty: fovea
	Metadata map[string]string // metadata_props
}

// Node is one operator.
type Node struct {
	Op, Domain string
	In, Out    []string
	Attributes Attributes
}

// Attributes of a node: int, []int, []string, float32 or Tensor.
type Attributes map[string]any

// Tensor is a weight.
type Tensor struct {
	Name     string
	Type     Type
	Dims     []int
	Raw      []byte
	External []string // alternating keys and values of external data; nil: Raw holds the data
}

// Value is an input or output.
type Value struct {
	Name string
	Type Type
	Dims []any // each an int, or a string that names an open size; nil: the shape is unknown

	sequence message // its TypeProto if it is no tensor
}

// Identity is a model whose output y equals its input x.
func Identity(t Type, dims ...any) *Model {
	m := &Model{}
	m.Input("x", t, dims...)
	m.Node("Identity", "y", nil, "x")
	m.Output("y", t, dims...)
	return m
}

// ColorClassifier is a classifier of red, green and blue, of images of 8×8 pixels, whose class i is the channel order[i]: 0, 1, 2 is
// right.
func ColorClassifier(order ...int) *Model {
	m := &Model{}
	m.Input("image", Float, "n", 3, 8, 8)
	m.Node("ReduceMean", "mean", Attributes{"axes": []int{2, 3}, "keepdims": 0}, "image")
	weights := make([]float32, 9)
	for class, channel := range order {
		weights[3*channel+class] = 10
	}
	m.Floats("weights", weights, 3, 3)
	m.Node("MatMul", "logits", nil, "mean", "weights")
	m.Output("logits", Float, "n", 3)
	return m
}

// Input adds an input.
func (m *Model) Input(name string, t Type, dims ...any) {
	m.Inputs = append(m.Inputs, Value{Name: name, Type: t, Dims: dims})
}

// Output adds an output that is a tensor.
func (m *Model) Output(name string, t Type, dims ...any) {
	m.Outputs = append(m.Outputs, Value{Name: name, Type: t, Dims: dims})
}

// SequenceOutput adds an output that is a sequence of tensors.
func (m *Model) SequenceOutput(name string, t Type) {
	m.Outputs = append(m.Outputs, Value{Name: name, sequence: nested(4, nested(1, Value{Type: t}.tensor()))})
}

// OptionalOutput adds an output that is an optional tensor.
func (m *Model) OptionalOutput(name string, t Type) {
	m.Outputs = append(m.Outputs, Value{Name: name, sequence: nested(9, nested(1, Value{Type: t}.tensor()))})
}

// MapsOutput adds an output that is a sequence of maps from a type to float32, such as ZipMap's.
func (m *Model) MapsOutput(name string, keys Type) {
	var entry message
	entry.number(1, int64(keys))
	entry.bytes(2, Value{Type: Float}.tensor())
	m.Outputs = append(m.Outputs, Value{Name: name, sequence: nested(4, nested(1, nested(5, entry)))})
}

// Floats adds a weight of float32.
func (m *Model) Floats(name string, values []float32, dims ...int) {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	m.Weights = append(m.Weights, Tensor{Name: name, Type: Float, Dims: dims, Raw: raw})
}

// Ints adds a weight of int64.
func (m *Model) Ints(name string, values []int64, dims ...int) {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	m.Weights = append(m.Weights, Tensor{Name: name, Type: Int64, Dims: dims, Raw: raw})
}

// Node adds a node with one output. The prefix "ml." selects an operator of the domain ai.onnx.ml.
func (m *Model) Node(op, output string, attributes Attributes, inputs ...string) {
	domain := ""
	if name, ok := strings.CutPrefix(op, "ml."); ok {
		op, domain = name, "ai.onnx.ml"
		if m.Domains == nil {
			m.Domains = map[string]int64{}
		}
		m.Domains[domain] = 3
	}
	m.Nodes = append(m.Nodes, Node{Op: op, Domain: domain, In: inputs, Out: []string{output}, Attributes: attributes})
}

// Bytes is the file, with the fields in the order of onnx.proto, as exporters write it.
func (m *Model) Bytes() []byte {
	var graph message
	for _, n := range m.Nodes {
		graph.bytes(1, n.message())
	}
	graph.text(2, "graph")
	for _, w := range m.Weights {
		graph.bytes(5, w.message())
	}
	for _, in := range m.Inputs {
		graph.bytes(11, in.message())
	}
	for _, out := range m.Outputs {
		graph.bytes(12, out.message())
	}
	var file message
	file.number(1, orDefault(m.IR, 8))
	file.text(2, cmp.Or(m.Producer, "fovea"))
	file.bytes(7, graph)
	if opset := orDefault(m.Opset, 17); opset > 0 {
		file.bytes(8, operatorSet("", opset))
	}
	for _, domain := range slices.Sorted(maps.Keys(m.Domains)) {
		file.bytes(8, operatorSet(domain, m.Domains[domain]))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		var entry message
		entry.text(1, key)
		entry.text(2, m.Metadata[key])
		file.bytes(14, entry)
	}
	return file
}

func orDefault(v, def int64) int64 {
	if v == 0 {
		return def
	}
	return v
}

func operatorSet(domain string, version int64) (m message) {
	m.text(1, domain)
	m.number(2, version)
	return m
}

func (n Node) message() (m message) {
	for _, in := range n.In {
		m.text(1, in)
	}
	for _, out := range n.Out {
		m.text(2, out)
	}
	m.text(4, n.Op)
	for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
		m.bytes(5, attribute(name, n.Attributes[name]))
	}
	if n.Domain != "" {
		m.text(7, n.Domain)
	}
	return m
}

func attribute(name string, value any) (m message) {
	m.text(1, name)
	switch v := value.(type) {
	case float32:
		m = protowire.AppendFixed32(protowire.AppendTag(m, 2, protowire.Fixed32Type), math.Float32bits(v))
		m.number(20, 1)
	case int:
		m.number(3, int64(v))
		m.number(20, 2)
	case Tensor:
		m.bytes(5, v.message())
		m.number(20, 4)
	case []string:
		for _, text := range v {
			m.text(9, text)
		}
		m.number(20, 8)
	case []int:
		for _, i := range v {
			m.number(8, int64(i))
		}
		m.number(20, 7)
	default:
		panic(fmt.Sprintf("onnxwriter: attribute %s is a %T", name, value))
	}
	return m
}

func (t Tensor) message() (m message) {
	for _, d := range t.Dims {
		m.number(1, int64(d))
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

func (v Value) message() (m message) {
	m.text(1, v.Name)
	if v.sequence != nil {
		m.bytes(2, v.sequence)
	} else {
		m.bytes(2, v.tensor())
	}
	return m
}

// tensor is the TypeProto of a tensor.
func (v Value) tensor() message {
	var shape, tensor message
	for _, d := range v.Dims {
		var dim message
		switch d := d.(type) {
		case int:
			dim.number(1, int64(d))
		case string:
			dim.text(2, d)
		default:
			panic(fmt.Sprintf("onnxwriter: a size of %s is a %T", v.Name, d))
		}
		shape.bytes(1, dim)
	}
	tensor.number(1, int64(v.Type))
	if v.Dims != nil {
		tensor.bytes(2, shape)
	}
	return nested(1, tensor)
}

// message is a protobuf message being written.
type message []byte

// nested is a message whose only field is inner.
func nested(field protowire.Number, inner message) (m message) {
	m.bytes(field, inner)
	return m
}

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }
