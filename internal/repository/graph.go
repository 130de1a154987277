package repository

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"fovea/internal/float16"
)

// Graph is the structure of an ONNX file.
type Graph struct {
	Producer, ProducerVersion string
	Metadata                  map[string]string   // metadata_props
	Inputs, Outputs           []TensorInfo        // as declared; inputs without initializers
	DimNames                  map[string][]string // names of the dimensions of inputs and outputs, empty where fixed
	Ops                       map[string]int      // number of nodes, by operator, those of subgraphs included
	// OutputOps are the operators that compute the outputs, behind operators that only move or convert values.
	OutputOps map[string]string
	// Stems are the operators that each input passes through first, in order, up to the first that does more than
	// move, convert, shift or scale values. That one is the last.
	Stems map[string][]Step
	// ZipMaps are the outputs that are maps of scores, by their names. Outputs has the scores instead, as [-1,classes].
	ZipMaps map[string]ZipMap
}

// Step is an operator of a stem.
type Step struct {
	Op     string
	Values []float64 // of Sub, Div, Mul and Add: the constant operand, if it has at most 16 values
}

// Limits of what is kept of a file.
const (
	maxNodes    = 1 << 18
	maxKept     = 32 << 20 // bytes of names and metadata
	maxMetadata = 8 << 20  // bytes of one value of the metadata; a longer one is left out
	maxRank     = 64
	maxValues   = 16 // of a constant
	maxStem     = 32 // operators
)

// moving are the operators that only move or convert values.
var moving = map[string]bool{"Identity": true, "Cast": true, "CastLike": true, "Reshape": true, "Flatten": true, "Squeeze": true,
	"Unsqueeze": true, "Transpose": true, "Dropout": true, "QuantizeLinear": true, "DequantizeLinear": true, "Concat": true,
	zipMapOp: true}

// shifting are the operators that shift or scale values, or move them as they do in preprocessing.
var shifting = map[string]bool{"Sub": true, "Div": true, "Mul": true, "Add": true, "Slice": true, "Gather": true, "Split": true,
	"Pad": true, "Resize": true, "Upsample": true, "Clip": true, "SplitToSequence": true, "SequenceAt": true}

var arithmetic = map[string]bool{"Sub": true, "Div": true, "Mul": true, "Add": true}

// ReadGraph parses the structure of an ONNX file of size bytes. Weights are skipped.
func ReadGraph(r io.ReaderAt, size int64) (*Graph, error) {
	p := newGraphParser(r, size)
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.structure.finish(), nil
}

// newGraphParser returns a parser with a structure.
func newGraphParser(r io.ReaderAt, size int64) *parser {
	p := newParser(r, size)
	p.structure = &structure{graph: Graph{Metadata: map[string]string{}, DimNames: map[string][]string{}, Ops: map[string]int{},
		OutputOps: map[string]string{}, Stems: map[string][]Step{}, ZipMaps: map[string]ZipMap{}},
		left: maxKept, weights: map[string]bool{}, constants: map[string][]float64{}}
	return p
}

// structure collects a Graph while a file is parsed.
type structure struct {
	graph     Graph
	left      int // bytes that may still be kept
	weights   map[string]bool
	constants map[string][]float64
	nodes     []node // of the main graph

	open     []node // nodes being parsed, the innermost last
	function bool   // within a function
	info     TensorInfo
	dims     []string
	key      string // of the entry of metadata being parsed
	entry    string
	long     bool // the value is left out
}

type node struct {
	op     string
	in     []string
	out    []string
	values []float64 // of a Constant
	labels []string  // of a ZipMap
	named  bool      // the labels are texts
}

// The depths of messages that belong to the main graph, and of the tensor of a Constant.
const mainDepth, constantDepth = 2, 4

func (s *structure) begin(kind message) {
	switch kind {
	case functionMessage:
		s.function = true
	case nodeMessage:
		s.open = append(s.open, node{})
	case inputMessage, outputMessage:
		s.info, s.dims = TensorInfo{}, nil
	case shapeMessage:
		s.info.Shape, s.dims = []int64{}, []string{}
	case dimensionMessage:
		if len(s.dims) <= maxRank {
			s.info.Shape, s.dims = append(s.info.Shape, -1), append(s.dims, "")
		}
	case metadataMessage:
		s.key, s.entry, s.long = "", "", false
	}
}

// keep reads a text that is kept.
func (s *structure) keep(p *parser, end int64) (string, error) {
	text, err := p.text(end)
	if s.left -= len(text); s.left < 0 {
		return "", errTooManyParts
	}
	return text, err
}

// value reads a field that is not a message.
func (s *structure) value(p *parser, in message, number uint64, end int64) (err error) {
	switch in {
	case modelMessage:
		switch number {
		case modelProducer:
			s.graph.Producer, err = s.keep(p, end)
		case modelProducerVersion:
			s.graph.ProducerVersion, err = s.keep(p, end)
		}
	case nodeMessage:
		return s.nodeValue(p, number, end)
	case attributeMessage:
		return s.attributeValue(p, number, end)
	case inputMessage, outputMessage:
		if number == 1 {
			s.info.Name, err = s.keep(p, end)
		}
	case typeMessage:
		if kind, ok := map[uint64]DType{4: "sequence", 5: "map", 8: "sparse", 9: "optional"}[number]; ok {
			s.info.DType = kind
		}
	case tensorTypeMessage:
		if number == 1 {
			s.info.DType = elementType(p.value)
		}
	case dimensionMessage:
		return s.dimension(p, number, end)
	case metadataMessage:
		return s.metadata(p, number, end)
	case tensorMessage:
		return s.tensorValue(p, number, end)
	}
	return err
}

func (s *structure) nodeValue(p *parser, number uint64, end int64) error {
	n := &s.open[len(s.open)-1]
	if number != 1 && number != 2 && number != 4 {
		return nil
	}
	text, err := s.keep(p, end)
	switch number {
	case 1:
		n.in = append(n.in, text)
	case 2:
		n.out = append(n.out, text)
	case 4:
		n.op = text
	}
	return err
}

func (s *structure) dimension(p *parser, number uint64, end int64) (err error) {
	if len(s.dims) == 0 {
		return nil
	}
	last := len(s.dims) - 1
	switch number {
	case 1:
		if n := int64(p.value); n > 0 {
			s.info.Shape[last] = n
		}
	case 2:
		s.dims[last], err = s.keep(p, end)
	}
	return err
}

func (s *structure) metadata(p *parser, number uint64, end int64) (err error) {
	switch {
	case number == 1:
		s.key, err = s.keep(p, end)
	case number == 2 && end-p.at > maxMetadata:
		s.long = true
	case number == 2:
		if s.left -= int(end - p.at); s.left < 0 {
			return errTooManyParts
		}
		s.entry, err = p.whole(end)
	}
	return err
}

// whole reads the bytes up to end.
func (c *cursor) whole(end int64) (string, error) {
	data := make([]byte, max(0, end-c.at))
	n, err := c.r.ReadAt(data, c.at)
	if n == len(data) {
		return string(data), nil
	}
	if err == io.EOF {
		err = &truncatedError{end}
	}
	return "", err
}

// tensorValue keeps the names of weights and the values of small ones.
func (s *structure) tensorValue(p *parser, number uint64, end int64) (err error) {
	t := &p.tensor
	const floatData, name, rawData, doubleData = 4, 8, 9, 10
	switch {
	case number == name:
		t.name, err = s.keep(p, end)
	case number == rawData && end-p.at <= 8*maxValues, p.wire == wireBytes && (number == floatData && end-p.at <= 4*maxValues ||
		number == doubleData && end-p.at <= 8*maxValues):
		var text string
		text, err = p.text(end)
		t.raw = []byte(text)
	}
	return err
}

// floats decodes a small tensor of real numbers; nil for others.
func (t *tensor) floats() (values []float64) {
	width := map[DType]int{Float32: 4, Float16: 2, Float64: 8}[elementType(t.element)]
	if width == 0 || len(t.raw) == 0 || len(t.raw)%width != 0 || len(t.raw)/width > maxValues {
		return nil
	}
	for at := range slices.Chunk(t.raw, width) {
		switch width {
		case 2:
			values = append(values, float64(float16.Value(binary.LittleEndian.Uint16(at))))
		case 4:
			values = append(values, float64(math.Float32frombits(binary.LittleEndian.Uint32(at))))
		case 8:
			values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(at)))
		}
	}
	return values
}

// end takes a message that is complete.
func (s *structure) end(p *parser, kind message, depth int) error {
	inMain := depth == mainDepth && !s.function
	switch kind {
	case functionMessage:
		s.function = false
	case nodeMessage:
		n := s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
		s.graph.Ops[n.op]++
		if inMain {
			return s.addNode(n)
		}
	case inputMessage, outputMessage:
		if len(s.dims) > maxRank || len(s.graph.Inputs)+len(s.graph.Outputs) > maxNodes {
			return errTooManyParts
		}
		if list := map[message]*[]TensorInfo{inputMessage: &s.graph.Inputs, outputMessage: &s.graph.Outputs}[kind]; inMain {
			*list = append(*list, s.info)
			s.graph.DimNames[s.info.Name] = s.dims
		}
	case tensorMessage:
		s.addTensor(&p.tensor, inMain, depth)
	case metadataMessage:
		if !s.long {
			s.graph.Metadata[s.key] = s.entry
		}
	}
	return nil
}

func (s *structure) addNode(n node) error {
	if len(s.nodes) >= maxNodes {
		return errTooManyParts
	}
	if n.op == "Constant" && len(n.out) > 0 {
		s.constants[n.out[0]] = n.values
	}
	s.nodes = append(s.nodes, n)
	return nil
}

func (s *structure) addTensor(t *tensor, inMain bool, depth int) {
	switch {
	case inMain:
		s.weights[t.name] = true
		if values := t.floats(); values != nil && !t.isExternal {
			s.constants[t.name] = values
		}
	case depth == constantDepth && len(s.open) == 1:
		s.open[0].values = t.floats()
	}
}

// finish returns the graph when the file has been parsed.
func (s *structure) finish() *Graph {
	g := &s.graph
	g.Inputs = slices.DeleteFunc(g.Inputs, func(t TensorInfo) bool { return s.weights[t.Name] })
	makers, users := map[string]*node{}, map[string]*node{}
	for i := range s.nodes {
		n := &s.nodes[i]
		for _, out := range n.out {
			makers[out] = n
		}
		for _, in := range n.in {
			if users[in] == nil && n.op != "Shape" {
				users[in] = n
			}
		}
	}
	s.zipMaps(makers)
	for _, out := range g.Outputs {
		g.OutputOps[out.Name] = madeBy(makers, out.Name)
	}
	for _, in := range g.Inputs {
		g.Stems[in.Name] = s.stem(users, in.Name)
	}
	return g
}

// madeBy returns the operator that computes a value.
func madeBy(makers map[string]*node, name string) string {
	op := ""
	for range maxStem {
		n := makers[name]
		if n == nil {
			break
		}
		op = n.op
		joins := n.op == "Concat" && len(n.in) > 1
		if !moving[n.op] || joins || len(n.in) == 0 {
			break
		}
		name = n.in[0]
	}
	return op
}

func (s *structure) stem(users map[string]*node, name string) (steps []Step) {
	for range maxStem {
		n := users[name]
		if n == nil {
			break
		}
		step := Step{Op: n.op}
		for _, in := range n.in {
			if in != name && len(step.Values) == 0 && arithmetic[n.op] {
				step.Values = s.constants[in]
			}
		}
		steps = append(steps, step)
		if !moving[n.op] && !shifting[n.op] || len(n.out) == 0 {
			break
		}
		name = n.out[0]
	}
	return steps
}

// elementType names a TensorProto.DataType of onnx.proto.
func elementType(number uint64) DType {
	names := [...]DType{1: Float32, 2: Uint8, 3: Int8, 4: Uint16, 5: Int16, 6: Int32, 7: Int64, 8: String, 9: Bool, 10: Float16,
		11: Float64, 12: Uint32, 13: Uint64, 14: "complex64", 15: "complex128", 16: BFloat16}
	if number < uint64(len(names)) && names[number] != "" {
		return names[number]
	}
	return DType(fmt.Sprintf("type %d", number))
}
