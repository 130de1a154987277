package repository

import (
	"errors"
	"fmt"
	"io"
	"path"
)

// Bounds of reading an ONNX file's structure: far above real models of images, and low enough that a file made for it
// costs little. Weights are skipped, not read.
const (
	maxFields  = 4 << 20 // protobuf fields looked at
	maxNesting = 64      // messages in messages
	maxName    = 4096    // bytes of a name
	maxListed  = 4096    // files of external data
)

// onnxFile is what the structure of an ONNX file (a protobuf ModelProto of onnx.proto) says about it.
type onnxFile struct {
	size     int64
	external map[string]int64 // bytes that each file of external data must have, by its location
	// quantized says that the file has weights of int8, and operators that multiply them as whole numbers.
	quantized bool

	matMul bool   // it has QLinearMatMul
	opset  uint64 // of the domain of ONNX

	graph       bool
	operatorSet bool
	foreign     bool // it has top-level fields that ONNX does not have
	integerOps  bool
	int8Weights bool
}

// The reasons why a file is no whole ONNX file.
var (
	errNoONNX  = errors.New("is no ONNX file")
	errStopped = errors.New("has more parts than are looked at")
)

// cutError says that a file ends before what it began.
type cutError struct{ have, want int64 }

// Error says how much is there and how much more is wanted.
func (e *cutError) Error() string {
	if e.want > e.have {
		return fmt.Sprintf("is cut short: %d bytes are there, and what they say makes at least %d", e.have, e.want)
	}
	return fmt.Sprintf("is cut short: %d bytes are there, without all that a model has", e.have)
}

// damagedError says that a file begins as an ONNX file and goes on as none.
type damagedError struct{ at int64 }

// Error says where.
func (e *damagedError) Error() string {
	return fmt.Sprintf("begins as an ONNX file, but is damaged at byte %d", e.at)
}

// The fields of onnx.proto that are read, and the wire types of protobuf.
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

// integerOps are operators that multiply uint8 or int8 activations by int8 weights; QuantizeLinear stands for the
// pairs with DequantizeLinear that ONNX Runtime makes such operators of.
var integerOps = map[string]bool{"QLinearConv": true, "QLinearMatMul": true, "MatMulInteger": true, "ConvInteger": true,
	"QGemm": true, "QAttention": true, "MatMulIntegerToFloat": true, "DynamicQuantizeMatMul": true,
	"DynamicQuantizeLSTM": true, "QuantizeLinear": true, "DynamicQuantizeLinear": true}

// readONNX reads the structure of the file of size bytes behind r. The error is errNoONNX, errStopped (the result is
// then of the part that was read), a *cutError, a *damagedError, or r's.
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
		return f, f.judge(&cutError{have: size}, known, size)
	}
	return f, nil
}

// judge tells a file that is cut or damaged from one that never was an ONNX file, by how many fields of one it has.
func (f *onnxFile) judge(err error, known int, at int64) error {
	var cut *cutError
	foreign := known == 0 || f.foreign && !f.graph
	switch {
	case errors.As(err, &cut) && !foreign:
		return &cutError{have: f.size, want: cut.want}
	case errors.Is(err, errWire) && !foreign:
		return &damagedError{at}
	case errors.As(err, &cut), errors.Is(err, errWire):
		return errNoONNX
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

// setReader keeps what is told of one operator set.
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

// tensor reads a TensorProto up to end.
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
		return errStopped
	}
	f.external[location] = max(f.external[location], t.offset+t.length)
	return nil
}

// tensorReader keeps what is told of one tensor.
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

// entry reads one key and value of external_data; keys come before their values.
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
