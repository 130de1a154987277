package exporter

import (
	"io/fs"
	"slices"
	"strings"

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
	b.say("output.name", out.Name, "shape of "+describe(out))
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

// paddleConfig is what is used of infer_cfg.yml.
type paddleConfig struct {
	Preprocess []map[string]any `yaml:"Preprocess"`
	Labels     []string         `yaml:"label_list"`
}

func (b *builder) paddlePreprocessing() {
	const file = "infer_cfg.yml"
	var cfg paddleConfig
	if b.hasFile(file) {
		data, err := fs.ReadFile(b.files, file)
		if err == nil {
			err = safeyaml.Unmarshal(data, &cfg)
		}
		if err != nil {
			b.fail("%s: %w", file, err)
			return
		}
		b.takeLabels(cfg.Labels, file+" label_list")
	}
	for _, step := range cfg.Preprocess {
		switch kind, _ := step["type"].(string); kind {
		case "Resize":
			b.paddleResize(step, file+" Resize")
		case "NormalizeImage":
			b.paddleNormalize(step, file+" NormalizeImage")
		}
	}
	const usual = "PP-YOLOE's reader"
	b.assumed(func() { b.stretch(repository.OpenCVCubic, usual) })
	b.usualSize(640, usual)
	if _, known := b.values["input.scale"]; !known {
		b.askNormalization("there is no "+file+" next to model.onnx", "imagenet (PP-YOLOE)", "unit (PP-YOLOE+)")
	}
}

func (b *builder) paddleResize(step map[string]any, from string) {
	if size := numbers(step["target_size"]); len(size) == 2 {
		b.fixedSize(size[1], size[0], from)
	}
	if interp := numbers(step["interp"]); len(interp) == 1 && interp[0] >= 0 && int(interp[0]) < len(paddleFilters) {
		b.say("input.interpolation", paddleFilters[interp[0]], from)
	}
	if step["keep_ratio"] == true {
		b.say("input.resize", string(repository.Letterbox), from)
		b.say("input.place", "top_left", from)
		b.say("input.fill", []float64{0}, from)
		return
	}
	b.say("input.resize", string(repository.Stretch), from)
}

func (b *builder) paddleNormalize(step map[string]any, from string) {
	scale := 1.0
	if step["is_scale"] != false {
		scale = 1.0 / 255
	}
	mean, std := decimals(step["mean"]), decimals(step["std"])
	if step["norm_type"] == "none" || mean == nil || std == nil {
		mean, std = []float64{0}, []float64{1}
	}
	b.sayNormalization(scale, mean, std, from)
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

// paddleOCR recognizes PaddleOCR's classifier of the direction of text lines (tools/infer/predict_cls.py): two classes, and an
// input whose file leaves the size open. Lines are resized to a height of 48 and padded to a width of 192.
func paddleOCR(b *builder) bool {
	if len(b.graph.Outputs) != 1 || !b.isOpen() {
		return false
	}
	out := b.graph.Outputs[0]
	if len(out.Shape) != 2 || out.Shape[1] != 2 || b.image.Name != "x" || !strings.Contains(out.Name, "tmp") {
		return false
	}
	const usual = "PaddleOCR's text direction classifier"
	b.say("task", string(repository.Classification), "shape of "+describe(out))
	b.takeLabels([]string{"0", "180"}, usual)
	b.scores(out)
	b.fitLabels(classesOf(out), out.Name)
	b.assumed(func() {
		b.say("input.width", 192, usual)
		b.say("input.height", 48, usual)
		b.say("input.resize", string(repository.FitHeight), usual)
		b.say("input.fill", []float64{127.5}, usual)
		b.say("input.interpolation", repository.OpenCVLinear, usual)
		b.say("input.color", repository.ColorBGR, usual)
		b.sayNormalization(1/127.5, []float64{1}, []float64{1}, usual)
	})
	return true
}
