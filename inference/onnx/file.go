package onnx

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/repository"
)

// Info is one input or output as the ONNX file declares it. Size of an unsupported DType is 0; an empty Shape is unknown.
type Info = repository.TensorInfo

// elements are the supported element types.
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
	repository.Bool:    ort.TensorElementDataTypeBool,
}

// inputTypes are the element types allowed for inputs.
var inputTypes = []repository.DType{repository.Float32, repository.Float16, repository.Uint8, repository.Int32, repository.Int64}

// File is what an ONNX file declares.
type File struct {
	Inputs  []Info
	Outputs []Info

	scores map[string]string // tensors that are fetched for outputs of maps (see findZipMaps)
	pixels *repository.Input // see TakePixels; nil: sessions take the file's inputs
}

// ReadFile reads the inputs and outputs that the ONNX file at path declares, of any types. The error names the file and the problem.
func ReadFile(path string) (*File, error) {
	file, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return file, nil
}

// readFile reads inputs and outputs. The binding creates a session for this, which is made cheap: on the CPU, without
// graph optimizations.
func readFile(path string) (*File, error) {
	if !ort.IsInitialized() {
		return nil, errNotOpen
	}
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !stat.Mode().IsRegular():
		return nil, errors.New("is not a file")
	case stat.Size() == 0:
		return nil, errors.New("is empty")
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
		return nil, fmt.Errorf("the model has %d inputs and %d outputs; it needs at least one of each", len(in), len(out))
	}
	file := &File{Inputs: infos(in), Outputs: infos(out)}
	file.findZipMaps(path)
	return file, nil
}

// checkInputs returns an error if a batch cannot have the inputs.
func (f *File) checkInputs() error {
	for _, info := range f.Inputs {
		if !slices.Contains(inputTypes, info.DType) {
			return fmt.Errorf("input %q has elements of %s; allowed: %v", info.Name, info.DType, inputTypes)
		}
	}
	return nil
}

// checkFeed returns an error if a feed cannot have the inputs, or no output.
func (f *File) checkFeed() error {
	for _, info := range f.Inputs {
		if !CanFeed(info.DType) {
			return fmt.Errorf("input %q has elements of %s; allowed: %v", info.Name, info.DType, slices.Sorted(maps.Keys(feedTypes)))
		}
	}
	if len(f.Fetched()) == 0 {
		return fmt.Errorf("no output is a tensor of %v", slices.Sorted(maps.Keys(feedTypes)))
	}
	return nil
}

// selectOutputs returns the inputs and the named outputs (nil: all), in the order of the file.
func (f *File) selectOutputs(names []string) (inputs, outputs []Info, err error) {
	outputs = slices.Clone(f.Outputs)
	if names != nil {
		outputs = slices.DeleteFunc(outputs, func(info Info) bool { return !slices.Contains(names, info.Name) })
		if len(outputs) != len(names) {
			return nil, nil, fmt.Errorf("outputs %q were requested, but the file has %q", names, namesOf(f.Outputs))
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

// dtypeOf returns the element type of a tensor, or the name of an unsupported type.
func dtypeOf(info ort.InputOutputInfo) repository.DType {
	if info.OrtValueType != ort.ONNXTypeTensor {
		return typeName(info.OrtValueType.String(), "ONNX_TYPE_")
	}
	for dtype, e := range elements {
		if e == info.DataType {
			return dtype
		}
	}
	return typeName(info.DataType.String(), "ONNX_TENSOR_ELEMENT_DATA_TYPE_")
}

// typeName turns ONNX Runtime's name of a type, such as ONNX_TYPE_SPARSE_TENSOR, into "sparse tensor".
func typeName(name, prefix string) repository.DType {
	return repository.DType(strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " ")))
}

func namesOf(list []Info) []string {
	names := make([]string, len(list))
	for i, info := range list {
		names[i] = info.Name
	}
	return names
}
