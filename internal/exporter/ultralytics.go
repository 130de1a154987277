package exporter

import (
	"fmt"
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

// imgsz is the size of metadata imgsz, [height, width]; 0 without it.
func (b *builder) imgsz() (width, height int64) {
	v, _ := literal(b.graph.Metadata["imgsz"])
	switch list := integers(v); len(list) {
	case 1:
		return list[0], list[0]
	case 2:
		return list[1], list[0]
	}
	return 0, 0
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

func (b *builder) ultralyticsDetect() {
	const usual = "Ultralytics predict()"
	width, height := b.imgsz()
	b.fixedSize(width, height, "metadata imgsz")
	b.letterbox(usual+" LetterBox", b.stride())
	out := b.singleOutput(3)
	if out == nil {
		return
	}
	b.yoloOutput(*out, b.endToEnd(*out))
	b.yoloLimits(0.25, 0.7, usual)
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
	width, height := b.imgsz()
	b.fixedSize(width, height, "metadata imgsz")
	b.stretch(repository.OpenCVLinear, usual)
	b.color(usual)
	b.unit(usual)
	out := b.singleOutput(3)
	if out == nil {
		return
	}
	if b.graph.Metadata["head"] != "" && out.Shape[2] == 6 {
		b.say("output.decode", repository.DecodeRows, "shape of "+describe(*out))
		b.say("output.columns", []string{"cx", "cy", "w", "h", "score", "class"}, usual)
	} else {
		b.say("output.decode", repository.DecodeYOLO, "shape of "+describe(*out))
		b.say("output.nms", repository.NMSNone, usual)
		b.checkColumns(*out, 4)
	}
	b.say("output.box_space", repository.SpaceUnit, usual)
	b.say("output.score_threshold", 0.25, usual)
	b.say("output.max_boxes", 300, usual)
}

// endToEnd reports whether an output has finished boxes: its metadata says so, and its rows have six numbers.
func (b *builder) endToEnd(out repository.TensorInfo) bool {
	meta := b.graph.Metadata
	args, _ := literal(meta["args"])
	dict, _ := args.(map[string]any)
	says := strings.EqualFold(meta["end2end"], "true") || dict["nms"] == true
	dims := out.Shape
	classes := int64(len(b.labels))
	switch rows, columns := dims[1], dims[2]; {
	case columns == 6 && rows > 0: // raw outputs have a row for each number
		return rows != 4+classes || says
	case columns < 0 || rows < 0:
		return says && (rows < 0 || rows != 4+classes)
	}
	return false
}

// singleOutput returns the only output of a number of dimensions.
func (b *builder) singleOutput(dimensions int) *repository.TensorInfo {
	if name := strings.Trim(b.settings["output.name"], `"`); name != "" {
		i := slices.IndexFunc(b.graph.Outputs, func(t repository.TensorInfo) bool { return t.Name == name })
		if i < 0 {
			b.fail("output.name: model.onnx has no output %q; it has %s", name, strings.Join(tensorNames(b.graph.Outputs), ", "))
			return nil
		}
		return &b.graph.Outputs[i]
	}
	var fits []repository.TensorInfo
	for _, t := range b.graph.Outputs {
		if len(t.Shape) == dimensions && slices.Contains(repository.ScoreTypes(), t.DType) {
			fits = append(fits, t)
		}
	}
	if len(fits) != 1 {
		b.ask("output.name", fmt.Sprintf("%d outputs have %d dimensions", len(fits), dimensions), tensorNames(fits)...)
		return nil
	}
	return &fits[0]
}

// yoloOutput sets the decoder of an output [4+C,n], or of finished boxes.
func (b *builder) yoloOutput(out repository.TensorInfo, endToEnd bool) {
	from := "shape of " + describe(out)
	if len(b.graph.Outputs) > 1 {
		b.say("output.name", out.Name, from)
	}
	if endToEnd {
		b.say("output.decode", repository.DecodeRows, from)
		b.say("output.columns", []string{"x1", "y1", "x2", "y2", "score", "class"}, from)
		b.say("output.box_space", repository.SpaceInput, from)
		return
	}
	b.say("output.decode", repository.DecodeYOLO, from)
	if classes := min(out.Shape[1], out.Shape[2]) - 4; out.Shape[1] > 0 && out.Shape[2] > 0 && len(b.labels) == 0 {
		b.fitLabels(classes, out.Name)
	} else if out.Shape[1] > 0 {
		b.checkColumns(out, 4)
	}
}

// checkColumns compares the labels with an output whose rows or columns hold head numbers and a score for each class.
func (b *builder) checkColumns(out repository.TensorInfo, head int64) {
	n := int64(len(b.labels)) + head
	if n > head && out.Shape[1] != n && out.Shape[2] != n && out.Shape[1] > 0 && out.Shape[2] > 0 {
		b.fitLabels(min(out.Shape[1], out.Shape[2])-head, out.Name)
	}
}

// yoloLimits sets the thresholds of YOLO detectors.
func (b *builder) yoloLimits(score, iou float64, from string) {
	b.say("output.score_threshold", score, from)
	b.say("output.max_boxes", 300, from)
	if b.values["output.decode"].text != repository.DecodeRows {
		b.say("output.iou_threshold", iou, from)
	}
}

// ultralyticsClassify sets what ultralytics' classify_transforms does: torchvision's Resize of the shorter side and CenterCrop, or
// a stretch where the input is not square.
func (b *builder) ultralyticsClassify() {
	const usual = "Ultralytics classify_transforms"
	width, height := b.imgsz()
	b.fixedSize(width, height, "metadata imgsz")
	if width, height = b.size(); width == height {
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

// yolov5 recognizes exports of YOLOv5's export.py, which write names and stride into the metadata.
func yolov5(b *builder) bool {
	if b.graph.Metadata["names"] == "" || b.graph.Metadata["stride"] == "" {
		return false
	}
	const usual = "YOLOv5 detect.py"
	b.metadataLabels()
	b.say("task", string(repository.Detection), "metadata names and stride")
	b.fixedSize(640, 640, usual)
	b.letterbox(usual+" letterbox", b.stride())
	if b.rawGrids() {
		b.yoloLimits(0.25, 0.45, usual)
		return true
	}
	out := b.singleOutput(3)
	if out == nil {
		return true
	}
	head := int64(repository.YOLOXHead)
	switch columns := out.Shape[2]; {
	case columns > 0 && columns == 4+int64(len(b.labels)), out.Shape[1] == 4+int64(len(b.labels)):
		b.yoloOutput(*out, false)
	case columns > head+int64(len(b.labels)):
		b.unsupported("segmentation, since its boxes have more columns than labels")
	default:
		b.say("output.decode", repository.DecodeYOLOv5, "shape of "+describe(*out))
		if len(b.graph.Outputs) > 1 {
			b.say("output.name", out.Name, "shape of "+describe(*out))
		}
		b.checkColumns(*out, head)
	}
	b.yoloLimits(0.25, 0.45, usual)
	return true
}

// rawGrids recognizes three or four outputs [N,anchors,h,w,5+C], one for each stride.
func (b *builder) rawGrids() bool {
	var grids []repository.TensorInfo
	for _, t := range b.graph.Outputs {
		switch len(t.Shape) {
		case 5:
			grids = append(grids, t)
		case 3: // decoded boxes are preferred
			return false
		}
	}
	if len(grids) < 2 || len(grids) != len(b.graph.Outputs) {
		return false
	}
	from := "shape of " + describe(grids[0])
	b.say("output.decode", repository.DecodeYOLOv5Raw, from)
	if len(grids) != 3 {
		b.ask("output.anchors", fmt.Sprintf("the anchors of %d grids are not in the file", len(grids)))
		b.ask("output.strides", fmt.Sprintf("the strides of %d grids are not in the file", len(grids)), "[8,16,32,64]")
		return true
	}
	b.assume("output.anchors", repository.YOLOv5Anchors(), "YOLOv5's; YOLOv7 and trained anchors differ")
	b.assume("output.strides", []int{8, 16, 32}, "YOLOv5's strides")
	if classes := grids[0].Shape[4] - repository.YOLOXHead; classes > 0 {
		b.fitLabels(classes, grids[0].Name)
	}
	return true
}
