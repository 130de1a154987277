// Package header parses image files before anything is decoded: format, size, EXIF orientation, and whether the file is
// complete. It enforces the limits of pixels and of decoding work. It is pure Go, copies nothing and never allocates by a
// size that a file claims, so that rejecting a hostile image costs little.
package header

import (
	"cmp"
	"image"
	"strconv"
	"time"

	"fovea/internal/apierror"
)

// Format is an image's file format.
type Format string

// The supported formats.
const (
	JPEG Format = "JPEG"
	PNG  Format = "PNG"
	WebP Format = "WebP"
	BMP  Format = "BMP"
	GIF  Format = "GIF"
	TIFF Format = "TIFF"
	AVIF Format = "AVIF"
	HEIC Format = "HEIC"

	heif Format = "HEIF" // AVIF, HEIC or another one, which only its items tell
)

// Allowed lists the supported formats, for messages.
const Allowed = "JPEG, PNG, WebP, BMP, GIF, TIFF" + avifAllowed + heicAllowed

const (
	// DefaultMaxPixels is used where Limits has none: 50 megapixels.
	DefaultMaxPixels = 50_000_000
	// maxSide is the limit of a side in pixels. It bounds the memory of a row.
	maxSide = 1 << 20
)

// Limits bounds the images that are accepted.
type Limits struct {
	MaxPixels int64 // width × height; 0 means DefaultMaxPixels
}

// Info is the content of a file's headers.
type Info struct {
	Format        Format
	Width, Height int // pixels as stored, before Orientation is applied; those of the canvas of an animation
	// Orientation is the EXIF orientation, 1–8 (EXIF 2.32, tag 0x0112): 1 is upright, 5–8 swap width and height. BMP and GIF
	// have none; that of AVIF and HEIC is from their properties irot and imir, and their EXIF data is ignored.
	Orientation int
	BitDepth    int  // bits per channel, or per palette index
	Channels    int  // as stored, alpha included; 3 for a palette
	Progressive bool // progressive JPEG, interlaced PNG or GIF
	Animated    bool // holds more than one frame

	// Frame is the position of an animated WebP's first frame on the canvas; empty for other images.
	Frame image.Rectangle

	// frameStart and frameEnd delimit the chunk of a WebP's image, and a JPEG up to the scan that completes it.
	frameStart, frameEnd int

	lossyBytes int // size of a lossy WebP's data

	padded float64 // pixels of a TIFF's strips or tiles, or of an AVIF's or HEIC's tiles
	frames int     // of an AVIF: the most that are decoded for one, its layers

	alphaStart, alphaEnd int  // of the body of a lossy WebP's ALPH chunk; 0 without one
	transparent          bool // a WebP says that it has transparent pixels

	// Of a JPEG: the number of scans, their cost, and the samples per pixel.
	scans   int
	work    int64
	samples float64
}

// Coded returns the size of the decoded image in pixels; of an animation, that of its first frame.
func (i Info) Coded() image.Point {
	if !i.Frame.Empty() {
		return i.Frame.Size()
	}
	return image.Pt(i.Width, i.Height)
}

// Chunk returns the part of the file that holds the image: the VP8 or VP8L chunk of a WebP, including its header, or a JPEG
// up to the end of the scan that completes it. info must come from Read of the same data, in one of these formats.
func Chunk(data []byte, info Info) []byte { return data[info.frameStart:info.frameEnd] }

// AlphaChunk returns the body of the ALPH chunk that belongs to a lossy WebP's image; nil without one. info is as in Chunk.
func AlphaChunk(data []byte, info Info) []byte {
	if info.alphaEnd == 0 {
		return nil
	}
	return data[info.alphaStart:info.alphaEnd]
}

// Transparent reports whether a WebP says that it has transparent pixels, so that an animation's canvas is transparent where its
// first frame is not.
func (i Info) Transparent() bool { return i.transparent }

// OrientedSize returns the orientation-corrected width and height.
func (i Info) OrientedSize() (width, height int) {
	if i.Orientation >= 5 {
		return i.Height, i.Width
	}
	return i.Width, i.Height
}

// Read parses the headers of an image and checks that it is complete and within the limits. Errors are *apierror.Error
// with code UnsupportedFormat, ImageTooLarge or Undecodable (empty, corrupt or truncated).
func Read(data []byte, limits Limits) (Info, error) {
	if len(data) == 0 {
		return Info{}, apierror.New(apierror.Undecodable, "the image is empty; allowed: %s", Allowed)
	}
	read, known := readers[sniff(data)]
	if !known {
		return Info{}, unsupported(data)
	}
	info, err := read(data)
	if tooLarge := limits.check(info); tooLarge != nil && (err == nil || info.Width > 0) {
		err = tooLarge // reported even if the image is truncated as well: the client can do more about it
	}
	if err == nil {
		err = cmp.Or(limits.checkScans(info), limits.checkLossy(info), limits.checkTiles(info), limits.checkLayers(info))
	}
	if err != nil {
		return Info{}, err
	}
	info.Orientation = cmp.Or(info.Orientation, 1)
	return info, nil
}

var readers = map[Format]func([]byte) (Info, error){
	JPEG: readJPEG, PNG: readPNG, WebP: readWebP, BMP: readBMP, GIF: readGIF, TIFF: readTIFF,
	AVIF: readerOf(AVIF), HEIC: readerOf(HEIC), heif: readerOf(heif),
}

func readerOf(f Format) func([]byte) (Info, error) {
	return func(data []byte) (Info, error) { return readHEIF(f, data) }
}

// pixels returns MaxPixels or its default.
func (l Limits) pixels() int64 { return cmp.Or(l.MaxPixels, DefaultMaxPixels) }

// pixelBits is the depth that counts as one pixel; deeper pixels count for more.
const pixelBits = 32

// weightedPixels returns the number of pixels, where deeper ones count for more: the rows of a PNG with 16 bits per
// channel are up to twice as long as with 8, and take twice as long to inflate and to filter.
func (i Info) weightedPixels() float64 {
	return float64(i.Width) * float64(i.Height) * float64(max(pixelBits, i.BitDepth*i.Channels)) / pixelBits
}

func (l Limits) check(info Info) error {
	limit := l.pixels()
	switch {
	case info.Width < 1 || info.Height < 1:
		return corrupt(info.Format, "its size is %d×%d pixels", info.Width, info.Height)
	case int64(info.Width)*int64(info.Height) > limit:
		return apierror.New(apierror.ImageTooLarge, "image has %s megapixels (%d×%d); the limit is %s megapixels",
			megapixels(int64(info.Width)*int64(info.Height)), info.Width, info.Height, megapixels(limit))
	case info.weightedPixels() > float64(limit):
		bits := info.BitDepth * info.Channels
		return apierror.New(apierror.ImageTooLarge, "image has %s megapixels (%d×%d) of %d bits; the limit for these is %s megapixels",
			megapixels(int64(info.Width)*int64(info.Height)), info.Width, info.Height, bits, megapixels(limit*pixelBits/int64(bits)))
	case info.Width > maxSide || info.Height > maxSide:
		return apierror.New(apierror.ImageTooLarge, "image is %d×%d pixels; the limit for one side is %d pixels",
			info.Width, info.Height, maxSide)
	}
	return nil
}

// megapixels formats a number of pixels.
func megapixels(pixels int64) string { return strconv.FormatFloat(float64(pixels)/1e6, 'f', -1, 64) }

// corrupt returns the error of an image that violates its format.
func corrupt(f Format, format string, args ...any) error {
	return apierror.New(apierror.Undecodable, string(f)+" is corrupt: "+format, args...)
}

// truncated returns the error of an image whose end is missing.
func truncated(f Format) error {
	return apierror.New(apierror.Undecodable, "%s is truncated: its end is missing", f)
}

// Upper bounds of the time to decode and pack an image, in nanoseconds per pixel and per byte of the file on a processor of
// 2024. They only need to tell slow images from others.
var estimates = map[Format]struct{ pixel, byte int64 }{
	JPEG: {5, 10}, PNG: {12, 10}, WebP: {15, 10}, BMP: {5, 3}, GIF: {15, 10}, TIFF: {30, 10}, AVIF: {15, 100}, HEIC: {20, 200},
}

// Estimate returns the CPU time that an image in a file of size bytes may take.
func (i Info) Estimate(size int) time.Duration {
	e := estimates[i.Format]
	coded := i.Coded()
	total := e.pixel*int64(coded.X)*int64(coded.Y) + e.byte*int64(size)
	if i.Progressive && i.Format == JPEG {
		total += i.work + 15*int64(size) // each scan is decoded separately
	}
	return time.Duration(total)
}
