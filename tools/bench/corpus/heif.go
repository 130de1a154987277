package corpus

import (
	"bytes"
	"embed"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"fovea/preprocess/header"
)

//go:embed testdata
var photographs embed.FS

// isoBox is a box of an ISO media file.
func isoBox(kind string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), kind...), body...)
}

// fullBox is one with a version and no flags.
func fullBox(kind string, version byte, parts ...[]byte) []byte {
	return isoBox(kind, slices.Insert(parts, 0, []byte{version, 0, 0, 0})...)
}

func be16(values ...int) []byte {
	var out []byte
	for _, v := range values {
		out = binary.BigEndian.AppendUint16(out, uint16(v))
	}
	return out
}

func be32(values ...int) []byte {
	var out []byte
	for _, v := range values {
		out = binary.BigEndian.AppendUint32(out, uint32(v))
	}
	return out
}

// heifTile is what a grid is made of.
type heifTile struct {
	brand, kind, configKind string
	config, data            []byte
	width, height           int
	overlap                 bool // all tiles have the same data
	size                    int  // of the side that the file claims; 0: of the tile
}

// heifPhotograph returns a tile of testdata.
func heifPhotograph(name string) heifTile {
	data, err := photographs.ReadFile("testdata/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	file, err := header.ParseHEIF(data)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	t := heifTile{"avif", "av01", "av1C", file.Color.Config, bytes.Join(file.Color.Tiles[0], nil), file.Width, file.Height, false, 0}
	if file.Format == header.HEIC {
		t.brand, t.kind, t.configKind = "heic", "hvc1", "hvcC"
	}
	return t
}

// tileOf is a tile of an AV1 frame.
func tileOf(f av1Frame) heifTile {
	return heifTile{"avif", "av01", "av1C", f.config(), f.bytes(), f.width, f.height, false, 0}
}

// with is a tile with other data.
func (t heifTile) with(data []byte) heifTile {
	t.data = data
	return t
}

// grid is a file with as many of the tile as the size allows, at least one.
func (t heifTile) grid(s Size) []byte {
	columns, rows := t.shape(s)
	n := columns * rows
	var infos, refs, uses, places []byte
	infos = fullBox("infe", 2, be16(1, 0), []byte("grid\x00"))
	head := append([]byte{0, 1, byte(rows - 1), byte(columns - 1)}, be32(columns*t.width, rows*t.height)...)
	uses = append(be16(1), 1, 1)
	places = append(be16(1, 1, 0, 1), be32(0, len(head))...)
	refs = be16(1, n)
	idat := isoBox("idat", head)
	side := image2{t.width, t.height}
	if t.size > 0 {
		side = image2{t.size, t.size}
	}
	properties := isoBox("ipco", fullBox("ispe", 0, be32(columns*side.w, rows*side.h)), fullBox("ispe", 0, be32(side.w, side.h)), isoBox(t.configKind, t.config))
	if t.size > 0 {
		copy(head[4:], be32(columns*side.w, rows*side.h))
		idat = isoBox("idat", head)
	}
	for i := range n {
		infos = append(infos, fullBox("infe", 2, be16(2+i, 0), []byte(t.kind+"\x00"))...)
		refs = append(refs, be16(2+i)...)
		uses = append(append(uses, be16(2+i)...), 2, 2, 0x83)
	}
	meta := func(start int) []byte {
		all := slices.Clone(places)
		for i := range n {
			at := start
			if !t.overlap {
				at += i * len(t.data)
			}
			all = append(append(all, be16(2+i, 0, 0, 1)...), be32(at, len(t.data))...)
		}
		return fullBox("meta", 0, fullBox("hdlr", 0, be32(0), []byte("pict"), make([]byte, 13)), fullBox("pitm", 0, be16(1)),
			fullBox("iinf", 0, be16(n+1), infos), fullBox("iref", 0, isoBox("dimg", be16(1), refs[2:])),
			isoBox("iprp", properties, fullBox("ipma", 0, be32(n+1), uses)), fullBox("iloc", 1, be16(0x4400, n+1), all), idat)
	}
	start := 24 + len(meta(0)) + 8
	data := t.data
	if !t.overlap {
		data = bytes.Repeat(t.data, n)
	}
	return bytes.Join([][]byte{isoBox("ftyp", []byte(t.brand), be32(0), []byte(t.brand), []byte("mif1")), meta(start), isoBox("mdat", data)}, nil)
}

// image2 is a size.
type image2 struct{ w, h int }

// shape is how many columns and rows of the tile the size allows, by pixels and bytes.
func (t heifTile) shape(s Size) (columns, rows int) {
	const ofTile = 60 // bytes that describe one
	n := max(1, s.Pixels/(t.width*t.height))
	if !t.overlap {
		n = max(1, min(n, (s.Bytes-1024)/(len(t.data)+ofTile)))
	}
	n = min(n, 4096)
	for columns = 1; columns*columns*3 < n*4 && columns < 256; columns++ {
	}
	columns = min(columns, n)
	return columns, max(1, min(n/columns, 256))
}

// frameSide is the side of the frames of a size, which then has four or more.
func (s Size) frameSide() int {
	side := 2048
	for side > 64 && 4*side*side > s.Pixels {
		side /= 2
	}
	return side
}

// crafted is a grid of frames whose data shares the bytes of the file.
func crafted(s Size, f av1Frame, random bool) []byte {
	f.width, f.height = s.frameSide(), s.frameSide()
	n := max(1, s.Pixels/(f.width*f.height))
	f.data = make([]byte, max(64, (s.Bytes-4096)/n-200))
	if random {
		f.data = noise(len(f.data))
	}
	return tileOf(f).grid(s)
}

func avifs() []Image {
	if !strings.Contains(header.Allowed, string(header.AVIF)) {
		return nil
	}
	few := func(f av1Frame, n int, random bool) func(Size) []byte {
		return func(s Size) []byte {
			f := f
			f.width, f.height = s.frameSide(), s.frameSide()
			f.data = make([]byte, n)
			if random {
				f.data = noise(n)
			}
			return tileOf(f).grid(s)
		}
	}
	full := av1Frame{full: true, tools: true, quantizer: 1}
	return []Image{
		{Name: "a photograph, 4:2:0", Honest: true, Make: heifPhotograph("420.avif").grid},
		{Name: "a photograph, 4:4:4 of 10 bits", Honest: true, Make: heifPhotograph("444_10.avif").grid},
		{Name: "noise instead of coefficients, all filters", Make: func(s Size) []byte { return crafted(s, full, true) }},
		{Name: "noise instead of coefficients, lossless", Make: func(s Size) []byte { return crafted(s, av1Frame{full: true}, true) }},
		{Name: "noise, a high quantizer", Make: func(s Size) []byte { return crafted(s, av1Frame{full: true, tools: true, quantizer: 255}, true) }},
		{Name: "zeros, all filters", Make: func(s Size) []byte { return crafted(s, full, false) }},
		{Name: "zeros, lossless", Make: func(s Size) []byte { return crafted(s, av1Frame{full: true}, false) }},
		{Name: "a few bytes, all filters", Make: few(full, 64, true)},
		{Name: "a few bytes, lossless", Make: few(av1Frame{full: true}, 64, true)},
		{Name: "tiles of 64×64", Make: tileOf(av1Frame{width: 64, height: 64, full: true, tools: true, quantizer: 1, data: noise(3000)}).grid},
		{Name: "tiles of 64×64 and a few bytes", Make: tileOf(av1Frame{width: 64, height: 64, full: true, tools: true, quantizer: 1, data: noise(16)}).grid},
		{Name: "tiles that share their data", Make: func(s Size) []byte {
			t := heifPhotograph("420.avif")
			t.overlap = true
			return t.grid(s)
		}},
		{Name: "a frame larger than it claims", Make: func(s Size) []byte {
			t := tileOf(av1Frame{width: 2048, height: 2048, full: true, data: noise(1 << 16)})
			t.size = 64
			return t.grid(Size{t.width * t.height, s.Bytes})
		}},
		{Name: "four frames in each tile", Make: func(s Size) []byte { return again(heifPhotograph("420.avif"), 4).grid(s) }},
		{Name: "20 frames in each tile", Make: func(s Size) []byte { return again(heifPhotograph("420.avif"), 20).grid(s) }},
		{Name: "8,000 empty units in each tile", Make: func(s Size) []byte {
			t := heifPhotograph("420.avif")
			return t.with(append(bytes.Repeat(av1Unit(15, nil), 8000), t.data...)).grid(s)
		}},
		{Name: "100,000 empty units", Make: func(s Size) []byte {
			t := heifPhotograph("420.avif")
			return t.with(append(bytes.Repeat(av1Unit(15, nil), 100_000), t.data...)).grid(s)
		}},
	}
}

// again is a tile with its data n times.
func again(t heifTile, n int) heifTile { return t.with(bytes.Repeat(t.data, n)) }

func heics() []Image {
	if !strings.Contains(header.Allowed, string(header.HEIC)) {
		return nil
	}
	damaged := func(with func(int) []byte, keep int) func(Size) []byte {
		return func(s Size) []byte {
			t := heifPhotograph("420.heic")
			return t.with(slice(append(bytes.Clone(t.data[4:4+keep]), with(len(t.data)-4-keep)...))).grid(s)
		}
	}
	const head = 12 // bytes of a slice's header
	zeros := func(n int) []byte { return make([]byte, n) }
	return []Image{
		{Name: "a photograph, 4:2:0", Honest: true, Make: heifPhotograph("420.heic").grid},
		{Name: "noise instead of coefficients", Make: damaged(noise, head)},
		{Name: "zeros instead of coefficients", Make: damaged(zeros, head)},
		{Name: "noise in the second half", Make: damaged(noise, 10_000)},
		{Name: "zeros in the second half", Make: damaged(zeros, 10_000)},
		{Name: "tiles that share their data", Make: func(s Size) []byte {
			t := heifPhotograph("420.heic")
			t.overlap = true
			return t.grid(s)
		}},
		{Name: "a frame larger than it claims", Make: func(s Size) []byte {
			t := heifPhotograph("420.heic")
			t.size = 64
			return t.grid(s)
		}},
		{Name: "four frames in each tile", Make: func(s Size) []byte { return again(heifPhotograph("420.heic"), 4).grid(s) }},
		{Name: "100,000 empty slices", Make: func(s Size) []byte {
			t := heifPhotograph("420.heic")
			empty := slice([]byte{t.data[4], t.data[5], 0, 0})
			return t.with(append(bytes.Clone(t.data), bytes.Repeat(empty, min(100_000, s.Bytes/16))...)).grid(s)
		}},
		{Name: "100,000 messages", Make: func(s Size) []byte {
			t := heifPhotograph("420.heic")
			message := slice([]byte{39 << 1, 1, 5, 16})
			return t.with(append(bytes.Repeat(message, min(100_000, s.Bytes/16)), t.data...)).grid(s)
		}},
	}
}

// slice is a unit of HEVC with its length.
func slice(body []byte) []byte { return append(be32(len(body)), body...) }
