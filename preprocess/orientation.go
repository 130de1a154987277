package preprocess

import (
	"image"

	"fovea/preprocess/geometry"
)

// view is an orientation-corrected image in memory: the pixel (x, y) begins at origin + x·right + y·down. Applying the
// orientation is thus a matter of strides, and moves no pixel.
type view struct {
	pixels              []byte // three bytes a pixel: blue, green, red
	origin, right, down int
}

// newView is the view of a rectangle of a stored image, whose rows have width pixels, with an EXIF orientation.
func newView(pixels []byte, width int, r image.Rectangle, orientation int) view {
	at := func(x, y int) int {
		p := storedPoint(image.Pt(x, y), r.Dx(), r.Dy(), orientation).Add(r.Min)
		return 3 * (p.Y*width + p.X)
	}
	zero := at(0, 0)
	return view{pixels, zero, at(1, 0) - zero, at(0, 1) - zero}
}

// storedPoint maps an orientation-corrected pixel to a stored image of w×h pixels (EXIF 2.32, tag 0x0112).
func storedPoint(p image.Point, w, h, orientation int) image.Point {
	switch orientation {
	case 2:
		return image.Pt(w-1-p.X, p.Y)
	case 3:
		return image.Pt(w-1-p.X, h-1-p.Y)
	case 4:
		return image.Pt(p.X, h-1-p.Y)
	case 5:
		return image.Pt(p.Y, p.X)
	case 6:
		return image.Pt(p.Y, h-1-p.X)
	case 7:
		return image.Pt(w-1-p.Y, h-1-p.X)
	case 8:
		return image.Pt(w-1-p.Y, p.X)
	}
	return p
}

// storedRect maps an orientation-corrected rectangle to a stored image of w×h pixels.
func storedRect(r image.Rectangle, w, h, orientation int) image.Rectangle {
	a := storedPoint(r.Min, w, h, orientation)
	b := storedPoint(r.Max.Sub(image.Pt(1, 1)), w, h, orientation)
	return image.Rect(min(a.X, b.X), min(a.Y, b.Y), max(a.X, b.X)+1, max(a.Y, b.Y)+1)
}

// storedBox is storedRect for a box.
func storedBox(b geometry.Box, w, h, orientation int) geometry.Box {
	if orientation >= 5 {
		b = geometry.Box{MinX: b.MinY, MinY: b.MinX, MaxX: b.MaxY, MaxY: b.MaxX}
	}
	x, y := flipped(orientation)
	if orientation >= 5 {
		x, y = y, x
	}
	if x {
		b.MinX, b.MaxX = float64(w)-b.MaxX, float64(w)-b.MinX
	}
	if y {
		b.MinY, b.MaxY = float64(h)-b.MaxY, float64(h)-b.MinY
	}
	return b
}

// flipped reports whether an orientation stores the image from right to left, and from bottom to top.
func flipped(orientation int) (x, y bool) {
	zero := storedPoint(image.Point{}, 2, 2, orientation)
	if orientation >= 5 {
		zero.X, zero.Y = zero.Y, zero.X
	}
	return zero.X == 1, zero.Y == 1
}
