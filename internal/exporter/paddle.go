package exporter

import (
	"io/fs"
	"slices"

	"fovea/internal/repository"
	"fovea/internal/safeyaml"
)

// paddleFilters are OpenCV's filters by their number, as infer_cfg.yml has them (cv2.INTER_…).
var paddleFilters = []string{repository.OpenCVNearest, repository.OpenCVLinear, repository.OpenCVCubic, repository.OpenCVArea}

// paddleDetection recognizes PaddleDetection's exports: inputs image and scale_factor, perhaps im_shape, and rows of class,
// score and box in pixels of the image (multiclass_nms3). Its infer_cfg.yml says how images are prepared.
func paddleDetection(b *builder) bool {
	if !b.inputNamed("scale_factor") {
		return false
	}
	i := slices.IndexFunc(b.graph.Outputs, func(t repository.TensorInfo) bool {
		return len(t.Shape) == 2 && (t.Shape[1] == 6 || t.Shape[1] == -1) && slices.Contains(repository.ScoreTypes(), t.DType)
	})
	if i < 0 {
		return false
	}
	out := b.graph.Outputs[i]
	const from = "inputs and outputs of PaddleDetection"
	b.say("task", string(repository.Detection), from)
	b.say("output.decode", repository.DecodeRows, from)
	b.say("output.name", out.Name, shapeOf(out))
	b.say("output.columns", []string{"class", "score", "x1", "y1", "x2", "y2"}, from)
	b.say("output.box_space", repository.SpaceOriginal, "scale_factor maps boxes back to the image")
	extra := []repository.Extra{{Name: "scale_factor", Value: repository.ScaleFactorHW}}
	if b.inputNamed("im_shape") {
		extra = append(extra, repository.Extra{Name: "im_shape", Value: repository.InputSizeHW})
	}
	b.say("input.extra", extra, from)
	b.color(from)
	b.finalBoxes()
	b.paddlePreprocessing()
	b.findLabels()
	return true
}

// paddleFiles are the names of PaddleDetection's configuration, of which PaddleX writes the second.
var paddleFiles = []string{"infer_cfg.yml", "inference.yml"}

// paddleConfig is what is used of infer_cfg.yml.
type paddleConfig struct {
	file       string
	Preprocess []map[string]any `yaml:"Preprocess"`
	Labels     []string         `yaml:"label_list"`
	Threshold  float64          `yaml:"draw_threshold"`
	Mask       bool             `yaml:"mask"`
}

// paddleConfig reads the configuration; nil without one.
func (b *builder) paddleConfig() *paddleConfig {
	i := slices.IndexFunc(paddleFiles, b.hasFile)
	if i < 0 {
		return nil
	}
	cfg := paddleConfig{file: paddleFiles[i]}
	data, err := fs.ReadFile(b.files, cfg.file)
	if err == nil {
		err = safeyaml.Unmarshal(data, &cfg)
	}
	if err != nil {
		b.fail("%s: %w", cfg.file, err)
	}
	return &cfg
}

// paddlePreprocessing sets what the steps of the configuration do (deploy/python/preprocess.py); without it, PP-YOLOE's reader is
// assumed.
func (b *builder) paddlePreprocessing() {
	const usual = "PP-YOLOE's reader"
	cfg := b.paddleConfig()
	if cfg == nil {
		b.assumed(func() { b.stretch(repository.OpenCVCubic, usual) })
		b.usualSize(640, usual)
		b.askNormalization("there is no infer_cfg.yml next to model.onnx", "imagenet (PP-YOLOE)", "unit (PP-YOLOE+)")
		return
	}
	if cfg.Mask {
		b.notInferred("instance segmentation (" + cfg.file + " mask)")
	}
	b.takeLabels(cfg.Labels, cfg.file+" label_list")
	if cfg.Threshold > 0 && cfg.Threshold <= 1 {
		b.say("output.score_threshold", cfg.Threshold, cfg.file+" draw_threshold")
	}
	b.sayNormalization(cfg.normalization(), cfg.file+" NormalizeImage")
	for _, step := range cfg.Preprocess {
		switch kind, _ := step["type"].(string); kind {
		case "Resize":
			b.paddleResize(step, cfg)
		case "LetterBoxResize":
			b.paddleLetterbox(step, cfg.file+" LetterBoxResize")
		case "NormalizeImage", "Permute", "Pad", "PadStride", "DecodeImage", "Decode":
		default:
			b.fail("%s: the step %.100q of Preprocess is not supported", cfg.file, kind)
		}
	}
	b.assumed(func() { b.stretch(repository.OpenCVCubic, usual) })
	if b.values["input.resize"].text != string(repository.Fit) {
		b.usualSize(640, usual)
	}
}

// step returns the step of a type and its place; nil without one.
func (c *paddleConfig) step(kind string) (step map[string]any, at int) {
	at = slices.IndexFunc(c.Preprocess, func(step map[string]any) bool { return step["type"] == kind })
	if at < 0 {
		return nil, at
	}
	return c.Preprocess[at], at
}

// padding is the color of what is padded: that of Pad, whose default is 127.5, or 0 after the normalization.
func (c *paddleConfig) padding() []float64 {
	pad, padAt := c.step("Pad")
	_, normalizeAt := c.step("NormalizeImage")
	if pad != nil && (normalizeAt < 0 || padAt < normalizeAt) {
		if fill := decimals(pad["fill_value"]); fill != nil {
			return fill
		}
		return []float64{127.5}
	}
	return c.normalization().zero()
}

// paddleSize is target_size, [height, width]; 0 without it.
func paddleSize(step map[string]any) (width, height int64) {
	switch size := numbers(step["target_size"]); len(size) {
	case 1:
		return size[0], size[0]
	case 2:
		return size[1], size[0]
	}
	return 0, 0
}

// paddleResize sets Resize: a stretch, or, with keep_ratio, the shorter side to the smaller number of target_size, or less where the
// longer side would exceed the other. An input of fixed size is padded at the right and below.
func (b *builder) paddleResize(step map[string]any, cfg *paddleConfig) {
	from := cfg.file + " Resize"
	if interp := numbers(step["interp"]); len(interp) == 1 && interp[0] >= 0 && int(interp[0]) < len(paddleFilters) {
		b.say("input.interpolation", paddleFilters[interp[0]], from)
	}
	width, height := paddleSize(step)
	pads, _ := cfg.step("Pad")
	switch {
	case step["keep_ratio"] == false:
		b.fixedSize(width, height, from)
		b.say("input.resize", string(repository.Stretch), from)
		return
	case b.staysOpen() && pads == nil && width > 0:
		b.fit(min(width, height), max(width, height), from)
		stride, _ := cfg.step("PadStride")
		if n := numbers(stride["stride"]); len(n) == 1 && n[0] > 1 {
			b.say("input.stride", n[0], cfg.file+" PadStride")
			b.say("input.fill", cfg.padding(), cfg.file+" PadStride")
		}
	default:
		b.fixedSize(width, height, from)
		b.say("input.resize", string(repository.Letterbox), from)
		b.say("input.place", "top_left", from)
		b.say("input.fill", cfg.padding(), from)
	}
	b.say("input.rounding", repository.RoundNearest, from) // cv2.resize with fx and fy
	b.say("input.inverse", repository.InverseGain, from)   // scale_factor is not rounded
}

// paddleLetterbox sets LetterBoxResize, which centers and averages by area.
func (b *builder) paddleLetterbox(step map[string]any, from string) {
	width, height := paddleSize(step)
	b.fixedSize(width, height, from)
	b.say("input.resize", string(repository.Letterbox), from)
	b.say("input.place", "center", from)
	b.say("input.fill", []float64{127.5}, from)
	b.say("input.interpolation", repository.OpenCVArea, from)
	b.say("input.inverse", repository.InverseGain, from)
}

// normalization is that of NormalizeImage. Without the step, which export_model.py leaves out with fuse_normalize, the graph
// normalizes values from 0 to 255.
func (c *paddleConfig) normalization() normalization {
	step, _ := c.step("NormalizeImage")
	n := normalization{scale: 1, mean: []float64{0}, std: []float64{1}}
	if step == nil {
		return n
	}
	if step["is_scale"] != false {
		n.scale = 1.0 / 255
	}
	if mean, std := decimals(step["mean"]), decimals(step["std"]); step["norm_type"] != "none" && mean != nil && std != nil {
		n.mean, n.std = mean, std
	}
	return n
}

// numbers are the integers of a YAML value, which may be one number.
func numbers(v any) (list []int64) {
	for _, f := range decimals(v) {
		list = append(list, int64(f))
	}
	return list
}

func decimals(v any) (list []float64) {
	switch v := v.(type) {
	case uint64:
		return []float64{float64(v)}
	case int64:
		return []float64{float64(v)}
	case float64:
		return []float64{v}
	case []any:
		for _, e := range v {
			list = append(list, decimals(e)...)
		}
	}
	return list
}
