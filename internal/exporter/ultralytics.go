package exporter

import (
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// ultralytics recognizes exports of the ultralytics package, which write task, names, imgsz, stride and args into the metadata
// (engine/exporter.py). Its predict() sets the rest: LetterBox and non_max_suppression with conf 0.25, iou 0.7, max_det 300.
func ultralytics(b *builder) bool {
	meta := b.graph.Metadata
	task := meta["task"]
	if task == "" || meta["names"] == "" && meta["author"] != "Ultralytics" {
		return false
	}
	b.metadataLabels()
	switch task {
	case "detect":
		b.say("task", string(repository.Detection), "metadata task")
		if b.isUltralyticsDETR() {
			b.ultralyticsDETR()
		} else {
			b.ultralyticsDetect()
		}
	case "classify":
		b.say("task", string(repository.Classification), "metadata task")
		b.ultralyticsClassify()
	case "segment":
		b.ultralyticsObjects(repository.InstanceSegmentation)
	case "pose":
		b.ultralyticsObjects(repository.Pose)
	case "obb":
		b.ultralyticsObjects(repository.OrientedDetection)
	case "semantic":
		b.ultralyticsSemantic()
	case "depth":
		b.ultralyticsDepth()
	default:
		b.unsupported(strconv.Quote(task))
	}
	return true
}

// metadataLabels takes the labels of metadata names.
func (b *builder) metadataLabels() {
	names := b.graph.Metadata["names"]
	if names == "" {
		return
	}
	v, err := literal(names)
	labels, ok := labelList(v)
	if err != nil || !ok {
		b.fail("metadata names: %.100q is not a list or dict of labels; say labels=…", names)
		return
	}
	b.takeLabels(labels, "metadata names")
}

// imgsz sets an open size to that of metadata imgsz, [height, width], or to what is usual of the task.
func (b *builder) imgsz(usual int64, why string) {
	v, _ := literal(b.graph.Metadata["imgsz"])
	switch list := integers(v); len(list) {
	case 1:
		b.fixedSize(list[0], list[0], "metadata imgsz")
	case 2:
		b.fixedSize(list[1], list[0], "metadata imgsz")
	default:
		b.usualSize(usual, why)
	}
}

// stride is that of metadata stride, at least 1.
func (b *builder) stride() int64 {
	v, _ := literal(b.graph.Metadata["stride"])
	stride := int64(1)
	for _, s := range integers(v) {
		stride = max(stride, s)
	}
	return stride
}

// exportArgs are those of metadata args: how the model was exported.
func (b *builder) exportArgs() map[string]any {
	args, _ := literal(b.graph.Metadata["args"])
	dict, _ := args.(map[string]any)
	return dict
}

func (b *builder) ultralyticsDetect() {
	const usual = "Ultralytics predict()"
	b.imgsz(640, usual)
	b.letterbox(usual+" LetterBox", b.stride())
	b.scaleBoxes()
	if out := b.singleOutput(3); out != nil {
		if b.endToEnd(*out) {
			b.finishedRows(*out, "x1", "y1", "x2", "y2", "score", "class")
		} else {
			b.ultralyticsRaw(*out, 0)
		}
	}
	b.ultralyticsLimits()
	b.yoloLimits(0.25, 0.7, usual)
}

// scaleBoxes sets how boxes are mapped back, which scale_boxes in utils/ops.py of the version that exported the model says: with one
// gain for both axes up to 8.4.173, with the padding that follows from it up to 8.4.24.
func (b *builder) scaleBoxes() {
	numbers := strings.Split(b.graph.Metadata["version"], ".")
	if len(numbers) < 3 {
		return
	}
	var version [3]int
	for i := range version {
		n, err := strconv.Atoi(numbers[i])
		if err != nil {
			return
		}
		version[i] = n
	}
	from := "scale_boxes of metadata version"
	switch {
	case slices.Compare(version[:], []int{8, 4, 25}) < 0:
		b.say("input.inverse", repository.InverseGainRounded, from)
	case slices.Compare(version[:], []int{8, 4, 174}) < 0:
		b.say("input.inverse", repository.InverseGain, from)
	}
}

// ultralyticsRaw sets the decoder of an output [4+C,n] and its suppression, or of one with more numbers after the classes.
func (b *builder) ultralyticsRaw(out repository.TensorInfo, after int64) {
	b.table(out, repository.DecodeYOLO)
	if out.Shape[1] > 4 {
		b.fitLabels(out.Shape[1]-4-after, out.Name)
	}
	if b.exportArgs()["agnostic_nms"] == true {
		b.say("output.class_agnostic", true, "metadata args agnostic_nms")
	}
}

// ultralyticsLimits takes thresholds of metadata args, which versions differ in writing.
func (b *builder) ultralyticsLimits() {
	args := b.exportArgs()
	if v, ok := args["conf"].(float64); ok && v >= 0 && v <= 1 {
		b.say("output.score_threshold", v, "metadata args conf")
	}
	if v, ok := args["iou"].(float64); ok && v > 0 && v <= 1 && b.values["output.decode"].text == repository.DecodeYOLO {
		b.say("output.iou_threshold", v, "metadata args iou")
	}
	if v, ok := args["max_det"].(float64); ok && v >= 1 && v <= 1000 {
		b.say("output.max_boxes", int(v), "metadata args max_det")
	}
}

// isUltralyticsDETR reports whether an export is of Ultralytics' RT-DETR: by its head, or by its name in older ones.
func (b *builder) isUltralyticsDETR() bool {
	meta := b.graph.Metadata
	return meta["head"] == "RTDETRDecoder" || meta["head"] == "" && strings.Contains(strings.ToLower(meta["description"]), "rtdetr")
}

// ultralyticsDETR sets what RTDETRPredictor does (models/rtdetr/predict.py): LetterBox with scale_fill, which stretches, and boxes of
// center and size from 0 to 1, with a score and a class [n,6], or in older exports with a score of each class [n,4+C].
func (b *builder) ultralyticsDETR() {
	const usual = "Ultralytics RTDETRPredictor"
	b.imgsz(640, usual)
	b.stretch(repository.OpenCVLinear, usual)
	b.color(usual)
	b.unit(usual)
	out := b.singleOutput(3)
	if out == nil {
		return
	}
	b.say("output.box_space", repository.SpaceUnit, usual)
	if columns := out.Shape[2]; b.graph.Metadata["head"] != "" && (columns == 6 || columns < 0) {
		b.finishedRows(*out, "cx", "cy", "w", "h", "score", "class")
	} else {
		b.table(*out, repository.DecodeYOLO)
		b.say("output.nms", repository.NMSNone, usual)
		if columns > 4 {
			b.fitLabels(columns-4, out.Name)
		}
	}
	b.ultralyticsLimits()
	b.say("output.score_threshold", 0.25, usual)
	b.say("output.max_boxes", 300, usual)
}

// endToEnd reports whether an output has finished boxes, [n,6]: its metadata says so, or, in versions that did not, its shape. In a
// file with open sizes the six columns may be open, too.
func (b *builder) endToEnd(out repository.TensorInfo) bool {
	meta := b.graph.Metadata
	rows, columns := out.Shape[1], out.Shape[2]
	raw := int64(4 + len(b.labels))
	if strings.EqualFold(meta["end2end"], "true") || b.exportArgs()["nms"] == true {
		return columns == 6 || columns < 0
	}
	v10 := meta["end2end"] == "" && strings.Contains(strings.ToLower(meta["description"]), "yolov10")
	return rows > 0 && rows != raw && (columns == 6 || columns < 0 && v10)
}

// ultralyticsClassify sets what ultralytics' classify_transforms does: torchvision's Resize of the shorter side and CenterCrop, or
// a stretch where the input is not square.
func (b *builder) ultralyticsClassify() {
	const usual = "Ultralytics classify_transforms"
	b.imgsz(224, usual)
	if width, height := b.size(); width == height {
		b.shortestEdge(width, usual)
	} else {
		b.say("input.resize", string(repository.Stretch), usual)
	}
	b.say("input.interpolation", repository.PillowBilinear, usual)
	b.color(usual)
	b.unit(usual)
	if out := b.singleOutput(2); out != nil {
		b.scores(*out)
		b.fitLabels(classesOf(*out), out.Name)
	}
}

// singleOutput returns the only output of a number of dimensions.
func (b *builder) singleOutput(dimensions int) *repository.TensorInfo {
	var fits []repository.TensorInfo
	for _, t := range b.graph.Outputs {
		if len(t.Shape) == dimensions && slices.Contains(repository.ScoreTypes(), t.DType) {
			fits = append(fits, t)
		}
	}
	if name := b.outputName(); name != "" {
		fits = slices.DeleteFunc(fits, func(t repository.TensorInfo) bool { return t.Name != name })
	}
	switch len(fits) {
	case 1:
		return &fits[0]
	case 0:
		b.fail("none of the outputs is of %d dimensions%s: %s", dimensions, b.named(), describeAll(b.graph.Outputs))
	default:
		b.ask("output.name", strconv.Itoa(len(fits))+" outputs have "+strconv.Itoa(dimensions)+" dimensions", tensorNames(fits)...)
	}
	return nil
}

// outputName is what the user says of output.name.
func (b *builder) outputName() string { return b.saidName("output.name") }

// saidName is the name that the user says of a key.
func (b *builder) saidName(key string) string { return strings.Trim(b.settings[key], `"`) }

// named says which output the user wants.
func (b *builder) named() string {
	if name := b.outputName(); name != "" {
		return " and called " + strconv.Quote(name)
	}
	return ""
}
