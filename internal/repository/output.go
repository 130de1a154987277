package repository

import (
	"slices"

	"fovea/internal/config"
)

// The values of Output.Decode.
const (
	DecodeSoftmax       = "softmax"       // logits become probabilities
	DecodeProbabilities = "probabilities" // probabilities already
	DecodeSigmoid       = "sigmoid"       // logits of independent classes become probabilities
	DecodeYOLO          = "yolo"          // YOLOv6, v8, v9, 11: rows or columns of a box and class scores
	DecodeYOLOv5        = "yolov5"        // YOLOv5, v7, decoded YOLOX: rows of a box, objectness and class scores
	DecodeYOLOv5Raw     = "yolov5_raw"    // YOLOv5, v7: one grid per stride, before anchors are applied
	DecodeYOLOX         = "yolox"         // rows of a grid: offsets, log sizes, objectness, classes
	DecodeRows          = "rows"          // rows of finished boxes, whose columns the definition names
	DecodeDETR          = "detr"          // queries: class logits and boxes
	DecodeBoxes         = "boxes"         // outputs of boxes, scores and, perhaps, classes
)

// YOLOXHead is the number of values before the class scores in a row of YOLOv5 and YOLOX: x, y, width, height and objectness.
const YOLOXHead = 5

// The values of Output.BoxFormat: two corners, two corners with y first as in TensorFlow's Object Detection API, the center
// and the size, or the top left corner and the size.
const (
	BoxXYXY   = "xyxy"
	BoxYXYX   = "yxyx"
	BoxCXCYWH = "cxcywh"
	BoxXYWH   = "xywh"
)

// The values of Output.BoxSpace: the unit of a box's numbers.
const (
	SpaceOriginal = "original" // pixels of the orientation-corrected image
	SpaceInput    = "input"    // pixels of the model's input
	SpaceUnit     = "unit"     // 0 to 1 over the model's input
)

// The values of Output.Activation: what turns logits into scores.
const (
	ActivationNone    = "none"
	ActivationSigmoid = "sigmoid"
	ActivationSoftmax = "softmax" // over the classes of a query, of which the last is no object
)

// The values of Output.NMS. Fast suppresses a box that overlaps any better one, even a suppressed one (YOLACT's fast NMS).
const (
	NMSGreedy = "greedy"
	NMSFast   = "fast"
	NMSNone   = "none"
)

// The values of Output.Columns. A row's box is x1, y1, x2, y2, or cx, cy, w, h, or x1, y1, w, h. Batch is the row of the
// batch that a box belongs to, and skip is not read.
const (
	ColumnScore = "score"
	ColumnClass = "class"
	ColumnBatch = "batch"
	ColumnSkip  = "skip"
)

// boxColumns are the columns of a box, by its format.
var boxColumns = map[string][4]string{
	BoxXYXY:   {"x1", "y1", "x2", "y2"},
	BoxCXCYWH: {"cx", "cy", "w", "h"},
	BoxXYWH:   {"x1", "y1", "w", "h"},
}

// BoxColumns returns the names of the columns of a box in a format.
func BoxColumns(format string) [4]string { return boxColumns[format] }

// Output is how the model's outputs become predictions. Outputs that it does not name are not fetched and may have any type.
// Those it names are tensors of float32, float16 or float64; boxes and classes may be integers, too.
type Output struct {
	Decode string   `yaml:"decode"` // see Decoders
	Name   string   `yaml:"name"`   // the one output read by all but yolov5_raw, yunet, detr and boxes; optional if only one matches
	Names  []string `yaml:"names"`  // yolov5_raw: one output per stride; yunet: cls, obj, bbox and kps, each of all strides
	TopK   int      `yaml:"top_k"`  // classification; default 5, at most the number of classes

	// MultiLabel: classes are independent. In classification probabilities need not add up to 1; in detection each class of
	// a box that reaches the threshold gives a box, not only the best.
	MultiLabel bool `yaml:"multi_label"`

	Strides []int     `yaml:"strides"` // yolox, yolov5_raw: pixels of the input per grid cell; default 8 16 32
	Anchors []float64 `yaml:"anchors"` // yolov5_raw: widths and heights in pixels, of all strides in turn; default YOLOv5's
	Columns []string  `yaml:"columns"` // rows: what the columns hold; default x1 y1 x2 y2 score class

	Boxes      string `yaml:"boxes"`       // boxes, detr: name of the output of boxes [n,4]
	Scores     string `yaml:"scores"`      // boxes: name of the output of scores [n] or [n,classes]; detr: of class logits [n,classes]; map of anomalies: of the score of the image
	Classes    string `yaml:"classes"`     // boxes, rows: name of the output of class numbers [n]; omitted with [n,classes] or a class column
	Activation string `yaml:"activation"`  // detr: sigmoid (default), softmax; yolo, yolov5, yolov5_raw: none, sigmoid (default of yolov5_raw); db: none (default), sigmoid; ctc: none (default), softmax
	BoxFormat  string `yaml:"box_format"`  // boxes: xyxy (default), yxyx, cxcywh, xywh; yolo, yolov5, detr: default cxcywh
	BoxSpace   string `yaml:"box_space"`   // boxes, detr, rows, yolo, yolov5: original (pixels of the image), input (of the input), unit (0–1 of the input)
	ClassFirst int    `yaml:"class_first"` // number of the first labeled class in the outputs; lower ones are background

	Score           float64          `yaml:"score_threshold"` // detection; default 0.3
	ClassThresholds []ClassThreshold `yaml:"class_thresholds"`
	IoU             float64          `yaml:"iou_threshold"`  // detection; default 0.45 with nms; boxes: 0, the default: no suppression, not even by request
	NMS             string           `yaml:"nms"`            // detection: greedy, fast, none; default greedy for YOLO, else none (boxes: greedy with iou_threshold)
	ClassAgnostic   bool             `yaml:"class_agnostic"` // detection: boxes of different classes suppress each other, too
	MaxCandidates   int              `yaml:"max_candidates"` // detection: boxes that enter suppression, best first; default DefaultMaxCandidates
	MaxBoxes        int              `yaml:"max_boxes"`      // detection; default 100

	Mask  MaskOutput  `yaml:",inline"` // instance_segmentation
	Point PointOutput `yaml:",inline"` // pose
	Dense DenseOutput `yaml:",inline"` // semantic_segmentation, embedding, image
	Text  TextOutput  `yaml:",inline"` // text_detection
}

// ClassThreshold is the score threshold of one class.
type ClassThreshold struct {
	Label string  `yaml:"label"`
	Score float64 `yaml:"score"`
}

// DefaultMaxCandidates is how many boxes enter suppression by default: max_nms of Ultralytics' non_max_suppression.
const DefaultMaxCandidates = 30000

// Suppresses reports whether overlapping boxes are suppressed.
func (o *Output) Suppresses() bool { return o.NMS == NMSGreedy || o.NMS == NMSFast }

// isYOLO reports whether a decoder has a grid of boxes that needs suppression.
func isYOLO(decode string) bool {
	return slices.Contains([]string{DecodeYOLO, DecodeYOLOv5, DecodeYOLOv5Raw, DecodeYOLOX, DecodeYuNet}, decode)
}

// YOLOv5Anchors returns those of YOLOv5 (models/yolov5s.yaml), for strides 8, 16 and 32.
func YOLOv5Anchors() []float64 {
	return []float64{10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326}
}

func (o *Output) fill(task Task, given func(key string) bool) {
	if task == Classification {
		fillValue(&o.TopK, 5, given("output.top_k"))
	}
	if task.FindsObjects() {
		fillValue(&o.Score, 0.3, given("output.score_threshold"))
		fillValue(&o.MaxBoxes, 100, given("output.max_boxes"))
		o.fillSuppression(task, given)
	}
	o.fillTask(task, given)
	switch o.Decode {
	case DecodeYOLOX, DecodeYuNet:
		fillList(&o.Strides, []int{8, 16, 32}, given("output.strides"))
	case DecodeYOLOv5Raw:
		if len(o.Strides) == 0 && len(o.Anchors) == 0 {
			fillList(&o.Anchors, YOLOv5Anchors(), given("output.anchors"))
		}
		fillList(&o.Strides, []int{8, 16, 32}, given("output.strides"))
		fillValue(&o.Activation, ActivationSigmoid, given("output.activation"))
	case DecodeYOLO, DecodeYOLOv5:
		fillValue(&o.BoxFormat, BoxCXCYWH, given("output.box_format"))
		fillValue(&o.BoxSpace, SpaceInput, given("output.box_space"))
		fillValue(&o.Activation, ActivationNone, given("output.activation"))
	case DecodeRows:
		fillList(&o.Columns, []string{"x1", "y1", "x2", "y2", ColumnScore, ColumnClass}, given("output.columns"))
		fillValue(&o.BoxSpace, SpaceInput, given("output.box_space"))
	case DecodeDETR:
		fillValue(&o.BoxFormat, BoxCXCYWH, given("output.box_format"))
		fillValue(&o.BoxSpace, SpaceUnit, given("output.box_space"))
		fillValue(&o.Activation, ActivationSigmoid, given("output.activation"))
	case DecodeBoxes:
		fillValue(&o.BoxFormat, BoxXYXY, given("output.box_format"))
	}
}

func (o *Output) fillSuppression(task Task, given func(key string) bool) {
	nms := NMSNone
	if isYOLO(o.Decode) || o.IoU > 0 {
		nms = NMSGreedy
		if task == OrientedDetection {
			nms = NMSFast // as nms_rotated in Ultralytics
		}
	}
	fillValue(&o.NMS, nms, given("output.nms"))
	if o.Suppresses() {
		fillValue(&o.IoU, 0.45, given("output.iou_threshold"))
		fillValue(&o.MaxCandidates, DefaultMaxCandidates, given("output.max_candidates"))
	}
}

func (d *Definition) checkOutput(errs *config.Errors) {
	o := &d.Output
	config.Range(errs, "output.class_first", o.ClassFirst, 0, MaxLabels)
	if allowed := Decoders(d.Task); allowed != nil {
		errs.OneOf("output.decode", o.Decode, allowed...)
	}
	if d.Task == Classification {
		config.Range(errs, "output.top_k", o.TopK, 1, MaxTopK)
	} else {
		onlyWith(errs, "output.top_k", o.TopK != 0, "task: classification")
	}
	if d.Task.FindsObjects() {
		o.checkSuppression(errs)
	} else {
		o.checkNotDetection(d.Task, errs)
	}
	d.checkTask(errs)
	d.checkClassThresholds(errs)
	d.checkStrides(errs)
	o.checkAnchors(errs)
	o.checkNames(errs)
	o.checkBoxKeys(errs)
	o.checkColumns(errs)
	o.checkActivation(errs)
}

// Decoders lists the values of Output.Decode for a task.
func Decoders(task Task) []string {
	switch task {
	case Classification:
		return []string{DecodeSoftmax, DecodeProbabilities, DecodeSigmoid}
	case Detection:
		return []string{DecodeYOLO, DecodeYOLOv5, DecodeYOLOv5Raw, DecodeYOLOX, DecodeRows, DecodeDETR, DecodeBoxes}
	}
	return taskDecoders(task)
}

// checkNotDetection reports keys that only tasks with objects have; anomalies have a threshold, too.
func (o *Output) checkNotDetection(task Task, errs *config.Errors) {
	for _, only := range []struct {
		key   string
		given bool
	}{{"score_threshold", o.Score != 0 && task != Anomaly && task != TextDetection}, {"class_thresholds", len(o.ClassThresholds) > 0}, {"iou_threshold", o.IoU != 0}, {"nms", o.NMS != ""},
		{"class_agnostic", o.ClassAgnostic}, {"max_candidates", o.MaxCandidates != 0 && task != TextDetection}, {"max_boxes", o.MaxBoxes != 0 && task != TextDetection}} {
		onlyWith(errs, "output."+only.key, only.given, "task: detection, oriented_detection, instance_segmentation or pose")
	}
	config.Range(errs, "output.score_threshold", o.Score, 0, maxFactor)
}

func (o *Output) checkSuppression(errs *config.Errors) {
	config.Range(errs, "output.score_threshold", o.Score, 0, 1)
	config.Range(errs, "output.iou_threshold", o.IoU, 0, 1)
	config.Range(errs, "output.max_boxes", o.MaxBoxes, 1, maxBoxes)
	errs.OneOf("output.nms", o.NMS, NMSGreedy, NMSFast, NMSNone)
	if o.Suppresses() {
		config.Range(errs, "output.max_candidates", o.MaxCandidates, 1, maxCandidates)
		return
	}
	onlyWith(errs, "output.iou_threshold", o.IoU != 0, "nms: greedy or fast")
	onlyWith(errs, "output.class_agnostic", o.ClassAgnostic, "nms: greedy or fast")
	onlyWith(errs, "output.max_candidates", o.MaxCandidates != 0, "nms: greedy or fast")
}

func (d *Definition) checkClassThresholds(errs *config.Errors) {
	list := d.Output.ClassThresholds
	if len(list) > MaxLabels {
		errs.Add("output.class_thresholds", "there are %d; the limit is %d", len(list), MaxLabels)
		return
	}
	for i, t := range list {
		key := config.Index("output.class_thresholds", i)
		config.Range(errs, key+".score", t.Score, 0, 1)
		same := func(other ClassThreshold) bool { return other.Label == t.Label }
		switch {
		case t.Label == "":
			errs.Add(key+".label", "is required")
		case slices.IndexFunc(list, same) < i:
			errs.Add(key+".label", "%q is listed twice", t.Label)
		case len(d.Labels) > 0 && !slices.Contains(d.Labels, t.Label):
			errs.Add(key+".label", "%q is not a label of the model", t.Label)
		}
	}
}

func (d *Definition) checkStrides(errs *config.Errors) {
	strides := d.Output.Strides
	if !slices.Contains([]string{DecodeYOLOX, DecodeYOLOv5Raw, DecodeYuNet}, d.Output.Decode) {
		onlyWith(errs, "output.strides", len(strides) > 0, "decode: yolox, yolov5_raw or yunet")
		return
	}
	if len(strides) == 0 || len(strides) > maxStrides {
		errs.Add("output.strides", "has %d values; the limit is 1 to %d", len(strides), maxStrides)
	}
	for i, s := range strides {
		key := config.Index("output.strides", i)
		config.Range(errs, key, s, 1, maxStride)
		if s > 0 && (d.Input.Width%s != 0 || d.Input.Height%s != 0) {
			errs.Add(key, "%d does not divide the input's %d×%d pixels", s, d.Input.Width, d.Input.Height)
		}
	}
}

func (o *Output) checkAnchors(errs *config.Errors) {
	if o.Decode != DecodeYOLOv5Raw {
		onlyWith(errs, "output.anchors", len(o.Anchors) > 0, "decode: yolov5_raw")
		o.checkYuNetNames(errs)
		return
	}
	if n := len(o.Strides); n > 0 && (len(o.Anchors) == 0 || len(o.Anchors)%(2*n) != 0) {
		errs.Add("output.anchors", "has %d values; want widths and heights of as many anchors for each of %d strides", len(o.Anchors), n)
	}
	for i, v := range o.Anchors {
		config.Range(errs, config.Index("output.anchors", i), v, 1/maxFactor, maxFactor)
	}
	if len(o.Names) > 0 && len(o.Names) != len(o.Strides) {
		errs.Add("output.names", "has %d names for %d strides", len(o.Names), len(o.Strides))
	}
}

// checkNames checks which outputs are named.
func (o *Output) checkNames(errs *config.Errors) {
	several := o.Decode == DecodeBoxes || o.Decode == DecodeDETR
	switch {
	case several && o.Name != "":
		notApplicable(errs, "output.name", "does not apply with decode: %s; use boxes and scores", o.Decode)
	case (o.Decode == DecodeYOLOv5Raw || o.Decode == DecodeYuNet) && o.Name != "":
		notApplicable(errs, "output.name", "does not apply with decode: %s; use names", o.Decode)
	}
	if !several {
		onlyWith(errs, "output.boxes", o.Boxes != "", "decode: boxes or detr")
		onlyWith(errs, "output.scores", o.Scores != "" && o.Decode != DecodeMap, "decode: boxes, detr or map")
	} else {
		if o.Boxes == "" {
			errs.Add("output.boxes", "is required: the name of the output with the boxes")
		}
		if o.Scores == "" {
			errs.Add("output.scores", "is required: the name of the output with the scores")
		}
	}
	if o.Decode != DecodeBoxes && o.Decode != DecodeRows {
		onlyWith(errs, "output.classes", o.Classes != "", "decode: boxes or rows")
	}
	if o.Boxes != "" && (o.Boxes == o.Scores || o.Boxes == o.Classes) || o.Scores != "" && o.Scores == o.Classes {
		errs.Add("output", "boxes, scores and classes must name different outputs")
	}
}

func (o *Output) checkBoxKeys(errs *config.Errors) {
	switch o.Decode {
	case DecodeBoxes, DecodeDETR, DecodeYOLO, DecodeYOLOv5:
		errs.OneOf("output.box_format", o.BoxFormat, BoxXYXY, BoxYXYX, BoxCXCYWH, BoxXYWH)
		errs.OneOf("output.box_space", o.BoxSpace, SpaceOriginal, SpaceInput, SpaceUnit)
	case DecodeRows:
		onlyWith(errs, "output.box_format", o.BoxFormat != "", "decode: boxes, detr, yolo or yolov5; use columns")
		errs.OneOf("output.box_space", o.BoxSpace, SpaceOriginal, SpaceInput, SpaceUnit)
	default:
		onlyWith(errs, "output.box_format", o.BoxFormat != "", "decode: boxes, detr, yolo or yolov5")
		onlyWith(errs, "output.box_space", o.BoxSpace != "", "decode: boxes, detr, rows, yolo or yolov5")
	}
}

// Column returns the index of a column of rows, -1 if there is none.
func (o *Output) Column(name string) int { return slices.Index(o.Columns, name) }

// RowFormat returns the format of the box in the columns of rows, empty if there is none.
func (o *Output) RowFormat() string {
	for format, names := range boxColumns {
		if !slices.ContainsFunc(names[:], func(name string) bool { return o.Column(name) < 0 }) {
			return format
		}
	}
	return ""
}

func (o *Output) checkColumns(errs *config.Errors) {
	if o.Decode != DecodeRows {
		onlyWith(errs, "output.columns", len(o.Columns) > 0, "decode: rows")
		return
	}
	if len(o.Columns) > maxColumns {
		errs.Add("output.columns", "has %d names; the limit is %d", len(o.Columns), maxColumns)
		return
	}
	for i, c := range o.Columns {
		key := config.Index("output.columns", i)
		errs.OneOf(key, c, "x1", "y1", "x2", "y2", "cx", "cy", "w", "h", ColumnScore, ColumnClass, ColumnBatch, ColumnSkip)
		if c != ColumnSkip && slices.Index(o.Columns, c) < i {
			errs.Add(key, "%q is listed twice", c)
		}
	}
	if o.RowFormat() == "" {
		errs.Add("output.columns", "names no box: x1 y1 x2 y2, cx cy w h, or x1 y1 w h")
	}
	if o.Column(ColumnScore) < 0 {
		errs.Add("output.columns", "names no score")
	}
	if o.Column(ColumnClass) >= 0 && o.Classes != "" {
		notApplicable(errs, "output.classes", "does not apply with a class column")
	}
}

func (o *Output) checkActivation(errs *config.Errors) {
	switch o.Decode {
	case DecodeDETR:
		errs.OneOf("output.activation", o.Activation, ActivationSigmoid, ActivationSoftmax)
	case DecodeYOLO, DecodeYOLOv5, DecodeYOLOv5Raw:
		errs.OneOf("output.activation", o.Activation, ActivationNone, ActivationSigmoid)
	case DecodeDB:
		errs.OneOf("output.activation", o.Activation, ActivationNone, ActivationSigmoid)
	case DecodeCTC:
		errs.OneOf("output.activation", o.Activation, ActivationNone, ActivationSoftmax)
	default:
		onlyWith(errs, "output.activation", o.Activation != "", "decode: detr, yolo, yolov5, yolov5_raw, db or ctc")
	}
}
