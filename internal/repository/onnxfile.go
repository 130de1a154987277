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
	external map[string]int64 // required size of each file of external data, by its location
	// quantized reports int8 weights and operators that multiply them as integers.
	quantized bool

	matMul    bool   // has QLinearMatMul
	onnxOpset uint64 // of the ONNX domain

	graph       bool
	operatorSet bool
	foreign     bool // has top-level fields that ONNX does not have
	integerOps  bool
	int8Weights bool
	wideInt8    bool // has int8 weights beyond 7 bits, or ones of unknown values
}

// The errors of parsing an ONNX file.
var (
	errNotONNX      = errors.New("is not an ONNX file")
	errTooManyParts = errors.New("has too many parts")
)

// truncatedError is the error of a file that ends too early.
type truncatedError struct{ want int64 } // bytes that it needs at least, as far as is known

// Error is completed by judge.
func (*truncatedError) Error() string { return "is truncated" }

// Protobuf's wire types.
const wireVarint, wireFixed64, wireBytes, wireFixed32 = 0, 1, 2, 5

// The numbers of fields of ModelProto.
const modelProducer, modelProducerVersion, modelGraph, modelOpset, modelMetadata = 2, 3, 7, 8, 14

// topLevel are the wire types of ModelProto's fields.
var topLevel = map[uint64]uint64{1: wireVarint, modelProducer: wireBytes, modelProducerVersion: wireBytes, 4: wireBytes, 5: wireVarint,
	6: wireBytes, modelGraph: wireBytes, modelOpset: wireBytes, modelMetadata: wireBytes, 20: wireBytes, 25: wireBytes, 26: wireBytes}

// message is a kind of message of onnx.proto that is parsed; 0: any other.
type message int

const (
	modelMessage message = iota + 1
	graphMessage
	nodeMessage
	attributeMessage
	tensorMessage
	externalMessage // an entry of a tensor's external_data
	opsetMessage
	functionMessage
	metadataMessage // an entry of the model's metadata_props
	inputMessage    // ValueInfoProto
	outputMessage   // ValueInfoProto
	typeMessage
	tensorTypeMessage
	shapeMessage
	dimensionMessage
)

// nested are the fields, by their number, that are such messages.
var nested = [dimensionMessage + 1][32]message{
	modelMessage:     {modelGraph: graphMessage, modelOpset: opsetMessage, modelMetadata: metadataMessage, 25: functionMessage},
	graphMessage:     {1: nodeMessage, 5: tensorMessage, 11: inputMessage, 12: outputMessage},
	nodeMessage:      {5: attributeMessage},
	attributeMessage: {5: tensorMessage, 6: graphMessage, 10: tensorMessage, 11: graphMessage},
	tensorMessage:    {13: externalMessage},
	functionMessage:  {7: nodeMessage},

	inputMessage: {2: typeMessage}, outputMessage: {2: typeMessage},
	typeMessage: {1: tensorTypeMessage}, tensorTypeMessage: {2: shapeMessage}, shapeMessage: {1: dimensionMessage},
}

// integerOps are operators that multiply uint8 or int8 activations by int8 weights. QuantizeLinear is one since ONNX Runtime
// fuses pairs with DequantizeLinear into such operators.
var integerOps = map[string]bool{"QLinearConv": true, "QLinearMatMul": true, "MatMulInteger": true, "ConvInteger": true,
	"QGemm": true, "QAttention": true, "MatMulIntegerToFloat": true, "DynamicQuantizeMatMul": true,
	"DynamicQuantizeLSTM": true, "QuantizeLinear": true, "DynamicQuantizeLinear": true}

// parser parses an ONNX file.
type parser struct {
	cursor
	onnxFile
	opset  opset    // the one being parsed
	tensor tensor   // the one being parsed
	node   nodeHead // the one being parsed
	zeros  zeroPoints

	structure *structure // nil: only the rest is needed
}

type opset struct {
	domain  string
	version uint64
}

type tensor struct {
	dims           int
	element        uint64
	location       string
	offset, length int64
	isExternal     bool
	key            string // of the last entry of external_data; it precedes the value
	label          string // its name, with one dimension at most
	at, end        int64  // of raw_data in the file; 0: none

	name string // with a structure
	raw  []byte // with a structure: the values of a small tensor
}

// readONNX parses the structure of a file of size bytes. The error is errNotONNX, errTooManyParts (with the result up to there),
// that of r, or says that the file is truncated or damaged.
func readONNX(r io.ReaderAt, size int64) (*onnxFile, error) {
	p := newParser(r, size)
	err := p.parse()
	return &p.onnxFile, err
}

func newParser(r io.ReaderAt, size int64) *parser {
	return &parser{cursor: cursor{r: r, size: size, left: maxFields}, onnxFile: onnxFile{external: map[string]int64{}}}
}

func (p *parser) parse() error {
	known, size := 0, p.size
	for p.at < size {
		start := p.at
		number, length, err := p.field(size)
		wire, ours := topLevel[number]
		switch {
		case ours && wire == p.wire && (number != modelProducer || length <= maxName):
			known++
		case err == nil || ours:
			p.foreign = true
		}
		if err == nil {
			p.graph = p.graph || number == modelGraph && p.wire == wireBytes
			p.operatorSet = p.operatorSet || number == modelOpset && p.wire == wireBytes
			err = p.parseField(modelMessage, number, p.at+length, 0)
		}
		if err != nil {
			return p.judge(err, known, start)
		}
	}
	p.quantized = p.integerOps && p.int8Weights
	p.wideInt8 = p.wideInt8 || p.matMul || p.zeros.mayBeInt8()
	if !p.graph || !p.operatorSet {
		return p.judge(&truncatedError{}, known, size)
	}
	return nil
}

// judge tells a truncated or damaged file from one that never was an ONNX file by the number of its known fields.
func (p *parser) judge(err error, known int, at int64) error {
	var cut *truncatedError
	foreign := known == 0 || p.foreign && !p.graph
	switch {
	case errors.As(err, &cut) && !foreign:
		needs := ", without all parts of a model"
		if cut.want > p.size {
			needs = fmt.Sprintf(" and needs at least %d", cut.want)
		}
		return fmt.Errorf("is truncated: it has %d bytes%s; %s", p.size, needs, copyAgain)
	case errors.Is(err, errWire) && !foreign:
		return fmt.Errorf("begins as an ONNX file but is damaged at byte %d; %s", at, copyAgain)
	case errors.As(err, &cut), errors.Is(err, errWire):
		return errNotONNX
	}
	return err
}

// parseField parses a field up to end, of a message in depth others, and skips what is not needed of it.
func (p *parser) parseField(in message, number uint64, end int64, depth int) (err error) {
	inner := nested[in][min(number, 31)]
	switch {
	case p.wire == wireBytes && inner != 0:
		err = p.parseMessage(inner, end, depth+1)
	case p.wire == wireBytes, p.wire == wireVarint:
		at := p.at
		err = p.parseValue(in, number, end)
		if p.structure != nil && err == nil {
			p.at = at
			err = p.structure.value(p, in, number, end)
		}
	}
	p.at = end
	return err
}

func (p *parser) parseMessage(kind message, end int64, depth int) error {
	if depth > maxNesting {
		return errTooManyParts
	}
	switch kind {
	case tensorMessage:
		p.tensor = tensor{}
	case opsetMessage:
		p.opset = opset{}
	case nodeMessage:
		defer func(outer nodeHead) { p.node = outer }(p.node) // a node of a loop's body is inside another
		p.node = nodeHead{}
	}
	if p.structure != nil {
		p.structure.begin(kind)
	}
	for p.at < end {
		number, length, err := p.field(end)
		if err != nil {
			return err
		}
		if err := p.parseField(kind, number, p.at+length, depth); err != nil {
			return err
		}
	}
	if p.structure != nil {
		if err := p.structure.end(p, kind, depth); err != nil {
			return err
		}
	}
	switch {
	case kind == tensorMessage:
		return p.addTensor()
	case kind == nodeMessage:
		p.zeros.addNode(p.node)
	case kind == opsetMessage && (p.opset.domain == "" || p.opset.domain == "ai.onnx"):
		p.onnxOpset = p.opset.version
	}
	return nil
}

// parseValue parses a field that is not a message.
func (p *parser) parseValue(in message, number uint64, end int64) (err error) {
	type field struct {
		message
		number uint64
	}
	var text string
	switch (field{in, number}) {
	case field{nodeMessage, 1}: // input
		if p.node.inputs++; p.node.inputs == 3 {
			p.node.third, err = p.text(end)
		}
	case field{nodeMessage, 4}: // op_type
		text, err = p.text(end)
		p.node.op = text
		p.integerOps = p.integerOps || integerOps[text]
		p.matMul = p.matMul || text == "QLinearMatMul"
	case field{opsetMessage, 1}:
		p.opset.domain, err = p.text(end)
	case field{opsetMessage, 2}:
		p.opset.version = p.value
	case field{tensorMessage, 1}:
		var n int
		n, err = p.count(end)
		p.tensor.dims += n
	case field{tensorMessage, 2}: // data_type
		p.tensor.element = p.value
	case field{tensorMessage, 8}: // name
		if p.tensor.dims <= 1 {
			p.tensor.label, err = p.text(end)
		}
	case field{tensorMessage, 9}: // raw_data
		p.tensor.at, p.tensor.end = p.at, end
	case field{tensorMessage, 14}: // data_location
		p.tensor.isExternal = p.value == 1
	case field{externalMessage, 1}:
		p.tensor.key, err = p.text(end)
	case field{externalMessage, 2}:
		text, err = p.text(end)
		p.tensor.setExternal(text)
	}
	return err
}

// setExternal sets what the last key of external_data names.
func (t *tensor) setExternal(value string) {
	switch t.key {
	case "location":
		t.location = value
	case "offset":
		t.offset = wholeBytes(value)
	case "length":
		t.length = wholeBytes(value)
	}
}

// addTensor records what matters of a parsed tensor.
func (p *parser) addTensor() error {
	t := &p.tensor
	if t.element == int8Element && t.dims > 1 {
		p.int8Weights = true
		if err := p.readInt8(t); err != nil {
			return err
		}
	}
	p.zeros.addTensor(t)
	if !t.isExternal {
		return nil
	}
	location := path.Clean(t.location)
	if _, listed := p.external[location]; !listed && len(p.external) >= maxListed {
		return errTooManyParts
	}
	p.external[location] = max(p.external[location], t.offset+t.length)
	return nil
}
