package exporter

import (
	"cmp"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// backend is the library with which an image processor of transformers resizes and crops.
type backend struct {
	torch      bool   // torchvision's transforms of tensors, else Pillow
	cropOffset string // of center_crop
	from       string
	assumed    bool // nothing says which
}

// backend tells the library by the processor's name and the version of transformers that wrote the files. Up to version 4 names
// ending in Fast are of torchvision and others of Pillow. Since version 5 AutoImageProcessor takes torchvision for names without an
// ending, and Pil is the ending of the others (models/auto/image_processing_auto.py).
func (p processor) backend() backend {
	pillow := backend{cropOffset: repository.CropFloor}                // center_crop in image_transforms.py
	torch := backend{torch: true, cropOffset: repository.CropTruncate} // center_crop in image_processing_backends.py
	major, minor := p.version()
	switch {
	case strings.HasSuffix(p.name, "Pil"):
		pillow.from = p.origin("image_processor_type") + ", which uses Pillow"
		return pillow
	case strings.HasSuffix(p.name, "Fast"):
		torch.from = p.origin("image_processor_type") + ", which uses torchvision"
		if major == 4 && minor < 57 { // F.center_crop in image_processing_utils_fast.py
			torch.cropOffset = repository.CropRound
		}
		return torch
	case major >= 5:
		torch.from = "transformers_version " + p.written + ", which uses torchvision"
		return torch
	case major > 0:
		pillow.from = "transformers_version " + p.written + ", which uses Pillow"
		return pillow
	}
	pillow.from, pillow.assumed = "there is no transformers_version: up to version 4 Pillow is used", true
	return pillow
}

// version is that of transformers; 0 if it is not known.
func (p processor) version() (major, minor int) {
	first, rest, _ := strings.Cut(p.written, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, _ = strconv.Atoi(first)
	minor, _ = strconv.Atoi(second)
	return major, minor
}

// torchResamples are the filters of tensors by Pillow's numbers. Tensors have no box and no Hamming filter.
var torchResamples = map[int]string{
	pillowNearest: repository.TorchNearest, pillowLanczos: repository.TorchLanczos, pillowBilinear: repository.TorchAntialias,
	pillowBicubic: repository.TorchBicubic,
}

// processorFilter sets the interpolation.
func (b *builder) processorFilter(p processor) {
	n := int(p.number("resample", float64(p.filter)))
	if n < 0 || n >= len(resamples) {
		return
	}
	of := p.backend()
	filter, from := resamples[n], p.origin("resample")+"; "+of.from
	if of.torch {
		filter = cmp.Or(torchResamples[n], filter)
	}
	if of.torch && n == pillowLanczos { // before torchvision 0.27 transformers replaces it by bicubic
		b.assume("input.interpolation", filter, from+" since 0.27, and bicubic before")
		return
	}
	b.infer("input.interpolation", filter, from, of.assumed)
}

// cropFromCenter sets that an image, after its shorter side has become edge or, if edge is 0, after it has been stretched to
// width×height, is cropped to the input's size.
func (b *builder) cropFromCenter(p processor, edge int64, stretched target, cropWidth, cropHeight int64) {
	b.fixedSize(cropWidth, cropHeight, p.origin("crop_size"))
	w, h := b.size()
	same := w == cropWidth && h == cropHeight || w == 0 || h == 0
	other := "model.onnx fixes another size than " + p.file
	switch {
	case edge > 0 && same:
		b.shortestEdge(edge, p.origin("size"))
	case edge > 0:
		b.assumed(func() { b.shortestEdge(edge*min(w, h)/min(cropWidth, cropHeight), other) })
	case !same:
		b.assume("input.resize", string(repository.Stretch), other)
		return
	default:
		from := p.origin("size")
		b.say("input.resize", string(repository.Stretch), from)
		if stretched.width == cropWidth && stretched.height == cropHeight {
			return
		}
		b.say("input.resize_width", stretched.width, from)
		b.say("input.resize_height", stretched.height, from)
	}
	b.cropOffset(p)
}

// cropOffset sets the rounding of the processor's center_crop.
func (b *builder) cropOffset(p processor) {
	of := p.backend()
	b.infer("input.crop_offset", of.cropOffset, "center_crop; "+of.from, of.assumed)
}
