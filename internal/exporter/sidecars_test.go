package exporter

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"fovea/internal/repository"
)

// openedFiles notes which files are looked for.
type openedFiles struct {
	files  fs.FS
	opened map[string]bool
}

// Open implements fs.FS.
func (o openedFiles) Open(name string) (fs.File, error) {
	o.opened[name] = true
	return o.files.Open(name)
}

// TestFilesThatAreReadAreSidecars checks that what a definition is inferred from comes along when a model is fetched or copied. Other
// files are read only if the user or a file names them.
func TestFilesThatAreReadAreSidecars(t *testing.T) {
	for _, l := range layouts() {
		named := slices.AppendSeq(slices.Collect(maps.Values(l.set)), maps.Values(l.files))
		o := openedFiles{l.folder(), map[string]bool{}}
		_, _ = Infer(graphOf(t, l.model), o, l.set) // also where it fails
		for name := range o.opened {
			isNamed := slices.ContainsFunc(named, func(text string) bool { return strings.Contains(text, name) })
			isListed := name == "." || repository.IsDictionary(name) // dictionaries have any name
			if !slices.Contains(repository.SidecarFiles(), name) && !isNamed && !isListed {
				t.Errorf("%s: %s is read, and is no sidecar", l.what, name)
			}
		}
	}
}
