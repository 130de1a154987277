package repository

import (
	"slices"
	"strconv"
)

// ZipMap is an operator of ai.onnx.ml that ends classifiers of scikit-learn's converter and of Custom Vision: it turns the
// scores [n,classes] into a sequence of n maps from a class's label to its score.
type ZipMap struct {
	Scores string   // the tensor of scores, which is no output itself
	Labels []string // of the classes; nil: unknown
	Named  bool     // the labels are texts, not numbers
}

const zipMapOp = "ZipMap"

// zipMaps finds the outputs that are maps of scores, and describes them by their scores.
func (s *structure) zipMaps(makers map[string]*node) {
	g := &s.graph
	for i, out := range g.Outputs {
		n := makers[out.Name]
		for range maxStem {
			if n == nil || n.op != "Identity" || len(n.in) == 0 {
				break
			}
			n = makers[n.in[0]]
		}
		if n == nil || n.op != zipMapOp || len(n.in) != 1 || makers[n.in[0]] == nil || find(g.Outputs, n.in[0]) >= 0 {
			continue
		}
		classes := int64(-1)
		if len(n.labels) > 0 {
			classes = int64(len(n.labels))
		}
		g.ZipMaps[out.Name] = ZipMap{Scores: n.in[0], Labels: n.labels, Named: n.named}
		g.Outputs[i] = TensorInfo{Name: out.Name, DType: Float32, Shape: []int64{-1, classes}}
		g.DimNames[out.Name] = []string{"", ""}
	}
}

// attributeValue keeps the labels of a ZipMap, its only attribute: classlabels_int64s or classlabels_strings.
func (s *structure) attributeValue(p *parser, number uint64, end int64) error {
	const ints, texts = 8, 9
	if len(s.open) == 0 || s.open[len(s.open)-1].op != zipMapOp || number != ints && number != texts {
		return nil
	}
	n := &s.open[len(s.open)-1]
	add := func(label string) error {
		if s.left -= len(label) + 1; s.left < 0 || len(n.labels) >= MaxLabels {
			return errTooManyParts
		}
		n.labels = append(n.labels, label)
		return nil
	}
	switch {
	case number == texts:
		text, err := s.keep(p, end)
		n.named = true
		if err != nil {
			return err
		}
		return add(text)
	case p.wire == wireVarint:
		return add(strconv.FormatInt(int64(p.value), 10))
	}
	for p.at < end { // packed
		v, err := p.varint()
		if err == nil {
			err = add(strconv.FormatInt(int64(v), 10))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MoreOutputs returns what to append to an ONNX file to add names to the outputs of its main graph. Protobuf merges a message that
// is given in several parts: lists are joined, so a ModelProto with nothing but a GraphProto with nothing but outputs adds these. An
// output without a type has the one that ONNX infers.
func MoreOutputs(names []string) []byte {
	const graphOutput = 12
	var graph []byte
	for _, name := range names {
		graph = appendBytes(graph, graphOutput, appendBytes(nil, valueName, []byte(name)))
	}
	return appendBytes(nil, modelGraph, graph)
}

// Numbered reports whether the labels are only the numbers of the classes.
func (z *ZipMap) Numbered() bool {
	if z.Named {
		return false
	}
	for i, label := range z.Labels {
		if label != strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// HasMaps reports whether one of the outputs is no tensor but may be maps of scores.
func HasMaps(outputs []TensorInfo) bool {
	return slices.ContainsFunc(outputs, func(t TensorInfo) bool { return t.DType == "sequence" })
}
