package header

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/testenv"
)

func TestHeadersOfEveryKind(t *testing.T) {
	for name, want := range map[string]Info{
		"jpeg_420.jpg":                {Format: JPEG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3},
		"jpeg_progressive.jpg":        {Format: JPEG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3, Progressive: true},
		"jpeg_gray.jpg":               {Format: JPEG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 1},
		"jpeg_cmyk.jpg":               {Format: JPEG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 4},
		"jpeg_exif3.jpg":              {Format: JPEG, Width: 96, Height: 72, Orientation: 3, BitDepth: 8, Channels: 3},
		"jpeg_exif6.jpg":              {Format: JPEG, Width: 72, Height: 96, Orientation: 6, BitDepth: 8, Channels: 3},
		"png_rgb.png":                 {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3},
		"png_exif6.png":               {Format: PNG, Width: 72, Height: 96, Orientation: 6, BitDepth: 8, Channels: 3},
		"png_rgba.png":                {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 4},
		"png_gray16.png":              {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 16, Channels: 1},
		"png_gray_alpha.png":          {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 2},
		"png_gray_1bit.png":           {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 1, Channels: 1},
		"png_interlaced.png":          {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3, Progressive: true},
		"png_animated.png":            {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3, Animated: true},
		"webp_lossy.webp":             {Format: WebP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3},
		"webp_exif6.webp":             {Format: WebP, Width: 72, Height: 96, Orientation: 6, BitDepth: 8, Channels: 3},
		"webp_lossless_alpha.webp":    {Format: WebP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 4},
		"webp_animated.webp":          {Format: WebP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3, Animated: true, Frame: image.Rect(0, 0, 96, 72)},
		"webp_animated_small.webp":    {Format: WebP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3, Animated: true, Frame: image.Rect(20, 10, 80, 60)},
		"jpeg_thumbnail.jpg":          {Format: JPEG, Width: 72, Height: 96, Orientation: 6, BitDepth: 8, Channels: 3},
		"bmp_24.bmp":                  {Format: BMP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3},
		"bmp_32.bmp":                  {Format: BMP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 4},
		"bmp_1bit.bmp":                {Format: BMP, Width: 96, Height: 72, Orientation: 1, BitDepth: 1, Channels: 3},
		"bmp_rle8.bmp":                {Format: BMP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3},
		"png_palette_transparent.png": {Format: PNG, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 3},
		"webp_animated_lossless.webp": {Format: WebP, Width: 96, Height: 72, Orientation: 1, BitDepth: 8, Channels: 4, Animated: true, Frame: image.Rect(0, 0, 96, 72)},
	} {
		got, err := Read(testenv.FormatSample(t, name), Limits{})
		got.frameStart, got.frameEnd, got.alphaStart, got.alphaEnd, got.transparent = 0, 0, 0, 0, false
		got.lossyBytes, got.scans, got.work, got.samples = 0, 0, 0, 0
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestTruncatedImagesAreRejected(t *testing.T) {
	files, err := filepath.Glob("../testdata/images/*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == "bmp_rle8.bmp" || name == "jpeg_thumbnail.jpg" || filepath.Ext(name) == ".png" {
			continue // where rows end is known only to the decoder of two; the other holds more behind its end
		}
		data := testenv.FormatSample(t, name)
		if filepath.Ext(name) == ".jpg" { // and so is that of a JPEG's last scan
			data = data[:bytes.LastIndex(data, []byte{0xFF, markerSOS})+8]
		}
		for n := len(data) - 1; n > 30; n -= 1 + n/7 {
			info, err := Read(data[:n], Limits{})
			if filepath.Ext(name) == ".webp" && err == nil && info.frameEnd <= n && name != "webp_exif6.webp" {
				continue // the image is all there, and so is its orientation
			}
			var f *apierror.Error
			if !errors.As(err, &f) || f.Code != apierror.Undecodable || !strings.Contains(f.Message, "truncated") {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(data), err)
			}
		}
	}
}

// claim is a small, complete PNG that claims a size.
func claim(width, height uint32) []byte {
	chunk := func(kind string, body []byte) []byte {
		out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		out = append(append(out, kind...), body...)
		return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
	}
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	header := chunk("IHDR", append(size, 8, 2, 0, 0, 0))
	return bytes.Join([][]byte{[]byte(pngSignature), header, chunk("IDAT", []byte("x")), chunk("IEND", nil)}, nil)
}

// changed is data with bytes replaced at an offset; a negative one counts from the end.
func changed(data []byte, at int, with ...byte) []byte {
	data = bytes.Clone(data)
	if at < 0 {
		at += len(data)
	}
	copy(data[at:], with)
	return data
}

func TestReadErrors(t *testing.T) {
	jpeg, png := testenv.FormatSample(t, "jpeg_444.jpg"), testenv.FormatSample(t, "png_rgb.png")
	webp, bmp := testenv.FormatSample(t, "webp_lossy.webp"), testenv.FormatSample(t, "bmp_24.bmp")
	small, v5, progressive := testenv.FormatSample(t, "webp_animated_small.webp"), testenv.FormatSample(t, "bmp_v5_alpha.bmp"), testenv.FormatSample(t, "jpeg_progressive.jpg")
	indexed := testenv.FormatSample(t, "png_palette.png")
	sof := bytes.Index(jpeg, []byte{0xFF, 0xC0})
	sos := bytes.Index(jpeg, []byte{0xFF, 0xDA})
	for what, c := range map[string]struct {
		data    []byte
		code    apierror.Code
		message string
	}{
		"nothing":                            {nil, apierror.Undecodable, "the image is empty; allowed: JPEG, PNG, WebP, BMP, GIF, TIFF" + avifAllowed + heicAllowed},
		"one byte":                           {[]byte{1}, apierror.UnsupportedFormat, "unknown image format; allowed: " + Allowed},
		"random bytes":                       {[]byte("hello, I am no image at all"), apierror.UnsupportedFormat, "unknown image format"},
		"a brand behind the list":            {[]byte("\x00\x00\x00\x14ftypisom\x00\x00\x00\x00mp41heic"), apierror.UnsupportedFormat, "a video or another ISO media file is not supported; send a frame as JPEG"},
		"a raw file":                         {[]byte("\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom"), apierror.UnsupportedFormat, "a camera's raw file is not supported"},
		"PDF":                                {[]byte("%PDF-1.4"), apierror.UnsupportedFormat, "PDF is not supported; render its page to PNG"},
		"an empty ftyp":                      {[]byte("\x00\x00\x00\x08ftyp"), apierror.UnsupportedFormat, "unknown image format"},
		"SVG":                                {[]byte("<?xml version='1.0'?><svg/>"), apierror.UnsupportedFormat, "SVG is not supported"},
		"a claim of 900 megapixels":          {claim(30000, 30000), apierror.ImageTooLarge, "image has 900 megapixels (30000×30000); the limit is 50 megapixels"},
		"the same, truncated":                {claim(30000, 30000)[:40], apierror.ImageTooLarge, "30000×30000"},
		"a claim of a long strip":            {claim(1<<20+1, 1), apierror.ImageTooLarge, "image is 1048577×1 pixels; the limit for one side is 1048576 pixels"},
		"PNG without width":                  {claim(0, 5), apierror.Undecodable, "its size is 0×5 pixels"},
		"PNG with a wrong checksum":          {changed(png, 20, 9), apierror.Undecodable, "the checksum of its chunk IHDR is wrong"},
		"PNG without image data":             {png[:bytes.Index(png, []byte("IDAT"))-4], apierror.Undecodable, "PNG is truncated"},
		"PNG with a flipped bit":             {changed(png, len(png)/2, png[len(png)/2]^1), apierror.Undecodable, "the checksum of its chunk IDAT is wrong"},
		"PNG of Xcode":                       {withChunk(png, 8, "CgBI", "\x50\x00\x20\x02"), apierror.UnsupportedFormat, "pngcrush -revert-iphone-optimizations"},
		"PNG of two headers":                 {withChunk(png, 33, "IHDR", string(png[16:29])), apierror.Undecodable, "does not begin with an IHDR"},
		"PNG with an unknown critical chunk": {withChunk(png, 33, "ABCD", ""), apierror.Undecodable, `its critical chunk "ABCD" is unknown`},
		"PNG of an unknown interlacing":      {headed(png, 28, 2), apierror.Undecodable, "interlacing 2"},
		"PNG of an unknown compression":      {headed(png, 26, 1), apierror.Undecodable, "compression 1"},
		"PNG of indices without a palette":   {headed(png, 25, 3), apierror.Undecodable, "its palette is missing"},
		"PNG with two palettes":              {withChunk(indexed, bytes.Index(indexed, []byte("PLTE"))-4, "PLTE", "abc"), apierror.Undecodable, "two palettes"},
		"PNG with half a color":              {withChunk(headed(png, 25, 3), 33, "PLTE", "abcd"), apierror.Undecodable, "its palette has 4 bytes"},
		"PNG of 5 bits":                      {headed(png, 24, 5), apierror.Undecodable, "color type 2 with 5 bits does not exist"},
		"BMP of 257 colors":                  {changed(testenv.FormatSample(t, "bmp_palette.bmp"), 46, 1, 1), apierror.Undecodable, "its palette has 257 colors"},
		"PNG that starts elsewhere":          {changed(png, 12, 'J'), apierror.Undecodable, "does not begin with an IHDR"},
		"JPEG, arithmetic-coded":             {changed(jpeg, sof+1, 0xC9), apierror.UnsupportedFormat, "allowed: baseline, extended and progressive JPEG"},
		"JPEG, lossless":                     {changed(jpeg, sof+1, 0xC3), apierror.UnsupportedFormat, "is not supported"},
		"JPEG of 12 bits":                    {changed(jpeg, sof+4, 12), apierror.UnsupportedFormat, "JPEG of 12 bits is not supported; allowed: 8 bits"},
		"JPEG without height":                {changed(jpeg, sof+5, 0, 0), apierror.Undecodable, "its size is 96×0 pixels"},
		"JPEG of 65535×65535 pixels":         {changed(jpeg, sof+5, 255, 255, 255, 255), apierror.ImageTooLarge, "(65535×65535)"},
		"JPEG whose scan is not there":       {append(bytes.Clone(jpeg[:sos]), 0xFF, 0xD9), apierror.Undecodable, "JPEG is truncated"},
		"JPEG of 66,000 segments":            {manySegments(jpeg), apierror.Undecodable, "JPEG has more than 65536 segments"},
		"JPEG with another's start":          {append(bytes.Clone(jpeg[:sos]), jpeg...), apierror.Undecodable, "another image begins within it"},
		"JPEG sampled by nothing":            {changed(jpeg, sof+11, 0x01), apierror.Undecodable, "a component has sampling factors of 0×1"},
		"JPEG of nothing":                    {[]byte("\xff\xd8\xff\xd9"), apierror.Undecodable, "it has no frame header"},
		"WebP truncated":                     {webp[:len(webp)-4], apierror.Undecodable, "WebP is truncated"},
		"WebP with a corrupt frame":          {changed(webp, 23, 0), apierror.Undecodable, "does not begin with a frame header"},
		"WebP of nothing":                    {[]byte("RIFF\x04\x00\x00\x00WEBP"), apierror.Undecodable, "it has no image data"},
		"WebP, its frame off canvas":         {changed(small, 24, 50), apierror.Undecodable, "its first frame lies outside its canvas of 51×72 pixels"},
		"WebP, its frame without room":       {changed(small, bytes.Index(small, []byte("ANMF"))+4, 9, 0, 0), apierror.Undecodable, "corrupt"},
		"progressive JPEG, last scan":        {withoutScans(progressive, 1), apierror.Undecodable, "JPEG is truncated"},
		"progressive JPEG, all but DC":       {withoutScans(progressive, 9), apierror.Undecodable, "JPEG is truncated"},
		"BMP of red where blue is":           {changed(v5, 54, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0), apierror.UnsupportedFormat, "and the masks [ff ff00 ff0000] is not supported; allowed:"},
		"BMP of 4 bits a channel":            {changed(testenv.FormatSample(t, "bmp_565.bmp"), 54, 0, 15), apierror.UnsupportedFormat, "allowed: [7c00 3e0 1f] and [f800 7e0 1f] for 16 bits"},
		"BMP, rows in its header":            {changed(bmp, 10, 0), apierror.Undecodable, "its rows begin within its header"},
		"BMP truncated":                      {bmp[:len(bmp)-1], apierror.Undecodable, "BMP is truncated"},
		"BMP of 7 bits":                      {changed(bmp, 28, 7), apierror.UnsupportedFormat, "BMP with 7 bits per pixel"},
		"BMP with an odd header":             {changed(bmp, 14, 41, 1), apierror.Undecodable, "it has a header of 297 bytes"},
		"BMP of 2 gigapixels":                {changed(bmp, 18, 0, 0, 0, 64, 2, 0, 0, 0), apierror.ImageTooLarge, "(1073741824×2)"},
	} {
		info, err := Read(c.data, Limits{})
		var f *apierror.Error
		if !errors.As(err, &f) || f.Code != c.code || !strings.Contains(f.Message, c.message) {
			t.Errorf("%s: %v; want %s: …%s…", what, err, c.code, c.message)
		}
		if info != (Info{}) {
			t.Errorf("%s: %+v with an error", what, info)
		}
	}
}

// withChunk is a PNG with one more chunk at an offset.
func withChunk(png []byte, at int, kind, body string) []byte {
	chunk := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind+body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return bytes.Join([][]byte{png[:at], chunk, png[at:]}, nil)
}

// headed is a PNG with another byte in its header, and the right checksum.
func headed(png []byte, at int, with byte) []byte {
	png = changed(png, at, with)
	binary.BigEndian.PutUint32(png[29:], crc32.ChecksumIEEE(png[12:29]))
	return png
}

// withoutScans is a JPEG without its last n scans, but with its end marker.
func withoutScans(jpeg []byte, n int) []byte {
	for range n {
		jpeg = jpeg[:bytes.LastIndex(jpeg, []byte{0xFF, markerSOS})]
	}
	return append(bytes.Clone(jpeg), 0xFF, markerEOI)
}

// manySegments is a JPEG with 66,000 empty comments.
func manySegments(jpeg []byte) []byte {
	return append(append(bytes.Clone(jpeg[:2]), bytes.Repeat([]byte{0xFF, 0xFE, 0, 2}, 66_000)...), jpeg[2:]...)
}

func TestMaxPixels(t *testing.T) {
	data := testenv.FormatSample(t, "png_rgb.png")
	if _, err := Read(data, Limits{MaxPixels: 96 * 72}); err != nil {
		t.Error(err)
	}
	_, err := Read(data, Limits{MaxPixels: 96*72 - 1})
	if err == nil || err.Error() != "image has 0.006912 megapixels (96×72); the limit is 0.006911 megapixels" {
		t.Error(err)
	}
}

func TestOrientation(t *testing.T) {
	little := "II*\x00\x08\x00\x00\x00\x02\x00\x0f\x01\x02\x00\x01\x00\x00\x00abcd\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
	big := "MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x08\x00\x00"
	for block, want := range map[string]int{
		little: 6, big: 8, "": 0, little[:30]: 0, "XX" + little[2:]: 0,
		strings.Replace(big, "\x00\x08\x00\x00", "\x00\x09\x00\x00", 1): 0, // there is no ninth
		"Exif\x00\x00" + big:                                       8,
		strings.Replace(big, "\x00\x03", "\x00\x07", 1):            0, // no number
		strings.Replace(big, "\x00\x03", "\x00\x04", 1):            0, // a long of 524288
		strings.Replace(little, "\x12\x01\x03", "\x12\x01\x04", 1): 6, // a long
		strings.Replace(big, "\x03\x00\x00\x00\x01\x00\x08\x00\x00", "\x04\x00\x00\x00\x01\x00\x00\x00\x08", 1): 8,
		strings.Replace(little, "\x08\x00\x00\x00", "\xff\xff\xff\xff", 1):                                      0, // outside
	} {
		if got := orientation([]byte(block)); got != want {
			t.Errorf("%q: %d, want %d", block, got, want)
		}
	}
}

func TestChunk(t *testing.T) {
	for name, want := range map[string]string{
		"webp_lossy.webp": "VP8 ", "webp_lossy_alpha.webp": "VP8 ", "webp_exif6.webp": "VP8 ", "webp_lossless.webp": "VP8L",
		"webp_animated.webp": "VP8 ", "webp_animated_small.webp": "VP8L", "webp_animated_lossless.webp": "VP8L",
	} {
		data := testenv.FormatSample(t, name)
		info, err := Read(data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		chunk := Chunk(data, info)
		if string(chunk[:4]) != want || int(binary.LittleEndian.Uint32(chunk[4:])) != len(chunk)-8 {
			t.Errorf("%s: %d bytes that begin with %q", name, len(chunk), chunk[:8])
		}
	}
}

func TestEstimate(t *testing.T) {
	script := script(markerSOF2, 7000, 7000, []byte{0x11, 0x11, 0x11}, libjpegColor...)
	progressive, err := Read(append(script, 0xFF, markerEOI), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		info     Info
		size     int
		from, to time.Duration
	}{
		"a photograph of 12 megapixels":    {Info{Format: JPEG, Width: 4000, Height: 3000}, 3 << 20, 10 * time.Millisecond, 100 * time.Millisecond},
		"a photograph of 50 megapixels":    {Info{Format: JPEG, Width: 8000, Height: 6250}, 14 << 20, 200 * time.Millisecond, time.Second},
		"the same, progressive":            {progressive, 14 << 20, 600 * time.Millisecond, 2 * time.Second},
		"a small photograph":               {Info{Format: JPEG, Width: 640, Height: 480}, 80_000, 0, 5 * time.Millisecond},
		"a PNG of 50 megapixels":           {Info{Format: PNG, Width: 8000, Height: 6250}, 200_000, 300 * time.Millisecond, time.Second},
		"a WebP of 38 bytes, 50 megapixel": {Info{Format: WebP, Width: 16383, Height: 3051}, 38, 300 * time.Millisecond, time.Second},
	} {
		if got := c.info.Estimate(c.size); got < c.from || got > c.to {
			t.Errorf("%s: %v, want %v to %v", what, got, c.from, c.to)
		}
	}
}
