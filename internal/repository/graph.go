package repository

import (
	"io"
	"slices"
)

// Graph is the structure of an ONNX file, as far as definitions are inferred from it.
type Graph struct {
	Producer, ProducerVersion string
	Metadata                  map[string]string   // metadata_props
	Inputs, Outputs           []TensorInfo        // as declared; inputs without initializers
	DimNames                  map[string][]string // names of the dimensions of inputs and outputs, empty where fixed or unnamed
	Ops                       map[string]int      // number of nodes, by operator
	// OutputOps are the operators that compute the outputs, behind operators that only move or convert values.
	OutputOps map[string]string
	// InputOps are the operators that each input goes through one after the other, up to the first with weights.
	InputOps map[string][]string
}

// Limits of a graph: far above those of vision models.
const (
	maxNodes    = 1 << 18
	maxMetadata = 1 << 20  // bytes of one value
	maxKept     = 64 << 20 // bytes of all names and metadata
	maxChain    = 64       // operators followed from an input or an output
)

// graphNode is one operator with the names of its tensors.
type graphNode struct {
	op      string
	in, out []string
}

// graphReader reads a Graph. Each method reads a message up to end.
type graphReader struct {
	cursor
	*Graph

	nodes  []graphNode
	inputs []TensorInfo
	// initializers are tensors with values in the file.
	initializers map[string]bool
	kept         int
}

// ReadGraph reads the structure of an ONNX file of size bytes; weights are skipped. It is meant for files that Entry.Weights
// accepts, and its errors are less precise.
func ReadGraph(r io.ReaderAt, size int64) (*Graph, error) {
	p := &graphReader{cursor: cursor{r: r, size: size, left: maxFields}, initializers: map[string]bool{},
		Graph: &Graph{Metadata: map[string]string{}, DimNames: map[string][]string{}, Ops: map[string]int{},
			OutputOps: map[string]string{}, InputOps: map[string][]string{}}}
	if err := p.fields(size, p.model); err != nil {
		return nil, err
	}
	p.Inputs = slices.DeleteFunc(p.inputs, func(t TensorInfo) bool { return p.initializers[t.Name] })
	p.trace()
	return p.Graph, nil
}

// fields calls read for each field with a length; read need not read all of it. Other fields are in p.value.
func (p *graphReader) fields(end int64, read func(number uint64, end int64) error) error {
	for p.at < end {
		number, length, err := p.field(end)
		if err != nil {
			return err
		}
		next := p.at + length
		if err := read(number, next); err != nil {
			return err
		}
		p.at = next
	}
	return nil
}

// keep reads text, which is empty for more than limit bytes.
func (p *graphReader) keep(end, limit int64) (string, error) {
	n := end - p.at
	if p.wire != wireBytes || n > limit {
		return "", nil
	}
	if p.kept += int(n); p.kept > maxKept {
		return "", errTooManyParts
	}
	text := make([]byte, 0, n)
	for p.at < end {
		b, err := p.ReadByte()
		if err != nil {
			return "", err
		}
		text = append(text, b)
	}
	return string(text), nil
}

// The numbers below are those of the fields in onnx.proto.

func (p *graphReader) model(number uint64, end int64) (err error) {
	switch {
	case number == modelProducer:
		p.Producer, err = p.keep(end, maxName)
	case number == 3:
		p.ProducerVersion, err = p.keep(end, maxName)
	case number == modelGraph && p.wire == wireBytes:
		err = p.fields(end, p.graph)
	case number == 14 && p.wire == wireBytes:
		var entry [2]string
		err = p.fields(end, func(number uint64, end int64) (err error) {
			if number == 1 || number == 2 {
				entry[number-1], err = p.keep(end, maxMetadata)
			}
			return err
		})
		p.Metadata[entry[0]] = entry[1]
	}
	return err
}

func (p *graphReader) graph(number uint64, end int64) (err error) {
	if p.wire != wireBytes {
		return nil
	}
	switch number {
	case 1:
		err = p.node(end)
	case 5:
		err = p.fields(end, func(number uint64, end int64) error {
			if number != 8 {
				return nil
			}
			name, err := p.keep(end, maxName)
			p.initializers[name] = true
			return err
		})
	case 11, 12:
		var t TensorInfo
		if t, err = p.tensorInfo(end); number == 11 {
			p.inputs = append(p.inputs, t)
		} else {
			p.Outputs = append(p.Outputs, t)
		}
	}
	return err
}

func (p *graphReader) node(end int64) error {
	var n graphNode
	err := p.fields(end, func(number uint64, end int64) error {
		if number != 1 && number != 2 && number != 4 {
			return nil
		}
		name, err := p.keep(end, maxName)
		switch number {
		case 1:
			n.in = append(n.in, name)
		case 2:
			n.out = append(n.out, name)
		default:
			n.op = name
		}
		return err
	})
	if len(p.nodes) >= maxNodes {
		return errTooManyParts
	}
	p.Ops[n.op]++
	p.nodes = append(p.nodes, n)
	return err
}

// elementTypes are the DTypes of TensorProto.DataType.
var elementTypes = map[uint64]DType{1: Float32, 2: Uint8, 3: Int8, 4: Uint16, 5: Int16, 6: Int32, 7: Int64, 8: "string",
	9: "bool", 10: Float16, 11: Float64, 12: Uint32, 13: Uint64, 16: "bfloat16"}

// containerTypes are the fields of TypeProto that are no tensor.
var containerTypes = map[uint64]DType{4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}

// tensorInfo reads a ValueInfoProto.
func (p *graphReader) tensorInfo(end int64) (t TensorInfo, err error) {
	var names []string
	err = p.fields(end, func(number uint64, end int64) (err error) {
		switch {
		case number == 1:
			t.Name, err = p.keep(end, maxName)
		case number == 2 && p.wire == wireBytes:
			err = p.fields(end, func(number uint64, end int64) error {
				if dtype, ok := containerTypes[number]; ok {
					t.DType = dtype
				}
				if number != 1 || p.wire != wireBytes {
					return nil
				}
				return p.fields(end, func(number uint64, end int64) error {
					switch {
					case number == 1:
						t.DType = elementTypes[p.value]
					case number == 2 && p.wire == wireBytes:
						return p.shape(end, &t.Shape, &names)
					}
					return nil
				})
			})
		}
		return err
	})
	p.DimNames[t.Name] = names
	return t, err
}

// shape reads a TensorShapeProto.
func (p *graphReader) shape(end int64, dims *[]int64, names *[]string) error {
	return p.fields(end, func(_ uint64, end int64) error {
		size, name := int64(-1), ""
		err := p.fields(end, func(number uint64, end int64) (err error) {
			switch {
			case number == 1 && p.wire == wireVarint && p.value < 1<<40:
				size = int64(p.value)
			case number == 2:
				name, err = p.keep(end, maxName)
			}
			return err
		})
		if size == 0 { // older exporters write an open size so
			size = -1
		}
		if len(*dims) >= maxChain {
			return errTooManyParts
		}
		*dims, *names = append(*dims, size), append(*names, name)
		return err
	})
}

// movers are operators that change no value.
var movers = []string{"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Gather", "Slice"}

// trace follows the outputs back and the inputs forth.
func (p *graphReader) trace() {
	maker, users := map[string]int{}, map[string][]int{}
	for i, n := range p.nodes {
		for _, name := range n.out {
			maker[name] = i
		}
		for _, name := range n.in {
			users[name] = append(users[name], i)
		}
	}
	for _, out := range p.Outputs {
		name := out.Name
		for range maxChain {
			at, made := maker[name]
			if !made {
				break
			}
			n := p.nodes[at]
			p.OutputOps[out.Name] = n.op
			if !slices.Contains(movers, n.op) || len(n.in) == 0 {
				break
			}
			name = n.in[0]
		}
	}
	weighted := []string{"Conv", "ConvInteger", "QLinearConv", "MatMul", "Gemm", "Loop", "If"}
	for _, in := range p.Inputs {
		name := in.Name
		for range maxChain {
			i := slices.IndexFunc(users[name], func(i int) bool { return p.nodes[i].op != "Shape" })
			if i < 0 {
				break
			}
			n := p.nodes[users[name][i]]
			p.InputOps[in.Name] = append(p.InputOps[in.Name], n.op)
			if slices.Contains(weighted, n.op) || len(n.out) == 0 {
				break
			}
			name = n.out[0]
		}
	}
}
