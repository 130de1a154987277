package header

import (
	"errors"
	"strings"
	"testing"

	"fovea/internal/apierror"
)

// TestFormatsOfTheBuild reads the first bytes of AVIF and HEIC, which are build options: a format that is not built in is named with what to
// send instead, one that is built in is truncated here.
func TestFormatsOfTheBuild(t *testing.T) {
	type outcome struct {
		code    apierror.Code
		message string
	}
	refused := map[Format]string{
		AVIF: "AVIF is not supported; save it as JPEG; allowed: JPEG, PNG",
		HEIC: "HEIC is not supported; save it as JPEG (iPhones do with Settings",
		heif: "HEIF is not supported; save it as JPEG",
	}
	for what, c := range map[string]struct {
		data   string
		format Format
		cut    bool
	}{
		"AVIF":                  {"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", AVIF, false},
		"AVIF, cut":             {"\x00\x00\x00\x20ftypavif", AVIF, true},
		"AVIF by another name":  {"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", AVIF, false},
		"HEIC":                  {"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", HEIC, false},
		"HEIC by another name":  {"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", HEIC, false},
		"HEIF of another codec": {"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1j2ki", heif, false},
	} {
		want := outcome{apierror.UnsupportedFormat, refused[c.format]}
		if isBuiltIn(c.format) {
			want.message = string(c.format) + " without a still image is not supported"
			if c.cut {
				want = outcome{apierror.Undecodable, string(c.format) + " is truncated"}
			}
		}
		_, err := Read([]byte(c.data), Limits{})
		var f *apierror.Error
		if !errors.As(err, &f) || f.Code != want.code || !strings.Contains(f.Message, want.message) {
			t.Errorf("%s: %v; want %s: …%s…", what, err, want.code, want.message)
		}
	}
	for f, allowed := range map[Format]string{AVIF: avifAllowed, HEIC: heicAllowed} {
		if strings.Contains(Allowed, string(f)) != isBuiltIn(f) || allowed != "" != isBuiltIn(f) {
			t.Errorf("%s is built in: %t; allowed: %s", f, isBuiltIn(f), Allowed)
		}
	}
}
