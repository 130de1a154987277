package exporter

import (
	"encoding/json"
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
		err = json.Unmarshal(data, &object)
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
	b.imageProcessor(kind, config)
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
	case slices.Contains(transformersSoftmax, kind), classes == n+1 && n > 0:
		b.say("output.activation", repository.ActivationSoftmax, from)
	default:
		b.say("output.activation", repository.ActivationSigmoid, from)
		b.fitLabels(classes, logits.Name)
	}
	b.say("output.max_boxes", 300, from)
}

// processor is what is used of preprocessor_config.json.
type processor struct {
	dict map[string]any
	kind string // such as ViT, without ImageProcessor and Fast
}

func (p processor) is(key string, without bool) bool {
	v, ok := p.dict[key].(bool)
	if !ok {
		return without
	}
	return v
}

func (p processor) number(key string, without float64) float64 {
	if v, ok := p.dict[key].(float64); ok {
		return v
	}
	return without
}

// side returns a size: of a number, or of a key of a dict.
func (p processor) side(key, of string) int64 {
	switch v := p.dict[key].(type) {
	case float64:
		return int64(v)
	case map[string]any:
		n, _ := v[of].(float64)
		return int64(n)
	case []any:
		if list := integers(v); len(list) == 2 { // height and width
			return list[map[string]int{"height": 0, "width": 1}[of]]
		}
	}
	return 0
}

// shortestByDefault are the image processors for which a size of one number is that of the shorter side.
var shortestByDefault = []string{"CLIP", "ConvNext", "MobileNetV1", "MobileNetV2", "MobileViT", "Bit", "Levit", "PoolFormer", "ChineseCLIP",
	"Detr", "ConditionalDetr", "DeformableDetr", "Yolos", "VideoMAE", "EfficientFormer"}

const processorFile = "preprocessor_config.json"

// imageProcessor sets the preprocessing.
func (b *builder) imageProcessor(kind string, config map[string]any) {
	p := processor{dict: b.readJSON(processorFile)}
	if p.dict == nil {
		size, _ := config["image_size"].(float64)
		b.fixedSize(int64(size), int64(size), "config.json image_size")
		b.assumed(func() { b.stretch(repository.PillowBilinear, "there is no "+processorFile) })
		b.color("usual")
		b.askNormalization("there is no "+processorFile+" next to model.onnx", "imagenet", "inception", "unit", "clip")
		return
	}
	name, _ := p.dict["image_processor_type"].(string)
	if name == "" {
		name, _ = p.dict["feature_extractor_type"].(string)
	}
	for _, suffix := range []string{"Fast", "ImageProcessor", "FeatureExtractor", "Pil"} {
		name = strings.TrimSuffix(name, suffix)
	}
	p.kind = strings.TrimSuffix(name, "ImageProcessor")
	b.processorSize(p, kind)
	b.processorColor(p)
}

// resamples are Pillow's filters by their number (PIL.Image.Resampling).
var resamples = []string{repository.PillowNearest, repository.PillowLanczos, repository.PillowBilinear, repository.PillowBicubic,
	repository.PillowBox, repository.PillowHamming}

func (b *builder) processorSize(p processor, kind string) {
	from := processorFile + " size"
	filter := 2
	if slices.Contains([]string{"CLIP", "ChineseCLIP", "Bit", "Levit", "DeiT", "PoolFormer", "Blip", "Siglip"}, p.kind) {
		filter = 3 // their default
	}
	if n := int(p.number("resample", float64(filter))); n >= 0 && n < len(resamples) {
		b.say("input.interpolation", resamples[n], processorFile+" resample")
	}
	height, width := p.side("size", "height"), p.side("size", "width")
	short, long := p.side("size", "shortest_edge"), p.side("size", "longest_edge")
	number, isNumber := p.dict["size"].(float64)
	if isNumber {
		height, width, short = int64(number), int64(number), 0
		if slices.Contains(shortestByDefault, p.kind) {
			height, width, short = 0, 0, int64(number)
		}
	}
	if limit, ok := p.dict["max_size"].(float64); ok && long == 0 {
		long = int64(limit)
	}
	cropHeight, cropWidth := p.side("crop_size", "height"), p.side("crop_size", "width")
	crops := p.is("do_center_crop", cropHeight > 0 && slices.Contains(shortestByDefault, p.kind)) && cropHeight > 0
	switch ratio := p.number("crop_pct", 0.875); {
	case !p.is("do_resize", true):
		b.say("input.resize", string(repository.NoResize), processorFile+" do_resize")
	case p.kind == "ConvNext" && short > 0 && short < 384: // ConvNextImageProcessor.resize
		b.fixedSize(short, short, from)
		b.shortestEdge(int64(float64(short)/ratio), processorFile+" size and crop_pct")
	case p.kind == "ConvNext" && short > 0:
		b.fixedSize(short, short, from)
		b.say("input.resize", string(repository.Stretch), from)
	case p.kind == "PoolFormer" && short > 0 && crops:
		b.fixedSize(cropWidth, cropHeight, processorFile+" crop_size")
		b.shortestEdge(int64(float64(short)/p.number("crop_pct", 0.9)), processorFile+" size and crop_pct")
	case p.kind == "Levit" && short > 0 && crops: // LevitImageProcessor.resize
		b.fixedSize(cropWidth, cropHeight, processorFile+" crop_size")
		b.shortestEdge(int64(256.0/224*float64(short)), from)
	case short > 0 && crops:
		b.fixedSize(cropWidth, cropHeight, processorFile+" crop_size")
		b.shortestEdge(short, from)
	case short > 0:
		b.shortestWithoutCrop(short, long, from)
	case height > 0 && crops && (cropHeight != height || cropWidth != width):
		b.stretchAndCrop(height, width, cropHeight, cropWidth)
	case height > 0 && width > 0:
		b.fixedSize(width, height, from)
		b.say("input.resize", string(repository.Stretch), from)
	default:
		b.fixedSize(0, 0, "")
		b.assume("input.resize", string(repository.Stretch), "usual of "+kind)
	}
}

// shortestWithoutCrop resizes the shorter side without a crop, as DETR does where the longer side has a limit.
func (b *builder) shortestWithoutCrop(short, long int64, from string) {
	if !b.isOpen() {
		b.assume("input.resize", string(repository.Stretch), "model.onnx fixes a size that "+processorFile+" leaves open")
		return
	}
	b.say("input.resize", string(repository.Fit), from)
	b.say("input.shortest_edge", short, from)
	if long > 0 {
		b.say("input.longest_edge", long, from)
	}
}

// stretchAndCrop resizes to a square and cuts the center out of it, which no resize does exactly: the crop is that of the
// shorter side.
func (b *builder) stretchAndCrop(height, width, cropHeight, cropWidth int64) {
	b.fixedSize(cropWidth, cropHeight, processorFile+" crop_size")
	b.assume("input.resize", string(repository.ShortestEdge), fmt.Sprintf("%s resizes to %d×%d without the aspect ratio before it crops", processorFile, width, height))
	b.say("input.shortest_edge", min(height, width), processorFile+" size")
}

func (b *builder) processorColor(p processor) {
	color := repository.ColorRGB
	if p.is("do_flip_channel_order", p.kind == "MobileViT") {
		color = repository.ColorBGR
	}
	if b.channels == 3 || b.channels < 1 {
		b.say("input.color", color, processorFile)
	}
	scale := 1.0
	if p.is("do_rescale", true) {
		scale = p.number("rescale_factor", 1.0/255)
	}
	mean, std := []float64{0}, []float64{1}
	if p.is("do_normalize", p.dict["image_mean"] != nil && p.kind != "MobileViT") {
		mean, std = floats(p.dict["image_mean"]), floats(p.dict["image_std"])
		if mean == nil || std == nil {
			mean, std = []float64{0.5}, []float64{0.5}
			if p.kind == "ConvNext" || strings.Contains(p.kind, "Detr") {
				mean, std = normalizations["imagenet"].mean, normalizations["imagenet"].std
			}
		}
	}
	if math.Abs(scale*255-1) < 1e-6 {
		scale = 1.0 / 255
	}
	b.sayNormalization(scale, mean, std, processorFile)
}

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
		b.askNormalization("config.json has no mean and std", "imagenet", "inception")
		return true
	}
	b.sayNormalization(1.0/255, mean, std, "config.json mean and std")
	return true
}

// timmSize is timm's transforms_imagenet_eval: the shorter side becomes the input's divided by crop_pct, rounded down, and the
// center is cropped; with crop_mode squash without the aspect ratio.
func (b *builder) timmSize(p processor) {
	const from = "config.json crop_pct"
	if size := integers(p.dict["input_size"]); len(size) == 3 {
		b.fixedSize(size[2], size[1], "config.json input_size")
	} else {
		b.fixedSize(0, 0, "")
	}
	width, height := b.size()
	ratio := p.number("crop_pct", 0.875)
	mode, _ := p.dict["crop_mode"].(string)
	switch {
	case mode == "squash", width != height:
		b.say("input.resize", string(repository.Stretch), "config.json crop_mode")
	case mode == "border":
		b.say("input.resize", string(repository.Letterbox), "config.json crop_mode")
	default:
		b.shortestEdge(rounded(width, ratio), from)
	}
	interpolation, _ := p.dict["interpolation"].(string)
	filter := map[string]string{"bicubic": repository.PillowBicubic, "nearest": repository.PillowNearest, "lanczos": repository.PillowLanczos,
		"box": repository.PillowBox, "hamming": repository.PillowHamming}[interpolation]
	if filter == "" {
		filter = repository.PillowBilinear
	}
	b.say("input.interpolation", filter, "config.json interpolation")
}
