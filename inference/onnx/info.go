package onnx

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/repository"
)

// Info is one input or output as the ONNX file declares it.
type Info struct {
	Name  string
	DType repository.DType // Size is 0 for what is not read: "bool", "string", "sequence", "map"
	Shape []int64          // with the batch dimension, which is the first; -1 for what the file leaves open. Empty: unknown
}

// elements are the element types that are read.
var elements = map[repository.DType]ort.TensorElementDataType{
	repository.Float32: ort.TensorElementDataTypeFloat,
	repository.Float16: ort.TensorElementDataTypeFloat16,
	repository.Float64: ort.TensorElementDataTypeDouble,
	repository.Uint8:   ort.TensorElementDataTypeUint8,
	repository.Int8:    ort.TensorElementDataTypeInt8,
	repository.Uint16:  ort.TensorElementDataTypeUint16,
	repository.Int16:   ort.TensorElementDataTypeInt16,
	repository.Uint32:  ort.TensorElementDataTypeUint32,
	repository.Int32:   ort.TensorElementDataTypeInt32,
	repository.Uint64:  ort.TensorElementDataTypeUint64,
	repository.Int64:   ort.TensorElementDataTypeInt64,
}

// inputTypes are the element types that inputs may have.
var inputTypes = []repository.DType{repository.Float32, repository.Float16, repository.Uint8, repository.Int32, repository.Int64}

// unread are names of types that are not read.
var (
	unreadElements = map[ort.TensorElementDataType]repository.DType{
		ort.TensorElementDataTypeBool:       "bool",
		ort.TensorElementDataTypeString:     "string",
		ort.TensorElementDataTypeBFloat16:   "bfloat16",
		ort.TensorElementDataTypeComplex64:  "complex64",
		ort.TensorElementDataTypeComplex128: "complex128",
	}
	unreadValues = map[ort.ONNXType]repository.DType{
		ort.ONNXTypeSequence:     "sequence",
		ort.ONNXTypeMap:          "map",
		ort.ONNXTypeOptional:     "optional",
		ort.ONNXTypeSparseTensor: "sparse tensor",
		ort.ONNXTypeOpaque:       "opaque",
	}
)

// File is what an ONNX file declares.
type File struct {
	Inputs  []Info
	Outputs []Info
}

// ReadFile reads what the ONNX file at path declares. Inputs are all of types that can be fed; outputs may be of any. The
// error names the file and what is wrong with it.
func ReadFile(path string) (*File, error) {
	file, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return file, nil
}

// readFile reads inputs and outputs. The wrapper needs a session of its own for it, so this one is made cheap:
// on the CPU, the graph as it is.
func readFile(path string) (*File, error) {
	if !ort.IsInitialized() {
		return nil, errors.New("ONNX Runtime is not open")
	}
	if err := checkFile(path); err != nil {
		return nil, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if err := configure(options, 1, ort.GraphOptimizationLevelDisableAll); err != nil {
		return nil, err
	}
	if err := options.AddSessionConfigEntry("session.disable_prepacking", "1"); err != nil {
		return nil, err
	}
	in, out, err := ort.GetInputOutputInfoWithOptions(path, options)
	if err != nil {
		return nil, explain(err)
	}
	if len(in) == 0 || len(out) == 0 {
		return nil, fmt.Errorf("the model has %d inputs and %d outputs; it needs one of each at least", len(in), len(out))
	}
	file := &File{infos(in), infos(out)}
	for i, info := range file.Inputs {
		if !slices.Contains(inputTypes, info.DType) {
			return nil, fmt.Errorf("input %q has elements of %s; allowed: %v", in[i].Name, info.DType, inputTypes)
		}
	}
	return file, nil
}

func checkFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a file")
	}
	if info.Size() == 0 {
		return errors.New("is empty")
	}
	return nil
}

// wanted are the inputs, and the outputs of the names, or all, in the order of the file.
func (f *File) wanted(names []string) (inputs, outputs []Info, err error) {
	outputs = slices.Clone(f.Outputs)
	if names != nil {
		outputs = slices.DeleteFunc(outputs, func(info Info) bool { return !slices.Contains(names, info.Name) })
		if len(outputs) != len(names) {
			return nil, nil, fmt.Errorf("the outputs %q are asked for; the file has %q", names, namesOf(f.Outputs))
		}
	}
	for _, info := range outputs {
		if info.DType.Size() == 0 {
			return nil, nil, fmt.Errorf("output %q has elements of %s; allowed: %v", info.Name, info.DType, slices.Sorted(maps.Keys(elements)))
		}
	}
	return slices.Clone(f.Inputs), outputs, nil
}

func infos(from []ort.InputOutputInfo) []Info {
	list := make([]Info, len(from))
	for i, f := range from {
		list[i] = Info{Name: f.Name, DType: dtypeOf(f), Shape: slices.Clone(f.Dimensions)}
	}
	return list
}

// dtypeOf is the element type of a tensor, or a word for what is not read.
func dtypeOf(info ort.InputOutputInfo) repository.DType {
	if info.OrtValueType != ort.ONNXTypeTensor {
		if word, ok := unreadValues[info.OrtValueType]; ok {
			return word
		}
		return repository.DType(info.OrtValueType.String())
	}
	for dtype, e := range elements {
		if e == info.DataType {
			return dtype
		}
	}
	if word, ok := unreadElements[info.DataType]; ok {
		return word
	}
	return repository.DType(info.DataType.String())
}

func namesOf(list []Info) []string {
	names := make([]string, len(list))
	for i, info := range list {
		names[i] = info.Name
	}
	return names
}
