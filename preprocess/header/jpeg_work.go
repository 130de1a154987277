package header

import (
	"strconv"

	"fovea/internal/apierror"
)

// What libjpeg-turbo's work costs that the size of a JPEG does not bound: each scan visits every block of its components,
// be the scan's own data a few bytes. The unit is about a nanosecond on a processor of 2024. Bits cost extra; those the
// size of the body bounds.
const (
	workOfScan       = 1000 // a scan of no blocks: its tables are made
	workOfSequential = 24   // a block of a sequential scan
	workOfDC         = 16   // a block's DC for the first time
	workOfDCBit      = 6    // one more bit of it
	workOfAC         = 4    // a block's AC for the first time
	workOfACBit      = 10   // one more bit of them, and 1 for each workOfACBand of them
	workOfACBand     = 5
)

// maxWork is what is allowed for 64 samples, as many as a block has, of an image at the limit of pixels; a smaller image
// may take as much in all. libjpeg's usual script (jpeg_simple_progression) costs 78 for luma and 53 for colour, one of
// mozjpeg with three refinements 90. An image that exhausts it costs at most 1.3 times the CPU time of one with the usual
// script and as many bytes.
const maxWork = 128

// leastPixels keeps a low limit of pixels from refusing small images with many scans.
const leastPixels = 1_000_000

// work is what a scan costs for each block that it visits, by the end of its header (ITU-T T.81, B.2.3).
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

// sampling are the largest sampling factors of the frame.
func (w *jpegWalk) sampling() (h, v int) {
	for _, c := range w.components {
		h, v = max(h, c.h), max(v, c.v)
	}
	return h, v
}

// samples is how many samples the image has for each pixel: 3 for 4:4:4, 1.5 for 4:2:0.
func (w *jpegWalk) samples() float64 {
	h, v := w.sampling()
	sum := 0
	for _, c := range w.components {
		sum += c.h * c.v
	}
	return float64(sum) / float64(h*v)
}

// blocks is how many blocks of 8×8 samples a component has, those that fill up the last units among them.
func (w *jpegWalk) blocks(c jpegComponent) int64 {
	h, v := w.sampling()
	across, down := (w.info.Width+8*h-1)/(8*h), (w.info.Height+8*v-1)/(8*v)
	return int64(across*c.h) * int64(down*c.v)
}

// checkScans refuses a JPEG whose scans cost too much.
func (l Limits) checkScans(info Info) error {
	allowed := maxWork / 64 * info.samples * float64(max(l.pixels(), leastPixels))
	if float64(info.work) <= allowed {
		return nil
	}
	return apierror.New(apierror.ImageTooLarge,
		"JPEG has %d scans of %d×%d pixels, %s times the work that is allowed; save it with fewer scans (progressive JPEG needs 10) or pixels",
		info.scans, info.Width, info.Height, strconv.FormatFloat(float64(info.work)/allowed, 'f', 1, 64))
}
