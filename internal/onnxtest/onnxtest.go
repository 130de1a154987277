// Package onnxtest writes small ONNX files for tests, so that a test says in its own lines what the model computes.
package onnxtest

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of fields and types below are those of onnx.proto (onnx 1.23).
const (
	irVersion = 8
	opset     = 17
)

// Type is an element type of onnx.proto's TensorProto.DataType.
type Type uint64

// The element types that tests use.
const (
	Float   Type = 1
	Uint8   Type = 2
	Int8    Type = 3
	Int32   Type = 6
	Int64   Type = 7
	String  Type = 8
	Bool    Type = 9
	Float16 Type = 10
	Double  Type = 11
)

// Model is a model being written: its parts in the order they are added.
type Model struct {
	nodes, constants, inputs, outputs []message
}

// Input adds an input. A dimension is an int, or a string for one that is open.
func (m *Model) Input(name string, t Type, dims ...any) {
	m.inputs = append(m.inputs, valueInfo(name, tensorType(t, dims)))
}

// Output adds an output that is a tensor.
func (m *Model) Output(name string, t Type, dims ...any) {
	m.outputs = append(m.outputs, valueInfo(name, tensorType(t, dims)))
}

// SequenceOutput adds an output that is a sequence of tensors.
func (m *Model) SequenceOutput(name string, t Type) {
	var sequence, kind message
	sequence.bytes(1, tensorType(t, nil))
	kind.bytes(4, sequence)
	m.outputs = append(m.outputs, valueInfo(name, kind))
}

// MapsOutput adds an output that is a sequence of maps from int64 to float32, as ZipMap gives it.
func (m *Model) MapsOutput(name string) {
	var entry, maps, sequence, kind message
	entry.number(1, uint64(Int64))
	entry.bytes(2, tensorType(Float, nil))
	maps.bytes(5, entry)
	sequence.bytes(1, maps)
	kind.bytes(4, sequence)
	m.outputs = append(m.outputs, valueInfo(name, kind))
}

// Floats adds a constant of float32.
func (m *Model) Floats(name string, values []float32, dims ...int) {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	m.constant(name, Float, raw, dims)
}

// Ints adds a constant of int64.
func (m *Model) Ints(name string, values []int64, dims ...int) {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	m.constant(name, Int64, raw, dims)
}

func (m *Model) constant(name string, t Type, raw []byte, dims []int) {
	var c message
	for _, d := range dims {
		c.number(1, uint64(d))
	}
	c.number(2, uint64(t))
	c.text(8, name)
	c.bytes(9, raw)
	m.constants = append(m.constants, c)
}

// Attributes of a node: int, []int or float32.
type Attributes map[string]any

// Node adds a node with one output. An operator of ai.onnx.ml is written "ml.ZipMap".
func (m *Model) Node(op, output string, attributes Attributes, inputs ...string) {
	var n message
	for _, input := range inputs {
		n.text(1, input)
	}
	n.text(2, output)
	if len(op) > 3 && op[:3] == "ml." {
		n.text(7, "ai.onnx.ml")
		op = op[3:]
	}
	n.text(4, op)
	for name, value := range attributes {
		n.bytes(5, attribute(name, value))
	}
	m.nodes = append(m.nodes, n)
}

func attribute(name string, value any) message {
	var a message
	a.text(1, name)
	switch v := value.(type) {
	case float32:
		a = protowire.AppendFixed32(protowire.AppendTag(a, 2, protowire.Fixed32Type), math.Float32bits(v))
		a.number(20, 1)
	case int:
		a.number(3, uint64(v))
		a.number(20, 2)
	case []int:
		for _, i := range v {
			a.number(8, uint64(i))
		}
		a.number(20, 7)
	default:
		panic("onnxtest: an attribute is an int, []int or float32")
	}
	return a
}

// Bytes is the file.
func (m *Model) Bytes() []byte {
	var graph message
	for field, parts := range map[protowire.Number][]message{1: m.nodes, 5: m.constants, 11: m.inputs, 12: m.outputs} {
		for _, part := range parts {
			graph.bytes(field, part)
		}
	}
	graph.text(2, "test")
	var file, standard, learning message
	file.number(1, irVersion)
	file.text(2, "fovea")
	file.bytes(7, graph)
	standard.number(2, opset)
	file.bytes(8, standard)
	learning.text(1, "ai.onnx.ml")
	learning.number(2, 3)
	file.bytes(8, learning)
	return file
}

// File writes the file into a folder of the test, and returns its path.
func (m *Model) File(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func valueInfo(name string, kind message) message {
	var info message
	info.text(1, name)
	info.bytes(2, kind)
	return info
}

// tensorType is a TypeProto of a tensor; without dimensions its shape is unknown.
func tensorType(t Type, dims []any) message {
	var shape, tensor, kind message
	for _, d := range dims {
		var dim message
		switch d := d.(type) {
		case int:
			dim.number(1, uint64(d))
		case string:
			dim.text(2, d)
		default:
			panic("onnxtest: a dimension is an int or a string")
		}
		shape.bytes(1, dim)
	}
	tensor.number(1, uint64(t))
	if dims != nil {
		tensor.bytes(2, shape)
	}
	kind.bytes(1, tensor)
	return kind
}

// message is a protobuf message being written.
type message []byte

func (m *message) number(field protowire.Number, v uint64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), v)
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }
