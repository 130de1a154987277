// Package models is the model repository: the definitions that say how an image becomes a model's input and
// how its outputs become an answer, and where the weights are. It is pure Go and knows no runtime.
package repository

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Task says what a model's answer is.
type Task string

// The tasks that have answers of their own.
const (
	Classification Task = "classification"
	Detection      Task = "detection"
)

// The ways to decode outputs, values of Output.Decode.
const (
	DecodeSoftmax       = "softmax"       // logits become probabilities
	DecodeProbabilities = "probabilities" // probabilities already
	DecodeYOLOX         = "yolox"         // rows of a grid: offsets, log sizes, objectness, classes
	DecodeBoxes         = "boxes"         // outputs of boxes, scores and, perhaps, classes
)

// YOLOXHead is the number of values before the class scores in a row of a YOLOX grid: x, y, width, height and objectness.
const YOLOXHead = 5

// The values of Extra.Value: the size of the image as a person sees it, or of the input, in pixels, as width and
// height or as height and width.
const (
	OriginalSizeWH = "original_size_wh"
	OriginalSizeHW = "original_size_hw"
	InputSizeWH    = "input_size_wh"
	InputSizeHW    = "input_size_hw"
)

// The values of Output.BoxFormat: two corners, two corners with y first as TensorFlow's Object Detection API has them,
// the centre and the size, or the top left corner and the size.
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

// The values of Output.BoxSpace: what a box's numbers count.
const (
	SpaceOriginal = "original" // pixels of the image as a person sees it
	SpaceInput    = "input"    // pixels of the model's input
	SpaceUnit     = "unit"     // 0 to 1 over the model's input
)

// Definition is one model.yaml: all that is particular to a model. What can be read from the ONNX file (names,
// dtypes and shapes of inputs and outputs) may be left out here; what is given must agree with the file.
type Definition struct {
	Name        string   `yaml:"name"` // the folder's name; may be left out
	Description string   `yaml:"description"`
	Task        Task     `yaml:"task"`
	LabelsFile  string   `yaml:"labels"` // one label a line, beside model.yaml
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

// Resize says how an image is brought to the model's input size.
type Resize string

// The ways to resize. ShortestEdge scales the shorter side to Input.ShortestEdge, keeping the aspect, and cuts
// Width×Height from the centre. Letterbox scales to fit inside Width×Height and fills the rest.
const (
	Stretch      Resize = "stretch"
	ShortestEdge Resize = "shortest_edge"
	Letterbox    Resize = "letterbox"
)

// DType is a tensor's element type.
type DType string

// The element types that are read. Inputs have one of the first five.
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

// Size is the size of one element in bytes, 0 for a type that is not read, such as "bool" or "sequence".
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

// Input says how the image becomes the model's image tensor: each channel value v (0–255) becomes
// (v·Scale − Mean[c]) / Std[c], with c counted in the order of Color. With gray, v is the brightness of ITU-R BT.601,
// 0.299·red + 0.587·green + 0.114·blue, rounded as Pillow's convert("L") does. The image is resized first.
type Input struct {
	Name          string    `yaml:"name"`   // the image input; may be left out when the model has one input
	Width         int       `yaml:"width"`  // pixels; may be left out when the ONNX file fixes it
	Height        int       `yaml:"height"` // pixels; may be left out when the ONNX file fixes it
	Resize        Resize    `yaml:"resize"` // default stretch
	ShortestEdge  int       `yaml:"shortest_edge"`
	Place         string    `yaml:"place"`         // letterbox: center (default) or top_left
	Fill          []float64 `yaml:"fill"`          // letterbox: one value 0–255, or one for each channel; default 0
	Interpolation string    `yaml:"interpolation"` // nearest, linear (default), cubic, area, lanczos
	Color         string    `yaml:"color"`         // rgb, bgr, gray; default: gray where the ONNX file takes one channel, else rgb
	Scale         float64   `yaml:"scale"`         // default 1
	Mean          []float64 `yaml:"mean"`          // one value, or one for each channel; default 0
	Std           []float64 `yaml:"std"`           // one value, or one for each channel; default 1
	Layout        string    `yaml:"layout"`        // nchw, nhwc; default: what the ONNX file's shape says, else nchw
	DType         DType     `yaml:"dtype"`         // default: what the ONNX file says
	Extra         []Extra   `yaml:"extra"`         // inputs beside the image
}

// Channels is how many channels the input has: one with gray, else three.
func (in Input) Channels() int {
	if in.Color == ColorGray {
		return 1
	}
	return 3
}

// Extra is an input beside the image. Value is original_size_wh or original_size_hw (the image's size in
// pixels, as a person sees it) or input_size_wh or input_size_hw (the model's), two elements a row.
type Extra struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// Output says how the model's outputs become answers. Outputs that it does not name are neither fetched nor looked at,
// and may be of any type. Those it names are tensors of float32, float16 or float64; boxes and classes may be whole
// numbers, too.
type Output struct {
	Decode string `yaml:"decode"` // classification: softmax (logits), probabilities; detection: yolox, boxes
	Name   string `yaml:"name"`   // the one output read by softmax, probabilities and yolox; may be left out where only one fits
	TopK   int    `yaml:"top_k"`  // classification; default 5, at most the number of classes

	Strides []int `yaml:"strides"` // yolox: pixels of the input a grid cell covers; default 8 16 32

	Boxes      string  `yaml:"boxes"`           // boxes: name of the output of boxes [n,4]
	Scores     string  `yaml:"scores"`          // boxes: name of the output of scores [n] or [n,classes]
	Classes    string  `yaml:"classes"`         // boxes: name of the output of class numbers [n]; none with [n,classes]
	BoxFormat  string  `yaml:"box_format"`      // boxes: xyxy (default), yxyx, cxcywh, xywh
	BoxSpace   string  `yaml:"box_space"`       // boxes: original (pixels of the image), input (of the input), unit (0–1 of the input)
	Score      float64 `yaml:"score_threshold"` // detection; default 0.3
	IoU        float64 `yaml:"iou_threshold"`   // detection; default 0.45 with yolox; 0, the default with boxes: no suppression, nor by a request
	MaxBoxes   int     `yaml:"max_boxes"`       // detection; default 100
	ClassFirst int     `yaml:"class_first"`     // number of the first labelled class in the outputs; those below are background
}

// Batching bounds what waits for the model and how much runs at once.
type Batching struct {
	MaxSize  int           `yaml:"max_size"`  // rows in a batch; default 8 on CUDA, 1 on the CPU
	MaxDelay time.Duration `yaml:"max_delay"` // how long an idle instance may wait for more rows; default 0
	Queue    int           `yaml:"queue"`     // images accepted and not yet answered; default 256
}

// Group is a number of instances on one device.
type Group struct {
	Device string `yaml:"device"` // auto (default), cpu, cuda, cuda:1
	Count  int    `yaml:"count"`  // default: one per core on the CPU, one per GPU on CUDA
}

// TensorInfo is what an ONNX file says of an input or output. Shape holds the batch dimension; -1 is a size that
// the file leaves open. DType is its name also where it is not read: "bool", "string", "sequence", "map".
type TensorInfo struct {
	Name  string
	DType DType
	Shape []int64
}

// SelfTest is the image a model must answer before it is ready. Without one, a made image is run and the
// outputs must be finite.
type SelfTest struct {
	Image    string  `yaml:"image"`     // file beside model.yaml
	Label    string  `yaml:"label"`     // label that must come first, or be among the boxes
	MinScore float64 `yaml:"min_score"` // the score it must have
}

// Source says where the weights come from.
type Source struct {
	URL     string `yaml:"url"`    // https; none: the weights come from a mirror or are put there by hand
	SHA256  string `yaml:"sha256"` // lower-case hexadecimal, of model.onnx
	Size    int64  `yaml:"size"`   // bytes
	License string `yaml:"license"`
	Version int    `yaml:"version"` // the version that the weights are stored as; default 1
}

// Versions says which of the versions in the folder are served.
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
