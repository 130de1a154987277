package postprocess

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"math/rand/v2"
	"slices"
	"testing"
)

// maskFrom is the mask of the pixels that are not '.'.
func maskFrom(lines ...string) *Mask {
	w, h := len(lines[0]), len(lines)
	m := &Mask{Width: w, Height: h, Runs: []uint32{}}
	inside, run := false, uint32(0)
	for i := range w * h {
		if in := lines[i%h][i/h] != '.'; in != inside {
			m.Runs = append(m.Runs, run)
			inside, run = in, 0
		}
		run++
	}
	m.Runs = append(m.Runs, run)
	return m
}

// TestRLEIsThatOfCOCO: the counts are those that pycocotools 2.0.10 encodes, mask.encode(np.asfortranarray(m)).
func TestRLEIsThatOfCOCO(t *testing.T) {
	for what, c := range map[string]struct {
		mask *Mask
		want string
		area int
	}{
		"nothing":           {maskFrom("...", "..."), "6", 0},
		"all":               {maskFrom("###", "###"), "06", 6},
		"one pixel":         {maskFrom("...", ".#."), "312", 1},
		"the first column":  {maskFrom("#..", "#.."), "024", 2},
		"differences":       {maskFrom("#.#", ".#.", "#.#"), "0110000000", 5},
		"more than 15":      {maskFrom("#...................", "#..................."), "02V1", 2},
		"a negative number": {&Mask{Width: 1, Height: 46, Runs: []uint32{1, 20, 3, 2, 20}}, "1d03^Oa0", 22},
	} {
		if got := c.mask.RLE(); got != c.want || c.mask.Area() != c.area {
			t.Errorf("%s: %q of %d pixels, want %q of %d (runs %v)", what, got, c.mask.Area(), c.want, c.area, c.mask.Runs)
		}
	}
}

// unRLE decodes COCO's counts, as rleFrString in maskApi.c does.
func unRLE(t *testing.T, text string) (runs []uint32) {
	t.Helper()
	for i := 0; i < len(text); {
		v, shift, more := int64(0), 0, true
		for more {
			c := int64(text[i]) - '0'
			v |= c & 0x1f << shift
			more = c&0x20 != 0
			if i, shift = i+1, shift+5; !more && c&0x10 != 0 {
				v |= -1 << shift
			}
		}
		if n := len(runs); n > 2 {
			v += int64(runs[n-2])
		}
		runs = append(runs, uint32(v))
	}
	return runs
}

// blobs is a mask of discs and single pixels.
func blobs(rng *rand.Rand, w, h int) (*Mask, []byte) {
	bits := make([]byte, w*h)
	for range rng.IntN(5) {
		cx, cy, r := rng.IntN(w), rng.IntN(h), rng.IntN(1+max(w, h)/3)
		for i := range bits {
			if x, y := i%w-cx, i/w-cy; x*x+y*y <= r*r {
				bits[i] = 1
			}
		}
	}
	for range rng.IntN(4) {
		bits[rng.IntN(w*h)] ^= 1
	}
	lines := make([]string, h)
	for y := range h {
		line := make([]byte, w)
		for x := range w {
			line[x] = ".#"[bits[y*w+x]]
		}
		lines[y] = string(line)
	}
	return maskFrom(lines...), bits
}

func TestMasksKeepTheirPixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		m, bits := blobs(rng, 1+rng.IntN(60), 1+rng.IntN(60))
		whole := image.Rect(0, 0, m.Width, m.Height)
		if got := m.Bitmap(whole); !bytes.Equal(got, bits) {
			t.Fatalf("bitmap of %v", m.Runs)
		}
		if got := unRLE(t, m.RLE()); !slices.Equal(got, m.Runs) {
			t.Fatalf("counts of %v are those of %v", m.Runs, got)
		}
		bounds := m.Bounds()
		for i, bit := range bits {
			if at := image.Pt(i%m.Width, i/m.Width); bit == 1 && !at.In(bounds) {
				t.Fatalf("%v is not within %v", at, bounds)
			}
		}
		img, err := png.Decode(bytes.NewReader(m.PNG()))
		if err != nil {
			t.Fatal(err)
		}
		for i, bit := range bits {
			at := image.Pt(i%m.Width, i/m.Width)
			white := false
			if at.In(bounds) {
				r, _, _, _ := img.At(at.X-bounds.Min.X, at.Y-bounds.Min.Y).RGBA()
				white = r > 0
			}
			if white != (bit == 1) {
				t.Fatalf("pixel %v of the PNG", at)
			}
		}
	}
}

// fillPolygons returns the pixels whose centers lie within one of the polygons: by counting crossings to their left.
func fillPolygons(polygons [][]float64, w, h int) []byte {
	bits := make([]byte, w*h)
	for _, p := range polygons {
		n := len(p) / 2
		for i := range bits {
			x, y := float64(i%w)+0.5, float64(i/w)+0.5
			inside := false
			for k := range n {
				x1, y1, x2, y2 := p[2*k], p[2*k+1], p[2*((k+1)%n)], p[2*((k+1)%n)+1]
				if (y1 > y) != (y2 > y) && x > x1+(y-y1)/(y2-y1)*(x2-x1) {
					inside = !inside
				}
			}
			if inside {
				bits[i] = 1
			}
		}
	}
	return bits
}

func TestPolygonsCoverTheMask(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		w, h := 20+rng.IntN(60), 20+rng.IntN(60)
		bits := make([]byte, w*h)
		lines := make([][]byte, h)
		for y := range lines {
			lines[y] = bytes.Repeat([]byte("."), w)
		}
		for range 1 + rng.IntN(3) {
			cx, cy, rx, ry := rng.IntN(w), rng.IntN(h), 4+rng.IntN(20), 4+rng.IntN(20)
			for i := range bits {
				if x, y := float64(i%w-cx)/float64(rx), float64(i/w-cy)/float64(ry); x*x+y*y <= 1 {
					bits[i] = 1
					lines[i/w][i%w] = '#'
				}
			}
		}
		text := make([]string, h)
		for y := range lines {
			text[y] = string(lines[y])
		}
		m := maskFrom(text...)
		polygons := m.Polygons()
		got := fillPolygons(polygons, w, h)
		shared, either, corners := 0, 0, 0
		for i := range bits {
			shared += int(bits[i] & got[i])
			either += int(bits[i] | got[i])
		}
		for _, p := range polygons {
			corners += len(p) / 2
			if len(p) < 6 {
				t.Errorf("a polygon of %d numbers", len(p))
			}
		}
		if shared*100 < either*93 { // holes between ellipses are filled
			t.Errorf("IoU %d / %d of %d polygons", shared, either, len(polygons))
		}
		if corners > 150 {
			t.Errorf("%d corners for a few ellipses", corners)
		}
	}
}

func TestPolygonsOfSmallMasks(t *testing.T) {
	for what, c := range map[string]struct {
		mask *Mask
		want string
	}{
		"nothing":           {maskFrom("..", ".."), `{"polygon":[]}`},
		"a pixel":           {maskFrom("...", ".#.", "..."), `{"polygon":[[1,1,2,1,2,2,1,2]]}`},
		"touching corners":  {maskFrom("#.", ".#"), `{"polygon":[[0,0,1,0,1,1,2,1,2,2,1,2,1,1,0,1]]}`},
		"a hole":            {maskFrom("####", "#..#", "#..#", "####"), `{"polygon":[[0,0,4,0,4,4,0,4]]}`},
		"two parts":         {maskFrom("#...#", "#...#"), `{"polygon":[[0,0,1,0,1,2,0,2],[4,0,5,0,5,2,4,2]]}`},
		"an island in it":   {maskFrom("#####", "#...#", "#.#.#", "#...#", "#####"), `{"polygon":[[0,0,5,0,5,5,0,5],[2,2,3,2,3,3,2,3]]}`},
		"one column":        {maskFrom(".#", ".#", ".#"), `{"polygon":[[1,0,2,0,2,3,1,3]]}`},
		"a corner of three": {maskFrom("##.", "##.", "..."), `{"polygon":[[0,0,2,0,2,2,0,2]]}`},
	} {
		c.mask.Encoding = EncodingPolygon
		got, err := json.Marshal(c.mask)
		if err != nil || !samePolygons(string(got), c.want) {
			t.Errorf("%s: %s, want %s (%v)", what, got, c.want, err)
		}
	}
}

// samePolygons compares outlines wherever they begin.
func samePolygons(a, b string) bool {
	var p, q struct{ Polygon [][]float64 }
	if json.Unmarshal([]byte(a), &p) != nil || json.Unmarshal([]byte(b), &q) != nil || len(p.Polygon) != len(q.Polygon) {
		return false
	}
	for i, outline := range p.Polygon {
		same := false
		for k := 0; k < len(outline); k += 2 {
			same = same || slices.Equal(slices.Concat(outline[k:], outline[:k]), q.Polygon[i])
		}
		if !same {
			return false
		}
	}
	return true
}

func TestMasksAsJSON(t *testing.T) {
	m := maskFrom("....", "..#.", "....")
	for encoding, want := range map[string]string{
		"": `{"size":[3,4],"counts":"714"}`, EncodingRLE: `{"size":[3,4],"counts":"714"}`, EncodingPolygon: `{"polygon":[[2,1,3,1,3,2,2,2]]}`,
	} {
		m.Encoding = encoding
		if got, err := json.Marshal(m); err != nil || string(got) != want && !samePolygons(string(got), want) {
			t.Errorf("%s: %s, want %s (%v)", encoding, got, want, err)
		}
	}
	m.Encoding = EncodingPNG
	var got struct {
		X, Y int
		PNG  []byte
	}
	data, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil || got.X != 2 || got.Y != 1 || !bytes.HasPrefix(got.PNG, []byte("\x89PNG")) {
		t.Errorf("%s: %v", data, err)
	}
}
