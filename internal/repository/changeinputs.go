package repository

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// The numbers of fields of onnx.proto that describe inputs.
const (
	graphInput, valueName, valueType   = 11, 1, 2
	typeTensor                         = 1
	tensorTypeElement, tensorTypeShape = 1, 2
	shapeDim, dimValue                 = 1, 1
	opsetDomain, opsetVersion          = 1, 2
)

// InputChanges are changes of the inputs of an ONNX file's graph.
type InputChanges struct {
	// Pixels is the image input of a resolved definition with NormalizeGraph; nil: none. Its graph input is called PixelInput and has
	// elements of uint8, and nodes that come first compute what the input took before.
	Pixels *Input
	// Shapes are fixed shapes of inputs, by their names.
	Shapes map[string][]int64
}

// Any reports whether there is a change.
func (c InputChanges) Any() bool { return c.Pixels != nil || len(c.Shapes) > 0 }

// ChangeInputs rewrites an ONNX file r of size bytes. External data stays where it is. If Pixels is what cannot be done, the error names the
// key.
func ChangeInputs(r io.ReaderAt, size int64, c InputChanges) (*Rewrite, error) {
	e := &inputEdit{cursor: &cursor{r: r, size: size, left: maxFields}, InputChanges: c, found: map[string]bool{}}
	rewrite, err := e.model()
	if err == nil {
		err = e.missing()
	}
	switch {
	case err == nil:
		return rewrite, nil
	case c.Pixels != nil:
		return nil, fmt.Errorf("input.normalize: graph: %w; use packing", err)
	}
	return nil, fmt.Errorf("fix the shapes of inputs: %w", err)
}

// inputEdit is the rewrite of a file.
type inputEdit struct {
	*cursor
	InputChanges
	found map[string]bool // names of inputs that were changed
	opset uint64          // of the ONNX domain
	nodes bool            // they are written
}

// missing reports what the file does not have.
func (e *inputEdit) missing() error {
	names := slices.Sorted(maps.Keys(e.Shapes))
	if e.Pixels != nil {
		names = append(names, e.Pixels.Name)
	}
	for _, name := range names {
		if !e.found[name] {
			return fmt.Errorf("model.onnx has no input %q", name)
		}
	}
	if e.Pixels != nil && e.opset < minNormalizeOpset {
		return fmt.Errorf("model.onnx has operator set %d; the graph of %d and later can be extended", e.opset, minNormalizeOpset)
	}
	return nil
}

// model rewrites the file. A message may be given in several parts, which protobuf joins.
func (e *inputEdit) model() (*Rewrite, error) {
	whole := &Rewrite{}
	return whole, e.each(e.size, func(number uint64, start, end int64) error {
		switch {
		case number == modelGraph && e.wire == wireBytes:
			graph := &Rewrite{}
			if err := e.graph(graph, end); err != nil {
				return err
			}
			whole.own(appendHeader(nil, modelGraph, graph.Size()))
			whole.parts = append(whole.parts, graph.parts...)
			return nil
		case number == modelOpset && e.wire == wireBytes:
			if err := e.operatorSet(end); err != nil {
				return err
			}
		}
		whole.keep(start, end)
		return nil
	})
}

// each calls do for every field up to end, with the cursor after the field's header.
func (c *cursor) each(end int64, do func(number uint64, start, end int64) error) error {
	for c.at < end {
		start := c.at
		number, length, err := c.field(end)
		if err != nil {
			return err
		}
		after := c.at + length
		if err := do(number, start, after); err != nil {
			return err
		}
		c.at = after
	}
	return nil
}

func (e *inputEdit) graph(to *Rewrite, end int64) error {
	if !e.nodes && e.Pixels != nil {
		e.nodes = true
		to.own(normalizeNodes(*e.Pixels))
	}
	return e.each(end, func(number uint64, start, end int64) error {
		if number != graphInput || e.wire != wireBytes {
			to.keep(start, end)
			return nil
		}
		if end-e.at > maxName*maxRank {
			return errTooManyParts
		}
		entry, err := e.whole(end)
		if err != nil {
			return err
		}
		value := value{}
		if err := e.value(end, &value); err != nil {
			return err
		}
		if changed := e.changed(value, entry); changed != nil {
			to.own(appendBytes(nil, graphInput, changed))
		} else {
			to.keep(start, end)
		}
		return nil
	})
}

// changed is the ValueInfoProto that replaces entry, that of a value; nil if it stays.
func (e *inputEdit) changed(v value, entry string) []byte {
	shape, fixes := e.Shapes[v.name]
	pixels := e.Pixels != nil && e.Pixels.Name == v.name
	if !fixes && !pixels {
		return nil
	}
	e.found[v.name] = true
	if pixels {
		v.name, v.element = PixelInput(v.name), uint8Element
	}
	if !fixes { // of a field that is given twice the last counts, and messages are joined
		changed := appendBytes([]byte(entry), valueName, []byte(v.name))
		return appendBytes(changed, valueType, appendBytes(nil, typeTensor, appendNumber(nil, tensorTypeElement, v.element)))
	}
	var dims []byte
	for _, n := range shape {
		dims = appendBytes(dims, shapeDim, appendNumber(nil, dimValue, uint64(n)))
	}
	tensor := appendBytes(appendNumber(nil, tensorTypeElement, v.element), tensorTypeShape, dims)
	return appendBytes(appendBytes(nil, valueName, []byte(v.name)), valueType, appendBytes(nil, typeTensor, tensor))
}

// value is the name and the element type of a ValueInfoProto.
type value struct {
	name    string
	element uint64
}

// value reads a ValueInfoProto up to end.
func (e *inputEdit) value(end int64, v *value) error {
	return e.each(end, func(number uint64, _, end int64) (err error) {
		switch {
		case number == valueName && e.wire == wireBytes:
			v.name, err = e.text(end)
		case number == valueType && e.wire == wireBytes:
			err = e.each(end, func(number uint64, _, end int64) error {
				if number != typeTensor || e.wire != wireBytes {
					return nil
				}
				return e.each(end, func(number uint64, _, _ int64) error {
					if number == tensorTypeElement && e.wire == wireVarint {
						v.element = e.cursor.value
					}
					return nil
				})
			})
		}
		return err
	})
}

func (e *inputEdit) operatorSet(end int64) error {
	domain, version := "", uint64(0)
	err := e.each(end, func(number uint64, _, end int64) (err error) {
		switch {
		case number == opsetDomain && e.wire == wireBytes:
			domain, err = e.text(end)
		case number == opsetVersion && e.wire == wireVarint:
			version = e.cursor.value
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		e.opset = version
	}
	return err
}
