package exporter

import (
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// readJSON reads a JSON object next to the model; nil without it.
func (b *builder) readJSON(name string) map[string]any {
	if !b.hasFile(name) {
		return nil
	}
	data, err := fs.ReadFile(b.files, name)
	var object map[string]any
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

// huggingFace recognizes models of transformers by config.json, and preprocesses as preprocessor_config.json says.
func huggingFace(b *builder) bool {
	config := b.readJSON("config.json")
	kind, _ := config["model_type"].(string)
	if kind == "" && config["architectures"] == nil {
		return len(b.errs) > 0
	}
	if labels, ok := labelList(config["id2label"]); ok {
		if err := b.useLabels(labels, "config.json id2label"); err != nil {
			b.errs = append(b.errs, err)
		}
	}
	logits := b.outputNamed("logits", "pred_logits")
	boxes := b.outputNamed("pred_boxes", "boxes")
	switch {
	case logits == nil:
		if logits = b.classOutput(); logits == nil || len(logits.Shape) != 2 {
			b.unsupported(fmt.Sprintf("that of %s", firstOf(config["architectures"], kind)))
			return true
		}
		fallthrough
	case boxes == nil && len(logits.Shape) == 2:
		b.say("task", string(repository.Classification), "output "+logits.Name)
		b.scores(*logits)
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

// transformersDetector sets the decoder of queries with class logits and boxes.
func (b *builder) transformersDetector(kind string, logits, boxes repository.TensorInfo) {
	b.say("output.decode", repository.DecodeDETR, "outputs "+logits.Name+" and "+boxes.Name)
	b.say("output.boxes", boxes.Name, "name")
	b.say("output.scores", logits.Name, "name")
	from := "post_process_object_detection of " + kind
	classes := logits.Shape[2]
	switch n := int64(len(b.labels)); {
	case slices.Contains(transformersSoftmax, kind), kind == "" && classes == n+1 && n > 0:
		b.say("output.activation", repository.ActivationSoftmax, from)
		if n > 0 && classes > 0 && classes != n+1 {
			b.fail("%s, but the output %q has %d classes, the last of which is no object; say which are right with --set labels=…", b.labelCount(), logits.Name, classes)
		}
	default:
		b.say("output.activation", repository.ActivationSigmoid, from)
		b.fitLabels(classes, logits.Name)
	}
	queries := logits.Shape[1]
	if queries < 1 {
		queries = boxes.Shape[1]
	}
	if queries < 1 || queries > 1000 {
		queries = 300
	}
	b.say("output.max_boxes", queries, "number of queries")
}

const processorFile = "preprocessor_config.json"

// imageProcessor sets the preprocessing.
func (b *builder) imageProcessor(config map[string]any) {
	p := newProcessor(b.readJSON(processorFile))
	if p.dict == nil {
		size, _ := config["image_size"].(float64)
		b.fixedSize(int64(size), int64(size), "config.json image_size")
		b.assumed(func() { b.stretch(repository.PillowBilinear, "there is no "+processorFile) })
		b.color("usual")
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
	b.say("task", string(repository.Classification), "shape of "+describe(*out))
	for _, key := range []string{"label_names", "labels"} {
		for _, from := range []map[string]any{config, cfg} {
			if labels, ok := labelList(from[key]); ok {
				if err := b.useLabels(labels, "config.json "+key); err != nil {
					b.errs = append(b.errs, err)
				}
			}
		}
	}
	b.scores(*out)
	b.timmSize(processor{dict: cfg})
	b.color("timm")
	mean, std := floats(cfg["mean"]), floats(cfg["std"])
	if mean == nil || std == nil {
		b.assumeImageNet("default of timm's resolve_data_config")
		return true
	}
	b.sayNormalization(1.0/255, mean, std, "config.json mean and std")
	return true
}

// timmSize is timm's transforms_imagenet_eval (timm/data/transforms_factory.py): the shorter side becomes the input's divided by
// crop_pct, rounded down, and the center is cropped. With crop_mode squash the aspect ratio is lost, with border it is padded.
func (b *builder) timmSize(p processor) {
	const from = "config.json crop_pct"
	if size := integers(p.dict["input_size"]); len(size) == 3 {
		b.fixedSize(size[2], size[1], "config.json input_size")
	} else {
		b.fixedSize(0, 0, "")
	}
	width, height := b.size()
	ratio := p.number("crop_pct", 0.875)
	if test := integers(p.dict["test_input_size"]); len(test) == 3 && test[1] == height && test[2] == width {
		ratio = p.number("test_crop_pct", ratio)
	}
	mode, _ := p.dict["crop_mode"].(string)
	resize := repository.Stretch
	if mode == "border" {
		resize = repository.Letterbox
	}
	exact := ratio == 1 // else timm crops after it has stretched or padded
	switch {
	case mode != "squash" && mode != "border" && width == height:
		b.shortestEdge(rounded(width, ratio), from)
	case mode != "squash" && mode != "border":
		b.assume("input.resize", string(repository.Stretch), "timm scales to cover an input that is not square, and crops")
	case exact:
		b.say("input.resize", string(resize), "config.json crop_mode")
	default:
		b.assume("input.resize", string(resize), fmt.Sprintf("config.json crop_mode, without the crop of crop_pct %v", ratio))
	}
	if mode == "border" {
		b.timmBorder(p)
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
