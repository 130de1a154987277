package header

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"

	"fovea/internal/apierror"
)

// maxSegments limits the marker segments of a JPEG. Real files have a few hundred: a color profile and extended XMP at most
// 255 each, a progressive image two per scan.
const maxSegments = 1 << 16

// JPEG's markers (ITU-T T.81, table B.1).
const (
	markerSOF0 = 0xC0
	markerSOF2 = 0xC2
	markerDHT  = 0xC4
	markerJPG  = 0xC8
	markerDAC  = 0xCC
	markerSOF  = 0xCF // the last of the frame headers
	markerRST0 = 0xD0
	markerRST7 = 0xD7
	markerSOI  = 0xD8
	markerEOI  = 0xD9
	markerSOS  = 0xDA
	markerAPP1 = 0xE1
	markerTEM  = 0x01
)

// coefficients is a set of a block's 64 coefficients, one bit each; bit 0 is DC.
type coefficients uint64

const wholeBlock = ^coefficients(0)

// jpegComponent is a component of the frame.
type jpegComponent struct {
	id      byte
	h, v    int          // sampling factors
	missing coefficients // in no scan so far
}

// jpegWalk is the state of a walk over a JPEG's markers.
type jpegWalk struct {
	data       []byte
	at         int
	info       Info
	components []jpegComponent // of the frame; nil before its header
	segments   int
}

// readJPEG walks the markers to the end of the scan that completes the image. It needs no end marker and ignores what
// follows, since cameras append trailers and other images. The decoder finds out whether the scans' data is complete.
func readJPEG(data []byte) (Info, error) {
	w := &jpegWalk{data: data, at: 2, info: Info{Format: JPEG}}
	for {
		marker, ok := w.next()
		switch {
		case w.complete():
			w.info.frameEnd = len(data)
			if ok {
				w.info.frameEnd = w.at - 2
			}
			return w.info, nil
		case !ok:
			return w.info, truncated(JPEG)
		case marker == markerEOI && w.components == nil:
			return w.info, corrupt(JPEG, "it has no frame header")
		case marker == markerEOI:
			return w.info, truncated(JPEG)
		case marker == markerSOI:
			return w.info, corrupt(JPEG, "another image begins within it")
		case marker == markerTEM:
			continue // has no segment
		}
		segment, ok := w.segment()
		if !ok {
			return w.info, truncated(JPEG)
		}
		if err := w.take(marker, segment); err != nil {
			return Info{}, err
		}
	}
}

// next moves past the next marker that is neither a restart marker nor a stuffed byte.
func (w *jpegWalk) next() (marker byte, ok bool) {
	data, at := w.data, w.at
	for at < len(data) {
		i := bytes.IndexByte(data[at:], 0xFF)
		if i < 0 {
			return 0, false
		}
		at += i
		for at < len(data) && data[at] == 0xFF { // fill bytes; the last may begin the marker
			at++
		}
		if at == len(data) {
			return 0, false
		}
		m := data[at]
		at++
		if m != 0 && (m < markerRST0 || m > markerRST7) {
			w.at = at
			return m, true
		}
	}
	return 0, false
}

// segment moves past the marker's segment and returns it without its length.
func (w *jpegWalk) segment() ([]byte, bool) {
	rest := w.data[w.at:]
	if len(rest) < 2 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(rest))
	if n < 2 || n > len(rest) {
		return nil, false
	}
	w.at += n
	return rest[2:n], true
}

func (w *jpegWalk) take(marker byte, segment []byte) error {
	w.segments++
	switch {
	case w.segments > maxSegments:
		return apierror.New(apierror.Undecodable, "JPEG has more than %d segments", maxSegments)
	case marker == markerAPP1:
		if w.info.Orientation == 0 && has(segment, 0, exifName) {
			w.info.Orientation = orientation(segment)
		}
	case marker == markerSOS:
		return w.scan(segment)
	case marker >= markerSOF0 && marker <= markerSOF &&
		marker != markerDHT && marker != markerJPG && marker != markerDAC:
		return w.frame(marker, segment)
	}
	return nil
}

// frame parses a frame header (ITU-T T.81, B.2.2).
func (w *jpegWalk) frame(marker byte, s []byte) error {
	if w.components != nil {
		return corrupt(JPEG, "it has two frame headers")
	}
	if marker > markerSOF2 {
		return apierror.New(apierror.UnsupportedFormat,
			"lossless, hierarchical and arithmetic-coded JPEG is not supported; allowed: baseline, extended and progressive JPEG")
	}
	if len(s) < 6 || len(s) < 6+3*int(s[5]) {
		return corrupt(JPEG, "its frame header is too short")
	}
	w.info.BitDepth = int(s[0])
	w.info.Height = int(binary.BigEndian.Uint16(s[1:]))
	w.info.Width = int(binary.BigEndian.Uint16(s[3:]))
	w.info.Channels = int(s[5])
	w.info.Progressive = marker == markerSOF2
	if w.info.BitDepth != 8 {
		return apierror.New(apierror.UnsupportedFormat, "JPEG of %d bits is not supported; allowed: 8 bits", w.info.BitDepth)
	}
	if c := w.info.Channels; c != 1 && c != 3 && c != 4 {
		return apierror.New(apierror.UnsupportedFormat, "JPEG of %d channels is not supported; allowed: 1, 3 and 4", c)
	}
	w.components = make([]jpegComponent, w.info.Channels)
	for i := range w.components {
		c := s[6+3*i:]
		w.components[i] = jpegComponent{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 0x0F), missing: wholeBlock}
		if h, v := w.components[i].h, w.components[i].v; h < 1 || h > 4 || v < 1 || v > 4 {
			return corrupt(JPEG, "a component has sampling factors of %d×%d", h, v)
		}
	}
	w.info.samples = w.samples()
	return nil
}

// scan parses a scan header (ITU-T T.81, B.2.3). The walk then skips the scan's data.
func (w *jpegWalk) scan(s []byte) error {
	switch {
	case w.components == nil:
		return corrupt(JPEG, "it has image data before its frame header")
	case len(s) < 1 || len(s) < 4+2*int(s[0]):
		return corrupt(JPEG, "its scan header is too short")
	}
	parameters := s[1+2*int(s[0]):]
	completed := w.completed(parameters)
	perBlock := w.work(parameters)
	w.info.scans++
	w.info.work += workOfScan
	var used [4]bool
	for i := range int(s[0]) {
		// Components with the same identifier are used in turn, as libjpeg does.
		for c := range w.components {
			if w.components[c].id == s[1+2*i] && !used[c] {
				used[c] = true
				w.components[c].missing &^= completed
				w.info.work += perBlock * w.blocks(w.components[c])
				break
			}
		}
	}
	return nil
}

// completed returns the coefficients that a scan brings to their last bit, by the end of its header: the first and last
// coefficient, and in the low half of a byte the number of bits left to later scans (ITU-T T.81, G.1.1.1). The standard allows
// an encoder to omit those bits, but none is known to, and an image that lost its last scans looks the same.
func (w *jpegWalk) completed(s []byte) coefficients {
	switch first, last, later := s[0], s[1], s[2]&0x0F; {
	case !w.info.Progressive:
		return wholeBlock
	case first > last || last > 63 || later > 0:
		return 0
	default:
		return wholeBlock >> (63 - last) &^ (1<<first - 1)
	}
}

// complete reports whether all coefficients of all components were in scans.
func (w *jpegWalk) complete() bool {
	return w.components != nil && !slices.ContainsFunc(w.components, func(c jpegComponent) bool { return c.missing != 0 })
}

// The cost of libjpeg-turbo's work that a JPEG's size does not limit: each scan visits every block of its components, even if
// its data has only a few bytes. The unit is about a nanosecond on a processor of 2024. Bits cost extra, but are limited by
// the size of the body.
const (
	workOfScan       = 1000 // a scan without blocks: building its tables
	workOfSequential = 24   // per block of a sequential scan
	workOfDC         = 16   // first scan of a block's DC
	workOfDCBit      = 6    // one more bit of DC
	workOfAC         = 4    // first scan of a block's AC
	workOfACBit      = 10   // one more bit of AC, plus 1 per workOfACBand coefficients
	workOfACBand     = 5
)

// maxWork is the cost allowed per 64 samples, one block, of an image at the limit of pixels; a smaller image may cost as much in
// total. libjpeg's standard script (jpeg_simple_progression) costs 78 for luma and 53 for chroma, one of mozjpeg with three
// refinements 90. An image that exhausts it costs at most 1.3 times the CPU time of one with the standard script and as many
// bytes.
const maxWork = 128

// minPixels keeps a low limit of pixels from rejecting small images with many scans.
const minPixels = 1_000_000

// work returns the cost of a scan per block, by the end of its header (ITU-T T.81, B.2.3).
func (w *jpegWalk) work(s []byte) int64 {
	switch first, last, refines := int64(s[0]), int64(s[1]), s[2]>>4 > 0; {
	case !w.info.Progressive:
		return workOfSequential
	case first == 0 && refines:
		return workOfDCBit
	case first == 0:
		return workOfDC
	case refines:
		return workOfACBit + max(0, last-first+1)/workOfACBand
	}
	return workOfAC
}

// sampling returns the largest sampling factors of the frame.
func (w *jpegWalk) sampling() (h, v int) {
	for _, c := range w.components {
		h, v = max(h, c.h), max(v, c.v)
	}
	return h, v
}

// samples returns the number of samples per pixel: 3 for 4:4:4, 1.5 for 4:2:0.
func (w *jpegWalk) samples() float64 {
	h, v := w.sampling()
	sum := 0
	for _, c := range w.components {
		sum += c.h * c.v
	}
	return float64(sum) / float64(h*v)
}

// blocks returns the number of blocks of 8×8 samples in a component, including those that pad the last units.
func (w *jpegWalk) blocks(c jpegComponent) int64 {
	h, v := w.sampling()
	across, down := (w.info.Width+8*h-1)/(8*h), (w.info.Height+8*v-1)/(8*v)
	return int64(across*c.h) * int64(down*c.v)
}

// checkScans rejects a JPEG whose scans cost too much.
func (l Limits) checkScans(info Info) error {
	allowed := maxWork / 64 * info.samples * float64(max(l.pixels(), minPixels))
	if float64(info.work) <= allowed {
		return nil
	}
	return apierror.New(apierror.ImageTooLarge,
		"JPEG has %d scans of %d×%d pixels, %s times the work allowed; save it with fewer scans (progressive JPEG needs 10) or pixels",
		info.scans, info.Width, info.Height, strconv.FormatFloat(float64(info.work)/allowed, 'f', 1, 64))
}
