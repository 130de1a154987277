package onnx

import (
	"fmt"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/models"
)

// Info is one input or output as the ONNX file declares it.
type Info struct {
	Name  string
	DType models.DType
	Shape []int64 // with the batch dimension, which is the first; -1 for what the file leaves open. Empty: unknown
}

// elements are the element types that inputs and outputs may have.
var elements = map[models.DType]ort.TensorElementDataType{
	models.Float32: ort.TensorElementDataTypeFloat,
	models.Float16: ort.TensorElementDataTypeFloat16,
	models.Uint8:   ort.TensorElementDataTypeUint8,
	models.Int32:   ort.TensorElementDataTypeInt32,
	models.Int64:   ort.TensorElementDataTypeInt64,
}

// readInfo reads inputs and outputs. The wrapper needs a session of its own for it, so this one is made cheap:
// on the CPU, the graph as it is.
func readInfo(path string) (inputs, outputs []Info, err error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, nil, err
	}
	defer options.Destroy()
	if err := configure(options, 1, ort.GraphOptimizationLevelDisableAll); err != nil {
		return nil, nil, err
	}
	if err := options.AddSessionConfigEntry("session.disable_prepacking", "1"); err != nil {
		return nil, nil, err
	}
	in, out, err := ort.GetInputOutputInfoWithOptions(path, options)
	if err != nil {
		return nil, nil, err
	}
	if inputs, err = infos("input", in); err != nil {
		return nil, nil, err
	}
	if outputs, err = infos("output", out); err != nil {
		return nil, nil, err
	}
	return inputs, outputs, nil
}

func infos(what string, from []ort.InputOutputInfo) ([]Info, error) {
	if len(from) == 0 {
		return nil, fmt.Errorf("the model has no %ss", what)
	}
	list := make([]Info, len(from))
	for i, f := range from {
		if f.OrtValueType != ort.ONNXTypeTensor {
			return nil, fmt.Errorf("%s %q is no tensor (%s)", what, f.Name, f.OrtValueType)
		}
		dtype, ok := dtypeOf(f.DataType)
		if !ok {
			return nil, fmt.Errorf("%s %q has elements of %s; supported are float32, float16, uint8, int32 and int64",
				what, f.Name, f.DataType)
		}
		list[i] = Info{Name: f.Name, DType: dtype, Shape: slices.Clone(f.Dimensions)}
	}
	return list, nil
}

func dtypeOf(element ort.TensorElementDataType) (models.DType, bool) {
	for dtype, e := range elements {
		if e == element {
			return dtype, true
		}
	}
	return "", false
}

func names(list []Info) []string {
	names := make([]string, len(list))
	for i, info := range list {
		names[i] = info.Name
	}
	return names
}
