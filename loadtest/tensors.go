package loadtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"fovea/internal/float16"
)

// bytesType is the datatype of strings and encoded images: elements of any bytes, each with its length in four bytes in front.
const bytesType = "BYTES"

// elementSizes are the sizes of the other datatypes' elements, in bytes.
var elementSizes = map[string]int64{"BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
	"FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8}

// tensorInfo describes an input or output. Sizes of -1 are open.
type tensorInfo struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// tensor is an input or output with its elements, little-endian and in row-major order.
type tensor struct {
	tensorInfo
	data []byte
}

// elements is the number of elements of a shape; ok is false if it is not possible, or has more bytes than all bodies may have.
func elements(shape []int64) (n int64, ok bool) {
	n = 1
	for _, size := range shape {
		if size < 0 || size > 0 && n > maxBytes/size {
			return 0, false
		}
		n *= size
	}
	return n, true
}

// imageTensor makes the input of an image view: an encoded image in each row.
func imageTensor(input tensorInfo, images []Image) tensor {
	t := tensor{tensorInfo: tensorInfo{input.Name, bytesType, []int64{int64(len(images)), 1}}}
	for _, img := range images {
		t.data = append(binary.LittleEndian.AppendUint32(t.data, uint32(len(img.Data))), img.Data...)
	}
	return t
}

// tensors makes inputs of a number of rows. random is nil for zeros.
func tensors(inputs []tensorInfo, shapes Shapes, rows int, random *rand.Rand) ([]tensor, error) {
	for name := range shapes {
		if !slices.ContainsFunc(inputs, func(t tensorInfo) bool { return t.Name == name }) {
			return nil, fmt.Errorf("shape: the model has no input %q", name)
		}
	}
	list := make([]tensor, len(inputs))
	for i, input := range inputs {
		shape, given := shapes[input.Name]
		if !given {
			shape = slices.Clone(input.Shape)
			if len(shape) > 0 && (rows > 1 || shape[0] < 0) {
				shape[0] = int64(rows)
			}
			if slices.Contains(shape, -1) {
				return nil, fmt.Errorf("shape: the input %s has the shape %v, whose sizes of -1 are open; choose them with shape", input.Name, input.Shape)
			}
		}
		n, ok := elements(shape)
		size, known := elementSizes[input.Datatype]
		switch {
		case !ok || n*max(size, 4) > maxBytes:
			return nil, fmt.Errorf("shape: the input %s with the shape %v exceeds %d MiB", input.Name, shape, maxBytes>>20)
		case !known && input.Datatype != bytesType:
			return nil, fmt.Errorf("the input %s has the datatype %q, which is not one of the Open Inference Protocol", input.Name, input.Datatype)
		}
		list[i] = tensor{tensorInfo{input.Name, input.Datatype, shape}, fill(input.Datatype, n, random)}
	}
	return list, nil
}

// fill makes elements: zeros and empty strings, or with random numbers below 1, whole numbers below 100, and strings of these.
func fill(datatype string, n int64, random *rand.Rand) []byte {
	if random == nil && datatype == bytesType {
		return make([]byte, 4*n) // the lengths
	}
	if random == nil {
		return make([]byte, n*elementSizes[datatype])
	}
	var data []byte
	for range n {
		data = appendRandom(data, datatype, random)
	}
	return data
}

func appendRandom(data []byte, datatype string, random *rand.Rand) []byte {
	switch datatype {
	case "BOOL":
		return append(data, byte(random.IntN(2)))
	case "FP16":
		return binary.LittleEndian.AppendUint16(data, float16.Bits(random.Float32()))
	case "BF16": // the upper half of a float32
		return binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(random.Float32())>>16))
	case "FP32":
		return binary.LittleEndian.AppendUint32(data, math.Float32bits(random.Float32()))
	case "FP64":
		return binary.LittleEndian.AppendUint64(data, math.Float64bits(random.Float64()))
	case bytesType:
		return strconv.AppendInt(binary.LittleEndian.AppendUint32(data, 2), 10+random.Int64N(90), 10)
	}
	whole := binary.LittleEndian.AppendUint64(nil, random.Uint64N(100))
	return append(data, whole[:elementSizes[datatype]]...)
}
