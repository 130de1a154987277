package postprocess

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// tensor makes a float32 row.
func tensor(name string, shape []int64, values ...float32) Tensor {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.NativeEndian.AppendUint32(data, math.Float32bits(v))
	}
	return Tensor{name, repository.Float32, shape, data}
}

func classes(decode string, labels ...string) repository.Definition {
	return repository.Definition{Task: repository.Classification, Labels: labels, LabelsFile: "labels.txt",
		Output: repository.Output{Decode: decode}}.WithDefaults()
}

func decodeOne(t *testing.T, d repository.Definition, row Tensor, p Params) (*Classified, error) {
	t.Helper()
	outputs := []Tensor{row}
	answer, err := newDecoder(t, d, outputs).Decode(outputs, geometry.Transform{}, p)
	if err != nil {
		return nil, err
	}
	return answer.(*Classified), nil
}

func TestSoftmaxOfLargeLogitsDoesNotOverflow(t *testing.T) {
	got, err := decodeOne(t, classes(repository.DecodeSoftmax), tensor("y", []int64{3}, 3e38, 3e38, -3e38), Params{})
	if err != nil || got.Top[0].Score != 0.5 || got.Top[1].Score != 0.5 || got.Top[2].Score != 0 {
		t.Errorf("answer %+v, error %v", got, err)
	}
}

func TestClassesAreSortedAndTiesGoToTheLower(t *testing.T) {
	got, err := decodeOne(t, classes(repository.DecodeProbabilities), tensor("y", []int64{1, 4, 1}, 0.1, 0.4, 0.4, 0.1), Params{TopK: 4})
	if err != nil {
		t.Fatal(err)
	}
	var order []int
	for _, c := range got.Top {
		order = append(order, c.Class)
	}
	if !slices.Equal(order, []int{1, 2, 0, 3}) {
		t.Errorf("order is %v", order)
	}
}

func TestTopKIsThatOfAFullSort(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		values := make([]float32, 1+r.IntN(300))
		for i := range values {
			values[i] = float32(r.IntN(50)) / 50 // many ties
		}
		k := 1 + r.IntN(len(values))
		got, err := decodeOne(t, classes(repository.DecodeProbabilities), tensor("y", []int64{int64(len(values))}, values...), Params{TopK: k})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]int, len(values))
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
		for i := range k {
			if got.Top[i].Class != want[i] {
				t.Fatalf("place %d is class %d, want %d", i, got.Top[i].Class, want[i])
			}
		}
	}
}

func TestBackgroundClassesAreLeftOut(t *testing.T) {
	d := classes(repository.DecodeSoftmax, "cat", "dog")
	d.Output.ClassFirst = 1
	got, err := decodeOne(t, d, tensor("y", []int64{3}, 9, 1, 2), Params{})
	if err != nil || len(got.Top) != 2 || got.Top[0].Label != "dog" || got.Top[0].Class != 1 {
		t.Errorf("answer %+v, error %v", got, err)
	}
	if got.Top[0].Score > 0.01 {
		t.Errorf("score %v: the background must still count in the sum", got.Top[0].Score)
	}
}

func TestTopKIsLimitedByTheClasses(t *testing.T) {
	got, err := decodeOne(t, classes(repository.DecodeSoftmax), tensor("y", []int64{2}, 1, 2), Params{})
	if err != nil || len(got.Top) != 2 {
		t.Errorf("answer %+v, error %v; top_k is 5 by default, of 2 classes", got, err)
	}
}

func TestUnalignedDataIsRead(t *testing.T) {
	row := tensor("y", []int64{2}, 0.25, 0.75)
	row.Data = append([]byte{0}, row.Data...)[1:]
	got, err := decodeOne(t, classes(repository.DecodeProbabilities), row, Params{})
	if err != nil || got.Top[0].Score != 0.75 {
		t.Errorf("answer %+v, error %v", got, err)
	}
}

func TestClassificationRefusesInvalidOutputs(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		decode string
		row    Tensor
		want   string
	}{
		"NaN":                  {repository.DecodeSoftmax, tensor("y", []int64{2}, 1, nan), "not finite"},
		"infinity":             {repository.DecodeSoftmax, tensor("y", []int64{2}, inf, 1), "not finite"},
		"negative infinity":    {repository.DecodeSoftmax, tensor("y", []int64{2}, 1, -inf), "not finite"},
		"NaN probability":      {repository.DecodeProbabilities, tensor("y", []int64{2}, nan, 1), "not finite"},
		"logits":               {repository.DecodeProbabilities, tensor("y", []int64{2}, -3, 8), "are they logits"},
		"too few bytes":        {repository.DecodeSoftmax, Tensor{"y", repository.Float32, []int64{2}, make([]byte, 7)}, "of 7 bytes"},
		"another shape":        {repository.DecodeSoftmax, tensor("y", []int64{3}, 1, 2, 3), "it had 2 classes at load"},
		"another dtype":        {repository.DecodeSoftmax, Tensor{"y", repository.Float16, []int64{2}, make([]byte, 4)}, "it was float32"},
		"a shape left open":    {repository.DecodeSoftmax, Tensor{"y", repository.Float32, []int64{-1}, make([]byte, 8)}, "of 8 bytes"},
		"a shape beyond sense": {repository.DecodeSoftmax, Tensor{"y", repository.Float32, []int64{1 << 62, 4}, make([]byte, 8)}, "of 8 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			decoder := newDecoder(t, classes(c.decode), []Tensor{{Name: "y", DType: repository.Float32, Shape: []int64{2}}})
			answer, err := decoder.Decode([]Tensor{c.row}, geometry.Transform{}, Params{})
			wantInternal(t, answer, err, c.want)
		})
	}
	decoder := newDecoder(t, classes(repository.DecodeSoftmax), []Tensor{{Name: "y", DType: repository.Float32, Shape: []int64{2}}})
	answer, err := decoder.Decode(nil, geometry.Transform{}, Params{})
	wantInternal(t, answer, err, "an output is missing")
}

// wantInternal checks for an API error whose cause contains the text, but not its message, which clients see.
func wantInternal(t *testing.T, answer Prediction, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("answer %+v; want an error with %q", answer, want)
	}
	f := apierror.From(err)
	if f.Code != apierror.Internal || !strings.Contains(err.Error(), want) || strings.Contains(f.Message, want) {
		t.Errorf("error %v (%s); want internal with %q in its cause alone", err, f.Code, want)
	}
}

func TestParamsOutOfRange(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	classifier := classes(repository.DecodeSoftmax)
	detector, grid, transform, _ := yoloxBus(t)
	row := []Tensor{tensor("y", []int64{3}, 1, 2, 3)}
	for name, c := range map[string]struct {
		def     repository.Definition
		outputs []Tensor
		p       Params
		want    string
	}{
		"top_k above the classes":   {classifier, row, Params{TopK: 4}, "top_k: 4 is out of range (1–3)"},
		"top_k below one":           {classifier, row, Params{TopK: -1}, "top_k: -1 is out of range (1–3)"},
		"a score for a classifier":  {classifier, row, Params{Score: f(0.5)}, "are for detection"},
		"an IoU for a classifier":   {classifier, row, Params{IoU: f(0.5)}, "are for detection"},
		"a score above one":         {detector, grid, Params{Score: f(1.1)}, "score_threshold: 1.1 is out of range (0–1)"},
		"a score below zero":        {detector, grid, Params{Score: f(-0.1)}, "score_threshold: -0.1"},
		"a score that is no number": {detector, grid, Params{Score: f(math.NaN())}, "score_threshold: NaN"},
		"an IoU above one":          {detector, grid, Params{IoU: f(2)}, "iou_threshold: 2 is out of range (0–1)"},
		"an IoU that is no number":  {detector, grid, Params{IoU: f(math.NaN())}, "iou_threshold: NaN"},
		"top_k for a detector":      {detector, grid, Params{TopK: 3}, "is for classification"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newDecoder(t, c.def, c.outputs).Decode(c.outputs, transform, c.p)
			var f *apierror.Error
			if !errors.As(err, &f) || f.Code != apierror.InvalidParameter || !strings.Contains(f.Message, c.want) {
				t.Errorf("error is %v; want %q", err, c.want)
			}
		})
	}
}
