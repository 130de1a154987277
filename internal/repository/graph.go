package repository

import "io"

// maxMetadata is the size of a value of metadata_props.
const maxMetadata = 4 << 20

// Elements of onnx.proto's TensorProto.DataType, by their number.
var elementTypes = map[uint64]DType{1: Float32, 2: Uint8, 3: Int8, 4: Uint16, 5: Int16, 6: Int32, 7: Int64, 8: "string", 9: "bool",
	10: Float16, 11: Float64, 12: Uint32, 13: Uint64}

// ReadGraph reads the structure of an ONNX file.
func ReadGraph(r io.ReaderAt, size int64) (*Graph, error) {
	g := &graphReader{cursor{r: r, size: size, left: maxFields}, &Graph{Metadata: map[string]string{}, DimNames: map[string][]string{},
		Ops: map[string]int{}, OutputOps: map[string]string{}}}
	err := g.each(size, func(number uint64, end int64) (err error) {
		switch number {
		case modelProducer:
			g.graph.Producer, err = g.text(end)
		case 3:
			g.graph.ProducerVersion, err = g.text(end)
		case modelGraph:
			err = g.each(end, g.graphField)
		case 14:
			err = g.metadata(end)
		}
		return err
	})
	return g.graph, err
}

// graphReader reads a Graph.
type graphReader struct {
	cursor
	graph *Graph
}

// each calls f for the fields with a length or a number up to end, and skips what f does not read.
func (g *graphReader) each(end int64, f func(number uint64, end int64) error) error {
	for g.at < end {
		number, length, err := g.field(end)
		if err != nil {
			return err
		}
		next := g.at + length
		if err := f(number, next); err != nil {
			return err
		}
		g.at = next
	}
	return nil
}

func (g *graphReader) graphField(number uint64, end int64) error {
	switch number {
	case 1:
		return g.each(end, func(number uint64, end int64) error {
			if number != 4 {
				return nil
			}
			op, err := g.text(end)
			g.graph.Ops[op]++
			return err
		})
	case 11, 12:
		t, err := g.value(end)
		if number == 11 {
			g.graph.Inputs = append(g.graph.Inputs, t)
		} else {
			g.graph.Outputs = append(g.graph.Outputs, t)
		}
		return err
	}
	return nil
}

// value reads a ValueInfoProto: its name, and the element type and shape of its tensor.
func (g *graphReader) value(end int64) (t TensorInfo, err error) {
	var names []string
	err = g.each(end, func(number uint64, end int64) (err error) {
		switch number {
		case 1:
			t.Name, err = g.text(end)
		case 2:
			err = g.each(end, func(number uint64, end int64) error {
				if number != 1 {
					return nil
				}
				return g.each(end, func(number uint64, end int64) error {
					switch number {
					case 1:
						t.DType = elementTypes[g.cursor.value]
					case 2:
						return g.each(end, func(_ uint64, end int64) error {
							size, name, err := g.dimension(end)
							t.Shape, names = append(t.Shape, size), append(names, name)
							return err
						})
					}
					return nil
				})
			})
		}
		return err
	})
	g.graph.DimNames[t.Name] = names
	return t, err
}

func (g *graphReader) dimension(end int64) (size int64, name string, err error) {
	size = -1
	err = g.each(end, func(number uint64, end int64) (err error) {
		switch number {
		case 1:
			size = int64(g.cursor.value)
		case 2:
			name, err = g.text(end)
		}
		return err
	})
	return size, name, err
}

func (g *graphReader) metadata(end int64) error {
	var pair [3]string
	err := g.each(end, func(number uint64, end int64) error {
		if number > 2 || end-g.at > maxMetadata {
			return nil
		}
		text := make([]byte, 0, end-g.at)
		for g.at < end {
			b, err := g.ReadByte()
			if err != nil {
				return err
			}
			text = append(text, b)
		}
		pair[number] = string(text)
		return nil
	})
	g.graph.Metadata[pair[1]] = pair[2]
	return err
}
