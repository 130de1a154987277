// Package repository reads the model repository: folders with a definition (model.yaml), which says how an image becomes a
// model's input and how its outputs become a prediction, and versions of weights (model.onnx). It alone has the definition's
// defaults (defaults.go) and limits (validate.go), resolves what definitions leave to the ONNX file (resolve.go), and
// downloads weights (pull.go). It is pure Go and independent of ONNX Runtime.
package repository

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Task is the kind of a model's predictions.
type Task string

// The supported tasks.
const (
	Classification Task = "classification"
	Detection      Task = "detection"
)

// The values of Output.Decode.
const (
	DecodeSoftmax       = "softmax"       // logits become probabilities
	DecodeProbabilities = "probabilities" // probabilities already
	DecodeYOLOX         = "yolox"         // rows of a grid: offsets, log sizes, objectness, classes
	DecodeBoxes         = "boxes"         // outputs of boxes, scores and, perhaps, classes
)

// YOLOXHead is the number of values before the class scores in a row of a YOLOX grid: x, y, width, height and objectness.
const YOLOXHead = 5

// The values of Extra.Value: the size of the orientation-corrected image, or of the input, in pixels, as width and height or
// as height and width.
const (
	OriginalSizeWH = "original_size_wh"
	OriginalSizeHW = "original_size_hw"
	InputSizeWH    = "input_size_wh"
	InputSizeHW    = "input_size_hw"
)

// The values of Output.BoxFormat: two corners, two corners with y first as in TensorFlow's Object Detection API, the center
// and the size, or the top left corner and the size.
const (
	BoxXYXY   = "xyxy"
	BoxYXYX   = "yxyx"
	BoxCXCYWH = "cxcywh"
	BoxXYWH   = "xywh"
)

// The values of Input.Color: the order of the channels, or one channel of brightness.
const (
	ColorRGB  = "rgb"
	ColorBGR  = "bgr"
	ColorGray = "gray"
)

// The values of Output.BoxSpace: the unit of a box's numbers.
const (
	SpaceOriginal = "original" // pixels of the orientation-corrected image
	SpaceInput    = "input"    // pixels of the model's input
	SpaceUnit     = "unit"     // 0 to 1 over the model's input
)

// Definition is a model.yaml. What the ONNX file contains (names, dtypes and shapes of inputs and outputs) may be omitted;
// what is given must agree with the file.
type Definition struct {
	Name        string   `yaml:"name"` // the folder's name; optional
	Description string   `yaml:"description"`
	Task        Task     `yaml:"task"`
	LabelsFile  string   `yaml:"labels"` // file next to model.yaml with one label per line
	Labels      []string `yaml:"-"`      // the labels read from LabelsFile
	Input       Input    `yaml:"input"`
	Output      Output   `yaml:"output"`
	Batching    Batching `yaml:"batching"`
	Instances   []Group  `yaml:"instances"` // empty: one group on the server's device
	Warmup      int      `yaml:"warmup"`    // runs of every bucket before ready; default 1
	SelfTest    SelfTest `yaml:"self_test"`
	Versions    Versions `yaml:"versions"` // latest (default), all, or a list of numbers
	Source      Source   `yaml:"source"`
}

// Resize is how an image is resized to the model's input.
type Resize string

// The values of Resize. ShortestEdge scales the shorter side to Input.ShortestEdge, keeping the aspect ratio, and crops
// Width×Height from the center. Letterbox scales the image to fit within Width×Height and pads the rest.
const (
	Stretch      Resize = "stretch"
	ShortestEdge Resize = "shortest_edge"
	Letterbox    Resize = "letterbox"
)

// DType is a tensor's element type.
type DType string

// The supported element types. Inputs have one of the first five.
const (
	Float32 DType = "float32"
	Float16 DType = "float16"
	Uint8   DType = "uint8"
	Int32   DType = "int32"
	Int64   DType = "int64"
	Float64 DType = "float64"
	Int8    DType = "int8"
	Int16   DType = "int16"
	Uint16  DType = "uint16"
	Uint32  DType = "uint32"
	Uint64  DType = "uint64"
)

// Size returns the size of one element in bytes; 0 for an unsupported type, such as "bool" or "sequence".
func (d DType) Size() int {
	switch d {
	case Float32, Int32, Uint32:
		return 4
	case Float16, Int16, Uint16:
		return 2
	case Uint8, Int8:
		return 1
	case Int64, Uint64, Float64:
		return 8
	}
	return 0
}

// Input is how an image becomes the model's image tensor: after resizing, each channel value v (0–255) becomes
// (v·Scale − Mean[c]) / Std[c], with channels c in the order of Color. With gray, v is the luma of ITU-R BT.601,
// 0.299·red + 0.587·green + 0.114·blue, rounded as in Pillow's convert("L").
type Input struct {
	Name          string    `yaml:"name"`   // the image input; optional if the model has one input
	Width         int       `yaml:"width"`  // pixels; optional if fixed in the ONNX file
	Height        int       `yaml:"height"` // pixels; optional if fixed in the ONNX file
	Resize        Resize    `yaml:"resize"` // default stretch
	ShortestEdge  int       `yaml:"shortest_edge"`
	Place         string    `yaml:"place"`         // letterbox: center (default) or top_left
	Fill          []float64 `yaml:"fill"`          // letterbox: one value 0–255, or one per channel; default 0
	Interpolation string    `yaml:"interpolation"` // nearest, linear (default), cubic, area, lanczos
	Color         string    `yaml:"color"`         // rgb, bgr, gray; default: gray if the ONNX file has one channel, else rgb
	Scale         float64   `yaml:"scale"`         // default 1
	Mean          []float64 `yaml:"mean"`          // one value, or one per channel; default 0
	Std           []float64 `yaml:"std"`           // one value, or one per channel; default 1
	Layout        string    `yaml:"layout"`        // nchw, nhwc; default: by the shape in the ONNX file, else nchw
	DType         DType     `yaml:"dtype"`         // default: that of the ONNX file
	Extra         []Extra   `yaml:"extra"`         // inputs other than the image
}

// Channels returns the number of channels: one with gray, else three.
func (in Input) Channels() int {
	if in.Color == ColorGray {
		return 1
	}
	return 3
}

// Extra is an input other than the image, with two elements per row: the size that Value names.
type Extra struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// Output is how the model's outputs become predictions. Outputs that it does not name are not fetched and may have any type.
// Those it names are tensors of float32, float16 or float64; boxes and classes may be integers, too.
type Output struct {
	Decode string `yaml:"decode"` // classification: softmax (logits), probabilities; detection: yolox, boxes
	Name   string `yaml:"name"`   // the one output read by softmax, probabilities and yolox; optional if only one matches
	TopK   int    `yaml:"top_k"`  // classification; default 5, at most the number of classes

	Strides []int `yaml:"strides"` // yolox: pixels of the input per grid cell; default 8 16 32

	Boxes      string  `yaml:"boxes"`           // boxes: name of the output of boxes [n,4]
	Scores     string  `yaml:"scores"`          // boxes: name of the output of scores [n] or [n,classes]
	Classes    string  `yaml:"classes"`         // boxes: name of the output of class numbers [n]; omitted with [n,classes]
	BoxFormat  string  `yaml:"box_format"`      // boxes: xyxy (default), yxyx, cxcywh, xywh
	BoxSpace   string  `yaml:"box_space"`       // boxes: original (pixels of the image), input (of the input), unit (0–1 of the input)
	Score      float64 `yaml:"score_threshold"` // detection; default 0.3
	IoU        float64 `yaml:"iou_threshold"`   // detection; default 0.45 with yolox; 0, the default with boxes: no suppression, not even by request
	MaxBoxes   int     `yaml:"max_boxes"`       // detection; default 100
	ClassFirst int     `yaml:"class_first"`     // number of the first labeled class in the outputs; lower ones are background
}

// Batching limits the queue and the batches of a model.
type Batching struct {
	MaxSize  int           `yaml:"max_size"`  // rows in a batch; default 8 on CUDA, 1 on the CPU
	MaxDelay time.Duration `yaml:"max_delay"` // how long an idle instance may wait for more rows; default 0
	Queue    int           `yaml:"queue"`     // images waiting or running; default 256
}

// Group is a number of instances on one device.
type Group struct {
	Device string `yaml:"device"` // auto (default), cpu, cuda, cuda:1
	Count  int    `yaml:"count"`  // default: one per core on the CPU, one per GPU on CUDA
}

// TensorInfo describes an input or output of an ONNX file. Shape includes the batch dimension; -1 is an open size. DType may be
// an unsupported type: "bool", "string", "sequence", "map".
type TensorInfo struct {
	Name  string
	DType DType
	Shape []int64
}

// SelfTest is an image with a known answer that the model must predict before it is ready.
type SelfTest struct {
	Image    string  `yaml:"image"`     // file next to model.yaml
	Label    string  `yaml:"label"`     // label of the best class, or of one of the boxes
	MinScore float64 `yaml:"min_score"` // its minimum score
}

// Source is where the weights come from. All that is fetched is verified.
type Source struct {
	URL     string       `yaml:"url"`    // package source; without one the weights come from a mirror or are installed by hand
	SHA256  string       `yaml:"sha256"` // lower-case hexadecimal, of model.onnx
	Size    int64        `yaml:"size"`   // bytes
	License string       `yaml:"license"`
	Version int          `yaml:"version"` // the version to install as; default 1
	Files   []SourceFile `yaml:"files"`   // external data, and what else belongs next to model.onnx
}

// SourceFile is a file that is fetched in addition to model.onnx.
type SourceFile struct {
	Path   string `yaml:"path"` // in the version's folder
	URL    string `yaml:"url"`  // as Source.URL
	SHA256 string `yaml:"sha256"`
	Size   int64  `yaml:"size"`
}

// Versions selects the versions that are served.
type Versions struct {
	All     bool
	Numbers []int // empty and not All: the latest
}

// UnmarshalText reads latest, all, or numbers separated by commas.
func (v *Versions) UnmarshalText(text []byte) error {
	*v = Versions{}
	switch string(text) {
	case "latest":
		return nil
	case "all":
		v.All = true
		return nil
	}
	for part := range strings.SplitSeq(string(text), ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("%q is not latest, all, or a list of version numbers", text)
		}
		v.Numbers = append(v.Numbers, n)
	}
	return nil
}
