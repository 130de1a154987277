package corpus

import (
	"bytes"
	"slices"
)

// empty is a single empty block, so that an end-of-band run may cover all blocks.
var empty = make([][64]int16, 1)

// ones returns blocks whose coefficients 1 to last are v.
func ones(last int, v int16) [][64]int16 {
	blocks := make([][64]int16, 1024)
	for i := range blocks {
		for k := 1; k <= last; k++ {
			blocks[i][k] = v
		}
	}
	return blocks
}

// fitting makes an image with as much detail as fits into the file.
func fitting(s Size, write func(Size, [][64]int16) []byte) []byte {
	const part = 16
	detail, sample := 3.0, Size{s.Pixels / part, s.Bytes / part * 9 / 10}
	for len(write(sample, texture(detail))) > sample.Bytes {
		detail /= 1.2
	}
	return write(s, texture(detail))
}

// scans repeats a step between the DC of all components and what completes the image.
func scans(n, components int, s step) []step {
	script := []step{{-1, 0, 0, 0, 0}}
	for range n {
		script = append(script, s)
	}
	for c := range components {
		script = append(script, step{c, 1, 63, 0, 0})
	}
	return script
}

// bands sends each coefficient in separate scans, and its last bits in one more each.
func bands(bits int) []step {
	script := []step{{-1, 0, 0, 0, 0}}
	for k := 1; k < 64; k++ {
		script = append(script, step{0, k, k, 0, bits})
		for b := bits; b > 0; b-- {
			script = append(script, step{0, k, k, b, b - 1})
		}
	}
	return script
}

func jpegs() []Image { return slices.Concat(honestJPEGs(), hostileJPEGs(), padded()) }

// photo returns an image with as much detail as fits, with a scan script or, without one, in one scan.
func photo(components []component, script []step) func(Size) []byte {
	return func(s Size) []byte {
		return fitting(s, func(s Size, blocks [][64]int16) []byte {
			w, h := s.sides()
			if script == nil {
				return baseline(w, h, components, blocks, 0)
			}
			return progressive(w, h, components, script, blocks)
		})
	}
}

func honestJPEGs() []Image {
	return []Image{
		{Name: "baseline 4:2:0", Honest: true, Make: photo(ycc420, nil)},
		{Name: "baseline 4:4:4", Honest: true, Make: photo(ycc444, nil)},
		{Name: "progressive gray", Honest: true, Make: photo(gray, standard(1))},
		{Name: "progressive 4:2:0", Honest: true, Make: photo(ycc420, standard(3))},
		{Name: "progressive 4:4:4", Honest: true, Make: photo(ycc444, standard(3))},
		{Name: "progressive, four components", Honest: true, Make: photo(fourFull, standard(4))},
	}
}

func hostileJPEGs() []Image {
	scripted := func(components []component, script []step, blocks [][64]int16) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.sides()
			return progressive(w, h, components, script, blocks)
		}
	}
	whole := func(components []component, blocks [][64]int16, interval int) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.sides()
			return baseline(w, h, components, blocks, interval)
		}
	}
	refine := step{0, 1, 63, 1, 0}
	many := append([]step{{-1, 0, 0, 0, 0}, {0, 1, 63, 0, 1}}, refine, refine, refine, refine, refine, refine)
	return []Image{
		{Name: "100 empty scans that refine", Make: scripted(ycc444, scans(100, 3, refine), empty)},
		{Name: "40 empty scans of AC", Make: scripted(gray, scans(40, 1, step{0, 1, 62, 0, 1}), empty)},
		{Name: "20 scans of DC", Make: scripted(gray, scans(20, 1, step{0, 0, 0, 0, 0}), empty)},
		{Name: "15 empty scans of AC, as many as are allowed", Make: scripted(gray, scans(20, 1, step{0, 1, 62, 0, 1}), empty)},
		{Name: "63 bands of one coefficient", Make: scripted(gray, bands(0), empty)},
		{Name: "63 bands of 14 bits", Make: scripted(gray, bands(13), empty)},
		{Name: "each coefficient 1, AC at once", Make: scripted(gray, scans(0, 1, refine), ones(63, 1))},
		{Name: "each coefficient 1, found by refining", Make: scripted(gray, []step{{-1, 0, 0, 0, 0}, {0, 1, 63, 0, 1}, refine}, ones(63, 1))},
		{Name: "bits for coefficients that are there", Make: scripted(gray, many, ones(19, 2))},
		{Name: "empty canvas", Make: whole(ycc444, ones(0, 0), 0)},
		{Name: "empty canvas of four components", Make: whole(fourFull, ones(0, 0), 0)},
		{Name: "each coefficient 1", Make: whole(gray, ones(60, 1), 0)},
		{Name: "a restart for each block", Make: whole(ycc444, ones(3, 1), 1)},
		{Name: "luma sampled less than color", Make: whole([]component{{1, 1}, {2, 2}, {2, 2}}, ones(3, 1), 0)},
		{Name: "sampled 4×1 and 1×1", Make: whole([]component{{4, 1}, {1, 1}, {1, 1}}, ones(5, 1), 0)},
		{Name: "65,500 pixels wide", Make: func(s Size) []byte {
			w, h := s.strip(65500)
			return progressive(w, h, ycc444, standard(3), texture(0.1))
		}},
		{Name: "65,500 pixels high", Make: func(s Size) []byte {
			h, w := s.strip(65500)
			return progressive(w, h, ycc420, standard(3), texture(0.1))
		}},
		{Name: "one component again and again", Make: repeated},
		{Name: "15,000 scans of one block", Make: func(s Size) []byte {
			return progressive(8, 8, gray, scans(min(15_000, s.Bytes/60), 1, step{0, 1, 63, 2, 1}), empty)
		}},
		{Name: "60,000 scans of one block", Make: func(s Size) []byte {
			return progressive(8, 8, gray, scans(min(60_000, s.Bytes/60), 1, step{0, 1, 63, 2, 1}), empty)
		}},
		{Name: "a photograph with more scans of DC", Make: photo(ycc444, slices.Concat(slices.Repeat([]step{{-1, 0, 0, 0, 1}}, 4), standard(3)))},
		{Name: "cut in half", Make: func(s Size) []byte {
			data := photo(ycc420, standard(3))(s)
			return data[:len(data)/2]
		}},
	}
}

// repeated returns a sequential JPEG that repeats the scan of the first component as often as fits, the others last.
func repeated(s Size) []byte {
	w, h := s.sides()
	f := newJPEG(sof1, w, h, ycc444)
	one := func(c int) {
		f.writeScan(f.blocks(c), 1024, func() { f.scanHeader([]int{c}, 0, 63, 0, 0) }, func(e *entropy, _ int) { e.sequential(&empty[0], 0) })
	}
	for size := 0; f.Len()+3*size < s.Bytes; {
		start := f.Len()
		one(0)
		size = f.Len() - start
	}
	one(1)
	one(2)
	return f.end()
}

// padded returns small JPEGs padded with as much of something as fits into a file.
func padded() []Image {
	behind := func(name string, place byte, unit []byte) Image {
		return Image{Name: name, Make: func(s Size) []byte {
			whole := baseline(64, 64, ycc420, texture(0.5), 0)
			at := bytes.Index(whole, []byte{0xFF, place})
			return bytes.Join([][]byte{whole[:at], filled(unit, s.Bytes-len(whole)), whole[at:]}, nil)
		}}
	}
	tables := bytes.Repeat(append([]byte{3}, make([]byte, 16)...), 3800)
	quantizers := bytes.Repeat(append([]byte{3}, bytes.Repeat([]byte{1}, 64)...), 1000)
	// A directory whose entries and successor are itself (TIFF 6.0, section 2).
	directory := append([]byte("II*\x00\x08\x00\x00\x00\x88\x13"), bytes.Repeat([]byte("\x69\x87\x04\x00\x01\x00\x00\x00\x08\x00\x00\x00"), 5000)...)
	directory = append(directory, 8, 0, 0, 0)
	segment := func(marker byte, body []byte) []byte {
		return append([]byte{0xFF, marker, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
	}
	return []Image{
		behind("empty comments", sof0, segment(com, nil)),
		behind("application segments of 65,533 bytes", sof0, segment(app0, make([]byte, 65533))),
		behind("EXIF that refers to itself", sof0, segment(app0+1, append([]byte("Exif\x00\x00"), directory...))),
		behind("fill bytes", sof0, []byte{0xFF}),
		behind("zeros between markers", sof0, []byte{0}),
		behind("Huffman tables that are not used", sos, segment(dht, tables)),
		behind("Huffman tables, one a segment", sos, segment(dht, tables[:17])),
		behind("quantization tables", sos, segment(dqt, quantizers)),
		behind("restart intervals", sos, segment(dri, []byte{0, 0})),
		behind("restart markers between segments", sos, []byte{0xFF, rst0}),
		behind("a tail of stuffed bytes", eoi, []byte{0xFF, 0}),
		behind("a tail of restart markers", eoi, []byte{0xFF, rst0}),
		behind("a tail of zeros", eoi, []byte{0}),
	}
}
