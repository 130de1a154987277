package preprocess

import (
	"image"
	"slices"

	"fovea/preprocess/geometry"
)

// view is an orientation-corrected image in memory: the pixel (x, y) begins at origin + x·right + y·down. Applying the
// orientation is thus a matter of strides, and moves no pixel.
type view struct {
	pixels              []byte // three bytes a pixel: blue, green, red
	origin, right, down int
}

// newView returns the view of a rectangle of a stored image, whose rows have width pixels, with an EXIF orientation.
func newView(pixels []byte, width int, r image.Rectangle, orientation int) view {
	at := func(x, y int) int {
		p := storedPoint(image.Pt(x, y), r.Dx(), r.Dy(), orientation).Add(r.Min)
		return 3 * (p.Y*width + p.X)
	}
	zero := at(0, 0)
	return view{pixels, zero, at(1, 0) - zero, at(0, 1) - zero}
}

// axes describes an orientation (EXIF 2.32, tag 0x0112): the image is stored transposed, and after that mirrored in x, in y.
func axes(orientation int) (transposed, x, y bool) {
	return orientation >= 5, slices.Contains([]int{2, 3, 7, 8}, orientation), slices.Contains([]int{3, 4, 6, 7}, orientation)
}

// storedPoint maps an orientation-corrected pixel to a stored image of w×h pixels.
func storedPoint(p image.Point, w, h, orientation int) image.Point {
	return storedRect(image.Rectangle{Min: p, Max: p.Add(image.Pt(1, 1))}, w, h, orientation).Min
}

// storedRect maps an orientation-corrected rectangle to a stored image of w×h pixels.
func storedRect(r image.Rectangle, w, h, orientation int) image.Rectangle {
	box := geometry.Box{MinX: float64(r.Min.X), MinY: float64(r.Min.Y), MaxX: float64(r.Max.X), MaxY: float64(r.Max.Y)}
	return storedBox(box, w, h, orientation).Pixels()
}

// storedBox works like storedRect, for a box.
func storedBox(b geometry.Box, w, h, orientation int) geometry.Box {
	transposed, x, y := axes(orientation)
	if transposed {
		b = geometry.Box{MinX: b.MinY, MinY: b.MinX, MaxX: b.MaxY, MaxY: b.MaxX}
	}
	if x {
		b.MinX, b.MaxX = float64(w)-b.MaxX, float64(w)-b.MinX
	}
	if y {
		b.MinY, b.MaxY = float64(h)-b.MaxY, float64(h)-b.MinY
	}
	return b
}
