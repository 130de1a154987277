package header

import (
	"bytes"
	"slices"

	"fovea/internal/apierror"
)

// configure reads the depth and the number of channels from the codec's configuration.
func (img *HEIFImage) configure(f Format) error {
	if f == AVIF {
		return img.configureAV1()
	}
	return img.configureHEVC()
}

// configureAV1 reads av1C (AV1 Codec ISO Media File Format Binding, 2.3).
func (img *HEIFImage) configureAV1() error {
	c := img.Config
	if len(c) < 4 || c[0] != 0x81 {
		return corrupt(AVIF, "the configuration of its codec is missing or not valid")
	}
	img.BitDepth, img.Channels = 8, 3
	if c[2]&0x40 != 0 {
		img.BitDepth = 10
		if c[2]&0x20 != 0 {
			img.BitDepth = 12
		}
	}
	if c[2]&0x10 != 0 {
		img.Channels = 1
	}
	return nil
}

const (
	maxHEVCSets  = 16 // parameter sets; a frame has three
	maxHEVCDepth = 12
)

// configureHEVC reads hvcC (ISO/IEC 14496-15, 8.3.3.1): what the frame is, and its parameter sets.
func (img *HEIFImage) configureHEVC() error {
	broken := corrupt(HEIC, "the configuration of its codec is missing or not valid")
	if len(img.Config) < 23 {
		return broken
	}
	r := isoReader{rest: img.Config[22:]}
	sets, sizes := 0, 0
	for arrays := r.u8(); arrays > 0; arrays-- {
		r.u8()
		for units := r.u16(); units > 0 && !r.short; units-- {
			unit := r.bytes(r.u16())
			if sets++; sets > maxHEVCSets || len(unit) < 2 {
				return broken
			}
			if unit[0]>>1&0x3F != hevcSPS {
				continue
			}
			sizes++
			if err := img.readSPS(unit[2:]); err != nil {
				return err
			}
		}
	}
	if r.short || sizes == 0 {
		return broken
	}
	return nil
}

// The types of units of HEVC (ITU-T H.265, table 7-1).
const (
	hevcLastSlice = 31
	hevcSPS       = 33
)

// readSPS reads a sequence parameter set as far as the depth (ITU-T H.265, 7.3.2.2). The frame may be larger than the tile by what fills
// its last blocks.
func (img *HEIFImage) readSPS(unit []byte) error {
	b := bitReader{rest: bytes.ReplaceAll(unit, []byte{0, 0, 3}, []byte{0, 0})}
	b.bits(4)
	layers := int(b.bits(3))
	b.bits(1)
	b.skipProfile(layers)
	b.exp()
	chroma := b.exp()
	if chroma == 3 && b.bits(1) != 0 {
		return apierror.New(apierror.UnsupportedFormat, "HEIC with separate planes is not supported; %s", asJPEG)
	}
	w, h := b.exp(), b.exp()
	if b.bits(1) != 0 { // a window, which the decoder applies
		for range 4 {
			b.exp()
		}
	}
	luma, colors := 8+b.exp(), 8+b.exp()
	const block = 64
	switch fits := func(coded, want int) bool { return coded >= want && coded < want+block }; {
	case b.short || chroma > 3:
		return corrupt(HEIC, "its sequence parameter set is not valid")
	case !fits(w, img.TileWidth) || !fits(h, img.TileHeight):
		return corrupt(HEIC, "its frames have %d×%d pixels instead of %d×%d", w, h, img.TileWidth, img.TileHeight)
	case luma > maxHEVCDepth || chroma > 0 && colors != luma:
		return apierror.New(apierror.UnsupportedFormat, "HEIC with luma of %d and chroma of %d bits is not supported; allowed: 8 to 12 bits, for both", luma, colors)
	}
	img.BitDepth, img.Channels = luma, 3
	if chroma == 0 {
		img.Channels = 1
	}
	return nil
}

// skipProfile skips profile_tier_level (7.3.3).
func (b *bitReader) skipProfile(layers int) {
	b.skip(88 + 8)
	var has [8]uint32
	for i := range layers {
		has[i] = b.bits(2)
	}
	if layers > 0 {
		b.skip(2 * (8 - layers))
	}
	for _, h := range has[:layers] {
		b.skip(int(h>>1)*88 + int(h&1)*8)
	}
}

// countFrames counts the frames in each tile, which bounds the work of decoding it.
func (img *HEIFImage) countFrames(f Format) error {
	img.Frames = 1
	for _, parts := range img.Tiles {
		data := parts[0]
		if len(parts) > 1 {
			data = slices.Concat(parts...)
		}
		var n int
		var whole bool
		if f == AVIF {
			n, whole = av1Frames(data)
		} else {
			n, whole = hevcFrames(data, int(img.Config[21]&3)+1)
		}
		switch {
		case !whole:
			return truncated(f)
		case n < 1 || n > maxFrames || f == HEIC && n > 1:
			return corrupt(f, "an image of it holds %d frames", n)
		}
		img.Frames = max(img.Frames, n)
	}
	return nil
}

const (
	av1FrameHeader = 3
	av1Frame       = 6
	maxAV1Units    = 1 << 13 // a frame may have 4096 tiles, in a unit each
)

// av1Frames counts the frames in a temporal unit (AV1 specification, 5.3). It reports whether all units are there.
func av1Frames(data []byte) (frames int, whole bool) {
	r := isoReader{rest: data}
	for units := 0; len(r.rest) > 0; units++ {
		head := r.u8()
		if head&4 != 0 {
			r.u8()
		}
		size := len(r.rest)
		if head&2 != 0 {
			size = r.leb128()
		}
		r.bytes(size)
		if r.short || units >= maxAV1Units || head&0x80 != 0 {
			return frames, !r.short
		}
		if kind := head >> 3 & 15; kind == av1Frame || kind == av1FrameHeader {
			frames++
		}
	}
	return frames, true
}

// leb128 reads a number of seven bits in each byte, the lowest first (AV1 specification, 4.10.5).
func (r *isoReader) leb128() int {
	v := 0
	for shift := 0; shift < 28; shift += 7 {
		b := r.u8()
		v |= b & 0x7F << shift
		if b&0x80 == 0 {
			return v
		}
	}
	r.short = true
	return 0
}

// hevcFrames counts the frames in units with their length before them: slices that say that they are the first.
func hevcFrames(data []byte, lengthBytes int) (frames int, whole bool) {
	r := isoReader{rest: data}
	for len(r.rest) > 0 {
		unit := r.bytes(int(r.number(lengthBytes)))
		if r.short {
			return frames, false
		}
		if len(unit) > 2 && unit[0]>>1&0x3F <= hevcLastSlice && unit[2]&0x80 != 0 {
			frames++
		}
	}
	return frames, true
}

// bitReader reads bits, the highest first. Beyond the end they are 0 and short is set.
type bitReader struct {
	rest  []byte
	at    int // bits read
	short bool
}

func (b *bitReader) bits(n int) uint32 {
	var v uint32
	for range n {
		v <<= 1
		if b.at>>3 >= len(b.rest) {
			b.short = true
			continue
		}
		v |= uint32(b.rest[b.at>>3]>>(7-b.at&7)) & 1
		b.at++
	}
	return v
}

func (b *bitReader) skip(n int) {
	for range n {
		b.bits(1)
	}
}

// exp reads a number in Exp-Golomb code (ITU-T H.265, 9.2), which is below 2^24.
func (b *bitReader) exp() int {
	zeros := 0
	for b.bits(1) == 0 {
		if zeros++; zeros > 24 || b.short {
			b.short = true
			return 0
		}
	}
	return 1<<zeros - 1 + int(b.bits(zeros))
}
