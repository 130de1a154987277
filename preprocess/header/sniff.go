package header

import (
	"bytes"

	"fovea/internal/apierror"
)

// sniff detects a supported format by its first bytes; "" if there is none.
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
	case has(data, 0, "GIF87a"), has(data, 0, "GIF89a"):
		return GIF
	case has(data, 0, "II*\x00"), has(data, 0, "MM\x00*"), has(data, 0, "II+\x00"), has(data, 0, "MM\x00+"):
		return TIFF
	}
	return ""
}

// IsKnown reports whether data begins like a file of a supported format, or of one that is recognized as unsupported. The
// first 32 bytes are enough.
func IsKnown(data []byte) bool {
	return sniff(data) != "" || has(data, 0, "<?xml") || unsupportedName(data) != ""
}

// unsupportedFormats are recognized by bytes at an offset.
var unsupportedFormats = []struct {
	at          int
	bytes, name string
}{
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

// unsupportedName returns the name of a recognized format that is not supported; "" if there is none.
func unsupportedName(data []byte) string {
	for _, m := range unsupportedFormats {
		if has(data, m.at, m.bytes) {
			return m.name
		}
	}
	return ""
}

// unsupported returns the error of data of no supported format. It names the format if that is recognized.
func unsupported(data []byte) error {
	name := unsupportedName(data)
	if has(data, 0, "<?xml") && bytes.Contains(data[:min(len(data), 1024)], []byte("<svg")) {
		name = "SVG"
	}
	if name == "" {
		return apierror.New(apierror.UnsupportedFormat, "unknown image format; allowed: %s", Allowed)
	}
	return apierror.New(apierror.UnsupportedFormat, "%s is not supported; allowed: %s", name, Allowed)
}

// has reports whether data contains s at an offset.
func has(data []byte, at int, s string) bool {
	return len(data) >= at+len(s) && string(data[at:at+len(s)]) == s
}
