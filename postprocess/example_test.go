package postprocess_test

import (
	"encoding/binary"
	"fmt"
	"math"

	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess/geometry"
)

// A decoder turns one row of a model's outputs into a prediction.
func ExampleNew() {
	definition := repository.Definition{
		Task:       repository.Classification,
		Labels:     []string{"cat", "dog", "horse"},
		LabelsFile: "labels.txt",
		Output:     repository.Output{Decode: repository.DecodeSoftmax, TopK: 2},
	}
	logits := []float32{1, 4, 2}
	var data []byte
	for _, v := range logits {
		data = binary.NativeEndian.AppendUint32(data, math.Float32bits(v))
	}
	outputs := []postprocess.Tensor{{Name: "logits", DType: repository.Float32, Shape: []int64{3}, Data: data}}

	decoder, err := postprocess.New(definition, outputs)
	if err != nil {
		fmt.Println(err)
		return
	}
	prediction, err := decoder.Decode(outputs, geometry.Transform{}, postprocess.Params{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, class := range prediction.(*postprocess.Classified).Top {
		fmt.Printf("%s %.3f\n", class.Label, class.Score)
	}
	// Output:
	// dog 0.844
	// horse 0.114
}
