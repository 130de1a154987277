// Package header reads what an image says about itself before anything is decoded: its format, its size, how it
// is to be turned, and whether it is whole. It is pure Go, copies nothing, and allocates nothing by what an
// image claims, so that a hostile image is refused at the price of a look at it.
package header

import (
	"image"
	"strconv"

	"fovea/internal/apierror"
)

// Format is an image's file format.
type Format string

// The formats that are read.
const (
	JPEG Format = "JPEG"
	PNG  Format = "PNG"
	WebP Format = "WebP"
	BMP  Format = "BMP"
)

// Allowed names the formats that are read, for messages.
const Allowed = "JPEG, PNG, WebP, BMP"

const (
	// DefaultMaxPixels is the limit used where Limits leaves it out: 50 megapixels.
	DefaultMaxPixels = 50_000_000
	// MaxSide is the longest side that is read: it bounds the memory that a row takes.
	MaxSide = 1 << 20
)

// Limits bounds the images that are accepted.
type Limits struct {
	MaxPixels int64 // width × height; 0 means DefaultMaxPixels
}

// Info is what an image says about itself.
type Info struct {
	Format        Format
	Width, Height int // pixels as stored, before Orientation is applied; those of the canvas of an animation
	// Orientation is the EXIF orientation, 1–8 (EXIF 2.32, tag 0x0112): 1 is upright, 5–8 swap the sides. It is
	// read from JPEG, PNG and WebP.
	Orientation int
	BitDepth    int  // bits of one channel, or of one palette index
	Channels    int  // as stored, alpha included; 3 for a palette
	Progressive bool // progressive JPEG or interlaced PNG
	Animated    bool // holds more than one frame

	// Frame is where on the canvas of an animated WebP its first frame lies; empty for every other image.
	Frame image.Rectangle

	// frameStart and frameEnd hold the chunk of a WebP's image, and a JPEG as far as the scan that completes it.
	frameStart, frameEnd int

	lossyBytes int // of a lossy WebP's data

	// Of a JPEG: how many scans it has, what they cost, and how many samples it has for each pixel.
	scans   int
	work    int64
	samples float64
}

// Coded returns the size in pixels of the image that is decoded: that of the first frame of an animation.
func (i Info) Coded() image.Point {
	if !i.Frame.Empty() {
		return i.Frame.Size()
	}
	return image.Pt(i.Width, i.Height)
}

// Chunk returns what holds the image: of a WebP the chunk VP8 or VP8L, with its name and its size, that of the first frame
// of an animation; of a JPEG all up to the end of the scan that completes it. info must come from Read of the same data,
// and be of one of these.
func Chunk(data []byte, info Info) []byte { return data[info.frameStart:info.frameEnd] }

// OrientedSize returns the orientation-corrected width and height.
func (i Info) OrientedSize() (width, height int) {
	if i.Orientation >= 5 {
		return i.Height, i.Width
	}
	return i.Width, i.Height
}

// Read reads the header of an image and checks that the image is whole and within the limits. Errors are
// *fault.Fault: UnsupportedFormat (known, but not read, or unknown), ImageTooLarge, or Undecodable (broken,
// empty or cut short).
func Read(data []byte, limits Limits) (Info, error) {
	if len(data) == 0 {
		return Info{}, apierror.New(apierror.Undecodable, "the image is empty; allowed are %s", Allowed)
	}
	read, known := readers[sniff(data)]
	if !known {
		return Info{}, refuse(data)
	}
	info, err := read(data)
	if tooLarge := limits.check(info); tooLarge != nil && (err == nil || info.Width > 0) {
		err = tooLarge // the size is the reason a client can do most about, even where the image is cut short too
	}
	if err == nil {
		err = limits.checkWork(info)
	}
	if err != nil {
		return Info{}, err
	}
	if info.Orientation == 0 {
		info.Orientation = 1
	}
	return info, nil
}

var readers = map[Format]func([]byte) (Info, error){
	JPEG: readJPEG, PNG: readPNG, WebP: readWebP, BMP: readBMP,
}

// pixels is the limit of pixels.
func (l Limits) pixels() int64 {
	if l.MaxPixels <= 0 {
		return DefaultMaxPixels
	}
	return l.MaxPixels
}

// pixelBits is the depth up to which a pixel counts as one.
const pixelBits = 32

// rowPixels is the number of pixels, where deeper ones count for more: the rows of a PNG with 16 bits a channel are up to
// twice as long as those of one with 8, and take as much longer to inflate and to filter.
func (i Info) rowPixels() float64 {
	return float64(i.Width) * float64(i.Height) * float64(max(pixelBits, i.BitDepth*i.Channels)) / pixelBits
}

func (l Limits) check(info Info) error {
	limit := l.pixels()
	switch {
	case info.Width < 1 || info.Height < 1:
		return broken(info.Format, "its size is %d×%d pixels", info.Width, info.Height)
	case int64(info.Width)*int64(info.Height) > limit:
		return apierror.New(apierror.ImageTooLarge, "image is %d×%d pixels; the limit is %s megapixels", info.Width, info.Height,
			strconv.FormatFloat(float64(limit)/1e6, 'f', -1, 64))
	case info.rowPixels() > float64(limit):
		bits := info.BitDepth * info.Channels
		return apierror.New(apierror.ImageTooLarge, "image is %d×%d pixels of %d bits; the limit for these is %s megapixels",
			info.Width, info.Height, bits,
			strconv.FormatFloat(float64(limit)*pixelBits/float64(bits)/1e6, 'g', 3, 64))
	case info.Width > MaxSide || info.Height > MaxSide:
		return apierror.New(apierror.ImageTooLarge, "image is %d×%d pixels; the limit for one side is %d pixels",
			info.Width, info.Height, MaxSide)
	}
	return nil
}

// checkWork refuses an image whose data costs more than its pixels tell.
func (l Limits) checkWork(info Info) error {
	switch {
	case info.Format == JPEG:
		return l.checkScans(info)
	case info.lossyBytes > 0:
		return l.checkLossy(info)
	}
	return nil
}

// broken makes the fault of an image that is not what its format demands.
func broken(f Format, format string, args ...any) error {
	return apierror.New(apierror.Undecodable, string(f)+" is broken: "+format, args...)
}

// short makes the fault of an image whose end is missing.
func short(f Format) error {
	return apierror.New(apierror.Undecodable, "%s is cut short: its end is missing", f)
}
