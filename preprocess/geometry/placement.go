package geometry

import (
	"image"
	"math"

	"fovea/internal/repository"
)

// Image is the size of an image as a person sees it, and of what was decoded of it: the same, or smaller where
// the decoder shrank it by Shrink, rounding up.
type Image struct {
	Width, Height int
	Shrink        int // 1, 2, 4 or 8
	// FlippedX and FlippedY say that the image is stored from the right to the left, or from the bottom up. What
	// the decoder added to round a side up then lies before its first pixel, and not after its last.
	FlippedX, FlippedY bool
}

// decoded is the size of what was decoded.
func (p Image) decoded() (w, h int) {
	return ceilDiv(p.Width, p.Shrink), ceilDiv(p.Height, p.Shrink)
}

// covered is where the image lies in what was decoded of it: without what the decoder added to round a side up.
func (p Image) covered() Box {
	w, h := p.decoded()
	width, height := float64(p.Width)/float64(p.Shrink), float64(p.Height)/float64(p.Shrink)
	b := Box{MaxX: width, MaxY: height}
	if p.FlippedX {
		b.MinX, b.MaxX = float64(w)-width, float64(w)
	}
	if p.FlippedY {
		b.MinY, b.MaxY = float64(h)-height, float64(h)
	}
	return b
}

// Box is a rectangle whose edges may lie within pixels. Pixel i of a row covers the span from i to i+1.
type Box struct{ MinX, MinY, MaxX, MaxY float64 }

// Dx is its width.
func (b Box) Dx() float64 { return b.MaxX - b.MinX }

// Dy is its height.
func (b Box) Dy() float64 { return b.MaxY - b.MinY }

// Pixels is the smallest rectangle of whole pixels that holds the box.
func (b Box) Pixels() image.Rectangle {
	return image.Rect(int(math.Floor(b.MinX)), int(math.Floor(b.MinY)), int(math.Ceil(b.MaxX)), int(math.Ceil(b.MaxY)))
}

// Placement says what is done to one image: Source, a part of the decoded image, is resized to Resized; of
// that, what begins at Cut is laid into the input at Target. The rest of the input is fill.
//
// Pixel i of a row covers the span from i to i+1, so that a resize by the factor f takes the point x to f·x. This
// is the convention of Pillow, torchvision and OpenCV (half-pixel centres).
type Placement struct {
	Source  Box             // in the decoded image, as a person sees it; of whole pixels where that was not shrunk
	Resized image.Point     // width and height
	Cut     image.Point     // top left corner of what is used of the resized part
	Target  image.Rectangle // in the input
	Fit     Fit
}

// Place plans one image.
func (s Spec) Place(p Image) Placement {
	out := Placement{
		Source:  p.covered(),
		Resized: s.resized(p.Width, p.Height),
		Target:  image.Rect(0, 0, s.Width, s.Height),
	}
	switch s.Mode {
	case repository.Letterbox:
		out.Target = s.box(out.Resized)
	case repository.ShortestEdge:
		out.Cut = image.Pt(centered(out.Resized.X-s.Width), centered(out.Resized.Y-s.Height))
		if out.Resized.X*out.Resized.Y > wasteful*s.Width*s.Height {
			out.cutFirst(s, p.Shrink == 1)
		}
	}
	out.fit(s, p)
	return out
}

// Needs returns the size that the whole image is resized to: what a decoder that shrinks must not go below.
func (s Spec) Needs(width, height int) (w, h int) {
	size := s.resized(width, height)
	return size.X, size.Y
}

// resized is the size that the whole image, width×height, is resized to.
func (s Spec) resized(width, height int) image.Point {
	switch s.Mode {
	case repository.ShortestEdge:
		return shortestEdge(width, height, s.ShortestEdge)
	case repository.Letterbox:
		return inside(width, height, s)
	}
	return image.Pt(s.Width, s.Height)
}

// shortestEdge is torchvision's Resize(edge): the longer side is rounded down
// (torchvision.transforms.functional._compute_resized_output_size).
func shortestEdge(width, height, edge int) image.Point {
	if width <= height {
		return image.Pt(edge, edge*height/width)
	}
	return image.Pt(edge*width/height, edge)
}

// inside is the largest size of the image's aspect in the input. In the corner the free side is rounded down, as
// in YOLOX's preproc; in the centre it is rounded to the nearest, as in Ultralytics' LetterBox. The arithmetic is
// whole, so that the tight side is exact.
func inside(width, height int, s Spec) image.Point {
	half := 2
	if s.TopLeft {
		half = math.MaxInt
	}
	if width*s.Height >= height*s.Width { // the width is tight
		return image.Pt(s.Width, max(1, (height*s.Width+width/half)/width))
	}
	return image.Pt(max(1, (width*s.Height+height/half)/height), s.Height)
}

// box is where the resized image lies in a letterboxed input. An odd rest is split as Ultralytics' LetterBox
// does, the smaller half above and to the left.
func (s Spec) box(size image.Point) image.Rectangle {
	var at image.Point
	if !s.TopLeft {
		at = image.Pt((s.Width-size.X)/2, (s.Height-size.Y)/2)
	}
	return image.Rectangle{Min: at, Max: at.Add(size)}
}

// centered is torchvision's CenterCrop: half of the rest, rounded half to even
// (torchvision.transforms.functional.center_crop).
func centered(rest int) int { return int(math.RoundToEven(float64(rest) / 2)) }

// wasteful is how many times the input's pixels may be resized before it is better to cut first. A long strip of
// an image would otherwise become millions of pixels of which a square is used.
const wasteful = 8

// cutFirst cuts what will be used out of the decoded image, and resizes that alone. Where whole is wanted the cut is on
// whole pixels, up to half a one off; Fit says where it really lies.
func (out *Placement) cutFirst(s Spec, whole bool) {
	perX, perY := out.Source.Dx()/float64(out.Resized.X), out.Source.Dy()/float64(out.Resized.Y)
	out.Source.MinX, out.Source.MaxX = span(out.Source.MinX, out.Source.MaxX, perX*float64(out.Cut.X), perX*float64(s.Width), whole)
	out.Source.MinY, out.Source.MaxY = span(out.Source.MinY, out.Source.MaxY, perY*float64(out.Cut.Y), perY*float64(s.Height), whole)
	out.Resized = image.Pt(s.Width, s.Height)
	out.Cut = image.Point{}
}

// span is the part of a side from low to high that begins at a place of it and has a length; where whole pixels are
// wanted, at least one.
func span(low, high, at, length float64, whole bool) (from, to float64) {
	if !whole {
		return low + at, min(low+at+length, high)
	}
	from = min(math.Round(at), high-1)
	return from, max(from+1, min(math.Round(at+length), high))
}

// fit works out the map from the whole image, whose pixels are Shrink times smaller than the decoded ones.
func (out *Placement) fit(s Spec, p Image) {
	perX := float64(out.Resized.X) / out.Source.Dx()
	perY := float64(out.Resized.Y) / out.Source.Dy()
	all := p.covered()
	out.Fit = Fit{
		Width: p.Width, Height: p.Height,
		InputW: s.Width, InputH: s.Height,
		ScaleX:  perX / float64(p.Shrink),
		ScaleY:  perY / float64(p.Shrink),
		OffsetX: float64(out.Target.Min.X-out.Cut.X) + (all.MinX-out.Source.MinX)*perX,
		OffsetY: float64(out.Target.Min.Y-out.Cut.Y) + (all.MinY-out.Source.MinY)*perY,
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
