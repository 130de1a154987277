package exporter

import (
	"math"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// defaults are those of an image processor of transformers (src/transformers/models/*/image_processing_*.py).
type defaults struct {
	height, width   int64 // of size, if it has these keys
	shortest        int64 // of size, if its key is shortest_edge, which a size of one number then is too
	longest         int64
	crop            int64 // both sides of crop_size; 0: there is no crop
	cropOff         bool  // do_center_crop is off
	filter          int   // a number of Pillow
	mean            string
	normalizeOff    bool // do_normalize is off, or there is none
	flipChannels    bool // blue first
	ratio           float64
	normalizesTwice bool // include_top
}

// Pillow's numbers of its filters (PIL.Image.Resampling).
const (
	pillowNearest  = 0
	pillowLanczos  = 1
	pillowBilinear = 2
	pillowBicubic  = 3
)

// processors are the defaults of image processors by name, without ImageProcessor at its end.
var processors = map[string]defaults{
	"Beit":            {height: 256, width: 256, crop: 224, filter: pillowBicubic, mean: "half"},
	"Bit":             {shortest: 224, crop: 224, filter: pillowBicubic, mean: "clip"},
	"Blip":            {height: 384, width: 384, filter: pillowBicubic, mean: "clip"},
	"CLIP":            {shortest: 224, crop: 224, filter: pillowBicubic, mean: "clip"},
	"ChineseCLIP":     {shortest: 224, crop: 224, filter: pillowBicubic, mean: "clip"},
	"ConditionalDetr": {shortest: 800, longest: 1333, filter: pillowBilinear, mean: "imagenet"},
	"ConvNext":        {shortest: 384, filter: pillowBilinear, mean: "half", ratio: 224.0 / 256},
	"DeformableDetr":  {shortest: 800, longest: 1333, filter: pillowBilinear, mean: "imagenet"},
	"DeiT":            {height: 256, width: 256, crop: 224, filter: pillowBicubic, mean: "half"},
	"Deta":            {shortest: 800, longest: 1333, filter: pillowBilinear, mean: "imagenet"},
	"DPT":             {height: 384, width: 384, filter: pillowBicubic, mean: "half"},
	"Detr":            {shortest: 800, longest: 1333, filter: pillowBilinear, mean: "imagenet"},
	"EfficientFormer": {height: 224, width: 224, crop: 224, filter: pillowBicubic, mean: "imagenet"},
	"EfficientNet":    {height: 346, width: 346, crop: 289, cropOff: true, filter: pillowNearest, mean: "half", normalizesTwice: true},
	"GLPN":            {filter: pillowBilinear, normalizeOff: true},
	"Levit":           {shortest: 224, crop: 224, filter: pillowBicubic, mean: "imagenet"},
	"MobileNetV1":     {shortest: 256, crop: 224, filter: pillowBilinear, mean: "half"},
	"MobileNetV2":     {shortest: 256, crop: 224, filter: pillowBilinear, mean: "half"},
	"MobileViT":       {shortest: 224, crop: 256, filter: pillowBilinear, normalizeOff: true, flipChannels: true},
	"Perceiver":       {height: 224, width: 224, crop: 256, filter: pillowBicubic, mean: "imagenet"},
	"PoolFormer":      {shortest: 224, crop: 224, filter: pillowBicubic, mean: "imagenet", ratio: 0.9},
	"Pvt":             {height: 224, width: 224, filter: pillowBilinear, mean: "imagenet"},
	"RTDetr":          {height: 640, width: 640, filter: pillowBilinear, mean: "imagenet", normalizeOff: true},
	"Segformer":       {height: 512, width: 512, filter: pillowBilinear, mean: "imagenet"},
	"Siglip":          {height: 224, width: 224, filter: pillowBicubic, mean: "half"},
	"TextNet":         {shortest: 640, crop: 224, cropOff: true, filter: pillowBilinear, mean: "imagenet"},
	"ViT":             {height: 224, width: 224, filter: pillowBilinear, mean: "half"},
	"VideoMAE":        {shortest: 224, crop: 224, filter: pillowBilinear, mean: "half"},
	"Yolos":           {shortest: 800, longest: 1333, filter: pillowBilinear, mean: "imagenet"},
}

// since5 are the processors whose defaults are others since version 5.
var since5 = map[string]defaults{
	"Beit":         {height: 224, width: 224, crop: 224, cropOff: true, filter: pillowBicubic, mean: "half"},
	"ConvNext":     {shortest: 384, filter: pillowBicubic, mean: "half", ratio: 224.0 / 256},
	"EfficientNet": {height: 346, width: 346, crop: 289, cropOff: true, filter: pillowBicubic, mean: "half", normalizesTwice: true},
	"MobileViT":    {shortest: 224, crop: 256, filter: pillowBicubic, normalizeOff: true, flipChannels: true},
	"Pvt":          {height: 224, width: 224, filter: pillowBicubic, mean: "imagenet"},
}

// processor is what is used of preprocessor_config.json.
type processor struct {
	dict    map[string]any
	file    string // where dict is from
	name    string // such as ViTImageProcessorFast
	kind    string // such as ViT
	written string // the version of transformers that wrote the files; empty if it is not known
	defaults
}

// imageProcessorOf reads the configuration of the image processor: the part of processor_config.json or, without it, a separate file.
func (b *builder) imageProcessorOf(config map[string]any) processor {
	const nested = "processor_config.json"
	written, _ := config["transformers_version"].(string)
	if dict, ok := b.readJSON(nested)["image_processor"].(map[string]any); ok {
		return newProcessor(dict, nested+" image_processor", written)
	}
	return newProcessor(b.readJSON(processorFile), processorFile, written)
}

// newProcessor reads the name of an image processor, and looks its defaults up.
func newProcessor(dict map[string]any, file, written string) processor {
	name, _ := dict["image_processor_type"].(string)
	if name == "" {
		name, _ = dict["feature_extractor_type"].(string)
	}
	full := name
	for _, suffix := range []string{"Fast", "Pil", "ImageProcessor", "FeatureExtractor"} {
		name = strings.TrimSuffix(name, suffix)
	}
	d, known := processors[name]
	if !known {
		d = defaults{filter: pillowBilinear, mean: "half", normalizeOff: dict["image_mean"] == nil}
	}
	p := processor{dict, file, full, name, written, d}
	if d, other := since5[name]; other {
		if major, _ := p.version(); major >= 5 {
			p.defaults = d
		}
	}
	return p
}

func (p processor) is(key string, without bool) bool {
	v, ok := p.dict[key].(bool)
	if !ok {
		return without
	}
	return v
}

// isNull reports whether a key is there and says that there is no value.
func (p processor) isNull(key string) bool {
	v, given := p.dict[key]
	return given && v == nil
}

func (p processor) number(key string, without float64) float64 {
	if v, ok := p.dict[key].(float64); ok {
		return v
	}
	return without
}

// side returns a size: of a number, or of a key of a dict.
func (p processor) side(key, of string) int64 {
	switch v := p.dict[key].(type) {
	case float64:
		return int64(v)
	case map[string]any:
		n, _ := v[of].(float64)
		return int64(n)
	case []any:
		if list := integers(v); len(list) == 2 && (of == "height" || of == "width") {
			return list[map[string]int{"height": 0, "width": 1}[of]]
		}
	}
	return 0
}

// target is the size that images are resized to: height and width, or the shorter side and perhaps the longer one.
type target struct {
	height, width, shortest, longest int64
	within                           bool // the image keeps its aspect ratio within height and width
}

func (p processor) target() (t target) {
	switch size := p.dict["size"].(type) {
	case nil:
		t = target{height: p.height, width: p.width, shortest: p.shortest, longest: p.longest}
	case float64:
		if t = (target{height: int64(size), width: int64(size)}); p.shortest > 0 { // get_size_dict without default_to_square
			t = target{shortest: int64(size), longest: p.longest}
		}
	default:
		t = target{height: p.side("size", "height"), width: p.side("size", "width"), shortest: p.side("size", "shortest_edge"),
			longest: p.side("size", "longest_edge")}
		if t.height == 0 && p.side("size", "max_height") > 0 {
			t = target{height: p.side("size", "max_height"), width: p.side("size", "max_width"), within: true}
		}
	}
	if limit, ok := p.dict["max_size"].(float64); ok && t.shortest > 0 {
		t.longest = int64(limit)
	}
	return t
}

// cropSize is the size that is cut from the center; 0 without a crop.
func (p processor) cropSize() (height, width int64) {
	height, width = p.side("crop_size", "height"), p.side("crop_size", "width")
	if height == 0 && p.dict["crop_size"] == nil {
		height, width = p.crop, p.crop
	}
	if !p.is("do_center_crop", p.crop > 0 && !p.cropOff) {
		return 0, 0
	}
	return height, width
}

// cropRatio is crop_pct, or the default where it is no ratio.
func (p processor) cropRatio() float64 {
	if ratio := p.number("crop_pct", p.ratio); ratio > 0 {
		return ratio
	}
	return p.ratio
}

// normalization returns scale, mean and std of (v·scale − mean) / std.
func (p processor) normalization() normalization {
	n := normalization{scale: 1, mean: []float64{0}, std: []float64{1}}
	if p.is("do_rescale", true) {
		n.scale = p.number("rescale_factor", 1.0/255)
		if math.Abs(n.scale*255-1) < 1e-6 {
			n.scale = 1.0 / 255
		}
	}
	if p.is("do_normalize", !p.normalizeOff) {
		known := normalizations[p.mean]
		if p.mean == "half" || p.mean == "" {
			known = normalization{mean: []float64{0.5}, std: []float64{0.5}}
		}
		if n.mean = floats(p.dict["image_mean"]); n.mean == nil {
			n.mean = known.mean
		}
		if n.std = floats(p.dict["image_std"]); n.std == nil {
			n.std = known.std
		}
		n = p.twice(n)
	}
	if p.is("rescale_offset", false) { // EfficientNetImageProcessor.rescale subtracts 1
		n.mean = offset(n)
	}
	return n
}

// twice divides by std once more: EfficientNetImageProcessor with include_top normalizes a second time, without the mean.
func (p processor) twice(n normalization) normalization {
	if !p.is("include_top", p.normalizesTwice) {
		return n
	}
	n.std = slices.Clone(n.std)
	for i, std := range n.std {
		n.std[i] = std * std
	}
	return n
}

// offset adds 1 to the mean.
func offset(n normalization) []float64 {
	mean := slices.Clone(n.mean)
	for i := range mean {
		mean[i]++
	}
	return mean
}

// processorSize sets how images are resized.
func (b *builder) processorSize(p processor) {
	b.processorFilter(p)
	from := p.origin("size")
	t := p.target()
	cropHeight, cropWidth := p.cropSize()
	switch {
	case !p.is("do_resize", true):
		b.say("input.resize", string(repository.NoResize), p.file+" do_resize")
	case p.kind == "GLPN": // GLPNImageProcessor.resize
		b.multiplesOf(p)
	case p.is("keep_aspect_ratio", false) && t.height > 0 && t.width > 0 && b.isOpen(): // DPTImageProcessor.resize
		b.closest(p, t)
	case p.kind == "ConvNext" && t.shortest > 0: // ConvNextImageProcessor.resize
		if t.shortest >= 384 {
			b.fixedSize(t.shortest, t.shortest, from)
			b.say("input.resize", string(repository.Stretch), from)
			return
		}
		b.cropFromCenter(p, int64(float64(t.shortest)/p.cropRatio()), target{}, t.shortest, t.shortest)
	case t.shortest > 0 && cropHeight > 0 && cropWidth > 0:
		b.cropFromCenter(p, p.edge(t.shortest), target{}, cropWidth, cropHeight)
	case t.within, p.dict["pad_size"] != nil:
		b.padded(p, t)
	case t.shortest > 0:
		b.shortestWithoutCrop(p, t, from)
	case p.kind == "Perceiver" && cropHeight > 0 && t.height > 0: // PerceiverImageProcessor.center_crop
		b.cropsFirst(p, t, cropWidth, cropHeight)
	case t.height > 0 && t.width > 0 && cropHeight > 0 && cropWidth > 0:
		b.cropFromCenter(p, 0, t, cropWidth, cropHeight)
	case t.height > 0 && t.width > 0:
		b.fixedSize(t.width, t.height, from)
		b.say("input.resize", string(repository.Stretch), from)
	default:
		b.fixedSize(0, 0, "")
		b.assume("input.resize", string(repository.Stretch), p.file+" has no size")
	}
}

// multiplesOf keeps the size of images, except for what is beyond a multiple of size_divisor.
func (b *builder) multiplesOf(p processor) {
	if !b.isOpen() {
		b.assume("input.resize", string(repository.Stretch), "model.onnx fixes a size that "+p.file+" leaves open")
		return
	}
	b.say("input.resize", string(repository.NoResize), p.origin("size_divisor"))
	b.say("input.multiple", max(1, int64(p.number("size_divisor", 32))), p.origin("size_divisor"))
}

// closest keeps the aspect ratio of images, and rounds both sides to a multiple.
func (b *builder) closest(p processor, t target) {
	b.say("input.resize", string(repository.Closest), p.file+" keep_aspect_ratio")
	b.say("input.resize_width", t.width, p.origin("size"))
	b.say("input.resize_height", t.height, p.origin("size"))
	if multiple := int64(p.number("ensure_multiple_of", 1)); multiple > 1 {
		b.say("input.multiple", multiple, p.file+" ensure_multiple_of")
	}
}

// cropsFirst crops a square from the center, size ÷ crop_size of the image's shorter side, and resizes it to size.
func (b *builder) cropsFirst(p processor, t target, cropWidth, cropHeight int64) {
	b.fixedSize(t.width, t.height, p.origin("size"))
	width, height := b.size()
	if t.width != t.height || cropWidth != cropHeight || cropWidth < t.width || width < 1 || width != height {
		b.assumed(func() { b.shortestEdge(cropHeight, p.file+" crops before it resizes") })
		return
	}
	from := p.origin("crop_size")
	differs := width != t.width
	b.infer("input.resize", string(repository.CropFirst), from, differs)
	if cropWidth > t.width {
		side := cropWidth * width / t.width
		b.infer("input.resize_width", side, from, differs)
		b.infer("input.resize_height", side, from, differs)
	}
	b.cropOffset(p)
}

// edge is the shorter side before the crop.
func (p processor) edge(shortest int64) int64 {
	switch {
	case p.kind == "Levit": // LevitImageProcessor.resize
		return int64(256.0 / 224 * float64(shortest))
	case p.kind == "PoolFormer" && !p.isNull("crop_pct"): // PoolFormerImageProcessor.resize
		return int64(float64(shortest) / p.cropRatio())
	}
	return shortest
}

// origin says where the value of a key is from.
func (p processor) origin(key string) string {
	if p.dict[key] == nil {
		return "default of " + p.kind + "ImageProcessor"
	}
	return p.file + " " + key
}

// padded keeps the aspect ratio within the size, and fills what is left at the right and below up to pad_size with 0 after the
// normalization.
func (b *builder) padded(p processor, t target) {
	from := p.file + " size and pad_size"
	height, width := p.side("pad_size", "height"), p.side("pad_size", "width")
	if height == 0 {
		height, width = t.height, t.width
	}
	b.fixedSize(width, height, from)
	square := t.shortest > 0 && t.shortest == t.longest && t.longest == height && height == width
	switch {
	case t.within && t.height == height && t.width == width:
		b.say("input.resize", string(repository.Letterbox), from)
	case square: // get_size_with_aspect_ratio rounds the shorter side
		b.say("input.resize", string(repository.Letterbox), from)
		b.say("input.rounding", repository.RoundNearest, from)
	case t.height > 0 && !t.within:
		b.say("input.resize", string(repository.Stretch), p.origin("size"))
		return
	default:
		b.assume("input.resize", string(repository.Letterbox), from+" differ: images fill pad_size, instead of a part of it")
	}
	b.say("input.place", "top_left", from)
	b.say("input.fill", p.normalization().zero(), "images are padded with 0 after the normalization")
}

// shortestWithoutCrop resizes the shorter side without a crop, as DETR does where the longer side has a limit.
func (b *builder) shortestWithoutCrop(p processor, t target, from string) {
	if !b.isOpen() {
		b.assume("input.resize", string(repository.Stretch), "model.onnx fixes a size that "+p.file+" leaves open")
		return
	}
	b.fit(t.shortest, t.longest, from)
	if major, minor := p.version(); p.kind == "Yolos" && (major == 0 || major > 4 || minor >= 37) {
		b.say("input.multiple", 16, "get_size_with_aspect_ratio of YolosImageProcessor")
	}
}

func (b *builder) processorColor(p processor) {
	color := repository.ColorRGB
	if p.is("do_flip_channel_order", p.flipChannels) {
		color = repository.ColorBGR
	}
	if b.channels == 3 || b.channels < 1 {
		b.say("input.color", color, p.file)
	}
	b.sayNormalization(p.normalization(), p.file)
}
