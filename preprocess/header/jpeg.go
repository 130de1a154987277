package header

import (
	"bytes"
	"encoding/binary"

	"fovea/internal/apierror"
)

// maxSegments bounds the marker segments of a JPEG. Real ones have some hundred: a colour profile and extended XMP have
// at most 255 each, a progressive image two for each scan.
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

// coefficients is a set of the 64 of a block, a bit for each; the first is that for DC.
type coefficients uint64

const wholeBlock = ^coefficients(0)

// jpegComponent is a component of the frame.
type jpegComponent struct {
	id      byte
	h, v    int          // sampling factors
	missing coefficients // what no scan has brought yet
}

// jpegWalk is the state of a walk over a JPEG's markers.
type jpegWalk struct {
	data       []byte
	at         int
	info       Info
	components []jpegComponent // of the frame; nil before its header
	segments   int
}

// readJPEG walks all of the markers, through the scans, to the end of the scan that completes the image, or of the
// data. An end marker is not asked for, and what follows is not looked at: makers write trailers of their own there, and
// other images. Whether a scan's data is all there is known to the decoder.
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
			return w.info, short(JPEG)
		case marker == markerEOI && w.components == nil:
			return w.info, broken(JPEG, "it has no frame header")
		case marker == markerEOI:
			return w.info, short(JPEG)
		case marker == markerSOI:
			return w.info, broken(JPEG, "another image begins in it")
		case marker == markerTEM:
			continue // stands alone
		}
		segment, ok := w.segment()
		if !ok {
			return w.info, short(JPEG)
		}
		if err := w.take(marker, segment); err != nil {
			return Info{}, err
		}
	}
}

// next finds the next marker that is no restart marker and no stuffed byte, and steps behind it.
func (w *jpegWalk) next() (marker byte, ok bool) {
	data, at := w.data, w.at
	for at < len(data) {
		if data[at] != 0xFF {
			i := bytes.IndexByte(data[at:], 0xFF)
			if i < 0 {
				return 0, false
			}
			at += i
		}
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

// segment returns the marker's segment, without its length, and steps behind it.
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
		return apierror.New(apierror.Undecodable, "JPEG has more than %d segments, which is all that is allowed", maxSegments)
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

// frame reads a frame header (ITU-T T.81, B.2.2).
func (w *jpegWalk) frame(marker byte, s []byte) error {
	if w.components != nil {
		return broken(JPEG, "it has two frame headers")
	}
	if marker > markerSOF2 {
		return apierror.New(apierror.UnsupportedFormat,
			"lossless, hierarchical and arithmetic-coded JPEG is not read; allowed are baseline, extended and progressive JPEG")
	}
	if len(s) < 6 || len(s) < 6+3*int(s[5]) {
		return broken(JPEG, "its frame header is too short")
	}
	w.info.BitDepth = int(s[0])
	w.info.Height = int(binary.BigEndian.Uint16(s[1:]))
	w.info.Width = int(binary.BigEndian.Uint16(s[3:]))
	w.info.Channels = int(s[5])
	w.info.Progressive = marker == markerSOF2
	if w.info.BitDepth != 8 {
		return apierror.New(apierror.UnsupportedFormat, "JPEG of %d bits is not read; allowed are 8 bits", w.info.BitDepth)
	}
	if c := w.info.Channels; c != 1 && c != 3 && c != 4 {
		return apierror.New(apierror.UnsupportedFormat, "JPEG of %d channels is not read; allowed are 1, 3 and 4", c)
	}
	w.components = make([]jpegComponent, w.info.Channels)
	for i := range w.components {
		c := s[6+3*i:]
		w.components[i] = jpegComponent{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 0x0F), missing: wholeBlock}
		if h, v := w.components[i].h, w.components[i].v; h < 1 || h > 4 || v < 1 || v > 4 {
			return broken(JPEG, "a component has sampling factors of %d×%d", h, v)
		}
	}
	w.info.samples = w.samples()
	return nil
}

// scan reads a scan header (ITU-T T.81, B.2.3); the walk then runs through the scan's data by itself.
func (w *jpegWalk) scan(s []byte) error {
	switch {
	case w.components == nil:
		return broken(JPEG, "it has image data before its frame header")
	case len(s) < 1 || len(s) < 4+2*int(s[0]):
		return broken(JPEG, "its scan header is too short")
	}
	parameters := s[1+2*int(s[0]):]
	brought := w.brought(parameters)
	perBlock := w.work(parameters)
	w.info.scans++
	w.info.work += workOfScan
	var used [4]bool
	for i := range int(s[0]) {
		// As libjpeg does, components with the same identifier are taken in turn.
		for c := range w.components {
			if w.components[c].id == s[1+2*i] && !used[c] {
				used[c] = true
				w.components[c].missing &^= brought
				w.info.work += perBlock * w.blocks(w.components[c])
				break
			}
		}
	}
	return nil
}

// brought is what a scan brings to its last bit, by the end of its header: the first and last coefficient, and in the
// low half of a byte how many bits a later scan has to add (ITU-T T.81, G.1.1.1). That may be none: the standard
// lets an encoder leave bits out, but none is known that does, and an image that lost its last scans looks the same.
func (w *jpegWalk) brought(s []byte) coefficients {
	switch first, last, later := s[0], s[1], s[2]&0x0F; {
	case !w.info.Progressive:
		return wholeBlock
	case first > last || last > 63 || later > 0:
		return 0
	default:
		return wholeBlock >> (63 - last) &^ (1<<first - 1)
	}
}

// complete says that every component has come with all of its scans.
func (w *jpegWalk) complete() bool {
	for _, c := range w.components {
		if c.missing != 0 {
			return false
		}
	}
	return w.components != nil
}
