// Package geometry computes the transform between an image and a model's input: how the image is resized, padded and
// cropped, and how points of the input map back to it. It is pure Go, so that boxes can be mapped without OpenCV.
//
// Image coordinates are orientation-corrected: EXIF orientation is applied. Pixel i of a row covers the span from i to
// i+1, so that a resize by the factor f takes the point x to f·x. This is the convention of Pillow, torchvision and
// OpenCV (half-pixel centers).
package geometry

import (
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
	r.Input = InputSize(in, r.Size)
	r.Target = image.Rectangle{Max: r.Size}
	switch in.Resize {
	case repository.Letterbox:
		if !isTopLeft(in) {
			// Odd padding is split with the smaller half at the top and left: Ultralytics' LetterBox pads round(d/2 − 0.1)
			// pixels there, and scale_boxes subtracts as many.
			r.Target = r.Target.Add(r.Input.Sub(r.Size).Div(2))
		}
	case repository.ShortestEdge:
		r.Target.Max = r.Input
		r.CropOffset = image.Pt(centered(r.Size.X-in.Width), centered(r.Size.Y-in.Height))
		if r.Size.X*r.Size.Y > maxOversize*in.Width*in.Height && !computesCrops(in.Interpolation) {
			r.cropSource(in, img.Shrink == 1)
		}
	}
	r.Transform = r.transform(img)
	return r
}

// maxOversize is by how many times the resized image may exceed the input's pixels before the source is cropped instead.
// Otherwise a long strip would be resized to millions of pixels to use one square of them.
const maxOversize = 8

// computesCrops reports whether only the crop of a resized image is computed, however large the whole would be.
func computesCrops(interpolation string) bool {
	return strings.HasPrefix(interpolation, "pillow_") || interpolation == repository.OpenCVNearest || interpolation == repository.TorchAntialias
}

// centered returns the offset of torchvision's CenterCrop: half of the difference, rounded half to even
// (torchvision.transforms.functional.center_crop).
func centered(difference int) int { return int(math.RoundToEven(float64(difference) / 2)) }

// cropSource crops the decoded image, so that no more is resized than the input needs. With whole, the crop is rounded to
// whole pixels; the transform accounts for it.
func (r *Resampling) cropSource(in *repository.Input, whole bool) {
	perX, perY := r.Source.Dx()/float64(r.Size.X), r.Source.Dy()/float64(r.Size.Y)
	r.Source.MinX, r.Source.MaxX = span(r.Source.MinX, r.Source.MaxX, perX*float64(r.CropOffset.X), perX*float64(in.Width), whole)
	r.Source.MinY, r.Source.MaxY = span(r.Source.MinY, r.Source.MaxY, perY*float64(r.CropOffset.Y), perY*float64(in.Height), whole)
	r.Size = image.Pt(in.Width, in.Height)
	r.CropOffset = image.Point{}
}

// span returns the part of a side from low to high with an offset and a length; of whole pixels at least one.
func span(low, high, offset, length float64, whole bool) (from, to float64) {
	if !whole {
		return low + offset, min(low+offset+length, high)
	}
	from = min(math.Round(offset), high-1)
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
