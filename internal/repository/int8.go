package repository

import "errors"

// int8Element is int8 in TensorProto.DataType.
const int8Element = 3

// maxReduced is the largest absolute value of weights of 7 bits. x86 without VNNI adds two products of a uint8 and an int8 in 16 bits:
// 2·255·64 = 32,640 fits, 2·255·65 does not.
const maxReduced = 64

// readInt8 finds out whether a tensor of int8 has values beyond 7 bits, or values that are not in raw_data, where they are not looked
// for. For a structure, no weights are read.
func (p *parser) readInt8(t *tensor) error {
	if p.structure != nil || p.wideInt8 {
		return nil
	}
	if t.isExternal || t.end <= t.at {
		p.wideInt8 = true
		return nil
	}
	buffer := make([]byte, 64<<10)
	for at := t.at; at < t.end; {
		chunk := buffer[:min(int64(len(buffer)), t.end-at)]
		n, err := p.r.ReadAt(chunk, at)
		if n < len(chunk) {
			return errors.Join(err, &truncatedError{at + int64(len(chunk))})
		}
		for _, b := range chunk {
			if v := int8(b); v > maxReduced || v < -maxReduced {
				p.wideInt8 = true
				return nil
			}
		}
		at += int64(n)
	}
	return nil
}

// nodeHead is what is kept of a node while it is parsed.
type nodeHead struct {
	op     string
	inputs int
	third  string // the name of the third input
}

// zeroPoints tell whether activations are int8: two of them, multiplied by each other as in attention, overflow whatever the weights
// are.
type zeroPoints struct {
	used    map[string]bool   // by QuantizeLinear, which quantizes activations
	element map[string]uint64 // of small initializers
	many    bool
}

// maxZeroPoints bounds what is kept of a file.
const maxZeroPoints = 1 << 16

func (z *zeroPoints) addNode(n nodeHead) {
	if n.op != "QuantizeLinear" || n.third == "" { // without one it is uint8
		return
	}
	if z.used == nil {
		z.used = map[string]bool{}
	}
	z.used[n.third] = true
	z.many = z.many || len(z.used) > maxZeroPoints
}

func (z *zeroPoints) addTensor(t *tensor) {
	if t.dims > 1 || t.label == "" || z.many {
		return
	}
	if z.element == nil {
		z.element = map[string]uint64{}
	}
	z.element[t.label] = t.element
	z.many = z.many || len(z.element) > maxZeroPoints
}

// mayBeInt8 reports whether activations are int8, or of a type that is not known.
func (z *zeroPoints) mayBeInt8() bool {
	if z.many {
		return true
	}
	for name := range z.used {
		if element, known := z.element[name]; !known || element == int8Element {
			return true
		}
	}
	return false
}
