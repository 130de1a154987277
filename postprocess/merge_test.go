package postprocess

import (
	"cmp"
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"fovea/internal/repository"
)

// TestMergesEqualSahi compares merged boxes with those of testdata/make_merges.py.
func TestMergesEqualSahi(t *testing.T) {
	cases := golden[[]struct {
		Merge, Metric string
		Agnostic      bool
		Threshold     float64
		Boxes, Merged [][6]float64
	}](t, "merges.json")
	for i, c := range cases {
		m := NewMerger(Merging{Merge: c.Merge, Metric: c.Metric, Threshold: c.Threshold, Agnostic: c.Agnostic}, 1000, 1000)
		for k := 0; k < len(c.Boxes) || k == 0; k += 7 { // parts at the same place
			part := &Detected{}
			for _, b := range c.Boxes[k:min(k+7, len(c.Boxes))] {
				part.Boxes = append(part.Boxes, Box{int(b[5]), "", b[4], b[0], b[1], b[2], b[3]})
			}
			if err := m.Add(part, image.Point{}); err != nil {
				t.Fatal(err)
			}
		}
		p, err := m.Merge(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got [][6]float64
		for _, b := range p.(*Detected).Boxes {
			got = append(got, [6]float64{b.X1, b.Y1, b.X2, b.Y2, b.Score, float64(b.Class)})
		}
		order := func(a, b [6]float64) int {
			return cmp.Or(-cmp.Compare(a[4], b[4]), slices.Compare(a[:], b[:]))
		}
		if !slices.IsSortedFunc(got, func(a, b [6]float64) int { return -cmp.Compare(a[4], b[4]) }) {
			t.Errorf("case %d: not best first", i)
		}
		slices.SortFunc(got, order)
		slices.SortFunc(c.Merged, order)
		if !slices.Equal(got, c.Merged) {
			t.Errorf("case %d, %s %s at %v, agnostic %v: %d of %d boxes:\n%v, want %d:\n%v", i, c.Merge, c.Metric, c.Threshold, c.Agnostic,
				len(got), len(c.Boxes), got, len(c.Merged), c.Merged)
		}
	}
}

// mergedOf merges predictions of parts.
func mergedOf(t *testing.T, rule Merging, width, height int, at []image.Point, parts ...Prediction) Prediction {
	t.Helper()
	m := NewMerger(rule, width, height)
	for i, p := range parts {
		if err := m.Add(p, at[i]); err != nil {
			t.Fatal(err)
		}
	}
	p, err := m.Merge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var greedy = Merging{Merge: repository.MergeGreedyNMM, Metric: repository.MetricIOS, Threshold: 0.5}

func TestObjectsAcrossASeamBecomeOne(t *testing.T) {
	half := func(x1, x2, score float64) *Detected {
		return &Detected{Boxes: []Box{{1, "cat", score, x1, 20, x2, 60}}, Discarded: 1}
	}
	p := mergedOf(t, greedy, 180, 100, []image.Point{{}, {X: 80}}, half(40, 110, 0.6), half(0, 50, 0.7))
	d, _ := p.(*Detected)
	want := Detected{Boxes: []Box{{1, "cat", 0.7, 40, 20, 130, 60}}, Width: 180, Height: 100, Tiles: 2, Discarded: 2}
	if len(d.Boxes) != 1 || d.Boxes[0] != want.Boxes[0] || d.Width != 180 || d.Height != 100 || d.Tiles != 2 || d.Discarded != 2 {
		t.Errorf("%+v, want %+v", d, want)
	}
	nms := greedy
	nms.Merge = repository.MergeNMS
	d, _ = mergedOf(t, nms, 180, 100, []image.Point{{}, {X: 80}}, half(40, 110, 0.6), half(0, 50, 0.7)).(*Detected)
	if len(d.Boxes) != 1 || d.Boxes[0] != (Box{1, "cat", 0.7, 80, 20, 130, 60}) {
		t.Errorf("with nms: %+v", d.Boxes)
	}
}

// maskOf is the mask of pixels of an image.
func maskOf(width, height int, in func(x, y int) bool) *Mask {
	m := &Mask{Width: width, Height: height, Runs: []uint32{0}}
	last := false
	for i := range width * height {
		if now := in(i/height, i%height); now != last {
			m.Runs, last = append(m.Runs, 0), now
		}
		m.Runs[len(m.Runs)-1]++
	}
	return m
}

// TestMasksAcrossSeams cuts random masks into overlapping tiles: merged, they are what they were.
func TestMasksAcrossSeams(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		width, height := 20+random.IntN(30), 20+random.IntN(30)
		bits := make([]bool, width*height)
		for i := range bits {
			bits[i] = random.IntN(3) > 0
		}
		whole := maskOf(width, height, func(x, y int) bool { return bits[y*width+x] })
		rects := []image.Rectangle{image.Rect(0, 0, 16, 20), image.Rect(width-16, 0, width, 20), image.Rect(0, height-20, 16, height), image.Rect(width-16, height-20, width, height),
			image.Rect(0, 0, width, height)}
		covered := func(x, y int) bool {
			p := image.Pt(x, y)
			return slices.ContainsFunc(rects[:4], func(r image.Rectangle) bool { return p.In(r) })
		}
		var parts []Prediction
		var at []image.Point
		for i, r := range rects {
			mask := maskOf(r.Dx(), r.Dy(), func(x, y int) bool {
				return bits[(y+r.Min.Y)*width+x+r.Min.X] && (i < 4 || !covered(x, y))
			})
			mask.Encoding = EncodingPolygon
			box := Box{0, "", float64(i+1) / 8, 0, 0, float64(r.Dx()), float64(r.Dy())}
			parts, at = append(parts, &Segmented{Boxes: []Instance{{box, mask}}}), append(at, r.Min)
		}
		rule := greedy
		rule.Merge, rule.Threshold = repository.MergeNMM, 1e-6
		s, _ := mergedOf(t, rule, width, height, at, parts...).(*Segmented)
		if len(s.Boxes) != 1 || s.Boxes[0].X2 != float64(width) || s.Boxes[0].Y2 != float64(height) || s.Boxes[0].Mask.Encoding != EncodingPolygon {
			t.Fatalf("%d objects %+v", len(s.Boxes), s.Boxes)
		}
		m := s.Boxes[0].Mask
		if m.Width != width || m.Height != height || !slices.Equal(m.Bitmap(image.Rect(0, 0, width, height)), whole.Bitmap(image.Rect(0, 0, width, height))) || m.RLE() != whole.RLE() {
			t.Fatalf("the runs are %v, want %v", m.Runs, whole.Runs)
		}
	}
}

// rotatedBox is a box around a center, with what the decoder makes of it in an image without bounds.
func rotatedBox(cx, cy, w, h, angle, score float64) (b OrientedBox) {
	sin, cos := math.Sincos(angle)
	for i, c := range [4][2]float64{{-w / 2, -h / 2}, {w / 2, -h / 2}, {w / 2, h / 2}, {-w / 2, h / 2}} {
		b.Corners[i] = [2]float64{cx + c[0]*cos - c[1]*sin, cy + c[0]*sin + c[1]*cos}
	}
	b.CX, b.CY, b.W, b.H, b.Angle, b.Score = cx, cy, w, h, angle, score
	return b
}

func TestRotatedBoxesAreComparedAsSuch(t *testing.T) {
	quarter := math.Pi / 4
	for what, c := range map[string]struct {
		a, b   OrientedBox
		metric string
		at     float64
		one    bool
	}{
		"parallel, whose upright boxes overlap": {rotatedBox(50, 50, 100, 10, quarter, 0.9), rotatedBox(65, 35, 100, 10, quarter, 0.8), repository.MetricIOS, 0.05, false},
		"the same":                              {rotatedBox(50, 50, 100, 10, quarter, 0.9), rotatedBox(51, 51, 100, 10, quarter, 0.8), repository.MetricIOU, 0.9, true},
		"turned by half":                        {rotatedBox(50, 50, 100, 10, 0.3, 0.9), rotatedBox(50, 50, 100, 10, 0.3+math.Pi, 0.8), repository.MetricIOU, 0.999, true},
		"a part":                                {rotatedBox(50, 50, 100, 10, quarter, 0.9), rotatedBox(60, 60, 40, 10, quarter, 0.8), repository.MetricIOS, 0.999, true},
		"a part of the whole":                   {rotatedBox(50, 50, 100, 10, quarter, 0.9), rotatedBox(60, 60, 40, 10, quarter, 0.8), repository.MetricIOU, 0.41, false},
	} {
		rule := Merging{Merge: repository.MergeNMS, Metric: c.metric, Threshold: c.at}
		// the second one is of a tile that is 30 pixels to the right and 20 below
		shifted := rotatedBox(c.b.CX-30, c.b.CY-20, c.b.W, c.b.H, c.b.Angle, c.b.Score)
		o, _ := mergedOf(t, rule, 200, 60, []image.Point{{}, {X: 30, Y: 20}}, &Oriented{Boxes: []OrientedBox{c.a}}, &Oriented{Boxes: []OrientedBox{shifted}}).(*Oriented)
		if (len(o.Boxes) == 1) != c.one {
			t.Errorf("%s: %d boxes", what, len(o.Boxes))
		}
		last := o.Boxes[len(o.Boxes)-1]
		want := c.b
		if c.one {
			want = c.a
		}
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
		if !near(last.CX, want.CX) || !near(last.Corners[2][1], want.Corners[2][1]) || last.Y2 != min(60, max(last.Corners[0][1], last.Corners[1][1], last.Corners[2][1], last.Corners[3][1])) {
			t.Errorf("%s: %+v, want %+v", what, last, want)
		}
	}
}

// TestSharedAreaOfRotatedBoxes compares areas with those of points counted on a grid.
func TestSharedAreaOfRotatedBoxes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for range 60 {
		some := func() OrientedBox {
			b := rotatedBox(20+20*random.Float64(), 20+20*random.Float64(), 5+30*random.Float64(), 5+30*random.Float64(), 2*math.Pi*random.Float64(), 1)
			if random.IntN(2) == 0 { // mirrored
				b.Corners[1], b.Corners[3] = b.Corners[3], b.Corners[1]
			}
			return b
		}
		a, b := some(), some()
		in := func(o *OrientedBox, x, y float64) bool {
			sin, cos := math.Sincos(o.Angle)
			dx, dy := x-o.CX, y-o.CY
			return math.Abs(dx*cos+dy*sin) <= o.W/2 && math.Abs(dy*cos-dx*sin) <= o.H/2
		}
		const per = 8
		n := 0
		for i := range 80 * per * 80 * per {
			x, y := (float64(i%(80*per))+0.5)/per-10, (float64(i/(80*per))+0.5)/per-10
			if in(&a, x, y) && in(&b, x, y) {
				n++
			}
		}
		want := float64(n) / (per * per)
		if got := sharedArea(&a.Corners, &b.Corners); math.Abs(got-want) > 3 || math.Abs(got-sharedArea(&b.Corners, &a.Corners)) > 1e-9 {
			t.Errorf("%+v and %+v share %v, want %v", a, b, got, want)
		}
		if math.Abs(a.area()-a.W*a.H) > 1e-9 || math.Abs(sharedArea(&a.Corners, &a.Corners)-a.W*a.H) > 1e-9 {
			t.Errorf("the area of %+v is %v", a, a.area())
		}
	}
}

func TestPointsMoveWithTheirTile(t *testing.T) {
	seen := 0.5
	pose := func(x, score float64) *Posed {
		return &Posed{Boxes: []PosedBox{{Box{0, "", score, x, 1, x + 10, 21}, []Keypoint{{Name: "nose", X: x + 5, Y: 3, Visibility: &seen}}}}, Skeleton: [][]int{{0, 0}}}
	}
	rule := greedy
	rule.Merge = repository.MergeNMS
	p, _ := mergedOf(t, rule, 100, 50, []image.Point{{X: 20, Y: 10}, {X: 15, Y: 10}}, pose(0, 0.6), pose(6, 0.9)).(*Posed)
	if len(p.Boxes) != 1 || p.Boxes[0].Box != (Box{0, "", 0.9, 21, 11, 31, 31}) || p.Boxes[0].Keypoints[0].X != 26 || p.Boxes[0].Keypoints[0].Y != 13 ||
		len(p.Skeleton) != 1 || p.Tiles != 2 {
		t.Errorf("%+v", p)
	}
}

func TestMergesAreBounded(t *testing.T) {
	m := NewMerger(greedy, 1<<20, 100)
	random := rand.New(rand.NewPCG(9, 9))
	for i := range 40 {
		part := &Detected{}
		for range 1000 {
			x := float64(random.IntN(1 << 18))
			part.Boxes = append(part.Boxes, Box{0, "", random.Float64(), 4 * x, 0, 4*x + 2, 2})
		}
		if err := m.Add(part, image.Point{}); err != nil || len(m.pieces) > 2*maxPieces {
			t.Fatalf("%d pieces after %d parts, %v", len(m.pieces), i, err)
		}
	}
	p, err := m.Merge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, _ := p.(*Detected)
	if n := len(d.Boxes); n > maxPieces || n < maxPieces*9/10 || d.Boxes[n-1].Score < 0.7 {
		t.Errorf("%d boxes, the last with the score %v", n, d.Boxes[n-1].Score)
	}
	limited := greedy
	limited.Limit = 3
	five := &Detected{Boxes: []Box{{0, "", 0.1, 0, 0, 1, 1}, {0, "", 0.5, 2, 0, 3, 1}, {1, "", 0.4, 4, 0, 5, 1}, {0, "", 0.3, 6, 0, 7, 1}, {0, "", 0.2, 8, 0, 9, 1}}}
	d, _ = mergedOf(t, limited, 10, 10, []image.Point{{}}, five).(*Detected)
	if len(d.Boxes) != 3 || d.Boxes[0].Score != 0.5 || d.Boxes[2].Score != 0.3 {
		t.Errorf("%+v", d.Boxes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Merge(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := m.Add(&Classified{}, image.Point{}); err == nil {
		t.Error("classes were merged")
	}
}
