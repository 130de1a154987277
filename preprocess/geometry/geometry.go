// Package geometry computes the transform between an image and a model's input: how the image is resized, padded and
// cropped, and how points of the input map back to it. It is pure Go, so that boxes can be mapped without OpenCV.
//
// Image coordinates are orientation-corrected: EXIF orientation is applied. Pixel i of a row covers the span from i to
// i+1, so that a resize by the factor f takes the point x to f·x. This is the convention of Pillow, torchvision and
// OpenCV (half-pixel centers).
package geometry

import (
	"cmp"
	"image"
	"math"
	"strings"

	"fovea/internal/repository"
)

// Transform maps an image to a model's input: the point (x, y) of the image lies at (x·ScaleX + OffsetX,
// y·ScaleY + OffsetY) in the input. All sizes and offsets are in pixels.
type Transform struct {
	Width, Height    int // of the image
	InputW, InputH   int
	ScaleX, ScaleY   float64
	OffsetX, OffsetY float64
	// Left and Top are where in the image the part of it begins that the input was made of; see Within. They are in the offsets already.
	Left, Top float64
}

// Within returns the transform of an image that is the rectangle from (left, top) on of one of width×height pixels, to that.
func (t Transform) Within(left, top, width, height int) Transform {
	t.Left, t.Top = t.Left+float64(left), t.Top+float64(top)
	t.OffsetX -= float64(left) * t.ScaleX
	t.OffsetY -= float64(top) * t.ScaleY
	t.Width, t.Height = width, height
	return t
}

// ToImage maps a point of the input to the image, clipped to it.
func (t Transform) ToImage(x, y float64) (px, py float64) {
	px = max(0, min((x-t.OffsetX)/t.ScaleX, float64(t.Width)))
	py = max(0, min((y-t.OffsetY)/t.ScaleY, float64(t.Height)))
	return px, py
}

// Image is the size of an image in pixels, and by how much the decoder shrank it, rounding up.
type Image struct {
	Width, Height int
	Shrink        int // 1, 2, 4 or 8
	// FlippedX and FlippedY report that the image is stored from right to left, or from bottom to top. The pixels that
	// round a side up then precede the first one instead of following the last.
	FlippedX, FlippedY bool
}

// decoded returns the size after the decoder shrank the image.
func (img Image) decoded() (w, h int) {
	return (img.Width + img.Shrink - 1) / img.Shrink, (img.Height + img.Shrink - 1) / img.Shrink
}

// bounds returns the image within the decoded one, without what rounds a side up.
func (img Image) bounds() Box {
	w, h := img.decoded()
	width, height := float64(img.Width)/float64(img.Shrink), float64(img.Height)/float64(img.Shrink)
	b := Box{MaxX: width, MaxY: height}
	if img.FlippedX {
		b.MinX, b.MaxX = float64(w)-width, float64(w)
	}
	if img.FlippedY {
		b.MinY, b.MaxY = float64(h)-height, float64(h)
	}
	return b
}

// Box is a rectangle whose edges may lie within pixels.
type Box struct{ MinX, MinY, MaxX, MaxY float64 }

// Dx returns its width.
func (b Box) Dx() float64 { return b.MaxX - b.MinX }

// Dy returns its height.
func (b Box) Dy() float64 { return b.MaxY - b.MinY }

// Pixels returns the smallest rectangle of whole pixels that contains the box.
func (b Box) Pixels() image.Rectangle {
	return image.Rect(int(math.Floor(b.MinX)), int(math.Floor(b.MinY)), int(math.Ceil(b.MaxX)), int(math.Ceil(b.MaxY)))
}

// Resampling is how one image becomes an input: Source is resized to Size, and the pixels from CropOffset on fill
// Target. The rest of the input is padding.
//
// The transform's inverse is that of Input.Inverse, so that boxes are mapped back as the exporter does. With one factor for both
// axes it is not exactly where the pixels lie, but less than a pixel of the input away.
type Resampling struct {
	Source     Box // in the decoded image; whole pixels where Shrink is 1
	Size       image.Point
	CropOffset image.Point
	Target     image.Rectangle // in the input
	Input      image.Point     // size of the input
	Transform  Transform
}

// Resample plans the resampling of an image for an input of a resolved definition.
func Resample(in *repository.Input, img Image) Resampling {
	r := Resampling{Source: img.bounds(), Size: TargetSize(in, img.Width, img.Height)}
	r.Input = InputSize(in, img.Width, img.Height)
	r.CropOffset.X, r.Target.Min.X, r.Target.Max.X = place(in, r.Size.X, r.Input.X)
	r.CropOffset.Y, r.Target.Min.Y, r.Target.Max.Y = place(in, r.Size.Y, r.Input.Y)
	if in.Resize == repository.CropFirst {
		r.Source = central(in, img)
	}
	if r.Size.X*r.Size.Y > maxOversize*r.Input.X*r.Input.Y && !computesCrops(in.Interpolation) {
		r.cropSource(img.Shrink == 1)
	}
	r.Transform = r.transform(img)
	invert(in, &r.Transform)
	return r
}

// central returns the box in the center of an image that CropFirst crops, in whole pixels: the largest with the aspect ratio of
// Input.ResizeSize, or the part of it that the input is of that. Without ResizeWidth it is that of YOLOv5's CenterCrop
// (utils/augmentations.py) and Keras' smart_resize, and with it, if it is square, of transformers' PerceiverImageProcessor.center_crop.
func central(in *repository.Input, img Image) Box {
	w, h := in.ResizeSize()
	part := func(side, input, whole int) int { return max(1, int(float64(input)/float64(whole)*float64(side))) }
	width := part(min(img.Width, img.Height*w/h), in.Width, w)
	height := part(min(img.Height, img.Width*h/w), in.Height, h)
	left, top := centered(in, img.Width-width), centered(in, img.Height-height)
	if img.FlippedX {
		left = img.Width - width - left
	}
	if img.FlippedY {
		top = img.Height - height - top
	}
	shrink, bounds := float64(img.Shrink), img.bounds()
	x, y := bounds.MinX+float64(left)/shrink, bounds.MinY+float64(top)/shrink
	return Box{MinX: x, MinY: y, MaxX: x + float64(width)/shrink, MaxY: y + float64(height)/shrink}
}

// place returns the pixels of a resized side that are cropped before an input's side, and where in it the rest lies.
func place(in *repository.Input, size, input int) (crop, begin, end int) {
	offset := 0
	if isCentered(in) {
		offset = centered(in, size-input)
	}
	if size > input {
		return offset, 0, input
	}
	return 0, -offset, size - offset
}

func isCentered(in *repository.Input) bool {
	switch in.Resize {
	case repository.Fit, repository.FitHeight, repository.NoResize:
		return false
	case repository.Letterbox:
		return !isTopLeft(in)
	}
	return true
}

// invert makes a transform's inverse that of Input.Inverse.
func invert(in *repository.Input, t *Transform) {
	if in.Inverse == "" || in.Inverse == repository.InverseExact {
		return
	}
	w, h := float64(t.Width), float64(t.Height)
	gain := min(float64(cmp.Or(in.ResizeWidth, t.InputW))/w, float64(cmp.Or(in.ResizeHeight, t.InputH))/h)
	if in.Resize == repository.Fit {
		gain = fittedEdge(in, min(w, h), max(w, h)) / min(w, h)
	}
	t.ScaleX, t.ScaleY = gain, gain
	if !isCentered(in) {
		return
	}
	x, y := (float64(t.InputW)-w*gain)/2, (float64(t.InputH)-h*gain)/2
	switch in.Inverse {
	case repository.InverseGainRounded: // scale_boxes in ultralytics/utils/ops.py
		t.OffsetX, t.OffsetY = math.RoundToEven(x-0.1), math.RoundToEven(y-0.1)
	case repository.InverseGainUnrounded: // scale_boxes in YOLOv5's utils/general.py
		t.OffsetX, t.OffsetY = x, y
	}
}

// maxOversize is by how many times the resized image may exceed the input's pixels before the source is cropped instead.
// Otherwise a long strip would be resized to millions of pixels to use one square of them.
const maxOversize = 8

// computesCrops reports whether only the crop of a resized image is computed, however large the whole would be.
func computesCrops(interpolation string) bool {
	return strings.HasPrefix(interpolation, "pillow_") || strings.HasPrefix(interpolation, "torch_") || interpolation == repository.OpenCVNearest
}

// centered returns half of the pixels by which a resized side is longer than the input's, which are cropped before it; of those
// by which it is shorter, negative, half are padded. The default is torchvision's CenterCrop and timm's CenterCropOrPad:
// int(round(d / 2.0)), or d // 2 of padding (torchvision.transforms.functional.center_crop). Padding is also that of Ultralytics'
// LetterBox, round(d/2 − 0.1). CropFirst rounds down by default.
func centered(in *repository.Input, over int) int {
	switch {
	case in.CropOffset == repository.CropFloor, in.CropOffset == "" && in.Resize == repository.CropFirst: // center_crop in transformers' image_transforms.py
		return int(math.Floor(float64(over) / 2))
	case in.CropOffset == repository.CropTruncate, over < 0: // TorchvisionBackend.center_crop in image_processing_backends.py
		return over / 2
	}
	return int(math.RoundToEven(float64(over) / 2))
}

// cropSource crops the decoded image, so that no more is resized than the input needs. With whole, the crop is rounded to
// whole pixels; the transform accounts for it.
func (r *Resampling) cropSource(whole bool) {
	perX, perY := r.Source.Dx()/float64(r.Size.X), r.Source.Dy()/float64(r.Size.Y)
	r.Source.MinX, r.Source.MaxX = span(r.Source.MinX, r.Source.MaxX, perX*float64(r.CropOffset.X), perX*float64(r.Target.Dx()), whole)
	r.Source.MinY, r.Source.MaxY = span(r.Source.MinY, r.Source.MaxY, perY*float64(r.CropOffset.Y), perY*float64(r.Target.Dy()), whole)
	r.Size = r.Target.Size()
	r.CropOffset = image.Point{}
}

// span returns the part of a side from low to high with an offset and a length; of whole pixels at least one.
func span(low, high, offset, length float64, whole bool) (from, to float64) {
	if !whole {
		return low + offset, min(low+offset+length, high)
	}
	from = math.Round(offset) // at most half of the side
	return from, max(from+1, min(math.Round(offset+length), high))
}

// transform combines the decoder's shrink, the source, the resize and the crop.
func (r *Resampling) transform(img Image) Transform {
	perX := float64(r.Size.X) / r.Source.Dx()
	perY := float64(r.Size.Y) / r.Source.Dy()
	all := img.bounds()
	return Transform{
		Width: img.Width, Height: img.Height,
		InputW: r.Input.X, InputH: r.Input.Y,
		ScaleX:  perX / float64(img.Shrink),
		ScaleY:  perY / float64(img.Shrink),
		OffsetX: float64(r.Target.Min.X-r.CropOffset.X) + (all.MinX-r.Source.MinX)*perX,
		OffsetY: float64(r.Target.Min.Y-r.CropOffset.Y) + (all.MinY-r.Source.MinY)*perY,
	}
}
