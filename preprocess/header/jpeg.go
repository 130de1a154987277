package header

import (
	"bytes"
	"encoding/binary"

	"fovea/fault"
)

// maxScans bounds the scans of a progressive JPEG. Real ones have about ten; each scan costs a pass over the whole
// picture, so that thousands of tiny scans keep a decoder busy for minutes.
const maxScans = 100

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

// jpegWalk is the state of a walk over a JPEG's markers.
type jpegWalk struct {
	data    []byte
	at      int
	info    Info
	missing map[byte]coefficients // of the frame's components, what no scan has brought yet; nil before its header
	scans   int
}

// readJPEG walks all of the markers, through the scans, to the end marker. A JPEG without one is cut short:
// libjpeg would fill the rest with grey and call it a picture.
func readJPEG(data []byte) (Info, error) {
	w := &jpegWalk{data: data, at: 2, info: Info{Format: JPEG}}
	for {
		marker, ok := w.next()
		if !ok {
			return w.info, short(JPEG)
		}
		if marker == markerEOI {
			return w.info, w.complete()
		}
		if marker == markerTEM || (marker >= markerRST0 && marker <= markerSOI) {
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
	for {
		i := bytes.IndexByte(w.data[w.at:], 0xFF)
		if i < 0 || w.at+i+1 >= len(w.data) {
			return 0, false
		}
		w.at += i + 1
		switch m := w.data[w.at]; {
		case m == 0xFF: // fill byte; the next one may be the marker
		case m == 0, m >= markerRST0 && m <= markerRST7:
			w.at++
		default:
			w.at++
			return m, true
		}
	}
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
	switch {
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
	if w.missing != nil {
		return broken(JPEG, "it has two frame headers")
	}
	if marker > markerSOF2 {
		return fault.New(fault.UnsupportedFormat,
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
		return fault.New(fault.UnsupportedFormat, "JPEG of %d bits is not read; allowed are 8 bits", w.info.BitDepth)
	}
	if c := w.info.Channels; c != 1 && c != 3 && c != 4 {
		return fault.New(fault.UnsupportedFormat, "JPEG of %d channels is not read; allowed are 1, 3 and 4", c)
	}
	w.missing = make(map[byte]coefficients, 4)
	for c := range w.info.Channels {
		w.missing[s[6+3*c]] = wholeBlock
	}
	return nil
}

// scan reads a scan header (ITU-T T.81, B.2.3); the walk then runs through the scan's data by itself.
func (w *jpegWalk) scan(s []byte) error {
	w.scans++
	switch {
	case w.missing == nil:
		return broken(JPEG, "it has picture data before its frame header")
	case w.scans > maxScans:
		return fault.New(fault.Undecodable, "JPEG has more than %d scans", maxScans)
	case len(s) < 1 || len(s) < 4+2*int(s[0]):
		return broken(JPEG, "its scan header is too short")
	}
	brought := w.brought(s[1+2*int(s[0]):])
	for c := range int(s[0]) {
		id := s[1+2*c]
		if w.missing[id] &^= brought; w.missing[id] == 0 {
			delete(w.missing, id)
		}
	}
	return nil
}

// brought is what a scan brings to its last bit, by the end of its header: the first and last coefficient, and in the
// low half of a byte how many bits a later scan has to add (ITU-T T.81, G.1.1.1). That may be none: the standard
// lets an encoder leave bits out, but none is known that does, and a picture that lost its last scans looks the same.
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

// complete checks at the end marker that every component of the picture has come, with all of its scans.
func (w *jpegWalk) complete() error {
	if w.missing == nil {
		return broken(JPEG, "it has no frame header")
	}
	if len(w.missing) > 0 {
		return short(JPEG)
	}
	return nil
}
