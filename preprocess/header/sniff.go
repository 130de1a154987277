package header

import (
	"bytes"
	"encoding/binary"
	"slices"

	"fovea/internal/apierror"
)

// sniff detects a supported format by its first bytes; "" if there is none. The brands of ISO media files are a guess only.
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
	case has(data, 4, "ftyp") && len(data) >= 12:
		if f := Format(isoMedia(data).name); isBuiltIn(f) {
			return f
		}
	}
	return ""
}

// isBuiltIn reports whether a format that is a build option is supported.
func isBuiltIn(f Format) bool {
	switch f {
	case AVIF:
		return avifAllowed != ""
	case HEIC:
		return heicAllowed != ""
	}
	return f == heif && avifAllowed+heicAllowed != ""
}

// IsKnown reports whether data begins like a file of a supported format, or of one that is recognized as unsupported. The
// first 32 bytes are enough.
func IsKnown(data []byte) bool {
	return sniff(data) != "" || has(data, 0, "<?xml") || otherFormatOf(data).name != ""
}

// asJPEG and asPNG are what to send instead of an image in another format, of photographs and of drawings.
const (
	asJPEG = "save it as JPEG"
	asPNG  = "save it as PNG"
)

// otherFormat is a format that is recognized and not supported.
type otherFormat struct {
	bytes   string // at the beginning
	name    string
	instead string // what to send
}

var otherFormats = []otherFormat{
	{"\xff\x0a", "JPEG XL", asJPEG},
	{"\x00\x00\x00\x0cJXL ", "JPEG XL", asJPEG},
	{"\x00\x00\x00\x0cjP  ", "JPEG 2000", asJPEG},
	{"\xff\x4f\xff\x51", "JPEG 2000", asJPEG},
	{"\x00\x00\x01\x00", "ICO", asPNG},
	{"8BPS", "Photoshop's PSD", asPNG},
	{"%PDF-", "PDF", "render its page to PNG"},
	{"\x76\x2f\x31\x01", "OpenEXR", asPNG},
	{"#?RADIANCE", "Radiance HDR", asPNG},
	{"qoif", "QOI", asPNG},
	{"<svg", "SVG", "render it to PNG"},
	{"\x1aE\xdf\xa3", "Matroska video", "send a frame as JPEG"},
	{"\x1f\x8b", "gzip", "send the image in it"},
	{"PK\x03\x04", "ZIP", "send the images in it"},
}

// brands are the formats of ISO media files by brand (ISO/IEC 14496-12, 4.3; 23008-12, annex B; AVIF 1.1, section 6). Files that are of
// several have first the one that says most.
var brands = []struct {
	names  []string
	format otherFormat
}{
	{[]string{"avif", "avis"}, otherFormat{name: "AVIF", instead: asJPEG}},
	{[]string{"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"}, otherFormat{name: "HEIC",
		instead: "save it as JPEG (iPhones do with Settings, Camera, Formats, Most Compatible)"}},
	{[]string{"mif1", "mif2", "msf1"}, otherFormat{name: "HEIF", instead: asJPEG}},
	{[]string{"crx "}, otherFormat{name: "a camera's raw file", instead: asJPEG}},
}

// isoMedia identifies an ISO media file by its major brand and the compatible ones.
func isoMedia(data []byte) otherFormat {
	const head = 16 // size, type, major brand and version
	listed := data[8:12:12]
	if size := int64(binary.BigEndian.Uint32(data)); len(data) > head && size > head {
		listed = append(listed, data[head:min(size, int64(len(data)), 256)]...)
	}
	for _, b := range brands {
		for brand := range slices.Chunk(listed, 4) {
			if slices.Contains(b.names, string(brand)) {
				return b.format
			}
		}
	}
	return otherFormat{name: "a video or another ISO media file", instead: "send a frame as JPEG"}
}

// otherFormatOf identifies a format that is not supported; one without a name is unknown.
func otherFormatOf(data []byte) otherFormat {
	for _, f := range otherFormats {
		if has(data, 0, f.bytes) {
			return f
		}
	}
	if has(data, 4, "ftyp") && len(data) >= 12 {
		return isoMedia(data)
	}
	return otherFormat{}
}

// unsupported returns the error of data of no supported format. It names the format if that is recognized, and what to send instead.
func unsupported(data []byte) error {
	f := otherFormatOf(data)
	if has(data, 0, "<?xml") && bytes.Contains(data[:min(len(data), 1024)], []byte("<svg")) {
		f = otherFormat{name: "SVG", instead: "render it to PNG"}
	}
	if f.name == "" {
		return apierror.New(apierror.UnsupportedFormat, "unknown image format; allowed: %s", Allowed)
	}
	return f.refuse()
}

func (f otherFormat) refuse() error {
	return apierror.New(apierror.UnsupportedFormat, "%s is not supported; %s; allowed: %s", f.name, f.instead, Allowed)
}

// notBuiltIn returns the error of a format that is a build option.
func notBuiltIn(f Format) error {
	for _, b := range brands {
		if b.format.name == string(f) {
			return b.format.refuse()
		}
	}
	return nil
}

// has reports whether data contains s at an offset.
func has(data []byte, at int, s string) bool {
	return len(data) >= at+len(s) && string(data[at:at+len(s)]) == s
}
