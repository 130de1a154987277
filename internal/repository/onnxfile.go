package repository

import (
	"errors"
	"fmt"
	"io"
	"path"
)

// Limits of parsing an ONNX file's structure: far above real vision models, and low enough that a hostile file costs little.
// Weights are skipped.
const (
	maxFields  = 4 << 20 // protobuf fields
	maxNesting = 64      // nested messages
	maxName    = 4096    // bytes of a name
	maxListed  = 4096    // files of external data
)

// onnxFile is the parsed structure of an ONNX file (a protobuf ModelProto of onnx.proto).
type onnxFile struct {
	size     int64
	external map[string]int64 // required size of each file of external data, by its location
	// quantized reports int8 weights and operators that multiply them as integers.
	quantized bool

	matMul bool   // has QLinearMatMul
	opset  uint64 // of the ONNX domain

	graph       bool
	operatorSet bool
	foreign     bool // has top-level fields that ONNX does not have
	integerOps  bool
	int8Weights bool
}

// The errors of parsing an ONNX file.
var (
	errNotONNX      = errors.New("is not an ONNX file")
	errTooManyParts = errors.New("has too many parts")
)

// truncatedError is the error of a file that ends too early.
type truncatedError struct{ have, want int64 }

// Error gives the size that the file has and needs.
func (e *truncatedError) Error() string {
	if e.want > e.have {
		return fmt.Sprintf("is truncated: it has %d bytes and needs at least %d", e.have, e.want)
	}
	return fmt.Sprintf("is truncated: it has %d bytes, without all parts of a model", e.have)
}

// damagedError is the error of a file that begins as an ONNX file but does not continue as one.
type damagedError struct{ at int64 }

// Error gives the offset.
func (e *damagedError) Error() string {
	return fmt.Sprintf("begins as an ONNX file but is damaged at byte %d", e.at)
}

// The parsed fields of onnx.proto, and protobuf's wire types.
const (
	modelProducer, modelGraph                        = 2, 7
	modelOperatorSet, modelFunctions                 = 8, 25
	setDomain, setVersion                            = 1, 2
	graphNode, graphInitializer                      = 1, 5
	functionNode                                     = 7
	nodeOperator, nodeAttribute                      = 4, 5
	attributeTensor, attributeGraph                  = 5, 6
	attributeTensors, attributeGraphs                = 10, 11
	tensorDims, tensorType, tensorExternal, tensorAt = 1, 2, 13, 14
	entryKey, entryValue                             = 1, 2
	wireVarint, wireFixed64, wireBytes, wireFixed32  = 0, 1, 2, 5
	elementInt8                                      = 3
	atExternal                                       = 1
)

// topLevel are the wire types of ModelProto's fields.
var topLevel = map[uint64]uint64{1: wireVarint, modelProducer: wireBytes, 3: wireBytes, 4: wireBytes, 5: wireVarint,
	6: wireBytes, modelGraph: wireBytes, modelOperatorSet: wireBytes, 14: wireBytes, 20: wireBytes, modelFunctions: wireBytes, 26: wireBytes}

// integerOps are operators that multiply uint8 or int8 activations by int8 weights. QuantizeLinear is one since ONNX Runtime
// fuses pairs with DequantizeLinear into such operators.
var integerOps = map[string]bool{"QLinearConv": true, "QLinearMatMul": true, "MatMulInteger": true, "ConvInteger": true,
	"QGemm": true, "QAttention": true, "MatMulIntegerToFloat": true, "DynamicQuantizeMatMul": true,
	"DynamicQuantizeLSTM": true, "QuantizeLinear": true, "DynamicQuantizeLinear": true}

// readONNX parses the structure of a file of size bytes. The error is errNotONNX, errTooManyParts (with the result up to there),
// a *truncatedError, a *damagedError, or that of r.
func readONNX(r io.ReaderAt, size int64) (*onnxFile, error) {
	f := &onnxFile{size: size, external: map[string]int64{}}
	c := &cursor{r: r, size: size, left: maxFields}
	known := 0
	for c.at < size {
		start := c.at
		number, length, err := c.field(size)
		wire, ours := topLevel[number]
		switch {
		case ours && wire == c.wire && (number != modelProducer || length <= maxName):
			known++
		case err == nil || ours:
			f.foreign = true
		}
		if err == nil {
			err = f.modelField(c, number, length)
		}
		if err != nil {
			return f, f.judge(err, known, start)
		}
	}
	f.quantized = f.integerOps && f.int8Weights
	if !f.graph || !f.operatorSet {
		return f, f.judge(&truncatedError{have: size}, known, size)
	}
	return f, nil
}

// judge tells a truncated or damaged file from one that never was an ONNX file by the number of its known fields.
func (f *onnxFile) judge(err error, known int, at int64) error {
	var cut *truncatedError
	foreign := known == 0 || f.foreign && !f.graph
	switch {
	case errors.As(err, &cut) && !foreign:
		return &truncatedError{have: f.size, want: cut.want}
	case errors.Is(err, errWire) && !foreign:
		return &damagedError{at}
	case errors.As(err, &cut), errors.Is(err, errWire):
		return errNotONNX
	}
	return err
}

func (f *onnxFile) modelField(c *cursor, number uint64, length int64) error {
	end := c.at + length
	if c.wire == wireBytes {
		switch number {
		case modelGraph:
			f.graph = true
			return c.message(end, 1, f.graphField)
		case modelOperatorSet:
			f.operatorSet = true
			var set setReader
			if err := c.message(end, 1, set.field); err != nil {
				return err
			}
			if set.domain == "" || set.domain == "ai.onnx" {
				f.opset = set.version
			}
		case modelFunctions:
			return c.message(end, 1, f.functionField)
		}
	}
	c.at = end
	return nil
}

// setReader parses an operator set.
type setReader struct {
	domain  string
	version uint64
}

func (s *setReader) field(c *cursor, number uint64, end int64, _ int) (err error) {
	switch number {
	case setDomain:
		s.domain, err = c.text(end)
	case setVersion:
		s.version = c.value
	}
	return err
}

func (f *onnxFile) functionField(c *cursor, number uint64, end int64, depth int) error {
	if number == functionNode {
		return c.message(end, depth, f.nodeField)
	}
	return nil
}

func (f *onnxFile) graphField(c *cursor, number uint64, end int64, depth int) error {
	switch number {
	case graphNode:
		return c.message(end, depth, f.nodeField)
	case graphInitializer:
		return f.tensor(c, end, depth)
	}
	return nil
}

func (f *onnxFile) nodeField(c *cursor, number uint64, end int64, depth int) error {
	switch number {
	case nodeOperator:
		name, err := c.text(end)
		f.integerOps = f.integerOps || integerOps[name]
		f.matMul = f.matMul || name == "QLinearMatMul"
		return err
	case nodeAttribute:
		return c.message(end, depth, f.attributeField)
	}
	return nil
}

func (f *onnxFile) attributeField(c *cursor, number uint64, end int64, depth int) error {
	switch number {
	case attributeTensor, attributeTensors:
		return f.tensor(c, end, depth)
	case attributeGraph, attributeGraphs:
		return c.message(end, depth, f.graphField)
	}
	return nil
}

// tensor parses a TensorProto up to end.
func (f *onnxFile) tensor(c *cursor, end int64, depth int) error {
	t := tensorReader{}
	if err := c.message(end, depth, t.field); err != nil {
		return err
	}
	f.int8Weights = f.int8Weights || t.element == elementInt8 && t.dims > 1
	if t.at != atExternal {
		return nil
	}
	location := path.Clean(t.location)
	if _, listed := f.external[location]; !listed && len(f.external) >= maxListed {
		return errTooManyParts
	}
	f.external[location] = max(f.external[location], t.offset+t.length)
	return nil
}

// tensorReader parses a tensor.
type tensorReader struct {
	dims           int
	element, at    uint64
	key            string
	location       string
	offset, length int64
}

func (t *tensorReader) field(c *cursor, number uint64, end int64, depth int) error {
	switch number {
	case tensorDims:
		n, err := c.count(end)
		t.dims += n
		return err
	case tensorType:
		t.element = c.value
	case tensorAt:
		t.at = c.value
	case tensorExternal:
		return c.message(end, depth, t.entry)
	}
	return nil
}

// entry parses a key or value of external_data; a key precedes its value.
func (t *tensorReader) entry(c *cursor, number uint64, end int64, _ int) error {
	text, err := c.text(end)
	switch {
	case err != nil:
		return err
	case number == entryKey:
		t.key = text
	case number == entryValue && t.key == "location":
		t.location = text
	case number == entryValue && t.key == "offset":
		t.offset = wholeBytes(text)
	case number == entryValue && t.key == "length":
		t.length = wholeBytes(text)
	}
	return nil
}
