// Package repository reads the model repository: folders with a definition (model.yaml), which says how an image becomes a
// model's input and how its outputs become a prediction, and versions of weights (model.onnx). It alone has the definition's
// defaults (defaults.go) and limits (validate.go), resolves what definitions leave to the ONNX file (resolve.go), and
// downloads weights (pull.go). It is pure Go and independent of ONNX Runtime.
package repository

import (
	"cmp"
	"time"
)

// Task is the kind of a model's predictions.
type Task string

// The supported tasks.
const (
	Classification Task = "classification"
	Detection      Task = "detection"
	NoTask         Task = "none" // its tensors are served as they are; there are no predictions
)

// The values of Extra.Value: the size of the orientation-corrected image, or of the input, in pixels, as width and height or
// as height and width; the input's size divided by the image's, as in PaddleDetection's scale_factor (height first); or a mask, which
// is 1 where the image is and 0 where the input is padded, as in DETR of transformers.
const (
	OriginalSizeWH = "original_size_wh"
	OriginalSizeHW = "original_size_hw"
	InputSizeWH    = "input_size_wh"
	InputSizeHW    = "input_size_hw"
	ScaleFactorWH  = "scale_factor_wh"
	ScaleFactorHW  = "scale_factor_hw"
	PixelMask      = "pixel_mask"
)

// The values of Input.Color: the order of the channels, with alpha as the fourth, or one channel of brightness.
const (
	ColorRGB  = "rgb"
	ColorBGR  = "bgr"
	ColorRGBA = "rgba"
	ColorBGRA = "bgra"
	ColorGray = "gray"
)

// The values of Input.Interpolation. The names say what is emulated: Area… average by area where a side shrinks and
// interpolate where it grows; OpenCV… are cv2.resize; Pillow… are Image.resize; Torch… are torchvision's resize of
// uint8 tensors: with antialias, which is bilinear without another name, or nearest-exact.
const (
	AreaLinear     = "area_linear"
	AreaCubic      = "area_cubic"
	AreaLanczos    = "area_lanczos"
	OpenCVLinear   = "opencv_linear"
	OpenCVArea     = "opencv_area"
	OpenCVCubic    = "opencv_cubic"
	OpenCVLanczos  = "opencv_lanczos"
	OpenCVNearest  = "opencv_nearest"
	PillowNearest  = "pillow_nearest"
	PillowBilinear = "pillow_bilinear"
	PillowBicubic  = "pillow_bicubic"
	PillowLanczos  = "pillow_lanczos"
	PillowBox      = "pillow_box"
	PillowHamming  = "pillow_hamming"
	TorchAntialias = "torch_antialias"
	TorchBicubic   = "torch_antialias_bicubic"
	TorchLanczos   = "torch_antialias_lanczos"
	TorchNearest   = "torch_nearest_exact"
)

// Interpolations lists the values of Input.Interpolation.
func Interpolations() []string {
	return []string{AreaLinear, AreaCubic, AreaLanczos, OpenCVLinear, OpenCVArea, OpenCVCubic, OpenCVLanczos, OpenCVNearest, PillowNearest,
		PillowBilinear, PillowBicubic, PillowLanczos, PillowBox, PillowHamming, TorchAntialias, TorchBicubic, TorchLanczos,
		TorchNearest}
}

// The values of Input.Decode: whether a JPEG that is much larger than needed may be decoded at 1/2, 1/4 or 1/8.
const (
	DecodeExact = "exact"
	DecodeFast  = "fast"
)

// The values of Input.Rounding: of the side that a resize derives from the other one. RoundNearest rounds halves to even, as
// Python's round and OpenCV do, RoundHalfUp rounds them up, as int(x + 0.5) does.
const (
	RoundFloor   = "floor"
	RoundNearest = "round"
	RoundHalfUp  = "half_up"
	RoundCeil    = "ceil"
)

// The values of Input.CropOffset: how half of what is cropped at a side is rounded. CropRound rounds halves to even and pads
// the smaller half first, as torchvision does; CropFloor rounds down, and so pads the larger half first, as transformers does
// with Pillow; CropTruncate rounds both toward zero, as transformers does with torchvision.
const (
	CropRound    = "round"
	CropFloor    = "floor"
	CropTruncate = "truncate"
)

// The values of Input.Inverse: how points of the input are mapped back to the image. InverseExact divides each axis by its
// own factor, that of the rounded size. The others divide both by one factor, which is not rounded, min(input width ÷ width,
// input height ÷ height), after they subtract the padding: as it is, or half of what the factor leaves, rounded or not.
const (
	InverseExact         = "exact"
	InverseGain          = "gain"
	InverseGainRounded   = "gain_rounded"
	InverseGainUnrounded = "gain_unrounded"
)

// Definition is a model.yaml. What the ONNX file contains (names, dtypes and shapes of inputs and outputs) may be omitted;
// what is given must agree with the file.
type Definition struct {
	Name        string         `yaml:"name"` // the folder's name; optional
	Description string         `yaml:"description"`
	Task        Task           `yaml:"task"`   // see Tasks
	LabelsFile  string         `yaml:"labels"` // file next to model.yaml with one label per line
	Labels      []string       `yaml:"-"`      // the labels read from LabelsFile
	Input       Input          `yaml:"input"`
	Output      Output         `yaml:"output"`
	Tiles       Tiles          `yaml:"tiles"`
	Batching    Batching       `yaml:"batching"`
	Instances   []Group        `yaml:"instances"` // empty: one group on the server's device
	Warmup      int            `yaml:"warmup"`    // runs of every bucket before ready; default 1
	Memory      Memory         `yaml:"memory"`
	SelfTest    SelfTest       `yaml:"self_test"`
	Versions    Versions       `yaml:"versions"` // latest (default), all, a list of numbers, or a gate
	Source      Source         `yaml:"source"`
	Steps       []PipelineStep `yaml:"steps"`     // of a pipeline
	MaxCrops    int            `yaml:"max_crops"` // of one image of a pipeline; default DefaultMaxCrops
}

// Resize is how an image is resized to the model's input.
type Resize string

// The values of Resize. Stretch resizes to Width×Height. ShortestEdge scales the shorter side to Input.ShortestEdge, keeping the
// aspect ratio, and Cover scales the image to cover Width×Height. Letterbox scales it to fit within Width×Height; with
// Input.Stride it is padded only up to the next multiple of it. Stretch, Cover and Letterbox resize to ResizeWidth×ResizeHeight
// instead, if given. What is then larger than Width×Height is cropped from the center, what is smaller is padded. CropFirst crops
// the image from its center to the aspect ratio of Width×Height, and then resizes to that; with ResizeWidth×ResizeHeight it crops to as
// much as Width×Height is of that. Fit scales the shorter side to Input.ShortestEdge, or less where the longer one would exceed
// Input.LongestEdge. FitHeight scales to Height, squeezes what is wider than Width and pads the rest at the right, as PaddleOCR does with
// lines of text; with Input.MinWidth the width is open. Limit scales down an image whose longer side exceeds Input.LongestEdge, then
// scales up one whose shorter side is below Input.ShortestEdge, and resizes each side to a multiple; LongestEdge scales the longer side
// to Input.LongestEdge. Closest scales the width to ResizeWidth or the height to ResizeHeight, whichever changes the image less, and
// rounds each side to a multiple. NoResize takes the image at its own size. The last four and Fit, Letterbox with a stride and FitHeight with a
// minimum width give an input whose size depends on the image.
const (
	Stretch      Resize = "stretch"
	ShortestEdge Resize = "shortest_edge"
	Cover        Resize = "cover"
	CropFirst    Resize = "crop"
	Letterbox    Resize = "letterbox"
	Fit          Resize = "fit"
	NoResize     Resize = "none"
	FitHeight    Resize = "fit_height"
	Limit        Resize = "limit"
	LongestEdge  Resize = "longest_edge"
	Closest      Resize = "closest"
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

// Types that only requests with tensors can have, not batches: their Size is 0. An element of Strings is any bytes.
const (
	Bool     DType = "bool"
	BFloat16 DType = "bfloat16"
	String   DType = "string"
)

// Size returns the size of one element in bytes; 0 for an unsupported type, such as "bool" or "sequence".
func (d DType) Size() int {
	switch d {
	case Float32, Int32, Uint32:
		return 4
	case Float16, Int16, Uint16:
		return 2
	case Uint8, Int8, Bool:
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
	Name          string    `yaml:"name"`          // the image input; optional if the model has one input
	Width         int       `yaml:"width"`         // pixels; optional if fixed in the ONNX file
	Height        int       `yaml:"height"`        // pixels; optional if fixed in the ONNX file
	Resize        Resize    `yaml:"resize"`        // default stretch
	ResizeWidth   int       `yaml:"resize_width"`  // stretch, cover, crop, letterbox: resized to this before the crop; default width
	ResizeHeight  int       `yaml:"resize_height"` // the same, with resize_width
	CropOffset    string    `yaml:"crop_offset"`   // of a crop from the center: round (default), floor (default of crop), truncate
	ShortestEdge  int       `yaml:"shortest_edge"` // shortest_edge, fit: pixels; limit: the least, 0: none
	LongestEdge   int       `yaml:"longest_edge"`  // fit, limit: limit of the longer side, in pixels; 0: none; longest_edge: pixels
	Multiple      int       `yaml:"multiple"`      // open sizes without padding: both sides are rounded to multiples of this; 0: they are not
	ToMultiple    string    `yaml:"to_multiple"`   // limit, longest_edge: round (default), floor, ceil; closest rounds, others round down
	MaxAspect     float64   `yaml:"max_aspect"`    // limit: an image that is wider than this times its height is padded above and below; 0: none
	MinWidth      int       `yaml:"min_width"`     // fit_height: pixels of an open width, which is at most Width; 0: the width is fixed
	Stride        int       `yaml:"stride"`        // open sizes are padded to multiples of this; 0: fixed size (letterbox), 1 (fit, none)
	Rounding      string    `yaml:"rounding"`      // of a derived side: floor, round, half_up, ceil; default: round for cover and centered letterboxes, else floor
	Place         string    `yaml:"place"`         // letterbox: center (default) or top_left
	Inverse       string    `yaml:"inverse"`       // letterbox, fit: exact (default), gain, gain_rounded, gain_unrounded
	Fill          []float64 `yaml:"fill"`          // of padding: one value 0–255, or one per channel; default 0
	Interpolation string    `yaml:"interpolation"` // default area_linear
	Decode        string    `yaml:"decode"`        // exact (default), fast
	Color         string    `yaml:"color"`         // rgb, bgr, rgba, bgra, gray; default: by the channels in the ONNX file: gray, rgb, rgba
	Scale         float64   `yaml:"scale"`         // default 1
	Mean          []float64 `yaml:"mean"`          // one value, or one per channel; default 0
	Std           []float64 `yaml:"std"`           // one value, or one per channel; default 1
	Normalize     string    `yaml:"normalize"`     // where that is computed: packing (default), graph
	Layout        string    `yaml:"layout"`        // nchw, nhwc; default: by the shape in the ONNX file, else nchw
	DType         DType     `yaml:"dtype"`         // default: that of the ONNX file
	Extra         []Extra   `yaml:"extra"`         // inputs other than the image
}

// Channels returns the number of channels: one with gray, four with alpha, else three.
func (in Input) Channels() int {
	switch in.Color {
	case ColorGray:
		return 1
	case ColorRGBA, ColorBGRA:
		return 4
	}
	return 3
}

// ResizeSize returns the size that the image is resized to before a crop: with Stretch exactly, with Cover at least, with
// Letterbox at most.
func (in Input) ResizeSize() (width, height int) {
	return cmp.Or(in.ResizeWidth, in.Width), cmp.Or(in.ResizeHeight, in.Height)
}

// derivesSide reports whether the resize derives a side from the other one, and so rounds it.
func (in Input) derivesSide() bool {
	return in.Resize != Stretch && in.Resize != CropFirst && in.Resize != NoResize && in.Resize != Closest
}

// Dynamic reports whether the size of the input depends on the image. Width and Height are then its limits, 0 for none.
func (in Input) Dynamic() bool {
	switch in.Resize {
	case NoResize, Fit, Limit, LongestEdge, Closest:
		return true
	case Letterbox:
		return in.Stride > 0
	case FitHeight:
		return in.MinWidth > 0
	}
	return false
}

// Extra is an input other than the image: with two elements per row, which are the numbers that Value names, or with the height and
// width of a mask.
type Extra struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// Batching limits the queue and the batches of a model.
type Batching struct {
	MaxSize  int           `yaml:"max_size"`  // rows in a batch; default 8 on CUDA, 1 on the CPU
	MaxDelay time.Duration `yaml:"max_delay"` // how long an idle instance may wait for more rows; default 0
	Queue    int           `yaml:"queue"`     // images waiting or running; default 256
}

// Memory is how long a model stays in memory.
type Memory struct {
	Keep bool          `yaml:"keep"` // it is loaded at start and never unloaded, whatever the server's memory budget
	TTL  time.Duration `yaml:"ttl"`  // it is unloaded when no request has used it for that long, and loaded again when one does; 0: never
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
