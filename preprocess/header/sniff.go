package header

import (
	"bytes"

	"fovea/internal/apierror"
)

// sniff finds which of the formats that are read the bytes begin like; "" for none.
func sniff(data []byte) Format {
	switch {
	case has(data, 0, "\xff\xd8\xff"):
		return JPEG
	case has(data, 0, pngSignature):
		return PNG
	case has(data, 0, "RIFF") && has(data, 8, "WEBP"):
		return WebP
	case has(data, 0, "BM") && len(data) >= 18:
		return BMP
	}
	return ""
}

// Known reports whether data, of which the first 32 bytes are enough, begins like an image of a format that is read, or of
// one that is known not to be.
func IsKnown(data []byte) bool {
	if sniff(data) != "" || has(data, 0, "<?xml") {
		return true
	}
	for _, m := range refused {
		if has(data, m.at, m.bytes) {
			return true
		}
	}
	return false
}

// magic names a format that is known and not read, by bytes at a place.
type magic struct {
	at    int
	bytes string
	name  string
}

var refused = []magic{
	{0, "GIF87a", "GIF"},
	{0, "GIF89a", "GIF"},
	{0, "II*\x00", "TIFF"},
	{0, "MM\x00*", "TIFF"},
	{0, "II+\x00", "TIFF"},
	{0, "MM\x00+", "TIFF"},
	{4, "ftypavif", "AVIF"},
	{4, "ftypavis", "AVIF"},
	{4, "ftyphei", "HEIC"},
	{4, "ftyphev", "HEIC"},
	{4, "ftypmif1", "HEIF"},
	{4, "ftypmsf1", "HEIF"},
	{4, "ftyp", "a video or another ISO media file"},
	{0, "\xff\x0a", "JPEG XL"},
	{0, "\x00\x00\x00\x0cJXL ", "JPEG XL"},
	{0, "\x00\x00\x00\x0cjP  ", "JPEG 2000"},
	{0, "\xff\x4f\xff\x51", "JPEG 2000"},
	{0, "\x00\x00\x01\x00", "ICO"},
	{0, "8BPS", "Photoshop's PSD"},
	{0, "%PDF-", "PDF"},
	{0, "\x76\x2f\x31\x01", "OpenEXR"},
	{0, "#?RADIANCE", "Radiance HDR"},
	{0, "qoif", "QOI"},
	{0, "<svg", "SVG"},
	{0, "\x1aE\xdf\xa3", "Matroska video"},
	{0, "\x1f\x8b", "gzip"},
	{0, "PK\x03\x04", "ZIP"},
}

// refuse makes the fault of bytes that are of no format that is read, naming the format where it is known.
func refuse(data []byte) error {
	for _, m := range refused {
		if has(data, m.at, m.bytes) {
			return apierror.New(apierror.UnsupportedFormat, "%s is not read; allowed are %s", m.name, Allowed)
		}
	}
	if bytes.HasPrefix(data, []byte("<?xml")) && bytes.Contains(data[:min(len(data), 1024)], []byte("<svg")) {
		return apierror.New(apierror.UnsupportedFormat, "SVG is not read; allowed are %s", Allowed)
	}
	return apierror.New(apierror.UnsupportedFormat, "the bytes are of no known image format; allowed are %s", Allowed)
}

// has reports whether data holds s at a place.
func has(data []byte, at int, s string) bool {
	return len(data) >= at+len(s) && string(data[at:at+len(s)]) == s
}
