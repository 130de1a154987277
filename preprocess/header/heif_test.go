package header

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/apierror"
)

// heifSample returns an image of testdata/heif; the test is skipped if its format is not built in.
func heifSample(t testing.TB, name string) []byte {
	t.Helper()
	if f := Format(strings.ToUpper(name[len(name)-4:])); !isBuiltIn(f) {
		t.Skipf("%s is not built in", f)
	}
	data, err := os.ReadFile(filepath.Join("..", "testdata", "heif", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// replaced is data with bytes in place of others of the same number, which must be there.
func replaced(t testing.TB, data []byte, from, to string) []byte {
	t.Helper()
	if !bytes.Contains(data, []byte(from)) || len(from) != len(to) {
		t.Fatalf("%q cannot be replaced by %q", from, to)
	}
	return bytes.Replace(data, []byte(from), []byte(to), 1)
}

func TestReadHEIF(t *testing.T) {
	for name, want := range map[string]Info{
		"avif_420.avif":         {Format: AVIF, Width: 45, Height: 34, BitDepth: 8, Channels: 3, Orientation: 1},
		"avif_400.avif":         {Format: AVIF, Width: 45, Height: 34, BitDepth: 8, Channels: 1, Orientation: 1},
		"avif_alpha.avif":       {Format: AVIF, Width: 45, Height: 34, BitDepth: 8, Channels: 4, Orientation: 1},
		"avif_10_420.avif":      {Format: AVIF, Width: 45, Height: 34, BitDepth: 10, Channels: 3, Orientation: 1},
		"avif_12_444.avif":      {Format: AVIF, Width: 45, Height: 34, BitDepth: 12, Channels: 3, Orientation: 1},
		"avif_turned_6.avif":    {Format: AVIF, Width: 45, Height: 34, BitDepth: 8, Channels: 3, Orientation: 6},
		"avif_exif.avif":        {Format: AVIF, Width: 45, Height: 34, BitDepth: 8, Channels: 3, Orientation: 1},
		"avif_grid.avif":        {Format: AVIF, Width: 150, Height: 100, BitDepth: 8, Channels: 3, Orientation: 1},
		"avif_cropped.avif":     {Format: AVIF, Width: 30, Height: 20, BitDepth: 8, Channels: 3, Orientation: 8},
		"heic_420.heic":         {Format: HEIC, Width: 45, Height: 34, BitDepth: 8, Channels: 3, Orientation: 1},
		"heic_gray.heic":        {Format: HEIC, Width: 45, Height: 34, BitDepth: 8, Channels: 1, Orientation: 1},
		"heic_alpha.heic":       {Format: HEIC, Width: 45, Height: 34, BitDepth: 8, Channels: 4, Orientation: 1},
		"heic_mif1.heic":        {Format: HEIC, Width: 45, Height: 34, BitDepth: 8, Channels: 3, Orientation: 1},
		"heic_grid_turned.heic": {Format: HEIC, Width: 150, Height: 100, BitDepth: 8, Channels: 3, Orientation: 8},
		"heic_second.heic":      {Format: HEIC, Width: 74, Height: 66, BitDepth: 8, Channels: 3, Orientation: 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(heifSample(t, name), Limits{})
			got.padded, got.frames = 0, 0
			if err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// TestOrientationsOfHEIF composes quarter turns and mirroring, and compares with what they do to a pixel.
func TestOrientationsOfHEIF(t *testing.T) {
	const w, h = 4, 3
	type step = func(p, size image.Point) (image.Point, image.Point)
	left := func(p, s image.Point) (image.Point, image.Point) { return image.Pt(p.Y, s.X-1-p.X), image.Pt(s.Y, s.X) }
	steps := map[string]step{
		"irot\x00": func(p, s image.Point) (image.Point, image.Point) { return p, s },
		"irot\x01": left,
		"imir\x00": func(p, s image.Point) (image.Point, image.Point) { return image.Pt(p.X, s.Y-1-p.Y), s },
		"imir\x01": func(p, s image.Point) (image.Point, image.Point) { return image.Pt(s.X-1-p.X, p.Y), s },
	}
	// Where the stored pixel (x, y) is in the upright image (EXIF 2.32, tag 0x0112).
	exif := [9]func(x, y int) image.Point{
		1: image.Pt, 2: func(x, y int) image.Point { return image.Pt(w-1-x, y) }, 3: func(x, y int) image.Point { return image.Pt(w-1-x, h-1-y) },
		4: func(x, y int) image.Point { return image.Pt(x, h-1-y) }, 5: func(x, y int) image.Point { return image.Pt(y, x) },
		6: func(x, y int) image.Point { return image.Pt(h-1-y, x) }, 7: func(x, y int) image.Point { return image.Pt(h-1-y, w-1-x) },
		8: func(x, y int) image.Point { return image.Pt(y, w-1-x) },
	}
	seen := map[int]bool{}
	for first := range steps {
		for second := range steps {
			for third := range steps {
				item, file := &heifItem{}, HEIFFile{}
				p, size := image.Pt(1, 2), image.Pt(w, h)
				for _, name := range []string{first, second, third} {
					item.properties = append(item.properties, heifProperty{isoBox: isoBox{kind: name[:4], body: []byte(name[4:])}})
					p, size = steps[name](p, size)
				}
				if err := file.transform(item, image.Pt(w, h)); err != nil {
					t.Fatal(err)
				}
				seen[file.orientation] = true
				if got := exif[file.orientation](1, 2); got != p {
					t.Errorf("%q, %q, %q: orientation %d moves a pixel to %v, want %v", first, second, third, file.orientation, got, p)
				}
			}
		}
	}
	if len(seen) != 8 {
		t.Errorf("only the orientations %v", seen)
	}
}

func TestCleanAperture(t *testing.T) {
	be := func(values ...int32) []byte {
		var out []byte
		for _, v := range values {
			out = append(out, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
		}
		return out
	}
	for what, c := range map[string]struct {
		body []byte
		want image.Rectangle // empty: refused
	}{
		"centered":                {be(10, 1, 10, 1, 0, 1, 0, 1), image.Rect(20, 10, 30, 20)},
		"at the corner":           {be(49, 1, 29, 1, -1, 2, -1, 2), image.Rect(0, 0, 49, 29)},
		"a fraction of a pixel":   {be(49, 1, 30, 1, 0, 1, 0, 1), image.Rectangle{}},
		"outside":                 {be(10, 1, 10, 1, 100, 1, 0, 1), image.Rectangle{}},
		"before the image":        {be(10, 1, 10, 1, -21, 1, 0, 1), image.Rectangle{}},
		"empty":                   {be(0, 1, 10, 1, 0, 1, 0, 1), image.Rectangle{}},
		"divided by nothing":      {be(10, 0, 10, 1, 0, 1, 0, 1), image.Rectangle{}},
		"truncated":               {be(10, 1, 10, 1, 0, 1, 0), image.Rectangle{}},
		"of thirds that are nine": {be(27, 3, 9, 1, 1, 2, 1, 2), image.Rect(21, 11, 30, 20)},
	} {
		file := HEIFFile{Format: AVIF}
		err := file.transform(&heifItem{properties: []heifProperty{{isoBox: isoBox{kind: "clap", body: c.body}}}}, image.Pt(50, 30))
		if c.want.Empty() != (err != nil) || err == nil && file.Crop != c.want {
			t.Errorf("%s: %v, %v; want %v", what, file.Crop, err, c.want)
		}
	}
}

func TestReadHEIFErrors(t *testing.T) {
	avif, heic := "avif_420.avif", "heic_420.heic"
	for what, c := range map[string]struct {
		name    string
		change  func(t *testing.T, data []byte) []byte
		code    apierror.Code
		message string
	}{
		"AVIF without items":       {avif, swap("iinf", "iinX"), apierror.Undecodable, "its iinf box is missing"},
		"AVIF without places":      {avif, swap("iloc", "ilXX"), apierror.Undecodable, "its iloc box is missing"},
		"AVIF of another codec":    {avif, swap("av01", "vvc1"), apierror.UnsupportedFormat, `primary image is of type "vvc1" is not supported; save it as JPEG`},
		"AVIF of no primary image": {avif, swap("pitm\x00\x00\x00\x00\x00\x01", "pitm\x00\x00\x00\x00\x00\x09"), apierror.Undecodable, "primary image is not described"},
		"AVIF without a size":      {avif, swap("ispe", "ispX"), apierror.Undecodable, "size of an image is missing"},
		"AVIF without its codec":   {avif, swap("av1C\x81", "av1C\x00"), apierror.Undecodable, "configuration of its codec"},
		"AVIF of 900 megapixels":   {avif, swap("ispe\x00\x00\x00\x00\x00\x00\x00\x2D\x00\x00\x00\x22", "ispe\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x75\x30"), apierror.ImageTooLarge, "900 megapixels"},
		"AVIF of no width":         {avif, swap("ispe\x00\x00\x00\x00\x00\x00\x00\x2D", "ispe\x00\x00\x00\x00\x00\x00\x00\x00"), apierror.Undecodable, "size of an image is missing"},
		"a grid that does not fit": {"avif_grid.avif", swap("idat\x00\x00\x01\x02", "idat\x00\x00\x02\x01"), apierror.Undecodable, "does not fit"},
		"a grid of too few tiles":  {"avif_grid.avif", swap("idat\x00\x00\x01\x02", "idat\x00\x00\x01\x03"), apierror.Undecodable, "grid of 4×2 tiles is not valid"},
		"a grid of another size":   {"avif_grid.avif", swap("\x00\x00\x01\x02\x00\x96", "\x00\x00\x01\x02\x00\x97"), apierror.Undecodable, "grid of 3×2 tiles is not valid"},
		"HEIC of another size":     {"heic_second.heic", swap("ispe\x00\x00\x00\x00\x00\x00\x00\x4A", "ispe\x00\x00\x00\x00\x00\x00\x01\x4A"), apierror.Undecodable, "its frames have"},
		"HEIC that is encrypted": {heic, func(t *testing.T, data []byte) []byte {
			at := bytes.Index(data, []byte("hvc1\x00"))
			return changed(data, at-1, 1)
		}, apierror.UnsupportedFormat, "encrypted"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := Read(c.change(t, heifSample(t, c.name)), Limits{})
			var f *apierror.Error
			if !errors.As(err, &f) || f.Code != c.code || !strings.Contains(f.Message, c.message) {
				t.Errorf("%v; want %s: …%s…", err, c.code, c.message)
			}
		})
	}
}

// swap returns a change that replaces bytes.
func swap(from, to string) func(*testing.T, []byte) []byte {
	return func(t *testing.T, data []byte) []byte { return replaced(t, data, from, to) }
}

// TestFramesAreCounted repeats the data of images, so that a decoder would have more to do than the size says.
func TestFramesAreCounted(t *testing.T) {
	for _, c := range []struct {
		name   string
		times  int
		allows bool
	}{{"avif_420.avif", 1, true}, {"avif_420.avif", 4, true}, {"avif_420.avif", 5, false}, {"heic_420.heic", 1, true}, {"heic_420.heic", 2, false}} {
		t.Run(fmt.Sprintf("%s, %d times", c.name, c.times), func(t *testing.T) {
			file, err := ParseHEIF(heifSample(t, c.name))
			if err != nil {
				t.Fatal(err)
			}
			tile := bytes.Join(file.Color.Tiles[0], nil)
			file.Color.Tiles[0] = [][]byte{bytes.Repeat(tile, c.times)}
			if err := file.Color.countFrames(file.Format); (err == nil) != c.allows {
				t.Errorf("%v", err)
			}
			if c.allows && file.Color.Frames != c.times {
				t.Errorf("%d frames", file.Color.Frames)
			}
			file.Color.Tiles[0] = [][]byte{tile[:len(tile)-1]}
			if err := file.Color.countFrames(file.Format); err == nil || !strings.Contains(err.Error(), "truncated") {
				t.Errorf("without its last byte: %v", err)
			}
		})
	}
}

// TestLayersCount wants an image of several layers to have as many pixels in all as one of one.
func TestLayersCount(t *testing.T) {
	info := Info{Format: AVIF, Width: 2000, Height: 1000, BitDepth: 8, Channels: 3, frames: 2}
	if err := (Limits{MaxPixels: 4_000_000}).checkLayers(info); err != nil {
		t.Error(err)
	}
	if err := (Limits{MaxPixels: 3_900_000}).checkLayers(info); err == nil || !strings.Contains(err.Error(), "2 layers") {
		t.Error(err)
	}
}

// TestTilesMayNotOverlap lets all tiles of a grid have the data of the first.
func TestTilesMayNotOverlap(t *testing.T) {
	for _, name := range []string{"avif_grid.avif", "heic_grid.heic"} {
		t.Run(name, func(t *testing.T) {
			data := heifSample(t, name)
			meta, err := parseMeta(sniff(data), data)
			if err != nil {
				t.Fatal(err)
			}
			grid := meta.items[meta.primary]
			size, _ := sizeOf(AVIF, grid)
			all := &heifItem{extents: []heifExtent{{0, uint64(len(data))}}}
			for _, id := range meta.referred("dimg", grid) {
				meta.items[id].extents = all.extents
			}
			if _, err := meta.image(sniff(data), grid, size); err == nil || !strings.Contains(err.Error(), "overlap") {
				t.Error(err)
			}
			twice := &heifItem{extents: []heifExtent{{0, 10}, {0, uint64(len(data)) - 9}}}
			if _, err := meta.parts(AVIF, twice); err == nil || !strings.Contains(err.Error(), "overlap") {
				t.Error(err)
			}
		})
	}
}

// TestTruncatedHEIF truncates images anywhere: they are not decoded.
func TestTruncatedHEIF(t *testing.T) {
	for _, name := range []string{"avif_420.avif", "avif_alpha.avif", "heic_420.heic", "avif_grid.avif"} {
		t.Run(name, func(t *testing.T) {
			data := heifSample(t, name)
			for n := len(data) - 1; n > 12; n -= 1 + n/50 {
				_, err := Read(data[:n], Limits{})
				if f := apierror.From(err); err == nil || f.Code != apierror.Undecodable && f.Code != apierror.UnsupportedFormat {
					t.Errorf("%d of %d bytes: %v", n, len(data), err)
				}
			}
		})
	}
}

func TestEssentialProperties(t *testing.T) {
	for what, c := range map[string]struct {
		kind, body string
		essential  bool
		allowed    bool
	}{
		"a size":                         {"ispe", "", true, true},
		"the highest layer":              {"lsel", "\xff\xff", true, true},
		"another layer":                  {"lsel", "\x00\x01", true, false},
		"another layer, not essential":   {"lsel", "\x00\x01", false, true},
		"the first operating point":      {"a1op", "\x00", true, true},
		"another operating point":        {"a1op", "\x01", true, false},
		"an unknown one":                 {"abcd", "", true, false},
		"an unknown one, not essential":  {"abcd", "", false, true},
		"an operating point of no bytes": {"a1op", "", true, false},
	} {
		item := &heifItem{properties: []heifProperty{{isoBox{kind: c.kind, body: []byte(c.body)}, c.essential}}}
		if err := checkEssential(AVIF, item); (err == nil) != c.allowed {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestConfigurationsOfHEVC changes the parameter sets of an image.
func TestConfigurationsOfHEVC(t *testing.T) {
	file, err := ParseHEIF(heifSample(t, "heic_second.heic"))
	if err != nil {
		t.Fatal(err)
	}
	config := file.Color.Config
	sps := bytes.Index(config, []byte{hevcSPS << 1, 1})
	for what, c := range map[string]struct {
		config  []byte
		message string
	}{
		"whole":              {config, ""},
		"truncated":          {config[:len(config)-1], "configuration of its codec"},
		"no arrays":          {changed(config[:23], 22, 0), "configuration of its codec"},
		"too many sets":      {append(changed(config[:23], 22, 1), append([]byte{0xA0, 0, 17}, bytes.Repeat([]byte{0, 2, 0x40, 1}, 17)...)...), "configuration of its codec"},
		"a set of one byte":  {append(changed(config[:23], 22, 1), 0xA0, 0, 1, 0, 1, 0x40), "configuration of its codec"},
		"no size":            {changed(config, sps, 32<<1), "configuration of its codec"},
		"a set full of ones": {append(append(bytes.Clone(config[:sps+2]), bytes.Repeat([]byte{0xFF}, len(config)-sps-2)...), 0), "parameter set is not valid"},
	} {
		img := file.Color
		img.Config = c.config
		err := img.configure(HEIC)
		if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v, want %q", what, err, c.message)
		}
	}
}
