package postprocess

import (
	"slices"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// crowd is an output of boxes apart from each other, one for each score of one class.
func crowd(classes int, of [][2]float32) []Tensor {
	var boxes, scores []float32
	for i, s := range of {
		x := float32(10 * i)
		boxes = append(boxes, x, 0, x+9, 9)
		row := make([]float32, classes)
		row[int(s[0])] = s[1]
		scores = append(scores, row...)
	}
	n := int64(len(of))
	return []Tensor{tensor("b", []int64{n, 4}, boxes...), tensor("s", []int64{n, int64(classes)}, scores...)}
}

func TestLimitsOfARequest(t *testing.T) {
	outputs := crowd(4, [][2]float32{{0, 0.9}, {1, 0.8}, {2, 0.7}, {3, 0.6}, {1, 0.5}, {0, 0.35}, {3, 0.2}})
	v := func(f float64) *float64 { return &f }
	base := detector(func(*repository.Output) {})
	base.Labels = []string{"cat", "dog", "3", "bow, arrow"}
	strict := base
	strict.Output.ClassThresholds = []repository.ClassThreshold{{Label: "dog", Score: 0.75}, {Label: "bow, arrow", Score: 0.1}}
	unlabeled := base
	unlabeled.Labels = nil
	for name, c := range map[string]struct {
		def     repository.Definition
		p       Params
		classes []int
	}{
		"all":                                  {base, Params{}, []int{0, 1, 2, 3, 1, 0}},
		"a label":                              {base, Params{Classes: []string{"dog"}}, []int{1, 1}},
		"a number":                             {base, Params{Classes: []string{"0"}}, []int{0, 0}},
		"a label that is a number":             {base, Params{Classes: []string{"3"}}, []int{2}},
		"a label with a comma":                 {base, Params{Classes: []string{"bow, arrow"}}, []int{3}},
		"a list":                               {base, Params{Classes: []string{"dog, 0"}}, []int{0, 1, 1, 0}},
		"several values, one twice":            {base, Params{Classes: []string{"dog", "3", "dog"}}, []int{1, 2, 1}},
		"numbers without labels":               {unlabeled, Params{Classes: []string{"3"}}, []int{3}},
		"a lower threshold":                    {base, Params{Classes: []string{"bow, arrow"}, Score: v(0.1)}, []int{3, 3}},
		"thresholds of classes":                {strict, Params{}, []int{0, 1, 2, 3, 0, 3}},
		"thresholds of wanted classes":         {strict, Params{Classes: []string{"dog,0"}}, []int{0, 1, 0}},
		"a request's threshold replaces them":  {strict, Params{Score: v(0.55)}, []int{0, 1, 2, 3}},
		"a number of boxes":                    {base, Params{MaxBoxes: 2}, []int{0, 1}},
		"a number of boxes of a wanted class":  {base, Params{MaxBoxes: 1, Classes: []string{"1"}}, []int{1}},
		"more boxes than the definition wants": {strict, Params{MaxBoxes: 1000}, []int{0, 1, 2, 3, 0, 3}},
	} {
		var got []int
		for _, b := range find(t, c.def, square, c.p, outputs...) {
			got = append(got, b.Class)
		}
		if !slices.Equal(got, c.classes) {
			t.Errorf("%s: classes %v, want %v", name, got, c.classes)
		}
	}
}

// TestWantedClassesAreChosenBeforeTheLimits: boxes of other classes neither suppress nor count.
func TestWantedClassesAreChosenBeforeTheLimits(t *testing.T) {
	d := detector(func(o *repository.Output) { o.IoU, o.ClassAgnostic, o.MaxCandidates, o.MaxBoxes = 0.5, true, 1, 1 })
	outputs := []Tensor{tensor("b", []int64{2, 4}, 0, 0, 9, 9, 0, 0, 9, 9), tensor("s", []int64{2, 2}, 0.9, 0, 0, 0.8)}
	if got := find(t, d, square, Params{Classes: []string{"dog"}}, outputs...); len(got) != 1 || got[0].Class != 1 {
		t.Errorf("boxes %+v", got)
	}
}

// TestTheBestClassCountsEvenIfNotWanted: as with Ultralytics' classes=, a box belongs to its best class.
func TestTheBestClassCountsEvenIfNotWanted(t *testing.T) {
	for _, several := range []bool{false, true} {
		d := detector(func(o *repository.Output) { o.MultiLabel = several })
		outputs := []Tensor{tensor("b", []int64{1, 4}, 0, 0, 9, 9), tensor("s", []int64{1, 2}, 0.9, 0.8)}
		if got := find(t, d, square, Params{Classes: []string{"dog"}}, outputs...); (len(got) == 1) != several {
			t.Errorf("multi_label %v: boxes %+v", several, got)
		}
	}
}

func TestBadLimitsOfARequest(t *testing.T) {
	outputs := crowd(2, [][2]float32{{0, 0.9}})
	detect := newDecoder(t, detector(func(*repository.Output) {}), outputs)
	many := detector(func(*repository.Output) {})
	many.Labels = strings.Fields(strings.Repeat("a ", 30))
	for i := range many.Labels {
		many.Labels[i] += string(rune('A' + i))
	}
	wide := crowd(30, [][2]float32{{0, 0.9}})
	scores := tensor("y", []int64{2}, 1, 0)
	classify := newDecoder(t, classes(repository.DecodeSoftmax), []Tensor{scores})
	for name, c := range map[string]struct {
		decoder Decoder
		outputs []Tensor
		p       Params
		want    string
	}{
		"an unknown label":             {detect, outputs, Params{Classes: []string{"bee"}}, `classes: "bee" is not a class of the model; allowed: cat, dog, or numbers from 0 to 1`},
		"an unknown label of a list":   {detect, outputs, Params{Classes: []string{"cat,bee"}}, `classes: "bee"`},
		"a number that is no class":    {detect, outputs, Params{Classes: []string{"2"}}, `classes: "2"`},
		"a negative number":            {detect, outputs, Params{Classes: []string{"-1"}}, `classes: "-1"`},
		"an empty part":                {detect, outputs, Params{Classes: []string{"cat,"}}, `classes: ""`},
		"one of many labels":           {newDecoder(t, many, wide), wide, Params{Classes: []string{"x"}}, "and 10 more labels, or numbers from 0 to 29"},
		"too many boxes":               {detect, outputs, Params{MaxBoxes: 1001}, "max_boxes: 1001 is out of range (1–1000)"},
		"a negative number of boxes":   {detect, outputs, Params{MaxBoxes: -1}, "max_boxes: -1"},
		"classes for classification":   {classify, []Tensor{scores}, Params{Classes: []string{"0"}}, "classes and max_boxes are for detection"},
		"max_boxes for classification": {classify, []Tensor{scores}, Params{MaxBoxes: 1}, "classes and max_boxes are for detection"},
	} {
		_, err := c.decoder.Decode(c.outputs, square, c.p)
		if e := apierror.From(err); err == nil || e.Code != apierror.InvalidParameter || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func TestClassThresholdOfAnUnknownClass(t *testing.T) {
	d := detector(func(o *repository.Output) { o.ClassThresholds = []repository.ClassThreshold{{Label: "2", Score: 0.5}} })
	d.Labels = nil
	if _, err := New(d, crowd(2, [][2]float32{{0, 1}})); err == nil || !strings.Contains(err.Error(), `output.class_thresholds[0].label: "2" is not a class`) {
		t.Errorf("error %v", err)
	}
	if _, err := New(d, crowd(3, [][2]float32{{0, 1}})); err != nil {
		t.Error(err)
	}
}

func TestSigmoidOfIndependentClasses(t *testing.T) {
	got, err := decodeOne(t, classes(repository.DecodeSigmoid, "cat", "dog", "bee"), tensor("y", []int64{3}, -1, 88, 2), Params{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Class{{1, "dog", 1}, {2, "bee", 0.8807970779778823}, {0, "cat", 0.2689414213699951}}
	if !slices.Equal(got.Top, want) {
		t.Errorf("classes %+v, want %+v", got.Top, want)
	}
}

// TestLabelsThatDoNotFitNameTheKey: the error of New says which key makes up for a class more or less.
func TestLabelsThatDoNotFitNameTheKey(t *testing.T) {
	three := []string{"cat", "dog", "bee"}
	f32 := func(name string, shape ...int64) Tensor {
		return Tensor{Name: name, DType: repository.Float32, Shape: shape}
	}
	query := func(activation string, first int) repository.Definition {
		return repository.Definition{Task: repository.Detection, Labels: three, LabelsFile: "labels.txt", Output: repository.Output{
			Decode: repository.DecodeDETR, Boxes: "b", Scores: "s", Activation: activation, ClassFirst: first}}.WithDefaults()
	}
	queries := func(n int64) []Tensor { return []Tensor{f32("b", 10, 4), f32("s", 10, n)} }
	first := classes(repository.DecodeSoftmax, three...)
	first.Output.ClassFirst = 1
	for name, c := range map[string]struct {
		def     repository.Definition
		outputs []Tensor
		want    string
	}{
		"a class more":               {classes(repository.DecodeSoftmax, three...), []Tensor{f32("y", 4)}, "set output.class_first: 1"},
		"a class less":               {first, []Tensor{f32("y", 3)}, "set output.class_first: 0"},
		"a query's class more":       {query(repository.ActivationSigmoid, 0), queries(4), "set output.activation: softmax"},
		"a query's class less":       {query(repository.ActivationSoftmax, 0), queries(3), "set output.activation: sigmoid"},
		"two classes more":           {query(repository.ActivationSigmoid, 0), queries(5), "has 5 classes"},
		"a query's no object":        {query(repository.ActivationSoftmax, 0), queries(4), ""},
		"a query's unused class":     {query(repository.ActivationSigmoid, 1), queries(4), ""},
		"only no object":             {query(repository.ActivationSoftmax, 0), queries(1), "softmax needs a class for no object"},
		"boxes of another number":    {query(repository.ActivationSigmoid, 0), []Tensor{f32("b", 9, 4), f32("s", 10, 3)}, "n = 9"},
		"boxes of three numbers":     {query(repository.ActivationSigmoid, 0), []Tensor{f32("b", 10, 3), f32("s", 10, 3)}, "want [n,4]"},
		"no class in rows":           {rowsOf("x1", "y1", "x2", "y2", "score"), []Tensor{f32("y", 10, 5)}, "names no class, but labels.txt has 2 labels"},
		"other columns":              {rowsOf("x1", "y1", "x2", "y2", "score", "class"), []Tensor{f32("y", 10, 7)}, "names 6 columns"},
		"one row, taken for a batch": {rowsOf("x1", "y1", "x2", "y2", "score", "class"), []Tensor{f32("y", 6)}, ""},
	} {
		_, err := New(c.def, c.outputs)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func rowsOf(columns ...string) repository.Definition {
	return repository.Definition{Task: repository.Detection, Labels: []string{"cat", "dog"}, LabelsFile: "labels.txt",
		Output: repository.Output{Decode: repository.DecodeRows, Columns: columns}}.WithDefaults()
}

func TestYOLOIsTurnedByItsShape(t *testing.T) {
	for name, c := range map[string]struct {
		shape   [2]int64
		labeled int64
		want    bool
	}{
		"columns without labels":        {[2]int64{84, 8400}, 0, true},
		"rows without labels":           {[2]int64{8400, 84}, 0, false},
		"fewer boxes than numbers":      {[2]int64{84, 21}, 84, true},
		"fewer boxes in rows":           {[2]int64{21, 84}, 84, false},
		"both sides fit":                {[2]int64{84, 84}, 84, true},
		"neither fits":                  {[2]int64{84, 8400}, 10, true},
		"an open number of boxes":       {[2]int64{84, -1}, 0, true},
		"an open number of boxes first": {[2]int64{-1, 84}, 0, false},
	} {
		if got := isTurned(c.shape[:], c.labeled); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRowsThatAreBroken(t *testing.T) {
	d := rowsOf("x1", "y1", "x2", "y2", "score", "class")
	row := func(v ...float32) []Tensor { return []Tensor{tensor("y", []int64{1, 6}, v...)} }
	nan := float32(0)
	nan /= nan
	for want, outputs := range map[string][]Tensor{
		"score of NaN":     row(0, 0, 9, 9, nan, 0),
		"score of 2":       row(0, 0, 9, 9, 2, 0),
		"not an integer":   row(0, 0, 9, 9, 0.9, 0.5),
		"predicts class 2": row(0, 0, 9, 9, 0.9, 2),
		"not finite":       row(nan, 0, 9, 9, 0.9, 0),
		"does not fit":     {tensor("y", []int64{6, 1}, 0, 0, 9, 9, 0.9, 0)},
	} {
		answer, err := newDecoder(t, d, row(0, 0, 0, 0, 0, 0)).Decode(outputs, geometry.Transform{Width: 9, Height: 9, InputW: 9, InputH: 9, ScaleX: 1, ScaleY: 1}, Params{})
		wantInternal(t, answer, err, want)
	}
}
