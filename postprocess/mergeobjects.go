package postprocess

import (
	"errors"
	"image"
	"math"
)

var errNoObjects = errors.New("the predictions of tiles are no objects")

// piece returns object i of a part whose upper left pixel is at.
func (m *Merger) piece(objects Objects, i int, at image.Point) piece {
	p := piece{Box: objects.Box(i), order: m.added}
	m.added++
	x, y := float64(at.X), float64(at.Y)
	p.X1, p.Y1, p.X2, p.Y2 = p.X1+x, p.Y1+y, p.X2+x, p.Y2+y
	p.bounds = rect{p.X1, p.Y1, p.X2, p.Y2}
	switch list := objects.(type) {
	case *Oriented:
		m.rotate(&p, list.Boxes[i], x, y)
	case *Segmented:
		p.mask, m.encoding = pixelRuns(list.Boxes[i].Mask, at, m.height), list.Boxes[i].Mask.Encoding
	case *Posed:
		p.points = list.Boxes[i].Keypoints
		for k := range p.points {
			p.points[k].X += x
			p.points[k].Y += y
		}
	}
	return p
}

// rotate makes p a rotated box of a part. The upright box around it is that of the image: that of the part ends at the edges of the part.
func (m *Merger) rotate(p *piece, b OrientedBox, x, y float64) {
	p.bounds = rect{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for k := range b.Corners {
		c := &b.Corners[k]
		c[0], c[1] = c[0]+x, c[1]+y
		p.bounds = rect{min(p.bounds.x1, c[0]), min(p.bounds.y1, c[1]), max(p.bounds.x2, c[0]), max(p.bounds.y2, c[1])}
	}
	b.CX, b.CY = b.CX+x, b.CY+y
	p.X1, p.Y1 = clip(p.bounds.x1, m.width), clip(p.bounds.y1, m.height)
	p.X2, p.Y2 = clip(p.bounds.x2, m.width), clip(p.bounds.y2, m.height)
	b.Box = p.Box
	p.oriented = &b
}

// prediction returns objects as the decoder of the parts does.
func (m *Merger) prediction(found []piece) Prediction {
	frame := Frame{Width: m.width, Height: m.height, Tiles: m.tiles, Discarded: m.discarded}
	switch first := m.first.(type) {
	case *Oriented:
		out := &Oriented{Boxes: make([]OrientedBox, len(found)), Frame: frame}
		for i := range found {
			out.Boxes[i] = *found[i].oriented
		}
		return out
	case *Segmented:
		out := &Segmented{Boxes: make([]Instance, len(found)), Frame: frame}
		for i, p := range found {
			out.Boxes[i] = Instance{p.Box, &Mask{Width: m.width, Height: m.height, Runs: joined(p.mask, m.width*m.height), Encoding: m.encoding}}
		}
		return out
	case *Posed:
		out := &Posed{Boxes: make([]PosedBox, len(found)), Skeleton: first.Skeleton, Frame: frame}
		for i, p := range found {
			out.Boxes[i] = PosedBox{p.Box, p.points}
		}
		return out
	}
	out := &Detected{Boxes: make([]Box, len(found)), Width: m.width, Height: m.height, Tiles: m.tiles, Discarded: m.discarded}
	for i, p := range found {
		out.Boxes[i] = p.Box
	}
	return out
}
