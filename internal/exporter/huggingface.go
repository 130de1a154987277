package exporter

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// readJSON reads a JSON object next to the model, once; nil without it.
func (b *builder) readJSON(name string) map[string]any {
	object, known := b.objects[name]
	if !known {
		object = b.parseJSON(name)
		b.objects[name] = object
	}
	return object
}

func (b *builder) parseJSON(name string) (object map[string]any) {
	if !b.hasFile(name) {
		return nil
	}
	data, err := fs.ReadFile(b.files, name)
	if err == nil {
		object, err = jsonObject(data)
	}
	if err != nil {
		b.fail("%s: %w", name, err)
	}
	return object
}

// transformersSoftmax are the detectors of transformers whose last class is no object (post_process_object_detection); the scores
// of others go through a sigmoid.
var transformersSoftmax = []string{"detr", "yolos", "table-transformer"}

// huggingFace recognizes models of transformers by config.json, and preprocesses as preprocessor_config.json says. Of models of other
// libraries on the hub, whose outputs have other names, it takes the labels only.
func huggingFace(b *builder) bool {
	config := b.readJSON("config.json")
	kind, _ := config["model_type"].(string)
	if kind == "" && config["architectures"] == nil {
		return len(b.errs) > 0
	}
	if labels, ok := labelList(config["id2label"]); ok {
		b.takeLabels(labels, "config.json id2label")
	}
	if b.transformersDense(config) {
		return true
	}
	logits := b.outputNamed("logits", "pred_logits")
	boxes := b.outputNamed("pred_boxes", "boxes")
	switch {
	case logits == nil:
		if logits = b.classOutput(); logits == nil || len(logits.Shape) != 2 {
			return false
		}
		fallthrough
	case boxes == nil && len(logits.Shape) == 2:
		b.say("task", string(repository.Classification), "output "+logits.Name)
		if config["problem_type"] == "regression" {
			b.unsupported("regression (config.json problem_type)")
			return true
		}
		b.scores(*logits)
		b.fitLabels(classesOf(*logits), logits.Name)
		if config["problem_type"] == "multi_label_classification" {
			b.say("output.multi_label", true, "config.json problem_type")
		}
	case boxes != nil && len(logits.Shape) == 3:
		b.say("task", string(repository.Detection), "outputs "+logits.Name+" and "+boxes.Name)
		b.transformersDetector(kind, *logits, *boxes)
	default:
		b.unsupported(fmt.Sprintf("that of %s", firstOf(config["architectures"], kind)))
		return true
	}
	b.imageProcessor(config)
	return true
}

func firstOf(list any, or string) string {
	if names, ok := list.([]any); ok && len(names) > 0 {
		return fmt.Sprint(names[0])
	}
	return or
}

// outputNamed returns the output with one of the names.
func (b *builder) outputNamed(names ...string) *repository.TensorInfo {
	for _, name := range names {
		for i, t := range b.graph.Outputs {
			if strings.TrimSuffix(t.Name, ":0") == name {
				return &b.graph.Outputs[i]
			}
		}
	}
	return nil
}

// transformersTop are the detectors of transformers that post_process_object_detection takes the best 100 boxes of; of others it
// takes as many as there are queries.
var transformersTop = []string{"conditional_detr", "deformable_detr", "dab-detr", "lw_detr"}

// transformersDetector sets the decoder of queries with class logits and boxes. kind is the model_type of transformers, or empty.
func (b *builder) transformersDetector(kind string, logits, boxes repository.TensorInfo) {
	b.say("output.decode", repository.DecodeDETR, "outputs "+logits.Name+" and "+boxes.Name)
	b.say("output.boxes", boxes.Name, "name")
	b.say("output.scores", logits.Name, "name")
	b.queryActivation(kind, logits)
	if b.inputNamed("pixel_mask") {
		b.say("input.extra", []repository.Extra{{Name: "pixel_mask", Value: repository.PixelMask}}, "input pixel_mask")
	}
	queries := logits.Shape[1]
	if queries < 1 {
		queries = boxes.Shape[1]
	}
	from := "number of queries"
	if slices.Contains(transformersTop, kind) {
		queries, from = 100, "post_process_object_detection of "+kind
	}
	if queries < 1 || queries > 1000 {
		queries, from = 300, "usual"
	}
	b.say("output.max_boxes", queries, from)
}

// queryActivation sets whether the classes of a query exclude each other, the last being no object, as in DETR, or not, as in its
// successors. Where no model_type says so, the number of labels does.
func (b *builder) queryActivation(kind string, logits repository.TensorInfo) {
	b.findLabels()
	classes, n := logits.Shape[2], int64(len(b.labels))
	said := b.settings["output.activation"]
	softmax := said == repository.ActivationSoftmax || said == "" && (slices.Contains(transformersSoftmax, kind) || kind == "" && n > 0 && classes == n+1)
	from := "post_process_object_detection of " + kind
	switch {
	case kind != "" && softmax:
		b.say("output.activation", repository.ActivationSoftmax, from)
	case kind != "":
		b.say("output.activation", repository.ActivationSigmoid, from)
	case n == 0 && said == "":
		b.ask("output.activation", "DETR has softmax with a last class for no object, its successors have sigmoid", "sigmoid", "softmax")
	case softmax:
		b.assume("output.activation", repository.ActivationSoftmax, fmt.Sprintf("there is one label less than the %d classes, of which DETR's last is no object", classes))
	default:
		b.assume("output.activation", repository.ActivationSigmoid, "there are as many labels as classes, as in DETR's successors")
	}
	switch {
	case !softmax:
		b.fitLabelsOrBackground(classes, logits.Name, "")
	case n > 0 && classes > 0 && classes != n+1:
		b.fail("the output %q has %d classes, the last of which is no object, but there %s (%s); say --set labels=… with all %d, in the order of the classes",
			logits.Name, classes, count(int(n), "label"), b.labelFrom, classes-1)
	}
}

const processorFile = "preprocessor_config.json"

// imageProcessor sets the preprocessing.
func (b *builder) imageProcessor(config map[string]any) {
	p := b.imageProcessorOf(config)
	if p.dict == nil {
		size, _ := config["image_size"].(float64)
		b.fixedSize(int64(size), int64(size), "config.json image_size")
		b.assumed(func() { b.stretch(repository.PillowBilinear, "there is no "+processorFile); b.color("usual") })
		b.askNormalization("there is no "+processorFile+" next to model.onnx", "imagenet", "inception", "unit", "clip")
		return
	}
	b.processorSize(p)
	b.processorColor(p)
}

// resamples are Pillow's filters by their number (PIL.Image.Resampling).
var resamples = []string{repository.PillowNearest, repository.PillowLanczos, repository.PillowBilinear, repository.PillowBicubic,
	repository.PillowBox, repository.PillowHamming}

// timm recognizes models of timm by config.json, as it is on the Hugging Face hub.
func timm(b *builder) bool {
	config := b.readJSON("config.json")
	cfg, ok := config["pretrained_cfg"].(map[string]any)
	if !ok {
		if config["architecture"] == nil || config["input_size"] == nil {
			return false
		}
		cfg = config
	}
	out := b.classOutput()
	if out == nil {
		return false
	}
	b.say("task", string(repository.Classification), shapeOf(*out))
	for _, key := range []string{"label_names", "labels"} {
		for _, from := range []map[string]any{config, cfg} {
			if labels, ok := labelList(from[key]); ok {
				b.takeLabels(labels, "config.json "+key)
			}
		}
	}
	b.scores(*out)
	b.fitLabels(classesOf(*out), out.Name)
	b.timmSize(processor{dict: cfg})
	b.color("timm")
	mean, std := floats(cfg["mean"]), floats(cfg["std"])
	if mean == nil || std == nil {
		b.assumeImageNet("default of timm's resolve_data_config")
		return true
	}
	b.sayNormalization(normalization{scale: 1.0 / 255, mean: mean, std: std}, "config.json mean and std")
	return true
}

// timmSize is timm's transforms_imagenet_eval (timm/data/transforms_factory.py): the shorter side becomes the input's divided by
// crop_pct, rounded down, and the center is cropped. With crop_mode squash the aspect ratio is lost, with border it is padded. What is
// not square is scaled to cover the input divided by crop_pct.
func (b *builder) timmSize(p processor) {
	const from = "config.json crop_pct"
	if size := integers(p.dict["input_size"]); len(size) == 3 {
		b.fixedSize(size[2], size[1], "config.json input_size")
	} else {
		b.fixedSize(0, 0, "")
	}
	width, height := b.size()
	ratio := cmp.Or(p.number("crop_pct", 0), 0.875)
	if test := integers(p.dict["test_input_size"]); len(test) == 3 && test[1] == height && test[2] == width {
		ratio = cmp.Or(p.number("test_crop_pct", 0), ratio)
	}
	scaled := func(side int64) int64 { return int64(math.Floor(float64(side) / ratio)) }
	mode, _ := p.dict["crop_mode"].(string)
	resize := repository.Cover
	switch {
	case mode == "squash":
		resize = repository.Stretch
	case mode == "border":
		resize = repository.Letterbox
		b.timmBorder(p)
	case scaled(width) == scaled(height):
		resize = repository.ShortestEdge
		b.shortestEdge(scaled(width), from)
	}
	if resize != repository.ShortestEdge {
		b.say("input.resize", string(resize), "config.json crop_mode")
		if scaled(width) != width || scaled(height) != height {
			b.say("input.resize_width", scaled(width), from)
			b.say("input.resize_height", scaled(height), from)
		}
	}
	b.say("input.interpolation", timmFilter(p), "config.json interpolation")
}

// timmBorder is ResizeKeepRatio, which rounds, and CenterCropOrPad with the mean color.
func (b *builder) timmBorder(p processor) {
	mean := floats(p.dict["mean"])
	if mean == nil {
		mean = normalizations["imagenet"].mean
	}
	fill := make([]float64, len(mean))
	for i, v := range mean {
		fill[i] = min(max(math.RoundToEven(255*v), 0), 255)
	}
	b.say("input.place", "center", "config.json crop_mode")
	b.say("input.rounding", repository.RoundNearest, "config.json crop_mode")
	b.say("input.fill", fill, "config.json mean")
}

// timmFilter is timm's interpolation, which is bicubic by default (resolve_data_config). For random, which is of training, it is
// bilinear.
func timmFilter(p processor) string {
	switch p.dict["interpolation"] {
	case "nearest":
		return repository.PillowNearest
	case "bilinear", "random":
		return repository.PillowBilinear
	case "box":
		return repository.PillowBox
	case "hamming":
		return repository.PillowHamming
	case "lanczos":
		return repository.PillowLanczos
	}
	return repository.PillowBicubic
}
