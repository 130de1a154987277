package resnet

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"fovea/internal/float16"
	"fovea/internal/repository"
)

// The numbers of fields and types are those of onnx.proto (onnx 1.23).
const (
	irVersion = 8
	opset     = 17

	attributeFloat, attributeInt, attributeInts = 1, 2, 7
)

var elementType = map[repository.DType]uint64{repository.Float32: 1, repository.Uint8: 2, repository.Int64: 7, repository.Float16: 10}

// message is a protobuf message being written.
type message []byte

func (m *message) number(field protowire.Number, v uint64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), v)
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) text(field protowire.Number, v string) { m.bytes(field, []byte(v)) }

// graph is a GraphProto being written.
type graph struct {
	message
	nodes int
}

// node adds one node with one output, which it returns. Attributes are int64, []int64 and float32.
func (g *graph) node(op string, inputs []string, attributes map[string]any, order ...string) string {
	var n message
	for _, input := range inputs {
		n.text(1, input)
	}
	g.nodes++
	output := fmt.Sprintf("%s_%d", op, g.nodes)
	n.text(2, output)
	n.text(3, output)
	n.text(4, op)
	for _, name := range order {
		n.bytes(5, attribute(name, attributes[name]))
	}
	g.bytes(1, n)
	return output
}

func attribute(name string, value any) []byte {
	var a message
	a.text(1, name)
	switch v := value.(type) {
	case float32:
		a = protowire.AppendFixed32(protowire.AppendTag(a, 2, protowire.Fixed32Type), math.Float32bits(v))
		a.number(20, attributeFloat)
	case int64:
		a.number(3, uint64(v))
		a.number(20, attributeInt)
	case []int64:
		for _, i := range v {
			a.number(8, uint64(i))
		}
		a.number(20, attributeInts)
	}
	return a
}

// constant adds an initializer of float32 or float16.
func (g *graph) constant(t tensor, dtype repository.DType) string {
	var m message
	for _, d := range t.shape {
		m.number(1, uint64(d))
	}
	m.number(2, elementType[dtype])
	m.text(8, t.name)
	raw := make([]byte, 0, len(t.values)*dtype.Size())
	for _, v := range t.values {
		if dtype == repository.Float16 {
			raw = binary.LittleEndian.AppendUint16(raw, float16.Bits(v))
		} else {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	m.bytes(9, raw)
	g.bytes(5, m)
	return t.name
}

// value is a ValueInfoProto: a tensor whose first dimension is the batch.
func value(name string, dtype repository.DType, shape ...int64) []byte {
	var dims message
	var batch message
	batch.text(2, "batch")
	dims.bytes(1, batch)
	for _, d := range shape {
		var dim message
		dim.number(1, uint64(d))
		dims.bytes(1, dim)
	}
	var tensorType, valueType, v message
	tensorType.number(1, elementType[dtype])
	tensorType.bytes(2, dims)
	valueType.bytes(1, tensorType)
	v.text(1, name)
	v.bytes(2, valueType)
	return v
}
