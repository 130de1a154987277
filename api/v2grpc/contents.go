package v2grpc

import (
	"encoding/binary"
	"math"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// contents are the elements of an input in fields of their type.
type contents struct{ *pb.InferTensorContents }

// typedField is a field of contents: its name, and how many elements it has.
type typedField struct {
	name string
	n    int
}

func (c contents) fields() [8]typedField {
	return [8]typedField{
		{"bool_contents", len(c.GetBoolContents())}, {"int_contents", len(c.GetIntContents())}, {"int64_contents", len(c.GetInt64Contents())},
		{"uint_contents", len(c.GetUintContents())}, {"uint64_contents", len(c.GetUint64Contents())}, {"fp32_contents", len(c.GetFp32Contents())},
		{"fp64_contents", len(c.GetFp64Contents())}, {"bytes_contents", len(c.GetBytesContents())},
	}
}

// fieldOf are the fields for the datatypes.
var fieldOf = map[string]string{"BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
	"UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents",
	"FP64": "fp64_contents", v2.Bytes: "bytes_contents"}

// isEmpty reports whether there are no elements at all.
func (c contents) isEmpty() bool {
	for _, f := range c.fields() {
		if f.n > 0 {
			return false
		}
	}
	return true
}

// Read implements v2.Source.
func (c contents) Read(input, datatype string, elements int64) ([]byte, error) {
	want := fieldOf[datatype]
	if want == "" {
		return nil, apierror.New(apierror.Malformed, "input '%s': %s has no typed contents; use raw_input_contents", input, datatype)
	}
	given := 0
	for _, f := range c.fields() {
		switch {
		case f.name == want:
			given = f.n
		case f.n > 0:
			return nil, apierror.New(apierror.Malformed, "unexpected explicit tensor data for input tensor '%s' in %s; %s has %s", input, f.name, datatype, want)
		}
	}
	if int64(given) != elements {
		return nil, apierror.New(apierror.Malformed, "input '%s' has %d elements in %s; its shape takes %d", input, given, want, elements)
	}
	if datatype == v2.Bytes {
		var data []byte
		for _, e := range c.GetBytesContents() {
			data = v2.AppendBytes(data, e)
		}
		return data, nil
	}
	data, ok := c.convert(make([]byte, 0, elements*int64(v2.Size(datatype))), datatype)
	if !ok {
		return nil, apierror.New(apierror.Malformed, "input '%s' has an element in %s that is out of range for %s", input, want, datatype)
	}
	return data, nil
}

// convert appends the elements of a datatype; ok is false if one is out of its range.
func (c contents) convert(data []byte, datatype string) (_ []byte, ok bool) {
	switch datatype {
	case "BOOL":
		for _, v := range c.GetBoolContents() {
			if data = append(data, 0); v {
				data[len(data)-1] = 1
			}
		}
	case "INT8", "INT16", "INT32":
		for _, v := range c.GetIntContents() {
			if data, ok = appendInt(data, datatype, v); !ok {
				return nil, false
			}
		}
	case "UINT8", "UINT16", "UINT32":
		for _, v := range c.GetUintContents() {
			if data, ok = appendUint(data, datatype, v); !ok {
				return nil, false
			}
		}
	case "INT64":
		for _, v := range c.GetInt64Contents() {
			data = binary.LittleEndian.AppendUint64(data, uint64(v))
		}
	case "UINT64":
		for _, v := range c.GetUint64Contents() {
			data = binary.LittleEndian.AppendUint64(data, v)
		}
	case "FP32":
		for _, v := range c.GetFp32Contents() {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
	case "FP64":
		for _, v := range c.GetFp64Contents() {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
		}
	}
	return data, true
}

func appendInt(data []byte, datatype string, v int32) ([]byte, bool) {
	switch datatype {
	case "INT8":
		return append(data, byte(v)), v == int32(int8(v))
	case "INT16":
		return binary.LittleEndian.AppendUint16(data, uint16(v)), v == int32(int16(v))
	}
	return binary.LittleEndian.AppendUint32(data, uint32(v)), true
}

func appendUint(data []byte, datatype string, v uint32) ([]byte, bool) {
	switch datatype {
	case "UINT8":
		return append(data, byte(v)), v <= math.MaxUint8
	case "UINT16":
		return binary.LittleEndian.AppendUint16(data, uint16(v)), v <= math.MaxUint16
	}
	return binary.LittleEndian.AppendUint32(data, v), true
}
