//go:build image

package imagetest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"
)

const megabyte = 1_000_000 // as Docker counts

// parts maps an image's files to the parts of the table in deploy/README.md.
var parts = []struct {
	name string
	path *regexp.Regexp
}{
	{"server, with OpenCV and the codecs", regexp.MustCompile(`^usr/local/bin/serve$`)},
	{"ONNX Runtime, CUDA provider", regexp.MustCompile(`^usr/lib/fovea/libonnxruntime_providers_cuda`)},
	{"ONNX Runtime", regexp.MustCompile(`^usr/lib/fovea/`)},
	{"CUDA and cuDNN", regexp.MustCompile(`^usr/lib/[^/]+-linux-gnu/lib(cu|nvrtc)`)},
	{"dav1d", regexp.MustCompile(`^usr/local/lib/libdav1d`)},
	{"C and C++ libraries", regexp.MustCompile(`^usr/lib`)},
	{"default model", regexp.MustCompile(`^models/`)},
	{"CA certificates", regexp.MustCompile(`^etc/ssl/`)},
	{"licenses", regexp.MustCompile(`^usr/share/doc/`)},
	{"SBOM and others", regexp.MustCompile(``)},
}

func sizes(t *testing.T, image string) (byPart map[string]int64, total int64) {
	t.Helper()
	byPart = map[string]int64{}
	for name, h := range contents(t, image) {
		for _, part := range parts {
			if part.path.MatchString(name) {
				byPart[part.name] += h.Size
				break
			}
		}
	}
	var size struct{ Size int64 }
	inspect(t, image, &size)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	for _, part := range parts {
		if bytes := byPart[part.name]; bytes > 0 {
			fmt.Fprintf(w, "%s\t%.1f MB\t\n", part.name, float64(bytes)/megabyte)
		}
	}
	fmt.Fprintf(w, "%s as docker image inspect says\t%.1f MB\t\n", image, float64(size.Size)/megabyte)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	return byPart, size.Size
}

func TestSizeOfCPUImage(t *testing.T) {
	if _, total := sizes(t, cpuImage); total > 90*megabyte {
		t.Errorf("the image has %d MB; want at most 90", total/megabyte)
	}
}
