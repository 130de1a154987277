package repository

import (
	"fmt"
	"slices"

	"fovea/internal/config"
)

// The tasks besides classification and detection.
const (
	OrientedDetection    Task = "oriented_detection"    // rotated boxes
	InstanceSegmentation Task = "instance_segmentation" // boxes with a mask each
	Pose                 Task = "pose"                  // boxes with named points, also faces
	SemanticSegmentation Task = "semantic_segmentation" // a class for each pixel
	Embedding            Task = "embedding"             // a vector
	Depth                Task = "depth"                 // a number for each pixel
	Anomaly              Task = "anomaly"               // a number for each pixel, and a score
	ImageOutput          Task = "image"                 // an image, as of super-resolution or style transfer
	TextDetection        Task = "text_detection"        // quadrilaterals around lines of text
	TextRecognition      Task = "text_recognition"      // the text of a line
)

// Tasks lists all tasks, in the order of the documentation.
func Tasks() []Task {
	return []Task{Classification, Detection, OrientedDetection, InstanceSegmentation, Pose, SemanticSegmentation, Embedding, Depth, Anomaly,
		ImageOutput, TextDetection, TextRecognition, Pipeline, NoTask}
}

// TakesTensors reports whether models of a task are ONNX files, whose tensors requests may have.
func (t Task) TakesTensors() bool { return t != Pipeline }

// SeesImages reports whether a model of a task makes predictions for images by itself, from its own tensors.
func (t Task) SeesImages() bool { return t != Pipeline && t != NoTask }

// FindsObjects reports whether predictions of a task are boxes with classes and scores, which thresholds and suppression select.
func (t Task) FindsObjects() bool {
	return slices.Contains([]Task{Detection, OrientedDetection, InstanceSegmentation, Pose}, t)
}

// HasObjects reports whether predictions of a task are objects with boxes or corners, which can be cropped.
func (t Task) HasObjects() bool { return t.FindsObjects() || t == TextDetection }

// The values of Output.Decode of tasks besides classification and detection.
const (
	DecodeYuNet     = "yunet"      // YuNet: classes, objectness, boxes and points of each stride
	DecodeLogitsMap = "logits_map" // scores of each class at each point of a grid
	DecodeClassMap  = "class_map"  // the number of the class at each point of a grid
	DecodeVector    = "vector"     // a list of numbers
	DecodeMap       = "map"        // a number at each point of a grid
	DecodeImage     = "image"      // one, three or four numbers at each pixel
)

// The values of Output.MaskSpace: what the mask of an object covers.
const (
	MaskBox   = "box"   // the object's box, as in Mask R-CNN
	MaskInput = "input" // the whole input
)

// The values of Output.Normalize.
const (
	NormalizeL2   = "l2" // the vector is divided by its length
	NormalizeNone = "none"
)

// The numbers of a point in Output.KeypointValues: x and y, or these and a visibility.
const (
	pointXY         = 2
	pointVisibility = 3
)

const (
	maxKeypoints = 1000
	maxBones     = 4000
)

// MaskOutput is how masks of objects are read.
type MaskOutput struct {
	// Masks names the output. With mask_space it has masks [n,h,w] or [n,classes,h,w], without it prototypes [m,h,w], whose factors follow
	// the box and the classes in each row of yolo or rows. Of anomaly it has the pixels that are anomalous, and is optional.
	Masks      string  `yaml:"masks"`
	Space      string  `yaml:"mask_space"`      // boxes: box (default) or input; detr: input (default); rows: none (default)
	Activation string  `yaml:"mask_activation"` // with mask_space: none (default), sigmoid (default of detr)
	Threshold  float64 `yaml:"mask_threshold"`  // the lowest probability of a pixel that belongs to an object; default 0.5
}

// PointOutput is how keypoints are read.
type PointOutput struct {
	Keypoints []string `yaml:"keypoints"`       // the names of the points, in order
	Values    int      `yaml:"keypoint_values"` // numbers of a point: 2 (x, y) or 3 (x, y, visibility; default)
	Points    string   `yaml:"points"`          // boxes: the output of points [n,k,2] or [n,k,3]
	Scores    string   `yaml:"point_scores"`    // boxes: the output of scores of points [n,k]; optional
	Skeleton  [][]int  `yaml:"skeleton"`        // pairs of points, by their numbers, which lines connect
}

// DenseOutput is how vectors, maps and images are read.
type DenseOutput struct {
	Layout    string    `yaml:"map_layout"`    // logits_map, image: nchw, nhwc; default: by the shape
	Normalize string    `yaml:"normalize"`     // vector: l2 (default), none
	Range     []float64 `yaml:"range"`         // image: what black and white are; default 0 1
	Aligned   bool      `yaml:"align_corners"` // map: the centers of its corner values lie on those of the image's corner pixels
	Anomalous string    `yaml:"anomalous"`     // anomaly: the output that says whether the image is anomalous; optional
}

// COCOKeypoints are the points of a person in COCO's annotations, and of models that are trained with it.
func COCOKeypoints() []string {
	return []string{"nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
		"left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"}
}

// COCOSkeleton connects the points of COCOKeypoints, as the "skeleton" of person_keypoints_val2017.json does, counted from 0.
func COCOSkeleton() [][]int {
	return [][]int{{15, 13}, {13, 11}, {16, 14}, {14, 12}, {11, 12}, {5, 11}, {6, 12}, {5, 6}, {5, 7}, {6, 8}, {7, 9}, {8, 10}, {1, 2}, {0, 1},
		{0, 2}, {1, 3}, {2, 4}, {3, 5}, {4, 6}}
}

// FaceKeypoints are the points of YuNet. Left and right are the person's.
func FaceKeypoints() []string {
	return []string{"right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner"}
}

// fillTask sets the defaults of the keys that only some tasks have.
func (o *Output) fillTask(task Task, given func(key string) bool) {
	switch task {
	case InstanceSegmentation:
		o.Mask.fill(o.Decode, given)
	case Pose:
		if o.Decode == DecodeYuNet {
			fillList(&o.Point.Keypoints, FaceKeypoints(), given("output.keypoints"))
			fillValue(&o.Point.Values, pointXY, given("output.keypoint_values"))
		}
		fillValue(&o.Point.Values, pointVisibility, given("output.keypoint_values"))
		if slices.Equal(o.Point.Keypoints, COCOKeypoints()) {
			fillList(&o.Point.Skeleton, COCOSkeleton(), given("output.skeleton"))
		}
	case Anomaly:
		fillValue(&o.Score, 0.5, given("output.score_threshold"))
	case Embedding:
		fillValue(&o.Dense.Normalize, NormalizeL2, given("output.normalize"))
	case ImageOutput:
		fillList(&o.Dense.Range, []float64{0, 1}, given("output.range"))
	case TextDetection, TextRecognition:
		o.fillText(task, given)
	}
}

func (m *MaskOutput) fill(decode string, given func(key string) bool) {
	fillValue(&m.Threshold, 0.5, given("output.mask_threshold"))
	activation := ActivationNone
	switch decode {
	case DecodeBoxes:
		fillValue(&m.Space, MaskBox, given("output.mask_space"))
	case DecodeDETR:
		fillValue(&m.Space, MaskInput, given("output.mask_space"))
		activation = ActivationSigmoid
	}
	if m.Space != "" {
		fillValue(&m.Activation, activation, given("output.mask_activation"))
	}
}

// taskDecoders lists the values of Output.Decode for the tasks of this file; nil for others.
func taskDecoders(task Task) []string {
	return map[Task][]string{
		OrientedDetection:    {DecodeYOLO, DecodeRows},
		InstanceSegmentation: {DecodeYOLO, DecodeRows, DecodeBoxes, DecodeDETR},
		Pose:                 {DecodeYOLO, DecodeRows, DecodeBoxes, DecodeYuNet},
		SemanticSegmentation: {DecodeLogitsMap, DecodeClassMap},
		Embedding:            {DecodeVector},
		Depth:                {DecodeMap},
		Anomaly:              {DecodeMap},
		ImageOutput:          {DecodeImage},
		TextDetection:        {DecodeDB},
		TextRecognition:      {DecodeCTC},
	}[task]
}

// checkTask checks the keys that only some tasks have.
func (d *Definition) checkTask(errs *config.Errors) {
	d.checkMasks(errs)
	d.checkPoints(errs)
	d.checkText(errs)
	o := &d.Output
	switch o.Decode {
	case DecodeLogitsMap, DecodeImage:
		optional(errs, "output.map_layout", o.Dense.Layout, "nchw", "nhwc")
	default:
		onlyWith(errs, "output.map_layout", o.Dense.Layout != "", "decode: logits_map or image")
	}
	if d.Task == Embedding {
		errs.OneOf("output.normalize", o.Dense.Normalize, NormalizeL2, NormalizeNone)
	} else {
		onlyWith(errs, "output.normalize", o.Dense.Normalize != "", "task: embedding")
	}
	onlyWith(errs, "output.align_corners", o.Dense.Aligned && (o.Decode != DecodeMap || d.Input.Resize != Stretch), "decode: map and resize: stretch")
	onlyWith(errs, "output.anomalous", o.Dense.Anomalous != "" && d.Task != Anomaly, "task: anomaly")
	if d.Task != ImageOutput {
		onlyWith(errs, "output.range", len(o.Dense.Range) > 0, "task: image")
	} else if r := o.Dense.Range; len(r) != 2 || !(r[0] < r[1]) || max(-r[0], r[1]) > maxFactor {
		errs.Add("output.range", "%v is not the value of black and that of white, which is larger", r)
	}
	if d.Task == OrientedDetection && o.MultiLabel {
		notApplicable(errs, "output.multi_label", "does not apply with task: oriented_detection")
	}
}

func (d *Definition) checkMasks(errs *config.Errors) {
	m := &d.Output.Mask
	if d.Task != InstanceSegmentation {
		onlyWith(errs, "output.masks", m.Masks != "" && d.Task != Anomaly, "task: instance_segmentation or anomaly")
		onlyWith(errs, "output.mask_space", m.Space != "", "task: instance_segmentation")
		onlyWith(errs, "output.mask_activation", m.Activation != "", "task: instance_segmentation")
		onlyWith(errs, "output.mask_threshold", m.Threshold != 0, "task: instance_segmentation")
		return
	}
	if m.Masks == "" {
		errs.Add("output.masks", "is required: the name of the output with the masks, or with their prototypes")
	}
	if !(m.Threshold > 0 && m.Threshold < 1) {
		errs.Add("output.mask_threshold", "%v is out of range (>0–<1)", m.Threshold)
	}
	switch d.Output.Decode {
	case DecodeBoxes, DecodeDETR:
		errs.OneOf("output.mask_space", m.Space, MaskBox, MaskInput)
	case DecodeRows:
		optional(errs, "output.mask_space", m.Space, MaskBox, MaskInput)
	default:
		onlyWith(errs, "output.mask_space", m.Space != "", "decode: boxes, detr or rows")
	}
	if m.Space != "" {
		errs.OneOf("output.mask_activation", m.Activation, ActivationNone, ActivationSigmoid)
	} else {
		onlyWith(errs, "output.mask_activation", m.Activation != "", "mask_space")
	}
}

func (d *Definition) checkPoints(errs *config.Errors) {
	p := &d.Output.Point
	if d.Task != Pose {
		onlyWith(errs, "output.keypoints", len(p.Keypoints) > 0, "task: pose")
		onlyWith(errs, "output.keypoint_values", p.Values != 0, "task: pose")
		onlyWith(errs, "output.points", p.Points != "", "task: pose")
		onlyWith(errs, "output.point_scores", p.Scores != "", "task: pose")
		onlyWith(errs, "output.skeleton", len(p.Skeleton) > 0, "task: pose")
		return
	}
	p.check(errs)
	if d.Output.Decode != DecodeBoxes {
		onlyWith(errs, "output.points", p.Points != "", "decode: boxes")
		onlyWith(errs, "output.point_scores", p.Scores != "", "decode: boxes")
	} else if p.Points == "" {
		errs.Add("output.points", "is required: the name of the output with the points")
	}
}

func (p *PointOutput) check(errs *config.Errors) {
	n := len(p.Keypoints)
	if n == 0 || n > maxKeypoints {
		errs.Add("output.keypoints", "has %d names; want one for each point, at most %d", n, maxKeypoints)
	}
	for i, name := range p.Keypoints {
		if name == "" || slices.Index(p.Keypoints, name) < i {
			errs.Add(config.Index("output.keypoints", i), "%q is empty or listed twice", name)
		}
	}
	config.Range(errs, "output.keypoint_values", p.Values, pointXY, pointVisibility)
	if len(p.Skeleton) > maxBones {
		errs.Add("output.skeleton", "has %d pairs; the limit is %d", len(p.Skeleton), maxBones)
		return
	}
	for i, bone := range p.Skeleton {
		if len(bone) != 2 || min(bone[0], bone[1]) < 0 || max(bone[0], bone[1]) >= n {
			errs.Add(config.Index("output.skeleton", i), "%v is no pair of points from 0 to %d", bone, n-1)
		}
	}
}

// taskOutputs are the outputs that the tasks of this file read, by their keys.
func (o *Output) taskOutputs() []namedOutput {
	masks := ScoreTypes()
	if o.Decode == DecodeMap {
		masks = MaskTypes()
	}
	return []namedOutput{{"output.masks", o.Mask.Masks, masks}, {"output.points", o.Point.Points, ScoreTypes()},
		{"output.point_scores", o.Point.Scores, ScoreTypes()}, {"output.anomalous", o.Dense.Anomalous, MaskTypes()}}
}

// rank is the number of dimensions of a row of the output that Name names.
func (d *Definition) rank() int {
	switch d.Output.Decode {
	case DecodeLogitsMap, DecodeImage:
		return 3
	}
	if d.Task == Classification || d.Output.Decode == DecodeVector {
		return 1
	}
	return 2
}

// nameTypes are the element types of the output that Name names.
func (o *Output) nameTypes() []DType {
	switch o.Decode {
	case DecodeClassMap:
		return MaskTypes()
	case DecodeImage:
		return NumberTypes()
	}
	return ScoreTypes()
}

// isDense reports whether a decoder reads vectors, maps, images or sequences, whose rows may have any size.
func isDense(decode string) bool {
	return slices.Contains([]string{DecodeLogitsMap, DecodeClassMap, DecodeVector, DecodeMap, DecodeImage, DecodeDB, DecodeCTC}, decode)
}

// yunetOutputs returns the outputs of YuNet in the order that its decoder reads: for each kind those of all strides. They have the
// names that tools/yunet2onnx.py of libfacedetection.train gives them.
func (d *Definition) yunetOutputs(outputs []TensorInfo, errs *config.Errors) (names []string) {
	for _, kind := range []string{"cls", "obj", "bbox", "kps"} {
		for _, stride := range d.Output.Strides {
			name := fmt.Sprintf("%s_%d", kind, stride)
			if find(outputs, name) < 0 {
				errs.Add("output.names", "is required: model.onnx has no output %q, but %s", name, list(outputs))
				return nil
			}
			names = append(names, name)
		}
	}
	return names
}

// IsCompared reports whether predictions of a task can be compared with others: by classes or boxes. Masks, points and angles are not.
func (t Task) IsCompared() bool { return t == Classification || t.FindsObjects() }

func taskNames() []string {
	names := make([]string, len(Tasks()))
	for i, task := range Tasks() {
		names[i] = string(task)
	}
	return names
}

// checkYuNetNames checks the names of outputs with a decoder that has no anchors.
func (o *Output) checkYuNetNames(errs *config.Errors) {
	if o.Decode != DecodeYuNet {
		onlyWith(errs, "output.names", len(o.Names) > 0, "decode: yolov5_raw or yunet")
		return
	}
	if n := len(o.Names); n > 0 && n != 4*len(o.Strides) {
		errs.Add("output.names", "has %d names; want cls, obj, bbox and kps of each of %d strides", n, len(o.Strides))
	}
	if len(o.Point.Keypoints) > 0 && (len(o.Point.Keypoints) != len(FaceKeypoints()) || o.Point.Values != pointXY) {
		errs.Add("output.keypoints", "has %d names of %d numbers; decode: yunet has %d points of 2", len(o.Point.Keypoints), o.Point.Values, len(FaceKeypoints()))
	}
}

// namedOutput is an output that a definition names by a key.
type namedOutput struct {
	key, name string
	allowed   []DType
}
