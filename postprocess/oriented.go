package postprocess

import (
	"math"

	"fovea/preprocess/geometry"
)

// OrientedBox is a rotated box. Box holds the smallest upright box around it, clipped to the image.
type OrientedBox struct {
	Box
	// Corners are in pixels of the image and may lie outside it; they go around the box, clockwise on the screen unless the image is
	// mirrored.
	Corners [4][2]float64 `json:"corners"`
	// CX, CY, W and H are the center and the sides, in pixels. Angle turns the side W from the direction of x toward y, in radians from
	// 0 to π.
	CX    float64 `json:"cx"`
	CY    float64 `json:"cy"`
	W     float64 `json:"w"`
	H     float64 `json:"h"`
	Angle float64 `json:"angle"`
}

// Oriented holds the rotated objects of an image, best first.
type Oriented struct {
	Boxes []OrientedBox `json:"boxes"`
	Frame
}

func (*Oriented) prediction() {}

// Len implements Objects.
func (o *Oriented) Len() int { return len(o.Boxes) }

// Box implements Objects.
func (o *Oriented) Box(i int) Box { return o.Boxes[i].Box }

// orientation is the extra of rotated boxes: one number after the classes, the angle in radians. Suppression compares them as
// Gaussians.
type orientation struct{}

func (orientation) tail() int { return 1 }

func (orientation) encodings() []string { return nil }

// finish selects like scratch.detected, with the overlap of rotated boxes.
func (orientation) finish(to *detection, _ []Tensor) (Prediction, error) {
	s, l, t := to.scratch, &to.limits, to.transform
	bounds := rect{x2: float64(t.InputW), y2: float64(t.InputH)}
	s.ranking.init()
	out := &Oriented{Boxes: make([]OrientedBox, 0, min(l.boxes, len(s.ranking), 16)), Frame: Frame{Width: t.Width, Height: t.Height}}
	kept := newGaussians(l)
	for n := 0; len(s.ranking) > 0 && len(out.Boxes) < l.boxes && (!l.suppress || n < l.candidates); n++ {
		r := s.ranking.pop()
		c := s.candidates[r.index]
		// YOLO26's sides may be negative, and are drawn all the same.
		c.rect = rect{min(c.x1, c.x2), min(c.y1, c.y2), max(c.x1, c.x2), max(c.y1, c.y2)}
		angle := float64(to.tail.at(int(c.row), 0))
		if angle-angle != 0 {
			return nil, notFinite(to.output)
		}
		if c.farOutside(bounds) {
			out.Discarded++
			continue
		}
		if c.area() == 0 || l.suppress && kept.suppressed(gaussianOf(c.rect, angle), int(c.class)) {
			continue
		}
		b := orient(c.rect, angle, t)
		if (rect{b.X1, b.Y1, b.X2, b.Y2}).area() == 0 {
			continue
		}
		b.Class, b.Label, b.Score = int(c.class), label(to.decoder.def.Labels, int(c.class)), float64(min(r.score, 1))
		out.Boxes = append(out.Boxes, b)
	}
	return out, nil
}

// orient maps a box that is rotated around its center to the image. Where the axes are scaled differently, the sides are those of the
// parallelogram that it becomes.
func orient(r rect, angle float64, t geometry.Transform) (b OrientedBox) {
	cx, cy, w, h := (r.x1+r.x2)/2, (r.y1+r.y2)/2, r.x2-r.x1, r.y2-r.y1
	sin, cos := math.Sincos(angle)
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for i, corner := range [4][2]float64{{-w / 2, -h / 2}, {w / 2, -h / 2}, {w / 2, h / 2}, {-w / 2, h / 2}} {
		x, y := cx+corner[0]*cos-corner[1]*sin, cy+corner[0]*sin+corner[1]*cos
		b.Corners[i] = [2]float64{(x - t.OffsetX) / t.ScaleX, (y - t.OffsetY) / t.ScaleY}
		for k, v := range b.Corners[i] {
			low[k], high[k] = min(low[k], v), max(high[k], v)
		}
	}
	b.X1, b.Y1 = clip(low[0], t.Width), clip(low[1], t.Height)
	b.X2, b.Y2 = clip(high[0], t.Width), clip(high[1], t.Height)
	c := &b.Corners
	b.CX, b.CY = (c[0][0]+c[2][0])/2, (c[0][1]+c[2][1])/2
	b.W, b.H = math.Hypot(c[1][0]-c[0][0], c[1][1]-c[0][1]), math.Hypot(c[2][0]-c[1][0], c[2][1]-c[1][1])
	if b.Angle = math.Mod(math.Atan2(c[1][1]-c[0][1], c[1][0]-c[0][0])+2*math.Pi, math.Pi); b.Angle == math.Pi {
		b.Angle = 0
	}
	return b
}

func clip(v float64, limit int) float64 { return max(0, min(v, float64(limit))) }

// gaussian is a rotated box as a normal distribution of the same center and covariance, [a c; c b].
type gaussian struct {
	x, y, a, b, c float64
	reach         float64 // the largest variance in any direction
}

// gaussianOf is _get_covariance_matrix in ultralytics/utils/metrics.py.
func gaussianOf(r rect, angle float64) gaussian {
	w, h := r.x2-r.x1, r.y2-r.y1
	a, b := w*w/12, h*h/12
	sin, cos := math.Sincos(angle)
	return gaussian{(r.x1 + r.x2) / 2, (r.y1 + r.y2) / 2, a*cos*cos + b*sin*sin, a*sin*sin + b*cos*cos, (a - b) * cos * sin, max(a, b)}
}

// probIoU is the likeness of two rotated boxes, 1 minus the Hellinger distance of their Gaussians (Llerena et al., "Gaussian Bounding
// Boxes and Probabilistic Intersection-over-Union for Object Detection", https://arxiv.org/abs/2106.06072), as batch_probiou in
// ultralytics/utils/metrics.py computes it.
func probIoU(p, q *gaussian) float64 {
	const eps = 1e-7
	a, b, c := p.a+q.a, p.b+q.b, p.c+q.c
	dx, dy := p.x-q.x, p.y-q.y
	det := a*b - c*c
	t1 := (a*dy*dy + b*dx*dx) / (det + eps) / 4
	t2 := -c * dx * dy / (det + eps) / 2
	product := max(p.a*p.b-p.c*p.c, 0) * max(q.a*q.b-q.c*q.c, 0)
	t3 := math.Log(det/(4*math.Sqrt(product)+eps)+eps) / 2
	distance := max(eps, min(t1+t2+t3, 100))
	return 1 - math.Sqrt(1-math.Exp(-distance)+eps)
}

// gaussians are the boxes that may suppress others, by class. A box is suppressed at the threshold, too, as in Ultralytics'
// TorchNMS.fast_nms.
type gaussians struct {
	limits *limits
	// Boxes whose centers are farther apart than the square root of far times their reaches together are below the threshold: of the
	// Bhattacharyya distance, the part of the centers alone is at least their squared distance ÷ (4 · reaches).
	far     float64
	byClass map[int][]gaussian
}

func newGaussians(l *limits) *gaussians {
	below := 1 - l.iou // of the Hellinger distance
	far := math.Inf(1)
	if l.iou > 0 {
		far = -4 * math.Log(1-below*below)
	}
	return &gaussians{limits: l, far: far * (1 + 1e-6), byClass: map[int][]gaussian{}}
}

func (g *gaussians) suppressed(box gaussian, class int) bool {
	if g.limits.agnostic {
		class = 0
	}
	overlaps := false
	list := g.byClass[class]
	for i := range list {
		other := &list[i]
		dx, dy := box.x-other.x, box.y-other.y
		if dx*dx+dy*dy > g.far*(box.reach+other.reach) {
			continue
		}
		if probIoU(&box, other) >= g.limits.iou {
			overlaps = true
			break
		}
	}
	if !overlaps || g.limits.fast {
		g.byClass[class] = append(list, box)
	}
	return overlaps
}
