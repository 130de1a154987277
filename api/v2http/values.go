package v2http

import (
	"encoding/binary"
	"math"
	"strconv"

	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// values are the elements of an input as JSON: an array, of arrays if the sender likes.
type values struct {
	json    []byte
	convert func(int64) error
}

// Read implements v2.Source.
func (v *values) Read(input, datatype string, elements int64) ([]byte, error) {
	write := writers[datatype]
	if write == nil && datatype != v2.Bytes {
		return nil, apierror.New(apierror.Malformed, "receiving %s data via JSON is not supported. Please use the binary data format for input %s", datatype, input)
	}
	// Each element has a byte at least, and a comma.
	if elements > int64(len(v.json)+1)/2 {
		return nil, apierror.New(apierror.Malformed, "input '%s' has fewer elements than its shape, which takes %d", input, elements)
	}
	size := int64(v2.Size(datatype))
	if datatype == v2.Bytes {
		size = 4
	}
	if err := v.convert(size * elements); err != nil {
		return nil, err
	}
	r := valueReader{scanner: scanner{data: v.json}, input: input, datatype: datatype, write: write, plain: plains[datatype], size: size, left: elements,
		data: make([]byte, 0, size*elements), what: "an element of input '" + input + "'"}
	if r.next() != '[' {
		return nil, apierror.New(apierror.Malformed, "data of input '%s' is not an array", input)
	}
	if err := r.value(); err != nil {
		return nil, err
	}
	if r.left > 0 {
		return nil, apierror.New(apierror.Malformed, "input '%s' has %d elements; its shape takes %d", input, elements-r.left, elements)
	}
	return r.data, nil
}

// valueReader converts elements.
type valueReader struct {
	scanner
	input, datatype, what string
	write                 func(data []byte, token string) ([]byte, bool)
	plain                 plain // nil: none
	size                  int64 // of an element, in bytes
	left                  int64 // elements
	data                  []byte
}

func (r *valueReader) value() error {
	if r.plain != nil {
		r.plainElements()
	}
	if r.next() == '[' {
		return r.list(']', r.value)
	}
	if r.left == 0 {
		return apierror.New(apierror.Malformed, "input '%s' has more elements than its shape", r.input)
	}
	r.left--
	if r.datatype == v2.Bytes {
		element, err := r.bytes(r.what)
		if err != nil {
			return err
		}
		r.data = v2.AppendBytes(r.data, element)
		return nil
	}
	if r.next() == '"' {
		return r.errorf("%s is a string, not %s", r.what, r.datatype)
	}
	token, err := r.token()
	if err != nil {
		return err
	}
	data, ok := r.write(r.data, string(token))
	if !ok {
		return r.errorf("%s is %s, not %s", r.what, apierror.Quote(string(token)), r.datatype)
	}
	r.data = data
	return nil
}

// writers append an element of a datatype, given as a token of JSON.
var writers = map[string]func(data []byte, token string) ([]byte, bool){
	"BOOL": func(data []byte, token string) ([]byte, bool) {
		switch token {
		case "true":
			return append(data, 1), true
		case "false":
			return append(data, 0), true
		}
		return data, false
	},
	"UINT8": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseUint(token, 10, 8)
		return append(data, byte(n)), err == nil
	},
	"UINT16": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseUint(token, 10, 16)
		return binary.LittleEndian.AppendUint16(data, uint16(n)), err == nil
	},
	"UINT32": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseUint(token, 10, 32)
		return binary.LittleEndian.AppendUint32(data, uint32(n)), err == nil
	},
	"UINT64": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseUint(token, 10, 64)
		return binary.LittleEndian.AppendUint64(data, n), err == nil
	},
	"INT8": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseInt(token, 10, 8)
		return append(data, byte(n)), err == nil
	},
	"INT16": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseInt(token, 10, 16)
		return binary.LittleEndian.AppendUint16(data, uint16(n)), err == nil
	},
	"INT32": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseInt(token, 10, 32)
		return binary.LittleEndian.AppendUint32(data, uint32(n)), err == nil
	},
	"INT64": func(data []byte, token string) ([]byte, bool) {
		n, err := strconv.ParseInt(token, 10, 64)
		return binary.LittleEndian.AppendUint64(data, uint64(n)), err == nil
	},
	"FP32": func(data []byte, token string) ([]byte, bool) {
		n, ok := float(token, 32)
		return binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(n))), ok
	},
	"FP64": func(data []byte, token string) ([]byte, bool) {
		n, ok := float(token, 64)
		return binary.LittleEndian.AppendUint64(data, math.Float64bits(n)), ok
	},
}

// float converts a number of JSON. One beyond the type's range is an infinity, as with Triton.
func float(token string, bits int) (float64, bool) {
	switch token {
	case "true", "false", "null":
		return 0, false
	}
	n, err := strconv.ParseFloat(token, bits)
	return n, err == nil || math.IsInf(n, 0)
}
