package postprocess

import (
	"cmp"
	"context"
	"image"
	"slices"

	"fovea/internal/repository"
)

// Merging says how objects that several parts of an image show become one. The rules are those of sahi's postprocessing (combine.py and
// _numpy_backend.py in sahi/postprocess), with which a test compares them.
type Merging struct {
	Merge     string  // one of repository.Merges; other than nms only for tasks that repository.Extends names
	Metric    string  // one of repository.MergeMetrics: of upright boxes, or of rotated ones
	Threshold float64 // above 0 to 1: objects with at least this metric are the same
	Agnostic  bool    // also if their classes differ
	Limit     int     // of objects, best first; 0: maxPieces
}

// maxPieces is how many objects of all parts are merged, those with the highest scores. It bounds the work: each is compared with all.
const maxPieces = 10_000

// checkedEvery is after how many objects the context is looked at.
const checkedEvery = 64

// Merger merges the objects of parts of an image. It is for one image and not safe for concurrent use.
type Merger struct {
	rule          Merging
	width, height int
	tiles         int
	first         Objects // of a part: what all parts have in common
	encoding      string  // of masks
	pieces        []piece
	added         int // pieces, also those dropped since
	discarded     int
	runs          int
}

// NewMerger returns a Merger for an image of width×height pixels.
func NewMerger(rule Merging, width, height int) *Merger {
	if rule.Limit == 0 {
		rule.Limit = maxPieces
	}
	return &Merger{rule: rule, width: width, height: height}
}

// piece is an object of a part, in pixels of the image.
type piece struct {
	Box

	order    int
	bounds   rect         // of what is compared: the box, or the corners of a rotated one
	mask     []pixelRun   // of instance segmentation
	oriented *OrientedBox // of oriented detection
	points   []Keypoint   // of pose
	extras   []*piece     // that may extend it
}

// better sorts pieces as sahi does: by score, and those of the same score by their corners.
func better(a, b piece) int {
	return cmp.Or(-cmp.Compare(a.Score, b.Score), cmp.Compare(a.X1, b.X1), cmp.Compare(a.Y1, b.Y1), cmp.Compare(a.X2, b.X2),
		cmp.Compare(a.Y2, b.Y2), cmp.Compare(a.order, b.order))
}

// Add takes over the objects of a tile whose upper left pixel is at. All predictions are of the same decoder. The error is that of a model
// whose masks have too many runs.
func (m *Merger) Add(p Prediction, at image.Point) error {
	m.tiles++
	return m.add(p, at)
}

// AddWhole is Add for what all tiles show together.
func (m *Merger) AddWhole(p Prediction, at image.Point) error { return m.add(p, at) }

func (m *Merger) add(p Prediction, at image.Point) error {
	objects, ok := p.(Objects)
	if !ok {
		return unusable(errNoObjects)
	}
	if m.first == nil {
		m.first = objects
	}
	m.discarded += objects.Discards()
	for i := range objects.Len() {
		m.pieces = append(m.pieces, m.piece(objects, i, at))
		if m.runs += len(m.pieces[len(m.pieces)-1].mask); m.runs > maxRuns {
			return unusable(errRagged)
		}
	}
	if len(m.pieces) > 2*maxPieces {
		m.cut()
	}
	return nil
}

// cut sorts the pieces, best first, and drops those beyond the bound.
func (m *Merger) cut() {
	slices.SortFunc(m.pieces, better)
	if len(m.pieces) > maxPieces {
		clear(m.pieces[maxPieces:])
		m.pieces = m.pieces[:maxPieces]
	}
}

// Merge returns the objects of the image, best first. The error is ctx's.
func (m *Merger) Merge(ctx context.Context) (Prediction, error) {
	m.cut()
	groups := map[int][]int32{}
	for i := range m.pieces {
		class := m.pieces[i].Class
		if m.rule.Agnostic {
			class = 0
		}
		groups[class] = append(groups[class], int32(i))
	}
	var found []piece
	for _, group := range groups {
		merged, err := m.merge(ctx, newOverlaps(m.pieces, group))
		if err != nil {
			return nil, err
		}
		found = append(found, merged...)
	}
	slices.SortFunc(found, better)
	return m.prediction(found[:min(len(found), m.rule.Limit)]), nil
}

// merge merges the pieces of a group. Each piece, best first, that no better one owns becomes an object and owns those that match it; with
// NMM those that match these belong to it as well. An owned piece extends its object if it matches what that has become by then
// (_apply_merge in combine.py).
func (m *Merger) merge(ctx context.Context, o *overlaps) (found []piece, err error) {
	transitive := m.rule.Merge == repository.MergeNMM
	owner := make([]int32, len(o.group)) // 1 + the number of the object; 0: none
	for i := range o.group {
		if i%checkedEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p := &m.pieces[o.group[i]]
		switch {
		case owner[i] == 0 && len(found) < m.rule.Limit:
			found = append(found, *p)
			owner[i] = int32(len(found))
		case owner[i] == 0 || !transitive: // a piece that is owned, or beyond the limit
			continue
		}
		object := &found[owner[i]-1]
		for _, j := range o.of(i, transitive) {
			other := &m.pieces[o.group[j]]
			if owner[j] != 0 || !m.matches(p, other) || transitive && !dominates(p, other) {
				continue
			}
			owner[j] = owner[i]
			if m.rule.Merge != repository.MergeNMS {
				object.extras = append(object.extras, other)
			}
		}
	}
	for i := range found {
		m.extend(&found[i])
	}
	return found, nil
}

// dominates reports whether a piece may own another one with NMM: one with a lower score or the same box (nmm_from_matrix in
// _numpy_backend.py).
func dominates(p, other *piece) bool {
	return p.Score > other.Score || p.Box.X1 == other.X1 && p.Y1 == other.Y1 && p.X2 == other.X2 && p.Y2 == other.Y2
}

// matches reports whether two pieces are the same object.
func (m *Merger) matches(a, b *piece) bool {
	areaA, areaB := a.bounds.area(), b.bounds.area()
	shared := rect{max(a.bounds.x1, b.bounds.x1), max(a.bounds.y1, b.bounds.y1), min(a.bounds.x2, b.bounds.x2), min(a.bounds.y2, b.bounds.y2)}.area()
	if a.oriented != nil {
		areaA, areaB = a.oriented.area(), b.oriented.area()
		shared = sharedArea(&a.oriented.Corners, &b.oriented.Corners)
	}
	whole := min(areaA, areaB)
	if m.rule.Metric == repository.MetricIOU {
		whole = areaA + areaB - shared
	}
	return whole > 0 && shared/whole >= m.rule.Threshold
}

// extend makes an object the union with its extras.
func (m *Merger) extend(object *piece) {
	for _, other := range object.extras {
		if !m.matches(object, other) {
			continue
		}
		object.X1, object.Y1 = min(object.X1, other.X1), min(object.Y1, other.Y1)
		object.X2, object.Y2 = max(object.X2, other.X2), max(object.Y2, other.Y2)
		object.bounds = rect{object.X1, object.Y1, object.X2, object.Y2}
		object.mask = union(object.mask, other.mask)
	}
}
