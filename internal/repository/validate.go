package repository

import (
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"fovea/internal/config"
)

// Limits of a definition: far above any real model, and low enough that no file makes the server run out of memory.
const (
	maxSide      = 8192     // pixels of the input's width or height
	maxBatch     = 1024     // rows of a batch
	maxQueue     = 65536    // images
	maxInstances = 64       // groups, and instances of a group
	maxExtra     = 8        // inputs in addition to the image
	maxFactor    = 1e6      // scale, mean and std
	maxWeights   = 16 << 30 // bytes of a model.onnx
	maxBoxes     = 10000
	maxStrides   = 8
	maxStride    = 1024
	maxColumns   = 64
)

// maxCandidates is how many boxes enter suppression at most: those of the largest input at stride 8.
const maxCandidates = 1 << 20

// MaxVersion is the largest number of a version.
const MaxVersion = 1_000_000_000

// MaxTopK is how many classes a prediction holds at most.
const MaxTopK = 1000

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	devicePattern = regexp.MustCompile(`^(auto|cpu|(cuda|tensorrt)(:[0-9]{1,2})?)$`)
)

// ValidName reports whether name may name a model: a letter or digit, then up to 127 letters, digits, dots,
// dashes and underscores. A name is never a path.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// Validate reports all errors in the definition itself, each with its key. Defaults must be filled in; the ONNX file is
// Resolve's concern.
func (d Definition) Validate() error { return d.check().Err() }

func (d *Definition) check() config.Errors {
	var errs config.Errors
	if d.Name != "" && !ValidName(d.Name) {
		errs.Add("name", "%q is not a valid model name: at most 128 letters, digits and . _ -", d.Name)
	}
	errs.OneOf("task", string(d.Task), taskNames()...)
	localFile(&errs, "labels", d.LabelsFile)
	switch d.Task {
	case NoTask:
		d.checkNoTask(&errs)
	case Pipeline:
		d.checkPipeline(&errs)
	default:
		d.Input.check(&errs)
		d.checkOutput(&errs)
	}
	d.checkTiles(&errs)
	if d.Task != Pipeline {
		d.checkNoSteps(&errs)
	}
	d.Batching.check(&errs)
	d.checkInstances(&errs)
	config.Range(&errs, "warmup", d.Warmup, 0, 100)
	d.checkMemory(&errs)
	d.checkSelfTest(&errs)
	d.Versions.check(&errs)
	d.checkGate(&errs)
	d.Source.check(&errs)
	return errs
}

func (d *Definition) checkMemory(errs *config.Errors) {
	if d.Memory.TTL != 0 {
		config.Range(errs, "memory.ttl", d.Memory.TTL, time.Second, 30*24*time.Hour)
		if d.Memory.Keep {
			notApplicable(errs, "memory.ttl", "does not apply with memory.keep")
		}
	}
}

// checkNoTask reports keys that only matter for predictions.
func (d *Definition) checkNoTask(errs *config.Errors) {
	onlyWith(errs, "input", !reflect.DeepEqual(d.Input, Input{}), "a task other than none")
	onlyWith(errs, "output", !reflect.DeepEqual(d.Output, Output{}), "a task other than none")
	onlyWith(errs, "self_test", d.SelfTest != SelfTest{}, "a task other than none")
}

// localFile reports a name that leaves the model's folder.
func localFile(errs *config.Errors, key, name string) {
	if name != "" && (name == "." || strings.Contains(name, `\`) || !fs.ValidPath(name)) {
		errs.Add(key, "%q is not a file in the model's folder", name)
	}
}

// optional reports a value that is neither empty nor one of those allowed.
func optional(errs *config.Errors, key, value string, allowed ...string) {
	if value != "" {
		errs.OneOf(key, value, allowed...)
	}
}

// NotApplicableError is the cause of the error of a key that has no effect with the other settings. Without the key the definition
// may be valid.
type NotApplicableError struct{ text string }

// Error says which settings the key needs.
func (e *NotApplicableError) Error() string { return e.text }

// notApplicable reports a key that has no effect with the other settings.
func notApplicable(errs *config.Errors, key, format string, args ...any) {
	errs.Add(key, "%w", &NotApplicableError{fmt.Sprintf(format, args...)})
}

// onlyWith reports a key that is given without the setting that it needs.
func onlyWith(errs *config.Errors, key string, given bool, setting string) {
	if given {
		notApplicable(errs, key, "only applies with %s", setting)
	}
}

func (in *Input) check(errs *config.Errors) {
	config.Range(errs, "input.width", in.Width, 0, maxSide)
	config.Range(errs, "input.height", in.Height, 0, maxSide)
	errs.OneOf("input.resize", string(in.Resize), string(Stretch), string(ShortestEdge), string(Cover), string(CropFirst), string(Letterbox), string(Fit),
		string(FitHeight), string(Limit), string(LongestEdge), string(Closest), string(NoResize))
	in.checkEdge(errs)
	in.checkCrop(errs)
	in.checkLetterbox(errs)
	errs.OneOf("input.interpolation", in.Interpolation, Interpolations()...)
	errs.OneOf("input.decode", in.Decode, DecodeExact, DecodeFast)
	optional(errs, "input.color", in.Color, ColorRGB, ColorBGR, ColorRGBA, ColorBGRA, ColorGray)
	optional(errs, "input.layout", in.Layout, "nchw", "nhwc")
	optional(errs, "input.dtype", string(in.DType), string(Float32), string(Float16), string(Uint8))
	before := len(*errs)
	in.checkNumbers(errs)
	if len(*errs) == before {
		in.checkNormalize(errs)
	}
	in.checkExtra(errs)
}

func (in *Input) checkEdge(errs *config.Errors) {
	optional(errs, "input.rounding", in.Rounding, RoundFloor, RoundNearest, RoundHalfUp, RoundCeil)
	onlyWith(errs, "input.rounding", in.Rounding != "" && !in.derivesSide(), "resize: letterbox, shortest_edge, cover, fit, fit_height, limit or longest_edge")
	config.Range(errs, "input.stride", in.Stride, 0, maxStride)
	onlyWith(errs, "input.stride", in.Stride > 0 && (!in.Dynamic() || in.limitsSides()), "resize: letterbox, fit, closest or none, or min_width")
	config.Range(errs, "input.multiple", in.Multiple, 0, maxStride)
	if in.Resize != Fit && !in.limitsSides() {
		onlyWith(errs, "input.longest_edge", in.LongestEdge != 0, "resize: fit, limit or longest_edge")
		onlyWith(errs, "input.multiple", in.Multiple != 0 && in.Resize != Closest && in.Resize != NoResize, "resize: fit, limit, longest_edge, closest or none")
	}
	in.checkOpenText(errs)
	switch in.Resize {
	case Limit:
		config.Range(errs, "input.shortest_edge", in.ShortestEdge, 0, maxSide)
		config.Range(errs, "input.longest_edge", in.LongestEdge, 0, maxSide)
	case LongestEdge:
		config.Range(errs, "input.longest_edge", in.LongestEdge, 1, maxSide)
		onlyWith(errs, "input.shortest_edge", in.ShortestEdge != 0, "resize: shortest_edge, fit or limit")
	case Fit:
		config.Range(errs, "input.shortest_edge", in.ShortestEdge, 1, maxSide)
		config.Range(errs, "input.longest_edge", in.LongestEdge, 0, maxSide)
	case ShortestEdge:
		config.Range(errs, "input.shortest_edge", in.ShortestEdge, 1, maxSide)
	default:
		onlyWith(errs, "input.shortest_edge", in.ShortestEdge != 0, "resize: shortest_edge, fit or limit")
	}
}

// checkCrop checks what is cropped from the center, or padded, after the resize.
func (in *Input) checkCrop(errs *config.Errors) {
	resizes := in.ResizeWidth != 0 || in.ResizeHeight != 0
	switch {
	case in.Resize == Closest:
		config.Range(errs, "input.resize_width", in.ResizeWidth, 1, maxSide)
		config.Range(errs, "input.resize_height", in.ResizeHeight, 1, maxSide)
	case !resizes:
	case in.Dynamic() || in.Resize != Stretch && in.Resize != Cover && in.Resize != CropFirst && in.Resize != Letterbox:
		onlyWith(errs, "input.resize_width", true, "resize: stretch, cover, crop, closest, or letterbox without a stride")
	case in.Resize == CropFirst:
		config.Range(errs, "input.resize_width", in.ResizeWidth, max(1, in.Width), maxSide)
		config.Range(errs, "input.resize_height", in.ResizeHeight, max(1, in.Height), maxSide)
	default:
		config.Range(errs, "input.resize_width", in.ResizeWidth, 1, maxSide)
		config.Range(errs, "input.resize_height", in.ResizeHeight, 1, maxSide)
	}
	optional(errs, "input.crop_offset", in.CropOffset, CropRound, CropFloor, CropTruncate)
	onlyWith(errs, "input.crop_offset", in.CropOffset != "" && !resizes && in.Resize != ShortestEdge && in.Resize != Cover && in.Resize != CropFirst,
		"resize: shortest_edge, cover or crop, or resize_width")
	optional(errs, "input.inverse", in.Inverse, InverseExact, InverseGain, InverseGainRounded, InverseGainUnrounded)
	onlyWith(errs, "input.inverse", in.Inverse != "" && in.Resize != Letterbox && in.Resize != Fit, "resize: letterbox or fit")
}

// mayPad reports whether a crop from the center may need padding, as long as the input's size is not known.
func (in *Input) mayPad() bool {
	w, h := in.ResizeSize()
	switch in.Resize {
	case ShortestEdge:
		w, h = in.ShortestEdge, in.ShortestEdge
	case Cover, Stretch:
	default:
		return false
	}
	known := in.Width > 0 && in.Height > 0
	return !known && (in.Resize != Stretch || in.ResizeWidth > 0) || w < in.Width || h < in.Height
}

func (in *Input) checkLetterbox(errs *config.Errors) {
	switch {
	case in.Resize == Letterbox:
		errs.OneOf("input.place", in.Place, "center", "top_left")
		in.checkChannelValues(errs, "input.fill", in.Fill, 0, 255)
		in.checkMinimalRectangle(errs)
		return
	case in.Resize == FitHeight, len(in.Fill) > 0 && (in.Dynamic() && in.Stride > 1 || in.MaxAspect > 0 || in.mayPad()):
		in.checkChannelValues(errs, "input.fill", in.Fill, 0, 255)
	default:
		onlyWith(errs, "input.fill", len(in.Fill) > 0, "resize: letterbox or fit_height, fit or none with a stride, max_aspect, or a resize to less than width and height")
	}
	onlyWith(errs, "input.place", in.Place != "", "resize: letterbox")
}

// checkMinimalRectangle reports sides of a letterbox that are not multiples of its stride.
func (in *Input) checkMinimalRectangle(errs *config.Errors) {
	if in.Stride <= 0 {
		return
	}
	for _, side := range []struct {
		key    string
		pixels int
	}{{"input.width", in.Width}, {"input.height", in.Height}} {
		if side.pixels%in.Stride != 0 {
			errs.Add(side.key, "%d is not a multiple of input.stride, which is %d", side.pixels, in.Stride)
		}
	}
}

func (in *Input) checkNumbers(errs *config.Errors) {
	if !(in.Scale > 0 && in.Scale <= maxFactor) { // nor NaN
		errs.Add("input.scale", "%v is out of range (>0–%v)", in.Scale, maxFactor)
	}
	in.checkChannelValues(errs, "input.mean", in.Mean, -maxFactor, maxFactor)
	in.checkChannelValues(errs, "input.std", in.Std, 1/maxFactor, maxFactor)
	other := func(than float64) func(float64) bool { return func(v float64) bool { return v != than } }
	if in.DType == Uint8 && (in.Scale != 1 || slices.ContainsFunc(in.Mean, other(0)) || slices.ContainsFunc(in.Std, other(1))) {
		errs.Add("input.dtype", "uint8 takes pixel values unchanged; remove scale, mean and std")
	}
}

// checkChannelValues reports a list that has neither one value nor one for each channel, and values out of range.
func (in *Input) checkChannelValues(errs *config.Errors, key string, values []float64, low, high float64) {
	switch {
	case len(values) == 1:
	case in.Color == ColorGray:
		errs.Add(key, "has %d values, but color: gray has one channel", len(values))
	case len(values) != in.Channels():
		errs.Add(key, "has %d values, not 1 or %d", len(values), in.Channels())
	}
	for i, v := range values {
		config.Range(errs, config.Index(key, i), v, low, high)
	}
}

func (in *Input) checkExtra(errs *config.Errors) {
	if len(in.Extra) > maxExtra {
		errs.Add("input.extra", "there are %d; the limit is %d", len(in.Extra), maxExtra)
		return
	}
	for i, e := range in.Extra {
		key := config.Index("input.extra", i)
		same := func(other Extra) bool { return other.Name == e.Name }
		switch {
		case e.Name == "":
			errs.Add(key+".name", "is required")
		case e.Name == in.Name || slices.IndexFunc(in.Extra, same) < i:
			errs.Add(key+".name", "%q already names another input", e.Name)
		}
		errs.OneOf(key+".value", e.Value, OriginalSizeWH, OriginalSizeHW, InputSizeWH, InputSizeHW,
			ScaleFactorWH, ScaleFactorHW, PixelMask)
	}
}

func (b Batching) check(errs *config.Errors) {
	config.Range(errs, "batching.max_size", b.MaxSize, 0, maxBatch)
	config.Range(errs, "batching.queue", b.Queue, 1, maxQueue)
	config.Range(errs, "batching.max_delay", b.MaxDelay, 0, 10*time.Second)
	if b.Queue >= 1 && b.MaxSize > b.Queue {
		errs.Add("batching.queue", "%d is less than batching.max_size, which is %d", b.Queue, b.MaxSize)
	}
}

func (d *Definition) checkInstances(errs *config.Errors) {
	if len(d.Instances) > maxInstances {
		errs.Add("instances", "there are %d groups; the limit is %d", len(d.Instances), maxInstances)
		return
	}
	for i, g := range d.Instances {
		key := config.Index("instances", i)
		if !devicePattern.MatchString(g.Device) {
			errs.Add(key+".device", "%q is not one of auto, cpu, cuda, cuda:0 to cuda:99, tensorrt, tensorrt:0 to tensorrt:99", g.Device)
		}
		config.Range(errs, key+".count", g.Count, 0, maxInstances)
		same := func(other Group) bool { return other.Device == g.Device }
		if slices.IndexFunc(d.Instances, same) < i {
			errs.Add(key+".device", "%q already has a group; raise its count instead", g.Device)
		}
	}
}

func (d *Definition) checkSelfTest(errs *config.Errors) {
	t := d.SelfTest
	localFile(errs, "self_test.image", t.Image)
	config.Range(errs, "self_test.min_score", t.MinScore, 0, 1)
	if t.Image == "" && (t.Label != "" || t.MinScore != 0) {
		errs.Add("self_test.image", "is required with label or min_score")
	}
	if t.MinScore != 0 && t.Label == "" {
		errs.Add("self_test.label", "is required with min_score")
	}
	if t.Label != "" && len(d.Labels) > 0 && d.Task != TextRecognition && !slices.Contains(d.Labels, t.Label) {
		errs.Add("self_test.label", "%q is not in %s", t.Label, d.LabelsFile)
	}
}
