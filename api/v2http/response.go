package v2http

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// Response is a response that is ready to be written: the header, and after it the binary tensors.
type Response struct {
	Header  []byte
	Tensors [][]byte
}

// Binary reports whether tensors follow the header, whose length is then in HeaderLength.
func (r *Response) Binary() bool { return r.Tensors != nil }

// Size is the length of the body in bytes.
func (r *Response) Size() (n int) {
	n = len(r.Header)
	for _, t := range r.Tensors {
		n += len(t)
	}
	return n
}

// Write makes the response as the request asks for it. The error is an *apierror.Error of an output that JSON cannot hold,
// or that of Grow.
func (r *Request) Write(answer *v2.Response) (*Response, error) {
	w := &Response{}
	h := append(w.Header, '{')
	if r.ID != "" {
		h = append(appendText(append(h, `"id":`...), r.ID), ',')
	}
	h = appendText(append(h, `"model_name":`...), answer.Model)
	h = appendText(append(h, `,"model_version":`...), answer.Version)
	h = append(h, `,"outputs":[`...)
	for i, out := range answer.Outputs {
		if i > 0 {
			h = append(h, ',')
		}
		h = appendText(append(h, `{"name":`...), out.Name)
		h = appendText(append(h, `,"datatype":`...), out.Datatype)
		h = append(h, `,"shape":[`...)
		for i, d := range out.Shape {
			if i > 0 {
				h = append(h, ',')
			}
			h = strconv.AppendInt(h, d, 10)
		}
		binary, isSet := r.format[out.Name]
		if binary || !isSet && r.binary {
			h = strconv.AppendInt(append(h, `],"parameters":{"binary_data_size":`...), int64(len(out.Data)), 10)
			h = append(h, "}}"...)
			w.Tensors = append(w.Tensors, out.Data)
			continue
		}
		if r.Grow != nil {
			if err := r.Grow(jsonSize(out)); err != nil {
				return nil, err
			}
		}
		var err error
		if h, err = appendData(append(h, `],"data":[`...), out); err != nil {
			return nil, err
		}
		h = append(h, "]}"...)
	}
	w.Header = append(h, "]}"...)
	return w, nil
}

// jsonSize is about how much memory the elements of an output take as JSON, in bytes. Half of it is for the list, which grows.
func jsonSize(out v2.Output) int64 {
	size := int64(len(out.Data))
	switch v2.Size(out.Datatype) {
	case 0, 1: // at most "-128," a byte, and six bytes for a byte of text
		return 2 * 5 * size
	}
	return 2 * 3 * size // at most 12 bytes for a number of four
}

// appendText appends a string of JSON.
func appendText(h []byte, text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // not reached: a string has a form in JSON
	}
	return append(h, b...)
}

// appendData appends the elements of an output, separated by commas.
func appendData(h []byte, out v2.Output) ([]byte, error) {
	if out.Datatype == v2.Bytes {
		return appendStrings(h, out)
	}
	format, size := formats[out.Datatype], v2.Size(out.Datatype)
	if format == nil {
		return nil, apierror.New(apierror.Malformed, "sending %s data via JSON is not supported. Please use the binary data format for output %s", out.Datatype, out.Name)
	}
	for at := 0; at < len(out.Data); at += size {
		if at > 0 {
			h = append(h, ',')
		}
		h = format(h, out.Data[at:])
	}
	return h, nil
}

func appendStrings(h []byte, out v2.Output) ([]byte, error) {
	for data, first := out.Data, true; len(data) > 0; first = false {
		n := binary.LittleEndian.Uint32(data)
		element := data[4 : 4+n]
		if data = data[4+n:]; !utf8.Valid(element) {
			return nil, apierror.New(apierror.Malformed, "output '%s' has bytes that are no text. Please use the binary data format", out.Name)
		}
		if !first {
			h = append(h, ',')
		}
		h = appendText(h, string(element))
	}
	return h, nil
}

// formats append an element of a datatype as JSON.
var formats = map[string]func(h, data []byte) []byte{
	"BOOL":  func(h, data []byte) []byte { return strconv.AppendBool(h, data[0] != 0) },
	"UINT8": func(h, data []byte) []byte { return strconv.AppendUint(h, uint64(data[0]), 10) },
	"INT8":  func(h, data []byte) []byte { return strconv.AppendInt(h, int64(int8(data[0])), 10) },
	"UINT16": func(h, data []byte) []byte {
		return strconv.AppendUint(h, uint64(binary.LittleEndian.Uint16(data)), 10)
	},
	"INT16": func(h, data []byte) []byte {
		return strconv.AppendInt(h, int64(int16(binary.LittleEndian.Uint16(data))), 10)
	},
	"UINT32": func(h, data []byte) []byte {
		return strconv.AppendUint(h, uint64(binary.LittleEndian.Uint32(data)), 10)
	},
	"INT32": func(h, data []byte) []byte {
		return strconv.AppendInt(h, int64(int32(binary.LittleEndian.Uint32(data))), 10)
	},
	"UINT64": func(h, data []byte) []byte { return strconv.AppendUint(h, binary.LittleEndian.Uint64(data), 10) },
	"INT64":  func(h, data []byte) []byte { return strconv.AppendInt(h, int64(binary.LittleEndian.Uint64(data)), 10) },
	"FP32": func(h, data []byte) []byte {
		return appendFloat(h, float64(math.Float32frombits(binary.LittleEndian.Uint32(data))), 32)
	},
	"FP64": func(h, data []byte) []byte {
		return appendFloat(h, math.Float64frombits(binary.LittleEndian.Uint64(data)), 64)
	},
}

// appendFloat appends a number in its shortest form, or NaN, Infinity or -Infinity, as Triton does and Python's JSON reads.
func appendFloat(h []byte, v float64, bits int) []byte {
	switch {
	case v != v:
		return append(h, "NaN"...)
	case math.IsInf(v, 1):
		return append(h, "Infinity"...)
	case math.IsInf(v, -1):
		return append(h, "-Infinity"...)
	}
	return strconv.AppendFloat(h, v, 'g', -1, bits)
}
