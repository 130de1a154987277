package exporter

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

const (
	float = onnxwriter.Float
	whole = onnxwriter.Int64
)

// graphOf reads the graph of a file of the given outputs. Each input and output is a name, a type and sizes.
func graphOf(t testing.TB, m *onnxwriter.Model) *repository.Graph {
	t.Helper()
	data := m.Bytes()
	g, err := repository.ReadGraph(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

type change = func(m *onnxwriter.Model)

func in(name string, t onnxwriter.Type, dims ...any) change {
	return func(m *onnxwriter.Model) { m.Input(name, t, dims...) }
}

func out(name string, t onnxwriter.Type, dims ...any) change {
	return func(m *onnxwriter.Model) { m.Output(name, t, dims...) }
}

func op(name, output string, inputs ...string) change {
	return func(m *onnxwriter.Model) { m.Node(name, output, nil, inputs...) }
}

// zipMap is a classifier that ends with an operator and ZipMap.
func zipMap(last string, labels onnxwriter.Attributes) *onnxwriter.Model {
	return modelOf(in("input", float, "b", 3, 224, 224), op("Flatten", "x", "input"), op(last, "p", "x"), func(m *onnxwriter.Model) {
		m.Node("ml.ZipMap", "maps", labels, "p")
		m.MapsOutput("maps", onnxwriter.String)
	})
}

func constant(name string, values ...float32) change {
	return func(m *onnxwriter.Model) { m.Floats(name, values, len(values)) }
}

func meta(pairs ...string) change {
	return func(m *onnxwriter.Model) {
		m.Metadata = map[string]string{}
		for pair := range slices.Chunk(pairs, 2) {
			m.Metadata[pair[0]] = pair[1]
		}
	}
}

func modelOf(changes ...change) *onnxwriter.Model {
	m := &onnxwriter.Model{Producer: "pytorch"}
	for _, c := range changes {
		c(m)
	}
	return m
}

// layout is a published layout of an export, with what must be inferred from it.
type layout struct {
	what  string
	model *onnxwriter.Model
	files map[string]string
	set   map[string]string
	label string // the labels of the definition, separated by commas; empty: any
	want  string // keys and values of model.yaml, separated by "; "; a value that ends with ? is assumed
	err   string
}

// said are the settings of one key.
func said(key, value string) map[string]string { return map[string]string{key: value} }

// settingsOf parses settings as KEY=VALUE, separated by semicolons.
func settingsOf(text string) map[string]string {
	set := map[string]string{}
	for pair := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(pair, "=")
		set[key] = value
	}
	return set
}

func (l layout) infer(t testing.TB) (*repository.Inferred, *repository.Graph, error) {
	g := graphOf(t, l.model)
	inferred, err := Infer(g, l.folder(), l.set)
	return inferred, g, err
}

// folder has the files next to the model.
func (l layout) folder() fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range l.files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

var image = in("images", float, 1, 3, 320, 256)

// layouts are those that the exporters' sources and documentation publish.
func layouts() []layout {
	return slices.Concat(ultralyticsLayouts(), yoloLayouts(), transformerLayouts(), processorLayouts(), preprocessingLayouts(), otherLayouts(), finishedLayouts(), paddleLayouts(), classifierLayouts(), oneScoreLayouts(), settingLayouts(), openVINOLayouts(), edgeLayouts(), taskLayouts(), textLayouts(), refusedLayouts())
}

func transformerLayouts() []layout {
	fixed := in("pixel_values", float, "batch", 3, 320, 320)
	open := in("pixel_values", float, "b", "c", "h", "w")
	labels := `"id2label": {"0": "a", "1": "b", "2": "c"}`
	boxes := out("pred_boxes", float, "b", 100, 4)
	classes := out("logits", float, "b", 3)
	vit := func(processor string) map[string]string {
		return map[string]string{"config.json": `{"model_type": "vit", ` + labels + `}`, "preprocessor_config.json": processor}
	}
	return []layout{
		{what: "RT-DETR of transformers", model: modelOf(fixed, out("logits", float, "b", 300, 3), boxes), files: map[string]string{"config.json": `{"model_type": "rt_detr", ` + labels + `}`,
			"preprocessor_config.json": `{"image_processor_type": "RTDetrImageProcessor", "do_normalize": false, "do_rescale": true, "image_mean": [0.4, 0.4, 0.4], "image_std": [0.2, 0.2, 0.2], "resample": 2, "size": {"height": 320, "width": 320}}`},
			want: "output.activation: sigmoid; input.resize: stretch; input.interpolation: pillow_bilinear?; input.mean: "},
		{what: "DETR of transformers", model: modelOf(open, out("logits", float, "b", 100, 4), boxes), files: map[string]string{"config.json": `{"model_type": "detr", ` + labels + `}`,
			"preprocessor_config.json": `{"image_processor_type": "DetrImageProcessor", "do_normalize": true, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "size": {"shortest_edge": 800, "longest_edge": 1333}}`},
			want: "output.activation: softmax; input.resize: fit; input.shortest_edge: 800; input.longest_edge: 1333"},
		{what: "ViT with a size of one number", model: modelOf(open, classes), files: vit(`{"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3}`),
			want: "task: classification; input.width: 224; input.height: 224; input.resize: stretch; input.interpolation: pillow_bicubic?; input.mean: [0.5, 0.5, 0.5]; output.decode: softmax"},
		{what: "ConvNeXt, small enough to be cropped", model: modelOf(open, classes), files: vit(`{"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.875, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`),
			want: "input.resize: shortest_edge; input.shortest_edge: 256; input.width: 224"},
		{what: "ConvNeXt of 384, which is stretched", model: modelOf(open, classes), files: vit(`{"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}}`), want: "input.resize: stretch; input.width: 384"},
		{what: "MobileViT, blue first", model: modelOf(open, classes), files: vit(`{"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}, "do_flip_channel_order": true}`),
			want: "input.color: bgr; input.resize: shortest_edge; input.shortest_edge: 288; input.width: 256; input.mean: "},
		{what: "several labels an image", model: modelOf(fixed, classes), files: map[string]string{"config.json": `{"model_type": "vit", "problem_type": "multi_label_classification", ` + labels + `}`, "preprocessor_config.json": `{"size": {"height": 320, "width": 320}}`},
			want: "output.decode: sigmoid; output.multi_label: true"},
		{what: "no processor's configuration", model: modelOf(fixed, classes), files: map[string]string{"config.json": `{"model_type": "vit", ` + labels + `}`}, err: "normalization"},
		{what: "a segmenting SegFormer", model: modelOf(open, out("logits", float, "b", 3, "h", "w")), files: map[string]string{"config.json": `{"model_type": "segformer", ` + labels + `}`}, set: map[string]string{"size": "512", "normalization": "imagenet"}, want: "task: semantic_segmentation; output.decode: logits_map"},
		{what: "a YOLO on the hub", model: modelOf(in("images", float, 1, 3, 320, 320), out("output0", float, 1, 7, 2100)), files: map[string]string{"config.json": `{"model_type": "yolov8", ` + labels + `}`}, want: "output.decode: yolo; labels: labels.txt; input.resize: letterbox?"},
		{what: "a YOLO on the hub with other labels", model: modelOf(in("images", float, 1, 3, 320, 320), out("output0", float, 1, 9, 2100)), files: map[string]string{"config.json": `{"model_type": "yolov8", ` + labels + `}`}, err: "has 5 classes, but there are 3 labels (config.json id2label)"},
		{what: "more classes than labels", model: modelOf(fixed, out("logits", float, "b", 9)), files: vit(`{"size": 320, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}`), err: "9 classes"},
		{what: "timm", model: modelOf(in("input0", float, "b", 3, 160, 160), out("output0", float, "b", 3)), files: map[string]string{"config.json": `{"architecture": "x", "label_names": ["a", "b", "c"], "pretrained_cfg": {"input_size": [3, 160, 160], "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}`},
			want: "input.resize: shortest_edge; input.shortest_edge: 168; input.interpolation: pillow_bicubic"},
		{what: "timm at the size of its tests", model: modelOf(in("x", float, "b", 3, 96, 96), out("y", float, "b", 3)), files: map[string]string{"config.json": `{"architecture": "x", "pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 0.5, "test_input_size": [3, 96, 96], "test_crop_pct": 0.96, "interpolation": "random"}}`},
			want: "input.shortest_edge: 100; input.interpolation: pillow_bilinear; input.mean: [0.485, 0.456, 0.406]?"},
		{what: "timm with a border, of which timm cuts", model: modelOf(in("x", float, "b", 3, 96, 96), out("y", float, "b", 3)), files: map[string]string{"config.json": `{"architecture": "x", "pretrained_cfg": {"input_size": [3, 96, 96], "crop_mode": "border", "mean": [0.5, 0.25, 0.75], "std": [1, 1, 1]}}`},
			want: "input.resize: letterbox; input.resize_width: 109; input.fill: [128, 64, 191]; input.place: center; input.interpolation: pillow_bicubic"},
		{what: "timm with a border, whole", model: modelOf(in("x", float, "b", 3, 96, 96), out("y", float, "b", 3)), files: map[string]string{"config.json": `{"architecture": "x", "pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 1.0, "crop_mode": "border", "mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]}}`},
			want: "input.resize: letterbox"},
		{what: "timm, squashed, with open sizes", model: modelOf(in("x", float, "b", 3, "h", "w"), out("y", float, "b", 3)), files: map[string]string{"config.json": `{"architecture": "x", "pretrained_cfg": {"input_size": [3, 96, 96], "crop_mode": "squash", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}`},
			want: "input.resize: stretch; input.width: 96; input.resize_width: 109"},
	}
}

// processorLayouts are image processors of transformers, with and without the values that are their defaults.
func processorLayouts() []layout {
	open := in("pixel_values", float, "b", 3, "h", "w")
	model := func() *onnxwriter.Model { return modelOf(open, out("logits", float, "b", 3)) }
	detector := func() *onnxwriter.Model {
		return modelOf(open, out("logits", float, "b", 50, 4), out("pred_boxes", float, "b", 50, 4))
	}
	files := func(kind, processor string) map[string]string {
		return map[string]string{"config.json": `{"model_type": "` + kind + `", "id2label": {"0": "a", "1": "b", "2": "c"}}`, "preprocessor_config.json": processor}
	}
	return []layout{
		{what: "CLIP, of which the file says nothing", model: model(), files: files("clip", `{"image_processor_type": "CLIPImageProcessor"}`),
			want: "input.width: 224; input.shortest_edge: 224; input.interpolation: pillow_bicubic?; input.mean: [0.48145466, 0.4578275, 0.40821073]"},
		{what: "a crop of one number", model: model(), files: files("mobilenet_v2", `{"image_processor_type": "MobileNetV2ImageProcessorFast", "size": 256, "crop_size": 224}`),
			want: "input.width: 224; input.shortest_edge: 256; input.interpolation: torch_antialias; input.mean: [0.5]"},
		{what: "LeViT, which enlarges by 256/224", model: model(), files: files("levit", `{"feature_extractor_type": "LevitFeatureExtractor", "size": {"shortest_edge": 192}, "crop_size": {"height": 192, "width": 192}}`),
			want: "input.width: 192; input.shortest_edge: 219; input.interpolation: pillow_bicubic?"},
		{what: "EfficientNet, which shifts by 1 and normalizes twice", model: model(), files: files("efficientnet", `{"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 240, "width": 240}, "rescale_factor": 0.00784313725490196, "rescale_offset": true, "image_mean": [0, 0, 0], "image_std": [0.5, 0.5, 0.5]}`),
			want: "input.resize: stretch; input.width: 240; input.interpolation: pillow_nearest?; input.scale: 0.00784313725490196; input.mean: [1, 1, 1]; input.std: [0.25, 0.25, 0.25]"},
		{what: "EfficientNet without its top", model: model(), files: files("efficientnet", `{"image_processor_type": "EfficientNetImageProcessor", "image_mean": [0, 0, 0], "image_std": [0.5, 0.5, 0.5], "include_top": false}`),
			want: "input.width: 346; input.scale: 0.00392156862745098; input.mean: ; input.std: [0.5, 0.5, 0.5]"},
		{what: "BEiT, which does not crop", model: model(), files: files("beit", `{"image_processor_type": "BeitImageProcessor", "size": {"height": 224, "width": 224}, "do_center_crop": false}`),
			want: "input.resize: stretch; input.width: 224; input.interpolation: pillow_bicubic?"},
		{what: "DeiT, which stretches before it crops", model: model(), files: files("deit", `{"image_processor_type": "DeiTImageProcessor", "size": 256}`),
			want: "input.resize: stretch; input.width: 224; input.resize_width: 256; input.resize_height: 256"},
		{what: "ConvNeXt without crop_pct", model: model(), files: files("convnext", `{"image_processor_type": "ConvNextImageProcessor", "size": 288}`),
			want: "input.width: 288; input.shortest_edge: 329"},
		{what: "no normalization and no rescaling", model: model(), files: files("vit", `{"image_processor_type": "ViTImageProcessor", "do_normalize": false, "do_rescale": false}`),
			want: "input.scale: 1; input.mean: ; input.std: ; input.width: 224"},
		{what: "DETR with the size of one number and max_size", model: detector(), files: files("detr", `{"feature_extractor_type": "DetrFeatureExtractor", "size": 600, "max_size": 1000}`),
			want: "input.resize: fit; input.shortest_edge: 600; input.longest_edge: 1000; input.mean: [0.485, 0.456, 0.406]; output.max_boxes: 50; output.activation: softmax"},
		{what: "YOLOS, padded to a fixed size", model: detector(), files: files("yolos", `{"image_processor_type": "YolosImageProcessor", "size": {"max_height": 480, "max_width": 480}, "pad_size": {"height": 480, "width": 480}, "image_mean": [0.5, 0.25, 0.75]}`),
			want: "input.resize: letterbox; input.place: top_left; input.width: 480; input.fill: [127.5, 63.75, 191.25]"},
		{what: "YOLOS, of multiples of 16", model: detector(), files: files("yolos", `{"image_processor_type": "YolosImageProcessor", "size": {"shortest_edge": 512, "longest_edge": 864}}`), want: "input.resize: fit; input.multiple: 16; input.longest_edge: 864; output.activation: softmax"},
		{what: "DETR, its longer side padded to a square", model: detector(), files: files("detr", `{"image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 512, "longest_edge": 512}, "pad_size": {"height": 512, "width": 512}}`),
			want: "input.resize: letterbox; input.rounding: round; input.height: 512"},
		{what: "Deformable DETR, whose labels with gaps are all its classes", model: modelOf(open, out("logits", float, "b", 50, 3), out("pred_boxes", float, "b", 50, 4)), files: files("deformable_detr", `{"image_processor_type": "DeformableDetrImageProcessor"}`),
			want: "output.activation: sigmoid; input.resize: fit; input.longest_edge: 1333; output.class_first: "},
		{what: "DETR with more classes than labels and no object", model: modelOf(open, out("logits", float, "b", 50, 9), out("pred_boxes", float, "b", 50, 4)), files: files("detr", `{"image_processor_type": "DetrImageProcessor"}`), err: "no object"},
	}
}

func classifierLayouts() []layout {
	fixed := in("input", float, "b", 3, 224, 224)
	classes := out("y", float, "b", 3)
	return []layout{
		{what: "torchvision's classifiers", model: modelOf(fixed, op("Gemm", "y", "x"), classes), want: "output.decode: softmax; input.resize: shortest_edge?; input.shortest_edge: 256?; input.mean: [0.485, 0.456, 0.406]?"},
		{what: "of another size, and other colors", model: modelOf(in("input", float, 1, 3, 192, 192), classes), set: map[string]string{"normalization": "inception"}, want: "input.shortest_edge: 219?; input.scale: 0.00784313725490196; input.mean: [1]"},
		{what: "a scale that the graph has inside, for 0 to 255", model: modelOf(fixed, constant("m", 123, 116, 103), constant("s", 58, 57, 57), op("Sub", "a", "input", "m"), op("Div", "z", "a", "s"), op("Conv", "y", "z"), classes), want: "input.scale: 1; input.mean: "},
		{what: "a scale that the graph has inside, for 0 to 1", model: modelOf(fixed, constant("m", 0.485, 0.456, 0.406), constant("s", 0.229, 0.224, 0.225), op("Sub", "a", "input", "m"), op("Div", "z", "a", "s"), op("Conv", "y", "z"), classes), want: "input.scale: 0.00392156862745098; input.mean: "},
		{what: "a normalization inside of an unknown range", model: modelOf(fixed, op("BatchNormalization", "a", "input"), op("Conv", "y", "a"), classes), err: "normalization"},
		{what: "uint8", model: modelOf(in("image", onnxwriter.Uint8, "n", 3, 128, 128), classes), want: "input.resize: stretch?; input.scale: ; input.mean: "},
		{what: "Keras", model: modelOf(in("input_1", float, "n", 160, 160, 3), op("Softmax", "y", "x"), classes), err: "normalization"},
		{what: "Keras, said", model: modelOf(in("input_1", float, "n", 160, 160, 3), op("Softmax", "y", "x"), classes), set: map[string]string{"normalisation": "x/127.5-1"}, want: "output.decode: probabilities; input.resize: stretch?; input.mean: [1]"},
		{what: "independent classes", model: modelOf(fixed, op("Sigmoid", "y", "x"), classes), set: map[string]string{"threshold": "0.5"}, want: "output.decode: probabilities; output.multi_label: true; output.score_threshold: "},
		{what: "independent classes of logits", model: modelOf(fixed, op("Gemm", "y", "x"), classes), set: map[string]string{"multi_label": "true"}, want: "output.decode: sigmoid"},
		{what: "a size that Triton's config.pbtxt has, and a labels file", model: modelOf(in("input", float, "b", 3, "h", "w"), classes),
			files: map[string]string{"config.pbtxt": "input [ { name: \"input\" data_type: TYPE_FP32 dims: [ 3, 96, 128 ] } ]\noutput [ { name: \"y\" dims: [ 3 ] label_filename: \"l.txt\" } ]", "l.txt": "a\nb\nc\n"}, want: "input.width: 128; input.height: 96; labels: labels.txt"},
		{what: "metadata, which precedes config.pbtxt", model: modelOf(in("images", float, "b", 3, "h", "w"), out("output0", float, "b", 7, "n"), meta(ultralyticsOf("detect")...)),
			files: map[string]string{"config.pbtxt": "input [ { name: \"images\" dims: [ 3, 96, 128 ] } ]"}, want: "input.width: 256; input.height: 320"},
		{what: "config.pbtxt, which precedes what is usual", model: modelOf(in("images", float, "b", 3, "h", "w"), out("boxes", float, "b", 7, 2000)),
			files: map[string]string{"config.pbtxt": "input [ { name: \"images\" dims: [ 3, 96, 128 ] } ]"}, want: "input.width: 128; input.height: 96; labels: none?"},
		{what: "a class more than labels", model: modelOf(fixed, classes), set: map[string]string{"labels": "a,b"}, err: "say output.class_first=1"},
		{what: "a class more than labels, said", model: modelOf(fixed, classes), set: map[string]string{"labels": "a,b", "class_first": "1"}, want: "output.class_first: 1; labels: labels.txt"},
		{what: "a background among the labels, said", model: modelOf(fixed, classes), set: map[string]string{"labels": "background,a,b", "class_first": "1"}, want: "output.class_first: 1; labels: labels.txt"},
		{what: "a background without a class", model: modelOf(fixed, classes), set: map[string]string{"labels": "background,a,b,c"}, want: "output.class_first: ; labels: labels.txt"},
		{what: "a background that has a class", model: modelOf(fixed, classes), set: map[string]string{"labels": "background,a,b"}, want: "output.class_first: ; labels: labels.txt"},
		{what: "a class fewer than labels", model: modelOf(fixed, classes), set: map[string]string{"labels": "a,b,c,d"}, err: "has 3 classes, but there are 4 labels (set); say --set labels=… with all 3"},
		{what: "ImageNet's classes of TF-Slim", model: modelOf(fixed, out("y", float, "b", 1001)), files: map[string]string{"labels.txt": strings.Repeat("x\n", 1000)}, want: "output.class_first: 1?"},
		{what: "an open size", model: modelOf(in("input", float, "b", 3, "h", "w"), classes), err: "input.width"},
		{what: "maps of scores with texts", label: "cat,dog", model: zipMap("Softmax", onnxwriter.Attributes{"classlabels_strings": []string{"cat", "dog"}}), files: map[string]string{"labels.txt": "x\ny"},
			want: "output.decode: probabilities; labels: labels.txt"},
		{what: "maps of scores with numbers that only count", label: "x,y", model: zipMap("Normalizer", onnxwriter.Attributes{"classlabels_int64s": []int{0, 1}}), files: map[string]string{"labels.txt": "x\ny"},
			want: "output.decode: probabilities; labels: labels.txt"},
		{what: "maps of scores with numbers", label: "3,7", model: zipMap("Normalizer", onnxwriter.Attributes{"classlabels_int64s": []int{3, 7}}),
			want: "output.decode: probabilities; labels: labels.txt"},
		{what: "maps of independent scores", label: "cat,dog", model: zipMap("Sigmoid", onnxwriter.Attributes{"classlabels_strings": []string{"cat", "dog"}}),
			want: "output.decode: probabilities; output.multi_label: true; labels: labels.txt"},
		{what: "two outputs of scores", model: modelOf(fixed, classes, out("z", float, "b", 4)), err: "output.name"},
		{what: "two outputs of scores, one of which is called logits", model: modelOf(fixed, out("features", float, "b", 64), out("Logits", float, "b", 3)), want: "output.name: Logits; output.decode: softmax"},
		{what: "two outputs of scores, both called scores", model: modelOf(fixed, out("scores1", float, "b", 64), out("scores2", float, "b", 3)), err: "say output.name=scores1 or scores2"},
		{what: "two outputs of scores, one of which is said", model: modelOf(fixed, classes, out("z", float, "b", 4)), set: map[string]string{"output": "z"}, want: "output.name: z"},
	}
}

// yunetOutputs adds the outputs of YuNet.
func yunetOutputs(m *onnxwriter.Model) {
	for _, kind := range []struct {
		name    string
		numbers int
	}{{"cls", 1}, {"obj", 1}, {"bbox", 4}, {"kps", 10}} {
		for _, stride := range []string{"8", "16", "32"} {
			m.Output(kind.name+"_"+stride, float, 1, "n", kind.numbers)
		}
	}
}

func refusedLayouts() []layout {
	fixed := in("input", float, 1, 3, 224, 224)
	return []layout{
		{what: "YuNet", model: modelOf(fixed, yunetOutputs), want: "task: pose; output.decode: yunet; input.color: bgr; input.resize: letterbox?; output.iou_threshold: 0.3?"},
		{what: "an embedding", model: modelOf(fixed, op("ReduceL2", "n", "x"), op("Div", "y", "x", "n"), out("y", float, 1, 64)), set: map[string]string{"normalization": "imagenet"}, want: "task: embedding; output.decode: vector; input.resize: stretch?"},
		{what: "a ZipMap of an input", model: modelOf(fixed, op("ml.ZipMap", "m", "input"), func(m *onnxwriter.Model) { m.MapsOutput("m", onnxwriter.Int64) }), err: "options={id(model): {'zipmap': False}}"},
		{what: "a mask", model: modelOf(fixed, out("y", float, 1, 5, 224, 224)), set: map[string]string{"labels": "a,b,c,d,e"}, want: "task: semantic_segmentation; output.decode: logits_map"},
		{what: "text", model: modelOf(fixed, op("Softmax", "y", "x"), out("y", float, 1, 40, 6625)), err: "has the scores of 6624 characters after a blank"},
		{what: "no image", model: modelOf(in("ids", whole, 1, 128), out("y", float, 1, 5)), err: "none of the inputs is an image"},
		{what: "a setting that does not exist", model: modelOf(fixed, out("y", float, 1, 5)), set: map[string]string{"hue": "x"}, err: "is no key of model.yaml"},
		{what: "a normalization that does not exist", model: modelOf(fixed, out("y", float, 1, 5)), set: map[string]string{"normalization": "x"}, err: "imagenet"},
		{what: "an exporter whose layout it is not", model: modelOf(fixed, out("y", float, 1, 5)), set: map[string]string{"exporter": "rfdetr"}, err: "exporter=rfdetr"},
	}
}

func TestInfer(t *testing.T) {
	for _, l := range layouts() {
		inferred, g, err := l.infer(t)
		if l.err != "" || err != nil {
			if l.err == "" || err == nil || !strings.Contains(err.Error(), l.err) {
				t.Errorf("%s: %v; want an error with %q", l.what, err, l.err)
			}
			continue
		}
		values := map[string]string{}
		for _, o := range inferred.Origins {
			values[o.Key] = o.Value
			if o.Assumed {
				values[o.Key] += "?"
			}
			if o.From == "" {
				t.Errorf("%s: %s has no origin", l.what, o.Key)
			}
		}
		for want := range strings.SplitSeq(l.want, "; ") {
			key, value, _ := strings.Cut(want, ": ")
			if values[key] != value {
				t.Errorf("%s: %s is %q, not %q", l.what, key, values[key], value)
			}
		}
		if got := strings.Join(inferred.Definition.Labels, ","); l.label != "" && got != l.label {
			t.Errorf("%s: labels are %s, not %s", l.what, got, l.label)
		}
		if _, err := inferred.Definition.Resolve(g.Inputs, g.Outputs); err != nil {
			t.Errorf("%s does not fit its file: %v", l.what, err)
		}
	}
}

func TestWhatIsWrittenIsTheDefinition(t *testing.T) {
	for _, l := range layouts() {
		inferred, _, err := l.infer(t)
		if err != nil {
			continue
		}
		d, err := repository.ParseDefinition(Write(inferred), "model.yaml")
		d.Labels = inferred.Definition.Labels
		if err != nil || !reflect.DeepEqual(d, inferred.Definition) {
			t.Errorf("%s: %v\n%s\n%+v\n%+v", l.what, err, Write(inferred), d, inferred.Definition)
		}
		if text := string(Write(inferred)); strings.Count(text, "assumed: ") != len(inferred.Assumptions()) {
			t.Errorf("%s: not every assumption is marked:\n%s", l.what, text)
		}
	}
}

// TestQuestionsAreAnsweredByTheirCandidates says each candidate of each question in turn, with the first of the others.
func TestQuestionsAreAnsweredByTheirCandidates(t *testing.T) {
	for _, l := range layouts() {
		_, _, err := l.infer(t)
		var unknown *repository.UnknownError
		open := func(q repository.Question) bool { return len(q.Candidates) == 0 }
		if !errors.As(err, &unknown) || slices.ContainsFunc(unknown.Questions, open) {
			continue
		}
		said := l.set
		for _, q := range unknown.Questions {
			for _, candidate := range q.Candidates {
				l.set = map[string]string{}
				maps.Copy(l.set, said)
				for _, other := range unknown.Questions {
					l.set[other.Key] = other.Candidates[0]
				}
				l.set[q.Key] = candidate
				if _, _, err := l.infer(t); err != nil {
					t.Errorf("%s, with %v: %v", l.what, l.set, err)
				}
			}
		}
	}
}

func FuzzLiteral(f *testing.F) {
	for _, text := range []string{"{0: 'a', 1: \"b\\'s\"}", `["x", "\u00e9"]`, "(1, 2.5, None, True)", "[[[[", "{'a'"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := literal(text); err == nil {
			labelList(v)
			integers(v)
			floats(v)
		}
	})
}

func FuzzPrototext(f *testing.F) {
	for _, text := range []string{"item { id: 1 name: 'a' }", "input [ { dims: [ 3, -1 ] }, < a: b > ]", "a: \"\\", "# only"} {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text string) { _, _ = labelMap(text) })
}

// FuzzInfer derives definitions from metadata and files of any content.
func FuzzInfer(f *testing.F) {
	for _, l := range layouts() {
		f.Add(l.model.Bytes(), l.files["config.json"], l.files["preprocessor_config.json"], l.files["infer_cfg.yml"], l.set["labels"])
	}
	f.Fuzz(func(t *testing.T, model []byte, config, processor, paddle, labels string) {
		g, err := repository.ReadGraph(bytes.NewReader(model), int64(len(model)))
		if err != nil || len(model) > 1<<16 {
			return
		}
		files := fstest.MapFS{}
		for name, text := range map[string]string{"config.json": config, "preprocessor_config.json": processor, "infer_cfg.yml": paddle} {
			if text != "" {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		set := map[string]string{}
		if labels != "" {
			set["labels"] = labels
		}
		inferred, err := Infer(g, files, set)
		if (inferred == nil) == (err == nil) {
			t.Fatalf("%v with %v", inferred, err)
		}
		if err != nil {
			return
		}
		if _, err := repository.ParseDefinition(Write(inferred), "model.yaml"); err != nil {
			t.Fatalf("%v\n%s", err, Write(inferred))
		}
	})
}

func TestBrokenFileIsReportedOnce(t *testing.T) {
	l := layout{model: modelOf(in("input", float, 1, 3, 224, 224), out("y", float, 1, 3)), files: map[string]string{"config.json": "{"}}
	if _, _, err := l.infer(t); err == nil || strings.Count(err.Error(), "config.json") != 1 {
		t.Errorf("error %v, which names the file %d times", err, strings.Count(err.Error(), "config.json"))
	}
}
