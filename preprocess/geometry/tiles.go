package geometry

import "image"

// Tiles cuts images into tiles of one size.
type Tiles struct {
	Size    image.Point // pixels of the image
	Overlap float64     // of neighbors, as a part of the size: 0 to below 1
}

// Count returns how many tiles an image has.
func (t Tiles) Count(img image.Point) int {
	return t.along(img.X, t.Size.X) * t.along(img.Y, t.Size.Y)
}

// Of returns the tiles of an image, in rows from the top. All have the same size, that of the image where it is smaller: the last one of
// a row and those of the last row are shifted inward, as with get_slice_bboxes in sahi/slicing.py.
func (t Tiles) Of(img image.Point) []image.Rectangle {
	columns, rows := t.along(img.X, t.Size.X), t.along(img.Y, t.Size.Y)
	list := make([]image.Rectangle, 0, columns*rows)
	for row := range rows {
		top, bottom := t.span(row, img.Y, t.Size.Y)
		for column := range columns {
			left, right := t.span(column, img.X, t.Size.X)
			list = append(list, image.Rect(left, top, right, bottom))
		}
	}
	return list
}

// step is the distance of neighbors; the overlap is rounded down to pixels.
func (t Tiles) step(size int) int { return max(1, size-int(t.Overlap*float64(size))) }

// along is the number of tiles that a side takes.
func (t Tiles) along(side, size int) int {
	if side <= size {
		return 1
	}
	step := t.step(size)
	return (side-size+step-1)/step + 1
}

// span is where tile i along a side begins and ends.
func (t Tiles) span(i, side, size int) (from, to int) {
	from = max(0, min(i*t.step(size), side-size))
	return from, min(from+size, side)
}
