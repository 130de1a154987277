package v2

import (
	"encoding/binary"
	"slices"
	"strings"

	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// Bytes is the datatype of strings and of encoded images: elements of any bytes, each with its length in four bytes in front.
const Bytes = "BYTES"

// datatypes are the protocol's names of element types.
var datatypes = map[string]repository.DType{
	"BOOL": repository.Bool, "UINT8": repository.Uint8, "UINT16": repository.Uint16, "UINT32": repository.Uint32, "UINT64": repository.Uint64,
	"INT8": repository.Int8, "INT16": repository.Int16, "INT32": repository.Int32, "INT64": repository.Int64,
	"FP16": repository.Float16, "BF16": repository.BFloat16, "FP32": repository.Float32, "FP64": repository.Float64, Bytes: repository.String,
}

// names are the keys of datatypes by their values.
var names = func() map[repository.DType]string {
	m := make(map[repository.DType]string, len(datatypes))
	for name, dtype := range datatypes {
		m[dtype] = name
	}
	return m
}()

// Datatypes lists the names of element types, sorted.
func Datatypes() []string {
	list := make([]string, 0, len(datatypes))
	for name := range datatypes {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// Size returns the size of an element in bytes; 0 for BYTES and for what is no datatype.
func Size(datatype string) int { return onnx.FeedSize(datatypes[datatype]) }

// checkDatatype returns an error unless datatype is one.
func checkDatatype(datatype, input string) error {
	if datatypes[datatype] == "" {
		return apierror.New(apierror.Malformed, "input '%s' has the datatype %s; allowed: %s", input, apierror.Quote(datatype), strings.Join(Datatypes(), ", "))
	}
	return nil
}

// AppendBytes appends an element of BYTES: its length and its bytes.
func AppendBytes[T string | []byte](data []byte, element T) []byte {
	data = binary.LittleEndian.AppendUint32(data, uint32(len(element)))
	return append(data, element...)
}

// SplitBytes returns the elements of BYTES, which share data's memory. count is their number; input is named in errors.
func SplitBytes(data []byte, count int64, input string) ([][]byte, error) {
	if err := CheckBytes(data, count, input); err != nil {
		return nil, err
	}
	list := make([][]byte, count)
	for i := range list {
		n := binary.LittleEndian.Uint32(data)
		list[i] = data[4 : 4+n : 4+n]
		data = data[4+n:]
	}
	return list, nil
}

// CheckBytes checks that data is a number of elements of BYTES, and nothing else.
func CheckBytes(data []byte, count int64, input string) error {
	if count < 0 || count > int64(len(data)/4) {
		return apierror.New(apierror.Malformed, "input '%s' has %d bytes, and %d elements take at least 4 bytes each: the length, then as many bytes",
			input, len(data), count)
	}
	for i := range count {
		if len(data) < 4 {
			return apierror.New(apierror.Malformed, "input '%s' has %d elements of BYTES; its shape takes %d", input, i, count)
		}
		n := binary.LittleEndian.Uint32(data)
		if data = data[4:]; uint64(n) > uint64(len(data)) {
			return apierror.New(apierror.Malformed, "input '%s': element %d of BYTES has a length of %d, and only %d bytes are left; "+
				"an element is its length in 4 bytes, the lowest first, and as many bytes", input, i, n, len(data))
		}
		data = data[n:]
	}
	if len(data) > 0 {
		return apierror.New(apierror.Malformed, "input '%s' has %d bytes more than its %d elements of BYTES", input, len(data), count)
	}
	return nil
}

// elements returns the number of elements of a shape, each of whose sizes is at least 1; ok is false if it is not possible.
func elements(shape []int64) (n int64, ok bool) {
	const limit = 1 << 40 // far more than a body can hold
	n = 1
	for _, d := range shape {
		if d < 1 || n > limit/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}
