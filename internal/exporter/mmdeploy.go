package exporter

import (
	"slices"
	"strings"

	"fovea/internal/repository"
)

// mmdeploy recognizes the outputs of MMDeploy's detectors: dets [N,n,5] with x1, y1, x2, y2 and the score, and labels [N,n]. OpenVINO's
// training extensions call the former boxes.
func mmdeploy(b *builder) bool {
	dets, labels := b.outputNamed("dets", "boxes"), b.outputNamed("labels")
	if dets == nil || labels == nil || len(dets.Shape) < 2 || slices.Contains(repository.ScoreTypes(), labels.DType) {
		return false
	}
	if columns := dets.Shape[len(dets.Shape)-1]; columns != 5 && (columns != -1 || dets.Name != "dets") {
		return false
	}
	const from = "outputs of MMDeploy"
	b.extras()
	b.detection(from)
	b.say("output.decode", repository.DecodeRows, from)
	b.say("output.name", dets.Name, from)
	b.say("output.columns", []string{"x1", "y1", "x2", "y2", "score"}, from)
	b.say("output.classes", labels.Name, from)
	b.say("output.box_space", repository.SpaceInput, from)
	b.finalBoxes()
	b.mmdetPipeline()
	return true
}

// mmdetPipeline reads MMDeploy's pipeline.json; without it, MMDetection's usual test pipeline is assumed.
func (b *builder) mmdetPipeline() {
	steps := b.pipelineSteps()
	fill := paddingColor(steps)
	if len(steps) == 0 {
		fill = b.zeroColor()
	}
	b.mmdetFit(steps, fill)
	for _, step := range steps {
		switch step.kind() {
		case "Resize":
			b.mmdetResize(step)
		case "LetterResize":
			b.mmyoloResize(step, steps)
		case "Normalize":
			b.mmdetNormalize(step)
		}
	}
	normalizes := slices.ContainsFunc(steps, func(t transform) bool { return t.kind() == "Normalize" })
	if len(steps) > 0 && !normalizes { // images stay as OpenCV reads them
		b.say("input.color", repository.ColorBGR, "pipeline.json has no Normalize")
		b.sayNormalization(normalizations["none"], "pipeline.json has no Normalize")
	}
	if len(steps) == 0 && b.staysOpen() && b.settings["input.resize"] == "" && b.tritonWidth == 0 {
		b.assumed(func() {
			b.mmdetFitTo([]int64{1333, 800}, 32, fill, "MMDetection's test pipeline", "MMDetection's test pipeline")
		})
	}
	b.assumed(func() { b.mmdetUsual(len(steps) > 0, fill) })
	if b.values["input.resize"].text != string(repository.Fit) {
		b.fixedSize(0, 0, "")
	}
	if len(steps) == 0 {
		b.askNormalization("there is no pipeline.json next to model.onnx", "imagenet", "none", "unit")
	}
}

func (b *builder) mmdetUsual(hasPipeline bool, fill []float64) {
	const usual = "MMDetection's test pipeline"
	if !hasPipeline && !b.isOpen() { // process_model_config of MMDeploy's codebase/mmdet
		b.say("input.resize", string(repository.Stretch), "MMDeploy resizes to a fixed size without the aspect ratio")
	}
	b.say("input.resize", string(repository.Letterbox), usual)
	if b.values["input.resize"].text == string(repository.Letterbox) {
		b.say("input.place", "top_left", usual)
		b.say("input.rounding", repository.RoundHalfUp, "mmcv's rescale_size")
		b.say("input.fill", fill, usual)
	}
	b.say("input.interpolation", repository.OpenCVLinear, usual)
	b.color(usual)
}

// mmdetFit sets how images are resized for an input of open size: the shorter side becomes the smaller number of Resize, or less where
// the longer side would exceed the other (rescale_size in mmcv/image/geometric.py), and Pad fills up to a multiple of its divisor.
func (b *builder) mmdetFit(steps []transform, fill []float64) {
	if !b.staysOpen() {
		return
	}
	var edges []int64
	divisor := int64(1)
	for _, step := range steps {
		switch step.kind() {
		case "Resize":
			if edges = step.size(); step["keep_ratio"] == false {
				return
			}
		case "Pad":
			if integers(step["size"]) != nil || step["pad_to_square"] == true {
				return
			}
			if n, ok := step["size_divisor"].(float64); ok {
				divisor = int64(n)
			}
		}
	}
	if len(edges) != 2 {
		return
	}
	b.mmdetFitTo(edges, divisor, fill, "pipeline.json Resize", "pipeline.json Pad")
}

// mmdetFitTo sets a resize within two edges and a padding to a multiple of a divisor.
func (b *builder) mmdetFitTo(edges []int64, divisor int64, fill []float64, resize, padding string) {
	b.fit(slices.Min(edges), slices.Max(edges), resize)
	b.say("input.rounding", repository.RoundHalfUp, "mmcv's rescale_size")
	if divisor > 1 {
		b.say("input.stride", divisor, padding)
		b.say("input.fill", fill, padding)
	}
}

// transform is a step of pipeline.json.
type transform map[string]any

func (t transform) kind() string {
	kind, _ := t["type"].(string)
	return kind[strings.LastIndexByte(kind, '.')+1:] // mmdet.Resize, mmyolo.LetterResize
}

// padding is the color of Pad: a number, or that of images in a dict.
func (t transform) padding() float64 {
	switch v := t["pad_val"].(type) {
	case float64:
		return v
	case map[string]any:
		if list := floats(v["img"]); len(list) > 0 {
			return list[0]
		}
	}
	return 0
}

// paddingColor is the color of Pad in pixel values. After Normalize, where MMDetection pads, its number is of normalized values.
func paddingColor(steps []transform) []float64 {
	of := func(kind string) int {
		return slices.IndexFunc(steps, func(t transform) bool { return t.kind() == kind })
	}
	pad, normalize := of("Pad"), of("Normalize")
	if pad < 0 {
		return []float64{0}
	}
	value := steps[pad].padding()
	if normalize < 0 || normalize > pad {
		return []float64{value}
	}
	mean, std := floats(steps[normalize]["mean"]), floats(steps[normalize]["std"])
	fill := make([]float64, min(len(mean), len(std)))
	for i := range fill {
		fill[i] = pixel(value*std[i] + mean[i])
	}
	if len(fill) == 0 {
		return []float64{value}
	}
	return fill
}

// size is that of Resize, [width, height].
func (t transform) size() []int64 {
	if size := integers(t["size"]); size != nil {
		return size
	}
	return integers(t["scale"])
}

func (b *builder) mmdetResize(step transform) {
	if size := step.size(); len(size) == 2 && b.values["input.resize"].text != string(repository.Fit) {
		b.fixedSize(size[0], size[1], "pipeline.json Resize")
	}
	if step["keep_ratio"] == false {
		b.say("input.resize", string(repository.Stretch), "pipeline.json Resize")
	}
}

// mmyoloResize sets MMYOLO's LetterResize after its YOLOv5KeepRatioResize, which rounds down and averages by area
// (mmyolo/datasets/transforms/transforms.py).
func (b *builder) mmyoloResize(step transform, steps []transform) {
	const from = "pipeline.json LetterResize"
	if size := step.size(); len(size) == 2 {
		b.fixedSize(size[0], size[1], from)
	}
	b.say("input.resize", string(repository.Letterbox), from)
	b.say("input.place", "center", from)
	b.say("input.rounding", repository.RoundFloor, from)
	b.say("input.fill", []float64{step.padding()}, from)
	if slices.ContainsFunc(steps, func(t transform) bool { return t.kind() == "YOLOv5KeepRatioResize" }) {
		b.say("input.interpolation", repository.OpenCVArea, "pipeline.json YOLOv5KeepRatioResize")
	}
}

func (b *builder) mmdetNormalize(step transform) {
	if step["to_rgb"] == false {
		b.say("input.color", repository.ColorBGR, "pipeline.json Normalize")
	}
	if mean, std := floats(step["mean"]), floats(step["std"]); mean != nil && std != nil {
		b.sayNormalization(normalization{scale: 1, mean: mean, std: std}, "pipeline.json Normalize")
	}
}

// pipelineSteps lists the transforms of MMDeploy's pipeline.json, whose tasks of preprocessing hold them.
func (b *builder) pipelineSteps() (steps []transform) {
	file := b.readJSON("pipeline.json")
	pipeline, _ := file["pipeline"].(map[string]any)
	if pipeline == nil {
		pipeline = file
	}
	tasks, _ := pipeline["tasks"].([]any)
	for _, t := range tasks {
		task, _ := t.(map[string]any)
		list, _ := task["transforms"].([]any)
		for _, s := range list {
			if step, ok := s.(map[string]any); ok {
				steps = append(steps, step)
			}
		}
	}
	return steps
}
