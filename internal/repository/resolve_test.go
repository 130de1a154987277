package repository

import (
	"slices"
	"strings"
	"testing"
)

func definition(t *testing.T, text string) Definition {
	t.Helper()
	d, err := parseFile([]byte(text), "model.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const (
	classifier = "task: classification\noutput: {decode: softmax}\n"
	detector   = "task: detection\noutput: {decode: boxes, boxes: b, scores: s, box_space: original}\n"
)

var (
	chw     = TensorInfo{"x", Float32, []int64{-1, 3, 224, 192}}
	logits  = TensorInfo{"y", Float32, []int64{-1, 1000}}
	sizes   = TensorInfo{"size", Int64, []int64{-1, 2}}
	onlyY   = []TensorInfo{logits}
	onlyCHW = []TensorInfo{chw}
)

func TestResolveCompletesTheDefinition(t *testing.T) {
	d, err := definition(t, classifier).Resolve(onlyCHW, onlyY)
	if err != nil {
		t.Fatal(err)
	}
	in := d.Input
	if in.Name != "x" || in.Width != 192 || in.Height != 224 || in.DType != Float32 || in.Layout != "nchw" {
		t.Errorf("input: %+v", in)
	}
	if d.Output.Name != "y" || d.Batching.MaxSize != 0 {
		t.Errorf("output name %q, max_size %d", d.Output.Name, d.Batching.MaxSize)
	}
}

func TestResolveReadsChannelsLastAndAFixedBatch(t *testing.T) {
	d, err := definition(t, classifier).Resolve([]TensorInfo{{"x", Float16, []int64{1, 257, 255, 3}}}, onlyY)
	if err != nil {
		t.Fatal(err)
	}
	if in := d.Input; in.Layout != "nhwc" || in.Width != 255 || in.Height != 257 || in.DType != Float16 {
		t.Errorf("input: %+v", in)
	}
	if d.Batching.MaxSize != 1 {
		t.Errorf("max_size is %d, the file fixes the batch at 1", d.Batching.MaxSize)
	}
}

func TestResolveDerivesTheColor(t *testing.T) {
	for name, c := range map[string]struct {
		text          string
		shape         []int64
		color, layout string
	}{
		"three channels first":         {"", []int64{-1, 3, 8, 9}, "rgb", "nchw"},
		"three channels last":          {"", []int64{-1, 8, 9, 3}, "rgb", "nhwc"},
		"three, the other way round":   {"color: bgr", []int64{-1, 3, 8, 9}, "bgr", "nchw"},
		"an open number of channels":   {"width: 9, height: 8", []int64{-1, -1, -1, -1}, "rgb", "nchw"},
		"one channel first":            {"", []int64{-1, 1, 8, 9}, "gray", "nchw"},
		"one channel last":             {"", []int64{-1, 8, 9, 1}, "gray", "nhwc"},
		"one channel, declared so":     {"color: gray, mean: 3", []int64{-1, 1, 8, 9}, "gray", "nchw"},
		"open, declared as one":        {"color: gray", []int64{-1, -1, 8, 9}, "gray", "nchw"},
		"no dimension for the channel": {"color: gray", []int64{-1, 8, 9}, "gray", "nchw"},
	} {
		d, err := definition(t, classifier+"input: {"+c.text+"}").Resolve([]TensorInfo{{"x", Float32, c.shape}}, onlyY)
		if in := d.Input; err != nil || in.Color != c.color || in.Layout != c.layout || in.Width != 9 || in.Height != 8 {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
	}
}

func TestResolveTakesTheOnlyOutputThatFits(t *testing.T) {
	other := func(dtype DType, shape ...int64) TensorInfo { return TensorInfo{"other", dtype, shape} }
	const grid = "task: detection\ninput: {width: 32, height: 32}\noutput: {decode: yolox, strides: 32}\n"
	img := []TensorInfo{{"x", Float32, []int64{-1, 3, -1, -1}}}
	for name, c := range map[string]struct {
		text   string
		labels []string
		fits   TensorInfo
		others []TensorInfo
	}{
		"types that are not read": {classifier, nil, logits, []TensorInfo{other("bool", -1, 1000), other("sequence"), other("string", -1, 1), other(Int8, -1, 1000)}},
		"maps of features":        {classifier, nil, logits, []TensorInfo{other(Float32, -1, 64, 7, 7), other(Float32, -1, -1, -1)}},
		"another number of classes": {classifier, []string{"a", "b"}, TensorInfo{"y", Float64, []int64{-1, 1, 2}},
			[]TensorInfo{other(Float32, -1, 3), other(Float32, -1, 512)}},
		"a grid next to scores": {grid, []string{"a", "b"}, TensorInfo{"y", Float16, []int64{1, -1, 7}},
			[]TensorInfo{other(Float32, 1, 7), other(Float32, 1, 4, 4, 7), other(Float32, 1, 1, 8)}},
	} {
		d := definition(t, c.text)
		d.Labels = c.labels
		d.Input.Width, d.Input.Height = 32, 32
		for at := range len(c.others) + 1 { // wherever it stands
			resolved, err := d.Resolve(img, slices.Insert(slices.Clone(c.others), at, c.fits))
			if err != nil || resolved.Output.Name != "y" || !slices.Equal(resolved.Outputs(), []string{"y"}) {
				t.Errorf("%s, at %d: %q, %v", name, at, resolved.Output.Name, err)
			}
		}
	}
}

func TestResolveTellsExtrasFromTheImage(t *testing.T) {
	d, err := definition(t, detector+"input: {extra: [{name: size, value: original_size_wh}]}").
		Resolve([]TensorInfo{sizes, chw}, []TensorInfo{{Name: "b", DType: Int32}, {Name: "s", DType: Float64}})
	if err != nil || d.Input.Name != "x" {
		t.Errorf("image input %q, error %v", d.Input.Name, err)
	}
}

func TestResolveNamesBothSides(t *testing.T) {
	open := TensorInfo{"x", Float32, []int64{-1, 3, -1, -1}}
	for name, c := range map[string]struct {
		text            string
		inputs, outputs []TensorInfo
		want            string
	}{
		"another width":                      {classifier + "input: {width: 256}", onlyCHW, onlyY, "input.width: model.yaml says 256, model.onnx says 192"},
		"another height":                     {classifier + "input: {height: 256}", onlyCHW, onlyY, "input.height: model.yaml says 256, model.onnx says 224"},
		"another dtype":                      {classifier + "input: {dtype: float16}", onlyCHW, onlyY, "input.dtype: model.yaml says float16, model.onnx says float32"},
		"another layout":                     {classifier + "input: {layout: nhwc}", onlyCHW, onlyY, `input.layout: model.yaml says nhwc; "x" of model.onnx has the shape [?,3,224,192], which is nchw`},
		"a dtype no image has":               {classifier, []TensorInfo{{"x", Int64, chw.Shape}}, onlyY, "input.dtype: model.onnx says int64; allowed:"},
		"one channel read as three":          {classifier + "input: {color: bgr}", []TensorInfo{{"x", Float32, []int64{1, 1, 8, 8}}}, onlyY, `input.color: bgr has 3 channels; "x" of model.onnx takes 1, its shape being [1,1,8,8] (layout nchw); allowed with 1: gray`},
		"three channels read as one":         {classifier + "input: {color: gray}", onlyCHW, onlyY, `input.color: gray has 1 channel; "x" of model.onnx takes 3, its shape being [?,3,224,192] (layout nchw); allowed with 3: rgb, bgr`},
		"three means for one channel":        {classifier + "input: {mean: [1, 2, 3]}", []TensorInfo{{"x", Float32, []int64{1, 1, 8, 8}}}, onlyY, "input.mean: has 3 values, but color: gray has one channel"},
		"two channels":                       {classifier, []TensorInfo{{"x", Float32, []int64{1, 2, 8, 8}}}, onlyY, `input: "x" of model.onnx takes 2 channels, its shape being [1,2,8,8] (layout nchw); allowed: 3 (color: rgb, bgr), 4 (rgba, bgra) or 1 (gray)`},
		"four channels and a color of three": {classifier + "input: {color: rgb}", []TensorInfo{{"x", Float32, []int64{1, 4, 8, 8}}}, onlyY, `input.color: rgb has 3 channels; "x" of model.onnx takes 4`},
		"five channels at the end":           {classifier, []TensorInfo{{"x", Float32, []int64{-1, 8, 9, 5}}}, onlyY, `input: "x" of model.onnx takes 5 channels, its shape being [?,8,9,5] (layout nhwc)`},
		"no dimension for channels":          {classifier, []TensorInfo{{"x", Float32, []int64{-1, 28, 28}}}, onlyY, `or [N,height,width] with color: gray`},
		"a flat input":                       {classifier, []TensorInfo{{"x", Float32, []int64{1, 3, 64}}}, onlyY, `input: model.onnx gives "x" the shape [1,3,64]; allowed: four`},
		"an open width":                      {classifier, []TensorInfo{open}, onlyY, "input.width: is required: model.onnx leaves it open"},
		"an open height":                     {classifier + "input: {width: 8}", []TensorInfo{open}, onlyY, "input.height: is required"},
		"a width too large":                  {classifier, []TensorInfo{{"x", Float32, []int64{1, 3, 8, 9000}}}, onlyY, "input.width: model.onnx says 9000, which is out of range (1–8192)"},
		"an input that is none":              {classifier + "input: {name: z}", onlyCHW, onlyY, `input.name: model.yaml says "z", model.onnx has the inputs "x"`},
		"two images, none named":             {classifier, []TensorInfo{chw, {"z", Uint8, []int64{-1, 8, 9, 3}}, sizes}, onlyY, `input.name: is required: model.onnx has the inputs "x", "z", "size"`},
		"no image among the inputs":          {classifier, []TensorInfo{sizes, {"z", Int64, chw.Shape}}, onlyY, `input.name: model.onnx has the inputs "size", "z", and none is left for the image`},
		"an extra that none named":           {classifier, []TensorInfo{chw, sizes}, onlyY, `input.extra: model.onnx has an input "size" that model.yaml does not feed`},
		"no inputs":                          {classifier, nil, onlyY, "input.name: model.onnx has the inputs (none)"},
		"an input nothing feeds":             {classifier + "input: {name: x}", []TensorInfo{chw, sizes}, onlyY, `input.extra: model.onnx has an input "size" that model.yaml does not feed`},
		"an extra that is none":              {classifier + "input: {extra: [{name: q, value: input_size_wh}]}", onlyCHW, onlyY, `input.extra[0].name: model.yaml says "q"`},
		"an extra of another shape":          {classifier + "input: {extra: [{name: e, value: input_size_wh}]}", []TensorInfo{chw, {"e", Int64, []int64{1, 4}}}, onlyY, `input.extra[0]: model.onnx gives "e" the shape [1,4]; allowed with input_size_wh: [N,2] and [2]`},
		"an extra of another dtype":          {classifier + "input: {extra: [{name: e, value: input_size_wh}]}", []TensorInfo{chw, {"e", "bool", []int64{1, 2}}}, onlyY, `input.extra[0]: model.onnx gives "e" the dtype bool`},
		"a batch the file does not do":       {classifier + "batching: {max_size: 8}", []TensorInfo{{"x", Float32, []int64{1, 3, 8, 8}}}, onlyY, "batching.max_size: model.yaml says 8, model.onnx fixes the batch at 1"},
		"an output that is none":             {"task: classification\noutput: {decode: softmax, name: z}", onlyCHW, onlyY, `output.name: model.yaml says "z", model.onnx has the outputs "y"`},
		"two outputs that fit":               {classifier, onlyCHW, []TensorInfo{logits, {"z", Float16, nil}, {"b", "bool", nil}}, `output.name: is required: of the outputs of model.onnx, "y" (float32 [?,1000]), "z" (float16 []) fit`},
		"two outputs, none fitting":          {classifier, onlyCHW, []TensorInfo{{"a", "sequence", nil}, {"m", Float32, []int64{-1, 9, 7, 7}}}, `output.name: is required: none of the outputs of model.onnx, "a" (sequence []), "m" (float32 [?,9,7,7]), has the type and shape of decode: softmax`},
		"boxes that are none":                {detector, onlyCHW, []TensorInfo{{Name: "s"}}, `output.boxes: model.yaml says "b", model.onnx has the outputs "s"`},
		"scores of a type not read":          {"task: classification\noutput: {decode: softmax, name: z}", onlyCHW, []TensorInfo{logits, {"z", Int8, nil}}, `output.name: model.onnx gives "z" the type int8; allowed: [float32 float16 float64]`},
		"an only output not read":            {classifier, onlyCHW, []TensorInfo{{"z", "sequence", nil}}, `output.name: model.onnx gives its only output, "z", the type sequence; allowed: [float32 float16 float64]; if it is a classifier that ends with ZipMap, export it without`},
		"boxes of a type not read":           {detector, onlyCHW, []TensorInfo{{"s", Float32, nil}, {"b", "bool", nil}}, `output.boxes: model.onnx gives "b" the type bool; allowed: [float32`},
		"a fill that no crop needs":          {classifier + "input: {resize: shortest_edge, shortest_edge: 224, fill: 3}", onlyCHW, onlyY, "input.fill: only applies with"},
		"scaled uint8":                       {classifier + "input: {scale: 0.5}", []TensorInfo{{"x", Uint8, chw.Shape}}, onlyY, "input.dtype: uint8 takes pixel values unchanged"},
		"a stride that does not fit":         {"task: detection\noutput: {decode: yolox, strides: 5}", onlyCHW, onlyY, "output.strides[0]: 5 does not divide the input's 192×224"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := definition(t, c.text).Resolve(c.inputs, c.outputs)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%v\nwant %q", err, c.want)
			}
		})
	}
}

func TestResolveReportsAllContradictionsAtOnce(t *testing.T) {
	_, err := definition(t, classifier+"input: {width: 1, dtype: uint8}").Resolve(onlyCHW, nil)
	for _, want := range []string{"input.width:", "input.dtype:", "output.name:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is\n%v\nwithout %s", err, want)
		}
	}
}

// TestResolveInputsWithoutABatchDimension has the shapes of torchvision's detectors.
func TestResolveInputsWithoutABatchDimension(t *testing.T) {
	for name, c := range map[string]struct {
		text                 string
		shape                []int64
		color, layout        string
		width, height, batch int
	}{
		"channels first":                       {"", []int64{3, 8, 9}, "rgb", "nchw", 9, 8, 1},
		"channels last":                        {"", []int64{8, 9, 3}, "rgb", "nhwc", 9, 8, 1},
		"four channels":                        {"", []int64{4, 8, 9}, "rgba", "nchw", 9, 8, 1},
		"open, with a size":                    {"width: 9, height: 8, color: bgr", []int64{3, -1, -1}, "bgr", "nchw", 9, 8, 1},
		"open, of the image's size":            {"resize: none", []int64{3, -1, -1}, "rgb", "nchw", 0, 0, 1},
		"all open, declared by its color":      {"resize: none, color: rgb", []int64{-1, -1, -1}, "rgb", "nchw", 0, 0, 1},
		"all open, declared by its layout":     {"resize: none, color: rgb, layout: nhwc", []int64{-1, -1, -1}, "rgb", "nhwc", 0, 0, 1},
		"gray without channels, a batch of 3":  {"color: gray", []int64{3, 8, 9}, "gray", "nchw", 9, 8, 3},
		"gray without channels, an open batch": {"color: gray", []int64{-1, 8, 9}, "gray", "nchw", 9, 8, 0},
	} {
		d, err := definition(t, classifier+"input: {"+c.text+"}").Resolve([]TensorInfo{{"x", Float32, c.shape}}, onlyY)
		in := d.Input
		if err != nil || in.Color != c.color || in.Layout != c.layout || in.Width != c.width || in.Height != c.height || d.Batching.MaxSize != c.batch {
			t.Errorf("%s: %+v, max_size %d, %v", name, in, d.Batching.MaxSize, err)
		}
	}
}

func TestResolveOpenSizes(t *testing.T) {
	open, fixed := []int64{-1, 3, -1, -1}, []int64{-1, 3, 640, 640}
	for name, c := range map[string]struct {
		text  string
		shape []int64
		want  string // empty: no error
	}{
		"a letterbox with a stride":                 {"resize: letterbox, stride: 32, width: 640, height: 384", open, ""},
		"the image's size":                          {"resize: none", open, ""},
		"the image's size with limits":              {"resize: none, stride: 32, width: 1024, height: 1024, fill: [114]", open, ""},
		"an edge":                                   {"resize: fit, shortest_edge: 800, longest_edge: 1333", open, ""},
		"a letterbox with a stride, without a size": {"resize: letterbox, stride: 32", open, "input.width: is required: model.onnx leaves it open"},
		"a size that the stride does not divide":    {"resize: letterbox, stride: 32, width: 640, height: 400", open, "input.height: 400 is not a multiple of input.stride, which is 32"},
		"a letterbox with a stride in a fixed file": {"resize: letterbox, stride: 32", fixed, `input.stride: a letterbox with a stride needs open height and width; model.onnx gives "x" the shape [?,3,640,640]`},
		"the image's size in a fixed file":          {"resize: none", fixed, `input.resize: none needs open height and width`},
		"an edge where only the width is open":      {"resize: fit, shortest_edge: 48", []int64{-1, 3, 48, -1}, `input.resize: fit needs open height and width`},
		"a fill without padding":                    {"resize: none, fill: [114]", open, "input.fill: only applies with resize: letterbox or fit_height, fit or none with a stride"},
		"a stride without open sizes":               {"resize: stretch, stride: 32, width: 64, height: 64", open, "input.stride: only applies with resize: letterbox, fit, closest or none"},
		"a batch fixed at four":                     {"resize: none", []int64{4, 3, -1, -1}, "input.resize: model.onnx fixes the batch at 4"},
	} {
		d, err := parseFile([]byte(classifier+"input: {"+c.text+"}"), "model.yaml")
		if err == nil {
			d, err = d.Resolve([]TensorInfo{{"x", Float32, c.shape}}, onlyY)
		}
		switch {
		case c.want == "" && (err != nil || !d.Input.Dynamic() || d.Batching.MaxSize != 1):
			t.Errorf("%s: %+v, max_size %d, %v", name, d.Input, d.Batching.MaxSize, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	_, err := definition(t, classifier+"input: {resize: none}\nbatching: {max_size: 2}").Resolve([]TensorInfo{{"x", Float32, open}}, onlyY)
	if err == nil || !strings.Contains(err.Error(), "batching.max_size: model.yaml says 2, with resize: none and an open size batches are of 1") {
		t.Error(err)
	}
}

func TestResolveExtras(t *testing.T) {
	image := TensorInfo{"image", Float32, []int64{-1, 3, 8, 8}}
	for name, c := range map[string]struct {
		value string
		extra TensorInfo
		batch int
		want  string // empty: no error
	}{
		"a scale factor":                    {ScaleFactorHW, TensorInfo{"e", Float32, []int64{-1, 2}}, 0, ""},
		"a scale factor for a batch of one": {ScaleFactorHW, TensorInfo{"e", Float32, []int64{1, 2}}, 1, ""},
		"a size without a batch dimension":  {InputSizeHW, TensorInfo{"e", Int32, []int64{2}}, 1, ""},
		"an open one":                       {InputSizeHW, TensorInfo{"e", Int64, []int64{-1, -1}}, 0, ""},
		"a scale factor of integers":        {ScaleFactorWH, TensorInfo{"e", Int64, []int64{-1, 2}}, 0, "the dtype int64; allowed with scale_factor_wh: float32"},
		"three dimensions":                  {InputSizeHW, TensorInfo{"e", Int64, []int64{1, 1, 2}}, 0, "the shape [1,1,2]; allowed with input_size_hw: [N,2] and [2]"},
		"a mask":                            {PixelMask, TensorInfo{"e", Int64, []int64{-1, 8, 8}}, 0, ""},
		"an open mask for a batch of one":   {PixelMask, TensorInfo{"e", Float32, []int64{1, -1, -1}}, 1, ""},
		"a mask without a batch dimension":  {PixelMask, TensorInfo{"e", Int64, []int64{8, 8}}, 0, "the shape [8,8]; allowed with pixel_mask: [N,height,width]"},
		"a mask of truth values":            {PixelMask, TensorInfo{"e", Bool, []int64{-1, 8, 8}}, 0, "the dtype bool; allowed with pixel_mask: int64, int32, float32"},
		"four numbers without a batch":      {InputSizeHW, TensorInfo{"e", Int64, []int64{4}}, 0, "the shape [4]; allowed"},
	} {
		d := definition(t, classifier)
		d.Input.Extra = []Extra{{"e", c.value}}
		d, err := d.Resolve([]TensorInfo{c.extra, image}, onlyY)
		switch {
		case c.want == "" && (err != nil || d.Input.Name != "image" || d.Batching.MaxSize != c.batch):
			t.Errorf("%s: image %q, max_size %d, %v", name, d.Input.Name, d.Batching.MaxSize, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
