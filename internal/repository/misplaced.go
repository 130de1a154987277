package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Bounds of looking for weights in the wrong place.
const (
	maxScanned   = 1000 // names in a folder
	maxScanDepth = 3    // folders below a model's
	maxFound     = 3    // files that are named of a model
	maxFolders   = 20   // models that are named
)

// weightsEndings are what names of weights end in, in ONNX and in formats that are put in its place.
var weightsEndings = []string{".onnx", ".ort", ".pt", ".pth", ".safetensors", ".tflite", ".plan", ".engine", ".trt", ".pb",
	".h5", ".keras", ".mlmodel", ".gguf", ".pdmodel"}

// tritonFile is the definition of a model for NVIDIA's Triton.
const tritonFile = "config.pbtxt"

// definitionNames are what a model.yaml is named by mistake.
var definitionNames = []string{"model.yml", "config.yaml", "config.yml", "model.json"}

func looksLikeWeights(name string) bool {
	lower := strings.ToLower(name)
	return !strings.HasPrefix(name, ".") &&
		slices.ContainsFunc(weightsEndings, func(ending string) bool { return strings.HasSuffix(lower, ending) })
}

// Misplaced lists what looks like a model and lies where none is looked for: weights or a definition in the
// repository's own folder, a folder with weights and no model.yaml, and a version's folder without model.onnx beside
// versions that have one. Models without any version are not among them: see Entry.Misplaced. What cannot be read is
// passed over.
func (r *Repository) Misplaced() []error {
	entries := newScan(r.dir).list("")
	found := r.misplacedHere(entries)
	for _, entry := range entries {
		if isFolder(filepath.Join(r.dir, entry.Name())) && len(found) < maxFolders {
			found = append(found, r.misplacedIn(entry.Name())...)
		}
	}
	return found
}

// MisplacedModel lists what may be the model of that name, and lies where none is looked for.
func (r *Repository) MisplacedModel(name string) []error {
	return append(r.misplacedIn(name), r.misplacedHere(newScan(r.dir).list(""))...)
}

// misplacedHere looks at what lies in the repository itself. Where that is a model's folder, versions are no models.
func (r *Repository) misplacedHere(entries []fs.DirEntry) (found []error) {
	if path := filepath.Join(r.dir, definitionFile); isFile(path) {
		return []error{fmt.Errorf("%s lies in the repository itself, where it defines no model; if %s is a model's folder, "+
			"the repository (repository.dir) is the folder above it", path, r.dir)}
	}
	for _, entry := range entries {
		path := filepath.Join(r.dir, entry.Name())
		if looksLikeWeights(entry.Name()) && !isFolder(path) && len(found) < maxFound {
			found = append(found, fmt.Errorf("%s lies in the repository itself, where no weights are looked for; want %s and %s",
				path, filepath.Join(r.dir, "NAME", "1", weightsFile), filepath.Join(r.dir, "NAME", definitionFile)))
		}
	}
	return found
}

// misplacedIn looks at one folder of the repository.
func (r *Repository) misplacedIn(name string) []error {
	dir := filepath.Join(r.dir, name)
	is, err := present(filepath.Join(dir, definitionFile))
	switch {
	case err != nil:
		return nil
	case is:
		if found := unserved(dir); len(found) > 0 {
			return []error{fmt.Errorf("model %s has a version that is not served: %s", name, strings.Join(found, ", "))}
		}
		return nil
	case versionNumber(name) > 0 && isFile(filepath.Join(r.dir, definitionFile)):
		return nil // see misplacedHere
	}
	found := newScan(dir).weights("", maxScanDepth)
	if len(found) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s holds weights and no %s, so that it is no model: %s", dir, definitionFile, strings.Join(found, ", "))
	if isFile(filepath.Join(dir, tritonFile)) {
		text += "; " + tritonFile + " is Triton's and is not read here"
	}
	if other := otherDefinition(dir); other != "" {
		text += "; the definition must be named " + definitionFile + ", and not " + other
	}
	return []error{errors.New(text)}
}

func otherDefinition(dir string) string {
	for _, entry := range newScan(dir).list("") {
		if slices.Contains(definitionNames, strings.ToLower(entry.Name())) || strings.EqualFold(entry.Name(), definitionFile) {
			return entry.Name()
		}
	}
	return ""
}

// Misplaced says where a model that has no version keeps what looks like weights; empty: nowhere.
func (e *Entry) Misplaced() string {
	if len(e.Versions) > 0 || e.Dir == "" { // it is there, or comes with Fovea and is not installed
		return ""
	}
	return strings.Join(newScan(e.Dir).weights("", maxScanDepth), ", ")
}

// misnamedVersion is the name of a folder that is meant as a version's: v1, 01, version-1.
var misnamedVersion = regexp.MustCompile(`^(?i:v|ver|version)?[-_.]?\d+$`)

// unserved are weights in the folders of versions that have no model.onnx, or that are named wrongly, and a model.onnx in no
// version's folder, where another version has one.
func unserved(dir string) (found []string) {
	s, serves, used := newScan(dir), false, false
	flat, _ := os.Stat(filepath.Join(dir, weightsFile)) // nil: there is none
	for _, entry := range s.list("") {
		is, err := present(filepath.Join(dir, entry.Name(), weightsFile))
		switch {
		case err != nil || !misnamedVersion.MatchString(entry.Name()):
		case is && versionNumber(entry.Name()) > 0:
			version, err := os.Stat(filepath.Join(dir, entry.Name(), weightsFile))
			serves, used = true, used || err == nil && os.SameFile(version, flat)
		default:
			found = append(found, s.weights(entry.Name(), 0)...)
		}
	}
	if !serves {
		return nil
	}
	if flat != nil && flat.Mode().IsRegular() && !used { // else a version is a link to it
		found = append(found, filepath.Join(dir, weightsFile)+wrongPlace(weightsFile))
	}
	return found
}

// scan looks through a folder, and at no more than maxScanned names.
type scan struct {
	dir  string
	left int
}

func newScan(dir string) *scan { return &scan{dir, maxScanned} }

// list is the beginning of a folder, sorted, without names that begin with a dot. What cannot be read is empty.
func (s *scan) list(rel string) []fs.DirEntry {
	f, err := os.Open(filepath.Join(s.dir, rel))
	if err != nil || s.left <= 0 {
		return nil
	}
	defer f.Close()
	entries, err := f.ReadDir(s.left)
	if err != nil {
		return nil
	}
	s.left -= len(entries)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") })
}

// weights names files in a folder and those below it that look like weights, and what is wrong with the place of each.
func (s *scan) weights(rel string, depth int) (found []string) {
	for _, entry := range s.list(rel) {
		name := filepath.Join(rel, entry.Name())
		path := filepath.Join(s.dir, name)
		switch {
		case len(found) >= maxFound:
			return found[:maxFound]
		case !isFolder(path) && looksLikeWeights(name):
			found = append(found, path+wrongPlace(name))
		case isFolder(path) && depth > 0:
			found = append(found, s.weights(name, depth-1)...)
		}
	}
	return found
}

// wrongPlace says what is wrong with the place of weights in a model's folder.
func wrongPlace(rel string) string {
	folder, file := filepath.Dir(rel), filepath.Base(rel)
	switch {
	case folder == ".":
		return " (must lie in the folder of a version, as " + filepath.Join("1", weightsFile) + ")"
	case strings.Contains(folder, string(filepath.Separator)):
		return " (lies too deep; want " + filepath.Join("NAME", "1", weightsFile) + " in the repository)"
	case versionNumber(folder) == 0:
		return fmt.Sprintf(" (the folder of a version is named by a whole number, such as 1, and not %q)", folder)
	case file == weightsFile:
		return ""
	case strings.HasSuffix(strings.ToLower(file), ".onnx"):
		return " (must be named " + weightsFile + ")"
	}
	return " (must be an ONNX file named " + weightsFile + ")"
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// present says whether there is a plain file of that name, or a link, whatever it leads to.
func present(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil && (info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0), err
}
