package postprocess

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// taskDefinition is the definition of a task with an input of 64×32.
func taskDefinition(task repository.Task, o repository.Output, labels ...string) repository.Definition {
	d := repository.Definition{Task: task, Labels: labels, LabelsFile: "labels.txt", Input: repository.Input{Width: 64, Height: 32}, Output: o}
	return d.WithDefaults()
}

// halved maps an image of 128×64 to an input of 64×32.
var halved = geometry.Transform{Width: 128, Height: 64, InputW: 64, InputH: 32, ScaleX: 0.5, ScaleY: 0.5}

func TestTasksTakeTheirEncodingsOnly(t *testing.T) {
	dense := tensor("y", []int64{8, 16}, make([]float32, 128)...)
	image := tensor("y", []int64{3, 8, 16}, make([]float32, 384)...)
	objects := []Tensor{tensor("t", []int64{1, 8}, 5, 5, 4, 4, 0.9, 1, 1, 1), tensor("p", []int64{3, 4, 4}, make([]float32, 48)...)}
	detect := repository.Output{Decode: repository.DecodeYOLO, Name: "t"}
	segment := detect
	segment.Mask.Masks = "p"
	pose := detect
	pose.Point = repository.PointOutput{Keypoints: []string{"a"}}
	for what, c := range map[string]struct {
		d       repository.Definition
		outputs []Tensor
		allowed []string
	}{
		"classification": {taskDefinition(repository.Classification, repository.Output{Decode: repository.DecodeSoftmax}), []Tensor{tensor("y", []int64{3}, 1, 2, 3)}, nil},
		"detection":      {taskDefinition(repository.Detection, detect, "a", "b", "c", "d"), objects[:1], nil},
		"oriented":       {taskDefinition(repository.OrientedDetection, detect, "a", "b", "c"), objects[:1], nil},
		"pose":           {taskDefinition(repository.Pose, pose, "a"), objects[:1], nil},
		"instances":      {taskDefinition(repository.InstanceSegmentation, segment, "a"), objects, []string{EncodingRLE, EncodingPolygon, EncodingPNG}},
		"semantic":       {taskDefinition(repository.SemanticSegmentation, repository.Output{Decode: repository.DecodeLogitsMap}), []Tensor{image}, []string{EncodingPNG, EncodingRLE}},
		"depth":          {taskDefinition(repository.Depth, repository.Output{Decode: repository.DecodeMap}), []Tensor{dense}, []string{EncodingPNG, EncodingRaw}},
		"anomaly":        {taskDefinition(repository.Anomaly, repository.Output{Decode: repository.DecodeMap}), []Tensor{dense}, []string{EncodingPNG, EncodingRaw}},
		"image":          {taskDefinition(repository.ImageOutput, repository.Output{Decode: repository.DecodeImage}), []Tensor{image}, []string{EncodingPNG, EncodingJPEG}},
		"embedding":      {taskDefinition(repository.Embedding, repository.Output{Decode: repository.DecodeVector}), []Tensor{tensor("y", []int64{3}, 1, 2, 3)}, []string{EncodingList, EncodingBase64}},
	} {
		decoder := newDecoder(t, c.d, c.outputs)
		for _, encoding := range append(Encodings(), "gif") {
			allowed := false
			for _, a := range c.allowed {
				allowed = allowed || a == encoding
			}
			p, err := decoder.Decode(c.outputs, halved, Params{Encoding: encoding})
			if allowed != (err == nil) || err != nil && apierror.From(err).Code != apierror.InvalidParameter {
				t.Errorf("%s as %s: %v", what, encoding, err)
			}
			if err == nil {
				if _, err := json.Marshal(p); err != nil {
					t.Errorf("%s as %s: %v", what, encoding, err)
				}
			}
		}
		if !c.d.Task.FindsObjects() && c.d.Task != repository.Classification {
			if _, err := decoder.Decode(c.outputs, halved, Params{MaxBoxes: 1}); apierror.From(err).Code != apierror.InvalidParameter {
				t.Errorf("%s with max_boxes: %v", what, err)
			}
		}
	}
}

func TestVectorsHaveLengthOne(t *testing.T) {
	d := taskDefinition(repository.Embedding, repository.Output{Decode: repository.DecodeVector})
	outputs := []Tensor{tensor("y", []int64{4}, 3, 0, -4, 0)}
	p, err := newDecoder(t, d, outputs).Decode(outputs, geometry.Transform{}, Params{})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(p); string(text) != `{"vector":[0.6,0,-0.8,0]}` {
		t.Errorf("%s", text)
	}
	if p, err = newDecoder(t, d, outputs).Decode(outputs, geometry.Transform{}, Params{Encoding: EncodingBase64}); err != nil {
		t.Fatal(err)
	}
	want := base64.StdEncoding.EncodeToString([]byte{0x9a, 0x99, 0x19, 0x3f, 0, 0, 0, 0, 0xcd, 0xcc, 0x4c, 0xbf, 0, 0, 0, 0})
	if text, _ := json.Marshal(p); string(text) != `{"vector":"`+want+`"}` {
		t.Errorf("%s, want %s", text, want)
	}
	d.Output.Dense.Normalize = repository.NormalizeNone
	if p, err = newDecoder(t, d, outputs).Decode(outputs, geometry.Transform{}, Params{}); err != nil || p.(*Embedded).Vector[2] != -4 {
		t.Errorf("without normalization: %v, %v", p, err)
	}
	for what, values := range map[string][]float32{"zeros": {0, 0, 0, 0}, "NaN": {1, float32(math.NaN()), 0, 0}, "an infinity": {1, float32(math.Inf(1)), 0, 0}} {
		outputs := []Tensor{tensor("y", []int64{4}, values...)}
		if _, err := newDecoder(t, taskDefinition(repository.Embedding, repository.Output{Decode: repository.DecodeVector}), outputs).Decode(outputs, halved, Params{}); apierror.From(err).Code != apierror.Internal {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCosines(t *testing.T) {
	for _, c := range []struct {
		a, b []float32
		want float64
	}{{[]float32{1, 0}, []float32{2, 0}, 1}, {[]float32{1, 0}, []float32{0, 5}, 0}, {[]float32{1, 1}, []float32{-1, -1}, -1}, {[]float32{1, 0}, []float32{1, 1}, math.Sqrt2 / 2}, {[]float32{0, 0}, []float32{1, 1}, 0}} {
		if got := Cosine(c.a, c.b); math.Abs(got-c.want) > 1e-7 {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// TestMapsCoverTheImage: a map of the x coordinate of the input, over images that fill it, lie in a part of it, or are cropped.
func TestMapsCoverTheImage(t *testing.T) {
	values := make([]float32, 8*16)
	for i := range values {
		values[i] = float32(i%16) + 0.5 // the center of a column
	}
	d := taskDefinition(repository.Depth, repository.Output{Decode: repository.DecodeMap})
	outputs := []Tensor{tensor("y", []int64{1, 8, 16}, values...)}
	for what, c := range map[string]struct {
		transform     geometry.Transform
		width, height int
		first, last   float32
	}{
		"all of it":   {halved, 16, 8, 0.5, 15.5},
		"a part":      {geometry.Transform{Width: 32, Height: 64, InputW: 64, InputH: 32, ScaleX: 0.5, ScaleY: 0.5, OffsetX: 24}, 4, 8, 6.5, 9.5},
		"half pixels": {geometry.Transform{Width: 32, Height: 64, InputW: 64, InputH: 32, ScaleX: 0.5, ScaleY: 0.5, OffsetX: 26}, 4, 8, 7, 10},
		"a crop":      {geometry.Transform{Width: 256, Height: 64, InputW: 64, InputH: 32, ScaleX: 0.5, ScaleY: 0.5, OffsetX: -32}, 16, 8, 0.5, 15.5},
	} {
		p, err := newDecoder(t, d, outputs).Decode(outputs, c.transform, Params{})
		if err != nil {
			t.Fatal(err)
		}
		m := p.(*DepthMap).Depth
		if m.Width != c.width || m.Height != c.height || math.Abs(float64(m.Values[0]-c.first)) > 1e-5 || math.Abs(float64(m.Values[m.Width-1]-c.last)) > 1e-5 {
			t.Errorf("%s: %d×%d from %v to %v, want %+v", what, m.Width, m.Height, m.Values[0], m.Values[m.Width-1], c)
		}
	}
}

// TestPNGOfAMapGivesItsNumbersBack within half a step of 16 bits.
// TestMapsWithAlignedCorners compares with torch.nn.functional.interpolate(mode="bilinear", align_corners=True): a ramp stays one, from the
// center of the image's first pixel to that of its last.
func TestMapsWithAlignedCorners(t *testing.T) {
	o := repository.Output{Decode: repository.DecodeMap, Name: "m"}
	o.Dense.Aligned = true
	outputs := []Tensor{tensor("m", []int64{2, 4}, 0, 1, 2, 3, 10, 11, 12, 13)}
	of := geometry.Transform{Width: 40, Height: 20, InputW: 4, InputH: 2, ScaleX: 0.1, ScaleY: 0.1}
	p, err := newDecoder(t, taskDefinition(repository.Depth, o), outputs).Decode(outputs, of, Params{})
	if err != nil {
		t.Fatal(err)
	}
	d := p.(*DepthMap).Depth
	for i, got := range d.Values {
		x, y := float64(i%4)*10+4.5, float64(i/4)*10+4.5 // the centers of the map's numbers in the image
		if want := x*3/39 + y*10/19; math.Abs(float64(got)-want) > 1e-5 {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
}

func TestPNGOfAMapGivesItsNumbersBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, m := range []*Map{{Width: 3, Height: 2, Values: []float32{5, 5, 5, 5, 5, 5}}, {Width: 1, Height: 2, Values: []float32{-3, 1e6}}, {Width: 9, Height: 9, Values: make([]float32, 81)}} {
		for i := range m.Values {
			if len(m.Values) == 81 {
				m.Values[i] = rng.Float32()*7 - 3
			}
		}
		var got struct {
			Width, Height int
			Scale, Offset float64
			PNG           []byte
		}
		text, err := json.Marshal(m)
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(got.PNG))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range m.Values {
			r, _, _, _ := img.At(i%m.Width, i/m.Width).RGBA()
			if far := math.Abs(got.Offset + got.Scale*float64(r) - float64(v)); far > got.Scale/2*1.001 {
				t.Errorf("%v is %v off", v, far)
			}
		}
	}
}

func TestAnomaliesReachTheThreshold(t *testing.T) {
	outputs := []Tensor{tensor("m", []int64{1, 2, 2}, 0.1, 0.2, 0.7, 0.4), tensor("s", []int64{}, 0.6)}
	o := repository.Output{Decode: repository.DecodeMap, Name: "m", Scores: "s"}
	low, high := 0.3, 0.9
	for what, c := range map[string]struct {
		scores    string
		threshold float64
		request   *float64
		score     float64
		anomalous bool
	}{
		"the score of the model":         {"s", 0, nil, 0.6, true},
		"the highest of the map":         {"", 0, nil, 0.7, true},
		"a threshold of the definition":  {"s", 0.65, nil, 0.6, false},
		"a lower one of the request":     {"s", 0.65, &low, 0.6, true},
		"a higher one of the request":    {"", 0, &high, 0.7, false},
		"a threshold that is the score":  {"", 0.699999988079071, nil, 0.7, true},
		"a threshold beyond probability": {"s", 12, nil, 0.6, false},
	} {
		o.Scores, o.Score = c.scores, c.threshold
		p, err := newDecoder(t, taskDefinition(repository.Anomaly, o), outputs).Decode(outputs, halved, Params{Score: c.request})
		if err != nil {
			t.Fatal(err)
		}
		a := p.(*AnomalyMap)
		if math.Abs(a.Score-c.score) > 1e-6 || a.Anomalous != c.anomalous || a.Map.Width != 2 || a.Width != 128 {
			t.Errorf("%s: %+v, want %+v", what, a, c)
		}
	}
}

// TestAnomaliesThatTheModelDecides: what its outputs of truth values say counts, unless the request has a threshold.
func TestAnomaliesThatTheModelDecides(t *testing.T) {
	truths := func(name string, shape []int64, values ...byte) Tensor {
		return Tensor{Name: name, DType: repository.Bool, Shape: shape, Data: values}
	}
	o := repository.Output{Decode: repository.DecodeMap, Name: "m", Scores: "s", Score: 0.5}
	o.Dense.Anomalous, o.Mask.Masks = "l", "k"
	low, high := 0.1, 0.9
	for what, c := range map[string]struct {
		label   byte
		request *float64
		want    bool
	}{
		"says so":                          {1, nil, true},
		"says not, with a score of 0.6":    {0, nil, false},
		"says so, above the request's":     {1, &high, false},
		"says not, with a lower threshold": {0, &low, true},
	} {
		outputs := []Tensor{tensor("m", []int64{1, 2, 2}, 0.1, 0.2, 0.7, 0.4), tensor("s", []int64{}, 0.6), truths("l", []int64{1}, c.label), truths("k", []int64{1, 2, 2}, 0, 1, 0, 0)}
		p, err := newDecoder(t, taskDefinition(repository.Anomaly, o), outputs).Decode(outputs, halved, Params{Score: c.request})
		if err != nil {
			t.Fatal(err)
		}
		a := p.(*AnomalyMap)
		quarter := image.Rect(a.Width/2, 0, a.Width, a.Height/2)
		if a.Anomalous != c.want || a.Mask.Bounds() != quarter || a.Mask.Area() != quarter.Dx()*quarter.Dy() {
			t.Errorf("%s: anomalous is %v, want %v; the mask has %d pixels in %v, want %v", what, a.Anomalous, c.want, a.Mask.Area(), a.Mask.Bounds(), quarter)
		}
	}
	for what, bad := range map[string][]Tensor{
		"a label for each pixel": {tensor("m", []int64{2, 2}, 0, 0, 0, 0), tensor("s", []int64{}, 0), truths("l", []int64{2}, 0, 0), truths("k", []int64{2, 2}, 0, 0, 0, 0)},
		"a mask of one row":      {tensor("m", []int64{2, 2}, 0, 0, 0, 0), tensor("s", []int64{}, 0), truths("l", []int64{1}, 0), truths("k", []int64{2}, 0, 0)},
	} {
		if _, err := New(taskDefinition(repository.Anomaly, o), bad); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestImagesInEveryLayout(t *testing.T) {
	pixels := [][3]float32{{0, 0, 0}, {1, 0.5, 0}, {0.2, 0.4, 2}, {-1, 1, 1}} // 2×2
	want := [][3]uint8{{0, 0, 0}, {255, 128, 0}, {51, 102, 255}, {0, 255, 255}}
	var first, last []float32
	for c := range 3 {
		for _, p := range pixels {
			first = append(first, p[c])
		}
	}
	for _, p := range pixels {
		last = append(last, p[:]...)
	}
	scaled := func(values []float32, by, plus float32) []float32 {
		out := make([]float32, len(values))
		for i, v := range values {
			out[i] = v*by + plus
		}
		return out
	}
	for what, c := range map[string]struct {
		shape  []int64
		values []float32
		o      repository.DenseOutput
		color  string
		swap   bool
	}{
		"channels first":   {[]int64{3, 2, 2}, first, repository.DenseOutput{}, "", false},
		"channels last":    {[]int64{2, 2, 3}, last, repository.DenseOutput{}, "", false},
		"from -1 to 1":     {[]int64{3, 2, 2}, scaled(first, 2, -1), repository.DenseOutput{Range: []float64{-1, 1}}, "", false},
		"from 0 to 255":    {[]int64{2, 2, 3}, scaled(last, 255, 0), repository.DenseOutput{Range: []float64{0, 255}}, "", false},
		"blue first":       {[]int64{3, 2, 2}, first, repository.DenseOutput{}, repository.ColorBGR, true},
		"a layout is said": {[]int64{2, 2, 3}, last, repository.DenseOutput{Layout: "nhwc"}, "", false},
	} {
		d := taskDefinition(repository.ImageOutput, repository.Output{Decode: repository.DecodeImage, Dense: c.o})
		d.Input.Color = c.color
		outputs := []Tensor{tensor("y", c.shape, c.values...)}
		p, err := newDecoder(t, d, outputs).Decode(outputs, halved, Params{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		img := p.(*Rendered).Image
		for i, w := range want {
			if c.swap {
				w[0], w[2] = w[2], w[0]
			}
			if got := img.NRGBAAt(i%2, i/2); got.R != w[0] || got.G != w[1] || got.B != w[2] || got.A != 255 {
				t.Errorf("%s: pixel %d is %v, want %v", what, i, got, w)
			}
		}
	}
}

// TestMapsOfOneClass: the class is where the scores are above 0, or above the threshold of probabilities.
func TestMapsOfOneClass(t *testing.T) {
	outputs := []Tensor{tensor("y", []int64{1, 2, 2}, 0.2, 0.6, 0.4, 0.9)}
	for threshold, want := range map[float64]int{0: 4, 0.5: 2, 0.95: 0} {
		o := repository.Output{Decode: repository.DecodeLogitsMap, Name: "y"}
		o.Text.MapThreshold, o.Dense.Layout = threshold, "nchw" // as many columns as labels
		d := taskDefinition(repository.SemanticSegmentation, o)
		d.Labels = []string{"background", "crack"}
		p, err := newDecoder(t, d, outputs).Decode(outputs, geometry.Transform{Width: 2, Height: 2, InputW: 2, InputH: 2, ScaleX: 1, ScaleY: 1}, Params{})
		if err != nil {
			t.Fatal(err)
		}
		area := 0
		for _, c := range p.(*ClassMap).Classes {
			if c.Class == 1 {
				area = c.Area
			}
		}
		if area != want {
			t.Errorf("above %v: %d pixels, want %d", threshold, area, want)
		}
	}
}

func TestNumbersOfClassesMustBeClasses(t *testing.T) {
	d := taskDefinition(repository.SemanticSegmentation, repository.Output{Decode: repository.DecodeClassMap}, "a", "b")
	for _, value := range []float32{2, -1, 0.5, 1000, float32(math.NaN())} {
		outputs := []Tensor{tensor("y", []int64{1, 2}, 1, value)}
		if _, err := newDecoder(t, d, outputs).Decode(outputs, halved, Params{}); apierror.From(err).Code != apierror.Internal {
			t.Errorf("%v: %v", value, err)
		}
	}
}

func TestObjectsWithoutAMaskAreLeftOut(t *testing.T) {
	o := repository.Output{Decode: repository.DecodeYOLO, Name: "t"}
	o.Mask.Masks = "p"
	d := taskDefinition(repository.InstanceSegmentation, o, "a")
	outputs := []Tensor{tensor("t", []int64{2, 6}, 10, 10, 8, 8, 0.9, 1, 40, 20, 8, 8, 0.8, -1), tensor("p", []int64{1, 2, 2}, 1, 1, 1, 1)}
	p, err := newDecoder(t, d, outputs).Decode(outputs, halved, Params{})
	if err != nil {
		t.Fatal(err)
	}
	s := p.(*Segmented)
	if len(s.Boxes) != 1 || s.Boxes[0].Mask.Area() != 16*16 {
		t.Errorf("%+v", s.Boxes)
	}
}

func TestTaskDefinitionsThatDoNotFitTheOutputs(t *testing.T) {
	points := repository.Output{Decode: repository.DecodeBoxes, Boxes: "b", Scores: "s", BoxSpace: repository.SpaceInput, Point: repository.PointOutput{Points: "p", Keypoints: []string{"a", "b"}}}
	masks := repository.Output{Decode: repository.DecodeYOLO, Name: "t", Mask: repository.MaskOutput{Masks: "p"}}
	boxes := []Tensor{tensor("b", []int64{1, 4}, 0, 0, 1, 1), tensor("s", []int64{1}, 0.5)}
	for what, c := range map[string]struct {
		d       repository.Definition
		outputs []Tensor
		want    string
	}{
		"points of another number": {taskDefinition(repository.Pose, points), append(boxes, tensor("p", []int64{1, 3, 3}, make([]float32, 9)...)), "output.keypoints: there are 2 names"},
		"no prototypes":            {taskDefinition(repository.InstanceSegmentation, masks), []Tensor{tensor("t", []int64{1, 6}, make([]float32, 6)...), tensor("p", []int64{4}, 1, 2, 3, 4)}, "output.masks: rows of"},
		"too few columns":          {taskDefinition(repository.InstanceSegmentation, masks), []Tensor{tensor("t", []int64{9, 6}, make([]float32, 54)...), tensor("p", []int64{4, 2, 2}, make([]float32, 16)...)}, "[4 + classes + 4, n]"},
		"labels of other classes":  {taskDefinition(repository.SemanticSegmentation, repository.Output{Decode: repository.DecodeLogitsMap}, "a", "b"), []Tensor{tensor("y", []int64{3, 4, 4}, make([]float32, 48)...)}, "has 2 labels"},
		"a vector of two sides":    {taskDefinition(repository.Embedding, repository.Output{Decode: repository.DecodeVector}), []Tensor{tensor("y", []int64{2, 2}, 1, 2, 3, 4)}, "want a vector"},
		"labels of a vector":       {taskDefinition(repository.Embedding, repository.Output{Decode: repository.DecodeVector}, "a"), []Tensor{tensor("y", []int64{2}, 1, 2)}, "vectors have none"},
		"an image of two channels": {taskDefinition(repository.ImageOutput, repository.Output{Decode: repository.DecodeImage}), []Tensor{tensor("y", []int64{2, 5, 5}, make([]float32, 50)...)}, "1, 3 or 4 channels"},
	} {
		if _, err := New(c.d, c.outputs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// TestRotatedBoxesWithNegativeSides have the corners of those with the sides' lengths.
func TestRotatedBoxesWithNegativeSides(t *testing.T) {
	o := repository.Output{Decode: repository.DecodeRows, Columns: []string{"cx", "cy", "w", "h", "score", "class"}, MaxBoxes: 10, Score: 0.25}
	d := taskDefinition(repository.OrientedDetection, o)
	answer := func(w, h float32) *Oriented {
		outputs := []Tensor{tensor("t", []int64{1, 7}, 60, 50, w, h, 0.9, 0, 0.4)}
		p, err := newDecoder(t, d, outputs).Decode(outputs, square640, Params{})
		if err != nil {
			t.Fatal(err)
		}
		return p.(*Oriented)
	}
	want := answer(30, 20)
	if len(want.Boxes) != 1 {
		t.Fatalf("%+v", want)
	}
	for _, sides := range [][2]float32{{-30, 20}, {30, -20}, {-30, -20}} {
		if got := answer(sides[0], sides[1]); len(got.Boxes) != 1 || got.Boxes[0] != want.Boxes[0] {
			t.Errorf("%v: %+v, want %+v", sides, got.Boxes, want.Boxes)
		}
	}
}

// TestProbIoUOfEqualBoxes and of those far from each other.
func TestProbIoUOfEqualBoxes(t *testing.T) {
	a := gaussianOf(rect{0, 0, 10, 4}, 0.3)
	far := gaussianOf(rect{100, 0, 110, 4}, 0.3)
	if got := probIoU(&a, &a); got < 0.999 {
		t.Errorf("of equal boxes %v", got)
	}
	if got := probIoU(&a, &far); got > 1e-3 {
		t.Errorf("of boxes far away %v", got)
	}
	quarter := gaussianOf(rect{0, 0, 10, 4}, 0.3+math.Pi)
	if got := probIoU(&a, &quarter); got < 0.999 {
		t.Errorf("of a box that is turned around %v", got)
	}
}

// TestFarBoxesAreNeverNearer: the bound that skips pairs never skips one that reaches the threshold.
func TestFarBoxesAreNeverNearer(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	skipped := 0
	for range 200000 {
		box := func() gaussian {
			x, y := rng.Float64()*40, rng.Float64()*40
			return gaussianOf(rect{x, y, x + 1 + rng.Float64()*30, y + 1 + rng.Float64()*30}, rng.Float64()*4)
		}
		a, b, threshold := box(), box(), 0.02+rng.Float64()*0.98
		g := newGaussians(&limits{iou: threshold})
		dx, dy := a.x-b.x, a.y-b.y
		if dx*dx+dy*dy > g.far*(a.reach+b.reach) {
			if skipped++; probIoU(&a, &b) >= threshold {
				t.Fatalf("%v and %v at %v", a, b, threshold)
			}
		}
	}
	if skipped < 1000 {
		t.Errorf("only %d are skipped", skipped)
	}
}

// TestHugeNumbers has finite numbers whose differences are not.
func TestHugeNumbers(t *testing.T) {
	const huge = math.MaxFloat32
	def := taskDefinition(repository.Depth, repository.Output{Decode: repository.DecodeMap})
	between := geometry.Transform{Width: 3, Height: 3, InputW: 2, InputH: 2, ScaleX: 2.0 / 3, ScaleY: 2.0 / 3, OffsetX: -0.5, OffsetY: -0.5}
	for _, values := range [][]float32{{-huge, huge, -huge, huge}, {huge, huge, -huge, -huge}} {
		outputs := []Tensor{tensor("y", []int64{2, 2}, values...)}
		answer, err := newDecoder(t, def, outputs).Decode(outputs, between, Params{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(answer); err != nil {
			t.Errorf("%v: %v", values, err)
		}
	}
	m := classScores{values: []float32{-huge, huge, huge, -huge, huge, -huge, -huge, huge}, classes: 2, lines: 2, columns: 2,
		perClass: 4, perLine: 2, perColumn: 1, x: axisOf(1.0/3, 0, 2, 2), y: axisOf(1.0/3, 0, 2, 2)}
	pixels := bytes.Repeat([]byte{200}, 6*6) // of another image
	m.highest(pixels, 6, 6)
	for _, class := range pixels {
		if class > 1 {
			t.Fatalf("class %d of 2", class)
		}
	}
}
